"""The static HTML report of a benchmark: one file that opens offline."""

from pathlib import Path

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
}


SHOWN = 15
"""Rows of the leaderboard that are open when the page opens."""


def write_html(document: dict, out: Path) -> Path:
    """Write the report of ``document`` (`affectlake.flows.benchmark.Benchmark.to_json`) and return its path."""
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(html(document), encoding="utf-8")
    return out.absolute()


def html(document: dict) -> str:
    """The report as a string."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    first = document["rows"][0]
    metric = document["metric"]
    others = [m for m in METRIC_NAMES if m in first and m != metric]
    dummies = [r[metric]["value"] for r in document["rows"] if r["fusion"] == "dummy"]
    return environment.get_template("report.html").render(
        document,
        modalities=sorted({m for r in document["rows"] for m in r["modalities"]}),
        metric=metric,
        metric_name=METRIC_NAMES[metric],
        speaker_metric_name=METRIC_NAMES["mae" if document["task"] == "regression" else "accuracy"],
        metrics=others,
        names=METRIC_NAMES,
        chance=max(dummies, default=None),
        place=_place,
        shown=SHOWN,
    )


def _place(value: float) -> float:
    """Percent of the plot's width for a score; scores below zero (CCC, r) are drawn at its left edge."""
    return round(100 * min(max(value, 0.0), 1.0), 2)
