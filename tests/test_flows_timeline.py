"""What a model says along a recording: rows by window or turn, and a page that opens offline."""

import json
import shutil
from base64 import b64decode
from contextlib import nullcontext
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from elsewhere import s3
from PIL import Image

from affectlake.data.store import Store
from affectlake.features import registry
from affectlake.features.cutting import Cutting
from affectlake.features.segmentation import recordings_of, segments
from affectlake.flows import timeline
from affectlake.flows.cli.app import run
from affectlake.flows.refresh import RefreshOptions, refresh
from affectlake.models.benchmark import Plan
from affectlake.models.bounds import Bound, Bounds
from affectlake.models.fit import fit
from affectlake.models.persistence import load, save

RATE = 16_000
HERTZ = {"low": 130.0, "high": 260.0}


def tone(name: str, seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return 0.1 * sum(np.sin(2 * np.pi * HERTZ[name] * k * t) / k for k in range(1, 6))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Tells low tones from high ones."""
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(16):
        name = ("low", "high")[i % 2]
        sf.write(folder / f"{i}.wav", tone(name, 1.0) + 1e-3 * rng.standard_normal(RATE), RATE)
        rows.append((f"{i}", f"{i}.wav", f"s{i // 2 % 4}", name))
    table = pd.DataFrame(rows, columns=["sample_id", "audio", "speaker", "pitch"])
    table.to_csv(folder / "tones.csv", index=False)
    only = ("audio.prosody",)
    manifest, lake = str(folder / "tones.csv"), str(folder / "lake")
    refresh(RefreshOptions(dataset="tones", manifest=manifest, store=lake, only=only, workers=1))
    store = Store(lake)
    frame = store.load("tones", "audio.prosody.f0_*")
    blocks = {"audio": frame[[c for c in frame if c.startswith("audio.")]].dropna(axis=1)}
    prints = {n: e.fingerprint for n, e in store.snapshot("tones").features.items()}
    samples = store.samples("tones").set_index("sample_id")
    fitted = fit(samples, blocks, Plan("pitch"), "unimodal", "logreg", prints, {"dataset": "tones"})
    return save(fitted, folder / "model")


@pytest.fixture
def call(tmp_path):
    """Low, then high, two seconds each."""
    path = tmp_path / "the <b>call 一.wav"
    sf.write(path, np.concatenate([tone("low", 2.0), tone("high", 2.0)]), RATE)
    return path


def labelled(capsys, *words):
    assert run(["predict", *map(str, words), "--workers", "1", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_each_window_has_its_answer(model, call, capsys):
    rows = labelled(capsys, model, call, "--timeline", "--window", "1", "--hop", "0.5")
    assert [(r["start"], r["end"]) for r in rows] == [(i / 2, i / 2 + 1) for i in range(7)]
    assert [r["label"] for r in rows if r["end"] <= 2] == ["low"] * 3
    assert [r["label"] for r in rows if r["start"] >= 2] == ["high"] * 3
    assert {r["recording"] for r in rows} == {call.stem} and not any(r["text"] for r in rows)
    assert all(r["unsure"] == (max(r["probabilities"].values()) < timeline.UNSURE) for r in rows)


def test_a_model_is_unsure_by_its_own_bound_where_it_has_one(model, call, capsys):
    assert not timeline.unsure({"probabilities": {"a": 0.4, "b": 0.3, "c": 0.3}, "abstain": False})
    assert timeline.unsure({"probabilities": {"a": 0.6, "b": 0.4}, "abstain": True})
    assert timeline.unsure({"probabilities": {"a": 0.4, "b": 0.3, "c": 0.3}, "abstain": None})
    promised = {"sets": Bound(0.9, 0.0), "abstention": Bound(0.8, 0.9)}
    sure = save(replace(load(model), bounds=Bounds(**promised)), call.with_name("sure"))
    page = call.with_name("t.html")
    rows = labelled(capsys, sure, call, "--page", page, "--window", "1", "--hop", "0.5")
    assert all(r["unsure"] == r["abstain"] for r in rows) and any(r["abstain"] for r in rows)
    assert "would rather not answer" in page.read_text()
    timeline.write_page([rows[0] | {"unsure": True}], "m", page)
    assert "low (unsure: high, low)" in page.read_text()


def test_turns_of_a_transcript_bring_speaker_and_text(model, call, capsys):
    text = "WEBVTT\n\n00:00.250 --> 00:01.750\n<v Anna>Oh?</v>\n\n00:02.250 --> 00:03.750\n<v Bert>Yes.</v>\n"
    call.with_suffix(".vtt").write_text(text)
    rows = labelled(capsys, model, call, "--timeline", "--by", "transcript")
    assert [(r["speaker"], r["text"], r["label"]) for r in rows] == [("Anna", "Oh?", "low"), ("Bert", "Yes.", "high")]


class Seen(HTMLParser):
    """Elements of a page: their attributes by name."""

    def __init__(self):
        super().__init__()
        self.found = {}

    def handle_starttag(self, tag, attrs):
        self.found.setdefault(tag, []).append(dict(attrs))


def test_the_page_opens_offline_and_shows_what_data_says(model, call, capsys):
    page = call.parent / "页" / "timeline.html"
    labelled(capsys, model, call, "--page", page, "--window", "1", "--hop", "0.5")
    text = page.read_text(encoding="utf-8")
    seen = Seen()
    seen.feed(text)
    assert "b" not in seen.found and "&lt;b&gt;call 一" in text
    assert seen.found["audio"][0]["src"] == "../the%20%3Cb%3Ecall%20%E4%B8%80.wav"
    assert [row["data-at"] for row in seen.found["button"]] == [str(i / 2) for i in range(7)]
    curves = [p["d"] for p in seen.found["path"] if p.get("class", "").startswith("h")]
    assert len(curves) == 2 and all(d.count("L") == 6 for d in curves)
    policy = next(m["content"] for m in seen.found["meta"] if "http-equiv" in m)
    assert "default-src 'none'" in policy and "http" not in policy.replace("http-equiv", "")
    assert not [a for tag in seen.found.values() for a in tag if str(a.get("src", "")).startswith("http")]


def test_a_recording_in_a_bucket_has_a_timeline_and_its_page_says_where_it_lies(model, call, capsys):
    here = labelled(capsys, model, call, "--window", "2", "--hop", "2", "--timeline")
    page = call.parent / "timeline.html"
    with s3() as cloud:
        cloud.put("calls")
        cloud.put("calls", "a 1.wav", call.read_bytes())
        cloud.asked.clear()
        words = ("s3://calls/a 1.wav", "--window", "2", "--hop", "2", "--page", page)
        rows = labelled(capsys, model, *words)
        assert cloud.count("GET", ".wav") <= 2  # to be cut, and by the worker
        assert run(["predict", str(model), "s3://calls/gone.wav", "--timeline"]) == 2
        assert "gone" in capsys.readouterr().err
    assert [r["probabilities"] for r in rows] == [r["probabilities"] for r in here]
    seen = Seen()
    seen.feed(page.read_text(encoding="utf-8"))
    assert seen.found["audio"][0]["src"] == "a%201.wav" and "s3://calls/a 1.wav" in page.read_text(encoding="utf-8")


def test_a_page_tells_the_probability_of_the_label_and_asks_the_servers_of_its_recordings_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(timeline, "_seconds", lambda media: 1.0)
    monkeypatch.setattr(timeline, "levels", lambda media, seconds: [])
    monkeypatch.setattr(timeline.remote, "at_hand", lambda media: nullcontext(media))
    row = {"label": "low", "probabilities": {"low": 0.33, "high": 0.45}, "unsure": False, "start": 0.0, "end": 1.0}
    row |= {
        "abstain": None,
        "prediction_set": [],
        "channel": None,
        "recording": "a",
        "uri": "https://example.org/a%201.wav",
        "speaker": None,
        "text": None,
    }
    text = timeline.write_page([row], "m", tmp_path / "page.html").read_text(encoding="utf-8")
    assert ">0.33<" in text and ">0.45<" not in text  # models that weigh classes do not always say the likeliest
    assert "media-src 'self' file: https://example.org\"" in text and 'src="https://example.org/a%201.wav"' in text


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(BROWSER is None, reason="no chromium here")
def test_a_browser_hears_what_is_clicked(model, call, capsys, tmp_path):
    from browser import browser

    call.with_suffix(".vtt").write_text(
        "WEBVTT\n\n00:00.250 --> 00:01.750\n<v Anna>Oh?\n\n00:02.250 --> 00:03.750\n<v Bo>Yes.\n"
    )
    page = tmp_path / "timeline.html"
    labelled(capsys, model, call, "--by", "transcript", "--page", page)
    with browser(BROWSER, tmp_path / "browser") as tab:
        tab.go(page.as_uri())
        tab.until("document.querySelector('audio').readyState >= 1")
        tab.value("document.querySelector('audio').playbackRate = 0")  # stays where it is put
        spots = (
            ("svg.wave", 2.0),
            ("button[data-at='0.25']", 0.25),
            ("svg.curve", 2.0),
            ("button[data-at='2.25']", 2.25),
        )
        for selector, at in spots:
            tab.press(selector)
            tab.until(f"Math.abs(document.querySelector('audio').currentTime - {at}) < 0.05")
        tab.until("document.querySelector('tr.now')?.innerText.includes('Yes.')")
        assert tab.value("[...document.querySelectorAll('line.cursor')].every(l => l.getAttribute('x1') > 500)")
        for width in (1280, 390):
            tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
            assert tab.value("document.documentElement.scrollWidth") <= width
        assert not tab.said and not [a for a in tab.asked if not a.startswith(("file:", "data:"))]


def test_levels_are_those_of_the_sound(call, monkeypatch):
    monkeypatch.setattr(timeline, "PIECE", 0.5)
    quiet = call.with_name("half.wav")
    sf.write(quiet, np.concatenate([0.25 * tone("low", 1.0), tone("low", 1.0)]), RATE)
    levels = np.array(timeline.levels(str(quiet), 2.0))
    assert len(levels) == timeline.BINS and levels.max() == 1
    assert np.median(levels[:490]) == pytest.approx(0.25, rel=0.2) and np.median(levels[510:]) > 0.6


def test_who_speaks_is_told_along_a_timeline(model, call, capsys):
    if reason := registry.unavailable(registry.get("audio.ge2e")):
        pytest.skip(f"audio.ge2e {reason}")
    rows = labelled(capsys, model, call, "--timeline", "--by", "silence", "--speakers", "1")
    assert {r["speaker"] for r in rows} == {f"{call.stem}/A"}
    assert run(["predict", str(model), str(call), "--timeline", "--speakers", "2"]) == 2
    assert "windows are not turns" in capsys.readouterr().err
    assert run(["predict", str(model), str(call), "--speakers", "2"]) == 2


def test_each_channel_has_answers_and_curves_of_its_own(model, call, capsys):
    two = call.with_name("two.wav")
    low, high = (np.concatenate([tone(name, 2.0), tone(name, 2.0)]) for name in ("low", "high"))
    sf.write(two, np.stack([low, high], axis=1), RATE)
    page = call.parent / "page.html"
    rows = labelled(capsys, model, two, "--each-channel", "--window", "2", "--hop", "1", "--page", page)
    assert [(r["channel"], r["speaker"], r["label"]) for r in rows] == [
        ("left", "two/left", "low"),
        ("right", "two/right", "high"),
    ] * 3
    seen = Seen()
    seen.feed(page.read_text(encoding="utf-8"))
    curves = [p["d"] for p in seen.found["path"] if p.get("class", "").startswith("h")]
    assert [(d.count("M"), d.count("L")) for d in curves] == [(1, 2)] * 4  # by class and speaker
    assert run(["predict", str(model), str(two), "--each-channel"]) == 2
    assert "--timeline" in capsys.readouterr().err


def test_turns_stay_levels_where_two_of_many_overlap():
    turns = [(0.0, 2.0), (1.5, 3.0), (4.0, 5.0), (6.0, 7.0)]
    rows = [
        {"start": a, "end": b, "channel": None, "speaker": None, "probabilities": {"x": 0.5}, "unsure": a > 3}
        for a, b in turns
    ]
    strip = timeline.Strip("r", "r.wav", 10.0, rows)
    [(hue, path)] = timeline._curves(strip, "x", {"": 0})
    assert hue == 0 and path.count("H") == 4


def test_a_film_without_sound_has_windows_and_its_pictures(tmp_path):
    av = pytest.importorskip("av")
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for i in range(25):
            picture = np.full((64, 64, 3), 10 * i, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    cutting = Cutting("windows", 1.0, 1.0)
    frame, uncut = segments(recordings_of([str(film)]), cutting)
    assert frame[["start", "end"]].to_numpy().tolist() == [[0, 1], [1, 2], [2, 2.5]] and not uncut
    _, uncut = segments(recordings_of([str(film)]), Cutting("speech"))
    assert "no sound" in uncut[0].reason
    (tmp_path / "frames").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "frames" / "1.png")
    _, uncut = segments(recordings_of([str(tmp_path / "frames")]), cutting)
    assert "tell no times" in uncut[0].reason
    pictures = timeline.thumbnails(str(film))
    levels = [np.asarray(Image.open(BytesIO(b64decode(p.split(",")[1])))).mean() for p in pictures]
    assert len(levels) == timeline.FRAMES and levels == sorted(levels) and levels[-1] - levels[0] > 150
    assert not timeline.thumbnails(str(tmp_path / "none.mp4"))


def test_a_transcript_alone_has_a_timeline(tmp_path):
    text = "WEBVTT\n\n00:00.250 --> 00:01.750\n<v دانة>مرحبا\n\n00:02.250 --> 00:03.750\n<v 王>您好\n"
    (tmp_path / "talk.vtt").write_text(text, encoding="utf-8")
    frame, _ = segments(recordings_of([str(tmp_path / "talk.vtt")]), Cutting("transcript"))
    told = frame[["sample_id", "start", "end", "speaker", "text"]].to_numpy().tolist()
    assert told == [["talk/0000", 0.25, 1.75, "دانة", "مرحبا"], ["talk/0001", 2.25, 3.75, "王", "您好"]]
    _, uncut = segments(recordings_of([str(tmp_path / "talk.vtt")]), Cutting("speech"))
    assert "transcript alone" in uncut[0].reason
    rows = [
        {"recording": "talk", "uri": None, "channel": None, "label": "low", "probabilities": {"low": 0.7, "high": 0.3}}
        | {"start": a, "end": b, "speaker": who, "text": words, "unsure": a < 1, "abstain": None, "prediction_set": []}
        for _, a, b, who, words in told
    ]
    page = timeline.write_page(rows, "m", tmp_path / "page.html")
    seen = Seen()
    seen.feed(page.read_text(encoding="utf-8"))
    assert "audio" not in seen.found and "video" not in seen.found
    assert [r.get("class") for r in seen.found["rect"]] == ["h0", "h1", "unsure"]
    assert len([p for p in seen.found["path"] if p["class"] in ("h0", "h1")]) == 4
    if BROWSER is None:
        return
    from browser import browser

    with browser(BROWSER, tmp_path / "browser") as tab:
        tab.go(page.as_uri())
        tab.press("button[data-at='2.25']")
        tab.until("document.querySelector('tr.now')?.innerText.includes('您好')")
        assert not tab.said


def test_a_timeline_is_one_of_files(model, capsys):
    assert run(["predict", str(model), "--manifest", "x.csv", "--timeline"]) == 2
    assert "name their files" in capsys.readouterr().err
