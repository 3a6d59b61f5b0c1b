"""What differs between two nights, file by file and extractor by extractor, with the reason. No prefect here."""

from collections import Counter
from collections.abc import Hashable, Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from affectlake.data.samples import MEDIA
from affectlake.features.settings import SETTINGS

if TYPE_CHECKING:
    import pandas as pd

    from affectlake.data.store import FeatureTable, Snapshot, Store

LISTED = 1000
"""Items of each kind that are listed one by one; all of them are counted."""

_ABSENT = "absent"
_CONTENT = (*MEDIA, "text", "start", "end", "channel")
_PLACE = ("dataset", *MEDIA)


def changes(store: "Store", dataset: str, before: "Snapshot | None", now: "Snapshot") -> dict[str, Any]:
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
    return {
        "since": before and before.id,
        "to": now.id,
        "samples": {"before": before.samples if before else 0, "now": now.samples},
        **{k: _counted(v["items"]) | {n: c for n, c in v.items() if n != "items"} for k, v in found.items()},
        "extractors": _extractors(store, dataset, before, now),
        "bad": _bad(store, dataset, before, now, renamed),
    }


def equal_data(store: "Store", dataset: str, a: "Snapshot", b: "Snapshot") -> bool:
    """Whether a benchmark would see the same in both: the same features and labels of the same samples."""
    mine = [{n: e.key for n, e in s.features.items()} for s in (a, b)]
    if mine[0] != mine[1] and store.diff(dataset, a, b)["features"]:
        return False
    if a.tables["samples"] == b.tables["samples"]:
        return True
    x, y = (store.samples(dataset, s).drop(columns=list(MEDIA)) for s in (a, b))
    return x.equals(y)


def _samples(store: "Store", snapshot: "Snapshot | None") -> "pd.DataFrame":
    """Samples by id; of each media column also the sha256 of its file, as ``<column> sha256``."""
    import pandas as pd

    if snapshot is None:
        return pd.DataFrame(columns=[*_CONTENT, *(f"{m} sha256" for m in MEDIA)], dtype="str")
    frame = store.samples(snapshot.dataset, snapshot).set_index("sample_id")
    frame["channel"] = frame.get("channel")  # not in a snapshot of an earlier program
    digest = store.files(snapshot.dataset, snapshot).set_index("uri")["sha256"]
    for column in MEDIA:
        # Where no scan has looked (imported samples), the place is all that is known of the content.
        frame[f"{column} sha256"] = frame[column].map(digest).astype("str").fillna(frame[column].astype("str"))
    return frame


def _nothing() -> dict[str, dict[str, Any]]:
    kinds = ("new", "removed", "renamed", "content", "edited", "columns")
    return {k: {"items": []} for k in kinds} | {"renamed": {"items": [], "folders": []}}


def _by_sample(old: "pd.DataFrame", new: "pd.DataFrame") -> dict[str, dict[str, Any]]:
    both = old.index.intersection(new.index, sort=False)
    a, b = old.loc[both], new.loc[both]
    content, renamed, edited = [], [], Counter()
    differs = {c: _differs(a, b, f"{c} sha256" if c in MEDIA else c) for c in _CONTENT}
    touched = sum(differs.values()).to_numpy() > 0 if len(both) else []
    for sample_id in both[touched]:
        parts = [c for c in _CONTENT if differs[c].at[sample_id]]
        content.append({"sample_id": sample_id, "uri": _uri(b.loc[sample_id]), "what": _what(a, b, sample_id, parts)})
    moved = sum(_differs(a, b, c) for c in MEDIA)
    for sample_id in both[(moved.to_numpy() > 0) & ~touched] if len(both) else []:
        renamed.append({"sample_id": sample_id, "from": _uri(a.loc[sample_id]), "to": _uri(b.loc[sample_id])})
    known = [c for c in old if c in new and _ours(c)]
    labels = {c: _differs(a, b, c) for c in known}
    edited = [
        {"sample_id": i, "columns": [c for c in known if labels[c].at[i]]}
        for i in (both[sum(labels.values()).to_numpy() > 0] if len(both) and known else [])
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
    return {
        "new": {"items": [_item(come, i) for i in come.index if i not in back]},
        "removed": {"items": [_item(gone, i) for i in gone.index if i not in pairs]},
        "renamed": {"items": renamed, "folders": _folders(renamed)},
        "content": {"items": content},
        "edited": {"items": edited, "columns": dict(Counter(c for e in edited for c in e["columns"]))},
        "columns": {"items": _columns(old, new)},
    }


def _columns(old: "pd.DataFrame", new: "pd.DataFrame") -> list[dict[str, Any]]:
    """Labels and attributes that left or came; one without any value left is as good as gone."""
    if not len(old) or not len(new):
        return []  # nothing was compared with: the samples themselves are the news
    filled = [{c: int(f[c].notna().sum()) for c in f if _ours(c)} for f in (old, new)]
    a, b = ({c: n for c, n in counts.items() if n} for counts in filled)
    left = [{"column": c, "what": "gone", "values": n} for c, n in a.items() if c not in b]
    return left + [{"column": c, "what": "new", "values": n} for c, n in b.items() if c not in a]


def _ours(column: str) -> bool:
    return column not in (*_CONTENT, *_PLACE) and not column.endswith(" sha256")


def _differs(a: "pd.DataFrame", b: "pd.DataFrame", column: str) -> "pd.Series":
    x, y = a[column], b[column]
    return ~((x == y) | (x.isna() & y.isna())).fillna(False).astype(bool)


def _what(a, b, sample_id: Hashable, parts: list[str]) -> list[str]:
    said = []
    for part in parts:
        was, now = (f.at[sample_id, f"{part} sha256"] if part in MEDIA else "" for f in (a, b))
        said.append(f"{part} vanished" if now == _ABSENT else f"{part} arrived" if was == _ABSENT else part)
    return said


def _pairs(gone: "pd.DataFrame", come: "pd.DataFrame") -> dict[str, str]:
    """Old to new id of samples whose content left under one id and came under another."""
    if gone.empty or come.empty:
        return {}
    waiting: dict[tuple, list[str]] = {}
    for sample_id, key in zip(gone.index, _keys(gone), strict=True):
        waiting.setdefault(key, []).append(sample_id)
    found = {}
    for sample_id, key in zip(come.index, _keys(come), strict=True):
        if any(key) and waiting.get(key):
            found[waiting[key].pop(0)] = sample_id
    return found


def _keys(frame: "pd.DataFrame") -> list[tuple]:
    """What each sample consists of; all None where nothing is known of it, or its files are not there."""
    columns = [f"{c} sha256" if c in MEDIA else c for c in _CONTENT]
    known = frame[columns].astype(object)
    return list(known.where(known.notna() & (known != _ABSENT), None).itertuples(index=False, name=None))


def _folders(renamed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Renamed files by the folders that make the difference, the fullest first."""
    counts: Counter = Counter()
    for item in renamed:
        old, new = PurePosixPath(item["from"]), PurePosixPath(item["to"])
        while old.name == new.name and old.name:
            old, new = old.parent, new.parent
        if str(old) != item["from"]:
            counts[str(old), str(new)] += 1
    return [{"from": a, "to": b, "files": n} for (a, b), n in counts.most_common(20)]


def _item(frame: "pd.DataFrame", sample_id: str) -> dict[str, str]:
    return {"sample_id": sample_id, "uri": _uri(frame.loc[sample_id])}


def _uri(row: "pd.Series") -> str:
    """The sample's first medium; empty for one that is text alone."""
    return next((row[m] for m in MEDIA if isinstance(row[m], str)), "")


def _counted(items: list[Any]) -> dict[str, Any]:
    return {"count": len(items), "items": items[:LISTED]}


def _extractors(store, dataset: str, before: "Snapshot | None", now: "Snapshot") -> list[dict[str, Any]]:
    was = before.features if before else {}
    ours = {n: e.key for n, e in now.features.items()}
    theirs = {n: e.key for n, e in was.items()}
    differing = store.diff(dataset, before, now)["features"] if before and ours != theirs else {}
    found = []
    for name in sorted({*was, *now.features}):
        old, new = was.get(name), now.features.get(name)
        if old is None or new is None:
            why = [{"what": "added" if old is None else "removed"}]
            rows = {
                "recomputed": 0,
                "content": 0,
                "gained": new.rows if new else 0,
                "lost": old.rows if old else 0,
            }
        elif name in differing or old.fingerprint != new.fingerprint:
            why = _why(old, new) if old.fingerprint != new.fingerprint else []
            rows = {k: len(differing.get(name, {}).get(v, ())) for k, v in _ROWS.items()}
            rows["recomputed"] = new.rows - rows["gained"] if why else rows["content"]
        else:
            continue
        found.append({"extractor": name, "why": why, **rows})
    return found


_ROWS = {"content": "changed", "gained": "added", "lost": "removed"}


def _why(old: "FeatureTable", new: "FeatureTable") -> list[dict[str, Any]]:
    """What makes the difference between two fingerprints."""
    found = []
    if old.extractor_version != new.extractor_version:
        found.append({"what": "version", "before": old.extractor_version, "now": new.extractor_version})
    for kind, key in (("parameter", "parameters"), ("weights", "weights")):
        for name in sorted({*getattr(old, key), *getattr(new, key)}):
            # A setting is recorded where it is not at its default.
            default = SETTINGS[name].default if name in SETTINGS else None
            before, now = (getattr(e, key).get(name, default) for e in (old, new))
            if before != now:
                found.append({"what": kind, "name": name, "before": before, "now": now})
    if old.columns != new.columns:
        found.append({"what": "columns", "before": old.columns, "now": new.columns})
    return found or [{"what": "decoding"}]


def _bad(store, dataset: str, before, now, renamed: dict[str, str]) -> dict[str, Any]:
    after = store.failures(dataset, as_of=now).to_dict("records")
    if before is None or before.tables["outcomes"] == now.tables["outcomes"]:
        earlier = [] if before is None else after
    else:
        earlier = store.failures(dataset, as_of=before).to_dict("records")
    told = [(renamed.get(r["sample_id"], r["sample_id"]), r["extractor"]) for r in earlier]
    now_bad = {(r["sample_id"], r["extractor"]) for r in after}
    new = [r for r in after if (r["sample_id"], r["extractor"]) not in set(told)]
    mended = [r for r, key in zip(earlier, told, strict=True) if key not in now_bad]
    return {
        "new": _counted(_bad_files(new)),
        "mended": _counted(_bad_files(mended)),
        "standing": _counted(_bad_files(r for r in after if (r["sample_id"], r["extractor"]) in set(told))),
    }


def _bad_files(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Failures by sample and reason: one file that no extractor can read is one line."""
    found: dict[tuple, dict[str, Any]] = {}
    for row in rows:
        key = (row["sample_id"], row["reason"])
        entry = {"sample_id": row["sample_id"], "uri": row["uri"], "reason": row["reason"], "extractors": []}
        found.setdefault(key, entry)["extractors"].append(row["extractor"])
    return list(found.values())


def sentences(found: dict[str, Any]) -> list[str]:
    """What `changes` found in a few lines for people; one line where nothing changed."""
    lines = []
    again = ", ".join(f"{e['extractor']} {e['content']}" for e in found["extractors"] if e["content"])
    content = "with other content" + (f" (recomputed: {again})" if again else "")
    for kind, said in (("new", "new"), ("removed", "removed"), ("content", content)):
        if found[kind]["count"]:
            lines.append(f"{found[kind]['count']} {said}: {_named(found[kind])}")
    renamed = found["renamed"]
    if renamed["count"]:
        where = "; ".join(f"{f['from']} is now {f['to']}, {f['files']}" for f in renamed["folders"][:3])
        lines.append(f"{renamed['count']} renamed, nothing computed for them ({where or _named(renamed)})")
    if found["edited"]["count"]:
        columns = ", ".join(f"{c} {n}" for c, n in found["edited"]["columns"].items())
        lines.append(f"{found['edited']['count']} with other labels or attributes ({columns})")
    for c in found.get("columns", {"items": ()})["items"]:
        lines.append(column_sentence(c))
    for e in found["extractors"]:
        if e["why"]:
            rows = f", {e['recomputed']} recomputed" if e["recomputed"] else ""
            lines.append(f"{e['extractor']}: {'; '.join(map(reason, e['why']))}{rows}")
    for kind, said in (("new", "bad"), ("mended", "mended")):
        for item in found["bad"][kind]["items"][:_SHOWN]:
            lines.append(f"{said}: {item['uri'] or item['sample_id']}: {item['reason']}")
        if found["bad"][kind]["count"] > _SHOWN:
            lines.append(f"and {found['bad'][kind]['count'] - _SHOWN} more {said}")
    return lines or ["nothing changed"]


_SHOWN = 5


def column_sentence(column: dict[str, Any]) -> str:
    """One of the ``columns`` that `changes` found, for people."""
    return f"the column {column['column']} is {column['what']} ({column['values']} values)"


def reason(why: dict[str, Any]) -> str:
    """One entry of an extractor's ``why`` in words."""
    match why["what"]:
        case "weights":
            return f"other weights {why['name']}"
        case "version" | "parameter" | "columns":
            name = f" {why['name']}" if "name" in why else ""
            return f"{why['what']}{name} {why['before']} → {why['now']}"
        case other:
            return "other decoding" if other == "decoding" else other


def _named(items: dict[str, Any]) -> str:
    names = [i["sample_id"] for i in items["items"][:_SHOWN]]
    return ", ".join(names) + (", …" if items["count"] > _SHOWN else "")
