"""Downloads against a server of our own: whole, broken, resumed, wrong, refused."""

import hashlib
import io
import tarfile
import threading
import zipfile
from contextlib import nullcontext
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from affectlake.data import datasets
from affectlake.data.dataset import Download
from affectlake.data.download import DownloadFailed, NotDownloadable, download
from affectlake.data.errors import UnknownName

BYTES = bytes(range(256)) * 10_000


class Server(ThreadingHTTPServer):
    """Serves ``files``; breaks off after ``cut`` bytes of an answer; remembers which ranges were asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.cut, self.ranges, self.ignores_ranges = {}, None, [], False

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        content = self.server.files.get(self.path.lstrip("/"))
        if content is None:
            return self.send_error(404)
        start = 0 if wanted is None or self.server.ignores_ranges else int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.server.cut])

    def log_message(self, *_):
        """Nothing: pytest shows stderr."""


@pytest.fixture
def server(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def corpus(monkeypatch):
    """Makes 'ravdess' have these downloads."""

    def having(*downloads):
        known = datasets.datasets() | {"ravdess": replace(datasets.get("ravdess"), downloads=downloads)}
        monkeypatch.setattr(datasets, "datasets", lambda: known)

    return having


def sha256(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def zipped(**files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(name, content):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_arrives_once_and_is_checked(server, corpus, tmp_path):
    server.files["table.csv"] = BYTES
    corpus(Download(server.url("table.csv"), sha256(BYTES), len(BYTES), unpack=False))
    seen = []
    folder = download(
        "ravdess", tmp_path, progress=lambda title: nullcontext(lambda done, total: seen.append((title, done, total)))
    )
    assert folder == tmp_path / "ravdess"
    assert (folder / "table.csv").read_bytes() == BYTES
    assert seen[-1] == ("table.csv", len(BYTES), len(BYTES))
    download("ravdess", tmp_path)
    assert server.ranges == [None] and names(folder) == ["table.csv"]


def test_an_archive_is_unpacked_and_can_be_loaded(server, corpus, tmp_path):
    content = zipped(**{"Actor_01/03-01-05-01-02-01-01.wav": b"", "Actor_02/03-01-01-01-01-02-02.wav": b""})
    server.files["Audio%20Speech.zip"] = content
    corpus(Download(server.url("Audio%20Speech.zip"), sha256(content), len(content)))
    folder = download("ravdess", tmp_path)
    assert names(folder) == ["Audio Speech"]
    assert len(datasets.get("ravdess").load(folder)) == 2


def test_a_tar_is_unpacked(server, corpus, tmp_path):
    content = tarred("deep/a.txt", b"a")
    server.files["raw.tar.gz"] = content
    corpus(Download(server.url("raw.tar.gz"), sha256(content), len(content)))
    assert (download("ravdess", tmp_path) / "raw" / "deep" / "a.txt").read_bytes() == b"a"


def test_a_broken_transfer_is_resumed(server, corpus, tmp_path):
    server.files["table.csv"] = BYTES
    server.cut = 1_500_000
    corpus(Download(server.url("table.csv"), sha256(BYTES), len(BYTES), unpack=False))
    with pytest.raises(DownloadFailed, match=r"ravdess: http.*/table.csv: the transfer broke .*(\d+) bytes are kept"):
        download("ravdess", tmp_path)
    assert names(tmp_path / "ravdess") == ["table.csv.part"]
    have = (tmp_path / "ravdess" / "table.csv.part").stat().st_size
    assert 0 < have <= 1_500_000
    server.cut = None
    assert (download("ravdess", tmp_path) / "table.csv").read_bytes() == BYTES
    assert server.ranges == [None, f"bytes={have}-"]


def test_a_server_that_cannot_resume_sends_everything_again(server, corpus, tmp_path):
    server.files["table.csv"], server.ignores_ranges = BYTES, True
    (tmp_path / "ravdess").mkdir()
    (tmp_path / "ravdess" / "table.csv.part").write_bytes(b"old")
    corpus(Download(server.url("table.csv"), sha256(BYTES), len(BYTES), unpack=False))
    assert (download("ravdess", tmp_path) / "table.csv").read_bytes() == BYTES


def test_a_part_that_was_whole_already(server, corpus, tmp_path):
    server.files["table.csv"] = BYTES
    (tmp_path / "ravdess").mkdir()
    (tmp_path / "ravdess" / "table.csv.part").write_bytes(BYTES)
    corpus(Download(server.url("table.csv"), sha256(BYTES), len(BYTES), unpack=False))
    assert (download("ravdess", tmp_path) / "table.csv").read_bytes() == BYTES


def test_a_wrong_checksum_leaves_nothing(server, corpus, tmp_path):
    server.files["table.csv"] = BYTES
    corpus(Download(server.url("table.csv"), sha256(b"other"), len(BYTES), unpack=False))
    with pytest.raises(DownloadFailed, match="does not have the published checksum sha256:.*deleted") as error:
        download("ravdess", tmp_path)
    assert "\n" not in str(error.value)
    assert names(tmp_path / "ravdess") == []


def test_without_a_checksum_it_says_so_and_never_resumes(server, corpus, tmp_path, caplog):
    server.files["table.csv"] = BYTES
    (tmp_path / "ravdess").mkdir()
    (tmp_path / "ravdess" / "table.csv.part").write_bytes(b"old")
    corpus(Download(server.url("table.csv"), "", len(BYTES), unpack=False))
    assert (download("ravdess", tmp_path) / "table.csv").read_bytes() == BYTES
    assert "table.csv was not checked" in caplog.text
    assert server.ranges == [None]


@pytest.mark.parametrize("name", ["broken.zip", "broken.tar.gz"])
def test_what_is_no_archive_is_deleted(server, corpus, tmp_path, name):
    server.files[name] = b"<html>come back later</html>"
    corpus(Download(server.url(name), "", 28))
    with pytest.raises(DownloadFailed, match="not an archive that can be unpacked.*deleted"):
        download("ravdess", tmp_path)
    assert names(tmp_path / "ravdess") == []


def test_a_tar_cannot_write_outside(server, corpus, tmp_path):
    server.files["evil.tar.gz"] = tarred("../../evil.txt", b"evil")
    corpus(Download(server.url("evil.tar.gz"), "", 100))
    with pytest.raises(DownloadFailed, match="evil.txt"):
        download("ravdess", tmp_path)
    assert list(tmp_path.rglob("evil*")) == []


def test_an_answer_that_is_none(server, corpus, tmp_path):
    corpus(Download(server.url("gone.zip"), "", 10))
    with pytest.raises(DownloadFailed, match="gone.zip: answered 404 Not Found"):
        download("ravdess", tmp_path)


def test_no_connection(server, corpus, tmp_path):
    corpus(Download("http://127.0.0.1:9/table.csv", "", 10, unpack=False))
    with pytest.raises(DownloadFailed, match="the transfer broke") as error:
        download("ravdess", tmp_path)
    assert "\n" not in str(error.value)


def test_too_little_space(corpus, tmp_path):
    corpus(Download("http://127.0.0.1:9/huge.zip", "", 10**18))
    with pytest.raises(DownloadFailed, match="GB free, about 3000000000.0 GB are needed"):
        download("ravdess", tmp_path)


@pytest.mark.parametrize("name", [n for n, d in datasets.datasets().items() if not d.downloads])
def test_what_has_to_be_asked_for_says_where(name, tmp_path):
    with pytest.raises(NotDownloadable, match="https?://") as error:
        download(name, tmp_path)
    assert str(error.value).startswith(name) and "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'iemocap'"):
        download("iemocab", tmp_path)


def test_the_command_exits_with_2_where_one_has_to_ask(tmp_path, capsys):
    from affectlake.flows.cli.app import USAGE, run

    assert run(["download", "iemocap", "--to", str(tmp_path)]) == USAGE
    shown = capsys.readouterr()
    assert shown.out == "" and "sail.usc.edu" in shown.err and shown.err.count("\n") == 1


def test_the_command_says_what_comes_next(server, corpus, tmp_path, capsys):
    from affectlake.flows.cli.app import DONE, run

    server.files["table.csv"] = BYTES
    corpus(Download(server.url("table.csv"), sha256(BYTES), len(BYTES), unpack=False))
    assert run(["download", "ravdess", "--to", str(tmp_path)]) == DONE
    assert f"affectlake refresh ravdess --root {tmp_path / 'ravdess'}" in capsys.readouterr().err


def test_the_proxy_of_the_environment_is_used(server, corpus, tmp_path, monkeypatch):
    url = "http://corpus.invalid/table.csv"
    server.files[url] = BYTES
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, server.url(""))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "localhost")
    corpus(Download(url, sha256(BYTES), len(BYTES), unpack=False))
    assert (download("ravdess", tmp_path) / "table.csv").read_bytes() == BYTES
