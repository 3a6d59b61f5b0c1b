"""The store as analysts meet it."""

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pandas as pd

from affectlake.data.errors import UsageError
from affectlake.data.store import _load, _put
from affectlake.data.store._answers import ColumnDoc, Diff, Explanation, Receipt, ReceiptCheck, Repair, Verification
from affectlake.data.store._arrow import to_arrow
from affectlake.data.store._delta import NotWritable
from affectlake.data.store._reader import AsOf, Reader
from affectlake.data.store._snapshot import Snapshot
from affectlake.data.store._snapshots import TAGS
from affectlake.data.store._table_store import LONGEST
from affectlake.data.store._writer import Writer

_logger = logging.getLogger("affectlake.store")
_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_FAILURE = ("sample_id", "extractor", "outcome", "reason", "uri", "first_seen")


class Store(Reader):
    """A feature store: samples, features and outcomes of any number of datasets, in snapshots.

    Parameters
    ----------
    uri : str or Path
        A local folder, or ``s3://``, ``gs://``, ``az://`` (credentials by the usual environment variables).
    create : bool
        Whether the folder may be absent: the first write makes it.

    Raises
    ------
    AffectlakeError
        There is no store, and ``create`` is False.

    Notes
    -----
    Wherever ``as_of`` is taken, it is a snapshot id (``s000012``), a tag or a time (ISO 8601; UTC unless it says
    otherwise), and means what was readable then; None is now. Every call reads one whole snapshot.

    Examples
    --------
    >>> lines = pd.DataFrame({"sample_id": ["a", "b"], "text": ["No!", "Yes!"], "speaker": ["Ann", "Bob"]})
    >>> pitch = pd.DataFrame({"sample_id": ["a", "b"], "f0": [210.0, 180.0]})
    >>> store = Store("lake", create=True)
    >>> store.put("calls", "audio", "pitch", pitch, samples=lines.assign(emotion=["anger", "joy"])).id
    's000001'
    >>> store.load("calls", "audio.pitch", label="emotion")
              emotion speaker  audio.pitch.f0
    sample_id
    a           anger     Ann           210.0
    b             joy     Bob           180.0
    >>> store.load("calls", "audio.pitc")
    Traceback (most recent call last):
    affectlake.data.errors.UnknownName: ...
    >>> store
    Store('...lake': calls (2 samples))

    Snapshots stay what they were, whatever is written later:

    >>> store.tag("paper")
    's000001'
    >>> store.put("calls", "audio", "pitch", pitch.assign(f0=[200.0, 180.0])).id
    's000002'
    >>> store.load("calls", as_of="paper")["audio.pitch.f0"].tolist()
    [210.0, 180.0]
    >>> store.diff("calls", "paper")["features"]["audio.pitch"]["changed"]
    ['a']

    People can be taken out of every one of them:

    >>> receipt = store.erase("calls", speaker="Ann")
    >>> receipt["rows"]["features.audio.pitch"], receipt["still_found_in"], receipt["left"]
    (2, [], [])
    >>> store.load("calls", as_of="paper").index.tolist()
    ['b']
    >>> store.verify()["damaged"]
    []
    """

    # Snapshots

    def tag(self, name: str, as_of: AsOf = None) -> str:
        """Give the newest snapshot (or that of ``as_of``) a name that ``as_of=`` accepts; returns its id.

        Raises
        ------
        UsageError
            The name could be mistaken for a snapshot id or a time.
        """
        log = self._log()
        if re.fullmatch(r"s\d+", name) or re.match(r"\d{4}", name) or not name.strip():
            raise UsageError(f"{name!r} cannot be a tag: it reads like a snapshot id or a time")
        if not log.rows:
            raise UsageError("there is no snapshot to tag yet")
        found = log.newest(as_of)
        self._tables.append(TAGS, to_arrow(pd.DataFrame([{"tag": name, "snapshot": found.id, "time": _now()}])))
        return found.id

    def diff(self, dataset: str, a: AsOf, b: AsOf = None) -> Diff:
        """What differs between two snapshots of a dataset.

        Returns
        -------
        dict
            ``added``, ``removed``, ``changed``: sample ids; ``features``: by extractor that differs, series
            (``audio.prosody@window``) among them, its status, whether its fingerprint changed, sample ids added,
            removed and changed (by content), and columns.
        """
        from affectlake.data.store import _history

        first, second = self.snapshot(dataset, a), self.snapshot(dataset, b)
        return self._reading(lambda: _history.diff(self._tables, first, second))

    def rollback(self, dataset: str, to: AsOf, author: str = "rollback") -> Snapshot:
        """Publish an old snapshot of a dataset again, as a new one; those in between stay readable."""
        from affectlake.data.store import _history, _view

        with self.writer(dataset):
            done = _history.rollback(self._tables, self.snapshot(dataset, to), author)
            _view.publish(self._tables)
        return done

    def explain(self, dataset: str, sample_id: str, column: str, as_of: AsOf = None) -> Explanation:
        """Where a value comes from: file, content hash, extractor, parameters, fingerprint, snapshot and code.

        Of a text that was written by a machine also ``transcript``: by which, with what model and parameters, and with
        what confidence. Of a series ``parts`` instead of a value: each part's keys, such as start and end, and value.

        Parameters
        ----------
        column : str
            In full: ``audio.prosody.f0_mean``.
        """
        from affectlake.data.store import _history

        snapshot = self.snapshot(dataset, as_of)
        return self._reading(lambda: _history.explain(self._tables, snapshot, sample_id, column))

    def tidy(self, dataset: str, keep: int | None = None) -> dict[str, int]:
        """Delete files that no snapshot names (crashes leave some); safe beside readers.

        Parameters
        ----------
        keep : int, optional
            Forget all but so many of the newest snapshots first; tagged ones stay.

        Returns
        -------
        dict
            Numbers of snapshots forgotten and of files deleted.
        """
        from affectlake.data.store import _maintenance

        if keep is not None and keep < 1:
            raise UsageError(f"keep must be at least 1, got {keep}")
        self.snapshot(dataset)
        with self.writer(dataset):
            return _maintenance.tidy(self._tables, dataset, keep)

    def export(
        self,
        out: str | Path,
        dataset: str,
        features: Sequence[str] | str | None = None,
        *,
        as_of: AsOf = None,
        feast: bool = False,
    ) -> Path:
        """Write a snapshot as plain Parquet: ``samples.parquet``, one file per extractor, and ``columns.parquet``.

        With ``feast`` also ``features.py`` and ``feature_store.yaml``, ready for ``feast apply``.

        Raises
        ------
        UsageError
            ``out`` holds files that are not from an earlier export.
        """
        from affectlake.data.store import _export

        snapshot = self.snapshot(dataset, as_of)
        columns = self._reading(lambda: _load.chosen(self._tables, snapshot, features))
        written = self._reading(lambda: _export.export(self._tables, snapshot, columns, Path(out)))
        if feast:
            from affectlake.data.store import _feast

            self._reading(lambda: _feast.write(self._tables, snapshot, columns, written))
        if not self.record(_export.EXPORTS, pd.DataFrame([{"path": str(written), "time": _now()}])):
            _logger.warning("no erasure will reach the export at %s: delete it when it has served", written)
        return written

    # Writing

    def writer(self, dataset: str) -> Writer:
        """Begin a snapshot of a dataset; a context manager that waits for others who write the same dataset."""
        if not _DATASET.fullmatch(dataset):
            raise UsageError(f"{dataset!r} cannot name a dataset: letters, digits, '-' and '_', please")
        if len(dataset) > LONGEST:
            raise UsageError(
                f"{dataset[:20] + '…'!r} cannot name a dataset: {len(dataset)} characters, at most {LONGEST}"
            )
        return Writer(self._tables, dataset)

    def put(
        self,
        dataset: str,
        modality: str,
        name: str,
        frame: pd.DataFrame,
        *,
        samples: pd.DataFrame | None = None,
        columns: Sequence[ColumnDoc] | None = None,
        author: str = "put",
    ) -> Snapshot:
        """Bring in features that were computed elsewhere; replaces what was put under this name before.

        Parameters
        ----------
        dataset : str
        modality, name : str
            The features will be found as ``modality.name``.
        frame : DataFrame [index=sample_id] or one with a column sample_id
            Columns of numbers (truth values are 0 and 1); rows without any value count as absent.
        samples : DataFrame, optional
            Samples and labels, as `affectlake.data.samples.samples_frame` takes or gives them. Those that the store
            knows are corrected, others come in addition, and nothing goes: a column that is not given stays as it is.
            Without it, new ids become samples where nothing is known of any but their ids and labels.
        columns : sequence of dict, optional
            name, unit, low, high, description, source of each column.
        author : str

        Raises
        ------
        UsageError
            Ids that are not among the dataset's samples, missing, or not unique; columns that are not numbers, or hold
            what float32 cannot; ``samples`` that contradict those which a refresh reads from files.
        """
        extractor = _put.named(modality, name)
        given = _put.numbers(frame, extractor)
        with self.writer(dataset) as writer:
            gone = writer.erased(pd.DataFrame({"sample_id": given.index}) if samples is None else samples)
            if gone:
                _logger.warning("%d samples of %s were erased and are not taken", len(gone), dataset)
                given = given[~given.index.isin(gone)]
                samples = None if samples is None else samples[~samples["sample_id"].isin(gone)]
            return _put.put(writer, extractor, given, samples, columns, author)

    def erase(
        self,
        dataset: str,
        *,
        speaker: str | None = None,
        ids: Sequence[str] | str | None = None,
    ) -> Receipt:
        """Remove a person, or samples, from every table, every old version, and whatever was made of it by us.

        That is recorded results, exports, records and pages of nights, reports, and Prefect's local database.

        Older snapshots stay readable without them. A reader in the middle gets an error that says so. Keyed hashes of
        their ids, speaker and media are kept, so that no refresh brings them back, see `forget_erasure`.

        Parameters
        ----------
        dataset : str
        speaker : str
        ids : sequence of str
            Either of the two.

        Returns
        -------
        dict
            The receipt: numbers of samples, of rows removed by table, of records and exports cleaned, of files then
            searched for the names; ``still_found_in``, which is empty; ``left``: what could not be reached, such as
            models that were fitted on them; ``hashes``, by which `check_receipt` looks again. It names nobody.

        Raises
        ------
        UnknownName
            No version ever held the speaker or one of the ids.
        """
        from affectlake.data.store import _beyond, _erase

        if (speaker is None) == (ids is None):
            raise UsageError("say whom to erase: either speaker= or ids=")
        ids = [ids] if isinstance(ids, str) else ids
        with self.writer(dataset):
            clean = [partial(keeper.clean, self, dataset) for keeper in _beyond.keepers()]
            search = [partial(keeper.search, self, dataset) for keeper in _beyond.keepers()]
            receipt = self._reading(lambda: _erase.erase(self._tables, dataset, speaker, ids, clean, search))
        self.record("erasures", pd.DataFrame([{k: receipt[k] for k in ("dataset", "time", "samples", "snapshots")}]))
        return receipt

    def check_receipt(self, receipt: Receipt) -> ReceiptCheck:
        """Look again for those whom a receipt of `erase` is about, without their names.

        Returns
        -------
        dict
            ``files_checked``, ``still_found_in``, ``unread``, and what the receipt said was ``left``.

        Raises
        ------
        AffectlakeError
            The receipt is of another store.
        """
        from affectlake.data.store import _beyond, _erase

        search = [partial(keeper.search, self, receipt["dataset"]) for keeper in _beyond.keepers()]
        return self._reading(lambda: _erase.check(self._tables, receipt, search))

    def verify(self, dataset: str | None = None) -> Verification:
        """Read every file and compare it with the checksum that was noted when it was written.

        Returns
        -------
        dict
            ``files``: number compared; ``unrecorded``: number of files without a sum, which were only read (those of
            older stores get one with their next snapshot); ``damaged``: file, why, snapshots that name it, remedy.
        """
        from affectlake.data.store import _verify

        return _verify.verify(self._tables, dataset)

    def repair(self, dataset: str) -> Repair:
        """Take damaged files out of all snapshots, so that the next refresh computes what they held.

        Returns
        -------
        dict
            ``restored``: files that a copy of was found; ``rebuilt``: tables of samples, columns and statistics that
            were made anew from the others; ``dropped``: files whose values go, until they are computed or put again;
            ``lost``: what cannot be had back here, such as labels of old snapshots, and how to get it.
        """
        from affectlake.data.store import _lock, _repair

        mended = self._reading(lambda: _repair.mend_logs(self._tables))
        lost = self._reading(lambda: _repair.mend_log(self._tables))
        with _lock.writing(self._tables, dataset):  # no writer, which would read what may be damaged
            done = self._reading(lambda: _repair.repair(self._tables, dataset))
        return {**done, "restored": mended + done["restored"], "lost": lost + done["lost"]}

    def forget_erasure(
        self, dataset: str, *, speaker: str | None = None, ids: Sequence[str] | str | None = None
    ) -> int:
        """Let people come back who were erased; with neither speaker nor ids all of the dataset.

        Returns
        -------
        int
            Number of erasures that are forgotten, each with all that it was about.
        """
        from affectlake.data.store import _tombstones

        with self.writer(dataset):
            return _tombstones.forget(self._tables, dataset, speaker, [ids] if isinstance(ids, str) else ids)

    # Records

    def record(self, name: str, rows: pd.DataFrame) -> bool:
        """Append rows to a table of results, such as ``benchmarks``.

        Returns
        -------
        bool
            Whether it could be done: who may only read the store keeps what was computed, and is told.
        """
        try:
            self._tables.append(f"records/{name}", to_arrow(rows))
        except NotWritable as error:
            _logger.warning("%s: not recorded", error)
            return False
        return True


def _now() -> pd.Timestamp:
    return pd.Timestamp(datetime.now(UTC))
