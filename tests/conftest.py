"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("shared machine", deadline=None)  # how long an example takes depends on who else computes
settings.load_profile("shared machine")


@pytest.fixture(autouse=True)
def environment_kept():
    """What a test, or the code that it runs, sets in the environment ends with it."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})


@pytest.fixture(autouse=True)
def not_told_that_it_goes_on(monkeypatch):
    """What a command says on stderr does not depend on who else computes."""
    monkeypatch.setattr("affectlake.flows.progress.PATIENCE", 600.0)


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


@pytest.fixture(scope="module")
def cloud():
    """A server that speaks S3, with a bucket called calls."""
    from elsewhere import s3

    with s3() as front:
        front.put("calls")
        yield front


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """Manifest of a small generated corpus; never changed by a test."""
    from affectlake.data.demo import make_demo

    return make_demo(tmp_path_factory.mktemp("corpus"), seed=1, samples=48, speakers=4)


@pytest.fixture(scope="session")
def inputs(corpus) -> dict[str, list]:
    """Decoded inputs for every kind of extractor, from the generated corpus."""
    import pandas as pd

    from affectlake.data.errors import AffectlakeError
    from affectlake.data.manifest import read_manifest
    from affectlake.features.inputs import READERS, Request
    from affectlake.features.scan import media_uris, requests, scan

    samples = read_manifest(corpus, "demo")
    stats = scan(media_uris(samples), pd.DataFrame())
    found: dict[str, list] = {}
    for reads, reader in READERS.items():
        found[reads] = []
        # Who has a text is not heard.
        asked = samples.assign(text=pd.Series(dtype="str")) if reads == "speech" else samples
        for row in requests(asked, stats, reads).head(2 if reads == "speech" else 6).itertuples():
            context = ("I see.", "Oh no!") if reads == "dialogue" else ()
            try:
                found[reads].append(reader(Request(row.content, row.uri, text=row.text, context=context)))
            except AffectlakeError:
                continue  # the corpus holds broken files on purpose
        assert found[reads], f"no input for {reads}"
    return found
