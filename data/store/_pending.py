"""Results that are durable before they are published: what a crash may cost is the last few seconds' work."""

import logging
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

import pandas as pd
import pyarrow as pa

from affectlake.data.store import _checksums
from affectlake.data.store._damaged import Damaged
from affectlake.data.store._delta import Table
from affectlake.data.store._place import HeldFile, Place, folder
from affectlake.data.store._read import StoredFile, in_turn, read_file
from affectlake.data.store._table_store import TableStore

_log = logging.getLogger("affectlake.store")

KEEP_ROWS, KEEP_SECONDS = 16_384, 5.0
"""Results are made durable after this many rows (for memory's sake) or this long, which is what a crash may cost."""

_READS = 8
"""Files that are asked for at a time: in a bucket every answer is waited for."""

_PROBES = "probes"  # in the place of an extractor's name, which has a dot
_OBJECTS = ("objects", "learnt")  # likewise, and in that of a fingerprint


class Pending:
    """Results of one dataset since its last snapshot, by extractor and fingerprint."""

    def __init__(self, store: TableStore, dataset: str):
        self.store, self.dataset = store, dataset
        self._buffer: dict[tuple[str, str], list[pa.Table]] = {}
        self._files: dict[str, list[HeldFile]] = {}
        self._flushed = time.monotonic()
        self._learnt: dict[str, str] = {}

    def keep(self, extractor: str, fingerprint: str, results: pa.Table) -> None:
        """See `Writer.keep`."""
        self._buffer.setdefault((extractor, fingerprint), []).append(results)
        rows = sum(t.num_rows for t in self._buffer[extractor, fingerprint])
        if rows >= KEEP_ROWS or time.monotonic() - self._flushed > KEEP_SECONDS:
            self.flush()

    def keep_file(self, held: HeldFile) -> None:
        """See `Writer.keep_file`."""
        self._files.setdefault(held.table, []).append(held)
        if time.monotonic() - self._flushed > KEEP_SECONDS:
            self.flush()

    @contextmanager
    def place(self) -> Iterator[Place]:
        """See `Writer.place`."""
        probe = f"pending/{self.dataset}/{_PROBES}/{uuid.uuid4().hex}"
        self.store.write(probe, pa.table({"seen": [True]}))
        try:
            yield Place(self.store.root, self.dataset, probe)
        finally:
            with suppress(OSError):
                self.store.files.delete_file(probe)

    def flush(self) -> None:
        """Make durable what was kept."""
        for table, held in self._files.items():
            self.store.append_files(table, [h.file for h in held], held[0].schema)
        self._files.clear()
        for (extractor, fingerprint), tables in self._buffer.items():
            self.store.append(self._path(extractor, fingerprint), pa.concat_tables(tables).combine_chunks())
        self._buffer.clear()
        if self._learnt:
            rows = {"object": list(self._learnt), "sha256": list(self._learnt.values())}
            self.store.append(self._path(*_OBJECTS), pa.table(rows, pa.schema([(n, pa.string()) for n in rows])))
            self._learnt = {}
        self._flushed = time.monotonic()

    def learn(self, learnt: Mapping[str, str]) -> None:
        """See `Writer.learn`."""
        self._learnt |= learnt

    def learnt(self) -> dict[str, str]:
        """See `Writer.learnt`."""
        self.flush()
        table = self.read(*_OBJECTS, ["object", "sha256"])
        return {} if table is None else dict(zip(*(c.to_pylist() for c in table.columns), strict=True))

    def read(self, extractor: str, fingerprint: str, columns: list[str]) -> pa.Table | None:
        """Columns of what is durable; None where there is nothing."""
        table = self._table(self._path(extractor, fingerprint))
        return None if table is None else table.to_pyarrow_dataset().to_table(columns=columns)

    def _table(self, path: str) -> Table | None:
        try:
            return _checksums.compared(self.store, path)
        except Damaged as error:
            _log.warning("%s is damaged: what an unfinished refresh had kept goes, and is computed again", error.file)
            self.store.delete(path)
            return None

    def outcomes(self, extractor: str, fingerprint: str) -> tuple[pd.DataFrame, list[StoredFile]]:
        """Outcome of each content [columns=(content, outcome, reason, file)], and the files that hold them in order."""
        path, columns = self._path(extractor, fingerprint), ["content", "outcome", "reason"]
        table = self._table(path)
        files = [] if table is None else [StoredFile(f"{path}/{f}") for f in table.paths()]  # they were compared
        tables = in_turn(lambda file: read_file(self.store, file, columns), files, _READS)
        parts = [part.to_pandas().assign(file=i) for i, part in enumerate(tables)]
        return pd.concat(parts or [pd.DataFrame(columns=[*columns, "file"])], ignore_index=True), files

    def clear(self, extractors: Iterable[str]) -> None:
        """Forget what was published; results under older fingerprints go too: nobody will ask for them again."""
        for name in (*extractors, _OBJECTS[0]):
            self.store.delete(f"pending/{self.dataset}/{name}")

    def collect(self) -> None:
        """Delete files that were written and never kept, by workers that died; nobody else may be writing here."""
        self.store.delete(f"pending/{self.dataset}/{_PROBES}")
        for extractor in self.store.list_tables(f"pending/{self.dataset}"):
            for name in self.store.list_tables(f"pending/{self.dataset}/{extractor}"):
                path = f"pending/{self.dataset}/{extractor}/{name}"
                table = self._table(path)
                if table is None:
                    self.store.delete(path)
                else:
                    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True)

    def _path(self, extractor: str, fingerprint: str) -> str:
        return folder(self.dataset, extractor, fingerprint)
