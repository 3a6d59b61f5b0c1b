"""Who trains and who is tested: official, leave-one-speaker-out, grouped by speaker, or (named) at random."""

import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from affectlake.data.errors import UnknownName, UsageError
from affectlake.data.groups import own_groups
from affectlake.data.samples import shared

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


def groups(samples: pd.DataFrame, by: str | None = None, copies: bool = False) -> pd.Series:
    """What must stay together: the speaker, else the dialogue, else the recording, else the sample itself.

    Parameters
    ----------
    samples : DataFrame [index=sample_id]
    by : str, optional
        A column whose samples stay together as well, such as a conversation that two speakers share; whatever hangs
        together through it is one group.
    copies : bool
        Whether samples that share a medium, byte for byte or as a copy, stay together as well.

    Raises
    ------
    UnknownName
        There is no such column.

    Examples
    --------
    >>> talks = pd.DataFrame({"speaker": list("abca"), "dyad": ["1", "1", "2", "3"]})
    >>> groups(talks, "dyad").tolist()
    ['a', 'a', 'c', 'a']
    """
    names = own_groups(samples)
    if by is not None and by not in samples:
        raise UnknownName("column", by, shared(samples.columns))
    keys = [] if by is None else [samples[by]]
    keys += [samples[c] for c in samples if copies and str(c).startswith(("content.", "copies."))]
    return _together(names, keys) if keys else names


def unit(samples: pd.DataFrame, by: str | None = None, copies: bool = False) -> str:
    """What most groups are: ``speaker``, ``sample`` where nothing keeps samples together, else ``group``."""
    if by is not None or copies:
        return "group"
    if has_speakers(samples):
        return "speaker"
    return "sample" if groups(samples).nunique() == len(samples) else "group"


def alike(samples: pd.DataFrame, names: pd.Series) -> pd.Series:
    """The same groups, joined where samples are equal byte by byte (columns ``content.…``)."""
    return _together(names, [samples[c] for c in samples if str(c).startswith("content.")])


def _together(names: pd.Series, keys: list[pd.Series]) -> pd.Series:
    """Groups joined where samples share a key; each is called as the first of those that it is made of."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    own, called = pd.factorize(names)
    rows, columns, size = [own], [own], len(called)
    for key in keys:
        code, values = pd.factorize(key)  # -1: no key
        rows.append(own[code >= 0])
        columns.append(code[code >= 0] + size)
        size += len(values)
    a, b = np.concatenate(rows), np.concatenate(columns)
    _, part = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(size, size)), directed=False)
    first = pd.Series(called).groupby(part[: len(called)]).transform("first").to_numpy()
    return pd.Series(first[own], index=names.index)


def has_speakers(samples: pd.DataFrame) -> bool:
    """Whether anybody is known to speak."""
    return "speaker" in samples and bool(samples["speaker"].notna().any())


def folds(
    samples: pd.DataFrame,
    target: np.ndarray,
    protocol: str,
    n_folds: int,
    repeats: int,
    seed: int,
    by: str | None = None,
    copies: bool = False,
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
        Of fewer groups than folds each is a fold of its own.
    by : str, optional
    copies : bool
        See `groups`; k folds keep samples together that are equal byte by byte.

    Raises
    ------
    UsageError
        No official split or no speakers where the protocol needs them; k-fold asked for data with speakers; a single
        group; all classes smaller than the folds.
    """
    if protocol not in PROTOCOLS:
        raise UnknownName("protocol", protocol, PROTOCOLS)
    if protocol == "official":
        return [_official(samples)]
    from sklearn.model_selection import StratifiedKFold

    who = groups(samples, by, copies).to_numpy()
    if protocol in ("grouped", "loso"):
        _check_groups(samples, who, protocol, by)
        n_folds = min(n_folds, len(np.unique(who)))
    strata = _strata(target)
    largest = int(np.unique(strata, return_counts=True)[1].max())
    if protocol in REPEATED and largest < n_folds:
        raise UsageError(
            f"{n_folds} folds need classes as large, the largest has {largest} sample{'' if largest == 1 else 's'}: "
            + ("there is nothing to learn" if largest == 1 else "lower --folds")
        )
    position = np.arange(len(samples))
    if protocol in ("kfold", "random"):
        if protocol == "kfold" and has_speakers(samples):
            raise UsageError(
                "the samples have speakers: k folds at random would test on people trained on. Use 'grouped' or "
                "'loso', or ask for 'random' by name and have it marked as leaking"
            )
        whole = alike(
            samples,
            pd.Series(samples.index.astype(str), index=samples.index)
            if by is None and not copies
            else groups(samples, by, copies),
        )
        if protocol == "kfold" and whole.nunique() < len(samples):
            return _grouped(strata, whole.to_numpy(), n_folds, repeats, seed)
        splits = [StratifiedKFold(n_folds, shuffle=True, random_state=seed + r) for r in range(repeats)]
        with _small_classes():
            return [Fold(a, b) for s in splits for a, b in s.split(position, strata)]
    if protocol == "loso":
        return _one_out(who)
    return _grouped(strata, who, n_folds, repeats, seed)


def _check_groups(samples: pd.DataFrame, who: np.ndarray, protocol: str, by: str | None) -> None:
    if (groups(samples, by) == samples.index.astype(str)).all():
        raise UsageError(f"protocol {protocol!r} needs a column 'speaker' (or 'dialogue'); without one use 'kfold'")
    if len(np.unique(who)) < 2:
        if by is not None and groups(samples).nunique() > 1:
            raise UsageError(
                f"--group-by {by}: all samples hang together through it and their speakers, and nothing is left to "
                "test on; group by something that fewer share"
            )
        raise UsageError(
            f"there is {who[0]!r} alone, and whoever is tested must not be trained on: two speakers at least; "
            "--protocol random asks about new samples of the same one"
        )


def _grouped(strata: np.ndarray, who: np.ndarray, n_folds: int, repeats: int, seed: int) -> list[Fold]:
    from sklearn.model_selection import StratifiedGroupKFold

    if len(np.unique(who)) <= n_folds:  # the other may leave a fold empty
        return _one_out(who) * repeats
    splits = [StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed + r) for r in range(repeats)]
    with _small_classes():
        return [Fold(a, b) for s in splits for a, b in s.split(strata, strata, who)]


def _one_out(who: np.ndarray) -> list[Fold]:
    from sklearn.model_selection import LeaveOneGroupOut

    return [Fold(a, b) for a, b in LeaveOneGroupOut().split(who, groups=who)]


def _small_classes() -> AbstractContextManager[Any]:
    """Quiet about classes smaller than the folds: `affectlake.models.checks.remarks` says which."""
    return warnings.catch_warnings(action="ignore", category=UserWarning)


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


INNER = 2**16
"""Samples at most that a model of an inner fold is trained on: what is chosen and calibrated there moves no more."""


def bounded(folds: list[Fold], seed: int) -> list[Fold]:
    """Inner folds of which each trains on at most `INNER` of its samples, drawn at random; all are still answered.

    Examples
    --------
    >>> [fold] = bounded([Fold(np.arange(100_000), np.arange(100_000, 150_000))], seed=0)
    >>> len(fold.train), len(fold.test)
    (65536, 50000)
    """
    rng = np.random.default_rng(seed)
    return [
        f if len(f.train) <= INNER else replace(f, train=np.sort(rng.choice(f.train, INNER, replace=False)))
        for f in folds
    ]


def mixed(groups: np.ndarray, folds: list[Fold]) -> bool:
    """Whether a group is on both sides of a fold."""
    return any(not set(groups[f.test]).isdisjoint(groups[f.train]) for f in folds)


def _halves(groups: np.ndarray) -> np.ndarray:
    """Half of each sample, groups staying whole; of a single group, every other sample."""
    names, position = np.unique(groups, return_inverse=True)
    return (position if len(names) > 1 else np.arange(len(groups))) % 2 == 1


def has_official(samples: pd.DataFrame) -> bool:
    """Whether the dataset says who is tested."""
    return bool(_split(samples).isin(_TEST).any())


def _split(samples: pd.DataFrame) -> pd.Series:
    return samples["split"].astype("str").str.lower() if "split" in samples else pd.Series(dtype="str")


def _official(samples: pd.DataFrame) -> Fold:
    if "split" not in samples or not samples["split"].notna().any():
        raise UsageError("the dataset has no official split: use 'grouped' or 'loso'")
    split = _split(samples)
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
