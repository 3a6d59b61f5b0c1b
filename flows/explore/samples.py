"""Pages about datasets and their samples."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from affectlake.data.errors import AffectlakeError, UnknownName
from affectlake.data.remote.addresses import redacted
from affectlake.flows.document import Document
from affectlake.flows.explore import maps, media
from affectlake.flows.explore.ask import Ask, Links
from affectlake.flows.explore.lake import Lake, of_ids
from affectlake.flows.explore.lake import media as media_of
from affectlake.flows.explore.page import page, part
from affectlake.flows.mistakes import greatest

EXCERPT = 80
"""Characters of a text in a table."""

NEIGHBOURS = 8

_USUAL = ("audio.whisper", "text.minilm")  # by which the nearest are shown first

_BARS = 12  # values of a class that are drawn before the rest is counted together


def index(lake: Lake, ask: Ask, to: Links) -> str:
    """All datasets of the store."""
    held = lake.store.status()["datasets"]
    runs = [run["dataset"] for run in lake.runs()]
    about = [d | {"runs": runs.count(d["dataset"])} for d in held]
    return page("index", to, "Datasets", datasets=about, store=lake.store.uri)


def dataset(lake: Lake, ask: Ask, to: Links) -> str:
    """One dataset: coverage, classes, benchmarks."""
    name = ask.one("dataset")
    snapshot = lake.snapshot(name)
    samples, classes, runs = lake.samples(name), lake.classes(name), lake.runs(name)
    return page(
        "dataset",
        to,
        name,
        name,
        snapshot=snapshot,
        tables=lake.tables(name),
        speakers=samples["speaker"].nunique(),
        classes={c: list(n[:_BARS].items()) for c, n in classes.items()},
        more={c: (len(n) - _BARS, int(n[_BARS:].sum())) for c, n in classes.items()},
        maps=[e for e in maps.extractors(lake, name) if e in lake.embeddings(name)],
        runs=runs,
        pairs=_pairs(runs),
        quarantined=int((lake.outcomes(name)["outcome"] == "failed").sum()),
        versions=lake.store.snapshots(name).iloc[::-1].head(10).to_dict("records"),
    )


def _pairs(runs: list[Document]) -> list[tuple[Document, Document]]:
    """The newest run of each label and the one before it, where both say what a comparison needs."""
    of: dict[str, list[Document]] = {}
    for run in runs:
        if {"target", "inflation", "selected"} <= run.keys():
            of.setdefault(run["label"], []).append(run)
    return [(before, after) for after, before, *_ in (r for r in of.values() if len(r) > 1)]


def samples(lake: Lake, ask: Ask, to: Links) -> str:
    """Samples of a dataset, as a table in parts."""
    name = ask.one("dataset")
    frame, classes = lake.samples(name), lake.classes(name)
    column, value, word = ask.maybe("column"), ask.maybe("value"), ask.maybe("word")
    if column is not None:
        if column not in classes:
            raise UnknownName("column", column, classes)
        frame = frame[(frame[column].astype("str") == (value or "")).to_numpy()]
    if word is not None:
        frame = frame[_says(frame, word)]
    here = part(len(frame), ask)
    kept = {k: v for k, v in (("column", column), ("value", value), ("word", word)) if v}
    return page(
        "samples",
        to,
        f"Samples of {name}",
        name,
        rows=_listed(frame.iloc[here.rows_of_it], [c for c in classes if c in frame.columns]),
        columns=list(classes),
        part=here,
        kept=kept,
    )


def _says(frame: pd.DataFrame, word: str) -> list[bool]:
    found = pd.Series(frame.index.astype("str"), index=frame.index).str.contains(word, case=False, regex=False)
    text = frame["text"].str.contains(word, case=False, regex=False, na=False)
    return (found | text).tolist()


def _listed(frame: pd.DataFrame, columns: list[str]) -> list[dict[str, object]]:
    return [
        {
            "id": str(sample_id),
            "classes": [_said(row[c]) for c in columns],
            "text": _excerpt(row["text"]),
            "media": ", ".join(media_of(row)),
        }
        for sample_id, row in frame.iterrows()
    ]


def _said(value: object) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value)


def _excerpt(text: object) -> str:
    said = _said(text)
    return said if len(said) <= EXCERPT else said[:EXCERPT] + "…"


def sample(lake: Lake, ask: Ask, to: Links) -> str:
    """One sample: what it is, its media, what was computed of it, what models said of it, what is near."""
    name, sample_id = ask.one("dataset"), ask.one("id")
    about = lake.sample(name, sample_id)
    computed = _computed(lake, name, sample_id, to)
    embeddings = [e for e in lake.embeddings(name) if e in computed and computed[e]["outcome"] == "ok"]
    near = ask.maybe("near") or next((e for e in (*_USUAL, *embeddings) if e in embeddings), None)
    hidden = ("text", "audio", "image", "video", "dataset")
    return page(
        "sample",
        to,
        sample_id,
        name,
        id=sample_id,
        facts={k: _said(v) for k, v in about.items() if k not in hidden and _said(v)},
        classes=list(lake.classes(name)),
        text=_said(about["text"]),
        media=[] if to.static else _media(lake, name, sample_id, about, to, _faced(computed)),
        places={e: _places(lake, name, e, sample_id) for e in lake.named(name) if computed[e]["outcome"] == "ok"},
        computed=computed,
        answers=_answers(lake, name, sample_id),
        near=near,
        neighbours=_neighbours(lake, name, sample_id, near) if near else [],
        embeddings=embeddings,
    )


def _faced(computed: dict[str, dict[str, str]]) -> bool:
    return any(e.startswith("face.") and c["outcome"] == "ok" for e, c in computed.items())


def _media(lake: Lake, name: str, sample_id: str, about: pd.Series, to: Links, faced: bool) -> list[dict[str, object]]:
    """What can be shown of each medium, or why it cannot."""
    found: list[dict[str, object]] = []
    for kind, uri in media_of(about).items():
        entry: dict[str, object] = {
            "kind": kind,
            "uri": redacted(uri),
            "why": "",
            "frames": [],
            "face": "",
            "source": "",
        }
        which = {"dataset": name, "id": sample_id, "kind": kind}
        try:
            path = media.file_of(lake, name, sample_id, kind)
        except (AffectlakeError, OSError) as error:
            found.append(entry | {"why": str(error)})
            continue
        if kind != "image" and not path.is_dir():
            how = media.player(kind, about)
            entry["element"] = kind if how == "media" else "audio"
            entry["source"] = to(how, **which) + (media.fragment(about) if how == "media" else "")
        if kind != "audio":
            entry["frames"] = [to("picture", **which, n=str(i)) for i in range(1 if kind == "image" else media.FRAMES)]
            entry["face"] = to("face", **which) if faced else ""
        found.append(entry)
    return found


def _places(lake: Lake, name: str, extractor: str, sample_id: str) -> list[dict[str, object]]:
    about = lake.describe(name, extractor)
    return [
        {
            "column": column,
            "value": float(row["value"]),
            "below": float(row["below"]),
            "unit": about["unit"].get(column, ""),
            "meaning": about["meaning"].get(column, ""),
        }
        for column, row in lake.place(name, extractor, sample_id).iterrows()
    ]


def _computed(lake: Lake, name: str, sample_id: str, to: Links) -> dict[str, dict[str, str]]:
    """By extractor: what came of it, from which bytes, by what."""
    contents, said = lake.contents(name).loc[sample_id], lake.outcomes(name)
    said = said[said["sample_id"] == sample_id].set_index("extractor")
    found = {}
    for extractor, table in lake.snapshot(name).features.items():
        bytes_of = contents.get(extractor)
        known = isinstance(bytes_of, str)
        absent = extractor not in said.index
        found[extractor] = {
            "outcome": "ok" if known else "absent" if absent else str(said.at[extractor, "outcome"]),
            "reason": "" if absent or known else _told(said.loc[extractor].to_dict(), to)["reason"],
            "bytes": str(bytes_of)[:12] if known else "",
            "version": table.extractor_version,
            "fingerprint": (table.fingerprint or "")[:12],
        }
    return found


def _answers(lake: Lake, name: str, sample_id: str) -> list[dict[str, object]]:
    """What the rows of the newest benchmark of each label said, the selected first."""
    return [
        {
            "run": document["run"],
            "label": document["label"],
            "row": row,
            "truth": answer.truth,
            "predicted": answer.predicted,
            "right": str(answer.truth) == str(answer.predicted),
            "sure": greatest(getattr(answer, "probabilities", None)),
        }
        for document, rows in lake.said(name, sample_id)
        for row, answers in rows.items()
        for answer in answers.itertuples(index=False)
    ]


def _neighbours(lake: Lake, name: str, sample_id: str, extractor: str) -> list[dict[str, object]]:
    try:
        found = lake.store.similar(name, sample_id, extractor, NEIGHBOURS)
    except AffectlakeError:
        return []  # of what was not computed nothing is near
    shown_of = [c for c in lake.classes(name) if c in found.columns]
    near = of_ids(found, list(found.index))
    return [row | {"similarity": float(near["similarity"].iloc[i])} for i, row in enumerate(_listed(near, shown_of))]


def failures(lake: Lake, ask: Ask, to: Links) -> str:
    """Samples without values of an extractor, and why."""
    name = ask.one("dataset")
    rows = lake.outcomes(name)
    extractor, outcome = ask.maybe("extractor"), ask.maybe("outcome")
    if extractor is not None:
        rows = rows[rows["extractor"] == extractor]
    if outcome is not None:
        rows = rows[rows["outcome"] == outcome]
    here = part(len(rows), ask)
    kept = {k: v for k, v in (("extractor", extractor), ("outcome", outcome)) if v}
    return page(
        "failures",
        to,
        f"Without values in {name}",
        name,
        rows=[_told(r, to) for r in rows.iloc[here.rows_of_it].to_dict("records")],
        part=here,
        kept=kept,
    )


def _told(outcome: dict[Any, Any], to: Links) -> dict[Any, Any]:
    """An outcome, in a static copy without the folder of the file."""
    reason = _said(outcome["reason"])
    folder = _said(outcome["uri"]).rpartition("/")[0]
    return outcome | {"reason": reason.replace(f"{folder}/", "") if to.static and folder else reason}


def trace(lake: Lake, ask: Ask, to: Links) -> str:
    """Where one value comes from."""
    name, sample_id, column = ask.one("dataset"), ask.one("id"), ask.one("column")
    found = lake.store.explain(name, sample_id, column)
    return page("trace", to, f"{column} of {sample_id}", name, id=sample_id, column=column, found=_flat(found))


def _flat(found: Mapping[str, object], before: str = "") -> dict[str, str]:
    """Nested facts as lines."""
    lines: dict[str, str] = {}
    for key, value in found.items():
        name = f"{before}{key}"
        if isinstance(value, dict):
            lines |= _flat(value, f"{name}: ")
        elif _said(value):
            lines[name] = redacted(_said(value))
    return lines
