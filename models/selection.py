"""The selected: what a user gets who lets inner folds choose the row, so that the choice is paid for in the score."""

from collections import Counter
from collections.abc import Sequence
from typing import cast

import numpy as np

from affectlake.models import intervals, metrics
from affectlake.models.document import Row, Selected
from affectlake.models.scores import Candidate, Entry, Scorer

RULE = "in each training part, the row of the highest {metric} on its inner folds, of equals that of fewest modalities"


def selected(entries: Sequence[Entry], scorer: Scorer, dummy: Entry) -> tuple[Selected | None, Entry | None]:
    """Choose a row inside every training part and score what was chosen on the tested parts.

    The out-of-fold answers of inner folds are there already; nothing is trained for it. Rows learn their `inner` score.

    Parameters
    ----------
    entries : sequence of Entry
        Rows of the table, in any order; the dummy is none to choose.
    scorer : Scorer
    dummy : Entry
        Against which what was chosen is tested.

    Returns
    -------
    dict or None
        ``rule``; ``folds``: what was chosen in each, with its ``inner`` score; ``chosen``: how often each row was;
        ``row``: the row that is best on inner folds over all training parts, which is what `--save` saves; every
        metric of the answers as ``value``, ``low``, ``high``; ``p_dummy``: that it is no better than the dummy.
        None where there is nothing to choose from.
    Entry or None
        What was chosen, as a row: its answers are those of the row chosen in each fold.
    """
    # Of equals the simplest, in an order of their own: that of the table tells how they did on the tested parts.
    rows = sorted((e for e in entries if e.candidate.names), key=lambda e: _plain(e.candidate))
    if not rows:
        return None, None
    inner = np.array([_inner(e.candidate, scorer) for e in rows])
    for e, scored in zip(rows, inner, strict=True):
        e.row.inner = float(scored.mean())
    best = inner.argmax(axis=0)
    answers = [rows[i].candidate.answers[f] for f, i in enumerate(best)]
    overall = int(inner.mean(axis=1).argmax())
    seconds = sum(e.candidate.seconds for e in rows)
    candidate = Candidate(
        "selected", (), None, answers, seconds, [rows[i].candidate.inner[f] for f, i in enumerate(best)]
    )
    together = np.concatenate(answers)
    cuts = scorer.cuts(candidate.inner)
    decided = scorer.decide(together, cuts)
    scores = scorer.scores(together, decided, scorer.draws)
    called = [rows[i].candidate.called for i in best]
    times = Counter(int(i) for i in best)
    named = {name: scorer.interval(values, name) for name, values in scores.items()}
    selected_json = {
        "rule": RULE.format(metric=scorer.metric),
        "folds": [{**c, "inner": float(inner[i, f])} for f, (c, i) in enumerate(zip(called, best, strict=True))],
        "chosen": [{**rows[i].candidate.called, "times": n} for i, n in times.most_common()],
        "row": rows[overall].candidate.called,
        **named,
        "p_dummy": intervals.paired_p(scores[scorer.metric], dummy.draws, scorer.inflation),
    }
    row = Row(candidate.called, named, round(seconds, 3))
    return cast("Selected", selected_json), Entry(candidate, row, together, decided, cuts, scores[scorer.metric])


def _plain(candidate: Candidate) -> tuple[int, str, tuple[str, ...], str]:
    return len(candidate.names), candidate.fusion, candidate.names, candidate.model or ""


def _inner(candidate: Candidate, scorer: Scorer) -> list[float]:
    """Score of a row on the inner folds of each training part; the lowest where it cannot be told."""
    found = []
    target, task = scorer.target, scorer.target.task
    for fold, answers in zip(scorer.folds, candidate.inner, strict=True):
        once = metrics.Draws(np.zeros(len(answers), dtype=int), np.ones((1, 1)))
        truth = target.y[fold.train]
        decided = task.decide(target, answers, task.cuts(truth, answers, scorer.metric))
        score = task.scores(target, truth, answers, decided, once)[scorer.metric][0]
        found.append(float(np.nan_to_num(score, nan=-1.0)))
    return found
