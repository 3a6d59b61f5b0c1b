"""Recordings that are longer than is heard at once: all of them is heard, piece by piece, each with its own time."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from affectlake.data import sound
from affectlake.data.errors import NotApplicable
from affectlake.data.sound import RATE, read_audio
from affectlake.features import long, registry, settings
from affectlake.features.audio.transcript import extractor as transcript
from affectlake.features.compute import LONG, Chunk, compute
from affectlake.features.inputs import Request
from affectlake.features.protocol import Worded
from affectlake.features.workers import Workers, _long

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")
pytest.importorskip("librosa")

NAMES = ("audio.modulation", "audio.recording", "audio.fingerprint")


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * (150 * t + 10 * t**2)
    hum = sum(np.sin(k * phase) / k for k in range(1, 8)) * (1.1 + np.sin(2 * np.pi * (2 + t) * t))
    return (0.1 * hum + 0.01 * np.random.default_rng(seed).normal(size=len(t))).astype(np.float32)


@pytest.fixture
def request_of(tmp_path):
    def write(y: np.ndarray, rate: int = RATE, **times: float) -> Request:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.wav"
        soundfile.write(path, y, rate)
        return Request(path.name, uri=path.as_uri(), **times)

    return write


def rows(request: Request, names=NAMES, **options) -> dict[str, np.ndarray]:
    tables = compute(Chunk("audio", names, (request,), **options))
    assert [t["outcome"].to_pylist() for t in tables.values()] == [["ok"]] * len(names)
    return {n: np.array([t[c][0].as_py() for c in t.column_names[3:]], float) for n, t in tables.items()}


@pytest.mark.parametrize("times", [{}, {"start": 0.25, "end": 3.75}])
def test_values_are_the_means_over_equal_pieces(request_of, monkeypatch, times):
    request = request_of(voice(4.0), **times)
    first, last = times.get("start", 0.0), times.get("end", 4.0)
    monkeypatch.setattr(sound, "LIMIT", 1.2)
    found = rows(request)
    edges = np.linspace(first, last, 5 if not times else 4)
    pieces = [replace(request, start=a, end=b) for a, b in pairwise(edges)]
    for name in NAMES[:2]:
        np.testing.assert_allclose(found[name], np.mean([rows(p)[name] for p in pieces], axis=0), rtol=1e-5)
    middle = registry.get("audio.fingerprint").extract([read_audio(request.uri, **times)])[0]
    np.testing.assert_allclose(found["audio.fingerprint"], middle, rtol=1e-5)


def test_the_end_is_heard_and_silence_is_passed_over(request_of, monkeypatch):
    monkeypatch.setattr(sound, "LIMIT", 1.0)
    silent = np.zeros(3 * RATE, np.float32)
    only_at_the_end = rows(request_of(np.concatenate([silent, voice(1.0)])), NAMES[:2])
    alone = rows(request_of(voice(1.0)), NAMES[:2])
    for name in NAMES[:2]:
        np.testing.assert_allclose(only_at_the_end[name], alone[name], rtol=1e-3, atol=1e-3)
    [outcome] = compute(Chunk("audio", NAMES[:1], (request_of(silent),)))[NAMES[0]]["outcome"].to_pylist()
    assert outcome == "not_applicable"


def test_a_piece_that_cannot_be_read_is_a_failure(request_of, monkeypatch):
    request = request_of(np.concatenate([voice(3.0), np.full(RATE, np.nan, np.float32)]))
    soundfile.write(
        request.uri.removeprefix("file://"), np.concatenate([voice(3.0), np.full(RATE, np.nan)]), RATE, subtype="FLOAT"
    )
    monkeypatch.setattr(sound, "LIMIT", 1.0)
    table = compute(Chunk("audio", NAMES[:1], (request,)))[NAMES[0]]
    assert table["outcome"].to_pylist() == ["failed"] and "not numbers" in table["reason"][0].as_py()


def test_what_applies_to_some_pieces_has_their_mean():
    prosody = registry.get("audio.modulation")
    a, b = np.array([1.0, np.nan, np.nan], np.float32), np.array([3.0, 4.0, np.nan], np.float32)
    silent = NotApplicable("silent")
    np.testing.assert_array_equal(long.joined(prosody, [a, silent, b], [0, 1, 2]), np.array([2, 4, np.nan], np.float32))
    assert long.joined(prosody, [silent, silent], [0, 1]) is silent
    assert long.joined(prosody, [a, "broken", b], [0, 1, 2]) == "broken"


def test_words_of_pieces_keep_their_times():
    def said(words: list[tuple[str, float]], language: str, confidence: float) -> Worded:
        items = [{"word": w, "start": t, "end": t + 0.5, "confidence": confidence} for w, t in words]
        values = np.array([confidence, 0.5, len(words), 0.5 * len(words)], np.float32)
        return Worded(values, (" ".join(w for w, _ in words), language, json.dumps(items)))

    parts = [
        said([("Ja", 1.0)], "de", 0.4),
        NotApplicable("no speech"),
        said([("dogs", 0.0), ("bark", 2.0)], "en", 0.7),
    ]
    found = long.joined(transcript, parts, [0.0, 600.0, 1200.0])
    assert found.texts[:2] == ("Ja dogs bark", "en")
    assert [(w["word"], w["start"], w["end"]) for w in json.loads(found.texts[2])] == [
        ("Ja", 1.0, 1.5),
        ("dogs", 1200.0, 1200.5),
        ("bark", 1202.0, 1202.5),
    ]
    np.testing.assert_allclose(found.values, [0.6, 0.5, 3, 1.5], rtol=1e-6)


def test_a_long_recording_is_handed_back_and_given_its_time(request_of, monkeypatch):
    monkeypatch.setattr(sound, "LIMIT", 1.0)
    chunk = Chunk("audio", NAMES[:2], (request_of(voice(0.5)), request_of(voice(3.5))))
    tables = compute(replace(chunk, pieces=1))
    assert [t["outcome"].to_pylist() for t in tables.values()] == [["ok", LONG]] * 2
    rest, kept, found = _long(chunk, tables)
    assert rest == replace(chunk, requests=chunk.requests[:1]) and found == [
        (replace(chunk, requests=chunk.requests[1:]), 4)
    ]
    assert [t["outcome"].to_pylist() for t in kept.values()] == [["ok"]] * 2
    given = {}

    class Pool:
        class processes:
            @staticmethod
            def schedule(function, args, timeout):
                given[args[0].pieces] = timeout

    workers = Workers(1, 60.0)
    workers._pool = Pool
    for one, count in [(rest, 1), *found]:
        workers._submit(one, pieces=count)
    assert given == {1: 60.0, 4: 240.0}


def test_workers_hear_all_of_eleven_minutes(request_of):
    """At the lowest rate there is, which takes seconds rather than minutes."""
    t = np.arange(660 * 1000) / 1000
    wave = 0.1 * np.sin(2 * np.pi * 100 * t) * np.where(t < 640, 0, 1)  # nothing before the last piece's end
    chunk = Chunk("audio", ("audio.recording",), (request_of(wave, 1000), request_of(voice(0.5))))
    with Workers(1, 120.0, ["audio.recording"]) as pool:
        done = dict(pool.run([chunk]))
    found = {
        r.content: t["audio.recording"]["outcome"][i].as_py() for c, t in done.items() for i, r in enumerate(c.requests)
    }
    assert found == {r.content: "ok" for r in chunk.requests}
    assert settings.get("audio.band") == 0
