"""Time and memory of the benchmark's table, and what it saves against each row computed by itself.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/models.py table DATASET --store lake [--workers 2]
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/models.py ratio DATASET --store lake

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/models.py memory [--samples 15956] [--columns 1367]

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/models.py rows DATASET --label LABEL --store lake

    python benchmarks/models.py parquet FILE --samples 1000000 --columns 512
    affectlake put large audio.made FILE --columns 'c*' --store lake
    python benchmarks/models.py watch bench large --label label --store lake --models logreg xgboost --folds 2

``table`` is what `affectlake bench` does with its defaults: every modality alone, every fusion of every subset, five
folds grouped by speaker, intervals; wall-clock time and memory at the peak. ``ratio`` compares, on the first of these
folds and one core, the table with the same rows by independent calls of scikit-learn's `cross_validate`, each with its
own inner folds, in seconds of processor time (which other work on the machine disturbs less), and holds the
answers of both against each other. ``memory`` makes up samples of four classes with that many columns (half of them
audio, half text) and tells what a table took beyond what its processes hold before they see data: the sum of the
proportional set sizes of this process and of its workers, every 50 ms. ``rows`` prints rows by their score on inner
folds, by which a new model or fusion has to earn its place, beside that of the tested parts. ``parquet`` writes made-up
samples of a thousand speakers, to be put into a store; ``watch`` runs a command of affectlake and tells its seconds of
processor time and the most that all its processes took together (proportional set sizes, every half second), imports
and mapped files included.
"""

import argparse
import importlib
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from footprint import held, held_by_family
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import cross_validate

from affectlake.data.store import Store
from affectlake.features.workers import one_thread
from affectlake.flows.benchmark import BenchOptions, features
from affectlake.flows.progress import to_stderr
from affectlake.models import benchmark, calibration, splits, training, zoo
from affectlake.models.benchmark import Plan, target_of
from affectlake.models.early import present
from affectlake.models.training import Data


def main() -> None:
    if sys.argv[1:2] == ["watch"]:
        watch(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("table", "ratio", "memory", "rows", "parquet"))
    parser.add_argument("dataset", nargs="?")
    parser.add_argument("--store", default="lake")
    parser.add_argument("--label", default="emotion")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--models", nargs="+", default=zoo.DEFAULT)
    parser.add_argument("--fusions", nargs="+", default=benchmark.FUSIONS)
    parser.add_argument("--samples", type=int, default=15_956)
    parser.add_argument("--columns", type=int, default=1_367)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--speakers", type=int, default=60)
    parser.add_argument("--explain", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args()
    one_thread()
    if given.what == "parquet":
        parquet(given.dataset, given.samples, given.columns)
        return
    if given.what == "memory":
        models, fusions = tuple(given.models), tuple(given.fusions)
        plan = Plan("label", models=models, fusions=fusions, folds=given.folds, explain=given.explain)
        memory(*made_up(given.samples, given.columns, given.speakers), plan, given.workers)
        return
    options = BenchOptions(given.dataset, given.label, store=given.store)
    store = Store(given.store)
    samples, blocks = features(store, options, store.snapshot(given.dataset, None).id)
    print(f"{len(samples)} samples; columns: {', '.join(f'{m} {b.shape[1]}' for m, b in blocks.items())}")
    print(f"load average at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    plan = replace(
        options.plan(splits.has_official(samples)),
        models=tuple(given.models),
        fusions=tuple(given.fusions),
        explain=False,
    )
    if given.what == "rows":
        rows(samples, blocks, replace(plan, subsets="full", draws=2))
    elif given.what == "table":
        table(samples, blocks, plan, given.workers)
    else:
        ratio(samples, blocks, replace(plan, draws=2))


def table(samples: pd.DataFrame, blocks: dict[str, pd.DataFrame], plan: Plan, workers: int) -> None:
    start = time.perf_counter()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        result = benchmark.run(samples, blocks, plan, map=pool.map)
    wall = time.perf_counter() - start
    own, theirs = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = sum(u.ru_utime + u.ru_stime for u in (own, theirs))
    print(
        f"{len(result.rows)} rows, {plan.folds} folds, {workers} workers: {wall:.0f} s, {cpu:.0f} s of processor time"
    )
    print(f"memory at the peak: {own.ru_maxrss / 2**20:.2f} GiB, largest worker {theirs.ru_maxrss / 2**20:.2f} GiB")
    spent = pd.DataFrame([(r["fusion"], r["model"] or "", r["seconds"]) for r in result.rows])
    jobs = spent[spent[0].isin(["unimodal", "early", *benchmark.HEADS])]
    print(jobs.groupby([0, 1])[2].sum().round(1).to_string(header=False))
    # A late row's seconds are those of its modalities' models, which it shares with other rows.
    apart = spent[2].sum() / jobs[2].sum()
    print(f"sum of the rows' seconds, each with all that it needs: {apart:.1f} times what was spent")
    best = result.rows[0]
    metric = result.about["metric"]
    score = best[metric]
    print(f"best: {best['fusion']} {'+'.join(best['modalities'])} {best['model'] or ''} {metric}", end=" ")
    print(f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]")


def rows(samples: pd.DataFrame, blocks: dict[str, pd.DataFrame], plan: Plan) -> None:
    found = benchmark.run(samples, blocks, plan).to_json()
    metric, chosen = found["metric"], found["selected"]
    print(f"{metric}: inner, tested; seconds")
    for row in sorted(found["rows"], key=lambda r: -(r["inner"] or 0.0)):
        name = f"{row['fusion']} {'+'.join(row['modalities'])} {row['model'] or ''}".rstrip()
        inner = "" if row["inner"] is None else f"{row['inner']:.3f}"
        print(f"{inner:>6} {row[metric]['value']:6.3f} {row['seconds']:7.1f} {name}")
    print(f"selected: {np.mean([f['inner'] for f in chosen['folds']]):.3f} {chosen[metric]['value']:.3f}")


def made_up(n: int, columns: int, speakers: int) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Samples of four classes, and float32 features of a rank of 40 with noise."""
    rng = np.random.default_rng(0)
    y, who = rng.integers(0, 4, n), rng.integers(0, speakers, n)
    index = pd.Index([f"s{i:07}" for i in range(n)], name="sample_id")
    samples = pd.DataFrame({"label": np.array(list("abcd"))[y], "speaker": [f"p{w:03}" for w in who]}, index=index)
    blocks = {}
    for m, width in (("audio", columns - columns // 2), ("text", columns // 2)):
        of_class, of_speaker = 0.4 * rng.normal(size=(4, 40)), 0.5 * rng.normal(size=(speakers, 40))
        axes = rng.normal(size=(40, width)).astype(np.float32)
        x = np.empty((n, width), dtype=np.float32)
        for start in range(0, n, 10_000):  # a piece at a time: they are not to be the most that is held
            part = slice(start, start + 10_000)
            hidden = rng.normal(size=(len(y[part]), 40)) + of_class[y[part]] + of_speaker[who[part]]
            rng.standard_normal(out=x[part], dtype=np.float32)
            x[part] += hidden.astype(np.float32) @ axes
        blocks[m] = pd.DataFrame(x, index=index, columns=[f"{m}.made.c{i:04}" for i in range(width)], copy=False)
    return samples, blocks


def parquet(file: str, n: int, columns: int) -> None:
    """Samples of a thousand speakers and four classes, written in pieces."""
    rng = np.random.default_rng(0)
    axes, of_class = rng.normal(size=(40, columns)).astype("f4"), 0.15 * rng.normal(size=(4, 40)).astype("f4")
    of_speaker = 0.3 * rng.normal(size=(1000, 40)).astype("f4")
    names = [f"c{i:04}" for i in range(columns)]
    writer = None
    for start in range(0, n, 50_000):
        size = min(50_000, n - start)
        y, who = rng.integers(0, 4, size), rng.integers(0, 1000, size)
        hidden = rng.standard_normal((size, 40), "f4") + of_class[y] + of_speaker[who]
        x = np.asfortranarray(rng.standard_normal((size, columns), "f4") + hidden @ axes)
        samples = {
            "sample_id": [f"s{i:08}" for i in range(start, start + size)],
            "speaker": [f"p{w:03}" for w in who],
            "label": np.array(list("abcd"))[y],
        }
        table = pa.table(samples | dict(zip(names, x.T, strict=True)))
        writer = writer or pq.ParquetWriter(file, table.schema, compression="none", use_dictionary=False)
        writer.write_table(table)
    if writer:
        writer.close()


def watch(words: list[str]) -> None:
    start, peak, at = time.perf_counter(), 0, 0.0
    command = subprocess.Popen([sys.executable, "-c", "from affectlake.flows.cli.app import main; main()", *words])
    while command.poll() is None:
        now = held_by_family(command.pid)
        if now > peak:
            peak, at = now, time.perf_counter() - start
        time.sleep(0.5)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"exit code {command.returncode}: {used.ru_utime + used.ru_stime:.0f} s of processor time (processes that "
        f"ended), {time.perf_counter() - start:.0f} s; at most {peak / 2**30:.2f} GiB, after {at:.0f} s"
    )


def memory(samples: pd.DataFrame, blocks: dict[str, pd.DataFrame], plan: Plan, workers: int) -> None:
    size = sum(b.to_numpy().nbytes for b in blocks.values())
    seen: list[tuple[float, float]] = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        list(pool.map(_imported, [["affectlake.models.jobs"]] * (4 * workers)))
        pids = [os.getpid(), *(p.pid for p in multiprocessing.active_children())]
        before = [held(p) for p in pids]
        wanted = ["sklearn.calibration", "sklearn.linear_model", "sklearn.pipeline", "scipy.optimize"]
        wanted += ["xgboost"] * ("xgboost" in plan.models) + ["torch"] * bool({*benchmark.HEADS} & {*plan.fusions})
        list(pool.map(_imported, [wanted] * (4 * workers)))
        imports = sum(held(p) for p in pids) - sum(before)
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.05 if size < 2**28 else 1.0):  # what is asked costs time with the pages that are held
                beyond = [held(p) - b for p, b in zip(pids, before, strict=True)]
                seen.append((sum(beyond), beyond[0]))

        watcher = threading.Thread(target=watch)
        watcher.start()
        start = time.perf_counter()
        result = benchmark.run(samples, blocks, plan, map=pool.map, progress=to_stderr())
        wall = time.perf_counter() - start
        done.set()
        watcher.join()
    cpu = sum(
        u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    for row in result.rows:
        name = f"{row['fusion']} {'+'.join(row['modalities'])} {row['model'] or ''}"
        print(f"{row['uar']['value']:.4f} {row['seconds']:7.1f} s {name}")
    print(*result.about["remarks"], sep="\n")
    print(f"{cpu:.0f} s of processor time, making up the samples included")
    peak, own = max(seen)
    print(f"{len(samples)} samples, features of {size / 2**20:.0f} MiB, {workers} workers, {wall:.0f} s")
    print(f"processes before: {sum(before) / 2**20:.0f} MiB, the features of the caller among them")
    print(
        f"peak beyond that: {peak / 2**20:.0f} MiB, {peak / size:.1f} times the features, of which what workers import"
    )
    print(f"for jobs {imports / 2**20:.0f} MiB: without it {(peak - imports) / size:.1f} times; at that time the")
    print(f"first process {own / 2**20:.0f} MiB; the most that it took {max(o for _, o in seen) / 2**20:.0f} MiB")


def _imported(names: list[str]) -> None:
    for name in names:
        importlib.import_module(name)
    time.sleep(0.5)  # or one worker would do for all of them


def ratio(samples: pd.DataFrame, blocks: dict[str, pd.DataFrame], plan: Plan) -> None:
    target = target_of(samples[list(plan.labels)])
    fold = splits.folds(samples, target.y, plan.protocol, plan.folds, 1, plan.seed)[0]
    first = samples.assign(split=np.where(np.isin(np.arange(len(samples)), fold.test), "test", "train"))
    start = time.process_time()
    result = benchmark.run(first, blocks, replace(plan, protocol="official"))
    together = time.process_time() - start
    print(f"table: {len(result.rows)} rows in {together:.1f} s of processor time", flush=True)
    data = Data(benchmark.aligned(samples, blocks), target.y, splits.groups(samples).to_numpy())
    settings = benchmark.settings_of(plan, target)
    spent: dict[str, float] = {}
    for row in result.rows:
        if row["fusion"] == "dummy":
            continue
        alone = Row(row["fusion"], tuple(row["modalities"]), row["model"], data, settings, plan)
        start = time.process_time()
        found = cross_validate(alone, np.arange(len(samples))[:, None], target.y, cv=[(fold.train, fold.test)])
        spent[row["fusion"]] = spent.get(row["fusion"], 0.0) + time.process_time() - start
        if abs(found["test_score"][0] - row["accuracy"]["value"]) > 1e-9:
            print(f"differs: {row['fusion']} {row['modalities']} {row['model']}: {found['test_score'][0]:.4f}")
    for fusion, seconds in spent.items():
        print(f"  {fusion} by themselves: {seconds:.1f} s")
    total = sum(spent.values())
    print(f"rows by themselves: {total:.1f} s: the table costs {total / together:.1f} times less")


class Row(ClassifierMixin, BaseEstimator):
    """A row of the table as a scikit-learn classifier of its own; it is given positions of samples."""

    def __init__(self, fusion, names, model, data, settings, plan):
        self.fusion, self.names, self.model = fusion, names, model
        self.data, self.settings, self.plan = data, settings, plan

    def __sklearn_clone__(self):
        return Row(self.fusion, self.names, self.model, self.data, self.settings, self.plan)

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Row":
        self.classes_ = np.unique(y)
        train = training.subset(self.data, x[:, 0])
        self.prior_ = training.prior(train.y, self.settings)
        rest = (self.settings, self.plan.calibrate, self.plan.inner)
        if self.fusion in benchmark.HEADS:
            kind = benchmark.HEADS[self.fusion]
            self.fitted_ = training.fit_head(train, self.names, kind, self.settings, self.plan.inner)
        elif self.fusion == "early":
            self.fitted_ = training.fit_early(train, self.names, self.model, *rest)
        else:
            self.single_ = {m: training.fit_unimodal(train, m, self.model, *rest) for m in self.names}
            self.fitted_ = None
            if self.fusion != "unimodal":
                self.fitted_ = training.fit_late(
                    self.fusion.removeprefix("late-"),
                    self.names,
                    {m: u.oof for m, u in self.single_.items()},
                    {m: train.present(m) for m in self.names},
                    {m: u.known for m, u in self.single_.items()},
                    train,
                    self.settings,
                    self.plan.inner,
                )
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return calibration.decided(self.predict_proba(x), self.prior_, float(self.settings.balanced))

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        blocks = {m: self.data.blocks[m][x[:, 0]] for m in self.names}
        if self.fusion in ("early", *benchmark.HEADS):
            return self.fitted_.predict(blocks)
        said = {m: u.predict(blocks[m]) for m, u in self.single_.items()}
        if self.fitted_ is None:
            return said[self.names[0]]
        return self.fitted_.predict(said, {m: present(b) for m, b in blocks.items()})


if __name__ == "__main__":
    main()
