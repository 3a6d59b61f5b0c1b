"""The static HTML report of a benchmark: one file that opens offline."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from affectlake.flows import pictures
from affectlake.flows.shown import shown
from affectlake.models.document import ConformalGroup, ConformalLevel, score

if TYPE_CHECKING:
    from jinja2 import Environment, Template

    from affectlake.flows.document import Document, PastRun
    from affectlake.models.document import Score

METRIC_NAMES = {
    "uar": "UAR",
    "accuracy": "accuracy",
    "f1_macro": "macro F1",
    "f1_weighted": "weighted F1",
    "log_loss": "log-loss",
    "brier": "Brier",
    "ece": "ECE",
    "ccc": "CCC",
    "pearson": "Pearson r",
    "mae": "MAE",
    "auc": "AUC",
    "ap": "average precision",
    "qwk": "QWK",
    "within_one": "within one step",
    "acc2": "Acc-2",
    "acc7": "Acc-7",
    "f1_micro": "micro F1",
    "exact": "all labels right",
    "label_accuracy": "label accuracy",
    "soft_accuracy": "soft accuracy",
    "cross_entropy": "cross-entropy",
}


SHOWN = 15
"""Rows of the leaderboard that are open when the page opens."""


# Of results that were recorded before these were measured.
_ABSENT: Mapping[str, Any] = {
    "repeats": 1,
    "normalise": "none",
    "transductive": False,
    "nuisances": {},
    "per_output": [],
    "transcribed": 0,
    "by": [],
    "abstention": [],
    "conformal": [],
    "reliability": [],
    "errors": [],
    "remarks": [],
} | dict.fromkeys(
    (
        "contrast",
        "missing",
        "learning",
        "distort",
        "importance",
        "fusion_gain",
        "transfer",
        "interval",
        "reason",
        "best_of",
        "selected",
    )
    + ("target", "speaker_score")
)


def write_html(document: "Document", out: Path, history: "Sequence[PastRun]" = ()) -> Path:
    """Write the report of ``document`` (`affectlake.flows.benchmark.Benchmark.to_json`) and return its path.

    ``history``: earlier runs, see `affectlake.flows.benchmark.history`.
    """
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(html(document, history), encoding="utf-8")
    return out.absolute()


def template(name: str) -> "Template":
    """A page of ours, ready to be filled.

    What is put in is escaped, control characters and marks of direction are shown, and what is not given is an error.
    """
    return _environment().get_template(name)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=lambda value: shown(value, lines=True) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def html(document: "Document", history: "Sequence[PastRun]" = ()) -> str:
    """The report as a string."""
    document = cast("Document", {**_ABSENT, **document})
    first = document["rows"][0]
    metric = document["metric"]
    others = [m for m in METRIC_NAMES if m in first and m != metric]
    dummies = [score(r, metric)["value"] for r in document["rows"] if r["fusion"] == "dummy"]
    return template("report.html").render(
        dict(document),
        modalities=sorted({m for r in document["rows"] for m in r["modalities"]}),
        metric=metric,
        metric_name=METRIC_NAMES[metric],
        speaker_metric_name=METRIC_NAMES[
            document["speaker_score"] or ("mae" if document["task"] == "regression" else "accuracy")
        ],
        metrics=others,
        names=METRIC_NAMES,
        chance=max(dummies, default=None),
        place=_place,
        shown=SHOWN,
        picture=pictures.curves(document["missing"]) if document["missing"] else None,
        learned=pictures.curves(document["learning"]) if document["learning"] else None,
        reliable=pictures.reliability(document["reliability"]) if document["reliability"] else None,
        abstained=pictures.abstention(document["abstention"]) if document["abstention"] else None,
        sets=_sets(document["conformal"]),
        history=[r for r in history if r["created"] <= document["created"]][-20:],
        bound=pictures.bound,
        widest=_widest,
        signed=_signed,
    )


def _sets(levels: Sequence[ConformalLevel]) -> list[tuple[ConformalGroup, list[ConformalGroup]]]:
    """Groups of samples, each with its coverage at every level."""
    return [(at[0], list(at)) for at in zip(*(level["groups"] for level in levels), strict=True)]


def _widest(rows: "Sequence[Score]") -> float:
    """The largest distance from zero among values and bounds: the half-width of a plot of differences."""
    return max((abs(v) for r in rows for v in (r["value"], r["low"], r["high"]) if v is not None), default=0) or 1.0


def _signed(value: float, widest: float) -> float:
    """Percent of a plot's width for a difference, zero being in the middle."""
    return round(50 + 50 * max(-1.0, min(1.0, value / widest)), 2)


def _place(value: float) -> float:
    """Percent of the plot's width for a score; scores below zero (CCC, r) are drawn at its left edge."""
    return round(100 * min(max(value, 0.0), 1.0), 2)
