"""Boosters from strangers: read by ours, checked whole, and only then given to xgboost.

xgboost's own reader takes the numbers of a file for true, and its trees follow them: of files with some bytes changed
about one in eight ended the process, at load or when asked. So it gets nothing that was not understood here: the
document is read by the few rules that xgboost writes by, every array is checked, and what was understood is written
anew (for boosters of ours byte for byte the same, so that they answer as they did).
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectlake.data.errors import AffectlakeError

Node = Any
"""A dict, a list, a str, a numpy scalar, or an array of one of `_TYPES`."""

# Types of numbers in Universal Binary JSON, big-endian.
_TYPES = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
_MARKS = {np.dtype(t): mark for mark, t in _TYPES.items()}
_DEEPEST = 16
_ROOT = 2**31 - 1  # what xgboost writes as the parent of a root

_INTEGER = re.compile(r"\d{1,10}")
_OBJECTIVES = {
    "multi:softprob": "softmax_multiclass_param",
    "binary:logistic": "reg_loss_param",
    "reg:squarederror": "reg_loss_param",
}
_FLOATS = ("base_weights", "loss_changes", "split_conditions", "sum_hessian")
_INTEGERS = ("left_children", "right_children", "parents", "split_indices")
_CATEGORIES = {
    "categories": ">i4",
    "categories_nodes": ">i4",
    "categories_segments": ">i8",
    "categories_sizes": ">i8",
}


class BadBooster(AffectlakeError):
    """A booster that xgboost must not see."""


@dataclass(frozen=True)
class Booster:
    """A booster that was understood.

    Attributes
    ----------
    content : bytes
        For xgboost to load.
    objective : str
    features : int
        Columns that it reads.
    groups : int
        Trees per round: classes, or 1.
    """

    content: bytes
    objective: str
    features: int
    groups: int


def checked(content: bytes) -> Booster:
    """Read a booster of gradient-boosted trees in UBJ; raises BadBooster with what is wrong."""
    reader = _Reader(content)
    document = reader.value(0)
    if reader.at != len(content):
        raise BadBooster("a booster with something behind its end")
    outer = _object(document, "learner", "version")
    learner = _object(
        outer["learner"], "attributes", "feature_names", "feature_types", "gradient_booster", "learner_model_param",
        "objective",
    )  # fmt: skip
    parameters = _object(learner["learner_model_param"], "base_score", "num_class", "num_feature", "num_target", "boost_from_average")  # fmt: skip  # noqa: E501
    objective = _objective(learner["objective"])
    features, classes = _whole(parameters["num_feature"]), _whole(parameters["num_class"])
    multiple = objective == "multi:softprob"
    if not features or multiple != (classes > 1) or _whole(parameters["num_target"]) != 1:
        raise BadBooster("a booster whose classes and objective do not fit together")
    groups = max(1, classes)
    if multiple and _whole(learner["objective"][_OBJECTIVES[objective]]["num_class"]) != groups:
        raise BadBooster("a booster whose classes and objective do not fit together")
    _base_score(parameters["base_score"], groups)
    _whole(parameters["boost_from_average"])
    for name in ("feature_names", "feature_types"):
        if not _hollow(learner[name]):
            raise BadBooster(f"a booster with {name}: none of ours has them")
    rounds = _trees(learner["gradient_booster"], features, groups)
    _attributes(learner["attributes"], rounds)
    _version(outer["version"])
    return Booster(_written(document), objective, features, groups)


def _objective(node: Node) -> str:
    name = node.get("name") if isinstance(node, dict) else None
    if not isinstance(name, str) or name not in _OBJECTIVES:
        raise BadBooster(f"a booster with the objective {str(name)[:40]!r}: expected {', '.join(_OBJECTIVES)}")
    parameters = _object(node, "name", _OBJECTIVES[name])[_OBJECTIVES[name]]
    for value in _object(parameters, *parameters).values() if isinstance(parameters, dict) else [None]:
        if not isinstance(value, str) or not 0 < _number(value) < 1e9:
            raise BadBooster("a booster with an objective that has no fit parameters")
    wanted = "num_class" if name == "multi:softprob" else "scale_pos_weight"
    _object(parameters, wanted)
    return name


def _trees(node: Node, features: int, groups: int) -> int:
    """Checks the trees; returns the number of rounds."""
    booster = _object(node, "model", "name")
    if booster["name"] != "gbtree":
        raise BadBooster(f"a booster called {str(booster['name'])[:40]!r}: expected gbtree")
    model = _object(booster["model"], "gbtree_model_param", "iteration_indptr", "tree_info", "trees")
    parameters = _object(model["gbtree_model_param"], "num_parallel_tree", "num_trees")
    trees = model["trees"]
    if not isinstance(trees, list) or not trees or _whole(parameters["num_trees"]) != len(trees):
        raise BadBooster("a booster with another number of trees than it says")
    if _whole(parameters["num_parallel_tree"]) != 1:
        raise BadBooster("a booster of forests: none of ours is")
    group, starts = _integers(model["tree_info"]), _integers(model["iteration_indptr"])
    rounds, left = divmod(len(trees), groups)
    if left or not np.array_equal(starts, np.arange(rounds + 1) * groups):
        raise BadBooster("a booster whose rounds do not hold a tree for each class")
    if not np.array_equal(group, np.tile(np.arange(groups), rounds)):
        raise BadBooster("a booster whose trees belong to no class")
    for number, tree in enumerate(trees):
        _tree(tree, number, features)
    return rounds


def _tree(node: Node, number: int, features: int) -> None:
    tree = _object(node, *_FLOATS, *_INTEGERS, *_CATEGORIES, "default_left", "split_type", "id", "tree_param")
    parameters = _object(tree["tree_param"], "num_deleted", "num_feature", "num_nodes", "size_leaf_vector")
    nodes = _whole(parameters["num_nodes"])
    if (
        _whole(parameters["num_feature"]) != features
        or _whole(parameters["num_deleted"])
        or _whole(parameters["size_leaf_vector"]) > 1
    ):
        raise BadBooster("a tree that does not fit its booster")
    if not isinstance(tree["id"], np.integer) or int(tree["id"]) != number:
        raise BadBooster("a tree out of its place")
    for name in _FLOATS:
        if not np.isfinite(_array(tree[name], ">f4", nodes, name)).all():
            raise BadBooster(f"a tree with values in {name} that are not finite")
    left, right, parents, columns = (_array(tree[name], ">i4", nodes, name) for name in _INTEGERS)
    if _array(tree["default_left"], ">u1", nodes, "default_left").max(initial=0) > 1:
        raise BadBooster("a tree with a default that is neither left nor right")
    for name, kind in _CATEGORIES.items():
        _array(tree[name], kind, 0, name)  # none of ours splits by categories
    if _array(tree["split_type"], ">u1", nodes, "split_type").any():
        raise BadBooster("a tree of categories: none of ours has them")
    inner = left != -1
    children = np.concatenate([left[inner], right[inner]])
    owners = np.tile(np.flatnonzero(inner), 2)
    # Each node but the root is the child of exactly one, after it: a walk from the root ends, and stays inside.
    fine = nodes > 0 and bool((right[~inner] == -1).all())
    fine = fine and np.array_equal(np.sort(children), np.arange(1, nodes)) and bool((children > owners).all())
    fine = fine and parents[0] in (_ROOT, -1) and np.array_equal(parents[children], owners)
    if not fine or not ((columns >= 0) & (columns < features)).all():
        raise BadBooster("a tree whose branches lead nowhere")


def _attributes(node: Node, rounds: int) -> None:
    for name, value in _object(node, *(node if isinstance(node, dict) else ())).items():
        if name in ("best_iteration", "best_ntree_limit"):
            if _whole(value) > rounds - (name == "best_iteration"):
                raise BadBooster("a booster whose best round it does not have")
        elif name not in ("best_score", "scikit_learn") or not isinstance(value, str):
            raise BadBooster(f"a booster with the attribute {name[:40]!r}: none of ours has it")


def _base_score(value: Node, groups: int) -> None:
    try:
        found = json.loads(value)
        numbers = [float(v) for v in (found if isinstance(found, list) else [found])]
    except (ValueError, TypeError):
        numbers = []
    if len(numbers) not in (1, groups) or not all(map(math.isfinite, numbers)):
        raise BadBooster("a booster without a fit base_score")


def _version(node: Node) -> None:
    if not (isinstance(node, list) and len(node) == 3 and all(isinstance(n, np.integer) and n >= 0 for n in node)):
        raise BadBooster("a booster of no version")


def _object(node: Node, *names: str) -> dict[str, Node]:
    """A dict that has these names; others may only be empty, as parts of later releases that are not used."""
    if not isinstance(node, dict):
        raise BadBooster(f"a booster without {', '.join(names)[:80]}")
    for name in names:
        if name not in node:
            raise BadBooster(f"a booster without {name}")
    for name, value in node.items():
        if name not in names and not _hollow(value):
            raise BadBooster(f"a booster with {name[:40]!r}, which this version does not know")
    return node


def _hollow(node: Node) -> bool:
    if isinstance(node, dict):
        return all(map(_hollow, node.values()))
    return isinstance(node, list | str | np.ndarray) and len(node) == 0


def _array(node: Node, kind: str, length: int, name: str) -> np.ndarray:
    if not isinstance(node, np.ndarray) or node.dtype != np.dtype(kind) or length != len(node):
        raise BadBooster(f"a booster whose {name} has not the length or type that it should")
    return node


def _integers(node: Node) -> np.ndarray:
    if not isinstance(node, list) or not all(isinstance(n, np.integer) for n in node):
        raise BadBooster("a booster with a list of other things than integers")
    return np.array(node, dtype=np.int64)


def _whole(value: Node) -> int:
    if not isinstance(value, str) or not _INTEGER.fullmatch(value):
        raise BadBooster("a booster with a count that is no number")
    return int(value)


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return math.nan


class _Reader:
    """Universal Binary JSON as xgboost writes it: objects without counts, arrays with them."""

    def __init__(self, content: bytes):
        self.content, self.at = content, 0

    def _take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.content) - self.at:
            raise BadBooster("a booster that is cut short")
        self.at += count
        return self.content[self.at - count : self.at]

    def _count(self) -> int:
        if self._take(1) != b"L":
            raise BadBooster("a booster with a length of another type")
        return int.from_bytes(self._take(8), "big", signed=True)

    def _text(self) -> str:
        try:
            return self._take(self._count()).decode("utf-8")
        except UnicodeDecodeError:
            raise BadBooster("a booster with text that is no UTF-8") from None

    def value(self, depth: int) -> Node:
        if depth > _DEEPEST:
            raise BadBooster("a booster that is too deep")
        mark = self._take(1)
        if mark == b"{":
            return self._members(depth)
        if mark == b"[":
            return self._items(depth)
        if mark == b"S":
            return self._text()
        if mark in _TYPES:
            kind = np.dtype(_TYPES[mark])
            return np.frombuffer(self._take(kind.itemsize), kind)[0]
        raise BadBooster(f"a booster with a value of type {mark!r}")

    def _members(self, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        while self.content[self.at : self.at + 1] != b"}":
            name = self._text()
            if name in found:
                raise BadBooster(f"a booster that says {name[:40]!r} twice")
            found[name] = self.value(depth + 1)
        self.at += 1
        return found

    def _items(self, depth: int) -> Node:
        mark = self._take(1)
        if mark == b"$":
            kind = _TYPES.get(self._take(1))
            if kind is None or self._take(1) != b"#":
                raise BadBooster("a booster with an array of another type")
            return np.frombuffer(self._take(self._count() * np.dtype(kind).itemsize), kind)
        if mark != b"#":
            raise BadBooster("a booster with an array without a length")
        count = self._count()
        if not 0 <= count <= len(self.content) - self.at:  # every item takes a byte at least
            raise BadBooster("a booster that is cut short")
        return [self.value(depth + 1) for _ in range(count)]


def _written(node: Node) -> bytes:
    out: list[bytes] = []
    _write(node, out)
    return b"".join(out)


def _write(node: Node, out: list[bytes]) -> None:
    if isinstance(node, dict):
        out.append(b"{")
        for name, value in node.items():
            out.append(_text(name))
            _write(value, out)
        out.append(b"}")
    elif isinstance(node, list):
        out.append(b"[#L" + len(node).to_bytes(8, "big"))
        for value in node:
            _write(value, out)
    elif isinstance(node, str):
        out.append(b"S" + _text(node))
    elif isinstance(node, np.ndarray):
        out.append(b"[$" + _MARKS[node.dtype] + b"#L" + len(node).to_bytes(8, "big") + node.tobytes())
    else:
        kind = node.dtype.newbyteorder(">")
        # An array, as a scalar's bytes are those of this machine whatever its type says.
        out.append(_MARKS[kind] + np.asarray(node).astype(kind).tobytes())


def _text(value: str) -> bytes:
    raw = value.encode("utf-8")
    return b"L" + len(raw).to_bytes(8, "big") + raw
