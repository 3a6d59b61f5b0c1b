"""Pages about features: an extractor's columns, one column, and maps of samples."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from affectlake.data.errors import UnknownName
from affectlake.flows.explore import drawing, maps
from affectlake.flows.explore.ask import Ask, Links
from affectlake.flows.explore.lake import Lake
from affectlake.flows.explore.page import page, part

GROUPS = 40
"""Groups, the largest, whose values are drawn."""

COLOURS = 8
"""Values that have a colour of their own on a map; the rest share a ninth."""

_SIDE, _EDGE = 800.0, 14.0  # of a map, in its own units


def extractor(lake: Lake, ask: Ask, to: Links) -> str:
    """The columns of an extractor: unit, meaning, how their values are distributed."""
    name, which = ask.one("dataset"), ask.one("extractor")
    about = lake.describe(name, which)
    here = part(len(about), ask)
    table = lake.snapshot(name).features[which]
    quantiles = [f"{q:.0%}" for q in drawing.QUANTILES]
    rows = [
        {
            "column": column,
            "unit": row["unit"],
            "meaning": row["meaning"],
            "missing": int(row["missing"]),
            "low": row["min"],
            "median": row["50%"],
            "high": row["max"],
            "x": [drawing.place(row[q], row["min"], row["max"]) for q in quantiles] if row["count"] else None,
        }
        for column, row in about.iloc[here.rows_of_it].iterrows()
    ]
    return page(
        "extractor",
        to,
        which,
        name,
        extractor=which,
        rows=rows,
        part=here,
        table=table,
        mapped=which in maps.extractors(lake, name),
    )


def column(lake: Lake, ask: Ask, to: Links) -> str:
    """How one column is distributed, over all samples and by each class and speaker."""
    name, which = ask.one("dataset"), ask.one("column")
    values = lake.column(name, which)
    known = values[np.isfinite(values.to_numpy(np.float64))]
    about = lake.describe(name, which.rpartition(".")[0]).loc[which]
    heights, low, high = drawing.histogram(known.to_numpy()) if len(known) else ([], 0.0, 0.0)
    groups = {} if known.empty else {c: _boxes(lake, name, c, known, low, high) for c in lake.classes(name)}
    return page(
        "column",
        to,
        which,
        name,
        extractor=which.rpartition(".")[0],
        about=about,
        heights=heights,
        low=low,
        high=high,
        n=len(known),
        missing=len(values) - len(known),
        groups={c: g for c, g in groups.items() if g},
        more={c: len(n) - GROUPS for c, n in lake.classes(name).items()},
    )


def _boxes(lake: Lake, name: str, group: str, values: pd.Series, low: float, high: float) -> list[drawing.Box]:
    of = lake.samples(name)[group].astype("str").reindex(values.index)
    largest = lake.classes(name)[group].index[:GROUPS]
    numbers = values.to_numpy()
    return drawing.boxes([(g, numbers[(of == g).to_numpy()]) for g in largest], low, high)


def map_of(lake: Lake, ask: Ask, to: Links) -> str:
    """Samples as points, near where columns are alike, coloured by a class or by a benchmark's errors."""
    name, which = ask.one("dataset"), ask.one("extractor")
    way = ask.maybe("way") or "pca"
    found = maps.drawn(lake, name, which, way)
    classes = list(lake.classes(name))
    runs = lake.runs(name)[:COLOURS]
    colour = ask.maybe("colour") or (None if ask.maybe("run") else next(iter(classes), None))
    said = _answers(lake, ask.maybe("run"), found.ids) if ask.maybe("run") else _values(lake, name, colour, found.ids)
    key, colours = _coloured(said)
    return page(
        "map",
        to,
        f"Map of {which}",
        name,
        extractor=which,
        extractors=maps.extractors(lake, name),
        way=way,
        ways=maps.ways(),
        found=found,
        points=list(zip(found.ids, _places(found.xy), colours, said, strict=True)),
        key=key,
        colour=colour,
        classes=classes,
        run=ask.maybe("run"),
        runs=runs,
        side=_SIDE,
    )


def _values(lake: Lake, name: str, colour: str | None, ids: list[str]) -> list[str]:
    if colour is None:
        return [""] * len(ids)
    if colour not in lake.classes(name):
        raise UnknownName("class", colour, lake.classes(name))
    found = lake.samples(name)[colour].reindex(ids)
    return [str(v) if v == v and v is not None else "" for v in found]


def _answers(lake: Lake, run: str | None, ids: list[str]) -> list[str]:
    """Of each sample, whether the first of a benchmark's rows was right."""
    document = lake.run(run or "")
    answers = next(iter(lake.rows(document).values()), None)
    if answers is None:
        return [""] * len(ids)
    right = dict(zip(answers["sample_id"], answers["truth"] == answers["predicted"], strict=True))
    return [{True: "right", False: "wrong", None: ""}[right.get(i)] for i in ids]


def _coloured(said: Sequence[str]) -> tuple[list[tuple[str, int, int]], list[int]]:
    """What each colour stands for and of how many samples, and the colour of each."""
    counts = pd.Series(said, dtype="str").value_counts()
    own = [v for v in counts.index if v != ""][:COLOURS]
    own = ["right", "wrong"] if set(own) == {"right", "wrong"} else own
    number = {v: i for i, v in enumerate(own)}
    colours = [number.get(v, COLOURS) for v in said]
    key = [(v, i, int(counts[v])) for v, i in number.items()]
    rest = colours.count(COLOURS)
    return [*key, *([("others, or not known", COLOURS, rest)] if rest else [])], colours


def _places(xy: np.ndarray) -> list[tuple[float, float]]:
    """The points within the map, far ones at its edge."""
    low, high = np.quantile(xy, [0.002, 0.998], axis=0)
    share = np.clip((xy - low) / np.maximum(high - low, 1e-12), 0, 1)
    places = _EDGE + share * (_SIDE - 2 * _EDGE)
    return [(round(float(x), 1), round(_SIDE - float(y), 1)) for x, y in places]
