"""Weights that come in several packages: put together, checked against what their authors published, kept once."""

import hashlib
import io
import os
import zipfile

import pytest

from affectlake.data.errors import AffectlakeError
from affectlake.features import _packages, registry
from affectlake.features.text import _mpnet

WEIGHTS = bytes(range(256)) * 40


@pytest.fixture
def parts(monkeypatch, tmp_path):
    """A small archive of the same layout, cut into five, and an empty cache."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{_mpnet.NAME}/model.safetensors", WEIGHTS)
        archive.writestr(f"{_mpnet.NAME}/1_Pooling/config.json", "{}")
        archive.writestr(f"{_mpnet.NAME}/desktop.ini", "noise")
    data = whole.getvalue()
    step = len(data) // 5 + 1
    paths = tuple(tmp_path / f"part.{i}" for i in range(5))
    for i, path in enumerate(paths):
        path.write_bytes(data[i * step : (i + 1) * step])
    monkeypatch.setattr(_mpnet, "files", lambda: paths)
    monkeypatch.setattr(_mpnet, "SHA256", hashlib.sha256(WEIGHTS).hexdigest())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _mpnet.folder.cache_clear()
    yield paths
    _mpnet.folder.cache_clear()


def test_parts_make_a_model_that_is_unpacked_once(parts):
    folder = _mpnet.folder()
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert sorted(os.listdir(folder)) == ["1_Pooling", "model.safetensors"]
    assert os.listdir(folder.parent) == [folder.name], "nothing is left of the unpacking"
    for path in parts:
        path.unlink()
    _mpnet.folder.cache_clear()
    assert _mpnet.folder() == folder


def test_other_weights_are_refused_and_not_kept(parts, monkeypatch, tmp_path):
    monkeypatch.setattr(_mpnet, "SHA256", "0" * 64)
    with pytest.raises(AffectlakeError, match="those of its authors 0000"):
        _mpnet.folder()
    assert os.listdir(tmp_path / "cache" / "affectlake") == []


def test_a_missing_part_is_named(monkeypatch):
    monkeypatch.setattr(_mpnet, "DISTRIBUTION", "no-such-package-part-{:03d}")
    reason = registry.unavailable(registry.get("text.mpnet"))
    assert reason.startswith("the package no-such-package-part-001 is not installed: pip install")


def test_joined_files_read_as_one(tmp_path):
    paths = tuple(tmp_path / str(i) for i in range(4))
    for path, content in zip(paths, (b"abc", b"", b"defgh", b"i"), strict=True):
        path.write_bytes(content)
    with io.BufferedReader(_packages.Joined(paths), buffer_size=4) as whole:
        assert whole.read() == b"abcdefghi"
        assert whole.seek(-4, os.SEEK_END) == 5 and whole.read(3) == b"fgh"
        assert whole.seek(1) == 1 and whole.read(2) == b"bc"
