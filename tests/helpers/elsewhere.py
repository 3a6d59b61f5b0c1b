"""Servers of one's own for what is elsewhere: one that speaks S3, one in front of it that counts, fails and cuts."""

import hashlib
import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import S3Store

SECRET = "wJalrXUtnFEMI-K7MDENG-a-secret"
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


class Front:
    """A server of this process.

    Attributes
    ----------
    objects : dict
        Bytes by path, such as ``/a.wav``; what is not there is asked of ``behind``, a port, if there is one.
    fault : callable(method, path, time) -> int, "cut", "drop" or None
        What goes wrong at the so-manieth request for a path: a status, half a body, a closed connection.
    asked : list of (method, path)
        Everything that was asked for, in order.
    sent : int
        Bytes of answers, since it was set.
    parts : bool
        Whether parts of objects are given, of those that are its own.
    """

    def __init__(self, behind: int | None = None):
        self.objects: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.fault: Callable[[str, str, int], int | str | None] = lambda method, path, time: None
        self.asked: list[tuple[str, str]] = []
        self.behind, self._times, self._lock = behind, Counter(), threading.Lock()
        self.sent, self.parts = 0, True
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def answer(self):
                front.answer(self)

            do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = answer

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # who asked went away

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def count(self, method: str, holds: str = "") -> int:
        return sum(m == method and holds in path for m, path in self.asked)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self.asked.append((request.command, request.path))
            self._times[request.command, request.path] += 1
            time = self._times[request.command, request.path]
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        fault = self.fault(request.command, request.path, time)
        if fault == "drop":
            request.close_connection = True
            request.connection.shutdown(socket.SHUT_RDWR)
            return
        status, headers, content = self._found(request, body) if not isinstance(fault, int) else (fault, {}, b"")
        self.sent += len(content) * (request.command != "HEAD")
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        if "Content-Length" not in headers:
            request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content[: len(content) // 2] if fault == "cut" else content)
        if fault == "cut":
            request.wfile.flush()
            request.close_connection = True
            request.connection.shutdown(socket.SHUT_RDWR)

    def _found(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        path = unquote(urlsplit(request.path).path)
        if path in self.objects:
            content = self.objects[path]
            tag = {"ETag": f'"{hashlib.md5(content).hexdigest()}"', "Content-Length": str(len(content))}
            if self.parts and (asked := re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))):
                first, last = map(int, asked.groups())
                part = content[first : last + 1]
                told = {"Content-Range": f"bytes {first}-{last}/{len(content)}", "Content-Length": str(len(part))}
                return 206, tag | told, part
            return 200, self.headers.get(path, tag), content
        if self.behind is None:
            return 404, {}, b""
        connection = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=60)
        connection.request(request.command, request.path, body, dict(request.headers))
        answer = connection.getresponse()
        kept = {n: v for n, v in answer.getheaders() if n.lower() not in ("connection", "transfer-encoding", "date")}
        content = answer.read()
        if request.command != "HEAD":
            kept = {n: v for n, v in kept.items() if n.lower() != "content-length"}
        connection.close()
        return answer.status, kept, content

    def put(self, bucket: str, key: str = "", content: bytes = b"") -> None:
        """Make a bucket, or an object in one."""
        if key:
            obstore.put(self._bucket(bucket), key, content)
        else:
            url = f"http://127.0.0.1:{self.behind}/{bucket}"
            urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=10).close()

    def delete(self, bucket: str, key: str) -> None:
        obstore.delete(self._bucket(bucket), key)

    def _bucket(self, name: str) -> S3Store:
        return S3Store(name, endpoint=f"http://127.0.0.1:{self.behind}")


@contextmanager
def moto() -> Iterator[int]:
    """Port of a server that speaks S3, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


@contextmanager
def s3() -> Iterator[Front]:
    """A server in front of one that speaks S3; the environment tells where it is, and who we are."""
    with moto() as port:
        front = Front(behind=port)
        before = dict(os.environ)
        os.environ.update(VARIABLES | {"AWS_ENDPOINT_URL": front.url})
        try:
            yield front
        finally:
            for name in VARIABLES | {"AWS_ENDPOINT_URL": ""}:
                os.environ.pop(name, None)
                if name in before:
                    os.environ[name] = before[name]
            front.close()
