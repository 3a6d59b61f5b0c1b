"""What is elsewhere: addresses, lists, and the temporary place."""

import os
import signal
import subprocess
import sys
import time
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import pytest
from elsewhere import VARIABLES, Front, s3
from hypothesis import given
from hypothesis import strategies as st

from affectlake.data import remote
from affectlake.data.errors import UsageError
from affectlake.data.remote import spool, web
from affectlake.data.remote.buckets import bucket
from affectlake.data.remote.objects import Object

SECRETS = (
    "https://ann:Pa55@example.org/a.wav",
    "https://example.org/a.wav?X-Amz-Credential=AKIAPa55&X-Amz-Signature=Pa55&take=2",
    "https://acc.blob.core.windows.net/c/a.wav?sv=2024&se=Pa55&sr=b&sp=r&sig=Pa55",
    "https://storage.googleapis.com/b/a.wav?GoogleAccessId=x@Pa55&Expires=1&Signature=Pa55",
    "https://example.org/a.wav?access_token=Pa55#t",
    "https://example.org/a.wav?api_key=Pa55",
    "s3://AKIA:Pa55@calls/a.wav",
    "https://ann:Pa55@[::1]:80/a.wav?token=Pa55",
)


@pytest.mark.parametrize("uri", SECRETS)
def test_credentials_are_not_shown(uri):
    shown = remote.hidden(uri)
    assert "Pa55" not in shown and "AKIA" not in shown and "a.wav" in shown
    assert remote.credentials(shown) == uri and remote.redacted(shown) == shown
    with pytest.raises(UsageError) as error:
        remote.check(uri, "--root")
    assert "Pa55" not in str(error.value)


@pytest.mark.parametrize("uri", ["https://example.org/a.wav?id=7&page=2", "s3://calls/a?b=c.wav", "s3://calls/a@b.wav"])
def test_what_is_no_secret_stays(uri):
    assert remote.hidden(uri) == uri and remote.credentials(uri) == ""


@given(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1).filter(
        lambda n: n.strip(".")
    )
)
def test_a_name_is_a_key_letter_for_letter_and_one_part_of_an_address(name):
    assert remote.join("s3://calls/x", name) == f"s3://calls/x/{name}"
    assert remote.name_of(remote.join("s3://calls/x", name)) == name
    assert urlsplit(remote.join("https://h/x", name)).path.count("/") == 2


@pytest.mark.parametrize(
    "what, says",
    [("ftp://h/a", "ftp:// is not read, s3://"), ("http://h.example/a", "use https://"), ("s3:///a", "no bucket")],
)
def test_addresses_that_are_none_are_named(what, says):
    with pytest.raises(UsageError, match=says):
        remote.check(what, "--root")


class Lists(Front):
    """A bucket of very many objects, of which nothing can be had but lists."""

    def __init__(self, keys):
        super().__init__()
        self.keys = sorted(keys, key=str.encode)

    def _found(self, request, body):
        asked = {k: v[0] for k, v in parse_qs(urlsplit(request.path).query).items()}
        after = asked.get("continuation-token") or asked.get("start-after", "")
        prefix = asked.get("prefix", "")
        first = bisect_right([k.encode() for k in self.keys], max(after, prefix[:-1]).encode())
        page = [k for k in self.keys[first : first + 1000] if k.startswith(prefix)]
        more = len(page) == 1000 and page[-1] != self.keys[-1]
        entries = "".join(
            f"<Contents><Key>{escape(k)}</Key><LastModified>2024-05-01T00:00:00.000Z</LastModified>"
            f'<ETag>"{i:032x}"</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>'
            for i, k in enumerate(page)
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        text = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{entries}{token}</ListBucketResult>"
        return 200, {"Content-Type": "application/xml"}, text.encode()


@pytest.fixture
def environment(monkeypatch):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_100_000_objects_take_100_requests_and_few_among_many_take_few(environment):
    keys = [f"clips/{i // 1000:03}/{i:06}.wav" for i in range(100_000)]
    front = Lists([*keys, *(f"other/{i:06}" for i in range(20_000))])
    environment.setenv("AWS_ENDPOINT_URL", front.url)
    found = bucket("s3://many").states(keys)
    assert len(found) == 100_000 and 100 <= len(front.asked) <= 120
    front.asked.clear()
    some = [keys[7], keys[50_000], keys[50_001], "clips/none.wav", keys[-1]]
    assert set(bucket("s3://many").states(some)) == set(some) - {"clips/none.wav"}
    assert len(front.asked) <= 4
    front.close()


def test_lists_of_others_are_read_from_the_beginning_once(environment):
    front = Lists([f"a/{i:05}" for i in range(5_000)])
    environment.setenv("AWS_ENDPOINT_URL", front.url)
    one = bucket("s3://five")
    environment.setattr(type(one), "_jumps", False)
    assert set(one.states(["a/00001", "a/02500", "a/02600x"])) == {"a/00001", "a/02500"}
    assert len(front.asked) == 3
    front.close()


@pytest.fixture(scope="module")
def cloud():
    with s3() as front:
        front.put("odd")
        yield front


def test_a_key_that_is_none_spoils_nothing_but_itself(cloud):
    import boto3

    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{cloud.behind}")
    for key in ("m/a.wav", "m/x//y.wav", "m/z.wav", "m/./d.wav"):
        client.put_object(Bucket="odd", Key=key, Body=b"1")
    found = remote.states([f"s3://odd/{k}" for k in ("m/a.wav", "m/x//y.wav", "m/z.wav", "/m/a.wav", "m/b.wav")])
    assert [f is not None for f in found] == [True, False, True, False, False]


def test_an_object_in_a_place_of_bounded_size(cloud, tmp_path, monkeypatch):
    """Room is made of what was not used for longest, never of what is being read; what is larger is refused."""
    place = spool.Spool(tmp_path, 1000)

    def content(size):
        def fetch(sink):
            sink.begin(size)
            sink.write(b"x" * size)
            return Object(size, 0, f"of {size}")

        return fetch

    def held() -> int:
        return sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file() and p.parent != tmp_path)

    with place.copy("first", "a.wav", content(400)) as first:
        for i in range(20):
            with place.copy(f"s3://b/{i}", "b.wav", content(150)) as copy:
                assert copy.path.read_bytes() == b"x" * 150 and held() <= 1000
        assert first.path.stat().st_size == 400
    with pytest.raises(remote.Refused, match=spool.VARIABLE), place.copy("large", "c.wav", content(1001)):
        pass
    monkeypatch.setattr(spool, "_PATIENCE", 0.3)
    with place.copy("first", "a.wav", content(900)), pytest.raises(remote.Refused, match="no room"):
        with place.copy("more", "c.wav", content(200)):
            pass
    assert held() <= 1000


def test_many_at_once_fetch_it_once(tmp_path):
    place, fetches = spool.Spool(tmp_path, 10_000), []

    def fetch(sink):
        fetches.append(1)
        sink.begin(3)
        time.sleep(0.05)
        sink.write(b"abc")
        return Object(3, 0, "one")

    def read(_):
        with place.copy("s3://b/a", "a", fetch, lambda copy: copy.object.identity == "one") as copy:
            return copy.path.read_bytes(), copy.sha256[:4]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, range(40))) == {(b"abc", "ba78")}
    assert len(fetches) == 1


def test_what_was_left_by_one_that_was_killed_goes_with_the_next(tmp_path, monkeypatch):
    program = "import sys,time\nfrom affectlake.data.remote.spool import spool\nprint(spool().folder,flush=True)\n"
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    environment.pop("AFFECTLAKE_MEDIA_FOLDER", None)

    def start(rest: str = "time.sleep(60)"):
        command = [sys.executable, "-c", program + rest]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        return process, Path(process.stdout.readline().strip())

    killed, left = start()
    alive, used = start()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    ended, own = start("")
    assert ended.wait() == 0 and used.is_dir() and not left.exists() and not own.exists()
    alive.kill()
    alive.wait()
    for process in (killed, alive, ended):
        process.stdout.close()


@pytest.mark.parametrize("given", ["0", "-1", "much", "inf"])
def test_a_wrong_size_is_named(monkeypatch, given):
    monkeypatch.setenv(spool.VARIABLE, given)
    with pytest.raises(UsageError, match=given):
        spool.limit_gb()


@pytest.fixture
def site(monkeypatch):
    front = Front()
    monkeypatch.setattr(web.time, "sleep", lambda seconds: None)
    yield front
    front.close()


def body(front: Front, path: str) -> bytes:
    with remote.fetched(front.url + path) as copy:
        return copy.path.read_bytes()


@pytest.mark.parametrize("fault", [429, 503, 500, "cut", "drop"])
def test_a_server_that_fails_once_is_asked_again(site, fault):
    site.objects = {"/a b#1.wav": bytes(range(256)) * 999}
    site.fault = lambda method, path, time: fault if time == 1 else None
    assert body(site, "/a%20b%231.wav") == bytes(range(256)) * 999


@pytest.mark.parametrize(
    "fault, says", [(404, "no such"), (403, "may not"), (503, "failed again and again .503"), ("cut", "broke off")]
)
def test_a_server_that_always_fails_says_so(site, fault, says):
    site.objects = {"/a.wav": b"abcdef"}
    site.fault = lambda method, path, time: fault
    with pytest.raises(remote.Refused, match=says):
        body(site, "/a.wav")


def test_one_that_may_not_be_asked_about_is_read(site):
    site.objects = {"/a.wav": b"abcdef"}
    site.fault = lambda method, path, time: 403 if method == "HEAD" else None
    [found] = remote.states([f"{site.url}/a.wav"])
    assert found.size == 6 and found.identity


def test_without_etag_and_date_nobody_knows_whether_it_is_the_same(site):
    site.objects, site.headers = {"/a.wav": b"abcdef"}, {"/a.wav": {}}
    assert remote.states([f"{site.url}/a.wav", f"{site.url}/b.wav"])[0].identity == ""
    assert remote.states([f"{site.url}/b.wav"]) == [None]


def test_a_server_that_does_not_answer_is_one_line(site):
    with pytest.raises(remote.Unreachable, match=r"^http://127.0.0.1:1: no answer"):
        remote.states([f"http://127.0.0.1:1/{i}.wav" for i in range(50)])
