"""A store's daily life in a few lines, for the tests of the store."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa

from affectlake.data.samples import samples_frame
from affectlake.data.store import FeatureSpec, Store

COLUMNS = [{"name": "a", "unit": "Hz", "low": 0.0, "high": 1e6, "description": "first"}, {"name": "b"}]


def samples(ids, dataset="d", **columns) -> pd.DataFrame:
    frame = pd.DataFrame({"sample_id": list(ids), "text": [f"text of {i}" for i in ids]})
    frame["speaker"] = [f"speaker-{i.split('-')[0]}" for i in frame["sample_id"]]
    return samples_frame(frame.assign(**columns), dataset)


def value(content: str, fingerprint: str) -> float:
    return float(sum(map(ord, content + fingerprint)))


def results(contents, fingerprint, outcome="ok") -> pa.Table:
    ok = outcome == "ok"
    values = [value(c, fingerprint) if ok else None for c in contents]
    return pa.table(
        {
            "content": pa.array(contents, pa.string()),
            "outcome": pa.array([outcome] * len(contents), pa.string()),
            "reason": pa.array([None if ok else f"cannot read {c}" for c in contents], pa.string()),
            "a": pa.array(values, pa.float32()),
            "b": pa.array(values, pa.float32()),
        }
    )


def refresh(store, contents: dict[str, str], fingerprint="f1", bad=(), extractor="audio.x", dataset="d", **options):
    """What a refresh does: find what is not known, keep it, publish. Returns the snapshot and what was computed."""
    frame = samples(contents, dataset)
    with store.writer(dataset) as w:
        known = set(w.known(extractor, fingerprint)["content"])
        todo = sorted(set(contents.values()) - known)
        for content in todo:
            w.keep(extractor, fingerprint, results([content], fingerprint, "failed" if content in bad else "ok"))
        rows = pd.DataFrame({"sample_id": contents.keys(), "content": contents.values(), "uri": "file"})
        wanted = FeatureSpec(fingerprint, COLUMNS, "1", {"p": 1}, rows)
        return w.publish(frame, {extractor: wanted}, None, "test", "code", **options), todo


def read(store, as_of=None, dataset="d") -> dict[str, float]:
    frame = store.load(dataset, ["audio.x"], missing="drop", as_of=as_of)
    assert (frame["audio.x.a"] == frame["audio.x.b"]).all()
    return frame["audio.x.a"].to_dict()


def put_at_once(store, puts: int, writers: int) -> list[float]:
    """Tables of one column that several writers put at the same time, as they are read then."""

    def put(i):
        return Store(store.uri).put("d", "text", f"t{i}", pd.DataFrame({"v": [float(i)]}, index=["a-0"]))

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(put, range(puts)))
    row = store.load("d").iloc[0]
    return [row[f"text.t{i}.v"] for i in range(puts)]


def expected(contents, fingerprint="f1", bad=()):
    return {i: np.float32(value(c, fingerprint)) for i, c in contents.items() if c not in bad}


def contents_of(n, start=0):
    return {f"p{i % 7}-{i:05d}": f"c{i}" for i in range(start, start + n)}
