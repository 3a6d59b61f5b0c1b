"""The command line from the outside: exit codes, what is printed where, and bad input of every kind."""

import json
import os
import re
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from affectlake.data.errors import AffectlakeError
from affectlake.data.manifest import read_manifest
from affectlake.data.store import Store
from affectlake.flows.cli.app import run

CHEAP = ["--only", "audio.spectral", "--only", "text.style", "--no-prefect", "--workers", "1"]


def call(capsys, *words) -> tuple[int, str, str]:
    code = run([str(w) for w in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def lake(tmp_path_factory, corpus) -> Path:
    """A store with the small corpus in it."""
    store = tmp_path_factory.mktemp("cli") / "lake"
    code = run(["refresh", "demo", "--manifest", str(corpus), "--store", str(store), *CHEAP])
    assert code == 3  # one file of the corpus is broken on purpose
    return store


def test_refresh_again_computes_nothing(lake, corpus, capsys):
    code, out, _ = call(capsys, "refresh", "demo", "--manifest", corpus, "--store", lake, *CHEAP, "--json")
    counts = json.loads(out)["extractors"]
    assert code == 3 and all(c["new"] == c["recomputed"] == 0 for c in counts.values())
    code, out, _ = call(capsys, "refresh", "demo", "--manifest", corpus, "--store", lake, *CHEAP, "--dry-run", "--json")
    assert code == 0 and set(json.loads(out).values()) == {0}


def test_failures_have_the_documented_shape(lake, capsys):
    code, out, _ = call(capsys, "failures", "demo", "--store", lake, "--json")
    rows = json.loads(out)
    assert code == 0 and len(rows) == 1
    assert set(rows[0]) == {"sample_id", "extractor", "outcome", "reason", "uri", "first_seen"}
    assert rows[0]["outcome"] == "failed" and "truncated" in rows[0]["reason"]


def test_status_load_sql_and_export(lake, capsys, tmp_path):
    code, out, _ = call(capsys, "status", "--store", lake, "--json")
    assert code == 0 and json.loads(out)["datasets"][0]["samples"] == 48
    code, out, err = call(capsys, "load", "demo", "text.style.words", "--label", "emotion", "--store", lake)
    assert code == 0 and out.splitlines()[0] == "sample_id,emotion,speaker,text.style.words" and "48 samples" in err
    code, out, _ = call(capsys, "sql", 'select count(*) n from "demo.text.style"', "--store", lake, "--json")
    assert code == 0 and json.loads(out)[0]["n"] > 40
    code, _, _ = call(capsys, "export", "demo", tmp_path / "out", "--store", lake)
    assert code == 0 and (tmp_path / "out" / "text.style.parquet").exists()


def test_a_value_leads_back_to_the_weights(lake):
    from affectlake.data import Store
    from affectlake.data.checksums import file_sha256
    from affectlake.features import registry

    store = Store(lake)
    name = store.load("demo", "text.style", missing="drop").index[0]
    found = store.explain("demo", name, "text.style.words")
    files = registry.get("text.style").weights()
    assert found["weights"] == {p.name: file_sha256(p) for p in files} and found["source"]["text"]


def test_put_brings_features_in(lake, capsys, tmp_path):
    ids = pd.read_parquet(lake / "current" / "demo" / "samples")["sample_id"]
    frame = pd.DataFrame({"sample_id": ids, "au_1": np.linspace(0, 1, len(ids)), "note": "x"})
    frame.to_csv(tmp_path / "au.csv", index=False)
    code, out, _ = call(
        capsys, "put", "demo", "face.au", tmp_path / "au.csv", "--columns", "au_*", "--store", lake, "--json"
    )
    assert code == 0 and json.loads(out)["extractors"]["face.au"]["new"] == 48
    code, _, err = call(capsys, "put", "demo", "face.au", tmp_path / "au.csv", "--store", lake)
    assert code == 2 and "'note' is not numeric" in err


def test_put_takes_samples_from_the_table_where_there_are_none_yet(capsys, tmp_path):
    table = pd.DataFrame({"sample_id": ["a", "b"], "Speaker": ["anna", "ben"], "turn": [0, 1], "emotion": ["joy", ""]})
    table.assign(face_1=[0.5, 0.25], voice_1=[1, 2]).to_csv(tmp_path / "votes.csv", index=False)
    words = ["put", "votes", "face.votes", tmp_path / "votes.csv", "--columns", "face_*", "--store", tmp_path / "lake"]
    code, _, err = call(capsys, *words)
    assert code == 0 and "about the samples: speaker, turn, emotion, voice_1" in err
    code, _, err = call(capsys, *(w.replace("face", "voice") if isinstance(w, str) else w for w in words))
    assert code == 0 and "votes has its samples already: speaker, turn, emotion, face_1" in err
    got = Store(tmp_path / "lake").load("votes", ["*"], label="emotion")
    assert got["speaker"].tolist() == ["anna", "ben"] and got["emotion"].isna().tolist() == [False, True]
    assert got[["face.votes.face_1", "voice.votes.voice_1"]].to_numpy().tolist() == [[0.5, 1], [0.25, 2]]


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_a_manifest_that_is_no_file_is_said_to_be_what_it_is(capsys, tmp_path, kind):
    table = tmp_path / "table.csv"
    os.mkfifo(table) if kind == "pipe" else table.mkdir()
    code, _, err = call(capsys, "refresh", "mine", "--manifest", table, "--store", tmp_path / "lake", "--no-prefect")
    assert code == 2 and err.splitlines()[-1] == f"affectlake: no manifest {table}: a {kind}, not a file"
    config = tmp_path / "affectlake.toml"
    config.write_text(f'store = "{tmp_path}/lake"\n[[dataset]]\nname = "mine"\nmanifest = "{table}"\n')
    code, _, err = call(capsys, "nightly", config, "--check")
    assert code == 2 and f"{table}: a {kind}, not a file" in err.splitlines()[-1]
    with pytest.raises(AffectlakeError, match=f"a {kind}, not a file"):
        read_manifest(table, "mine")
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("option", ["--manifest", "--root"])
def test_a_corpus_below_a_path_that_is_not_utf8_is_refused_in_one_line(capsys, tmp_path, option):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/c\xff"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes no such names")
    (folder / "m.csv").write_text("sample_id,text\na,hello\n")
    data = folder / "m.csv" if option == "--manifest" else folder
    code, _, err = call(capsys, "refresh", "ravdess", option, data, "--store", tmp_path / "lake", "--no-prefect")
    assert code == 2 and r"c\xff" in err and "the path is not UTF-8" in err.splitlines()[-1]
    assert not (tmp_path / "lake").exists()
    link = tmp_path / "plain"
    link.symlink_to(folder)
    words = ("refresh", "mine", "--manifest", link / "m.csv", "--store", tmp_path / "lake", "--only", "text.style")
    assert call(capsys, *words, "--no-prefect", "--workers", 1)[0] == 0


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_put_of_what_is_no_file_ends_at_once(capsys, tmp_path, kind):
    table = Path("/dev/zero") if kind == "device" else tmp_path / "table.csv"
    if kind == "pipe":
        os.mkfifo(table)
    elif kind == "folder":
        table.mkdir()
    code, out, err = call(capsys, "put", "demo", "audio.mine", table, "--store", tmp_path / "lake")
    assert (code, out) == (2, "") and err.strip() == f"affectlake: {table.name}: a {kind}, not a file"
    assert not (tmp_path / "lake").exists()


def test_bench_report_and_predict(lake, corpus, capsys, tmp_path):
    words = ["bench", "demo", "--label", "emotion", "--store", lake, "--folds", "3", "--models", "logreg"]
    words += ["--fusions", "unimodal", "early", "late-mean", "dummy", "--workers", "1", "--no-prefect"]
    words += ["--features", "audio.spectral", "text.style"]
    code, out, err = call(capsys, *words, "--json", "--report", tmp_path / "r.html", "--save", tmp_path / "m.affect")
    assert code == 0, err
    document = json.loads(out)
    assert {"dataset", "label", "protocol", "folds", "snapshot", "n_samples", "n_speakers", "leakage", "rows"} <= set(
        document
    )
    assert document["protocol"] == "grouped" and document["synthetic"]
    assert {r["fusion"] for r in document["rows"]} == {"unimodal", "early", "late-mean", "dummy"}
    first = document["rows"][0]["uar"]
    assert set(first) == {"value", "low", "high", "reason"} and first["low"] is None and "speakers" in first["reason"]
    page = (tmp_path / "r.html").read_text()
    assert "Synthetic data" in page and "http" not in page.split("</style>")[1].replace("https://", "")
    code, out, _ = call(capsys, "report", "demo", "--store", lake, "--out", tmp_path / "again.html")
    assert code == 0 and (tmp_path / "again.html").stat().st_size > 10_000
    wav = next(p for p in sorted(corpus.parent.rglob("*.wav")))
    code, out, err = call(
        capsys, "predict", tmp_path / "m.affect", wav, "--text", "I am so happy!", "--workers", "1", "--json"
    )
    row = json.loads(out)[0]
    assert code == 0, err
    assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5) and row["label"] in row["probabilities"]


def tone(path: Path, seconds=1.0, rate=16_000, channels=1):
    t = np.arange(int(seconds * rate)) / rate
    y = (0.3 * np.sin(2 * np.pi * 180 * t) * (1 + 0.3 * np.sin(2 * np.pi * 4 * t)) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as f:
        f.setnchannels(channels)
        f.setsampwidth(2)
        f.setframerate(rate)
        f.writeframes(np.repeat(y, channels).tobytes())


def test_bad_files_cost_only_themselves(tmp_path, capsys):
    soundfile = pytest.importorskip("soundfile")
    for i in range(3):
        tone(tmp_path / f"good{i}.wav", 1 + 0.1 * i)
    tone(tmp_path / "eight.wav", channels=8)
    tone(tmp_path / "fast.wav", rate=192_000)
    tone(tmp_path / "zero.wav", seconds=0)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("this is no sound at all\n" * 50)
    soundfile.write(tmp_path / "whole.flac", np.random.default_rng(0).normal(0, 0.1, 32_000), 16_000)
    (tmp_path / "cut.flac").write_bytes((tmp_path / "whole.flac").read_bytes()[:20_000])
    (tmp_path / "whole.flac").unlink()
    files = sorted([*tmp_path.glob("*.wav"), *tmp_path.glob("*.flac")])
    manifest = pd.DataFrame({"sample_id": [f.stem for f in files], "audio": [f.name for f in files]})
    pd.concat([manifest, pd.DataFrame([{"sample_id": "gone", "audio": "gone.wav"}])]).to_csv(
        tmp_path / "m.csv", index=False
    )
    store = tmp_path / "lake"
    words = ["refresh", "mine", "--manifest", tmp_path / "m.csv", "--store", store, "--only", "audio.spectral"]
    code, _, err = call(capsys, *words, "--no-prefect", "--workers", "2")
    assert code == 3 and "affectlake failures mine" in err
    _, out, _ = call(capsys, "failures", "mine", "--store", store, "--not-applicable", "--json")
    listed = {r["sample_id"]: r for r in json.loads(out)}
    good = pd.read_parquet(store / "current" / "mine" / "audio.spectral")["sample_id"]
    assert sorted(good) == ["eight", "fast", "good0", "good1", "good2"]
    assert set(listed) == {"cut", "empty", "text", "zero", "gone"}
    assert all(len(r["reason"]) > 10 and "\n" not in r["reason"] for r in listed.values())
    assert listed["cut"]["outcome"] == "failed" and "truncated" in listed["cut"]["reason"]


def test_only_what_changed_is_computed(tmp_path, capsys, monkeypatch):
    """Touched, changed, moved and deleted files, and another version of an extractor."""
    media = tmp_path / "media"
    media.mkdir()
    for i in range(6):
        tone(media / f"{i}.wav", 0.5 + 0.1 * i)

    def refreshed(folder, names) -> dict[str, int]:
        frame = pd.DataFrame({"sample_id": names, "audio": [f"{folder}/{n}.wav" for n in names]})
        frame.to_csv(tmp_path / "m.csv", index=False)
        words = ["refresh", "mine", "--manifest", tmp_path / "m.csv", "--store", tmp_path / "lake", "--no-prefect"]
        code, out, err = call(capsys, *words, "--only", "audio.modulation", "--workers", "1", "--json")
        assert code == 0, err
        return {k: v for k, v in json.loads(out)["extractors"]["audio.modulation"].items() if v}

    names = list("012345")
    assert refreshed("media", names) == {"new": 6}
    for path in media.glob("*.wav"):
        path.touch()
    assert refreshed("media", names) == {"unchanged": 6}
    tone(media / "1.wav", 0.75)
    tone(media / "4.wav", 0.85)
    assert refreshed("media", names) == {"recomputed": 2, "unchanged": 4}
    media.rename(tmp_path / "moved")
    assert refreshed("moved", names) == {"unchanged": 6}
    assert refreshed("moved", names[:4]) == {"unchanged": 4, "removed": 2}
    from affectlake.features import registry

    monkeypatch.setattr(type(registry.get("audio.modulation")), "version", "99")
    assert refreshed("moved", names[:4]) == {"recomputed": 4}


def test_everything_gone_is_a_missing_mount_and_changes_nothing(tmp_path, capsys):
    for i in range(3):
        tone(tmp_path / f"{i}.wav")
    pd.DataFrame({"sample_id": list("abc"), "audio": [f"{i}.wav" for i in range(3)]}).to_csv(
        tmp_path / "m.csv", index=False
    )
    words = [
        "refresh",
        "mine",
        "--manifest",
        tmp_path / "m.csv",
        "--store",
        tmp_path / "lake",
        "--only",
        "audio.spectral",
    ]
    words += ["--no-prefect", "--workers", "1"]
    assert call(capsys, *words)[0] == 0
    for i in range(3):
        (tmp_path / f"{i}.wav").unlink()
    code, _, err = call(capsys, *words)
    assert code == 1 and "mount" in err
    assert len(pd.read_parquet(tmp_path / "lake" / "current" / "mine" / "audio.spectral")) == 3


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["refersh"], 2, "refresh"),
        (["refresh", "ravdes", "--root", "/nowhere"], 2, "did you mean 'ravdess'"),
        (["refresh", "mine"], 2, "--root FOLDER or --manifest FILE"),
        (["refresh", "mine", "--manifest", "/nowhere.csv"], 2, "no manifest"),
        (["refresh", "ravdess", "--root", "/nowhere", "--only", "audio.prosodi"], 2, ""),
        (["status", "--store", "/nowhere/at/all"], 1, "no store at"),
        (["bench", "demo", "--label", "emotoin", "--store", "{lake}", "--no-prefect"], 2, "did you mean 'emotion'"),
        (["bench", "demo", "emotoin", "--store", "{lake}", "--no-prefect"], 2, "did you mean 'emotion'"),
        (["bench", "demmo", "--label", "emotion", "--store", "{lake}", "--no-prefect"], 2, "did you mean 'demo'"),
        (["bench", "demo", "--label", "emotion", "--store", "{lake}", "--protocol", "kfold", "--no-prefect"], 2, "ran"),
        (["load", "demo", "audio.spectrall", "--store", "{lake}"], 2, "did you mean"),
        (["failures", "nobody", "--store", "{lake}"], 2, "unknown dataset"),
        (["predict", "/nowhere.affect", "x.wav"], 1, "no model file"),
        (["put", "demo", "faceau", "x.csv", "--store", "{lake}"], 2, "modality.name"),
        (["show", "audio.prosodi"], 2, "did you mean 'audio.prosody'"),
        (["sql", "selec", "--store", "{lake}"], 2, "syntax"),
        (["report", "demo2", "--store", "{lake}"], 1, "no benchmark"),
    ],
)  # fmt: skip
def test_bad_input_ends_in_one_line(lake, capsys, words, code, message):
    found, out, err = call(capsys, *(w.format(lake=lake) for w in words))
    assert found == code and message in err and "Traceback" not in err and not out


def test_listings(capsys):
    for name in ("extractors", "datasets", "doctor"):
        code, out, _ = call(capsys, name, "--json")
        assert code == 0 and len(json.loads(out)) >= 5
    code, out, _ = call(capsys, "show", "audio.prosody", "--json")
    assert code == 0 and json.loads(out)["columns"][0]["unit"]
    code, out, _ = call(capsys, "show", "ravdess", "--json")
    assert code == 0 and "CC-BY-NC-SA" in out


@pytest.mark.parametrize("width", ["50", "120"])
def test_tables_fit_the_terminal(lake, width):
    """On a terminal, lines are no longer than it is wide."""
    code = (
        "import sys; sys.stdout.isatty = lambda: True; from affectlake.flows.cli.app import run; "
        f"run(['status', '--store', {str(lake)!r}])"
    )
    environment = {"COLUMNS": width, "NO_COLOR": "1", "TERM": "xterm", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    assert done.returncode == 0 and max(map(len, plain.splitlines())) <= int(width)


def test_the_wheel_works_elsewhere(tmp_path):
    root = Path(__file__).parents[1]
    source = tmp_path / "source"
    for part in ("root", "data", "features", "models", "flows"):
        shutil.copytree(root / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "README.md"):
        shutil.copy(root / part, source / part)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    site = next((tmp_path / "env" / "lib").iterdir()) / "site-packages"
    wheel = next(tmp_path.glob("*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    # What the wheel depends on is here already; the path alone does not bring the editable install along.
    (site / "here.pth").write_text(str(Path(pd.__file__).parents[1]))
    script = (
        "from affectlake.flows.cli.app import run; import affectlake.data as d; "
        "import affectlake; print(d.__file__, affectlake.__version__); run(['extractors', '--json'])"
    )
    done = subprocess.run(
        [tmp_path / "env" / "bin" / "python", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    first, _, listing = done.stdout.partition("\n")
    where, version = first.split()
    assert wheel.name.startswith(f"affectlake-{version}-")
    assert all(
        (site / "affectlake" / room / "py.typed").exists() for room in ("", "data", "features", "models", "flows")
    )
    assert where.startswith(str(site)) and {e["name"] for e in json.loads(listing)} >= {"audio.prosody", "text.style"}
    assert (site / "affectlake" / "flows" / "templates" / "report.html").exists()


def test_an_option_of_a_benchmark_is_written_once():
    """The command, the plan and the configuration take what the options name; the machine's are no night's own."""
    from dataclasses import fields

    from affectlake.flows.benchmark import BenchOptions
    from affectlake.flows.config import Bench
    from affectlake.flows.options import OnEngine
    from affectlake.models.plan import Plan

    options = {f.name for f in fields(BenchOptions)}
    machine = {f.name for f in fields(OnEngine)}
    assert set(Bench.model_fields) == options - machine - {"dataset", "store", "as_of", "train_on"}
    assert {f.name for f in fields(Plan)} - options == {"inner", "draws", "test_on"}


def test_show_knows_the_datasets_of_a_store(lake, capsys, tmp_path):
    code, out, _ = call(capsys, "show", "demo", "--store", lake, "--json")
    assert code == 0 and json.loads(out)["samples"] == 48
    code, out, _ = call(capsys, "show", "demo", "--store", lake)
    assert code == 0 and "text.style" in out
    code, _, err = call(capsys, "show", "demmo", "--store", lake)
    assert code == 2 and "did you mean 'demo'" in err
    assert call(capsys, "show", "demo", "--store", tmp_path / "none")[0] == 2


@pytest.mark.parametrize("name", ["demo.samples", "demo.text.style"])
def test_sql_says_that_names_with_dots_are_quoted(lake, capsys, name):
    code, _, err = call(capsys, "sql", f"select count(*) from {name}", "--store", lake)
    assert code == 2 and f"quoted as a whole: '\"{name}\"'" in err
    code, _, err = call(capsys, "sql", f'select nothing from "{name}"', "--store", lake)
    assert code == 2 and "quoted as a whole" not in err


def test_a_configuration_of_any_name_is_written_where_it_is_absent(lake, capsys, tmp_path):
    config = tmp_path / "mine.toml"
    code, out, err = call(capsys, "nightly", config, "--check", "--store", lake)
    assert code == 0 and f"wrote {config}" in err and json.loads(out)["dataset"][0]["name"] == "demo"
