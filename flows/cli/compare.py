"""The command that puts benchmarks beside each other."""

from pathlib import Path
from typing import TYPE_CHECKING

from affectlake.flows.cli.options import Json, StoreOption
from affectlake.flows.cli.output import as_json, as_table, note

if TYPE_CHECKING:
    from affectlake.flows.compare import Compared
    from affectlake.models.change import Change
    from affectlake.models.document import Score


def compare(
    *runs: str,
    store: StoreOption = "lake",
    metric: str | None = None,
    out: Path | None = None,
    top: int = 25,
    json: Json = False,
) -> int:
    """Benchmarks beside each other: mean ranks over several datasets, or what changed on the same samples.

    Runs of several datasets are compared by the ranks of the rows that all of them have, runs of one dataset and label
    sample by sample, with a paired test over speakers.

    Parameters
    ----------
    runs
        Ids of runs or how they begin (`affectlake leaderboard DATASET` lists them); a dataset's name is its newest run.
    store
        Folder or object-store URI.
    metric
        Compare by this one; default: of each run the one that ranked its rows.
    out
        Write an HTML page here.
    top
        Rows of each table to print; 0 prints all.
    json
        JSON on stdout.
    """
    from affectlake.flows.progress import to_stderr

    with to_stderr()("comparing"):
        from affectlake.flows import compare as comparing

        compared = comparing.compare(store, runs, metric)
    if json:
        as_json(compared.to_json())
    else:
        _show(compared, top or None)
    if out is not None:
        note(f"page: {comparing.write_html(compared, out)}")
    return 0


def _show(compared: "Compared", top: int | None) -> None:
    if compared.ranking:
        several = compared.several
        named = [(r["dataset"], r["label"] if r["dataset"] in several else "", r["metric"]) for r in compared.ranked]
        heads = [" ".join(filter(None, words)) for words in named]
        table = [
            {"row": r.name, "mean rank": f"{r.rank:.2f}", "as good": "yes" if r.as_good else ""}
            | ({} if r.p is None else {"p": f"{r.p:.3f}"})
            | {h: f"{s:.3f} ({place:g})" for h, s, place in zip(heads, r.scores, r.ranks, strict=True)}
            for r in compared.ranking.rows[:top]
        ]
        as_table(table, title=f"{len(compared.ranking.rows)} rows of {len(heads)} datasets")
        friedman = "" if compared.ranking.friedman is None else f"; Friedman's p {compared.ranking.friedman:.3f}"
        note(f"mean ranks differ from {compared.ranking.critical:.2f} on (Nemenyi, 5 %){friedman}")
        if several:
            note(
                f"{', '.join(several)}: labels of the same samples are no independent datasets, as the tests take them"
            )
    for c in compared.changes:
        first = c.rows[0]
        as_table(_changed("row", c.rows[:top]), title=f"{c.dataset} {c.label}: {first.metric}, {c.before} to {c.after}")
        if c.outputs:
            as_table(_changed("of", c.outputs), title=f"{first.row}, each by itself")
        note(
            f"{first.samples} samples of {first.speakers} speakers in both; {c.only_before} only before, "
            f"{c.only_after} only after, {c.relabelled} labelled otherwise"
        )
        if first.reason:
            note(f"no interval and no p: {first.reason}")


def _changed(of: str, rows: "list[Change]") -> list[dict[str, str]]:
    return [
        {of: r.row, "before": f"{r.before:.3f}", "after": f"{r.after:.3f}", "change": _interval(r.difference)}
        | {"p": "" if r.p is None else f"{r.p:.3f}"}
        for r in rows
    ]


def _interval(score: "Score") -> str:
    text = f"{score['value']:+.3f}"
    return text if score["low"] is None else f"{text} [{score['low']:+.3f}, {score['high']:+.3f}]"
