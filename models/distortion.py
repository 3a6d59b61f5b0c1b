"""What models that were trained on sound as it is say of the same samples when their sound is worse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from affectlake.models.document import DistortionCurve, DistortionCurves
from affectlake.models.parts import Part, reduced
from affectlake.models.scores import Candidate
from affectlake.models.splits import Fold
from affectlake.models.tasks import Target
from affectlake.models.training import Data

NAME = "distorted"


@dataclass(frozen=True)
class Distorted:
    """Features of some samples, computed anew from worse media.

    Attributes
    ----------
    ids : Index
        The samples.
    blocks : mapping of distortion to (mapping of modality to DataFrame [index=ids])
        With the columns of the benchmark's blocks; modalities that are not there stay as they are.
    """

    ids: pd.Index
    blocks: Mapping[str, Mapping[str, pd.DataFrame]]


def part(main: Part, samples: pd.DataFrame, distorted: Distorted) -> Part:
    """The main table with those of its tested samples that were spoiled: as they are, then by each distortion.

    They are rows of their own behind all others, so that each fold trains once, on what is as it is.
    """
    at = np.flatnonzero(samples.index.isin(distorted.ids))
    versions: list[Mapping[str, pd.DataFrame]] = [{}, *distorted.blocks.values()]
    blocks = {}
    for m, block in main.data.blocks.items():
        known = [v[m].reindex(samples.index[at]).to_numpy(np.float32) if m in v else block[at] for v in versions]
        blocks[m] = np.concatenate([block, *known])
    rows = np.concatenate([np.arange(len(samples)), *[at] * len(versions)])
    place = np.full(len(samples), -1)
    place[at] = len(samples) + np.arange(len(at))
    folds = []
    for fold in main.folds[: len(main.folds) // main.repeats]:
        first = place[fold.test][place[fold.test] >= 0]
        if len(first):
            folds.append(Fold(fold.train, np.concatenate([first + i * len(at) for i in range(len(versions))])))
    data = Data(blocks, main.data.y[rows], main.data.groups[rows])
    return Part(NAME, data, folds, replace(reduced(main.plan), repeats=1), rows)


def curves(
    spoiled: Part, candidates: Sequence[Candidate], names: Sequence[str], samples: pd.DataFrame, target: Target
) -> DistortionCurves:
    """Scores of each row on the same samples: as they are, and by each distortion.

    Returns
    -------
    dict
        ``metric``, ``model``, ``samples`` (their number), ``distortions`` (``none`` first), and ``curves``: of each row
        ``fusion``, ``modalities``, ``model`` and ``points``, the metric by ``distortion`` with its interval.
    """
    names = ["none", *names]
    tested = [np.asarray(spoiled.rows)[f.test[: len(f.test) // len(names)]] for f in spoiled.folds]
    folds = [Fold(f.train, test) for f, test in zip(spoiled.folds, tested, strict=True)]
    scorer = replace(spoiled, folds=folds).scorer(samples, target)
    found = []
    for i in range(len(names)):
        each = [replace(c, answers=[np.array_split(a, len(names))[i] for a in c.answers]) for c in candidates]
        found.append({e.candidate.key: e.row.scores[scorer.metric] for e in scorer.rank(each)})
    rows: list[DistortionCurve] = [
        {**c.called, "points": [{"distortion": n, **f[c.key]} for n, f in zip(names, found, strict=True)]}
        for c in candidates
        if "audio" in c.names
    ]
    return {
        "metric": scorer.metric,
        "model": spoiled.plan.models[0],
        "samples": len(np.unique(scorer.at)),
        "distortions": names,
        "curves": sorted(rows, key=lambda r: -r["points"][0]["value"]),
    }
