"""The leakage audit: what is in the training and the test part of a fold at once, by name."""

from typing import Any

import numpy as np
import pandas as pd

from affectlake.models.splits import Fold

_SHOWN = 3


def audit(samples: pd.DataFrame, folds: list[Fold]) -> dict[str, Any]:
    """Look for what training and test parts share.

    Parameters
    ----------
    samples : DataFrame [index=sample_id]
        Columns speaker, dialogue, text; ``content.<what>`` columns hold content hashes.
    folds : list of Fold

    Returns
    -------
    dict
        ``leaks``: whether speakers, dialogues or media are shared, so that scores say too much; ``speakers``,
        ``dialogues``, ``duplicates``, ``texts``: numbers of tested samples concerned; ``findings``: sentences.
    """
    findings: list[str] = []
    tested = sum(len(f.test) for f in folds)
    counts = {"speakers": 0, "dialogues": 0, "duplicates": 0, "texts": 0}
    for column, name, key in (("speaker", "speaker", "speakers"), ("dialogue", "dialogue", "dialogues")):
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
    for column in [c for c in samples if str(c).startswith("content.")]:
        what = str(column).removeprefix("content.")
        shared, _ = _shared(samples[column], folds)
        groups = samples.index.to_series().groupby(samples[column].to_numpy()).agg(list)
        pairs = [ids for ids in groups if len(ids) > 1]
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
    leaks = bool(counts["speakers"] or counts["dialogues"] or counts["duplicates"])
    return {"leaks": leaks, **counts, "findings": findings}


def _shared(values: pd.Series, folds: list[Fold]) -> tuple[int, list[str]]:
    """Tested samples whose value is also in their fold's training part, and those values."""
    codes, names = pd.factorize(values)
    total, hit = 0, set()
    for fold in folds:
        mine = codes[fold.test]
        known = np.isin(mine, codes[fold.train]) & (mine >= 0)
        total += int(known.sum())
        hit |= set(mine[known].tolist())
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
