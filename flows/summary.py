"""A night in plain sentences."""

from collections.abc import Iterable
from typing import Any

from affectlake.flows.changes import column_sentence, sentences
from affectlake.flows.record import Entry, Record
from affectlake.flows.shown import shown


def summary(record: Record) -> list[str]:
    """A record in a few lines of plain text."""
    lines = [f"{record['name']}: {record['state']}"]
    lines += [f"night {run[:8]} was interrupted; this one made up for it" for run in record["interrupted"]]
    for entry in record["datasets"]:
        lines.append(f"{entry['dataset']}: {entry['error'] or entry['state']}")
        lines += [f"- {line}" for line in told(entry)]
    return lines


def told(entry: Entry) -> list[str]:
    """What happened to a dataset, a sentence each, on one line each."""
    refreshed, found = entry["refresh"] or {}, entry["changes"]
    problems = refreshed.get("problems", ())
    # A column that the gate misses is told once, by the gate, which says more of it.
    missed = [c for c in found.get("columns", _NONE)["items"] if _named(c, problems)] if found else []
    twice = set(map(column_sentence, missed))
    lines = [line for line in sentences(found) if line not in twice] if found else []
    if refreshed.get("erased"):
        lines.append(f"{refreshed['erased']} samples were erased and are not taken")
    lines += [f"gate: {problem}" for problem in problems]
    for d in entry["drift"]:
        column = f"{d['extractor']}.{d['column']}" if d["column"] else d["extractor"]
        lines.append(f"drift: {d['kind']} of {column} from {d['before']:.4g} to {d['now']:.4g}")
    if entry["benchmark"] and entry["benchmark"]["ran"]:
        best, metric = entry["benchmark"]["best"], entry["benchmark"]["metric"]
        lines.append(f"benchmark of {entry['benchmark']['label']}: best {metric} {best['value']:.3f}, {best['row']}")
    return [shown(line) for line in lines]


_NONE: dict[str, Any] = {"items": ()}


def _named(column: dict[str, Any], problems: Iterable[str]) -> bool:
    return any(problem.startswith(f"samples: column {column['column']!r} ") for problem in problems)
