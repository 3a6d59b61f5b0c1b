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
