"""Where the lines, points and ticks of a report's pictures go, in the units of their view boxes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

from affectlake.models.document import AbstentionPoint, Curves, ReliabilityBin, Score

WIDTH, HEIGHT = 620, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 170, 12, 40
_SIDE = 300
"""Of pictures that stand side by side: both axes are shares from 0 to 1."""

_MARGIN = 14


def bound(score: Score, which: Literal["low", "high"]) -> float:
    """The ``low`` or ``high`` end of a score's interval; its value where it has none."""
    end = score[which]
    return float(score["value"] if end is None else end)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A picture's axes: its size, where the area of the data ends, and the ticks, each with its label."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    xs: list[tuple[float, str]]
    ys: list[tuple[float, str]]


@dataclass
class Line:
    """A line with its label, which stands at ``y``; those of fused rows have a colour of their own [0 to 7]."""

    points: list[tuple[float, float]]
    label: str
    fused: bool
    y: float
    colour: int | None = None


@dataclass(frozen=True, kw_only=True)
class Lines(Frame):
    """A line for each way of fusing."""

    lines: list[Line]


@dataclass(frozen=True)
class Dot:
    """A point with its interval and its radius."""

    x: float
    y: float
    low: float
    high: float
    r: float


@dataclass(frozen=True, kw_only=True)
class Dots(Frame):
    """Accuracy by confidence."""

    points: list[Dot]


@dataclass(frozen=True, kw_only=True)
class Band(Frame):
    """Accuracy by coverage: a line, and the outline of its intervals."""

    line: list[tuple[float, float]]
    band: list[tuple[float, float]]


def curves(found: Curves) -> Lines:
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

    lines: list[Line] = []
    for c in sorted(found["curves"], key=lambda c: -c["points"][-1]["value"]):
        at = [(x(p["share"]), y(p["value"])) for p in c["points"]]
        fused = len(c["modalities"]) != 1
        lines.append(Line(at, c["fusion"] if fused else f"{'+'.join(c['modalities'])} alone", fused, at[-1][1]))
    for i, line in enumerate(li for li in lines if li.fused):
        line.colour = i % 8
    # Labels that would lie on each other move down, and if that leaves the picture, all move up.
    for above, line in pairwise(lines):
        line.y = max(line.y, above.y + 14)
    excess = max(0.0, lines[-1].y - (HEIGHT - _BOTTOM))
    ticks = [round(floor + i / 10, 1) for i in range(round((ceiling - floor) * 10) + 1)]
    return Lines(
        width=WIDTH,
        height=HEIGHT,
        left=_LEFT,
        right=WIDTH - _RIGHT,
        top=_TOP,
        bottom=HEIGHT - _BOTTOM,
        lines=[replace(line, y=round(line.y - excess, 1)) for line in lines],
        xs=[(x(s), f"{s:.0%}") for s in found["shares"]],
        ys=[(y(t), f"{t:.1f}") for t in (ticks if len(ticks) <= 7 else ticks[::2])],
    )


def reliability(bins: Sequence[ReliabilityBin]) -> Dots:
    """Accuracy by confidence: a point for each bin, its interval, and the number of its samples as a size."""
    most = max(b["n"] for b in bins)
    points = [
        Dot(
            x=_x(b["confidence"]),
            y=_y(b["accuracy"]["value"]),
            low=_y(bound(b["accuracy"], "low")),
            high=_y(bound(b["accuracy"], "high")),
            r=round(2 + 5 * (b["n"] / most) ** 0.5, 1),
        )
        for b in bins
    ]
    return Dots(**_SQUARE, points=points)


def abstention(points: Sequence[AbstentionPoint]) -> Band:
    """Accuracy by coverage: a line, and the band of its intervals."""
    line = [(_x(p["coverage"]), _y(p["accuracy"]["value"])) for p in points]
    low = [(_x(p["coverage"]), _y(bound(p["accuracy"], "low"))) for p in points]
    high = [(_x(p["coverage"]), _y(bound(p["accuracy"], "high"))) for p in points]
    return Band(**_SQUARE, line=line, band=[*low, *reversed(high)])


def _x(share: float) -> float:
    return round(_LEFT + _SIDE * share, 1)


def _y(share: float) -> float:
    return round(_TOP + _SIDE * (1 - share), 1)


_TICKS = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
_SQUARE: Mapping[str, Any] = {
    "width": _SIDE + _LEFT + _MARGIN,
    "height": _SIDE + _TOP + _BOTTOM,
    "left": _LEFT,
    "right": _LEFT + _SIDE,
    "top": _TOP,
    "bottom": _TOP + _SIDE,
    "xs": [(_x(t), f"{t:.1f}") for t in _TICKS],
    "ys": [(_y(t), f"{t:.1f}") for t in _TICKS],
}
"""The frame of pictures whose axes are both shares."""
