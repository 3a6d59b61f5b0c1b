"""Results that are durable before they are published: what a crash may cost is the last few seconds' work."""

import logging
import time
from collections.abc import Iterable, Mapping

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from affectlake.data.store import _checksums
from affectlake.data.store._damaged import Damaged
from affectlake.data.store._table_store import TableStore

_log = logging.getLogger("affectlake.store")

KEEP_ROWS, KEEP_SECONDS = 16_384, 5.0
"""Results are made durable after this many rows (for memory's sake) or this long, which is what a crash may cost."""

_OBJECTS = ("objects", "learnt")  # in the place of an extractor's name, which has a dot, and of a fingerprint


class Pending:
    """Results of one dataset since its last snapshot, by extractor and fingerprint."""

    def __init__(self, store: TableStore, dataset: str):
        self.store, self.dataset = store, dataset
        self._buffer: dict[tuple[str, str], list[pa.Table]] = {}
        self._flushed = time.monotonic()
        self._learnt: dict[str, str] = {}

    def keep(self, extractor: str, fingerprint: str, results: pa.Table) -> None:
        """See `Writer.keep`."""
        self._buffer.setdefault((extractor, fingerprint), []).append(results)
        rows = sum(t.num_rows for t in self._buffer[extractor, fingerprint])
        if rows >= KEEP_ROWS or time.monotonic() - self._flushed > KEEP_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Make durable what was kept."""
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

    def read(
        self, extractor: str, fingerprint: str, columns: list[str], only: pa.Array | None = None
    ) -> pa.Table | None:
        """Columns of what is durable, of ``only`` these contents that came out well; None where there is nothing."""
        path = self._path(extractor, fingerprint)
        try:
            table = _checksums.compared(self.store, path)
        except Damaged as error:
            _log.warning("%s is damaged: what an unfinished refresh had kept goes, and is computed again", error.file)
            self.store.delete(path)
            return None
        if table is None:
            return None
        chosen = None if only is None else pc.field("content").isin(only) & (pc.field("outcome") == "ok")
        return table.to_pyarrow_dataset().to_table(columns=columns, filter=chosen)

    def outcomes(self, extractor: str, fingerprint: str) -> pd.DataFrame:
        """Outcome and reason of each content [columns=(content, outcome, reason)]."""
        columns = ["content", "outcome", "reason"]
        table = self.read(extractor, fingerprint, columns)
        return pd.DataFrame(columns=columns) if table is None else table.to_pandas()

    def clear(self, extractors: Iterable[str]) -> None:
        """Forget what was published; results under older fingerprints go too: nobody will ask for them again."""
        for name in (*extractors, _OBJECTS[0]):
            self.store.delete(f"pending/{self.dataset}/{name}")

    def _path(self, extractor: str, fingerprint: str) -> str:
        return f"pending/{self.dataset}/{extractor}/{fingerprint[:32]}"
