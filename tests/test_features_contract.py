"""What every extractor owes its users; a new one is tested here for free."""

import importlib
import math
import re

import numpy as np
import pytest

from affectlake.data.errors import NotApplicable, UnknownName
from affectlake.data.store._spelling import KEYS
from affectlake.features import registry
from affectlake.features.inputs import READERS
from affectlake.features.protocol import Extractor, Worded, fingerprint, modality, texts

ALL = registry.extractors()


@pytest.fixture(params=ALL.values(), ids=ALL.keys())
def extractor(request) -> Extractor:
    return request.param


def test_it_is_complete(extractor):
    assert isinstance(extractor, Extractor)
    assert modality(extractor.name) in registry.MODALITIES
    assert extractor.reads in READERS
    assert extractor.cost > 0
    assert extractor.version and extractor.licence and extractor.summary and extractor.install


def test_its_file_is_its_name(extractor):
    assert type(extractor).__module__.startswith(f"affectlake.features.{modality(extractor.name)}.")


def test_its_columns_are_documented(extractor):
    names = [c.name for c in extractor.columns]
    assert len(set(names)) == len(names) > 0
    for column in extractor.columns:
        assert re.fullmatch(r"[a-z0-9_]+", column.name), column
        assert column.low < column.high or math.isclose(column.low, column.high), column
        assert column.unit and column.description and column.source, column


def test_its_words_are_no_features(extractor):
    assert not set(texts(extractor)) & {*(c.name for c in extractor.columns), *KEYS, "outcome", "reason"}


@pytest.fixture
def available(extractor) -> Extractor:
    reason = registry.unavailable(extractor)
    if reason:
        pytest.skip(f"{extractor.name} {reason}")
    return extractor


def test_what_it_requires_can_be_imported(available):
    """Workers import it to be warm; a package that only carries weights does not belong there."""
    for module in available.requires:
        importlib.import_module(module)


def test_an_empty_batch_is_an_empty_answer(available):
    assert available.extract([]) == []


def test_its_fingerprint_changes_with_what_it_depends_on(available, monkeypatch):
    before = fingerprint(available, "1")
    assert before == fingerprint(available, "1") != fingerprint(available, "2")
    monkeypatch.setattr(available, "version", available.version + ".1", raising=False)
    assert fingerprint(available, "1") != before


def test_values_are_in_range_repeat_and_do_not_depend_on_the_batch(available, inputs):
    batch = inputs[available.reads]
    whole = available.extract(batch)
    assert len(whole) == len(batch)
    # a voice that was made up says no words
    assert available.reads == "speech" or any(isinstance(row, np.ndarray) for row in whole)
    for alone, together in zip((available.extract([one])[0] for one in batch), whole, strict=True):
        assert type(alone) is type(together)
        if isinstance(together, NotApplicable):
            assert str(together)
            continue
        if isinstance(together, Worded):
            assert alone.texts == together.texts
            alone, together = alone.values, together.values
        assert together.dtype == np.float32 and together.shape == (len(available.columns),)
        assert not np.isinf(together).any()
        # Another batch size means other matrix shapes, and with them another order of additions.
        np.testing.assert_allclose(alone, together, rtol=2e-3, atol=2e-4)
        for column, value in zip(available.columns, together, strict=True):
            slack = 1e-4 * max(1.0, abs(value))
            assert np.isnan(value) or column.low - slack <= value <= column.high + slack, (column, value)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UnknownName, match="did you mean"):
        registry.get(next(iter(ALL)) + "x")
    with pytest.raises(UnknownName):
        registry.select(["smell.*"])


def test_a_plug_in_is_found(evil):
    assert evil in registry.extractors()
