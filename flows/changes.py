"""What differs between two nights, file by file and extractor by extractor, with the reason. No prefect here."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from affectlake.data.samples import MEDIA
from affectlake.features.settings import SETTINGS
from affectlake.flows.record import (
    Bad,
    BadFile,
    Changes,
    Column,
    Edited,
    ExtractorChange,
    Folder,
    Listed,
    OtherContent,
    Reason,
    Renamed,
    Sample,
    SampleChanges,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from affectlake.data.lookup import Positions
    from affectlake.data.store import FeatureTable, Snapshot, Store

T = TypeVar("T")

LISTED = 1000
"""Items of each kind that are listed one by one; all of them are counted."""

_ABSENT = "absent"
_CONTENT = (*MEDIA, "text", "start", "end", "channel")
_PLACE = ("dataset", *MEDIA)


def changes(store: "Store", dataset: str, before: "Snapshot | None", now: "Snapshot") -> Changes:
    """Compare two snapshots of a dataset.

    Parameters
    ----------
    before : Snapshot or None
        None where there was none: everything is new.
    now : Snapshot
        Also one that the quality gate held.

    Returns
    -------
    dict
        ``since`` and ``to`` (snapshot ids), ``samples`` (before, now), and by kind of change: ``new``, ``removed``,
        ``renamed`` (equal content in another place or under another id), ``content`` (other bytes or text under the
        same id), ``edited`` (labels and attributes), ``columns`` (labels and attributes that came or left as a whole),
        ``extractors`` (with what about them changed) and ``bad`` (new, mended, standing). Shape: docs/nightly.md.
    """
    same = before is not None and all(before.tables.get(t) == now.tables.get(t) for t in ("samples", "stats"))
    found = _nothing() if same else _by_sample(_samples(store, before), _samples(store, now))
    renamed = {i["was"]: i["sample_id"] for i in found["renamed"]["items"] if "was" in i}
    changed: Changes = {
        "since": before.id if before else None,
        "to": now.id,
        "samples": {"before": before.samples if before else 0, "now": now.samples},
        "new": found["new"],
        "removed": found["removed"],
        "renamed": found["renamed"],
        "content": found["content"],
        "edited": found["edited"],
        "columns": found["columns"],
        "extractors": _extractors(store, dataset, before, now),
        "bad": _bad(store, dataset, before, now, renamed),
    }
    for listed in (changed[k] for k in ("new", "removed", "renamed", "content", "edited", "columns")):
        del listed["items"][LISTED:]  # renamed ids were looked up among all of them
    return changed


def equal_data(store: "Store", dataset: str, a: "Snapshot", b: "Snapshot") -> bool:
    """Whether a benchmark would see the same in both: the same features and labels of the same samples."""
    mine = [{n: e.key for n, e in s.features.items()} for s in (a, b)]
    if mine[0] != mine[1] and {*a.features, *b.features} & set(store.diff(dataset, a, b)["features"]):
        return False
    if a.tables["samples"] == b.tables["samples"]:
        return True
    x, y = (store.samples(dataset, s, on_disk=True).drop(columns=list(MEDIA)) for s in (a, b))
    return x.equals(y)


def _samples(store: "Store", snapshot: "Snapshot | None") -> "pd.DataFrame":
    """Samples; of each media column also the sha256 of its file, as ``<column> sha256``."""
    import pandas as pd

    from affectlake.data import spill
    from affectlake.data.lookup import Positions

    if snapshot is None:
        return pd.DataFrame(columns=["sample_id", *_CONTENT, *(f"{m} sha256" for m in MEDIA)], dtype="str")
    files = store.files(snapshot.dataset, snapshot, on_disk=True)
    places = Positions(files["uri"].astype("str"))
    samples = store.samples(snapshot.dataset, snapshot, on_disk=True)
    return spill.spilled(_with_digests(part, files, places) for part in spill.parts(samples))


def _with_digests(samples: "pd.DataFrame", files: "pd.DataFrame", places: "Positions") -> "pd.DataFrame":
    import numpy as np
    import pandas as pd

    from affectlake.data import spill
    from affectlake.features.scan import UNLEARNT

    frame = samples.assign(channel=samples.get("channel"))  # not in a snapshot of an earlier program
    for column in MEDIA:
        uris = frame[column].astype("str")
        at = np.where(uris.notna(), places.of(uris), -1)
        found = spill.taken(files, at[at >= 0])
        digest = found["sha256"].astype("str")
        if (listed := digest == UNLEARNT).any():  # of what nobody read, another stamp is another content
            digest = digest.where(~listed, "object " + found["stamp"].astype("str"))
        # Where no scan has looked (imported samples), the place is all that is known of the content.
        known = pd.Series(digest.to_numpy(), index=frame.index[at >= 0], dtype="str")
        frame[f"{column} sha256"] = known.reindex(frame.index).fillna(uris)
    return frame


def _nothing() -> SampleChanges:
    return {
        "new": _listed([]),
        "removed": _listed([]),
        "renamed": {**_listed([]), "folders": []},
        "content": _listed([]),
        "edited": {**_listed([]), "columns": {}},
        "columns": _listed([]),
    }


def _by_sample(before: "pd.DataFrame", now: "pd.DataFrame") -> SampleChanges:
    from affectlake.data.lookup import differing

    old, new = (frame.set_index("sample_id") for frame in differing(before, now))
    both = old.index.intersection(new.index, sort=False)
    a, b = old.loc[both], new.loc[both]
    content: list[OtherContent] = []
    renamed: list[Renamed] = []
    differs = {c: _differs(a, b, f"{c} sha256" if c in MEDIA else c) for c in _CONTENT}
    touched = _any(differs.values(), len(both))
    for sample_id in both[touched]:
        parts = [c for c in _CONTENT if differs[c].at[sample_id]]
        content.append({"sample_id": sample_id, "uri": _uri(b.loc[sample_id]), "what": _what(a, b, sample_id, parts)})
    moved = _any((_differs(a, b, c) for c in MEDIA), len(both))
    for sample_id in both[moved & ~touched]:
        renamed.append({"sample_id": sample_id, "from": _uri(a.loc[sample_id]), "to": _uri(b.loc[sample_id])})
    known = [str(c) for c in old if c in new and _ours(str(c))]
    labels = {c: _differs(a, b, c) for c in known}
    edited: list[Edited] = [
        {"sample_id": i, "columns": [c for c in known if labels[c].at[i]]}
        for i in both[_any(labels.values(), len(both))]
    ]
    gone, come = (
        old.loc[old.index.difference(new.index, sort=False)],
        new.loc[new.index.difference(old.index, sort=False)],
    )
    pairs = _pairs(gone, come)
    renamed += [
        {"sample_id": n, "was": o, "from": _uri(gone.loc[o]), "to": _uri(come.loc[n])} for o, n in pairs.items()
    ]
    back = set(pairs.values())
    by_column = dict(Counter(c for e in edited for c in e["columns"]))
    return {
        "new": _listed([_item(come, i) for i in come.index if i not in back]),
        "removed": _listed([_item(gone, i) for i in gone.index if i not in pairs]),
        "renamed": {**_listed(renamed), "folders": _folders(renamed)},
        "content": _listed(content),
        "edited": {**_listed(edited), "columns": by_column},
        "columns": _listed(_columns(before, now)),
    }


def _columns(old: "pd.DataFrame", new: "pd.DataFrame") -> list[Column]:
    """Labels and attributes that left or came; one without any value left is as good as gone."""
    if not len(old) or not len(new):
        return []  # nothing was compared with: the samples themselves are the news
    filled = [{str(c): int(f[c].notna().sum()) for c in f if _ours(str(c))} for f in (old, new)]
    a, b = ({c: n for c, n in counts.items() if n} for counts in filled)
    left: list[Column] = [{"column": c, "what": "gone", "values": n} for c, n in a.items() if c not in b]
    return left + [{"column": c, "what": "new", "values": n} for c, n in b.items() if c not in a]


def _ours(column: str) -> bool:
    return column not in (*_CONTENT, *_PLACE) and not column.endswith(" sha256")


def _any(differing: "Iterable[pd.Series]", n: int) -> "np.ndarray":
    """Whether any of some columns differs [shape=(n,)]."""
    import numpy as np

    return np.any([d.to_numpy() for d in differing] or [np.zeros(n, bool)], axis=0)


def _differs(a: "pd.DataFrame", b: "pd.DataFrame", column: str) -> "pd.Series":
    x, y = a[column], b[column]
    return ~((x == y) | (x.isna() & y.isna())).fillna(False).astype(bool)


def _what(a: "pd.DataFrame", b: "pd.DataFrame", sample_id: Hashable, parts: list[str]) -> list[str]:
    said = []
    for part in parts:
        was, now = (f.at[sample_id, f"{part} sha256"] if part in MEDIA else "" for f in (a, b))
        said.append(f"{part} vanished" if now == _ABSENT else f"{part} arrived" if was == _ABSENT else part)
    return said


def _pairs(gone: "pd.DataFrame", come: "pd.DataFrame") -> dict[str, str]:
    """Old to new id of samples whose content left under one id and came under another."""
    if gone.empty or come.empty:
        return {}
    waiting: dict[tuple[str | None, ...], list[str]] = {}
    for sample_id, key in zip(gone.index, _keys(gone), strict=True):
        waiting.setdefault(key, []).append(sample_id)
    found = {}
    for sample_id, key in zip(come.index, _keys(come), strict=True):
        if any(key) and waiting.get(key):
            found[waiting[key].pop(0)] = sample_id
    return found


def _keys(frame: "pd.DataFrame") -> "list[tuple[str | None, ...]]":
    """What each sample consists of; all None where nothing is known of it, or its files are not there."""
    columns = [f"{c} sha256" if c in MEDIA else c for c in _CONTENT]
    known = frame[columns].astype(object)
    return list(known.where(known.notna() & (known != _ABSENT), None).itertuples(index=False, name=None))


def _folders(renamed: list[Renamed]) -> list[Folder]:
    """Renamed files by the folders that make the difference, the fullest first."""
    counts: Counter[tuple[str, str]] = Counter()
    for item in renamed:
        old, new = PurePosixPath(item["from"]), PurePosixPath(item["to"])
        while old.name == new.name and old.name:
            old, new = old.parent, new.parent
        if str(old) != item["from"]:
            counts[str(old), str(new)] += 1
    return [{"from": a, "to": b, "files": n} for (a, b), n in counts.most_common(20)]


def _item(frame: "pd.DataFrame", sample_id: str) -> Sample:
    return {"sample_id": sample_id, "uri": _uri(frame.loc[sample_id])}


def _uri(row: Any) -> str:
    """The sample's first medium; empty for one that is text alone."""
    return next((row[m] for m in MEDIA if isinstance(row[m], str)), "")


def _listed(items: list[T]) -> Listed[T]:
    return {"count": len(items), "items": items}


def _extractors(store: "Store", dataset: str, before: "Snapshot | None", now: "Snapshot") -> list[ExtractorChange]:
    was = before.features if before else {}
    ours = {n: e.key for n, e in now.features.items()}
    theirs = {n: e.key for n, e in was.items()}
    differing = store.diff(dataset, before, now)["features"] if before and ours != theirs else {}
    found: list[ExtractorChange] = []
    for name in sorted({*was, *now.features}):
        old, new = was.get(name), now.features.get(name)
        if old is None or new is None:
            why: list[Reason] = [{"what": "added" if old is None else "removed"}]
            recomputed = content = 0
            gained, lost = new.rows if new else 0, old.rows if old else 0
        elif name in differing or old.fingerprint != new.fingerprint:
            why = _why(old, new) if old.fingerprint != new.fingerprint else []
            differs = differing.get(name, {"status": "same"})
            content, gained = len(differs.get("changed", ())), len(differs.get("added", ()))
            lost = len(differs.get("removed", ()))
            recomputed = new.rows - gained if why else content
        else:
            continue
        found.append(
            ExtractorChange(extractor=name, why=why, recomputed=recomputed, content=content, gained=gained, lost=lost)
        )
    return found


def _why(old: "FeatureTable", new: "FeatureTable") -> list[Reason]:
    """What makes the difference between two fingerprints."""
    found: list[Reason] = []
    if old.extractor_version != new.extractor_version:
        found.append({"what": "version", "before": old.extractor_version, "now": new.extractor_version})
    kinds: tuple[tuple[Literal["parameter", "weights"], str], ...] = (
        ("parameter", "parameters"),
        ("weights", "weights"),
    )
    for kind, key in kinds:
        for name in sorted({*getattr(old, key), *getattr(new, key)}):
            # A setting is recorded where it is not at its default.
            default = SETTINGS[name].default if name in SETTINGS else None
            before, now = (getattr(e, key).get(name, default) for e in (old, new))
            if before != now:
                found.append({"what": kind, "name": name, "before": before, "now": now})
    if old.columns != new.columns:
        found.append({"what": "columns", "before": old.columns, "now": new.columns})
    return found or [{"what": "decoding"}]


def _bad(store: "Store", dataset: str, before: "Snapshot | None", now: "Snapshot", renamed: dict[str, str]) -> Bad:
    after = store.failures(dataset, as_of=now).to_dict("records")
    if before is None or before.tables["outcomes"] == now.tables["outcomes"]:
        earlier = [] if before is None else after
    else:
        earlier = store.failures(dataset, as_of=before).to_dict("records")
    earlier_keys = [(renamed.get(r["sample_id"], r["sample_id"]), r["extractor"]) for r in earlier]
    now_bad, was_bad = {(r["sample_id"], r["extractor"]) for r in after}, set(earlier_keys)
    new = [r for r in after if (r["sample_id"], r["extractor"]) not in was_bad]
    mended = [r | {"now": key[0]} for r, key in zip(earlier, earlier_keys, strict=True) if key not in now_bad]
    if mended:  # who took the sample out has mended nothing
        ids = store.samples(dataset, now, on_disk=True)["sample_id"]
        here = set(ids[ids.isin([r["now"] for r in mended])])
        mended = [r for r in mended if r["now"] in here]
    return {
        "new": _first(_bad_files(new)),
        "mended": _first(_bad_files(mended)),
        "standing": _first(_bad_files(r for r in after if (r["sample_id"], r["extractor"]) in was_bad)),
    }


def _bad_files(rows: Iterable[Mapping[Hashable, Any]]) -> list[BadFile]:
    """Failures by sample and reason: one file that no extractor can read is one line."""
    found: dict[tuple[str, str], BadFile] = {}
    for row in rows:
        bad: BadFile = {"sample_id": row["sample_id"], "uri": row["uri"], "reason": row["reason"], "extractors": []}
        found.setdefault((row["sample_id"], row["reason"]), bad)["extractors"].append(row["extractor"])
    return list(found.values())


def _first(items: list[T]) -> Listed[T]:
    return {"count": len(items), "items": items[:LISTED]}
