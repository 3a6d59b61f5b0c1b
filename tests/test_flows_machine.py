"""What the machine offers, how long extractors take on it, and how the command line says so."""

import json
import os
import subprocess
import sys

import pytest

from affectlake.features import registry, timing
from affectlake.flows.cli.app import run
from affectlake.flows.machine import GIB, machine


def test_a_store_that_is_not_there_yet_has_a_disk(tmp_path):
    found = machine(str(tmp_path / "a" / "b"))
    assert found.cores >= 1 and found.disk > 0 and machine("s3://bucket/lake").disk > 0


@pytest.mark.skipif(not os.path.exists("/proc/meminfo"), reason="only Linux tells so")
def test_memory_is_what_is_left():
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = machine().memory
    assert found is not None and 0 < found <= total


def test_doctor_measures(monkeypatch, capsys, tmp_path):
    names = {"text.style", "audio.modulation"}
    monkeypatch.setattr(registry, "unavailable", lambda e: None if e.name in names else "not now")
    monkeypatch.setattr(timing.timings, "__defaults__", (0.0,))
    assert run(["doctor", "--measure", "--json", "--store", str(tmp_path)]) == 0
    rows = {r["what"]: r for r in json.loads(capsys.readouterr().out)}
    assert all(rows[n]["found"].endswith(" ms a sample") for n in names)
    assert rows["audio.prosody"]["found"] == "no" and rows["audio.prosody"]["remedy"] == "not now"
    assert rows["cores"]["found"].isdigit() and rows["disk"]["found"].endswith("GiB free")


def test_an_extractor_that_breaks_costs_its_own_line(monkeypatch):
    def broken(batch):
        raise OSError("no\nmodel")

    style = registry.get("text.style")
    monkeypatch.setattr(type(style), "extract", lambda self, batch: broken(batch))
    monkeypatch.setattr(registry, "unavailable", lambda e: None if e is style else "not now")
    [found] = timing.timings(0.0)
    assert found.milliseconds is None and found.advice() == "OSError: no model"


def test_little_memory_is_told_with_what_to_do(monkeypatch, capsys):
    from affectlake.flows.machine import Machine

    monkeypatch.setattr("affectlake.flows.machine.machine", lambda store: Machine(8, 1.0, 3 * GIB, 100 * GIB))
    assert run(["doctor", "--json"]) == 0
    rows = {r["what"]: r for r in json.loads(capsys.readouterr().out)}
    assert "--workers 3" in rows["memory"]["remedy"] and not rows["disk"]["remedy"]


def test_the_version_tells_python_and_platform(capsys):
    assert run(["--version"]) == 0
    assert f"Python {sys.version.split()[0]}" in capsys.readouterr().out


def test_completion_is_installed_for_the_shell(tmp_path):
    environment = {"HOME": str(tmp_path), "SHELL": "/bin/bash", "PATH": os.environ["PATH"]}
    code = (
        "from affectlake.flows.cli.app import run; raise SystemExit(run(['--install-completion', '--shell', 'bash']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    written = [p for p in tmp_path.rglob("*") if p.is_file() and "leaderboard" in p.read_text(errors="replace")]
    assert written and "Traceback" not in done.stderr
