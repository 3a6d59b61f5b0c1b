"""Predictions of what is there already and of long lists: in order, batch by batch, and only what is known."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from affectlake.data.errors import AffectlakeError, BadManifest, UnknownName, UsageError
from affectlake.data.manifest import TableOptions
from affectlake.data.samples import samples_frame
from affectlake.data.store import Store
from affectlake.flows import batches
from affectlake.flows import predict as predicting
from affectlake.flows.cli.app import run
from affectlake.models.benchmark import Plan
from affectlake.models.bounds import Bound, Bounds
from affectlake.models.fit import fit
from affectlake.models.persistence import load, save

N = 50


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with made-up features, a model of them, and one of features relative to their speaker."""
    folder = tmp_path_factory.mktemp("predict")
    store = Store(folder / "lake", create=True)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, N)
    ids = [f"i{i}" for i in range(N)]
    table = pd.DataFrame({"sample_id": ids, "speaker": [f"s{i % 5}" for i in range(N)], "text": "x"})
    samples = samples_frame(table.assign(emotion=np.array(list("ab"))[y]), "made")
    for m in ("audio", "face"):
        x = rng.normal(size=(N, 3)) + 2 * y[:, None]
        frame = pd.DataFrame(x, index=ids, columns=list("pqr"))
        store.put("made", m, "x", frame.iloc[5:] if m == "face" else frame, samples=samples)
    frame = store.load("made")
    blocks = {m: frame[[c for c in frame if c.startswith(m)]].dropna() for m in ("audio", "face")}
    prints = {n: e.fingerprint for n, e in store.snapshot("made").features.items()}
    models = {}
    for name in ("none", "speaker"):
        plan = Plan("emotion", normalise=name)
        fitted = fit(samples.set_index("sample_id"), blocks, plan, "late-mean", "logreg", prints, {"dataset": "made"})
        models[name] = save(fitted, folder / name)
    return store, models, frame


def rows(parts):
    return [r for p in parts for r in p.rows]


def same(a, b):
    assert [r["sample_id"] for r in a] == [r["sample_id"] for r in b]
    assert [r["label"] for r in a] == [r["label"] for r in b]
    for x, y in zip(a, b, strict=True):
        assert x["probabilities"] == pytest.approx(y["probabilities"], abs=1e-5)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("model", ["none", "speaker"])
def test_store_and_frames_say_the_same_in_batches_and_at_once(made, tmp_path, kind, model):
    store, models, frame = made
    path = tmp_path / f"f.{kind}"
    frame.to_parquet(path) if kind == "parquet" else frame.to_csv(path)
    expected = rows(predicting.from_store(models[model], store.uri, "made"))
    assert (
        len(expected) == N
        and np.mean([r["label"] == e for r, e in zip(expected, store.samples("made")["emotion"], strict=True)]) > 0.8
    )
    assert set(expected[0]["modalities"]) == {"audio"} and set(expected[9]["modalities"]) == {"audio", "face"}
    parts = list(predicting.from_features(models[model], path, batch=7))
    # what is relative to a speaker needs all of that speaker at once
    assert len(parts) == (8 if model == "none" else 1)
    same(rows(parts), expected)
    same(rows(predicting.from_store(models[model], store.uri, "made", batch=11)), expected)


def test_frames_that_do_not_fit(made, tmp_path):
    _, models, frame = made
    cases = [
        (frame.drop(columns="audio.x.q"), "none", UnknownName, "audio.x.q"),
        (frame[["speaker"]], "none", UsageError, "none of the columns"),
        (frame.reset_index(drop=True), "none", UsageError, "no column sample_id"),
        (frame.assign(**{"audio.x.p": "high"}), "none", UsageError, "no numbers"),
        (frame.drop(columns="speaker"), "speaker", UsageError, "needs a speaker"),
    ]
    for i, (table, model, kind, message) in enumerate(cases):
        table.to_csv(tmp_path / f"{i}.csv", index=table.index.name is not None)
        with pytest.raises(kind, match=message):
            list(predicting.from_features(models[model], tmp_path / f"{i}.csv"))
    (tmp_path / "x.parquet").write_bytes(b"PAR1 but not really PAR1")
    with pytest.raises(UsageError, match="is no table"):
        list(predicting.from_features(models["none"], tmp_path / "x.parquet"))


def test_features_of_another_fingerprint_in_the_store_are_refused(made, tmp_path):
    store, models, frame = made
    shutil.copytree(store.uri, tmp_path / "lake", symlinks=True)
    other = Store(tmp_path / "lake")
    table = frame[[c for c in frame if c.startswith("audio")]].rename(columns=lambda c: c.split(".")[-1] + "2")
    other.put("made", "audio", "x", table)
    with pytest.raises(AffectlakeError, match="trained on audio.x with fingerprint"):
        list(predicting.from_store(models["none"], other.uri, "made"))


def test_rows_come_while_the_list_is_still_being_read(made):
    """A list of any length: nothing is read ahead beyond a batch."""
    read = []

    def names():
        for i in range(10):
            read.append(i)
            yield f"f{i}.wav"

    parts = batches.in_batches(names(), 3, lambda some, at: (at, some))
    assert next(parts) == (0, ["f0.wav", "f1.wav", "f2.wav"]) and read == [0, 1, 2]
    assert [at for at, _ in parts] == [3, 6, 9]


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """A model of text that was trained on dialogues."""
    folder = tmp_path_factory.mktemp("talk")
    said = ["I love this, thank you!", "I hate it, go away!"]
    table = pd.DataFrame(
        {"sample_id": [f"i{i}" for i in range(20)], "text": [said[i % 2] + "!" * i for i in range(20)]}
    )
    table = table.assign(emotion=list("ab") * 10, speaker=list("pqrs") * 5, dialogue="d", turn=range(20))
    table.to_csv(folder / "m.csv", index=False)
    words = ["talk", "--manifest", str(folder / "m.csv"), "--store", str(folder / "lake"), "--prefect", "never"]
    assert run(["refresh", *words, "--only", "text.lexicon", "--only", "text.context"]) == 0
    store = Store(folder / "lake")
    frame = store.load("talk", ["text.*"])
    blocks = {"text": frame[[c for c in frame if c.startswith("text.")]]}
    prints = {n: e.fingerprint for n, e in store.snapshot("talk").features.items()}
    samples = store.samples("talk").set_index("sample_id")
    return save(fit(samples, blocks, Plan("emotion"), "unimodal", "logreg", prints, {"dataset": "talk"}), folder / "m")


def test_a_text_without_its_dialogue_lacks_the_context_only(talk, tmp_path):
    (tmp_path / "m.csv").write_text("sample_id,text\na,I love this thank you\n")
    [answer] = predicting.predict(talk, [], manifest=str(tmp_path / "m.csv")).rows
    assert answer["label"] == "a"


def test_a_model_says_what_it_needs(talk, tmp_path, capsys):
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    assert run(["predict", str(talk), str(tmp_path / "a.wav")]) == 1
    assert "a.wav: every extractor of the model: it has no dialogue or text, which the model reads" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.fixture(scope="module")
def hearing(tmp_path_factory):
    """A model of sound, and a file for it."""
    folder = tmp_path_factory.mktemp("hearing")
    time, files = np.arange(8000) / 16000, []
    for i in range(12):
        files.append(folder / f"{i}.wav")
        soundfile.write(files[-1], 0.1 * np.sin(2 * np.pi * (200 + 600 * (i % 2) + i) * time), 16000)
    table = pd.DataFrame({"sample_id": [f.name for f in files], "audio": files, "emotion": ["low", "high"] * 6})
    table.assign(speaker=list("pqrspqrspqrs")).to_csv(folder / "m.csv", index=False)
    words = ["hum", "--manifest", str(folder / "m.csv"), "--store", str(folder / "lake"), "--prefect", "never"]
    assert run(["refresh", *words, "--only", "audio.spectral"]) == 0
    store = Store(folder / "lake")
    frame = store.load("hum", ["audio.*"])
    blocks = {"audio": frame[[c for c in frame if c.startswith("audio.")]]}
    prints = {n: e.fingerprint for n, e in store.snapshot("hum").features.items()}
    samples = store.samples("hum").set_index("sample_id")
    fitted = fit(samples, blocks, Plan("emotion"), "unimodal", "logreg", prints, {"dataset": "hum"})
    return str(save(fitted, folder / "m")), str(files[1])


def test_special_files_cost_themselves(hearing, tmp_path, monkeypatch, capsys):
    model, good = hearing
    monkeypatch.chdir(tmp_path)
    os.mkfifo("a.fifo")
    (tmp_path / "folder").mkdir()
    with (tmp_path / "sparse.wav").open("wb") as file:
        file.truncate(1 << 41)
    bad = {
        "a.fifo": "a pipe, not a file",
        "/dev/zero": "a device, not a file",
        "folder": "a folder, not a file",
        "sparse.wav": "of which 0 MB are on the disk",
        "gone": "no such file",
        os.fsdecode(b"\xff.txt"): "no such file",
    }
    assert run(["predict", model, *bad, good, "--json", "--workers", "1"]) == 3
    out, err = capsys.readouterr()
    *lost, answered = json.loads(out)
    assert [r["label"] for r in lost] == [None] * len(bad) and answered["label"] == "high"
    for line, (name, reason) in zip(sorted(err.splitlines()), enumerate_names(bad), strict=True):
        assert line.startswith(f"{name}: ") and reason in line
    # The same, some at a time: a batch may be of such files alone.
    rows = [r for p in predicting.stream(model, iter([*bad, good]), batch=3) for r in p.rows]
    assert [r["label"] for r in rows] == [r["label"] for r in [*lost, answered]]
    assert run(["predict", model, "a.fifo", "/dev/zero", "gone.qqq"]) == 2
    assert "a.fifo: no kind of media is known by '.fifo' (a pipe, not a file)" in capsys.readouterr().err
    Path("calls.csv.gz").write_text("sample_id,text\n")
    assert run(["predict", model, "calls.csv.gz"]) == 2
    assert "A table of samples goes after --manifest, one of features after --features" in capsys.readouterr().err


def enumerate_names(reasons: dict[str, str]) -> list[tuple[str, str]]:
    """The ids that files get in a list of several, with what is to be said of each."""
    spelt = (Path(name).name.encode("utf-8", "backslashreplace").decode() for name in reasons)
    return [(f"{i}:{name}", reason) for i, (name, reason) in enumerate(zip(spelt, reasons.values(), strict=True))]


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(hearing, tmp_path, monkeypatch):
    from affectlake.features import compute

    model, good = hearing
    path, real, left = tmp_path / "new.wav", compute.read, [good]
    soundfile.write(path, np.zeros(8000), 16000)

    def read(reads, request):
        if left:
            shutil.copy(left.pop(), path)
        return real(reads, request)

    monkeypatch.setattr(
        "affectlake.features.workers.Workers.run", lambda pool, chunks: ((c, compute.compute(c)) for c in chunks)
    )
    monkeypatch.setattr(compute, "read", read)
    answers = predicting.predict(model, [str(path)])
    assert not left and not answers.failures and answers.rows[0]["label"] == "high"


def test_a_list_without_an_end_is_refused():
    with pytest.raises(UsageError, match="a line is longer than any name"):
        list(batches.listed(Path("/dev/zero")))


def test_dialogues_and_speakers_are_never_cut():
    dialogue = pd.Series(["a"] * 5 + ["b"] * 2 + [None] * 4 + ["c", "c", "d"])
    assert batches.cuts(14, 3, [dialogue]) == [5, 8, 11, 14]
    speaker = pd.Series(list("xyxyxyzzzzwwww"))
    assert batches.cuts(14, 3, [speaker]) == [6, 10, 14]
    assert batches.cuts(14, 3, [dialogue, speaker]) == [10, 14]
    assert batches.cuts(2, 3, [dialogue[:2]]) == [2]


def test_commands(made, tmp_path, capsys):
    store, models, frame = made
    frame.to_parquet(tmp_path / "f.parquet")
    assert run(["predict", str(models["none"]), "--features", str(tmp_path / "f.parquet"), "--lines"]) == 0
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [r["sample_id"] for r in lines] == frame.index.tolist() and "no fingerprints" in captured.err
    assert run(["predict", str(models["speaker"]), "--dataset", "made", "--store", store.uri, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == N
    for words in (["predict", str(models["speaker"]), "--card"], ["show", str(models["speaker"])]):
        assert run(words) == 0 and "relative to their speaker" in capsys.readouterr().out
    assert run(["show", str(models["none"]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["extractors"][0]["extractor"] == "audio.x"
    assert run(["predict", str(models["none"]), "x.wav", "--dataset", "made"]) == 2
    with pytest.raises(UsageError, match="in a manifest"):
        batches.media(load(models["speaker"]), ["x.wav"], None, None, 9)
    words = ["predict", str(models["none"]), "--files-from"]
    (tmp_path / "names").write_text("one.wav\n\ntwo.wav\n")
    assert list(batches.listed(tmp_path / "names")) == ["one.wav", "two.wav"]
    assert run([*words, str(tmp_path / "names")]) == 1 and "brought in by `put`" in capsys.readouterr().err
    with pytest.raises(UsageError, match="no list of files"):
        list(batches.listed(tmp_path / "nowhere"))


def test_a_manifest_is_read_as_it_says(made, tmp_path):
    store, models, frame = made
    path = tmp_path / "m.csv"
    path.write_bytes("sample_id,text,speaker\na,难过,x\nb,无,王\n".encode("gbk"))
    options = TableOptions("gbk", ("无",))
    ((samples, _),) = batches.media(load(models["none"]), [], str(path), None, 9, options)
    assert samples["text"].tolist()[0] == "难过" and pd.isna(samples["text"][1]) and samples["speaker"][1] == "王"
    with pytest.raises(BadManifest, match="utf-8"):
        batches.media(load(models["none"]), [], str(path), None, 9, TableOptions("utf-8"))


def test_what_is_promised_is_told(made, tmp_path, capsys):
    store, models, frame = made
    words = ["predict", "", "--dataset", "made", "--store", store.uri]
    words[1] = str(models["none"])
    assert run([*words, "--card"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "none: 5 speakers: sets of 90% take 9" in out and "20% of those of training; not measured" in out
    score = {"value": 0.93, "low": 0.9, "high": 0.95}
    measured = {
        "prediction_sets": {"coverage": score, "size": 1.5},
        "abstention": {"coverage": 0.79, "accuracy": score},
    }
    fitted = load(models["none"])
    bounds = Bounds(Bound(0.9, 0.001), Bound(0.8, 0.999))
    words[1] = str(save(replace(fitted, bounds=bounds, card=fitted.card | {"measured": measured}), tmp_path / "m"))
    assert run([*words, "--card"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "1.50 classes each" in out and "of the other 79% 0.930" in out
    assert run([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert run(words) == 0
    captured = capsys.readouterr()
    assert f"{sum(r['abstain'] for r in rows)} answer(s) that the model would rather not give" in captured.err
    assert "prediction set" in captured.out and "a, b" in captured.out and "yes" in captured.out


def test_nothing_is_promised_of_what_cannot_be_read_or_sounds_otherwise():
    row = {"modalities": {}, "label": "a", "probabilities": {"a": 1.0}, "prediction_set": ["a"], "abstain": False}
    assert predicting._known(row)["prediction_set"] is None and predicting._known(row)["abstain"] is None
    assert predicting._beside(row, "narrower")["abstain"] is True
    assert predicting._beside(row | {"abstain": None}, "narrower")["abstain"] is None


def test_a_table_tells_the_probability_of_its_label():
    """Where rare classes weigh more, the label is not the likeliest class."""
    from affectlake.flows.cli.predict import _probability

    row = {"label": "sad", "probabilities": {"happy": 0.6, "sad": 0.4}}
    assert [_probability(row), _probability(row | {"label": ["happy", "sad"]})] == [0.4, 0.6]
    assert _probability({"label": None, "probabilities": {}}) is None
