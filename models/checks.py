"""What cannot be compared is said in one line before anything is trained; what can, but with reserve, is remarked."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from affectlake.data.errors import UsageError
from affectlake.models import head, splits
from affectlake.models.calibration import prior_of
from affectlake.models.early import Rotation, present, steps
from affectlake.models.plan import Plan
from affectlake.models.splits import Fold
from affectlake.models.tasks import Target
from affectlake.models.training import HEADS, Data

_LEARNED = 4  # samples of a class in a training part: where most classes have fewer, there is nothing to learn
_LISTED = 10  # classes in a line
_FAR = 3  # times the range of all others by which a value lies beyond them
FEWEST = 6
"""Samples of a modality that a training part takes at least: two for each of three inner folds."""


def check_label(label: pd.Series) -> None:
    """Refuse numbers that are not finite.

    Raises
    ------
    UsageError
    """
    if pd.api.types.is_numeric_dtype(label) and not pd.api.types.is_bool_dtype(label):
        bad = np.flatnonzero(np.isinf(label.to_numpy(dtype=np.float64, na_value=np.nan)))
        if len(bad):
            raise UsageError(
                f"label {str(label.name)!r} of sample {str(label.index[bad[0]])!r} is {label.iloc[bad[0]]}: expected a "
                "finite number, or nothing where it is not known"
            )


def check_features(blocks: Mapping[str, pd.DataFrame]) -> None:
    """Refuse values that are infinite, or too large to be held in 32 bits.

    Raises
    ------
    UsageError
    """
    for block in blocks.values():
        with np.errstate(over="ignore"):
            bad = np.argwhere(np.isinf(block.to_numpy(dtype=np.float32)))
        if len(bad):
            row, column = bad[0]
            raise UsageError(
                f"{block.columns[column]} of sample {str(block.index[row])!r} is {block.iloc[row, column]}: expected a "
                f"finite number below {np.finfo(np.float32).max:.1e}, or nothing where there is no value"
            )


def check_rows(plan: Plan, names: Sequence[str], target: Target) -> None:
    """Refuse fusions of which none can be made of these modalities.

    Raises
    ------
    UsageError
    """
    asked = [f for f in plan.fusions if f != "dummy"]
    alone = [f for f in asked if f == "unimodal" or f in HEADS]
    numbers = all(p.kind == "regression" for p in target.problems)
    several = [f for f in asked if f not in alone and not (f == "late-product" and numbers)]
    if asked and not alone and (len(names) < 2 or not several):
        why = f"there is {names[0]} alone" if len(names) < 2 else "numbers have no product"
        raise UsageError(
            f"fusions {', '.join(asked)}: {why}; expected at least one of unimodal, {', '.join(HEADS)} or, of two and "
            "more modalities, early, late-mean, late-weighted, late-stacking"
        )


def check_prior(plan: Plan, target: Target) -> None:
    """Raises UsageError where ``--prior`` means nothing for the label."""
    if target.task.name == "class":
        prior_of(plan.prior, target.classes)
    elif plan.prior != "training":
        raise UsageError(
            f"--prior {plan.prior} is about probabilities of classes, and --task {target.task.name} has none"
        )


def check_folds(folds: list[Fold], target: Target, data: Data) -> None:
    """Refuse folds of which some training part cannot be learned from.

    Raises
    ------
    UsageError
    """
    named = target.task.name == "class"
    if named:
        _check_classes(folds, target)
        known = [np.unique(target.y[f.train]) for f in folds]
        if not any(np.isin(target.y[f.test], k).any() for f, k in zip(folds, known, strict=True)):
            raise UsageError(
                f"no tested sample is of a class that was trained on: each of {', '.join(target.classes[:5])}"
                f"{' …' if len(target.classes) > 5 else ''} is that of one group alone, as if the label were the "
                "speaker"
            )
    for name, block in data.blocks.items():
        has = present(block)
        for i, fold in enumerate(folds, 1):
            rows = fold.train[has[fold.train]]
            one = named and len(np.unique(target.y[rows])) < 2
            if len(rows) < FEWEST or one:
                what = "of a single class" if len(rows) >= FEWEST else f"expected {FEWEST} at least"
                others = [m for m in data.blocks if m != name]
                hint = f": leave it out, --features '{others[0]}.*'" if others else ""
                raise UsageError(
                    f"modality {name}: {int(has.sum())} of {len(has)} samples have it, {len(rows)} in the training "
                    f"part of fold {i}, {what}{hint}"
                )


def _check_classes(folds: list[Fold], target: Target) -> None:
    trained = [np.bincount(target.y[f.train], minlength=len(target.classes)) for f in folds]
    rare = [counts[counts < _LEARNED].sum() / counts.sum() for counts in trained]
    if min(rare) > 0.5:
        raise UsageError(
            f"{len(target.classes)} classes, such as {', '.join(map(repr, target.classes[:3]))}: most samples of "
            f"every training part are of classes of fewer than {_LEARNED}, too few to learn any; is the label rather "
            "of another --task, or none?"
        )


def remarks(samples: pd.DataFrame, folds: list[Fold], target: Target, data: Data, plan: Plan) -> list[str]:
    """What is to be known of the folds and the features before scores are believed, one line each."""
    lines, groups = [], data.groups
    for name, block in data.blocks.items():
        if not any(_varies(block[:, s]) for s in steps(block.shape[1], len(block))):
            lines.append(f"modality {name}: every column has one value for all samples, and tells nothing")
    spelt: dict[str, list[str]] = {}
    for name in target.classes:
        spelt.setdefault(" ".join(name.split()).casefold(), []).append(repr(name))
    if twice := [" and ".join(names) for names in spelt.values() if len(names) > 1]:
        lines.append(f"classes that differ in capitals or spaces alone count as several: {', '.join(twice)}")
    if plan.protocol == "grouped":
        named = sorted(map(str, samples["split"].dropna().unique())) if "split" in samples else []
        if named and not splits.has_official(samples):
            lines.append(f"no sample has split 'test' (there are {', '.join(named)}): folds are drawn")
        n = len(folds) // plan.repeats
        if n < plan.folds:
            unit = splits.unit(samples, plan.group_by, plan.copies_together)
            lines.append(f"{n} folds instead of {plan.folds}, one for each {unit}: there are no more")
    if target.task.name == "class":
        counts = np.bincount(target.y, minlength=len(target.classes))
        n = len(folds) // plan.repeats
        few = [f"{c} ({k})" for c, k in zip(target.classes, counts, strict=True) if k < n]
        if few and plan.protocol in splits.REPEATED:
            more = f" and {len(few) - _LISTED} more" if len(few) > _LISTED else ""
            lines.append(f"classes of fewer samples than there are folds ({n}): {', '.join(few[:_LISTED])}{more}")
    if target.outputs:
        lines += _far(target)
    most = max(len(f.train) for f in folds)
    if most * (plan.inner - 1) > splits.INNER * plan.inner:
        lines.append(
            f"up to {most:,} samples to train on: models of inner folds, by which strengths, rounds, calibrations and "
            f"rows are chosen, are trained on {splits.INNER:,} of them, drawn at random; what is tested, on all"
        )
        if any(fusion in HEADS for fusion in plan.fusions):
            lines.append(f"heads take {head.STEPS} steps an epoch at most, each of as many samples as that takes")
    if most > Rotation.MOST:
        lines.append(f"up to {most:,} samples to train on: principal axes are found from {Rotation.MOST:,} of them")
    mixed = [
        i
        for i, f in enumerate(folds, 1)
        if splits.mixed(
            groups[f.train], splits.inner_folds(groups[f.train], target.strata[f.train], plan.inner, plan.seed)
        )
    ]
    if mixed:
        lines.append(
            f"inner folds of fold {', '.join(map(str, mixed))} have the same speakers on both sides, as there are too "
            "few: what is chosen and calibrated there is surer than it should be"
        )
    return lines


def _varies(x: np.ndarray) -> bool:
    """Whether any column has two values, gaps not being one."""
    return bool((np.fmax.reduce(x) > np.fmin.reduce(x)).any())


def _far(target: Target) -> list[str]:
    """Numbers that lie far from all others, as -999 does where nothing was known."""
    lines = []
    for name, values in zip(target.outputs, target.y.reshape(len(target.y), -1).T, strict=True):
        for far in (values.min(), values.max()):
            others = values[values != far]
            if len(others) > 1 and np.abs(others - far).min() > _FAR * np.ptp(others) > 0:
                lines.append(
                    f"{name!r} is {far:g} of {int((values == far).sum())} and {others.min():g} to {others.max():g} of "
                    f"all other samples: if that means that nothing is known, refresh with --missing-values {far:g}"
                )
    return lines
