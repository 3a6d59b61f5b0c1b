"""What the log of snapshots costs a night: `python benchmarks/snapshots.py [--rows 100 1000 4000] [--datasets 20]`.

A log of so many snapshots, each of 20 feature tables, is written; then every dataset publishes one more, as a night
does. Prints for that night: milliseconds of processor time that reading the log and committing to it take, MiB that are
written, and how long a reader takes afterwards until it knows a dataset's tables.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from affectlake.data.store import FeatureTable, TableRef
from affectlake.data.store._snapshot import Counts, Snapshot
from affectlake.data.store._snapshots import LOG, Log
from affectlake.data.store._table_store import TableStore

EXTRACTORS = [f"audio.x{i}" for i in range(20)]


def snapshot(dataset: str, version: int) -> Snapshot:
    """Of the size that those of real stores have."""
    tables: dict[str, TableRef] = {
        name: TableRef(f"tables/{dataset}/{name}", version)
        for name in ("samples", "outcomes", "stats", "columns", "moments")
    }
    for name in EXTRACTORS:
        tables[f"features.{name}"] = FeatureTable(
            path=f"features/{dataset}/{name}",
            version=version,
            fingerprint="ab" * 32,
            extractor_version="3",
            parameters={"audio.band": 8000},
            weights={"model.onnx": "ab" * 32},
            rows=10,
            wanted=12,
            columns=88,
            reads="audio",
            source="cd" * 32,
        )
    counts = {name: Counts(new=1, unchanged=9) for name in EXTRACTORS}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Snapshot("", now, dataset, "nightly", "abcdef", True, 10, counts, [], tables)


def night(rows: int, datasets: int, folder: str) -> str:
    store = TableStore(folder)
    store.create()
    names = [f"d{i}" for i in range(datasets)]
    every = [replace(snapshot(names[i % datasets], i), id=f"s{i + 1:06}") for i in range(rows)]
    Log(store).rewrite(every)
    before, reading, committing = written(folder), 0.0, 0.0
    for name in names:
        start = time.process_time()
        log = Log(store)
        read = time.process_time()
        log.commit(snapshot(name, rows), log.head(name))
        reading, committing = reading + read - start, committing + time.process_time() - read
    added, start = written(folder) - before, time.process_time()
    assert Log(store).of(names[0]).computed
    after = time.process_time() - start
    return (
        f"{rows:,} snapshots: {reading * 1e3:.0f} ms reading, {committing * 1e3:.0f} ms committing, "
        f"{added / 2**20:.2f} MiB written; a reader {after * 1e3:.0f} ms"
    )


def written(folder: str) -> int:
    return sum(f.stat().st_size for f in (Path(folder) / LOG).rglob("*") if f.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 1000, 4000])
    parser.add_argument("--datasets", type=int, default=20)
    arguments = parser.parse_args()
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory(prefix="affectlake-snapshots-") as folder:
            print(night(rows, arguments.datasets, f"{folder}/lake"), flush=True)


if __name__ == "__main__":
    main()
