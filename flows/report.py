"""The static HTML report of a benchmark: one file that opens offline."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from affectlake.flows.shown import shown

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
_ABSENT = {
    "repeats": 1,
    "normalise": "none",
    "transductive": False,
    "nuisances": {},
    "per_output": [],
    "transcribed": 0,
    "by": [],
} | dict.fromkeys(
    ("contrast", "missing", "importance", "fusion_gain", "transfer", "interval", "reason", "best_of", "selected")
    + ("target", "speaker_score")
)


def write_html(document: dict, out: Path, history: Sequence[dict] = ()) -> Path:
    """Write the report of ``document`` (`affectlake.flows.benchmark.Benchmark.to_json`) and return its path.

    ``history``: earlier runs, see `affectlake.flows.benchmark.history`.
    """
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(html(document, history), encoding="utf-8")
    return out.absolute()


def template(name: str):
    """A page of ours, ready to be filled.

    What is put in is escaped, control characters and marks of direction are shown, and what is not given is an error.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=lambda value: shown(value, lines=True) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def html(document: dict, history: Sequence[dict] = ()) -> str:
    """The report as a string."""
    document = _ABSENT | document
    first = document["rows"][0]
    metric = document["metric"]
    others = [m for m in METRIC_NAMES if m in first and m != metric]
    dummies = [r[metric]["value"] for r in document["rows"] if r["fusion"] == "dummy"]
    return template("report.html").render(
        document,
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
        picture=_curves(document["missing"]) if document["missing"] else None,
        history=[r for r in history if r["created"] <= document["created"]][-20:],
        bound=_bound,
        widest=_widest,
        signed=_signed,
    )


WIDTH, HEIGHT = 620, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 170, 12, 40


def _curves(missing: dict) -> dict[str, Any]:
    """Where the lines, labels and ticks of the missing-modality picture go, in the units of its view box."""
    points = [p for c in missing["curves"] for p in c["points"]]
    top, last = max(_bound(p, "high") for p in points), max(missing["shares"])
    low = min(_bound(p, "low") for p in points)
    # Tenths above and below what is drawn.
    floor, ceiling = int(low * 10 - (low < 0)) / 10, min(1.0, int(top * 10 + 1) / 10)

    def x(share: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * share / last, 1)

    def y(value: float) -> float:
        return round(_TOP + (HEIGHT - _TOP - _BOTTOM) * (ceiling - value) / max(ceiling - floor, 0.1), 1)

    lines = []
    for c in sorted(missing["curves"], key=lambda c: -c["points"][-1]["value"]):
        at = [(x(p["share"]), y(p["value"])) for p in c["points"]]
        fused = len(c["modalities"]) > 1
        label = c["fusion"] if fused else f"{'+'.join(c['modalities'])} alone"
        lines.append({"points": at, "label": label, "fused": fused, "y": at[-1][1]})
    for i, line in enumerate(li for li in lines if li["fused"]):
        line["colour"] = i % 8
    # Labels that would lie on each other move down, and if that leaves the picture, all move up.
    for above, line in pairwise(lines):
        line["y"] = max(line["y"], above["y"] + 14)
    excess = max(0.0, lines[-1]["y"] - (HEIGHT - _BOTTOM))
    ticks = [round(floor + i / 10, 1) for i in range(round((ceiling - floor) * 10) + 1)]
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": _LEFT,
        "right": WIDTH - _RIGHT,
        "bottom": HEIGHT - _BOTTOM,
        "lines": [line | {"y": round(line["y"] - excess, 1)} for line in lines],
        "xs": [(x(s), f"{s:.0%}") for s in missing["shares"]],
        "ys": [(y(t), f"{t:.1f}") for t in (ticks if len(ticks) <= 7 else ticks[::2])],
    }


def _bound(score: dict, which: str) -> float:
    """The ``low`` or ``high`` end of a score's interval; its value where it has none."""
    return score["value"] if score[which] is None else score[which]


def _widest(rows: Sequence[dict]) -> float:
    """The largest distance from zero among values and bounds: the half-width of a plot of differences."""
    return max((abs(_bound(r, k)) for r in rows for k in ("value", "low", "high")), default=0) or 1.0


def _signed(value: float, widest: float) -> float:
    """Percent of a plot's width for a difference, zero being in the middle."""
    return round(50 + 50 * max(-1.0, min(1.0, value / widest)), 2)


def _place(value: float) -> float:
    """Percent of the plot's width for a score; scores below zero (CCC, r) are drawn at its left edge."""
    return round(100 * min(max(value, 0.0), 1.0), 2)
