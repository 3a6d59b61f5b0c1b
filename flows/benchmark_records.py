"""What a benchmark leaves in the store: tables that docs/models.md describes."""

import json
from collections.abc import Mapping

import pandas as pd

from affectlake.flows.document import Document
from affectlake.flows.values import plain
from affectlake.models.document import RowJson, RowName, Score, scores


def records(about: Document, predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tables of one benchmark that share the column ``run``.

    ``predictions`` as `affectlake.models.benchmark.Result` has them.
    """
    by_name: Mapping[str, object] = about
    keys = {k: by_name[k] for k in ("run", "dataset", "label", "protocol", "snapshot", "created", "code_version")}
    keys["train_on"] = "+".join(about["configuration"]["train_on"])
    configuration = json.dumps(plain(about["configuration"]))
    tables = {
        "benchmarks": pd.DataFrame([keys | {"configuration": configuration, "document": json.dumps(plain(about))}]),
        "scores": pd.DataFrame([keys | {"place": i} | _flat(r) for i, r in enumerate(about["rows"], 1)]),
        "predictions": answers(about, predictions).assign(run=about["run"]),
    }
    if importance := about["importance"]:
        shuffled = {k: importance[k] for k in ("modalities", "extractors", "columns")}
        tables["importance"] = pd.DataFrame(
            [
                keys
                | _called(importance["row"])
                | {"kind": kind, "name": lost["name"], "modality": lost["modality"], "value": lost["value"]}
                | _ends(lost)
                for kind, entries in shuffled.items()
                for lost in entries
            ]
        )
    return tables


def _called(row: RowName) -> dict[str, str | float]:
    return {"fusion": row["fusion"], "modalities": "+".join(row["modalities"]), "model": row["model"] or ""}


def _flat(row: RowJson) -> dict[str, str | float]:
    """A row as columns: ``uar``, ``uar_low``, ``uar_high``, and so on."""
    columns = _called(row)
    for metric, score in scores(row).items():
        columns |= {metric: score["value"]} | {f"{metric}_{k}": v for k, v in _ends(score).items()}
    p = row["p_value"]
    return columns | {"p_value": float("nan") if p is None else float(p), "seconds": float(row["seconds"])}


def _ends(score: Score) -> dict[str, float]:
    """Of an interval; NaN where there is none."""
    ends = {"low": score["low"], "high": score["high"]}
    return {k: float("nan") if v is None else v for k, v in ends.items()}


def answers(about: Document, frame: pd.DataFrame) -> pd.DataFrame:
    """What every row said out of its folds, as it is kept: probabilities in the order of the document's ``classes``."""
    if frame.empty:
        return frame
    shares = [c for c in frame.columns if str(c).startswith("p_")]
    rows = frame.drop(columns=shares).assign(
        truth=frame["truth"].astype("str"), predicted=frame["predicted"].astype("str")
    )
    if shares:
        rows = rows.assign(probabilities=list(frame[shares].to_numpy()))
    return rows.assign(
        dataset=about["dataset"],
        snapshot=about["snapshot"],
        created=about["created"],
        label=about["label"],
    )
