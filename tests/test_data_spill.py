"""Frames on disk are the frames that they were, and strings are found where they are."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectlake.data import lookup, spill
from affectlake.data.errors import AffectlakeError


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(spill, "ROWS", 7)


def frame(n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "text": pd.Series([f"é{i}" if i % 3 else None for i in range(n)], dtype="str"),
            "nothing": pd.Series([None] * n, dtype="str"),
            "number": np.arange(n) * 1.5,
            "whole": pd.array([None if i % 2 else i for i in range(n)], dtype="Int64"),
            "truth": pd.array([None if i % 5 else True for i in range(n)], dtype="boolean"),
            "time": pd.date_range("2020", periods=n, unit="us"),
            "zoned": pd.date_range("2020", periods=n, tz="UTC", unit="us"),
            "object": pd.Series([(i,) for i in range(n)], dtype=object),
        }
    )


@pytest.mark.parametrize("n", [0, 1, 7, 8, 40])
def test_a_frame_on_disk_is_the_frame(n):
    whole = frame(n)
    found = spill.on_disk(whole)
    pd.testing.assert_frame_equal(found, whole)
    spill.release()
    pd.testing.assert_frame_equal(pd.concat(list(spill.parts(found))), whole)
    pd.testing.assert_frame_equal(spill.on_disk(whole.set_axis(range(5, n + 5))), whole)


def test_a_frame_on_disk_outlives_its_parts_and_its_files():
    found = spill.spilled(frame(40).iloc[a : a + 5] for a in range(0, 40, 5))
    assert found["text"].iloc[38] == "é38" and found["number"].iloc[39] == 58.5


def test_a_full_disk_is_one_line_that_says_where(monkeypatch):
    monkeypatch.setattr(spill.tempfile, "TemporaryFile", lambda **_: open("/dev/full", "r+b", buffering=0))
    with pytest.raises(AffectlakeError, match="temporary files .* No space left on device; TMPDIR"):
        spill.on_disk(frame(40))


@given(st.lists(st.integers(0, 39), max_size=60))
def test_rows_are_taken_by_position_whatever_their_order(at):
    whole, chosen = frame(40), np.array(at, dtype=np.int64)
    pd.testing.assert_frame_equal(spill.taken(spill.on_disk(whole), chosen), whole.take(chosen))


@given(
    st.dictionaries(st.integers(0, 30), st.tuples(st.integers(0, 2), st.sampled_from(["x", "y", None]))),
    st.dictionaries(st.integers(0, 30), st.tuples(st.integers(0, 2), st.sampled_from(["x", "y", None]))),
)
def test_rows_that_differ_are_told_whatever_their_order(old, new):
    def table(rows):
        ids = pd.Series([f"s{i}" for i in rows], dtype="str")
        values = pd.Series([text for _, text in rows.values()], dtype="str")
        return spill.on_disk(pd.DataFrame({"sample_id": ids, "n": [n for n, _ in rows.values()], "text": values}))

    found = lookup.differing(table(old), table(new))
    same = {i for i in old if new.get(i) == old[i]}
    assert [f["sample_id"].tolist() for f in found] == [[f"s{i}" for i in rows if i not in same] for rows in (old, new)]


@given(st.lists(st.text(max_size=3)), st.lists(st.text(max_size=3)), st.booleans())
def test_strings_are_found_where_they_are_first(known, asked, poor):
    hashes, both = lookup._hashes, pytest.MonkeyPatch()
    if poor:  # strings whose first halves are equal
        both.setattr(lookup, "_hashes", lambda v: (hashes(v)[0] % np.uint64(3), hashes(v)[1]))
    with both.context():
        found = lookup.Positions(pd.Series(known, dtype="str"))
        where = [known.index(a) if a in known else -1 for a in asked]
        assert found.of(pd.Series(asked, dtype="str")).tolist() == where
        assert found.first.tolist() == sorted({known.index(k) for k in known}) and len(found) == len(set(known))
    both.undo()
