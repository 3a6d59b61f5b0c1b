"""What media in a bucket cost in requests: `python benchmarks/elsewhere.py [--objects 2000] [--workers 2]`, and what
little of long ones costs: `python benchmarks/elsewhere.py --recordings 20`.

A local server that speaks S3 (moto, a process of its own) holds so many short sounds, each another one. Every night is
a process of its own: the first, one without changes, one with 1 % of new objects, one with another extractor, and one
after all objects moved to another folder. Printed are the requests that the server answered (lists, objects, others),
those of objects per object that was new, and seconds.

Recordings are of 10 minutes at 16 kHz; rows ask for 1, 2, 4 or 100 stretches of 3 s of each. Printed are the parts that
the server gave, each of 256 kB at the most, and bytes.
"""

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from io import BytesIO
from pathlib import Path

import numpy as np
import obstore
import soundfile
from obstore.store import S3Store

from affectlake.data.remote.parts import BLOCK
from affectlake.data.sound import RATE

NIGHT = """
if __name__ == "__main__":
    import sys
    from affectlake.flows.options import RefreshOptions
    from affectlake.flows.refresh import refresh
    manifest, only, workers, store = sys.argv[1:]
    only = tuple(only.split(","))
    options = RefreshOptions("calls", manifest=manifest, only=only, workers=int(workers), store=store)
    done = refresh(options)
    assert done.failed == 0, done
    print(f"{done.seconds:.1f}")
"""


def sound(number: int) -> bytes:
    """0.5 s of noise at 16 kHz, another one for each number."""
    out = BytesIO()
    soundfile.write(out, 0.1 * np.random.default_rng(number).standard_normal(8000), 16000, format="WAV")
    return out.getvalue()


class Bucket:
    """The server, its bucket, and what it was asked."""

    def __init__(self, folder: Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        url, self.said = f"http://127.0.0.1:{port}", folder / "server.log"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        with self.said.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ENDPOINT_URL": url,
        }
        for _ in range(200):
            try:
                urllib.request.urlopen(urllib.request.Request(f"{url}/calls", method="PUT"), timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        self.store, self.seen = S3Store("calls"), 0

    def put(self, key: str, content: bytes) -> None:
        obstore.put(self.store, key, content)

    def get(self, key: str) -> bytes:
        return bytes(obstore.get(self.store, key).bytes())

    def asked(self) -> tuple[int, int, int]:
        """Lists, objects and others since the last call."""
        lines = re.findall(r'"(GET|HEAD|POST|PUT|DELETE) (\S+) HTTP', self.said.read_text())
        new, self.seen = lines[self.seen :], len(lines)
        lists = sum("list-type=2" in path for _, path in new)
        objects = sum(method == "GET" and ".wav" in path and "list-type" not in path for method, path in new)
        return lists, objects, len(new) - lists - objects


def manifest(bucket: Bucket, folder: str, count: int) -> str:
    rows = "".join(f"s{i},{folder}/{i // 1000:03}/{i:06}.wav\n" for i in range(count))
    bucket.put("calls.csv", f"sample_id,audio\n{rows}".encode())
    return "s3://calls/calls.csv"


def stretches(bucket: Bucket, count: int, workers: int) -> None:
    """What some seconds of long recordings cost, and what comes of as many short files."""
    long = 600 * RATE
    for i in range(count):
        y = 0.1 * np.random.default_rng(i).standard_normal(long)
        out = BytesIO()
        soundfile.write(out, y, RATE, format="WAV")
        bucket.put(f"long/{i}.wav", out.getvalue())
    whole = count * (2 * long + 44)
    print(
        "| stretches of 3 s of each | parts | objects read whole | MB at the most, of all | s |\n|---|---|---|---|---|"
    )
    for each in (1, 2, 4, 100):
        starts = [[i, round(600 * (k + 0.3) / each, 3)] for i in range(count) for k in range(each)]
        rows = "".join(f"s{i}-{a},long/{i}.wav,{a},{round(a + 3, 3)}\n" for i, a in starts)
        bucket.put("calls.csv", f"sample_id,audio,start,end\n{rows}".encode())
        bucket.asked()
        seconds = night("s3://calls/calls.csv", "audio.prosody", workers, f"lake-{each}")
        said = bucket.said.read_text()
        parts = len(re.findall(r'long/\d+\.wav HTTP/1.1" 206', said))
        objects = len(re.findall(r'GET \S*long/\d+\.wav HTTP/1.1" 200', said))
        bucket.said.write_text("")
        megabytes = (parts * BLOCK + objects * whole // count) / 1e6
        print(f"| {each} | {parts} | {objects} | {megabytes:.1f} of {whole / 1e6:.0f} | {seconds} |", flush=True)


def night(uri: str, only: str, workers: int, store: str = "lake") -> str:
    """A refresh as a process of its own; its seconds."""
    command = [sys.executable, "night.py", uri, only, str(workers), store]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--recordings", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("night.py").write_text(NIGHT)
        bucket, count, one = Bucket(Path(folder)), given.objects, "audio.recording"
        try:
            if given.recordings:
                return stretches(bucket, given.recordings, given.workers)
            for i in range(count):
                bucket.put(f"a/{i // 1000:03}/{i:06}.wav", sound(i))

            def counted(name: str, uri: str, only: str, new: int) -> None:
                bucket.asked()
                seconds = night(uri, only, given.workers)
                lists, objects, others = bucket.asked()
                each = f"{objects / new:.3f}" if new else "–"
                print(f"| {name} | {lists} | {objects} | {others} | {each} | {seconds} |", flush=True)

            print("| night | lists | objects | others | objects per new one | s |\n|---|---|---|---|---|---|")
            counted("first", manifest(bucket, "a", count), one, count)
            counted("unchanged", manifest(bucket, "a", count), one, 0)
            for i in range(0, count, 100):
                bucket.put(f"a/{i // 1000:03}/{i:06}.wav", sound(count + i))
            counted("1 % changed", manifest(bucket, "a", count), one, len(range(0, count, 100)))
            counted("another extractor", manifest(bucket, "a", count), f"{one},audio.fingerprint", count)
            for i in range(count):
                bucket.put(f"b/{i // 1000:03}/{i:06}.wav", sound(i if i % 100 else count + i))
            counted("moved", manifest(bucket, "b", count), f"{one},audio.fingerprint", 0)
        finally:
            bucket.process.kill()
            bucket.process.wait()


if __name__ == "__main__":
    main()
