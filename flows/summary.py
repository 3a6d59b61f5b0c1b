"""A night in plain sentences."""

from collections.abc import Iterable
from typing import Any

from affectlake.flows.record import Changes, Column, Entry, Listed, Reason, Record
from affectlake.flows.shown import shown


def summary(record: Record) -> list[str]:
    """A record in a few lines of plain text."""
    lines = [f"{record['name']}: {record['state']}"]
    lines += [f"night {run[:8]} was interrupted; this one made up for it" for run in record["interrupted"]]
    for entry in record["datasets"]:
        lines.append(f"{entry['dataset']}: {entry['error'] or entry['state']}")
        lines += [f"- {line}" for line in describe_entry(entry)]
    return lines


def describe_entry(entry: Entry) -> list[str]:
    """What happened to a dataset, a sentence each, on one line each."""
    refreshed, found = entry["refresh"], entry["changes"]
    problems = refreshed["problems"] if refreshed else []
    # A column that the gate misses is told once, by the gate, which says more of it.
    missed = [c for c in found.get("columns", _NONE)["items"] if _gated(c, problems)] if found else []
    twice = set(map(describe_column, missed))
    lines = [line for line in describe_changes(found) if line not in twice] if found else []
    if refreshed and (erased := refreshed.get("erased")):
        lines.append(f"{erased} samples were erased and are not taken")
    lines += [f"gate: {problem}" for problem in problems]
    for d in entry["drift"]:
        column = f"{d['extractor']}.{d['column']}" if d["column"] else d["extractor"]
        lines.append(f"drift: {d['kind']} of {column} from {d['before']:.4g} to {d['now']:.4g}")
    if entry["benchmark"] and entry["benchmark"]["ran"]:
        best, metric = entry["benchmark"]["best"], entry["benchmark"]["metric"]
        lines.append(f"benchmark of {entry['benchmark']['label']}: best {metric} {best['value']:.3f}, {best['row']}")
    return [shown(line) for line in lines]


_NONE: Listed[Column] = {"count": 0, "items": []}


def _gated(column: Column, problems: Iterable[str]) -> bool:
    return any(problem.startswith(f"samples: column {column['column']!r} ") for problem in problems)


def describe_changes(found: Changes) -> list[str]:
    """What `changes` found in a few lines for people; one line where nothing changed."""
    lines = []
    again = ", ".join(f"{e['extractor']} {e['content']}" for e in found["extractors"] if e["content"])
    content = "with other content" + (f" (recomputed: {again})" if again else "")
    kinds = (("new", found["new"]), ("removed", found["removed"]), (content, found["content"]))
    for kind, samples in kinds:
        if samples["count"]:
            lines.append(f"{samples['count']} {kind}: {_named(samples)}")
    renamed = found["renamed"]
    if renamed["count"]:
        where = "; ".join(f"{f['from']} is now {f['to']}, {f['files']}" for f in renamed["folders"][:3])
        lines.append(f"{renamed['count']} renamed, nothing computed for them ({where or _named(renamed)})")
    if found["edited"]["count"]:
        columns = ", ".join(f"{c} {n}" for c, n in found["edited"]["columns"].items())
        lines.append(f"{found['edited']['count']} with other labels or attributes ({columns})")
    for c in found.get("columns", _NONE)["items"]:
        lines.append(describe_column(c))
    for e in found["extractors"]:
        if e["why"]:
            rows = f", {e['recomputed']} recomputed" if e["recomputed"] else ""
            lines.append(f"{e['extractor']}: {'; '.join(map(describe_reason, e['why']))}{rows}")
    for kind, files in (("bad", found["bad"]["new"]), ("mended", found["bad"]["mended"])):
        for item in files["items"][:_SHOWN]:
            lines.append(f"{kind}: {item['uri'] or item['sample_id']}: {item['reason']}")
        if files["count"] > _SHOWN:
            lines.append(f"and {files['count'] - _SHOWN} more {kind}")
    return lines or ["nothing changed"]


_SHOWN = 5


def describe_column(column: Column) -> str:
    """One of the ``columns`` that `changes` found, for people."""
    return f"the column {column['column']} is {column['what']} ({column['values']} values)"


def describe_reason(why: Reason) -> str:
    """One entry of an extractor's ``why`` in words."""
    match why["what"]:
        case "weights":
            return f"other weights {why['name']}"
        case "version" | "parameter" | "columns":
            name = f" {why['name']}" if "name" in why else ""
            return f"{why['what']}{name} {why['before']} → {why['now']}"
        case other:
            return "other decoding" if other == "decoding" else other


def _named(items: Listed[Any]) -> str:
    names = [i["sample_id"] for i in items["items"][:_SHOWN]]
    return ", ".join(names) + (", …" if items["count"] > _SHOWN else "")
