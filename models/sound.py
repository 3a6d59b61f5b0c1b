"""Whether parts of a model that were built may be used: nothing leads out of memory, all weights are finite."""

from typing import Any

import numpy as np

from affectlake.data.errors import AffectlakeError


class BadModel(AffectlakeError):
    """A model file that is corrupt, of another format, or wants to build what no model of ours holds."""


def finite(name: str, values: np.ndarray) -> np.ndarray:
    """The values, none of which is NaN or infinite; raises BadModel."""
    if values.dtype.kind not in "fiub" or not np.isfinite(values).all():
        raise BadModel(f"values in {name[:80]} that are not finite")
    return values


def check(value: Any, seen: set[int]) -> None:
    """Refuse what compiled code would follow out of its memory, trees and support vectors that point elsewhere, and
    weights that are not finite, which would make every answer NaN, or the answer to some inputs.
    """
    from sklearn.svm._base import BaseLibSVM
    from sklearn.tree._tree import Tree

    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        finite("an estimator", value)
    elif isinstance(value, Tree):
        _sound_tree(value)
    elif isinstance(value, BaseLibSVM):
        _sound_svm(value)
        check(vars(value), seen)
    elif isinstance(value, dict):
        for v in value.values():
            check(v, seen)
    elif isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype == object):
        for v in np.ravel(value) if isinstance(value, np.ndarray) else value:
            check(v, seen)
    elif type(value).__module__.startswith(("sklearn.", "affectlake.")):
        # Of scalars those that were learned: a parameter may be NaN, as what an imputer takes for a gap.
        for key, scalar in vars(value).items():
            if key.endswith("_") and isinstance(scalar, float | np.floating):
                finite(key, np.asarray(scalar))
        check(vars(value), seen)


def _sound_tree(tree: Any) -> None:
    if tree.node_count > tree.capacity:
        raise BadModel("a tree claims more nodes than it has")
    here, left, right = np.arange(tree.node_count), tree.children_left, tree.children_right
    inner = left != -1
    # Children come after their parents, so that a walk ends.
    fine = (left > here) & (right > here) & (left < tree.node_count) & (right < tree.node_count)
    fine &= (tree.feature >= 0) & (tree.feature < tree.n_features)
    if not (tree.node_count and fine[inner].all() and (right[~inner] == -1).all()):
        raise BadModel("a tree whose branches lead nowhere")
    finite("a tree", tree.threshold)
    finite("a tree", tree.value)


def _sound_svm(svm: Any) -> None:
    vectors = len(svm.support_vectors_)
    classes = len(svm.classes_) if hasattr(svm, "classes_") else 2
    pairs = classes * (classes - 1) // 2
    counts = np.asarray(svm._n_support)
    fits = (
        svm._dual_coef_.shape == (classes - 1, vectors)
        and len(svm.support_) == vectors
        and len(svm._intercept_) == pairs
        and (counts >= 0).all()
        and (not hasattr(svm, "classes_") or (len(counts) == classes and counts.sum() == vectors))
        and not svm._sparse
        and svm.kernel in ("rbf", "linear")
    )
    if not fits:
        raise BadModel("support vectors that do not fit together")
