"""Pages about benchmarks: their rows, confusions, the samples behind them, and runs beside each other."""

from typing import Any

import pandas as pd

from affectlake.data.errors import UnknownName
from affectlake.flows.compare import compare as compared
from affectlake.flows.explore.ask import Ask, Links
from affectlake.flows.explore.lake import Lake, Row
from affectlake.flows.explore.page import page, part
from affectlake.flows.explore.samples import surest

SUREST = 15
"""Errors that are listed, those of which a model was most sure first."""

SHOWN = 25
"""Rows of a comparison."""

BOARD = 15
"""Rows of a leaderboard."""

SHADES = 5


def run(lake: Lake, ask: Ask, to: Links) -> str:
    """One benchmark: its rows, and of one of them the confusions and the surest errors."""
    document = lake.run(ask.one("run"))
    rows = lake.rows(document["run"])
    row = _row(ask, rows)
    answers = lake.answers(document["run"], row) if row else pd.DataFrame()
    classes = list(document.get("classes") or [])
    wrong = _wrong(answers) if classes else []
    return page(
        "run",
        to,
        f"{document['label']} of {document['dataset']}",
        document["dataset"],
        document=document,
        board=[(r, _of_document(r) in rows) for r in document["rows"][:BOARD]],
        row=row,
        which=_which(document["run"], row) if row else {},
        confusion=_confusion(answers, classes) if classes and len(answers) else [],
        classes=classes,
        errors=wrong[:SUREST],
        known=set(lake.samples(document["dataset"]).index) if _held(lake, document["dataset"]) else set(),
    )


def _held(lake: Lake, dataset: str) -> bool:
    return any(d["dataset"] == dataset for d in lake.store.status()["datasets"])


def _row(ask: Ask, rows: list[Row]) -> Row | None:
    """The row that is asked for, else the first; raises UnknownName where it was not recorded."""
    if ask.maybe("fusion") is None:
        return rows[0] if rows else None
    row = Row(ask.one("fusion"), ask.maybe("modalities") or "", ask.maybe("model") or "")
    if row not in rows:
        raise UnknownName("row", row.name, [r.name for r in rows])
    return row


def _of_document(row: dict[str, Any]) -> Row:
    return Row(row["fusion"], "+".join(row["modalities"]), row["model"] or "")


def _which(run: str, row: Row) -> dict[str, str]:
    return {"run": run, "fusion": row.fusion, "modalities": row.modalities, "model": row.model}


def _confusion(answers: pd.DataFrame, classes: list[str]) -> list[dict[str, Any]]:
    """A line for each true class: how often each class was said, and how dark that is drawn."""
    names = [str(c) for c in classes]
    counts = pd.crosstab(answers["truth"], answers["predicted"]).reindex(index=names, columns=names, fill_value=0)
    lines = []
    for name in names:
        line = counts.loc[[name]].to_numpy()[0].tolist()
        n = sum(line)
        cells = [(said, v, -(-SHADES * v // n) if n else 0) for said, v in zip(names, line, strict=True)]
        lines.append({"truth": name, "cells": cells, "n": n})
    return lines


def _wrong(answers: pd.DataFrame) -> list[dict[str, Any]]:
    """Wrong answers, the surest first."""
    if answers.empty:
        return []
    wrong = answers[answers["truth"] != answers["predicted"]]
    found = [_answer(a) for a in wrong.itertuples(index=False)]
    return sorted(found, key=lambda a: -1.0 if a["sure"] is None else a["sure"], reverse=True)


def _answer(answer: Any) -> dict[str, Any]:
    sure = surest(getattr(answer, "probabilities", None))
    return {"id": str(answer.sample_id), "truth": answer.truth, "predicted": answer.predicted, "sure": sure}


def answers(lake: Lake, ask: Ask, to: Links) -> str:
    """The samples behind a cell of a confusion matrix."""
    document = lake.run(ask.one("run"))
    row = _row(ask, lake.rows(document["run"]))
    if row is None:
        raise UnknownName("row", ask.one("fusion"), ())
    truth, predicted = ask.maybe("truth"), ask.maybe("predicted")
    found = lake.answers(document["run"], row)
    for name, value in (("truth", truth), ("predicted", predicted)):
        found = found if value is None else found[found[name] == value]
    rows = sorted((_answer(a) for a in found.itertuples(index=False)), key=lambda a: -(a["sure"] or 0.0))
    here = part(len(rows), ask)
    asked = {k: v for k, v in (("truth", truth), ("predicted", predicted)) if v is not None}
    return page(
        "answers",
        to,
        f"{truth or 'any'} taken for {predicted or 'any'}",
        document["dataset"],
        document=document,
        row=row,
        rows=rows[here.rows_of_it],
        part=here,
        which=_which(document["run"], row),
        asked=asked,
    )


def compare(lake: Lake, ask: Ask, to: Links) -> str:
    """Benchmarks beside each other; see `affectlake.flows.compare`."""
    found = compared(lake.store.uri, ask.many("run"))
    datasets = {r["dataset"] for r in found.runs}
    return page(
        "compare",
        to,
        f"{len(found.runs)} benchmarks beside each other",
        datasets.pop() if len(datasets) == 1 else None,
        found=found,
        shown=SHOWN,
    )
