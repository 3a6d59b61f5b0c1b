"""What analysts read of a store: samples, features, outcomes, snapshots, records, in SQL too."""

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial, reduce
from operator import and_
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import DeltaError

from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.data.store import _catalog, _checksums, _load, _status
from affectlake.data.store._answers import Status
from affectlake.data.store._read import read, read_on_disk, read_or_none
from affectlake.data.store._snapshot import Snapshot
from affectlake.data.store._snapshots import Log
from affectlake.data.store._spelling import HIDDEN, spoken
from affectlake.data.store._table_store import TableStore
from affectlake.data.windows import TRACKED, WINDOWED

if TYPE_CHECKING:
    import polars

    from affectlake.data.store._arrays import Arrays

_logger = logging.getLogger("affectlake.store")
_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_FAILURE = ("sample_id", "extractor", "outcome", "reason", "uri", "first_seen")

_T = TypeVar("_T")
AsOf = str | datetime | pd.Timestamp | Snapshot | None


class Reader:
    """Reads a store; see `affectlake.data.store.Store`."""

    def __init__(self, uri: str | Path, create: bool = False):
        self._tables = TableStore(uri)
        if not create and self._tables.local and not os.path.isdir(self._tables.root):
            raise AffectlakeError(f"no store at {uri}: `affectlake refresh … --store {uri}` makes one")
        if (
            self._tables.local
            and os.path.isdir(self._tables.root)
            and not os.access(self._tables.root, os.R_OK | os.X_OK)
        ):
            raise AffectlakeError(f"no right to read the store at {uri}: its owner or group has to give it")

    @property
    def uri(self) -> str:
        return self._tables.root

    @property
    def identity(self) -> str:
        """Who the store is, whatever path it is opened by; its copies share it. Empty for a reader of one without."""
        from affectlake.data.store import _identity

        try:
            return _identity.make(self._tables).store
        except OSError:
            return ""

    def __repr__(self) -> str:
        state = self._log().state()
        return f"Store({self.uri!r}: {', '.join(f'{d} ({s.samples} samples)' for d, s in state.items()) or 'empty'})"

    def _repr_html_(self) -> str:
        return self.catalog().to_html(max_rows=60)

    def snapshot(self, dataset: str, as_of: AsOf = None) -> Snapshot:
        """The snapshot of a dataset that readers see."""
        return self._log().of(dataset, as_of)

    def snapshots(self, dataset: str | None = None) -> pd.DataFrame:
        """Every snapshot, oldest first: who made it, when, from which code, and how many rows it changed.

        Returns
        -------
        DataFrame [columns=(snapshot, time, dataset, author, code_version, published, samples, new, recomputed,
        unchanged, removed, failed, not_applicable, problems, tags)]
        """
        log = self._log()
        rows = _status.history(log, dataset)
        if dataset is not None and not rows:
            raise UnknownName("dataset", dataset, {s.dataset for s in log.rows})
        return pd.DataFrame(rows)

    def _log(self) -> Log:
        return self._reading(lambda: Log(self._tables))

    def samples(self, dataset: str, as_of: AsOf = None, on_disk: bool = False) -> pd.DataFrame:
        """Samples of a dataset in their order, out of memory if asked (see `affectlake.data.spill`); see
        `affectlake.data.samples.samples_frame`.
        """
        snapshot = self.snapshot(dataset, as_of)
        found = _load.samples_on_disk if on_disk else _load.samples
        return self._reading(lambda: found(self._tables, snapshot)).drop(columns=HIDDEN).rename(columns=spoken)

    @overload
    def load(
        self,
        dataset: str,
        features: Sequence[str] | str | None = None,
        *,
        label: str | Sequence[str] | None = None,
        split: str | None = None,
        speaker: str | Sequence[str] | None = None,
        as_of: AsOf = None,
        missing: Literal["keep", "drop", "error"] = "keep",
        ids: Sequence[str] | str | None = None,
        to: Literal["pandas"] = "pandas",
    ) -> pd.DataFrame: ...

    @overload
    def load(
        self,
        dataset: str,
        features: Sequence[str] | str | None = None,
        *,
        label: str | Sequence[str] | None = None,
        split: str | None = None,
        speaker: str | Sequence[str] | None = None,
        as_of: AsOf = None,
        missing: Literal["keep", "drop", "error"] = "keep",
        ids: Sequence[str] | str | None = None,
        to: Literal["arrow"],
    ) -> pa.Table: ...

    @overload
    def load(
        self,
        dataset: str,
        features: Sequence[str] | str | None = None,
        *,
        label: str | Sequence[str] | None = None,
        split: str | None = None,
        speaker: str | Sequence[str] | None = None,
        as_of: AsOf = None,
        missing: Literal["keep", "drop", "error"] = "keep",
        ids: Sequence[str] | str | None = None,
        to: Literal["polars"],
    ) -> "polars.DataFrame": ...

    def load(
        self,
        dataset: str,
        features: Sequence[str] | str | None = None,
        *,
        label: str | Sequence[str] | None = None,
        split: str | None = None,
        speaker: str | Sequence[str] | None = None,
        as_of: AsOf = None,
        missing: Literal["keep", "drop", "error"] = "keep",
        ids: Sequence[str] | str | None = None,
        to: Literal["pandas", "arrow", "polars"] = "pandas",
    ) -> Any:
        """Features of a dataset, joined on ``sample_id``.

        Parameters
        ----------
        dataset : str
        features : sequence of str or str, optional
            Extractors, columns, or globs over either (``"text.*"``, ``"audio.prosody.f0_*"``); None: all.
        label : str or sequence of str, optional
            Label columns to put first.
        split, speaker : str, optional
            Only these samples.
        as_of : optional
            See `Store`.
        missing : "keep" | "drop" | "error"
            Samples that lack a feature table: NaN, left out, or an error. With "drop" a table that no sample asked for
            has anything in (dialogues, where there are none) is left out, and a word in the log says so.
        ids : sequence of str or str, optional
            Exactly these rows in this order, duplicates kept. Ids that are unknown, or not of the ``split`` and
            ``speaker`` asked for: an error, or empty rows and a warning in the log with "keep".
        to : "pandas" | "arrow" | "polars"

        Returns
        -------
        DataFrame [index=sample_id, columns=(labels, speaker, features as float32)]
            With Arrow and Polars, which have no index, ``sample_id`` is the first column.

        Raises
        ------
        UnknownName
            Dataset, feature, label, split, speaker or id that is not there; names the nearest match.
        AffectlakeError
            ``missing="error"``, and a sample lacks a feature.
        """
        _one_of("missing", missing, ("keep", "drop", "error"))
        _one_of("to", to, ("pandas", "arrow", "polars"))
        snapshot = self.snapshot(dataset, as_of)
        which = _load.Which([label] if isinstance(label, str) else list(label or ()), split, speaker, ids, missing)
        return self._reading(lambda: _load.load(self._tables, snapshot, features, which, to))

    def arrays(
        self,
        dataset: str,
        features: Sequence[str] | str | None = None,
        label: str | None = None,
        *,
        split: str | None = None,
        as_of: AsOf = None,
        missing: Literal["keep", "drop", "error"] = "drop",
    ) -> "Arrays":
        """Features, labels and groups, ready for scikit-learn's ``GroupKFold``.

        Parameters
        ----------
        dataset : str
        features, split, as_of, missing : optional
            See `load`.
        label : str
            Samples without it are left out.

        Returns
        -------
        Arrays
            ``X, y, groups``; samples of one group must not be trained on and tested.

        Raises
        ------
        UsageError
            No label is named.
        AffectlakeError
            No sample has the label and the features.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> from affectlake.data import Store
        >>> values = pd.DataFrame({"f0": [110.0, 220.0, 180.0]}, index=["a", "b", "c"])
        >>> about = pd.DataFrame({"sample_id": ["a", "b", "c"], "speaker": ["ann", "ann", "bob"]})
        >>> with TemporaryDirectory() as folder:
        ...     store = Store(folder)
        ...     _ = store.put("calls", "audio", "mine", values, samples=about.assign(emotion=["joy", "fear", "joy"]))
        ...     X, y, groups = store.arrays("calls", "audio.mine", "emotion")
        >>> X.shape, y.tolist(), groups.tolist()
        ((3, 1), ['joy', 'fear', 'joy'], ['ann', 'ann', 'bob'])
        """
        from affectlake.data.store import _arrays

        if label is None:
            raise UsageError("name a label: arrays(dataset, features, label)")
        snapshot = self.snapshot(dataset, as_of)
        frame = self.load(dataset, features, label=label, split=split, as_of=snapshot, missing=missing)
        return _arrays.arrays(frame, self.samples(dataset, snapshot), label)

    def describe(
        self, dataset: str, features: Sequence[str] | str | None = None, *, as_of: AsOf = None
    ) -> pd.DataFrame:
        """What each column means and how its values are distributed; a few columns are held at a time.

        Parameters
        ----------
        dataset : str
        features, as_of : optional
            See `load`.

        Returns
        -------
        DataFrame [index=column, columns=(unit, count, missing, mean, sd, min, 5%, 25%, 50%, 75%, 95%, max, meaning)]
            ``count``: samples that have a value, ``missing``: those that do not; `sd` is that of the population.
        """
        from affectlake.data.store import _describe

        snapshot = self.snapshot(dataset, as_of)
        columns = self._reading(lambda: _load.chosen(self._tables, snapshot, features))
        return self._reading(lambda: _describe.describe(self._tables, snapshot, columns))

    def similar(self, dataset: str, sample_id: str, extractor: str, n: int = 10, *, as_of: AsOf = None) -> pd.DataFrame:
        """The samples nearest to one, by the cosine of an extractor's columns at mean 0 and standard deviation 1.

        Parameters
        ----------
        dataset, sample_id : str
        extractor : str
            ``audio.whisper``, ``text.minilm`` and other embeddings serve best.
        n : int >= 1
        as_of : optional
            See `Store`.

        Returns
        -------
        DataFrame [index=sample_id, columns=(similarity, columns of `samples`)]
            Nearest first; ``similarity`` in [-1, 1]. Copies have 1.

        Raises
        ------
        UnknownName
            Dataset, sample or extractor that is not there.
        AffectlakeError
            The sample has no features of the extractor.
        """
        from affectlake.data.store import _similar

        snapshot = self.snapshot(dataset, as_of)
        return self._reading(lambda: _similar.similar(self._tables, snapshot, sample_id, extractor, n))

    def series(
        self,
        dataset: str,
        sample_id: str | Sequence[str],
        columns: Sequence[str] | str | None = None,
        *,
        by: Literal["window", "track"] = "window",
        as_of: AsOf = None,
    ) -> pd.DataFrame:
        """Features over time: what extractors say of each window of a sample, joined on time across modalities.

        They are there after `affectlake refresh --set series.window=1`; by track, what they say of each face that was
        followed through a film, after ``--set video.faces=all``.

        Parameters
        ----------
        dataset : str
        sample_id : str or sequence of str
        columns : str, sequence of str or None
            Extractors, columns or globs over either, as `load` takes them; None: all that have series.
        as_of : optional
            See `Store`.

        Returns
        -------
        DataFrame of float32 [index=(start, end), columns=features]
            Seconds of the recording that the sample is of, in order; NaN where an extractor has nothing to say of
            a window. Of several samples the index begins with ``sample_id``. By track it ends with ``track``: 1 has
            most of the picture; pictures have no times.

        Raises
        ------
        UnknownName
            Dataset, sample or column that is not there.
        AffectlakeError
            The dataset has none.
        """
        from affectlake.data.store import _series

        snapshot = self.snapshot(dataset, as_of)
        patterns = [columns] if isinstance(columns, str) else columns
        return self._reading(
            lambda: _series.series(
                self._tables, snapshot, sample_id, patterns, {"window": WINDOWED, "track": TRACKED}[by]
            )
        )

    def failures(
        self,
        dataset: str,
        extractor: str | None = None,
        *,
        not_applicable: bool = False,
        as_of: AsOf = None,
    ) -> pd.DataFrame:
        """Samples in quarantine, each with its reason.

        Returns
        -------
        DataFrame [columns=(sample_id, extractor, outcome, reason, uri, first_seen)]
            ``not_applicable`` outcomes (no face, silence, empty text) only on request.
        """
        snapshot = self.snapshot(dataset, as_of)
        frame = self._reading(lambda: read(self._tables, snapshot.tables["outcomes"])).to_pandas()
        if not not_applicable:
            frame = frame[frame["outcome"] == "failed"]
        if extractor is not None:
            if extractor not in snapshot.computed:
                raise UnknownName("extractor", extractor, snapshot.computed)
            frame = frame[frame["extractor"] == extractor]
        return frame[list(_FAILURE)].sort_values(["sample_id", "extractor"], ignore_index=True)

    def contents(self, dataset: str, as_of: AsOf = None) -> pd.DataFrame:
        """Content hash behind each feature: samples with equal ones have equal bytes (or equal imported values).

        Returns
        -------
        DataFrame [index=sample_id, columns=extractors]
            NaN where a sample has no features of the extractor.
        """
        snapshot = self.snapshot(dataset, as_of)
        return self._reading(lambda: _status.contents(self._tables, snapshot))

    def files(self, dataset: str, as_of: AsOf = None, on_disk: bool = False) -> pd.DataFrame:
        """Every media file as the refresh behind a snapshot found it; ``on_disk`` as in `samples`.

        Returns
        -------
        DataFrame [columns=(uri, size, mtime_ns, stamp, sha256)]
            See `affectlake.features.scan.scan`; empty for a dataset that was only ever imported.
        """
        snapshot = self.snapshot(dataset, as_of)
        entry = snapshot.tables.get("stats")
        if on_disk and entry is not None:
            return self._reading(lambda: read_on_disk(self._tables, entry))
        table = self._reading(lambda: read_or_none(self._tables, entry))
        return table.to_pandas() if table else pd.DataFrame({c: [] for c in ("uri", "size", "mtime_ns", "sha256")})

    def status(self, as_of: AsOf = None) -> Status:
        """Datasets, tables, rows and coverage of the newest snapshot, as JSON-able values."""
        state = self._log().state(as_of)
        return {"store": self.uri, "datasets": [_status.status(name, s) for name, s in state.items()]}

    def catalog(self, as_of: AsOf = None) -> pd.DataFrame:
        """Every feature table: dataset, extractor, version, rows, coverage, failures, snapshot."""
        rows = [
            {"dataset": d["dataset"], "snapshot": d["snapshot"], **table}
            for d in self.status(as_of)["datasets"]
            for table in d["tables"]
        ]
        return pd.DataFrame(rows)

    def columns(self, extractor: str, dataset: str | None = None, as_of: AsOf = None) -> pd.DataFrame:
        """What each column of an extractor means and how its values are distributed.

        Returns
        -------
        DataFrame [columns=(dataset, column, unit, low, high, description, source, n, missing, coverage, min, mean,
        max, std, drift)]
            ``low``, ``high``: documented range; ``drift``: change of the mean against the snapshot before, in its
            standard deviations (NaN where there is none to compare with).
        """
        log = self._log()
        state = log.state(as_of)
        if dataset is not None and dataset not in state:
            raise UnknownName("dataset", dataset, state)
        names = state if dataset is None else [dataset]
        parts = [
            self._reading(partial(_catalog.columns, self._tables, log, state[n], extractor))
            for n in names
            if extractor in state[n].features
        ]
        if not parts:
            raise UnknownName("extractor", extractor, {e for s in state.values() for e in s.features})
        return pd.concat(parts, ignore_index=True)

    def _reading(self, action: Callable[[], _T]) -> _T:
        """Run a read; files that went meanwhile (an erasure, a clean-up) end in one clear sentence."""
        try:
            return action()
        except FileNotFoundError as error:
            raise AffectlakeError(
                f"a file of this snapshot is gone: something was erased from {self.uri} meanwhile, or the folder is "
                f"damaged; ask again, or see `affectlake verify` ({' '.join(str(error).split())[:160]})"
            ) from error
        except (OSError, pa.ArrowException, DeltaError) as error:
            raise AffectlakeError(
                f"a table of {self.uri} cannot be read, `affectlake verify --store {self.uri}` tells which and what "
                f"mends it ({' '.join(str(error).split())[:160]})"
            ) from error

    def sql(self, query: str, as_of: AsOf = None, allow_files: bool = False) -> pd.DataFrame:
        """Query with DuckDB; see `affectlake.data.store._sql` for the views.

        Parameters
        ----------
        query : str
            One statement that reads.
        as_of : optional
            See `Store`.
        allow_files : bool
            Let the query read and write files, and all else that DuckDB can.

        Raises
        ------
        UsageError
            The query is wrong, in DuckDB's words, or reaches beyond the store.
        """
        from affectlake.data.store import _sql

        return self._reading(lambda: _sql.query(self._tables, self._log().state(as_of), query, allow_files))

    def records(self, name: str, where: Mapping[str, str] | None = None) -> pd.DataFrame:
        """Rows of a table of results; empty where nothing was recorded.

        Parameters
        ----------
        name : str
            ``benchmarks``, ``scores``, ``predictions``, …
        where : mapping of column to value, optional
            Only these rows; the others are not held.
        """
        table = self._reading(lambda: _checksums.compared(self._tables, f"records/{name}"))
        if table is None:
            return pd.DataFrame()
        if not where:
            return table.to_pandas()
        chosen = reduce(and_, (pc.field(column) == value for column, value in where.items()))
        return self._reading(lambda: table.to_pyarrow_dataset().to_table(filter=chosen)).to_pandas()


def _one_of(what: str, value: object, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise UnknownName(what, value, valid)
