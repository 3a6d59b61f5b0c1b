"""Pages over a store: what they show, and that nothing in them is more than text."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pytest
import soundfile
from elsewhere import Front
from explored import IDS, LABELS, store_of
from starlette.testclient import TestClient

from affectlake.data.store import Store
from affectlake.flows import report
from affectlake.flows.benchmark import BenchOptions, benchmark
from affectlake.flows.cli.app import run
from affectlake.flows.explore.app import application
from affectlake.flows.explore.site import PAGES
from affectlake.flows.options import RefreshOptions
from affectlake.flows.refresh import refresh

HOST = "http://localhost"


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> str:
    return store_of(tmp_path_factory.mktemp("explore") / "it's here")


@pytest.fixture(scope="module")
def client(lake):
    with TestClient(application(Store(lake)), HOST) as client:
        yield client


class Page(HTMLParser):
    """Elements of a page and the addresses in it."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name in ("href", "src"):
                self.links.append(value)


def address(page: str, /, **which: str) -> str:
    return f"/{page}?{urlencode(which)}"


def crawl(client, most: int) -> dict[str, str]:
    """Pages that links lead to, by address; of each kind at most so many."""
    waiting, found, counts = ["/"], {}, {}
    while waiting:
        here = waiting.pop(0)
        kind = urlsplit(here).path
        if here in found or counts.get(kind, 0) >= most:
            continue
        counts[kind] = counts.get(kind, 0) + 1
        answer = client.get(here)
        assert answer.status_code == 200, (here, answer.text[-400:])
        if "html" in answer.headers["content-type"]:
            found[here] = answer.text
            waiting += [link for link in Page(answer.text).links if link.startswith("/")]
    return found


@pytest.fixture(scope="module")
def pages(client) -> dict[str, str]:
    return crawl(client, 8)


def test_links_lead_to_every_page(pages):
    names = {urlsplit(a).path.removeprefix("/") or "index" for a in pages}
    assert names == PAGES.keys()


def test_data_stays_text(pages):
    allowed = {"html", "head", "meta", "title", "link", "body", "a", "header", "b", "nav", "main", "footer", "p", "div"}
    allowed |= {"h1", "h2", "h3", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "svg", "rect", "line"}
    allowed |= {"circle", "ul", "li", "i", "code", "form", "input", "label", "button", "details", "summary", "audio"}
    allowed |= {"img", "blockquote", "span"}
    for where, text in pages.items():
        page = Page(text)
        assert page.tags <= allowed, where
        assert not {a for a in page.attributes if a.startswith("on")} and "style" not in page.attributes, where
        assert not [u for u in page.links if not u.startswith(("/", "#"))], where
        assert "\x1b" not in text, where


def test_hostile_names_are_shown_as_they_are(client):
    for sample_id in IDS[:8]:
        answer = client.get(address("sample", dataset="calls", id=sample_id))
        heading = unescape(re.search("<h1>(.*?)</h1>", answer.text, re.S)[1])
        assert answer.status_code == 200 and heading == sample_id.replace("\x1b", "\\x1b")
    found = client.get(address("samples", dataset="calls", column="mood", value=LABELS[2])).text
    assert "12 samples whose mood is" in found and LABELS[2] not in found


def test_headers_forbid_scripts_and_what_is_elsewhere(client):
    for where in ("/", "/nowhere", "/assets/explore.css", address("heard", dataset="calls", id=IDS[0])):
        headers = client.get(where).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src" not in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", ""])
def test_other_names_of_this_machine_are_refused(client, host):
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 400 and "calls" not in answer.text


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_nothing_is_written(client, method):
    assert getattr(client, method)(address("dataset", dataset="calls")).status_code == 405


@pytest.mark.parametrize(
    "where, status, said",
    [
        (address("dataset", dataset="call"), 404, "did you mean 'calls'"),
        (address("dataset"), 400, "dataset="),
        (address("sample", dataset="calls", id="plain"), 404, "unknown sample"),
        (address("samples", dataset="calls", page="x"), 400, "page='x'"),
        (address("samples", dataset="calls", column="moo", value="x"), 404, "unknown column"),
        (address("column", dataset="calls", column="audio.embedding.e99"), 404, "unknown"),
        (address("column", dataset="calls", column="audio.*"), 404, "unknown column"),
        (address("extractor", dataset="calls", extractor="audio.embeddin"), 404, "audio.embedding"),
        (address("map", dataset="calls", extractor="audio.embedding", way="tsne"), 404, "valid: pca"),
        (address("map", dataset="calls", extractor="audio.embedding", colour="nose"), 404, "valid: mood, speaker"),
        (address("run", run="nope"), 404, "unknown run"),
        (address("compare", run="nope"), 400, "expected two or more"),
        (address("picture", dataset="calls", id=IDS[0], kind="image", n="-1"), 400, "n='-1'"),
        (address("picture", dataset="calls", id=IDS[0], kind="image", n="1"), 404, "1 frame(s)"),
        (address("picture", dataset="calls", id=IDS[0], kind="text"), 404, "valid: audio, image, video"),
        (address("media", dataset="calls", id=IDS[0], kind="image"), 404, "valid: audio, video"),
        (address("media", dataset="calls", id=IDS[0], kind="video"), 404, "has no video"),
        (address("face", dataset="calls", id=IDS[0], kind="image"), 404, "no face"),
        ("/assets/../base.html", 404, "no page"),
        ("/assets/%2e%2e/base.html", 404, "no page"),
        ("/media/../../etc/passwd", 404, "no page"),
    ],
)
def test_what_cannot_be_had_is_said_in_a_line(client, where, status, said):
    answer = client.get(where)
    assert answer.status_code == status and said in unescape(answer.text) and "Traceback" not in answer.text


def test_players_get_the_ranges_that_they_ask_for(client, lake):
    where = address("media", dataset="calls", id=IDS[0], kind="audio")
    whole = (Path(lake).parent / "media" / "0.wav").read_bytes()
    full, some = client.get(where), client.get(where, headers={"range": "bytes=100-199"})
    assert full.content == whole and full.headers["content-type"] == "audio/wav"
    assert (some.status_code, some.content) == (206, whole[100:200])
    assert some.headers["content-range"] == f"bytes 100-199/{len(whole)}"
    assert client.get(where, headers={"range": f"bytes={len(whole)}-"}).status_code == 416


def test_sound_and_pictures_are_decoded_for_browsers_that_cannot(client):
    heard = client.get(address("heard", dataset="calls", id=IDS[1]))
    assert heard.headers["content-type"] == "audio/wav" and heard.content[:4] == b"RIFF"
    picture = client.get(address("picture", dataset="calls", id=IDS[1], kind="image"))
    assert picture.headers["content-type"] == "image/jpeg" and picture.content[:2] == b"\xff\xd8"


def test_a_file_that_is_no_longer_what_was_read_is_not_sent(client, lake, tmp_path):
    where = address("media", dataset="calls", id="plain 20", kind="audio")
    path = Path(lake).parent / "media" / f"{IDS.index('plain 20')}.wav"
    kept = path.read_bytes()
    moved = tmp_path / "same.wav"
    moved.write_bytes(kept)
    try:
        path.unlink()
        path.symlink_to(moved)  # the same bytes, elsewhere
        assert client.get(where).content == kept
        other = tmp_path / "other.wav"
        soundfile.write(other, [0.0] * len(soundfile.read(moved)[0]), 16_000)
        assert other.stat().st_size == len(kept)
        for target in (other, Path("/etc/passwd"), tmp_path):
            path.unlink()
            path.symlink_to(target)
            answer = client.get(where)
            assert answer.status_code == 404 and b"root:" not in answer.content, target
        page = client.get(address("sample", dataset="calls", id="plain 20"))
        assert page.status_code == 200 and "<audio" not in page.text
    finally:
        path.unlink()
        path.write_bytes(kept)


def test_a_sample_that_was_only_imported_does_not_open_other_files(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("nobody's business")
    store = Store(tmp_path / "lake", create=True)
    about = pd.DataFrame({"sample_id": ["a", "b"], "audio": [str(secret), "s3://bucket/b.wav"], "speaker": "x"})
    store.put("d", "audio", "made", pd.DataFrame({"c": [1.0, 2.0]}, index=["a", "b"]), samples=about)
    with TestClient(application(store), HOST) as client:
        for sample_id, said in (
            ("a", "nothing in it can be seen or heard"),
            ("b", "is elsewhere, and no refresh has read it"),
        ):
            answer = client.get(address("media", dataset="d", id=sample_id, kind="audio"))
            assert answer.status_code == 404 and said in unescape(answer.text)
            assert client.get(address("sample", dataset="d", id=sample_id)).status_code == 200


def test_what_is_elsewhere_is_fetched_while_it_is_what_was_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    web = Front()
    sounds = [BytesIO(), BytesIO()]
    for i, out in enumerate(sounds):
        soundfile.write(out, np.sin(np.arange(16000) * (i + 1) / 30) / 9, 16000, format="WAV")
    web.objects = {"/a.wav": sounds[0].getvalue()}
    pd.DataFrame({"sample_id": ["a"], "audio": [f"{web.url}/a.wav"]}).to_csv("m.csv", index=False)
    try:
        refresh(RefreshOptions("d", manifest="m.csv", only=("audio.recording",), workers=1))
        with TestClient(application(Store("lake")), HOST) as client:
            where = address("media", dataset="d", id="a", kind="audio")
            assert client.get(where).content == sounds[0].getvalue()
            assert "<audio" in client.get(address("sample", dataset="d", id="a")).text
            shutil.rmtree(os.environ["AFFECTLAKE_MEDIA_FOLDER"])
            web.objects = {"/a.wav": sounds[1].getvalue()}
            answer = client.get(where)
            assert answer.status_code == 404 and "no longer the object" in unescape(answer.text)
            monkeypatch.setattr("affectlake.flows.explore.media.LARGEST", 1)
            assert "for a page no more than" in unescape(client.get(where).text)
    finally:
        web.close()


def test_a_sample_shows_where_it_stands_and_what_was_said_of_it(client):
    page = client.get(address("sample", dataset="calls", id="plain 5")).text
    assert "Features against the corpus" in page and "Nearest by audio.embedding" in page
    assert "What models said" in page and re.search('class="(right|wrong)"', page) and "audio.recording" in page
    told = client.get(address("trace", dataset="calls", id="plain 5", column="audio.recording.bandwidth")).text
    assert "fingerprint" in told and "snapshot" in told


def test_confusions_open_to_the_samples_behind_them(client, lake):
    document = Store(lake).records("benchmarks").sort_values("created")["run"].iloc[-1]
    page = client.get(address("run", run=document)).text
    cells = [unescape(u) for u in re.findall(r'href="(/answers[^"]*)"', page)]
    counts = [int(n) for n in re.findall(r'href="/answers[^"]*" aria-label="[^"]*">(\d+)<', page)]
    assert cells and sum(counts) == len(IDS)
    for cell, count in zip(cells, counts, strict=True):
        assert client.get(cell).text.count('<th scope="row" class="id">') == count


def test_benchmarks_stand_beside_each_other(client, lake):
    runs = list(Store(lake).records("benchmarks").sort_values("created")["run"])
    page = client.get("/compare?" + urlencode({"run": runs}, doseq=True))
    assert page.status_code == 200 and "Holm" in page.text and "selected" in page.text


def test_a_map_is_coloured_by_errors(client, lake):
    run_id = Store(lake).records("benchmarks").sort_values("created")["run"].iloc[-1]
    page = client.get(address("map", dataset="calls", extractor="audio.embedding", run=run_id)).text
    assert page.count("<circle") == len(IDS) and "right (" in page and "others" not in page


def test_the_command_refuses_what_it_cannot_do(tmp_path, capsys):
    assert run(["explore", str(tmp_path / "no store"), "--no-open"]) == 1
    assert "no store at" in capsys.readouterr().err
    os.mkdir(tmp_path / "lake")
    assert run(["explore", str(tmp_path / "lake"), "--port", "70000", "--no-open"]) == 2
    assert "port 70000" in capsys.readouterr().err


def test_a_static_copy_holds_no_paths_and_all_its_links_lead_somewhere(lake, tmp_path, capsys):
    out = tmp_path / "copy"
    assert run(["explore", lake, "--export", str(out), "--samples", "12"]) == 0
    assert "they name samples and speakers" in capsys.readouterr().err
    names = {p.name for p in out.iterdir()}
    kinds = {n.partition("-")[0] for n in names}
    assert kinds == {"index.html", "explore.css", "icon.svg", *(PAGES.keys() - {"index", "trace"})}
    assert len([n for n in names if n.startswith("sample-")]) == 12
    for path in out.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        page = Page(text)
        assert set(page.links) - {"#main"} <= names, path
        assert not page.tags & {"script", "audio", "video", "img", "form"}, path
        assert str(Path(lake).parent) not in unescape(text) and "media/" not in text, path
    assert list(Store(lake).records("files")["path"]) == [str(out)], "an erasure says that people may be in it"
    stale = out / f"sample-{'0' * 16}.html"
    stale.write_text("somebody who was erased")
    assert run(["explore", lake, "--export", str(out), "--samples", "0"]) == 0
    assert not list(out.glob("sample-*"))
    (out / "notes.txt").write_text("mine")
    assert run(["explore", lake, "--export", str(out)]) == 2 and (out / "notes.txt").exists()
    assert "notes.txt" in capsys.readouterr().err


def test_other_accounts_of_the_machine_are_told_by_linux(tmp_path):
    from affectlake.flows.explore.peers import other_account

    def line(address: str, uid: int) -> str:
        return f"   0: {address} 0100007F:223D 01 00000000:00000000 00:00000000 00000000  {uid}        0 1 1 0 20 4"

    table = tmp_path / "tcp"
    table.write_text("\n".join(["head", line("0100007F:D431", os.getuid()), line("0100007F:D432", os.getuid() + 1)]))
    assert [other_account("127.0.0.1", port, table) for port in (0xD431, 0xD432, 0xD433)] == [False, True, True]
    assert not other_account("127.0.0.1", 1, tmp_path / "not Linux")


@pytest.fixture(scope="module")
def served(lake):
    """The command itself, in a process of its own, and its address."""
    command = [sys.executable, "-c", "from affectlake.flows.cli import main; main()", "explore", lake, "--no-open"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        said = process.stderr.readline()
        yield re.search(r"http://127\.0\.0\.1:\d+/", said)[0]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 0


def test_the_command_serves_this_machine_alone(served):
    with urlopen(served, timeout=60) as answer:
        assert b"calls" in answer.read()
    port = urlsplit(served).port
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if line.split()[3] == "0A"]
    assert f"0100007F:{port:04X}" in listening and f"00000000:{port:04X}" not in listening


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(BROWSER is None, reason="no chromium here")
def test_a_browser_clicks_through_and_runs_nothing_that_data_says(served, tmp_path):
    from browser import browser

    with browser(BROWSER, tmp_path) as tab:
        tab.go(served)
        assert "/dataset?" in tab.click("tbody th a")
        assert "/run?" in tab.click('a[href^="/run"]')
        assert "/answers?" in tab.click(".confusion td a")
        assert "/sample?" in tab.click("tbody th a")
        assert "/trace?" in tab.click('a[href^="/trace"]')
        for sample_id in IDS[:8]:
            tab.go(served + address("sample", dataset="calls", id=sample_id)[1:])
            assert tab.value("document.querySelector('h1').textContent") == sample_id.replace("\x1b", "\\x1b")
            assert tab.value("document.querySelectorAll('script, u, [onerror], [onload]').length") == 0
            tab.until("document.querySelector('audio').readyState >= 1")
            assert tab.value("document.querySelector('audio').duration") == pytest.approx(1.0, abs=0.1)
            tab.until("[...document.images].every(i => i.complete && i.naturalWidth)")
        seek = "new Promise(r => { const a = document.querySelector('audio'); a.onseeked = () => r(a.currentTime); "
        assert tab.value(seek + "a.currentTime = 0.5 })") == 0.5
        tab.go(served + address("map", dataset="calls", extractor="audio.embedding")[1:])
        assert "/sample?" in tab.click("svg.map a circle")
        for width, scheme in ((1280, "light"), (390, "dark")):
            tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
            tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            assert tab.value("document.documentElement.scrollWidth") <= width
        assert tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
        assert tab.said == [], "dialogs, errors, refusals"
        assert [asked for asked in tab.asked if not asked.startswith((served, "data:"))] == []


def test_whatever_a_store_holds_has_its_pages(tmp_path):
    """A sample without a speaker, columns without values or with one value, labels that are numbers."""
    store = Store(tmp_path / "lake", create=True)
    one = pd.DataFrame({"sample_id": ["q"], "text": ["hi"]})
    store.put("one", "text", "x", pd.DataFrame({"a": [1.0], "b": [None]}, index=["q"], dtype="float64"), samples=one)
    rng, ids = np.random.default_rng(0), [f"i{i}" for i in range(36)]
    values = pd.DataFrame(rng.normal(size=(36, 4)), index=ids, columns=["up", "same", "none", "other"])
    about = pd.DataFrame(
        {"sample_id": ids, "speaker": [f"p{i % 6}" for i in range(36)], "valence": values["up"].to_list()}
    )
    about = about.assign(text="w", flag=[True, None, False] * 12, when=pd.Timestamp("2026-01-01"), nothing=None)
    values = values.assign(same=7.0, none=float("nan"))
    values.loc["i3"] = float("nan")
    store.put("odd", "audio", "x", values, samples=about)
    options = BenchOptions("odd", label="valence", store=store.uri, folds=3, models=("ridge",), fusions=("unimodal",))
    benchmark(options, map=map)
    with TestClient(application(store), HOST) as client:
        kinds = {urlsplit(where).path for where in crawl(client, 12)}
        assert {"/run", "/map", "/column", "/sample"} <= kinds
        nowhere = client.get(address("map", dataset="one", extractor="text.x"))
        assert nowhere.status_code == 404 and "fewer than 3" in nowhere.text


def test_who_is_erased_is_on_no_page_any_more(lake, tmp_path):
    copied = tmp_path / "lake"
    shutil.copytree(lake, copied)
    store = Store(copied)
    with TestClient(application(store), HOST) as client:
        theirs = store.samples("calls").query("speaker == 'who 2'")["sample_id"].tolist()
        before = crawl(client, 6)
        assert any("who 2" in text for text in before.values())
        assert store.erase("calls", speaker="who 2")["still_found_in"] == []
        for where, text in crawl(client, 6).items():
            assert "who 2" not in text, where
        for sample_id in theirs[:3]:
            assert client.get(address("sample", dataset="calls", id=sample_id)).status_code == 404
            assert client.get(address("media", dataset="calls", id=sample_id, kind="audio")).status_code == 404


def test_a_report_names_its_tables_and_the_errors_with_the_most_confidence(lake):
    document = json.loads(Store(lake).records("benchmarks").sort_values("created")["document"].iloc[-1])
    text = report.html(document)
    page = Page(text)
    assert text.count("<caption") == text.count("<table") == text.count('tabindex="0"') and "main" in page.tags
    assert all("scope=" in head for head in re.findall(r"<th\b[^>]*>", text))
    errors = document["errors"]
    assert [e["probability"] for e in errors] == sorted((e["probability"] for e in errors), reverse=True)
    assert 0 < len(errors) <= 15 and all(e["truth"] != e["predicted"] for e in errors)
    for error in errors:
        assert error["sample_id"].replace("\x1b", "\\x1b") in unescape(text)
