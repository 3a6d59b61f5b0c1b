"""Benchmarks of a store beside each other: ranks over datasets, and changes on the same samples."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import pandas as pd

from affectlake.data.errors import UnknownName, UsageError
from affectlake.flows.document import Document
from affectlake.flows.report import METRIC_NAMES, template
from affectlake.models import splits
from affectlake.models.across import TELLING, Ranking, ranking
from affectlake.models.change import Change, by_output, changes, recorded_answers
from affectlake.models.document import score
from affectlake.models.tasks import target_of

if TYPE_CHECKING:
    from affectlake.data.store import Store

SELECTED = "selected"
"""What inner folds chose, as a row among the others."""


class Run(TypedDict):
    """Which benchmark is compared, and by what."""

    run: str
    dataset: str
    label: str
    protocol: str
    created: str
    snapshot: str
    code_version: str
    metric: str


@dataclass(frozen=True)
class Changed:
    """Two benchmarks of the same label.

    Attributes
    ----------
    dataset, label : str
    before, after : str
        Their runs.
    only_before, only_after : int
        Tested samples that the other has not.
    relabelled : int
        Samples of both whose label has changed; they take no part.
    rows : list of Change
        The selected first; of several quantities or labels by the mean over them.
    outputs : list of Change
        The first row in each of several quantities or labels by itself.
    """

    dataset: str
    label: str
    before: str
    after: str
    only_before: int
    only_after: int
    relabelled: int
    rows: list[Change]
    outputs: list[Change]


@dataclass(frozen=True)
class Compared:
    """Several benchmarks beside each other.

    Attributes
    ----------
    runs : list of Run
    ranking : Ranking or None
        Over the datasets, where there are several; of the last run of each.
    changes : list of Changed
        Between runs of one dataset and label, each against the one named before it.
    """

    runs: list[Run]
    ranking: Ranking | None
    changes: list[Changed]

    def to_json(self) -> dict[str, Any]:
        """The shape of ``compare --json``."""
        return asdict(self)

    @property
    def ranked(self) -> list[Run]:
        """The runs that `ranking` is over, in its order."""
        return list({(r["dataset"], r["label"]): r for r in self.runs}.values())

    @property
    def several(self) -> list[str]:
        """Datasets that are ranked by several labels, which are no independent datasets."""
        names = [r["dataset"] for r in self.ranked]
        return sorted({n for n in names if names.count(n) > 1})


def compare(store: str, runs: Sequence[str], metric: str | None = None) -> Compared:
    """Compare benchmarks that the store keeps.

    Parameters
    ----------
    store : str
        Folder or object-store URI.
    runs : sequence of str
        Ids of runs or how they begin, or names of datasets, which stand for their newest run.
    metric : str, optional
        By which all are compared; default: of each run its own.

    Raises
    ------
    UnknownName
        No such run, or no such metric in one of them.
    UsageError
        Fewer than two runs, or nothing that they have in common.
    """
    from affectlake.data.store import Store

    if len(runs) < 2:
        raise UsageError(f"{len(runs)} run(s) to compare, expected two or more")
    lake = Store(store)
    documents = _documents(lake, runs)
    for document in documents:
        _check(document)
        if metric is not None and metric not in document["rows"][0]:
            raise UnknownName("metric", metric, [m for m in METRIC_NAMES if m in document["rows"][0]])
    pairs = _pairs(documents)
    last = {(d["dataset"], d["label"]): d for d in documents}
    found = _ranking(list(last.values()), metric) if len(last) > 1 else None
    return Compared(
        [_run(d, metric) for d in documents],
        found,
        [_changed(lake, *pair, metric or pair[1]["metric"]) for pair in pairs],
    )


def _run(document: Document, metric: str | None) -> Run:
    return {
        "run": document["run"],
        "dataset": document["dataset"],
        "label": document["label"],
        "protocol": document["protocol"],
        "created": document["created"],
        "snapshot": document["snapshot"],
        "code_version": document["code_version"],
        "metric": metric or document["metric"],
    }


def _check(document: Document) -> None:
    """Raises UsageError where a run was recorded before what is compared was kept."""
    lacking = [k for k in ("target", "inflation", "selected") if k not in document]
    if lacking:
        raise UsageError(
            f"run {document['run']} of {document['dataset']} ({document['created'][:10]}) does not say its "
            f"{', '.join(lacking)}, as it was made by an older version: run it again"
        )


def _documents(lake: "Store", runs: Sequence[str]) -> list[Document]:
    records = lake.records("benchmarks")
    if not len(records):
        raise UsageError("no benchmark was run on this store: affectlake bench DATASET --label …")
    records = records.sort_values("created", kind="stable")
    found = []
    for name in runs:
        mine = records[records["run"].str.startswith(name)]
        if len(mine) > 1:
            raise UsageError(f"run {name!r} may be {', '.join(mine['run'][:5])}: more of its id tells them apart")
        if not len(mine):
            mine = records[records["dataset"] == name][-1:]
        if not len(mine):
            raise UnknownName("run or dataset", name, [*records["dataset"].unique(), *records["run"]])
        found.append(json.loads(mine["document"].iloc[0]))
    ids = [d["run"] for d in found]
    if len(set(ids)) < len(ids):
        raise UsageError(f"run {next(i for i in ids if ids.count(i) > 1)} is named twice: expected different ones")
    return found


def _pairs(documents: Sequence[Document]) -> list[tuple[Document, Document]]:
    """Each run with the one of the same dataset and label that was named before it."""
    before: dict[tuple[str, str], Document] = {}
    found = []
    for document in documents:
        key = document["dataset"], document["label"]
        if key in before:
            found.append((before[key], document))
        before[key] = document
    return found


# Ranks


def _ranking(documents: Sequence[Document], metric: str | None) -> Ranking:
    tables = [_scores(d, metric or d["metric"]) for d in documents]
    names = [n for n in tables[0] if all(n in t for t in tables)]
    scores = np.array([[t[n] for t in tables] for n in names]).reshape(len(names), len(tables))
    return ranking(names, scores, [(metric or d["metric"]) in _LOWER for d in documents])


def _scores(document: Document, metric: str) -> dict[str, float]:
    """Score of each row; all modalities of a dataset are called ``all``."""
    rows = document["rows"]
    every = max((r["modalities"] for r in rows), key=len)
    found = {SELECTED: score(document["selected"], metric)["value"]} if document["selected"] else {}
    return found | {row_name(r, every): score(r, metric)["value"] for r in rows}


_LOWER = ("log_loss", "brier", "ece", "mae", "cross_entropy")
"""Metrics of which less is better."""


def row_name(row: Mapping[str, Any], every: Sequence[str] = ()) -> str:
    """How a row is called where it stands for itself; ``every``: modalities that are called all."""
    which = "all" if len(every) > 1 and list(row["modalities"]) == list(every) else " + ".join(row["modalities"])
    return " ".join(word for word in (row["fusion"], which, row["model"]) if word)


# Changes


def _changed(lake: "Store", before: Document, after: Document, metric: str) -> Changed:
    records = lake.records("predictions")
    one, other = (rows_of(records, d) for d in (before, after))
    label, dataset = after["target"]["labels"], after["dataset"]
    old, new = (lake.samples(dataset, as_of=d["snapshot"]).set_index("sample_id") for d in (before, after))
    tested = [set.intersection(*({s for s, _ in f.index} for f in rows.values())) for rows in (one, other)]
    both = sorted(tested[0] & tested[1])
    same = (old.loc[both, label].astype("str") == new.loc[both, label].astype("str")).all(axis=1).to_numpy()
    ids = np.array(both, dtype=object)[same]
    counts = (len(tested[0]) - len(both), len(tested[1]) - len(both), int((~same).sum()))
    if not len(ids):
        raise UsageError(f"runs {before['run']} and {after['run']} tested no sample of the same label in common")
    labelled = new[new[label].notna().all(axis=1)]
    target = target_of(labelled[label], after["target"]["task"])
    for document in (before, after):
        if list(target.classes) != document["classes"]:
            raise UsageError(f"run {document['run']} knows other classes than {dataset} has now: run it again")
    at = labelled.index.get_indexer(pd.Index(ids))
    groups = splits.groups(labelled, after["group_by"]).to_numpy()[at]
    repeats = range(min(int(max(r for _, r in next(iter(rows.values())).index)) for rows in (one, other)) + 1)
    keys = [(i, r) for r in repeats for i in ids]
    first, second = ({name: recorded_answers(f.loc[keys], target) for name, f in rows.items()} for rows in (one, other))
    truth, who = np.concatenate([target.y[at]] * len(repeats)), np.tile(groups, len(repeats))
    inflation = max(before["inflation"], after["inflation"])
    found = changes(target, truth, who, first, second, metric, inflation)
    row = found[0].row
    outputs = by_output(target, truth, who, first[row], second[row], metric, inflation)
    return Changed(dataset, after["label"], before["run"], after["run"], *counts, found, outputs)


def rows_of(records: pd.DataFrame, document: Document) -> dict[str, pd.DataFrame]:
    """Recorded predictions of each row, the selected's first, by sample and repetition.

    Raises
    ------
    UsageError
        None of the run are among them.
    """
    mine = records[records["run"] == document["run"]]
    if not len(mine):
        raise UsageError(f"the predictions of run {document['run']} are not kept in this store")
    mine = mine.assign(row=[_named(*r) for r in zip(mine["fusion"], mine["modalities"], mine["model"], strict=True)])
    if document["transfer"]:  # ids of several corpora begin with the corpus
        mine = mine.assign(sample_id=mine["sample_id"].str.removeprefix(f"{document['dataset']}:"))
    mine = mine.set_index(["sample_id", "repeat"])
    found = {}
    if document["selected"]:
        chosen = [row_name(c) for c in document["selected"]["folds"]]
        found[SELECTED] = mine[mine["row"] == np.array(chosen, dtype=object)[mine["fold"].to_numpy()]]
    return found | {str(name): rows for name, rows in mine.groupby("row", sort=False)}


def _named(fusion: str, modalities: str, model: str) -> str:
    return row_name({"fusion": fusion, "modalities": modalities.split("+"), "model": model})


def write_html(compared: Compared, out: Path) -> Path:
    """Write the page and return its path."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(html(compared), encoding="utf-8")
    return out.absolute()


def html(compared: Compared) -> str:
    """The page as a string; it opens offline."""
    return template("compare.html").render(
        runs=compared.runs,
        ranking=compared.ranking,
        datasets=compared.ranked,
        several=compared.several,
        changes=compared.changes,
        names=METRIC_NAMES,
        telling=TELLING,
    )
