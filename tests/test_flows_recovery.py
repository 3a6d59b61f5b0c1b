"""Nights killed by SIGKILL at any point: the next one finishes, and does nothing twice that was kept."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from affectlake.data import Store

LONG, SHORT = 512, 88
"""Texts of the first chunk, which is kept as soon as it is done, and of the second, in which the night is killed."""

CONFIG = """
log = "json"
workers = 1
[[dataset]]
name = "texts"
manifest = "texts.csv"
only = ["text.evil"]
[dataset.benchmark]
label = "emotion"
folds = 2
models = ["logreg"]
fusions = ["unimodal", "dummy"]
"""


class Night:
    """A night in a process of its own, whose log lines say where it is."""

    def __init__(self, folder: Path):
        plugin = str(Path(__file__).parent / "plugin")
        environment = os.environ | {"PYTHONPATH": plugin, "EVIL_LOG": str(folder / "work.log"), "OMP_NUM_THREADS": "1"}
        code = "from affectlake.flows.cli.app import main\nif __name__ == '__main__':\n    main()\n"
        (folder / "main.py").write_text(code)
        command = [sys.executable, folder / "main.py", "nightly", "affectlake.toml", "--once", "--no-prefect"]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip

    def until(self, message: str) -> None:
        for line in self.process.stderr:
            if message in line:
                return
        pytest.fail(f"the night ended before it said {message!r}")

    def kill(self) -> None:
        """As when the power fails: this process and all that it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def end(self) -> dict:
        out, err = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, err
        return json.loads(out)["datasets"][0]


@pytest.fixture
def folder(tmp_path):
    # The longest come first: plenty of quick ones, then slow ones, so that there is time to kill.
    # The very first takes longer than the store waits for more before it keeps what is done.
    texts = [f"work {'for long' if i == 0 else i} {'!' * 40}" for i in range(LONG)] + [
        f"work slowly {i:03}" for i in range(SHORT)
    ]
    frame = pd.DataFrame({"sample_id": [f"t{i}" for i in range(len(texts))], "text": texts})
    frame["emotion"] = ["joy", "anger"] * (len(texts) // 2)
    frame["speaker"] = [f"s{i // 2 % 6}" for i in range(len(texts))]
    frame.to_csv(tmp_path / "texts.csv", index=False)
    (tmp_path / "affectlake.toml").write_text(CONFIG)
    (tmp_path / "work.log").touch()
    return tmp_path


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_night_killed_at_every_stage_is_finished_without_doing_things_twice(folder):
    def done() -> list[str]:
        return (folder / "work.log").read_text().splitlines()

    night = Night(folder)
    night.until("texts: lock took")
    night.kill()  # while it scans

    night = Night(folder)
    night.until("texts: plan took")
    kept = folder / "lake" / "pending" / "texts"
    wait_for(lambda: len(done()) > LONG and any(kept.rglob("*.json")))
    night.kill()  # while it computes
    assert not Store(folder / "lake").status()["datasets"]
    interrupted = len(done())
    assert LONG < interrupted < LONG + SHORT

    night = Night(folder)
    night.until("texts: compute took")
    night.kill()  # while it publishes: what came last may not have been kept yet
    night = Night(folder)
    night.until("texts: benchmark begins")
    night.kill()
    counts = Counter(done())
    assert len(counts) == LONG + SHORT
    assert all("slowly" in text for text, n in counts.items() if n > 1)  # nothing of the chunk that was kept
    night = Night(folder)
    night.until("texts: report begins")
    night.kill()
    entry = Night(folder).end()
    assert Counter(done()) == counts  # once it was kept, nothing was computed again
    assert not entry["benchmark"]["ran"]  # nor benchmarked: the night that was killed in its report had done that
    assert (folder / "reports" / "texts.html").exists()
    assert entry["changes"]["new"]["count"] == LONG + SHORT  # nobody had been told yet
    states = [json.loads(p.read_text())["state"] for p in sorted((folder / "reports" / "runs").glob("*.json"))]
    assert states == ["interrupted"] * 5 + ["done"]
    frame = Store(folder / "lake").load("texts", "text.evil", missing="error")
    assert len(frame) == LONG + SHORT and (frame["text.evil.one"] == 1).all()


def test_most_files_gone_is_a_missing_mount_too(tmp_path, capsys):
    from affectlake.flows.cli.app import run

    for i in range(4):
        (tmp_path / f"{i}.bmp").write_bytes(b"no picture")
    pd.DataFrame({"sample_id": list("abcd"), "image": [f"{i}.bmp" for i in range(4)]}).to_csv(
        tmp_path / "m.csv", index=False
    )
    words = ["refresh", "mine", "--manifest", str(tmp_path / "m.csv"), "--store", str(tmp_path / "lake")]
    words += ["--only", "image.color", "--no-prefect", "--workers", "1"]
    assert run(words) == 3
    for i in range(3):
        (tmp_path / f"{i}.bmp").unlink()
    assert run(words) == 1
    assert "4 readable files and has 1 now: is a mount missing?" in capsys.readouterr().err
    assert run([*words, "--max-missing", "1"]) == 3
    (tmp_path / "m.csv").write_text("sample_id,image\na,3.bmp\n")  # a manifest that was cut short
    assert run(words) == 1 and "4 samples and has 1 now" in capsys.readouterr().err
    assert Store(tmp_path / "lake").snapshot("mine").samples == 4


def test_a_share_that_does_not_answer_is_tried_again_and_its_files_are_not_taken_for_gone(tmp_path, monkeypatch):
    from affectlake.features import _files
    from affectlake.flows.config import load_config
    from affectlake.flows.nightly import night

    (tmp_path / "a.bmp").write_bytes(b"no picture")
    (tmp_path / "m.csv").write_text("sample_id,image\na,a.bmp\n")
    (tmp_path / "c.toml").write_text(
        'workers = 1\nretry_seconds = 0\n[[dataset]]\nname = "m"\nmanifest = "m.csv"\nonly = ["image.color"]\n'
        'gate = "warn"\n'
    )
    outages = [OSError(errno.ESTALE, "Stale file handle"), OSError(errno.ENOTCONN, "not connected")]
    stat = os.stat

    class System:
        """The module os, whose stat fails twice."""

        def __getattr__(self, name):
            return getattr(os, name)

        def stat(self, path):
            if outages:
                raise outages.pop()
            return stat(path)

    monkeypatch.setattr(_files, "os", System())
    entry = night(load_config(tmp_path / "c.toml"))["datasets"][0]
    assert entry["attempts"] == 3 and entry["state"] == "done"
    [bad] = entry["changes"]["bad"]["new"]["items"]
    assert "a.bmp" in bad["uri"] and Store(tmp_path / "lake").files("m")["size"].tolist() == [10]


def test_an_interrupt_says_that_results_are_kept_and_the_next_refresh_does_the_rest(tmp_path, monkeypatch, capsys):
    from affectlake.features.compute import compute
    from affectlake.features.results import results
    from affectlake.flows import refresh
    from affectlake.flows.cli.app import run

    (tmp_path / "m.csv").write_text("sample_id,text,language\n" + "".join(f"s{i},text {i},en\n" for i in range(9)))
    words = ["refresh", "d", "--manifest", str(tmp_path / "m.csv"), "--store", str(tmp_path / "lake")]
    words += ["--only", "text.style", "--no-prefect", "--workers", "1", "--json"]

    def interrupted(work, options, places):
        (chunk,) = work.chunks
        yield results([chunk], [compute(replace(chunk, requests=chunk.requests[:4]))])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(refresh, "run_here", interrupted)
        assert run(words) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "affectlake: interrupted; what was computed so far is kept"
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["computed"] == {"text.style": 5}


def test_a_refresh_that_is_told_to_end_leaves_nothing_running(folder):
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parent / "plugin"),
        "EVIL_LOG": str(folder / "work.log"),
    }
    code = "from affectlake.flows.cli.app import main\nif __name__ == '__main__':\n    main()\n"
    (folder / "main.py").write_text(code)
    words = ["refresh", "texts", "--manifest", "texts.csv", "--only", "text.evil", "--workers", "2", "--no-prefect"]
    process = subprocess.Popen(
        [sys.executable, folder / "main.py", *words], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: (folder / "work.log").read_text())
    process.terminate()
    said = process.communicate(timeout=60)[1].splitlines()  # its end: nobody holds its stderr any more
    assert process.returncode == 143
    said = [line for line in said if not line.startswith("computing: ")]  # which a slow machine says of a long stage
    assert said == ["texts: refresh begins", "affectlake: told to end; what was computed so far is kept"]
