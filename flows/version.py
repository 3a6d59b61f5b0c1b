"""Which code is running: recorded with every snapshot and every score."""

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
def code_version() -> str:
    """``0.1.0`` for an installed wheel, ``0.1.0+g1a2b3c4`` in a checkout, with ``.dirty`` when it has changes."""
    try:
        installed = version("affectlake")
    except PackageNotFoundError:
        installed = "unknown"
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return installed
    revision = _git(root, "rev-parse", "--short", "HEAD")
    if revision is None:
        return installed
    return f"{installed}+g{revision}" + (".dirty" if _git(root, "status", "--porcelain") else "")


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
