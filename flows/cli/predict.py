"""Command predict: labels by a saved model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import Parameter

from affectlake.flows.cli.bench import interval
from affectlake.flows.cli.options import Json
from affectlake.flows.cli.output import as_json, as_lines, as_table, note
from affectlake.flows.options import PredictOptions

if TYPE_CHECKING:
    from affectlake.flows.document import AnsweredSample, PlacedAnswer


def predict(
    options: Annotated[PredictOptions, Parameter(name="*", negative_iterable=())],
    *,
    page: Path | None = None,
    card: Annotated[bool, Parameter(negative=())] = False,
    lines: Annotated[bool, Parameter(negative=())] = False,
    json: Json = False,
) -> int:
    """Label new media, or features that are there already, with a saved model.

    Says the label, its probabilities, what each modality said, and where the model can promise it, a set of classes
    that holds the truth in 90 % and whether it would rather not answer. Exit code 3: some files could not be read; they
    are listed on stderr.

    Parameters
    ----------
    options
        What to label and with which model.
    page
        Also write the timeline as a page that opens offline and plays the recordings from where they lie.
    card
        Only show what the model is, was trained on and scored.
    lines
        One line of JSON per sample on stdout as soon as it is known, for lists of any length.
    json
        JSON on stdout.
    """
    from affectlake.flows.progress import to_stderr

    if card:
        return show_card(options.model, json)
    progress = to_stderr()
    with progress("starting"):
        from affectlake.flows.predict import answers
    parts = answers(replace(options, timeline=options.timeline or page is not None), progress)
    if options.features is not None:
        note("a file of features carries no fingerprints: whether they are those of the training is not checked")
    rows: list[AnsweredSample] = []
    failed = known = 0
    far: dict[str, list[str]] = {}
    banded: dict[str, list[str]] = {}
    abstained: list[str] = []
    for part in parts:
        for failure in part.failures:
            note(f"{failure['sample_id']}: {failure['extractor']}: {failure['reason']}")
        failed += len(part.failures)
        known += sum(r["label"] is not None for r in part.rows)
        for row in part.rows:
            for modality in row["far"]:
                far.setdefault(modality, []).append(row["sample_id"])
            if row["abstain"] and not row["far"] and not row["band"]:
                abstained.append(row["sample_id"])
            if row["band"]:
                banded.setdefault(row["band"], []).append(row["sample_id"])
        if lines:
            as_lines(part.rows)
        if not lines or page:
            rows += part.rows
    if json:
        as_json(rows)
    elif not lines:
        as_table([_answer(r, _promised(rows)) for r in rows])
    if page and known:
        from affectlake.flows.timeline import write_page

        note(f"timeline: {write_page(cast('list[PlacedAnswer]', rows), str(options.model), page)}")
    if abstained:
        note(
            f"{len(abstained)} answer(s) that the model would rather not give, the first {abstained[0]}: it is as "
            "unsure of them as of the least sure of its training (--card tells the bound)"
        )
    for band, ids in banded.items():
        note(
            f"{len(ids)} sample(s) whose sound has a {band} band than the model was trained on, the first {ids[0]}: it "
            "is surer of them than it should be"
        )
    for modality, ids in far.items():
        note(
            f"{len(ids)} sample(s) whose {modality} features lie far from those of the training, the first {ids[0]}: "
            "nothing vouches for what the model says of them"
        )
    if not known:
        note("affectlake: nothing could be read of any sample")
        return 1
    return 3 if failed else 0


def _promised(rows: "Sequence[AnsweredSample]") -> tuple[str, ...]:
    """What is said of any answer beside its label."""
    return tuple(k for k in ("abstain", "prediction_set") if any(r[k] is not None for r in rows))


def _answer(row: "AnsweredSample", promised: tuple[str, ...]) -> dict[str, object]:
    by_name: Mapping[str, object] = row
    placed = {k: v for k in ("start", "end", "speaker") if (v := by_name.get(k)) is not None}
    shown = placed | {
        "sample_id": row["sample_id"],
        "label": _said(row["label"]),
        "p": _probability(row),
    }
    if "abstain" in promised:
        shown["abstain"] = "yes" if row["abstain"] else ""
    if "prediction_set" in promised:
        shown["prediction set"] = row["prediction_set"]
    transcribed = "text_source" in by_name
    heard = {"heard": by_name["text"] if by_name["text_source"] else None} if transcribed else {}
    return shown | {m: _said(said["label"]) for m, said in row["modalities"].items()} | heard


def _probability(row: "AnsweredSample") -> float | None:
    """The label's own, which need not be the likeliest: rare classes may weigh more. Of several labels the highest."""
    label, of = row["label"], row["probabilities"]
    return of[label] if isinstance(label, str) and label in of else max(of.values(), default=None)


def _said(label: object) -> object:
    """A label as a cell: of several quantities each by its name."""
    return ", ".join(f"{k} {v:.3g}" for k, v in label.items()) if isinstance(label, dict) else label


def show_card(model: Path, json: bool = False) -> int:
    """Print what a model file says about itself; nothing in it is built."""
    from affectlake.models.persistence import card

    about = card(model)
    if json:
        as_json(about)
        return 0
    scores = about.pop("scores", {})
    extractors = about.pop("extractors")
    if "prediction_sets" in about:
        about |= {"prediction_sets": _sets(about["prediction_sets"]), "abstention": _abstention(about["abstention"])}
    as_table([{"": k.replace("_", " "), "value": _plain(v)} for k, v in about.items()], title=str(model))
    if scores:
        as_table([{"metric": k, "held out [95 %]": interval(v)} for k, v in scores.items()])
    as_table(extractors)
    return 0


def _sets(bound: Mapping[str, Any]) -> str:
    """What is promised of sets of classes, and what was measured, in one line."""
    if bound["value"] is None:
        return f"none: {bound['reason']}"
    said = f"hold the truth of {bound['aim']:.0%} of a new {bound['unit']}'s samples, on average"
    if "coverage" not in bound:
        return f"{said}; not measured"
    return f"{said}; measured {interval(bound['coverage'])}, {bound['size']:.2f} classes each"


def _abstention(bound: Mapping[str, Any]) -> str:
    """The same of answers that the model would rather not give."""
    if bound["value"] is None:
        return f"none: {bound['reason']}"
    said = f"answers of less than {bound['value']:.3f}, {1 - bound['aim']:.0%} of those of training"
    if "coverage" not in bound:
        return f"{said}; not measured"
    return f"{said}; measured: of the other {bound['coverage']:.0%} {interval(bound['accuracy'])} are right"


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return value
