"""Who trains and who is tested: official, leave-one-speaker-out, grouped by speaker, or (named) at random."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from affectlake.data.errors import UnknownName, UsageError

PROTOCOLS = ("official", "loso", "grouped", "kfold", "random")
REPEATED = ("grouped", "kfold", "random")
"""Protocols whose folds are drawn, and so may be drawn anew."""
_TEST = ("test",)
_IGNORED = ("none", "unused", "ignore")


@dataclass(frozen=True)
class Fold:
    """Positions of the samples that a model is trained on and of those that it is tested on.

    Attributes
    ----------
    train, test : int array
    half : bool array, shape=(tested samples,), or None
        Of an inner fold: which half of the tested groups each is of. What stops on one half is asked about the other.
    """

    train: np.ndarray
    test: np.ndarray
    half: np.ndarray | None = None


def groups(samples: pd.DataFrame) -> pd.Series:
    """What must stay together: the speaker, else the dialogue, else the recording, else the sample itself."""
    names = pd.Series(samples.index.astype(str), index=samples.index)
    if "recording" in samples:
        names = samples["recording"].astype("str").where(samples["recording"].notna(), names)
    for column in ("dialogue", "speaker"):
        if column in samples:
            given = samples[column]
            names = given.astype("str").where(given.notna(), names)
    return names


def has_speakers(samples: pd.DataFrame) -> bool:
    return "speaker" in samples and bool(samples["speaker"].notna().any())


def folds(
    samples: pd.DataFrame, target: np.ndarray, protocol: str, n_folds: int, repeats: int, seed: int
) -> list[Fold]:
    """Folds of a protocol; with ``repeats`` > 1 those of all repetitions, one after another.

    Parameters
    ----------
    samples : DataFrame
        Columns speaker, dialogue and split as far as known.
    target : array, shape=(n,)
        Classes to stratify by, or numbers (which are cut into quintiles for that).
    protocol : str
        One of `PROTOCOLS`. ``random`` is k-fold for data with speakers: it leaks, and the audit says so.
    n_folds, repeats, seed : int

    Raises
    ------
    UsageError
        No official split or no speakers where the protocol needs them; k-fold asked for data with speakers; fewer
        groups than folds.
    """
    if protocol not in PROTOCOLS:
        raise UnknownName("protocol", protocol, PROTOCOLS)
    if protocol == "official":
        return [_official(samples)]
    from sklearn.model_selection import LeaveOneGroupOut, StratifiedGroupKFold, StratifiedKFold

    who = groups(samples).to_numpy()
    strata = _strata(target)
    position = np.arange(len(samples))
    if protocol in ("kfold", "random"):
        if protocol == "kfold" and has_speakers(samples):
            raise UsageError(
                "the samples have speakers: k folds at random would test on people trained on. Use 'grouped' or "
                "'loso', or ask for 'random' by name and have it marked as leaking"
            )
        splits = [StratifiedKFold(n_folds, shuffle=True, random_state=seed + r) for r in range(repeats)]
        return [Fold(a, b) for s in splits for a, b in s.split(position, strata)]
    if (who == samples.index.astype(str)).all():
        raise UsageError(f"protocol {protocol!r} needs a column 'speaker' (or 'dialogue'); without one use 'kfold'")
    n_groups = len(np.unique(who))
    if protocol == "loso":
        return [Fold(a, b) for a, b in LeaveOneGroupOut().split(position, strata, who)]
    if n_groups < n_folds:
        raise UsageError(f"{n_folds} folds need as many speakers, there are {n_groups}: lower --folds or use 'loso'")
    splits = [StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed + r) for r in range(repeats)]
    return [Fold(a, b) for s in splits for a, b in s.split(position, strata, who)]


def inner_folds(groups: np.ndarray, target: np.ndarray, n_folds: int, seed: int) -> list[Fold]:
    """Grouped folds inside a training set, each with its tested groups in two halves.

    A class that a fold's training part lacks, since one speaker alone has it, is no reason to mix speakers: it is
    unknown there, as it would be of a new speaker. Only where there is a single group, or a training part would know a
    single class, are folds drawn by sample: less honest inside, but what is tested outside stays unseen; `mixed` tells.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

    position = np.arange(len(target))
    distinct = len(np.unique(groups))
    if distinct >= 2:
        split = GroupKFold(min(n_folds, distinct), shuffle=True, random_state=seed)
        found = [Fold(a, b, _halves(groups[b])) for a, b in split.split(position, target, groups)]
        if np.issubdtype(np.asarray(target).dtype, np.floating):
            return found
        if all(len(np.unique(target[f.train])) > 1 for f in found):
            return found
    strata = _strata(target)
    rarest = np.unique(strata, return_counts=True)[1].min()
    if rarest >= n_folds:
        split = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    else:
        split = KFold(n_folds, shuffle=True, random_state=seed)
    return [Fold(a, b, np.arange(len(b)) % 2 == 1) for a, b in split.split(position, strata)]


def mixed(groups: np.ndarray, folds: list[Fold]) -> bool:
    """Whether a group is on both sides of a fold."""
    return any(np.isin(groups[f.test], groups[f.train]).any() for f in folds)


def _halves(groups: np.ndarray) -> np.ndarray:
    """Half of each sample, groups staying whole; of a single group, every other sample."""
    names, position = np.unique(groups, return_inverse=True)
    return (position if len(names) > 1 else np.arange(len(groups))) % 2 == 1


def _official(samples: pd.DataFrame) -> Fold:
    if "split" not in samples or not samples["split"].notna().any():
        raise UsageError("the dataset has no official split: use 'grouped' or 'loso'")
    split = samples["split"].astype("str").str.lower()
    test = np.flatnonzero(split.isin(_TEST))
    if not len(test):
        raise UsageError(f"no sample has split 'test'; there are {', '.join(sorted(split.unique()))}")
    # What is neither: everything that is not tested on may be trained on, the development part included.
    train = np.flatnonzero(~split.isin((*_TEST, *_IGNORED)) & samples["split"].notna())
    if not len(train):
        raise UsageError("every sample has split 'test': nothing to train on")
    return Fold(train, test)


def _strata(target: np.ndarray) -> np.ndarray:
    if np.issubdtype(np.asarray(target).dtype, np.floating):
        return np.searchsorted(np.quantile(target, [0.2, 0.4, 0.6, 0.8]), target)
    return target
