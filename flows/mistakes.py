"""Wrong answers, those of which a model was most sure first: labels to look at again, or what it cannot see."""

from typing import Any

import pandas as pd

from affectlake.flows.document import Document, Mistake

LISTED = 15
"""As many are kept with a benchmark."""


def mistakes(answers: pd.DataFrame) -> list[Mistake]:
    """Wrong ones among the recorded answers of a classifier, the surest first.

    Parameters
    ----------
    answers : DataFrame [columns=(sample_id, truth, predicted, probabilities)]
        ``probabilities`` may be absent.

    Returns
    -------
    list of dict
        ``sample_id``, ``truth``, ``predicted``, and ``probability`` of what was said, None where none was given.

    Examples
    --------
    >>> said = {"sample_id": ["a", "b"], "truth": ["joy", "joy"], "predicted": ["joy", "fear"]}
    >>> mistakes(pd.DataFrame(said | {"probabilities": [[0.9, 0.1], [0.2, 0.8]]}))
    [{'sample_id': 'b', 'truth': 'joy', 'predicted': 'fear', 'probability': 0.8}]
    """
    wrong = answers[answers["truth"] != answers["predicted"]]
    return sorted(map(answer, wrong.itertuples(index=False)), key=_sureness, reverse=True)


def of_benchmark(document: Document, predictions: pd.DataFrame) -> list[Mistake]:
    """The surest mistakes of the selected; none where samples have no one class each.

    ``predictions`` as `affectlake.models.benchmark.Result` has them.
    """
    from affectlake.flows.benchmark_records import answers
    from affectlake.flows.compare import SELECTED, rows_of

    if not document["confusion"] or not document["selected"] or predictions.empty:
        return []
    kept = answers(document, predictions).assign(run=document["run"])
    return mistakes(rows_of(kept, document)[SELECTED].reset_index())[:LISTED]


def answer(row: Any) -> Mistake:
    """A recorded answer with the probability of what was said."""
    return {
        "sample_id": str(row.sample_id),
        "truth": row.truth,
        "predicted": row.predicted,
        "probability": greatest(getattr(row, "probabilities", None)),
    }


def greatest(probabilities: Any) -> float | None:
    """The greatest of the probabilities, None where there are none."""
    if probabilities is None or isinstance(probabilities, float) or not len(probabilities):
        return None
    most = float(max(probabilities))
    return most if most == most else None


def _sureness(said: Mistake) -> float:
    return -1.0 if said["probability"] is None else float(said["probability"])
