"""Where the lines, points and ticks of a report's pictures go, in the units of their view boxes."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

WIDTH, HEIGHT = 620, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 170, 12, 40
_SIDE = 300
"""Of pictures that stand side by side: both axes are shares from 0 to 1."""

_MARGIN = 14


def bound(score: dict[str, Any], which: str) -> float:
    """The ``low`` or ``high`` end of a score's interval; its value where it has none."""
    return float(score["value"] if score[which] is None else score[which])


def curves(found: dict[str, Any]) -> dict[str, Any]:
    """Scores by a share (of missing modalities, of speakers that were learned from), a line for each way of fusing."""
    points = [p for c in found["curves"] for p in c["points"]]
    top, last = max(bound(p, "high") for p in points), max(found["shares"])
    low = min(bound(p, "low") for p in points)
    # Tenths above and below what is drawn.
    floor, ceiling = int(low * 10 - (low < 0)) / 10, min(1.0, int(top * 10 + 1) / 10)

    def x(share: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * share / last, 1)

    def y(value: float) -> float:
        return round(_TOP + (HEIGHT - _TOP - _BOTTOM) * (ceiling - value) / max(ceiling - floor, 0.1), 1)

    lines: list[dict[str, Any]] = []
    for c in sorted(found["curves"], key=lambda c: -c["points"][-1]["value"]):
        at = [(x(p["share"]), y(p["value"])) for p in c["points"]]
        fused = len(c["modalities"]) != 1
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
        "xs": [(x(s), f"{s:.0%}") for s in found["shares"]],
        "ys": [(y(t), f"{t:.1f}") for t in (ticks if len(ticks) <= 7 else ticks[::2])],
    }


def reliability(bins: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy by confidence: a point for each bin, its interval, and the number of its samples as a size."""
    most = max(b["n"] for b in bins)
    points = [
        {
            "x": _x(b["confidence"]),
            "y": _y(b["accuracy"]["value"]),
            "low": _y(bound(b["accuracy"], "low")),
            "high": _y(bound(b["accuracy"], "high")),
            "r": round(2 + 5 * (b["n"] / most) ** 0.5, 1),
        }
        for b in bins
    ]
    return _frame() | {"points": points}


def abstention(points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy by coverage: a line, and the band of its intervals."""
    line = [(_x(p["coverage"]), _y(p["accuracy"]["value"])) for p in points]
    low, high = ([(_x(p["coverage"]), _y(bound(p["accuracy"], end))) for p in points] for end in ("low", "high"))
    return _frame() | {"line": line, "band": [*low, *reversed(high)]}


def _frame() -> dict[str, Any]:
    ticks = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    return {
        "width": _SIDE + _LEFT + _MARGIN,
        "height": _SIDE + _TOP + _BOTTOM,
        "left": _LEFT,
        "right": _LEFT + _SIDE,
        "top": _TOP,
        "bottom": _TOP + _SIDE,
        "xs": [(_x(t), f"{t:.1f}") for t in ticks],
        "ys": [(_y(t), f"{t:.1f}") for t in ticks],
    }


def _x(share: float) -> float:
    return round(_LEFT + _SIDE * share, 1)


def _y(share: float) -> float:
    return round(_TOP + _SIDE * (1 - share), 1)
