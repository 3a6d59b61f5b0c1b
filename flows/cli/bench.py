"""Commands that compare models: bench, leaderboard, report."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from affectlake.data.errors import AffectlakeError
from affectlake.flows.benchmark import BenchOptions
from affectlake.flows.cli.options import Json, PrefectOption, StoreOption
from affectlake.flows.cli.output import as_json, as_table, fitting, note
from affectlake.flows.columns import MEANINGS
from affectlake.models.document import score

if TYPE_CHECKING:
    from affectlake.flows.document import Document, PastRun
    from affectlake.models.document import ContrastRow, Curves, DistortionCurves, RowName, Score, Selected, Transfer


def bench(
    options: Annotated[BenchOptions, Parameter(name="*", negative_iterable=(), consume_multiple=True)],
    *,
    save: Path | None = None,
    report: Path | None = None,
    top: int = 25,
    prefect: PrefectOption = "auto",
    json: Json = False,
) -> int:
    """Train every fusion baseline on speaker-independent folds and rank them, each score with its interval.

    Parameters
    ----------
    options
        What to benchmark and how.
    save
        Fit the row that inner folds chose on all samples and save the model here.
    report
        Write the HTML report here.
    top
        Rows of the table to print; 0 prints all.
    prefect
        Run as a Prefect flow: auto does where an API is configured, or a nightly service of the same account runs.
    json
        The result as JSON on stdout.
    """
    from affectlake.flows import benchmark as plain
    from affectlake.flows.progress import to_stderr
    from affectlake.flows.server import wanted

    progress = to_stderr()
    note(f"{options.dataset}: benchmark of {options.labelled} begins")
    if wanted(prefect):
        from affectlake.flows.orchestration import run_benchmark

        result = run_benchmark(options)
    else:
        result = plain.benchmark(options, progress=progress)
    if json:
        as_json(result.to_json())
    else:
        print_result(result.to_json(), top)
    if report is not None:
        from affectlake.flows.erasure import remember
        from affectlake.flows.report import write_html

        with progress("writing the report"):
            earlier = []
            with suppress(AffectlakeError):  # none is recorded of a first benchmark by who may only read the store
                earlier = plain.history(options.store, options.dataset, options.labelled)
            written = write_html(result.to_json(), report, earlier)
            remember(options.store, "report", report, options.dataset)
        note(f"report: {written}")
    if save is not None:
        with progress("fitting the model to save"):
            saved = plain.save_best(options, result, save)
        note(f"model: {saved}")
        if plain.no_better_than_chance(result.to_json()):
            note(f"affectlake: this model is no better than chance ({result.result.about['metric']}): do not use it")
    return 0


_SHOWN = (
    "accuracy",
    "f1_weighted",
    "uar",
    "auc",
    "mae",
    "pearson",
    "acc2",
    "acc7",
    "f1_micro",
    "exact",
    "cross_entropy",
)
"""Metrics beside the one that ranks, as far as the task has them."""


def print_result(result: "Document", top: int = 0) -> None:
    """Print a benchmark's ``top`` rows (0: all), best first, and the dummy's, then what goes with them."""
    title = (
        f"{'SYNTHETIC ' if result.get('synthetic') else ''}{result['dataset']}: {result['label']}, "
        f"{result['n_samples']} samples, {result['n_speakers']} speakers, {result['protocol']}"
        f"{_crossing(result)}{_relative(result)}, snapshot {result['snapshot']}"
    )
    if selected := result.get("selected"):
        print(_selected(selected, result["metric"]))
    rows, metric = result["rows"], result["metric"]
    shown = [m for m in _SHOWN if m in rows[0] and m != metric]
    contrast = result["contrast"]
    against = {_key(r): r for r in contrast["rows"]} if contrast else {}
    chosen = [r for i, r in enumerate(rows) if not top or i < top or r["fusion"] == "dummy"]
    table = [
        {"fusion": r["fusion"], "modalities": "+".join(r["modalities"]), "model": r["model"] or ""}
        | {metric: interval(score(r, metric))}
        | (_beside(contrast["against"], against[_key(r)]) if contrast else {})
        | {"p": _p(r["p_value"])}
        | ({"repeats": " ".join(f"{v:.2f}" for v in r["repeats"])} if "repeats" in r else {})
        | {m: f"{score(r, m)['value']:.3f}" for m in shown}
        for r in chosen
    ]
    as_table(fitting(table, [*reversed(shown), "repeats", "p"]), title=title)
    if len(chosen) < len(rows):
        note(f"{len(chosen)} of {len(rows)} rows; --top 0 prints all")
    for said in (*_target(result), *_by(result), *_sure(result), *_reserve(result)):
        note(said)
    for follows, counts in result.get("nuisances", {}).items():
        columns = ", ".join(f"{count} of {name}" for name, count in counts.items())
        note(f"left out, as they follow {MEANINGS[follows]}: {columns}; --features takes them in")
    if result.get("transcribed"):
        note(f"the text of {result['transcribed']} of {result['n_samples']} samples was written by a machine")
    if result["transductive"]:
        note(f"transductive: features are relative to their {result['normalise']}, the tested samples included")
    if contrast:
        note(f"{metric} {contrast['of']} beside {contrast['against']}: {contrast['note']}")
    if transfer := result.get("transfer"):
        _print_transfer(transfer)
    if missing := result["missing"]:
        _print_curves(missing, "missing modalities")
    if learning := result.get("learning"):
        _print_curves(learning, f"the training part's {learning['unit']}s")
    if distort := result.get("distort"):
        _print_distort(distort)
    left_out = result.get("without_duplicates")
    if left_out:
        differ = f"; in {left_out['labels_differ']} of them labels differ" if left_out["labels_differ"] else ""
        kept = f"{len(left_out['groups'])} groups keep their first"
        note(f"without duplicates: {left_out['dropped']} samples left out, {kept}{differ}")
    for finding in result["leakage"].get("findings", []):
        note(f"leakage: {finding}")


def _beside(name: str, row: "ContrastRow") -> dict[str, str]:
    """What another table has for a row, and the gap."""
    return {name.split()[0]: f"{row['against']['value']:.3f}", "gap": f"{row['gap']['value']:+.3f}"}


def _selected(found: "Selected", metric: str) -> str:
    """One line: the score of what inner folds chose, and what that was."""
    others = [
        f"{m} {interval(score(found, m))}"
        for m in ("accuracy", "uar", "pearson", "f1_micro")
        if m in found and m != metric
    ]
    chosen = "; ".join(f"{_called(r)} ({r['times']} of {len(found['folds'])})" for r in found["chosen"])
    return f"selected: {', '.join([f'{metric} {interval(score(found, metric))}', *others])}; chosen inside: {chosen}"


def _target(result: "Document") -> list[str]:
    """Each of several quantities, and what a label's raters allow; nothing of results that do not tell."""
    target = result.get("target")
    if not target:
        return []
    said = []
    for output in result["per_output"]:
        said.append(
            f"{output['label']}: " + ", ".join(f"{m} {interval(score(output, m))}" for m in ("ccc", "pearson", "mae"))
        )
    if "ceiling" in target:
        most = target["ceiling"]
        rater = "" if most["rater"] is None else f"; a rater says in {most['rater']:.3f} what most others say"
        said.append(
            f"raters: whoever knows the votes reaches soft accuracy {most['soft_accuracy']:.3f} and cross-entropy "
            f"{most['cross_entropy']:.3f}{rater}"
        )
    return said


def _by(result: "Document") -> list[str]:
    """A line for each attribute: its groups, the worst first, and the gap."""
    said = []
    for a in result.get("by", []):
        groups = ", ".join(f"{g['group']} {interval(g)} ({g['speakers']} speakers)" for g in a["groups"])
        gap = a["gap"]
        rest = ""
        if gap:
            p = gap.get("reason", "") if gap["p"] is None else f"p {_p(gap['p'])}"
            rest = f"; gap {gap['best']} less {gap['worst']} {interval(gap)}, {p}"
        said.append(f"by {a['attribute']}, {a['metric']} of the selected: {groups}{rest}")
    return said


def _sure(result: "Document") -> list[str]:
    """What abstaining gains, and how large sets of classes are; nothing of results that do not tell."""
    said = []
    half = next((p for p in result.get("abstention", []) if p["aimed"] == 0.5), None)
    if half:
        said.append(
            f"abstention: of the surest {half['coverage']:.0%} (half was aimed at) the selected answers "
            f"{half['accuracy']['value']:.3f} rightly"
        )
    for level in (v for v in result.get("conformal", []) if v["level"] == 0.9):
        worst = min(level["groups"], key=lambda g: g["coverage"]["value"])
        said.append(
            f"sets of {level['level']:.0%}: {level['size']:.2f} classes on average hold the truth in "
            f"{interval(level['coverage'])}, least often of {worst['attribute']} {worst['group']} "
            f"({worst['coverage']['value']:.3f}){'; ' + level['reason'] if level['reason'] else ''}"
        )
    return said


def _called(row: "RowName | PastRun") -> str:
    return " ".join([row["fusion"], "+".join(row["modalities"]), row["model"] or ""]).strip()


def _reserve(result: "Document") -> list[str]:
    """What must be known before the best row is quoted; nothing of results recorded before it was measured."""
    said = []
    if result.get("reason"):
        said.append(f"no interval and no p: {result['reason']}")
    selected, metric = result.get("selected"), result["metric"]
    high = score(selected, metric)["high"] if selected else None
    if selected and high is not None:
        inner = sum(f["inner"] for f in selected["folds"]) / len(selected["folds"])
        if inner > high:
            said.append(
                f"inner folds promised {metric} {inner:.3f} of what they chose, more than its interval holds: features "
                "that were learned from the training part do so, and thresholds and sets promise too much then"
            )
    best = result.get("best_of")
    if best and best["bias"] is not None:
        said.append(
            f"the first row is the best of {best['of']}: chosen for its score, which says {best['bias']:+.3f} too much "
            f"on average (corrected {best['corrected']:.3f})"
        )
    return said


def _key(row: "RowName") -> tuple[str, tuple[str, ...], str | None]:
    return row["fusion"], tuple(row["modalities"]), row["model"]


def _crossing(result: "Document") -> str:
    transfer = result.get("transfer")
    return f", trained on {' + '.join(transfer['train_on'])}" if transfer else ""


def _relative(result: "Document") -> str:
    return f", relative to {result['normalise']} (transductive)" if result["transductive"] else ""


def _print_transfer(transfer: "Transfer") -> None:
    note(f"cross-corpus: {transfer['trained']} samples trained on, {transfer['tested']} tested on")
    if transfer["left_out"]:
        left = ", ".join(f"{n} {c}" for c, n in transfer["left_out"].items())
        note(f"cross-corpus: left out as their class is not in both: {left}")


def _print_curves(found: "Curves", of: str) -> None:
    as_table(
        [
            {"fusion": c["fusion"], "modalities": "+".join(c["modalities"])}
            | {f"{p['share']:.0%}": f"{p['value']:.3f}" for p in c["points"]}
            for c in found["curves"]
        ],
        title=f"{found['metric']} by share of {of} ({found['model']})",
    )


def _print_distort(found: "DistortionCurves") -> None:
    as_table(
        [
            {"fusion": c["fusion"], "modalities": "+".join(c["modalities"])}
            | {p["distortion"]: f"{p['value']:.3f}" for p in c["points"]}
            for c in found["curves"]
        ],
        title=f"{found['metric']} of {found['samples']} samples whose sound is spoiled after training "
        f"({found['model']})",
    )


def _p(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def interval(of: "Score | PastRun") -> str:
    """A score with its interval, where one can be had."""
    value = f"{of['value']:.3f}"
    return value if of["low"] is None else f"{value} [{of['low']:.3f}, {of['high']:.3f}]"


def leaderboard(dataset: str, /, *, label: str | None = None, store: StoreOption = "lake", json: Json = False) -> int:
    """Past benchmarks of a dataset, oldest first: what inner folds selected, the best row and how it moved.

    Parameters
    ----------
    dataset
        Name of a dataset that was benchmarked.
    label
        Only those of this label.
    store
        Folder or object-store URI.
    json
        JSON on stdout.
    """
    from affectlake.flows.benchmark import history

    runs = history(store, dataset, label)
    if json:
        as_json(runs)
        return 0
    table = [
        {
            "created": r["created"][:16].replace("T", " "),
            "run": r["run"],
            "label": r["label"],
            "protocol": r["protocol"] + _leaking(r),
            "snapshot": r["snapshot"],
            "code": r["code_version"],
            "selected": interval(r["selected"]) if r["selected"] else "",
            "best row": _called(r),
            "score": f"{r['metric']} {interval(r)}",
            "change": "" if r["change"] is None else f"{r['change']:+.3f}",
        }
        for r in runs
    ]
    as_table(fitting(table, ["code", "snapshot", "label", "run"]))
    return 0


def _leaking(run: "PastRun") -> str:
    marks = [run["train_on"] and f"from {run['train_on']}", run["normalise"] != "none" and f"by {run['normalise']}"]
    marks.append(run["leaks"] and "leaks")
    said = ", ".join(m for m in marks if m)
    return f" ({said})" if said else ""


def report(dataset: str, /, *, store: StoreOption = "lake", out: Path = Path("report.html")) -> int:
    """Write the HTML report of the newest benchmark of a dataset.

    Parameters
    ----------
    dataset
        Name of a dataset that was benchmarked.
    store
        Folder or object-store URI.
    out
        File to write.
    """
    from affectlake.flows.benchmark import history, newest_result
    from affectlake.flows.erasure import remember
    from affectlake.flows.report import write_html

    newest = newest_result(store, dataset)
    note(f"report: {write_html(newest, out, history(store, dataset, newest['label']))}")
    remember(store, "report", out, dataset)
    return 0
