"""The layout that the README promises: imports run one way, packages match folders, the command starts quickly."""

import ast
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("data", "features", "models", "flows")
MAY_IMPORT = {
    "data": {"data"},
    "features": {"data", "features"},
    "models": {"data", "models"},
    "flows": {"data", "features", "models", "flows"},
}
FILES = sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    room = path.relative_to(ROOT).parts[0]
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("affectlake.")}
    assert ours <= MAY_IMPORT[room]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_flows_know_prefect(path):
    if path.relative_to(ROOT).parts[0] != "flows":
        assert not any(name.split(".")[0] == "prefect" for name in imported(path))


def module(path: Path) -> str:
    return ".".join(("affectlake", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {module(path): path for path in FILES}


def modules_imported(path: Path) -> set[str]:
    """Our modules that a file imports, inside of functions and for types alone too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in (a.name for a in node.names)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in whole}
    return found & set(MODULES) - {module(path)}


def test_no_imports_run_in_circles():
    graph = {name: modules_imported(path) for name, path in MODULES.items()}
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError, which names a circle


def test_packages_are_the_folders():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {"affectlake." + ".".join(p.parent.relative_to(ROOT).parts) for p in FILES if p.name == "__init__.py"}
    assert set(setuptools["packages"]) == folders | {"affectlake"}
    assert setuptools["package-dir"] == {f"affectlake.{room}": room for room in ROOMS} | {"affectlake": "root"}
    assert all((ROOT / room / "py.typed").exists() for room in ("root", *ROOMS))


@pytest.mark.parametrize("room", ["root", *ROOMS])
def test_the_bare_folder_name_is_refused(room):
    done = subprocess.run([sys.executable, "-c", f"import {room}"], cwd=ROOT, capture_output=True, text=True)
    assert "import affectlake" in done.stderr and done.returncode == 1


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


HEAVY = {"librosa", "cv2", "torch", "sentence_transformers", "sklearn", "xgboost", "prefect", "transformers", "nltk"}


def test_listing_extractors_loads_no_heavy_library():
    assert not loaded_after("from affectlake.features.registry import extractors; extractors()") & HEAVY


def test_help_loads_neither_pandas_nor_anything_heavy():
    # A budget in modules holds on every machine; one in seconds would not.
    loaded = loaded_after("from affectlake.flows.cli.app import run; run(['--help'])")
    assert not loaded & (HEAVY | {"pandas", "pyarrow", "deltalake", "duckdb", "numpy"})


def test_the_reader_needs_no_extras():
    assert not loaded_after("from affectlake.data import Store") & HEAVY
