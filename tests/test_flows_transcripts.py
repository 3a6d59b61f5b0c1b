"""Texts by machine: only where none was given, once per sound, told from people's, traced, gone with their speaker."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from here import here

from affectlake.data import Store
from affectlake.data.errors import UnknownName, UsageError
from affectlake.features import registry
from affectlake.features.audio import _whisper, transcript
from affectlake.flows.cli.app import run as command
from affectlake.flows.refresh import RefreshOptions, dry_run, refresh
from affectlake.flows.sources import again

RATE = 16_000
SAID = {0.30: "zanzibar is far away", 0.35: "quetzals sing at dawn", 0.40: "my marzipan is gone", 0.45: ""}


@pytest.fixture
def heard(monkeypatch, tmp_path) -> Counter:
    """Stands in for the model: knows what is said by how long it takes, and counts how often it is asked."""
    counted: Counter = Counter()

    def transcribe(y, language=""):
        seconds = round(len(y) / RATE, 2)
        counted[seconds] += 1
        if language == "xx":
            raise UnknownName("language of speech", language, ["en", "de"])
        words = [
            SimpleNamespace(word=f" {word}", start=i * 0.1, end=i * 0.1 + 0.05, probability=0.5)
            for i, word in enumerate(SAID[seconds].split())
        ]
        return words, language or "en", 0.9

    weights = tmp_path / "model.bin"
    weights.write_bytes(b"weights")
    monkeypatch.setattr(transcript, "transcribe", transcribe)
    monkeypatch.setattr(transcript.Transcript, "requires", ())
    monkeypatch.setattr(transcript.Transcript, "weights", lambda self: [weights])
    monkeypatch.setattr(_whisper, "published", lambda: "d01c")
    return counted


def sound(path: Path, seconds: float, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    sf.write(path, 0.1 * rng.standard_normal(round(seconds * RATE)).astype(np.float32), RATE)
    return path.name


@pytest.fixture
def calls(tmp_path) -> Path:
    """Manifest: two people, a text that was given, the same sound twice, silence of words, and a broken file."""
    (tmp_path / "broken.wav").write_bytes(b"RIFF no sound at all")
    rows = [
        ("a1", "anna", sound(tmp_path / "a1.wav", 0.30), "given by a person"),
        ("a2", "anna", sound(tmp_path / "a2.wav", 0.30), None),
        ("a3", "anna", sound(tmp_path / "a3.wav", 0.35), None),
        ("b1", "ben", sound(tmp_path / "b1.wav", 0.40), None),
        ("b2", "ben", sound(tmp_path / "b2.wav", 0.40), None),
        ("b3", "ben", sound(tmp_path / "b3.wav", 0.45), None),
        ("b4", "ben", "broken.wav", None),
    ]
    frame = pd.DataFrame(rows, columns=["sample_id", "speaker", "audio", "text"])
    frame.assign(emotion=list("xyxyxyx")).to_csv(tmp_path / "calls.csv", index=False)
    return tmp_path / "calls.csv"


def options(calls: Path, **more) -> RefreshOptions:
    settings = {"only": ("text.style",), "transcribe": True} | more
    return RefreshOptions("calls", manifest=str(calls), store=str(calls.parent / "lake"), **settings)


def texts(calls: Path) -> dict[str, str]:
    samples = Store(calls.parent / "lake").samples("calls").set_index("sample_id")
    return samples["text"].dropna().to_dict()


def test_samples_without_a_text_get_one_and_are_told_from_those_that_had(calls, heard):
    done = refresh(options(calls), here)
    assert texts(calls) == {
        "a1": "given by a person",
        "a2": "zanzibar is far away",
        "a3": "quetzals sing at dawn",
        "b1": "my marzipan is gone",
        "b2": "my marzipan is gone",
    }
    samples = Store(calls.parent / "lake").samples("calls").set_index("sample_id")
    assert samples["text_source"].dropna().to_dict() == dict.fromkeys(["a2", "a3", "b1", "b2"], "audio.transcript")
    assert samples.loc["a2", "language"] == "en" and pd.isna(samples.loc["a1", "language"])
    assert done.transcribed == 4 and done.extractors["text.style"]["new"] == 5
    assert heard == {0.30: 1, 0.35: 1, 0.40: 1, 0.45: 1}  # once per sound; the one with a text is not heard


def test_the_table_holds_words_times_and_confidence(calls, heard):
    refresh(options(calls), here)
    store = Store(calls.parent / "lake")
    row = store.sql("select * from \"calls.audio.transcript\" where sample_id = 'a2'").iloc[0]
    assert row["text"] == "zanzibar is far away" and row["language"] == "en" and row["word_count"] == 4
    assert json.loads(row["words"])[1] == {"word": "is", "start": 0.1, "end": 0.15, "confidence": 0.5}
    assert row["confidence"] == 0.5 and row["spoken"] == pytest.approx(0.2)
    # what are no numbers are no features
    assert [c for c in store.load("calls") if "transcript" in c and c.endswith((".text", ".words", ".language"))] == []
    plain = pd.read_parquet(f"{store.uri}/current/calls/audio.transcript")
    assert plain.set_index("sample_id").loc["b1", "text"] == "my marzipan is gone"


def test_a_second_run_hears_nothing_and_neither_does_a_moved_file(calls, heard):
    refresh(options(calls), here)
    heard.clear()
    assert refresh(options(calls), here).computed == {} and not heard
    moved = calls.parent / "moved"
    moved.mkdir()
    for path in calls.parent.glob("*.wav"):
        path.rename(moved / f"other-{path.name}")
    table = pd.read_csv(calls)
    table.assign(audio=[f"moved/other-{name}" for name in table["audio"]]).to_csv(calls, index=False)
    done = refresh(options(calls), here)
    assert not heard and done.transcribed == 4 and done.extractors["text.style"]["unchanged"] == 5


def test_what_is_known_serves_a_refresh_that_transcribes_nothing(calls, heard):
    refresh(options(calls), here)
    heard.clear()
    sound(calls.parent / "b1.wav", 0.35, seed=9)
    done = refresh(options(calls, transcribe=False), here)
    assert not heard and done.transcribed == 3
    assert "b1" not in texts(calls) and texts(calls)["b2"] == "my marzipan is gone"


def test_a_text_that_is_given_later_takes_the_machines_place(calls, heard):
    refresh(options(calls), here)
    table = pd.read_csv(calls)
    table.loc[table["sample_id"] == "a2", "text"] = "what she really said"
    table.to_csv(calls, index=False)
    done = refresh(options(calls), here)
    assert texts(calls)["a2"] == "what she really said" and done.transcribed == 3
    assert done.extractors["audio.transcript"]["removed"] == 1
    assert "a2" not in set(pd.read_parquet(calls.parent / "lake/current/calls/audio.transcript")["sample_id"])


def test_a_bad_file_costs_itself_only(calls, heard):
    refresh(options(calls), here)
    store = Store(calls.parent / "lake")
    failed = store.failures("calls")
    assert failed[["sample_id", "extractor"]].values.tolist() == [["b4", "audio.transcript"]]
    assert "not a sound file" in failed["reason"][0]
    said = store.failures("calls", "audio.transcript", not_applicable=True).set_index("sample_id")
    assert said.loc["b3", "reason"] == "no speech was recognised"


def test_language_is_part_of_what_is_asked(calls, heard):
    refresh(options(calls), here)
    heard.clear()
    table = pd.read_csv(calls)
    table["language"] = [None, "de", "xx", None, None, None, None]
    table.to_csv(calls, index=False)
    refresh(options(calls), here)
    store = Store(calls.parent / "lake")
    assert heard == {0.30: 1, 0.35: 1}
    assert store.samples("calls").set_index("sample_id").loc["a2", "language"] == "de"
    reasons = store.failures("calls", "audio.transcript").set_index("sample_id")["reason"]
    assert "unknown language of speech 'xx'" in reasons["a3"] and "a3" not in texts(calls)


def test_other_parameters_hear_anew_and_are_traced(calls, heard):
    refresh(options(calls), here)
    store = Store(calls.parent / "lake")
    first = store.explain("calls", "a2", "text.style.chars")["transcript"]
    assert first["text"] == "zanzibar is far away" and first["confidence"] == 0.5 and first["by"] == "audio.transcript"
    assert first["parameters"]["model_sha256"] == "d01c" and len(first["weights"]["model.bin"]) == 64
    heard.clear()
    refresh(options(calls, settings={"speech.language": "de"}), here)
    assert sum(heard.values()) == 4
    second = store.explain("calls", "a2", "text.style.chars")["transcript"]
    assert second["parameters"]["language"] == "de" and second["fingerprint"] != first["fingerprint"]
    assert "transcript" not in store.explain("calls", "a1", "text.style.chars")


def test_erasing_somebody_takes_their_transcripts(calls, heard):
    refresh(options(calls), here)
    refresh(options(calls, settings={"speech.language": "de"}), here)  # an older version of everything
    store = Store(calls.parent / "lake")
    store.export(calls.parent / "out", "calls")

    def holding(word: str) -> list[Path]:
        folders = (calls.parent / "lake", calls.parent / "out")
        files = [p for folder in folders for p in folder.rglob("*") if p.is_file()]
        return [p for p in files if word.encode() in p.read_bytes()]

    assert len(holding("marzipan")) > 2 and holding("zanzibar")
    receipt = store.erase("calls", speaker="ben")
    assert receipt["still_found_in"] == [] and receipt["rows"]["features.audio.transcript"] > 0
    assert holding("marzipan") == []
    assert holding("zanzibar") and texts(calls)["a2"] == "zanzibar is far away"
    heard.clear()
    assert refresh(options(calls), here).erased == 4
    assert holding("marzipan") == [] and 0.40 not in heard


def test_a_dry_run_counts_what_would_be_heard(calls, heard):
    assert dry_run(options(calls)) == {"audio.transcript": 5, "text.style": 1}
    assert dry_run(options(calls, transcribe=False)) == {"text.style": 1} and not heard


def test_the_last_refresh_is_done_again_with_transcripts(calls, heard):
    settings = {"video.frames": 8}
    refresh(options(calls, transcribe=False, settings=settings, missing_values=("gone",)), here)
    lake = str(calls.parent / "lake")
    found = again("calls", RefreshOptions("", store=lake, settings={"speech.language": "de"}))
    assert found.manifest == str(calls) and found.only == ("text.style",) and found.transcribe
    assert found.settings == settings | {"speech.language": "de"} and found.missing_values == ("gone",)
    with pytest.raises(UnknownName, match="did you mean 'calls'"):
        again("call", RefreshOptions("", store=lake))


def test_results_say_that_texts_are_a_machines(calls, heard, capsys):
    from affectlake.flows.benchmark import BenchOptions, benchmark, features
    from affectlake.flows.cli.bench import print_result
    from affectlake.flows.report import html

    rows = [
        (f"s{i}", f"p{i % 5}", sound(calls.parent / f"s{i}.wav", [0.30, 0.35][i % 2], seed=i), "xy"[i % 2])
        for i in range(20)
    ]
    frame = pd.DataFrame(rows, columns=["sample_id", "speaker", "audio", "emotion"])
    frame.to_csv(calls, index=False)
    refresh(options(calls), here)
    bench = BenchOptions(
        "calls", "emotion", store=str(calls.parent / "lake"), models=("logreg",), fusions=("unimodal",), explain=False
    )
    done = benchmark(bench, map=map).to_json()
    assert done["transcribed"] == 20
    print_result(done)
    assert "text of 20 of 20 samples was written by a machine" in capsys.readouterr().err
    assert "written by a machine for 20 samples" in html(done)
    # what the transcriber says of itself is no feature unless it is named
    _, blocks = features(Store(bench.store), bench, done["snapshot"])
    assert set(blocks) == {"text"}


def test_a_nightly_configuration_may_ask_for_it(calls, heard, tmp_path):
    from affectlake.flows.config import check_config, write_config
    from affectlake.flows.nightly import refresh_options

    refresh(options(calls), here)
    written = write_config(str(calls.parent / "lake"), tmp_path / "night.toml")
    config = check_config(written)
    assert config.dataset[0].transcribe and refresh_options(config.dataset[0], config).transcribe


def test_without_the_package_it_says_so_before_anything_is_read(calls, monkeypatch, capsys):
    monkeypatch.setattr(transcript.Transcript, "requires", ("no_such_module",))
    with pytest.raises(UsageError, match="affectlake\\[asr\\]"):
        refresh(options(calls), here)
    assert command(["transcribe", "nothing", "--store", str(calls.parent)]) == 2
    assert "unknown dataset 'nothing'" in capsys.readouterr().err


def test_a_real_clip(shared_data):
    extractor = registry.get("audio.transcript")
    if reason := registry.unavailable(extractor):
        pytest.skip(f"audio.transcript {reason}")
    from affectlake.features.inputs import Request, Speech, read

    clip = shared_data / "ravdess_audio/Actor_01/03-01-01-01-02-01-01.flac"
    speech = read("speech", Request("c", str(clip), language="en-GB"))
    assert isinstance(speech, Speech)
    row = extractor.extract([speech])[0]
    text, language, words = row.texts
    assert text.lower().strip(".") == "dogs are sitting by the door" and language == "en"
    times = [(w["start"], w["end"]) for w in json.loads(words)]
    assert all(0 <= start <= end <= speech.clip.duration for start, end in times) and times == sorted(times)
    assert row.values[0] > 0.5 and row.values[1] == 1.0
    with pytest.raises(UnknownName, match="unknown language of speech 'enn'"):
        transcript.transcribe(speech.clip.y, "enn")
