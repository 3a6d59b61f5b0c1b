"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real test data; the test is skipped where it is absent."""
    root = Path(os.environ.get("AFFECTLAKE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no real test data at {root} (set AFFECTLAKE_TEST_DATA)")
    return root


@pytest.fixture
def evil(monkeypatch) -> str:
    """Name of an extractor that a plug-in brings along and that misbehaves on request; see tests/plugin."""
    from affectlake.features import registry

    monkeypatch.syspath_prepend(Path(__file__).parent / "plugin")
    registry.extractors.cache_clear()
    yield "text.evil"
    registry.extractors.cache_clear()
