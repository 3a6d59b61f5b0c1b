"""What the log of snapshots says in JSON is what earlier versions wrote and later ones may add to."""

import json

import pytest
from lakes import contents_of, refresh

from affectlake.data import Store
from affectlake.data.store import FeatureTable, TableRef
from affectlake.data.store._snapshots import Log, edit


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "lake", create=True)


WRITTEN = {
    "extractor_version": "3",
    "parameters": {"audio.band": 8000},
    "weights": {"model.onnx": "ab" * 32},
    "path": "features/d/audio.x",
    "version": 4,
    "fingerprint": "f1",
    "rows": 10,
    "wanted": 12,
    "columns": 2,
    "failed": 1,
    "not_applicable": 1,
}


@pytest.mark.parametrize(
    "more",
    [{}, {"reads": "dialogue"}, {"texts": ["words"]}, {"source": "cd" * 32}, {"of_tomorrow": {"a": [1, 2]}}],
    ids=str,
)
def test_a_feature_table_is_written_as_it_was_read(more):
    table = FeatureTable.of_json(WRITTEN | more)
    assert json.loads(json.dumps(table.to_json())) == WRITTEN | more
    assert table.key == ("features/d/audio.x", 4) and table.coverage == 10 / 12


def test_what_is_missing_is_named():
    with pytest.raises(KeyError, match="fingerprint"):
        FeatureTable.of_json({k: v for k, v in WRITTEN.items() if k != "fingerprint"})


def test_the_log_holds_plain_json(store):
    done, _ = refresh(store, contents_of(3))
    row = store._tables.open("snapshots").to_pyarrow_table().to_pylist()[0]
    tables = json.loads(row["tables"])
    assert tables["samples"] == {"path": "tables/d/samples", "version": 0}
    assert set(tables["features.audio.x"]) == set(WRITTEN)
    assert json.loads(row["counts"]) == {
        "audio.x": {"new": 3, "recomputed": 0, "unchanged": 0, "removed": 0, "failed": 0, "not_applicable": 0}
    }
    assert done.tables["samples"] == TableRef("tables/d/samples", 0)


def test_a_later_version_loses_nothing_when_the_log_is_rewritten(store):
    done, _ = refresh(store, contents_of(3))
    later = FeatureTable.of_json(done.features["audio.x"].to_json() | {"of_tomorrow": 1})
    done.tables["features.audio.x"] = later
    edit(store._tables, lambda rows: [done])
    edit(store._tables, lambda rows: rows)
    assert Log(store._tables).rows[0].features["audio.x"].other == {"of_tomorrow": 1}
