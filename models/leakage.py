"""The leakage audit: what is in the training and the test part of a fold at once, by name."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

from affectlake.data.groups import RECORDING
from affectlake.models import near
from affectlake.models.document import Leakage
from affectlake.models.early import present
from affectlake.models.splits import Fold

_SHOWN = 3

NEAR = 0.15
"""A copy's distance in standardised features, as a share of the median distance to the nearest neighbour."""

NARROW = 20
"""Features of fewer columns cannot tell a copy from another sample."""

COARSE = 0.05
"""Where more samples than this share have a near-duplicate, the features are coarse rather than the samples copied."""

MOST = 200_000
"""Samples among which near-duplicates are looked for by their features."""

MOST_TEXTS = 50_000
"""Texts among which nearly equal ones are looked for: every pair is compared."""

_USUAL = 5_000  # samples, spread evenly, whose nearest neighbours tell how far apart samples are
_BLOCK = 256  # of them at a time
_PAIRS = 8_192  # whose distance is computed exactly at a time
_COLUMNS = 32  # standardised at a time

_CROWD = 20
_LONG = 60  # words from which one more or less is found by the pairs of words that are shared
_SIMILAR, _WORDS = 0.8, 5  # word pairs that two texts of at least so many words have in common (cosine of the sets)


def audit(samples: pd.DataFrame, folds: list[Fold], blocks: Mapping[str, np.ndarray] | None = None) -> Leakage:
    """Look for what training and test parts share.

    Parameters
    ----------
    samples : DataFrame [index=sample_id]
        Columns speaker, dialogue, `RECORDING`, text; ``content.<what>`` columns hold content hashes, and
        ``copies.<what>`` the first sample of each group of copies (`affectlake.models.copies.found`).
    folds : list of Fold
    blocks : mapping of modality to float array, shape=(n, columns), optional
        Features in which near-duplicates are looked for where there are no fingerprints; of texts, the words themselves
        are compared.

    Returns
    -------
    dict
        ``leaks``: whether speakers, dialogues, recordings or media are shared, so that scores say too much;
        ``speakers``, ``dialogues``, ``recordings``, ``duplicates``, ``near_duplicates``, ``texts``, ``near_texts``:
        numbers of tested samples concerned; ``not_searched``: media in which copies could not be looked for;
        ``findings``: sentences.
    """
    findings: list[str] = []
    tested = sum(len(f.test) for f in folds)
    counts = Counter[str]()
    for name, column in (("speaker", "speaker"), ("dialogue", "dialogue"), ("recording", RECORDING)):
        key = f"{name}s"
        if column in samples and samples[column].notna().any():
            shared, values = _shared(samples[column], folds)
            counts[key] = shared
            if shared:
                findings.append(
                    f"{shared} of {tested} tested samples have a {name} that was trained on ({_some(values)}): "
                    "the scores say too much about new people"
                    if key == "speakers"
                    else f"{shared} of {tested} tested samples are from a {name} that was trained on ({_some(values)})"
                )
    for column in [str(c) for c in samples if str(c).startswith("content.")]:
        what = column.removeprefix("content.")
        shared, _ = _shared(samples[column], folds)
        several = samples[column][samples[column].duplicated(keep=False)].dropna()
        pairs = several.index.to_series().groupby(several.to_numpy()).agg(list).to_list()
        if shared:
            counts["duplicates"] += shared
            crossing = _crossing(samples[column], folds)
            findings.append(f"{shared} tested samples have the same {what} as one trained on ({crossing})")
        if pairs:
            shown = "; ".join(" = ".join(map(str, ids[:_SHOWN])) for ids in pairs[:_SHOWN])
            more = ", …" if len(pairs) > _SHOWN else ""
            findings.append(f"duplicates: {len(pairs)} set(s) of samples have the same {what} ({shown}{more})")
    if "text" in samples and samples["text"].notna().any():
        plain = _plain(samples["text"])
        counts["texts"], _ = _shared(plain, folds)
        if counts["texts"]:
            findings.append(
                f"{counts['texts']} of {tested} tested samples say a text that was trained on word for word "
                f"({plain.nunique()} distinct texts in all); that counts where words carry the label"
            )
        counts["near_texts"] = _near_texts(samples, plain, folds, findings)
    copied = [str(c).removeprefix("copies.") for c in samples if str(c).startswith("copies.")]
    not_searched: list[str] = []
    for medium in copied:
        if samples[f"copies.{medium}"].notna().any():
            counts["near_duplicates"] += _copies(samples, medium, folds, findings)
        else:
            not_searched.append(medium)
            findings.append(f"copies of {medium} in another encoding were not looked for: no fingerprint, or too many")
    for m, block in (blocks or {}).items():
        if m != "text" and m not in copied:
            same = samples[f"content.{m}"] if f"content.{m}" in samples else pd.Series(index=samples.index)
            near = _near_media(samples.index, m, block, same.to_numpy(), folds, findings)
            if near is None:
                not_searched.append(m)
            counts["near_duplicates"] += near or 0
    return {
        "leaks": any(counts[k] for k in ("speakers", "dialogues", "recordings", "duplicates", "near_duplicates")),
        "speakers": counts["speakers"],
        "dialogues": counts["dialogues"],
        "recordings": counts["recordings"],
        "duplicates": counts["duplicates"],
        "near_duplicates": counts["near_duplicates"],
        "texts": counts["texts"],
        "near_texts": counts["near_texts"],
        "not_searched": not_searched,
        "findings": findings,
    }


def _copies(samples: pd.DataFrame, medium: str, folds: list[Fold], findings: list[str]) -> int:
    """Tested samples of which a copy in another encoding was trained on; equal bytes are counted elsewhere."""
    first = samples[f"copies.{medium}"]
    content = f"content.{medium}"
    bytes_of = samples[content] if content in samples else pd.Series(samples.index, samples.index)
    members = bytes_of.groupby(first.to_numpy()).agg(["nunique", "size"])
    near = first.where(first.map(members["nunique"]) > 1)
    lacking = int(first.isna().sum())
    if lacking:
        findings.append(f"{lacking} of {len(first)} samples have no fingerprint of {medium}: no copy of them is found")
    if near.isna().all():
        return 0
    sets = near.index.to_series().groupby(near.to_numpy()).agg(list).to_list()
    shown = "; ".join(" ~ ".join(map(str, ids[:_SHOWN])) for ids in sets[:_SHOWN])
    more = ", …" if len(sets) > _SHOWN else ""
    findings.append(f"near-duplicates: {len(sets)} set(s) of samples have copies of one {medium} ({shown}{more})")
    # Those that share their bytes too are left to the search for equal bytes.
    known = pd.Series(first.to_numpy(), samples.index).where(near.notna())
    hit, _ = _shared(known, folds)
    if content in samples:
        hit -= _shared(samples[content].where(near.notna()), folds)[0]
    if hit > 0:
        findings.append(f"{hit} tested samples are copies of {medium} that was trained on ({_crossing(known, folds)})")
    return max(hit, 0)


def _near_media(
    ids: pd.Index, what: str, block: np.ndarray, same: np.ndarray, folds: list[Fold], findings: list[str]
) -> int | None:
    """Tested samples of which nearly a copy was trained on, by features; None where these cannot tell."""
    rows = np.flatnonzero(present(block))
    if len(rows) < 3:
        return 0
    if block.shape[1] < NARROW or len(rows) > MOST:
        why = f"{block.shape[1]} columns" if block.shape[1] < NARROW else f"{len(rows)} samples"
        findings.append(f"copies of {what} were not looked for: no fingerprints, and {why} of features do not tell")
        return None
    x = _standardised(block, rows)
    codes, _ = pd.factorize(pd.Series(same[rows]))
    most = int(COARSE * len(rows))
    found = _near_pairs(x, NEAR * _usual_distance(x), codes, most)
    alike = len(np.unique(found))
    if alike > most:
        findings.append(
            f"copies of {what} were not looked for: no fingerprints, and by their features {alike} of {len(rows)} "
            "samples and more have a twin, too coarse to tell copies by"
        )
        return None
    if not alike:
        return 0
    pairs = rows[found]
    both = np.concatenate([pairs, pairs[:, ::-1]])
    hit, example = _between(both[np.lexsort(both.T[::-1])], folds)
    shown = "; ".join(f"{ids[i]} ~ {ids[j]}" for i, j in pairs[:_SHOWN])
    findings.append(f"near-duplicates: {alike} samples have nearly the same {what} features as another ({shown})")
    if hit:
        i, j = example
        findings.append(
            f"{hit} tested samples have nearly the {what} of one trained on (such as {ids[i]} and {ids[j]})"
        )
    return hit


def _usual_distance(x: np.ndarray) -> float:
    """Median distance of rows to their nearest neighbours; of more than `_USUAL`, of so many of them."""
    some = np.linspace(0, len(x) - 1, min(len(x), _USUAL)).astype(np.int64)
    half = np.einsum("ij,ij->i", x, x) / 2
    nearest = np.empty(len(some))
    for begin in range(0, len(some), _BLOCK):
        at = some[begin : begin + _BLOCK]
        against = half - x[at] @ x.T
        against[np.arange(len(at)), at] = np.inf
        nearest[begin : begin + _BLOCK] = _distances(x, at, against.argmin(axis=1))
    return float(np.median(nearest))


def _near_pairs(x: np.ndarray, radius: float, codes: np.ndarray, most: int) -> np.ndarray:
    """Pairs of rows within a distance, in order [shape=(pairs, 2)]; no more once more than ``most`` rows have one.

    ``codes`` [shape=(n,)]: rows of the same one, which is not negative, are no pair.
    """
    if not radius:  # most rows are equal to another: nothing is nearer than that
        return np.empty((0, 2), dtype=np.int64)
    half = np.einsum("ij,ij->i", x, x) / 2
    doubt = radius**2 / 2 + 3e-5 * float(half.max())  # what 32 bits may be wrong by
    found, paired = [np.empty((0, 2), dtype=np.int64)], np.zeros(len(x), dtype=bool)
    for rows, others in near.blocks(x, radius):
        close = half[rows][:, None] + half[others] - x[rows] @ x[others].T <= doubt
        if not close.any():  # much faster told than where
            continue
        a, b = np.nonzero(close)
        a, b = rows[a], others[b]
        once = (codes[a] < 0) | (codes[a] != codes[b])
        if rows is others:
            once &= a < b
        a, b = a[once], b[once]
        for begin in range(0, len(a), _PAIRS):
            i, j = a[begin : begin + _PAIRS], b[begin : begin + _PAIRS]
            sure = _distances(x, i, j) < radius
            found.append(np.sort(np.column_stack([i[sure], j[sure]]), axis=1))
            paired[found[-1]] = True
            if paired.sum() > most:
                return np.concatenate(found)
    pairs = np.concatenate(found)
    return pairs[np.lexsort(pairs.T[::-1])]


def _distances(x: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of row ``a[i]`` and row ``b[i]`` [shape=(n,)], in 64 bits."""
    return np.asarray(np.linalg.norm(x[a].astype(np.float64) - x[b], axis=1))


def _standardised(block: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some rows, float32: columns with zero mean and unit variance, gaps at the mean, outliers cut at five of it."""
    out = np.empty((len(rows), block.shape[1]), dtype=np.float32)
    for begin in range(0, block.shape[1], _COLUMNS):
        x = block[rows, begin : begin + _COLUMNS]
        known = ~np.isnan(x)
        n = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, x, 0).sum(axis=0, dtype=np.float64) / n
        centred = np.where(known, x - mean, 0)
        deviation = np.sqrt((centred**2).sum(axis=0) / n)
        out[:, begin : begin + _COLUMNS] = np.clip(centred / np.where(deviation > 0, deviation, 1), -5, 5)
    return out


def _near_texts(samples: pd.DataFrame, plain: pd.Series, folds: list[Fold], findings: list[str]) -> int:
    """Tested samples whose text was trained on but for a few words."""
    distinct = plain.dropna().drop_duplicates()
    distinct = distinct[distinct.str.count(" ") >= _WORDS - 1]
    if len(distinct) > MOST_TEXTS:
        findings.append(f"texts that are nearly equal were not looked for: {len(distinct)} are more than {MOST_TEXTS}")
    if not 2 <= len(distinct) <= MOST_TEXTS:
        return 0
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.neighbors import NearestNeighbors

    pairs_of_words = HashingVectorizer(ngram_range=(2, 2), token_pattern=r"\S+", binary=True, norm="l2")
    x = pairs_of_words.transform(distinct)
    near = NearestNeighbors(metric="cosine", algorithm="brute", radius=1 - _SIMILAR).fit(x)
    found = near.radius_neighbors(return_distance=False)
    texts = distinct.tolist()
    near_texts = {(i, int(j)) for i, js in enumerate(found) for j in js} | _one_word_apart(texts)
    concerned = {texts[i] for pair in near_texts for i in pair}
    rows = {text: np.flatnonzero(plain == text) for text in concerned}
    pairs = [(int(a), int(b)) for i, j in sorted(near_texts) for a in rows[texts[i]] for b in rows[texts[j]]]
    hit, example = _between(np.array(pairs, dtype=np.int64).reshape(-1, 2), folds)
    if hit:
        i, j = example
        findings.append(
            f"{hit} tested samples say nearly a text that was trained on (such as {samples.index[i]} and "
            f"{samples.index[j]}); that counts where words carry the label"
        )
    return hit


def _one_word_apart(texts: list[str]) -> set[tuple[int, int]]:
    """Pairs, in both orders, that differ by one word more, less or other: what is left without some word is equal."""
    left: dict[str, list[int]] = {}
    for i, text in enumerate(texts):
        words = text.split()
        if len(words) <= _LONG:
            shorter = {" ".join(words[:at] + words[at + 1 :]) for at in range(len(words))}
            for key in shorter | {text}:
                left.setdefault(key, []).append(i)
    # Of thousands that fill one form, each is compared with its neighbours only.
    return {
        (i, j)
        for same in left.values()
        for at, i in enumerate(same)
        for j in same[max(0, at - _CROWD) : at + _CROWD + 1]
        if i != j
    }


def _between(pairs: np.ndarray, folds: list[Fold]) -> tuple[int, tuple[int, int]]:
    """Tested samples that have a partner in their fold's training part, and the first such pair."""
    total, first = 0, (-1, -1)
    a, b = pairs.T
    for fold in folds:
        hit = np.isin(a, fold.test) & np.isin(b, fold.train)
        total += len(np.unique(a[hit]))
        if hit.any() and first[0] < 0:
            at = int(np.flatnonzero(hit)[0])
            first = int(a[at]), int(b[at])
    return total, first


def _shared(values: pd.Series, folds: list[Fold]) -> tuple[int, list[str]]:
    """Tested samples whose value is also in their fold's training part, and those values."""
    codes, names = pd.factorize(values)
    total, hit = 0, set()
    for fold in folds:
        tested = codes[fold.test]
        known = np.isin(tested, codes[fold.train]) & (tested >= 0)
        total += int(known.sum())
        hit |= set(tested[known].tolist())
    return total, [str(names[i]) for i in sorted(hit)]


def _crossing(values: pd.Series, folds: list[Fold]) -> str:
    for fold in folds:
        train = pd.Series(values.index[fold.train], index=values.to_numpy()[fold.train])
        for i in fold.test:
            value = values.iloc[i]
            if pd.notna(value) and value in train.index:
                return f"such as {values.index[i]} and {np.atleast_1d(train[value])[0]}"
    return ""


def _plain(text: pd.Series) -> pd.Series:
    """Letters and digits only, in lower case: near-duplicates differ in marks and spaces."""
    plain = text.str.casefold().str.replace(r"\W+", " ", regex=True).str.strip()
    return plain.mask(plain == "")


def _some(values: list[str]) -> str:
    return ", ".join(values[:_SHOWN]) + (f", … {len(values)} in all" if len(values) > _SHOWN else "")
