"""A store as the pages read it: what was read of a snapshot is kept, as it does not change."""

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd

from affectlake.data.errors import UnknownName
from affectlake.data.samples import MEDIA, attributes
from affectlake.data.store import Snapshot, Store, TableStatus
from affectlake.flows.compare import rows_of
from affectlake.flows.document import Document

CLASSES = 30
"""Different values up to which a column of samples is taken for classes, by which they can be told apart."""

CORPUS = 20_000
"""Samples, evenly spread over the dataset, beside which a value is placed."""

NAMED = 300
"""Columns of an extractor up to which they are shown one by one beside a sample."""

_DIGITS = re.compile(r"\d+")

_LAST = 100

_SMALL = 4_000_000  # values

_T = TypeVar("_T")


class Lake:
    """Reads a store for the pages.

    Notes
    -----
    One of them serves one page, which so is of one snapshot of each dataset; `afresh` makes the next one.
    """

    def __init__(self, store: Store, kept: "_Kept | None" = None):
        self.store = store
        self._kept = kept or _Kept()
        self._heads: dict[str, Snapshot] = {}

    def afresh(self) -> "Lake":
        """One that looks again which snapshots are the newest, and shares what is kept."""
        return Lake(self.store, self._kept)

    def snapshot(self, dataset: str) -> Snapshot:
        """The newest snapshot of a dataset."""
        if dataset not in self._heads:
            self._heads[dataset] = self.store.snapshot(dataset)
        return self._heads[dataset]

    def once(self, dataset: str, what: tuple[Any, ...], read: Callable[[], _T]) -> _T:
        """What ``read`` gives of a dataset, kept until a table has another version; an erasure changes old ones too."""
        snapshot = self.snapshot(dataset)
        key = (dataset, snapshot.id, *(t.key for t in snapshot.tables.values()), *what)
        return self._kept.once(key, read)

    def holds(self, dataset: str) -> bool:
        """Whether there is a dataset of this name, which a benchmark need not be of any more."""
        return any(d["dataset"] == dataset for d in self.store.status()["datasets"])

    def samples(self, dataset: str) -> pd.DataFrame:
        """The samples of a dataset, indexed by their ids."""
        snapshot = self.snapshot(dataset)
        return self.once(dataset, ("samples",), lambda: self.store.samples(dataset, snapshot).set_index("sample_id"))

    def sample(self, dataset: str, sample_id: str) -> pd.Series:
        """One sample; raises UnknownName where there is none."""
        samples = self.samples(dataset)
        if sample_id not in samples.index:
            raise UnknownName("sample", sample_id, samples.index)
        return samples.loc[[sample_id]].iloc[0]

    def classes(self, dataset: str) -> dict[str, pd.Series]:
        """Columns by which samples can be told apart, the labels first: how many samples have each value."""
        samples = self.samples(dataset)

        def counted() -> dict[str, pd.Series]:
            names = [*attributes(samples.columns), "split", "language", "speaker", "channel"]
            found = {n: samples[n].value_counts() for n in names if n in samples and _classes(samples[n])}
            return {n: c.rename(index=str) for n, c in found.items() if n == "speaker" or 1 < len(c) <= CLASSES}

        return self.once(dataset, ("classes",), counted)

    def tables(self, dataset: str) -> list[TableStatus]:
        """Feature tables of a dataset, see `Store.status`."""
        self.snapshot(dataset)  # which says what a name that is not there may mean
        return next(d for d in self.store.status()["datasets"] if d["dataset"] == dataset)["tables"]

    def embeddings(self, dataset: str) -> list[str]:
        """Extractors whose columns are numbered, and so mean something only together."""
        return [e for e in self.snapshot(dataset).features if self._numbered(dataset, e)]

    def named(self, dataset: str) -> list[str]:
        """Extractors whose columns, not too many, mean something each by itself."""
        few = [t["extractor"] for t in self.tables(dataset) if t["columns"] <= NAMED]
        return [e for e in few if not self._numbered(dataset, e)]

    def _numbered(self, dataset: str, extractor: str) -> bool:
        names = self.once(
            dataset, ("columns", extractor), lambda: list(self.store.columns(extractor, dataset)["column"])
        )
        return len({_DIGITS.sub("", n) for n in names}) * 10 < len(names)

    def describe(self, dataset: str, extractor: str) -> pd.DataFrame:
        """See `Store.describe`."""
        features = self.snapshot(dataset).features
        if extractor not in features:
            raise UnknownName("extractor", extractor, features)
        return self.once(dataset, ("describe", extractor), lambda: self.store.describe(dataset, [extractor]))

    def column(self, dataset: str, column: str) -> pd.Series:
        """Values of one column, in the order of the samples; raises UnknownName where there is none."""
        whole = self._whole(dataset, column.rpartition(".")[0])
        frame = self.store.load(dataset, [column]) if whole is None else whole
        if column not in frame or (whole is None and len(frame.columns) > 2):
            raise UnknownName("column", column, [c for c in frame.columns if c.count(".") > 1])
        return frame[column]

    def place(self, dataset: str, extractor: str, sample_id: str) -> pd.DataFrame:
        """A sample's values of an extractor, and the share of the corpus that is below each.

        Returns
        -------
        DataFrame [index=column, columns=(value, below)]
            ``below`` in [0, 1], half of those that are equal counted; NaN where there is no value.
        """
        whole = self._whole(dataset, extractor)
        known = self.once(dataset, ("corpus", extractor), lambda: self._corpus(dataset, extractor))
        frame = self.store.load(dataset, [extractor], ids=[sample_id]) if whole is None else whole.loc[[sample_id]]
        mine = numbers(frame).iloc[0]
        below = {str(c): _below(known[str(c)], float(v)) for c, v in mine.items()}
        return pd.DataFrame({"value": mine, "below": pd.Series(below)})

    def _whole(self, dataset: str, extractor: str) -> pd.DataFrame | None:
        """All values of an extractor where they are few enough to be kept; None elsewhere."""
        table = self.snapshot(dataset).features.get(extractor)
        if table is None or table.columns * len(self.samples(dataset)) > _SMALL:
            return None
        return self.once(dataset, ("values", extractor), lambda: self.store.load(dataset, [extractor]))

    def _corpus(self, dataset: str, extractor: str) -> dict[str, np.ndarray]:
        """Sorted values of each column."""
        frame = self._whole(dataset, extractor)
        if frame is None:
            frame = self.store.load(dataset, [extractor], ids=spread(self.samples(dataset).index, CORPUS))
        frame = numbers(frame)
        return {str(c): np.sort(v[np.isfinite(v)]) for c, v in ((c, frame[c].to_numpy(np.float32)) for c in frame)}

    def outcomes(self, dataset: str) -> pd.DataFrame:
        """Samples without values, see `Store.failures`."""
        return self.once(dataset, ("outcomes",), lambda: self.store.failures(dataset, not_applicable=True))

    def contents(self, dataset: str) -> pd.DataFrame:
        """See `Store.contents`."""
        return self.once(dataset, ("contents",), lambda: self.store.contents(dataset))

    # Benchmarks, which are records and belong to no snapshot: they are read each time

    def runs(self, dataset: str | None = None) -> list[Document]:
        """Documents of the benchmarks, newest first."""
        records = self.store.records("benchmarks")
        if dataset is not None and len(records):
            records = records[records["dataset"] == dataset]
        if not len(records):
            return []
        return [json.loads(d) for d in records.sort_values("created", kind="stable")["document"]][::-1]

    def run(self, run: str) -> Document:
        """The document of a benchmark; raises UnknownName where there is none."""
        records = self.store.records("benchmarks")
        mine = records[records["run"] == run] if len(records) else records
        if not len(mine):
            raise UnknownName("run", run, records["run"] if len(records) else ())
        document: Document = json.loads(mine["document"].iloc[0])
        return document

    def rows(self, document: Document) -> dict[str, pd.DataFrame]:
        """What each row of a benchmark said of the samples that it was tested on; the selected first.

        Returns
        -------
        dict of str to DataFrame [columns=(sample_id, truth, predicted, probabilities, …)]
            By the row's name; ``probabilities`` are absent where models say none. Empty for runs of older versions.
        """
        records = self.store.records("predictions", {"run": document["run"]})
        if not len(records) or "repeat" not in records:
            return {}
        found = rows_of(records, _whole(document))
        return {name: rows.reset_index() for name, rows in found.items()}

    def said(self, dataset: str, sample_id: str) -> list[tuple[Document, dict[str, pd.DataFrame]]]:
        """What the newest benchmark of each label said of a sample, with its document; see `rows`."""
        newest: dict[tuple[str, str], Document] = {}
        for document in self.runs(dataset):
            newest.setdefault((document["label"], document["protocol"]), document)
        found = []
        for document in newest.values():
            of = f"{dataset}:{sample_id}" if document.get("transfer") else sample_id
            records = self.store.records("predictions", {"run": document["run"], "sample_id": of})
            if len(records) and "repeat" in records:
                found.append((document, rows_of(records, _whole(document))))
        return found


def _whole(document: Document) -> Document:
    """A document with what older versions did not write."""
    return cast("Document", {"transfer": None, "selected": None, **document})


class _Kept:
    """What was read, the last `_LAST` of it."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._lock = Lock()

    def once(self, key: tuple[Any, ...], read: Callable[[], _T]) -> _T:
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        found = read()
        with self._lock:
            self._found[key] = found
            while len(self._found) > _LAST:
                self._found.popitem(last=False)
        return found


def spread(ids: pd.Index, most: int) -> list[str]:
    """At most so many of the ids, evenly spread."""
    return list(ids) if len(ids) <= most else [ids[int(i * len(ids) / most)] for i in range(most)]


def media(sample: pd.Series) -> dict[str, str]:
    """Addresses of a sample's sound, picture and film, as far as it has them; a film's sound is its own."""
    found = {kind: str(sample[kind]) for kind in MEDIA if pd.notna(sample[kind])}
    return {k: v for k, v in found.items() if k != "audio" or found.get("video") != v}


def _classes(values: pd.Series) -> bool:
    return values.dtype.kind in "bi" or values.dtype == "str" or isinstance(values.dtype, pd.BooleanDtype)


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Features of what `Store.load` gave, without the speaker and words."""
    return frame[[c for c in frame.columns if c.count(".") > 1 and frame[c].dtype.kind == "f"]]


def _below(known: np.ndarray, value: float) -> float:
    if np.isnan(value) or not len(known):
        return float("nan")
    first, last = np.searchsorted(known, value, "left"), np.searchsorted(known, value, "right")
    return float(first + last) / 2 / len(known)


def of_ids(frame: pd.DataFrame, ids: Sequence[str]) -> pd.DataFrame:
    """Rows of samples that are still there, in the order asked for."""
    return frame.loc[[i for i in ids if i in frame.index]]
