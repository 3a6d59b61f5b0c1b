"""What the files below deploy/ name is there, and systemd takes the unit."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_image_copies_what_is_there_and_installs_every_dependency():
    text = (ROOT / "deploy" / "Containerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M):
        assert all((ROOT / source).exists() for source in line.split()[:-1]), line
    copied = set(re.findall(r"^COPY (\w+) \1$", text, re.M))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert copied == set(project["tool"]["setuptools"]["package-dir"].values())
    command = [sys.executable, ROOT / "deploy" / "requirements.py", ROOT / "pyproject.toml", "all"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    extras = project["project"]["optional-dependencies"]
    parts = re.search(r"\[(.+)\]", extras["all"][0])[1].split(",")
    assert set(listed) == {*project["project"]["dependencies"], *(r for part in parts for r in extras[part])}


def test_systemd_takes_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    unit = (ROOT / "deploy" / "affectlake.service").read_text()
    unit = unit.replace("/opt/affectlake/bin/affectlake", sys.executable)  # it looks whether the command is there
    (tmp_path / "affectlake.service").write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "affectlake.service"], capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0 and "affectlake.service" not in done.stderr, done.stderr
