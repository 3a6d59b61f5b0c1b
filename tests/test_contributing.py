"""CONTRIBUTING.md tells the truth about where things are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ANSWERS = re.findall(
    r"^\| ([^|`]+\?) +\| `([\w/]+\.py)` +\| `(\w+)` +\|$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M
)


def defined(path: Path) -> set[str]:
    """Names that a module itself defines at its top."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {t.id for t in targets if isinstance(t, ast.Name)}
    return names


def test_twelve_questions_are_answered_by_twelve_files():
    assert len(ANSWERS) == len({file for _, file, _ in ANSWERS}) == 12


@pytest.mark.parametrize(("question", "file", "name"), ANSWERS)
def test_the_file_defines_it(question, file, name):
    assert name in defined(ROOT / file), question
