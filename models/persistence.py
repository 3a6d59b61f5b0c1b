"""Models as files that run no code on load.

A model file is a zip: ``model.json`` (structure, classes, columns, fingerprints, model card), scikit-learn objects by
skops (only the types listed here are ever built), boosters in xgboost's UBJ, networks and arrays as safetensors.
"""

import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.data.errors import AffectlakeError
from affectlake.models import early, head
from affectlake.models.fit import Fitted
from affectlake.models.member import Ensemble, Selected, Settings
from affectlake.models.training import Early, Headed, Late, Unimodal

FORMAT = 2
LARGEST = 4 * 2**30
"""Bytes that the parts of a model may have unpacked."""

# What skops may build besides the types that it trusts by itself: nothing here reads files or runs commands.
_TRUSTED = [
    "affectlake.models.calibration.Scores",
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
]


class BadModel(AffectlakeError):
    """A model file that is corrupt, of another format, or wants to build what no model of ours holds."""


def save(fitted: Fitted, path: Path | str) -> Path:
    """Write a model file and return its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    parts: dict[str, bytes] = {}
    about = {
        "format": FORMAT,
        "label": fitted.label,
        "classes": list(fitted.classes),
        "fusion": fitted.fusion,
        "model": fitted.model,
        "columns": fitted.columns,
        "fingerprints": fitted.fingerprints,
        "settings": asdict(fitted.settings),
        "normalise": fitted.normalise,
        "card": fitted.card,
        "versions": {p: version(p) for p in ("affectlake", "scikit-learn", "numpy", "xgboost", "torch")},
        "prior": next(iter(fitted.single.values())).prior.tolist(),
        "single": {m: _put_unimodal(parts, m, u) for m, u in fitted.single.items()},
        "top": _put_top(parts, fitted.top),
    }
    beside = path.with_name(f".{path.name}.part")
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("model.json", json.dumps(about, indent=1))
        for name, content in parts.items():
            file.writestr(name, content)
    beside.replace(path)
    return path.absolute()


def load(path: Path | str) -> Fitted:
    """Read a model file.

    Raises
    ------
    BadModel
        See there; the message says what is wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise BadModel(f"no model file {path}")
    try:
        with zipfile.ZipFile(path) as file:
            if sum(i.file_size for i in file.infolist()) > LARGEST:
                raise BadModel(f"{path} unpacks to more than {LARGEST} bytes: no model of ours")
            about = json.loads(file.read("model.json"))
            if about.get("format") != FORMAT:
                raise BadModel(f"{path} has format {about.get('format')!r}, this version reads {FORMAT}")
            return _fitted(about, lambda name: file.read(name))
    except BadModel:
        raise
    except Exception as error:  # whatever a corrupt or hostile file makes a parser say
        raise BadModel(
            f"{path} is no model file: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ) from None


def _fitted(about: dict[str, Any], read: Callable[[str], bytes]) -> Fitted:
    settings = Settings(**about["settings"])
    prior = np.array(about["prior"], dtype=np.float64)
    if len(prior) != settings.classes or len(about["classes"]) not in (0, settings.classes):
        raise BadModel("the classes do not agree with each other")
    single = {
        m: Unimodal(
            _get_block(read, part["block"]),
            _get_estimator(read, part["estimator"], settings),
            _get_object(read, part["calibrator"]),
            None,
            prior,
            settings,
        )
        for m, part in about["single"].items()
    }
    return Fitted(
        about["label"],
        tuple(about["classes"]),
        about["fusion"],
        about["model"],
        about["columns"],
        about["fingerprints"],
        single,
        _get_top(read, about["top"], prior, settings),
        settings,
        about["card"] | {"versions": about["versions"]},
        about["normalise"],
    )


# Parts: each `_put_…` writes bytes and returns a JSON-able reference, each `_get_…` reads it back.


def _put_unimodal(parts: dict[str, bytes], name: str, u: Unimodal) -> dict[str, Any]:
    return {
        "block": _put_block(parts, f"{name}.block", u.block),
        "estimator": _put_estimator(parts, f"{name}.estimator", u.estimator),
        "calibrator": _put_object(parts, f"{name}.calibrator.skops", u.calibrator),
    }


def _put_top(parts: dict[str, bytes], top: Early | Late | Headed | None) -> dict[str, Any] | None:
    match top:
        case Early():
            return {
                "kind": "early",
                "names": list(top.names),
                "blocks": {m: _put_block(parts, f"early.{m}.block", b) for m, b in top.blocks.items()},
                "gaps": top.gaps,
                "estimator": _put_estimator(parts, "early.estimator", top.estimator),
                "calibrator": _put_object(parts, "early.calibrator.skops", top.calibrator),
            }
        case Late():
            return {
                "kind": "late",
                "names": list(top.names),
                "method": top.method,
                "weights": None if top.weights is None else top.weights.tolist(),
                "stacker": _put_object(parts, "late.stacker.skops", top.stacker),
            }
        case Headed():
            from safetensors.numpy import save as tensors

            for i, state in enumerate(top.head.states):
                parts[f"head.{i}.safetensors"] = tensors(state)
            return {
                "kind": "head",
                "names": list(top.names),
                "blocks": {m: _put_block(parts, f"head.{m}.block", b) for m, b in top.blocks.items()},
                "head": {k: getattr(top.head, k) for k in ("kind", "widths", "classes", "mean", "std")},
                "networks": len(top.head.states),
            }
    return None


def _get_top(read, about: dict[str, Any] | None, prior: np.ndarray, settings: Settings):
    if about is None:
        return None
    names = tuple(about["names"])
    if about["kind"] == "late":
        weights = None if about["weights"] is None else np.array(about["weights"])
        return Late(about["method"], names, prior, weights, _get_object(read, about["stacker"]))
    blocks = {m: _get_block(read, b) for m, b in about["blocks"].items()}
    if about["kind"] == "early":
        estimator = _get_estimator(read, about["estimator"], settings)
        return Early(names, blocks, about["gaps"], estimator, _get_object(read, about["calibrator"]), settings)
    from safetensors.numpy import load as tensors

    states = [tensors(read(f"head.{i}.safetensors")) for i in range(about["networks"])]
    return Headed(names, blocks, head.Head(states=states, **about["head"]))


def _put_block(parts: dict[str, bytes], name: str, block: early.Block) -> dict[str, Any]:
    about = {"pipeline": _put_object(parts, f"{name}.skops", block.pipeline), "variance": block.variance}
    if block.rotation is not None:
        from safetensors.numpy import save as tensors

        arrays = {k: np.ascontiguousarray(getattr(block.rotation, k)) for k in ("mean", "axes")}
        parts[f"{name}.safetensors"] = tensors(arrays)
        about["rotation"] = f"{name}.safetensors"
    return about


def _get_block(read, about: dict[str, Any]) -> early.Block:
    from safetensors.numpy import load as tensors

    rotation = early.Rotation(**tensors(read(about["rotation"]))) if "rotation" in about else None
    return early.Block(_get_object(read, about["pipeline"]), about["variance"], rotation)


def _put_estimator(parts: dict[str, bytes], name: str, estimator: Selected | Ensemble) -> dict[str, Any]:
    if isinstance(estimator, Ensemble):
        pairs = enumerate(zip(estimator.parts, estimator.calibrators, strict=True))
        return {
            "parts": [
                {
                    "estimator": _put_estimator(parts, f"{name}.{i}", part),
                    "calibrator": _put_object(parts, f"{name}.{i}.calibrator.skops", calibrator),
                }
                for i, (part, calibrator) in pairs
            ]
        }
    if type(estimator.estimator).__module__.startswith("xgboost"):
        file = f"{name}.ubj"
        parts[file] = bytes(estimator.estimator.get_booster().save_raw("ubj"))
    else:
        file = _put_object(parts, f"{name}.skops", estimator.estimator)
    arrays = {k: getattr(estimator, k) for k in ("columns", "offset")}
    return {"file": file, "reads": estimator.reads} | {k: None if v is None else v.tolist() for k, v in arrays.items()}


def _get_estimator(read, about: dict[str, Any], settings: Settings) -> Selected | Ensemble:
    if "parts" in about:
        found = [_get_estimator(read, p["estimator"], settings) for p in about["parts"]]
        return Ensemble(tuple(found), tuple(_get_object(read, p["calibrator"]) for p in about["parts"]))
    if about["reads"] not in ("columns", "components"):
        raise BadModel(f"an estimator reads {about['reads']!r}: no model of ours does")
    columns = None if about["columns"] is None else np.array(about["columns"], dtype=np.int64)
    offset = None if about["offset"] is None else np.array(about["offset"], dtype=np.float64)
    return Selected(_get_file(read, about["file"], settings), about["reads"], columns, offset)


def _get_file(read, name: str, settings: Settings) -> Any:
    if not name.endswith(".ubj"):
        return _get_object(read, name)
    from xgboost import XGBClassifier, XGBRegressor

    estimator = XGBRegressor() if settings.task == "regression" else XGBClassifier()
    estimator.load_model(bytearray(read(name)))
    return estimator


def _put_object(parts: dict[str, bytes], name: str, value: Any) -> str | None:
    if value is None:
        return None
    from skops.io import dumps

    parts[name] = dumps(value)
    return name


def _get_object(read, name: str | None) -> Any:
    if name is None:
        return None
    from skops.io import get_untrusted_types, loads

    content = read(name)
    strangers = sorted(set(get_untrusted_types(data=content)) - set(_TRUSTED))
    if strangers:
        raise BadModel(f"the part {name} wants to build {', '.join(strangers)}: no model of ours does")
    return loads(content, trusted=_TRUSTED)
