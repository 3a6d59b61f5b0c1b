"""Speed of the store: `python benchmarks/store.py load|refresh|spread|growth [--samples N]`; medians of one run.

load     100k samples × (88 + 384) float32: `Store.load` against Polars, pandas and DuckDB on the same Parquet files
refresh  N files of which nothing, or 1 %, changed: the refresh's own work against a bare walk of the tree
spread   publish alone, 88 + 384 columns, contents of 1 % changed anywhere, by samples per shard (--shards): clock and
         processor seconds, bytes written, and what a load of it takes
growth   time and peak memory of a first publish, an unchanged one, one with 1 % new, and a load at several sizes
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from affectlake.data import Store
from affectlake.data.samples import samples_frame
from affectlake.data.store import FeatureSpec, is_in

WIDTHS = {"audio.egemaps": 88, "text.minilm": 384}


def median(action, times=5) -> float:
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        spent.append(time.perf_counter() - start)
    return float(np.median(spent))


def filled(root: Path, n: int, widths: dict[str, int]) -> tuple[Store, pd.DataFrame]:
    rng = np.random.default_rng(0)
    ids = [f"sample-{i:07d}" for i in range(n)]
    frame = pd.DataFrame({"sample_id": ids, "text": "t", "speaker": [f"s{i % 500}" for i in range(n)]})
    frame = samples_frame(frame.assign(emotion="happy"), "big")
    store = Store(root / "lake", create=True)
    for name, width in widths.items():
        values = pd.DataFrame(rng.normal(size=(n, width)).astype(np.float32), index=ids)
        values.columns = [f"c{i}" for i in range(width)]
        store.put("big", *name.split("."), values, samples=frame)
    return store, frame


def load(n: int) -> None:
    import duckdb
    import polars

    with tempfile.TemporaryDirectory() as folder:
        store, _ = filled(Path(folder), n, WIDTHS)
        current = Path(folder) / "lake" / "current" / "big"
        a, b = (str(current / name) for name in WIDTHS)

        def by_polars():
            left, right = polars.read_parquet(f"{a}/*.parquet"), polars.read_parquet(f"{b}/*.parquet")
            return left.join(right.drop("content"), on="sample_id").to_pandas()

        def by_pandas():
            return pd.read_parquet(a).merge(pd.read_parquet(b).drop(columns="content"), on="sample_id")

        def by_duckdb():
            query = f"select * from '{a}/*.parquet' x join '{b}/*.parquet' y on x.sample_id = y.sample_id"
            return duckdb.sql(query).df()

        ours = median(lambda: store.load("big"))
        print(f"{n} samples x {sum(WIDTHS.values())} columns")
        print(f"  Store.load          {ours:6.2f} s  1.0")
        for name, action in (
            ("Polars to pandas", by_polars),
            ("pandas read + merge", by_pandas),
            ("DuckDB", by_duckdb),
        ):
            spent = median(action)
            print(f"  {name:19} {spent:6.2f} s  {spent / ours:.1f}")
        one = median(lambda: store.load("big", "audio.egemaps.c3"))
        print(f"  one column          {one:6.2f} s  {one / ours:.2f}")
        code = (
            "import sys; from affectlake.data import Store; s = Store(sys.argv[1]); s.samples('big'); "
            "mem = lambda k: int(next(x for x in open('/proc/self/status') if x.startswith(k)).split()[1]) / 1024; "
            "before = mem('VmRSS'); f = s.load('big'); "
            "print(mem('VmHWM') - before, f.memory_usage(deep=False).sum() / 2**20)"
        )
        done = subprocess.run([sys.executable, "-c", code, store.uri], capture_output=True, text=True, check=True)
        peak, size = map(float, done.stdout.split())
        print(f"  peak memory         {peak:6.0f} MiB for a result of {size:.0f} MiB: {peak / size:.1f}")


def refresh(n: int) -> None:
    from affectlake.features.scan import media_uris, requests, scan

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "files"
        for i in range(n):
            if i % 1000 == 0:
                (root / f"{i // 1000:04d}").mkdir(parents=True)
            (root / f"{i // 1000:04d}" / f"{i:07d}.wav").write_bytes(str(i).encode())
        files = sorted(root.rglob("*.wav"))
        frame = pd.DataFrame({"sample_id": [f.stem for f in files], "audio": [str(f) for f in files]})
        frame = samples_frame(frame.assign(speaker="s"), "files")
        store = Store(Path(folder) / "lake", create=True)

        def work() -> dict[str, int]:
            import pyarrow as pa

            with store.writer("files") as w:
                stats = scan(media_uris(frame), w.file_index())
                rows = requests(frame, stats, "audio")[["sample_id", "content", "uri"]]
                todo = rows.loc[~is_in(rows["content"], w.known("audio.x", "f")["content"]), "content"].unique()
                columns = {f"c{i}": pa.array(np.zeros(len(todo), np.float32)) for i in range(88)}
                if len(todo):
                    said = {"outcome": pa.array(["ok"] * len(todo)), "reason": pa.nulls(len(todo), pa.string())}
                    w.keep("audio.x", "f", pa.table({"content": pa.array(todo, pa.string()), **said, **columns}))
                wanted = FeatureSpec("f", [{"name": c} for c in columns], "1", {}, rows)
                return w.publish(frame, {"audio.x": wanted}, stats, "bench").counts["audio.x"]

        def bare():
            found = 0
            for entry in os.scandir(root):
                found += sum(e.stat().st_size >= 0 for e in os.scandir(entry.path))
            return pd.read_parquet(Path(folder) / "lake/current/files/audio.x", columns=["sample_id", "content"])

        start = time.perf_counter()
        work()
        print(f"{n} files: first refresh {time.perf_counter() - start:.2f} s")
        walk, same = median(bare, 3), median(work, 3)
        print(f"  bare walk + read of keys  {walk:6.2f} s  1.0")
        print(f"  nothing changed           {same:6.2f} s  {same / walk:.1f}")
        for share, what in ((0.01, "1 % changed, anywhere"), (0.01, "1 % changed, in a row")):
            spread = np.random.default_rng(1).choice(n, int(n * share), replace=False)
            for i in spread if "anywhere" in what else range(int(n * share)):
                files[i].write_bytes(f"{time.time_ns()} {i}".encode())
            start = time.perf_counter()
            counts = work()
            spent = time.perf_counter() - start
            print(f"  {what:25} {spent:6.2f} s  {spent / walk:.1f}  ({counts.recomputed} recomputed)")


def spread(n: int, shards: list[int]) -> None:
    from affectlake.data.store import _shards, _writer

    print("samples a shard   publish   processor   written   files   load")
    for size in shards:
        _shards.SHARD = _writer.SHARD = size
        with tempfile.TemporaryDirectory() as folder:
            store, frame = filled(Path(folder), n, WIDTHS)
            rng, found = np.random.default_rng(1), []
            contents = {name: store.contents("big")[name].reindex(frame["sample_id"]).to_numpy() for name in WIDTHS}
            for night in range(3):
                chosen = rng.choice(n, n // 100, replace=False)
                found.append(_night(store, frame, contents, chosen, night))
            clock, processor, written = np.median(found, axis=0)
            files = len(list((Path(folder) / "lake" / "current" / "big").rglob("*.parquet")))
            read = median(lambda: store.load("big"), 3)  # noqa: B023
            print(
                f"{size:15} {clock:7.2f} s {processor:9.2f} s {written / 2**20:5.0f} MiB {files:7} {read:5.2f} s",
                flush=True,
            )


def _night(store: Store, frame: pd.DataFrame, contents: dict[str, np.ndarray], chosen: np.ndarray, night: int):
    """Seconds, processor seconds and bytes of a publish of some contents that changed."""
    import pyarrow as pa

    wanted, known = {}, store.snapshot("big").computed
    with store.writer("big") as w:
        for name, width in WIDTHS.items():
            contents[name][chosen] = new = [f"{night:08d}{i:056d}" for i in chosen]
            said = {"outcome": pa.array(["ok"] * len(new)), "reason": pa.nulls(len(new), pa.string())}
            values = np.random.default_rng(night).normal(size=(width, len(new))).astype(np.float32)
            columns = {f"c{i}": pa.array(column) for i, column in enumerate(values)}
            w.keep(name, known[name].fingerprint, pa.table({"content": pa.array(new, pa.string()), **said, **columns}))
            rows = pd.DataFrame({"sample_id": frame["sample_id"], "content": contents[name], "uri": "file"})
            wanted[name] = FeatureSpec(known[name].fingerprint, [{"name": c} for c in columns], "1", {}, rows)
        w.learnt()  # makes durable what was kept
        start, spent, before = time.perf_counter(), time.process_time(), _written()
        w.publish(frame, wanted, None, "bench")
        return time.perf_counter() - start, time.process_time() - spent, _written() - before


def _written() -> int:
    """Bytes that this process wrote so far, as Linux has them."""
    return int(Path("/proc/self/io").read_text().split("wchar: ")[1].split()[0])


def growth(sizes: list[int]) -> None:
    print("samples   first put  unchanged  +1 %   load    peak memory")
    for n in sizes:
        command = [sys.executable, __file__, "one", "--samples", str(n)]
        print(subprocess.run(command, capture_output=True, text=True, check=True).stdout, end="", flush=True)


def one(n: int) -> None:
    """One size in a process of its own, so that its peak memory is its own."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        store, frame = filled(Path(folder), n, {"audio.egemaps": 88})
        first = time.perf_counter() - start
        values = store.load("big").drop(columns="speaker")
        values.columns = [c.rsplit(".", 1)[1] for c in values]
        start = time.perf_counter()
        store.put("big", "audio", "egemaps", values)
        same = time.perf_counter() - start
        values.iloc[-n // 100 :] += 1
        start = time.perf_counter()
        store.put("big", "audio", "egemaps", values)
        more = time.perf_counter() - start
        read = median(lambda: store.load("big"), 3)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{n:8}  {first:7.2f} s {same:8.2f} s {more:6.2f} s {read:6.2f} s {peak:6.1f} GiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["load", "refresh", "spread", "growth", "one"])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--shards", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8192])
    arguments = parser.parse_args()
    match arguments.what:
        case "load":
            load(arguments.samples)
        case "refresh":
            refresh(arguments.samples)
        case "spread":
            spread(arguments.samples, arguments.shards)
        case "growth":
            growth([10_000, 100_000, 1_000_000])
        case "one":
            one(arguments.samples)
