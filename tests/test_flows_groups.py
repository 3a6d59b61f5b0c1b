"""What is worked on part by part is what is worked on at once: the same tables, row by row."""

from pathlib import Path

import pandas as pd
import pytest
from here import here
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affectlake.data import Store, spill
from affectlake.data.store import _shards, _writer
from affectlake.features import plan
from affectlake.flows.options import RefreshOptions
from affectlake.flows.refresh import refresh

PIXELS = "P3 1 2 255 {0} 0 0 0 {0} 9\n"  # a picture whose bytes are told by a number; 0 is none
WORDS = ("I am happy", "so sad", "", "what a day")

sample = st.tuples(st.integers(0, 6), st.integers(0, len(WORDS) - 1))
night = st.fixed_dictionaries(
    {
        "samples": st.dictionaries(st.sampled_from([f"s{i:02}" for i in range(14)]), sample, min_size=1, max_size=12),
        "pictures": st.dictionaries(st.integers(0, 6), st.integers(0, 3), max_size=3),
        "backwards": st.booleans(),
    }
)


def of_night(folder: Path, one: dict, written: dict[int, int]) -> None:
    """Files as they are that night, and their manifest."""
    for name, pixels in one["pictures"].items():
        (folder / f"{name}.ppm").write_text(PIXELS.format(pixels) if pixels else "no picture")
        written[name] = pixels
    rows = [(i, f"{name}.ppm" if name else "", WORDS[word]) for i, (name, word) in one["samples"].items()]
    rows += [("always", "1.ppm", WORDS[0])]
    order = rows[::-1] if one["backwards"] else rows
    pd.DataFrame(order, columns=["sample_id", "image", "text"]).to_csv(folder / "m.csv", index=False)


def tables(store: Store) -> dict[str, pd.DataFrame]:
    """Every table of the newest snapshot as it lies there, but for the times of the first failures."""
    found = {}
    for name, entry in store.snapshot("d").tables.items():
        table = store._tables.load_version(entry).to_pyarrow_table().to_pandas()
        if "shard" in table:
            table = table.sort_values("shard", kind="stable", ignore_index=True)
        found[name] = table.drop(columns=["first_seen"], errors="ignore")
    return found


@pytest.mark.parametrize("rows", [1, 3])
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nights=st.lists(night, min_size=1, max_size=4))
def test_parts_of_any_size_give_the_same_store(rows, nights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("groups")
    for name in range(7):
        (folder / f"{name}.ppm").write_text(PIXELS.format(name + 1))
    done = {}
    written: dict[int, int] = {}
    for one in nights:
        of_night(folder, one, written)
        for size in (rows, 10**6):
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(spill, "ROWS", size)
                patched.setattr(plan, "WINDOW", size)
                patched.setattr(_shards, "SHARD", 4)
                patched.setattr(_writer, "SHARD", 4)
                options = RefreshOptions(
                    "d",
                    manifest=str(folder / "m.csv"),
                    store=str(folder / f"lake{size}"),
                    only=("image.color", "text.style"),
                    max_missing=1.0,
                )
                done[size] = refresh(options, here)
        few, many = (tables(Store(folder / f"lake{size}")) for size in (rows, 10**6))
        assert few.keys() == many.keys()
        for name, table in many.items():
            pd.testing.assert_frame_equal(few[name], table, obj=name)
        assert done[rows].extractors == done[10**6].extractors
        assert done[rows].computed == done[10**6].computed and done[rows].problems == done[10**6].problems
