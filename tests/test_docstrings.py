"""Every example in a docstring runs, and gives what it says."""

import doctest
import importlib
import pkgutil

import pytest

ROOMS = ("data", "features", "models", "flows")
_OPTIONAL = {"opensmile", "ray", "distributed"}


def modules() -> list[str]:
    names = ["affectlake"]
    for room in ROOMS:
        package = importlib.import_module(f"affectlake.{room}")
        names += [m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return sorted(names)


@pytest.mark.parametrize("name", modules())
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in _OPTIONAL:
            raise
        pytest.skip(f"needs {error.name}")
    done = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert not done.failed


@pytest.mark.parametrize(
    "place",
    ["data.store._store.Store", "data.samples.samples_frame", "data.dataset.Dataset", "features.protocol.Extractor"],
)
def test_what_most_users_meet_has_examples(place):
    module, _, name = f"affectlake.{place}".rpartition(".")
    assert doctest.DocTestParser().get_examples(getattr(importlib.import_module(module), name).__doc__)
