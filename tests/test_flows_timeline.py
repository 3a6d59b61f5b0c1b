"""What a model says along a recording: rows by window or turn, and a page that opens offline."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from affectlake.data.store import Store
from affectlake.features import registry
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
    curves = [p["d"] for p in seen.found["path"] if p.get("class", "").startswith("k")]
    assert len(curves) == 2 and all(d.count("L") == 6 for d in curves)
    policy = next(m["content"] for m in seen.found["meta"] if "http-equiv" in m)
    assert "default-src 'none'" in policy and "http" not in policy.replace("http-equiv", "")
    assert not [a for tag in seen.found.values() for a in tag if str(a.get("src", "")).startswith("http")]


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


def test_a_timeline_is_one_of_files(model, capsys):
    assert run(["predict", str(model), "--manifest", "x.csv", "--timeline"]) == 2
    assert "name their files" in capsys.readouterr().err
