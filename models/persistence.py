"""Models as files that run no code on load.

A model file is a zip: ``model.json`` (structure, classes, columns, fingerprints, model card), scikit-learn objects by
skops (only the types listed here are ever built), boosters in xgboost's UBJ (see `affectlake.models.boosters`),
networks and arrays as safetensors. All is checked first: sizes, types, trees, support vectors, finite weights.
"""

import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from affectlake.models import boosters, early, head, zoo
from affectlake.models.archive import Parts, get_object, put_object, weigh
from affectlake.models.bounds import Bound, Bounds
from affectlake.models.calibration import Line, Temperature, divisors
from affectlake.models.fit import Fitted, Machine
from affectlake.models.member import Ensemble, Selected, Settings
from affectlake.models.normalise import METHODS
from affectlake.models.sound import BadModel, finite
from affectlake.models.tasks import TASKS
from affectlake.models.training import Early, HeadFusion, Late, Unimodal

FORMAT = 2


def save(fitted: Fitted, path: Path | str) -> Path:
    """Write a model file and return its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    parts: dict[str, bytes] = {}
    document: dict[str, Any] = {
        "format": FORMAT,
        "label": fitted.label,
        "classes": list(fitted.classes),
        "fusion": fitted.fusion,
        "model": fitted.model,
        "columns": fitted.columns,
        "fingerprints": fitted.fingerprints,
        "task": fitted.task,
        "outputs": list(fitted.outputs),
        "cuts": None if fitted.cuts is None else fitted.cuts.tolist(),
        "normalise": fitted.normalise,
        "shown": None if fitted.shown is None else fitted.shown.tolist(),
        "bounds": None if fitted.bounds is None else asdict(fitted.bounds),
        "card": fitted.card,
        "versions": _versions(),
        **_put_machine(parts, fitted.machines[0]),
        "others": [],
    }
    for i, machine in enumerate(fitted.machines[1:], 1):
        its: dict[str, bytes] = {}
        document["others"].append(_put_machine(its, machine))
        parts |= {f"{i}.{name}": content for name, content in its.items()}
    beside = path.with_name(f".{path.name}.part")
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("model.json", json.dumps(document, indent=1))
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
    return _reading(path, lambda file: _tried(_fitted(_about(file), Parts(file, Path(path).stat().st_size))))


def card(path: Path | str) -> dict[str, Any]:
    """What a model file says about itself; nothing is built.

    Raises
    ------
    BadModel
        See there.
    """
    document, promised = _reading(path, lambda file: (about := _about(file), _promised(about)))
    shown = {k: document[k] for k in ("label", "classes", "fusion", "model")}
    shown |= {"task": _task(document)}
    shown |= {"modalities": list(document["single"]), "features": "as they are"}
    if document["normalise"] != "none":
        shown["features"] = f"relative to their {document['normalise']} (transductive: all of one are needed at once)"
    shown |= {k: v for k, v in document["card"].items() if v not in (None, [], {}, "") and k != "measured"}
    shown |= promised
    names = sorted({".".join(c.split(".")[:2]) for cs in document["columns"].values() for c in cs})
    count = {n: sum(c.startswith(f"{n}.") for cs in document["columns"].values() for c in cs) for n in names}
    shown["extractors"] = [
        {"extractor": n, "columns": count[n], "fingerprint": document["fingerprints"].get(n, "")[:12]} for n in names
    ]
    return shown | {"versions": document["versions"]}


def _reading(path: Path | str, action: Callable[[zipfile.ZipFile], Any]) -> Any:
    path = Path(path)
    if not path.is_file():
        raise BadModel(f"no model file {path}")
    try:
        with zipfile.ZipFile(path) as file:
            weigh(file, path.stat().st_size, str(path))
            return action(file)
    except BadModel as error:
        raise BadModel(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    except Exception as error:  # whatever a corrupt or hostile file makes a parser say
        raise BadModel(
            f"{path} is no model file: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ) from None


_SHAPE: dict[str, Any] = {
    "label": str,
    "classes": list,
    "fusion": str,
    "model": (str, type(None)),
    "columns": dict,
    "fingerprints": dict,
    "settings": dict,
    "normalise": str,
    "card": dict,
    "versions": dict,
    "prior": list,
    "single": dict,
    "top": (dict, type(None)),
}


def _versions() -> dict[str, str]:
    import xgboost

    # By its module: two distributions hold it.
    return {p: version(p) for p in ("affectlake", "scikit-learn", "numpy", "torch")} | {"xgboost": xgboost.__version__}


def _about(file: zipfile.ZipFile) -> dict[str, Any]:
    """The description of a model, its outline checked."""
    document = json.loads(file.read("model.json"))
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else document
        raise BadModel(f"has format {str(found)[:40]}, this version reads {FORMAT}")
    for key, kind in _SHAPE.items():
        if not isinstance(document.get(key), kind):
            raise BadModel(f"the description has no fit {key!r}")
    words = [
        *document["classes"],
        *document["fingerprints"].values(),
        *(c for cs in document["columns"].values() for c in cs),
    ]
    if not all(isinstance(w, str) for w in words):
        raise BadModel("classes, fingerprints and columns are names")
    if document["normalise"] not in METHODS:
        raise BadModel(f"features relative to {document['normalise'][:40]!r}: no model of ours has them")
    for machine in (document, *document.get("others", [])):
        if not machine["single"] or set(machine["single"]) != set(document["columns"]):
            raise BadModel("modalities and columns do not agree with each other")
    if document.get("task", "class") not in TASKS:
        raise BadModel(f"the task {str(document['task'])[:40]!r}: no model of ours has it")
    if not all(isinstance(w, str) for w in document.get("outputs", [])):
        raise BadModel("outputs are names")
    return document


def _tried(fitted: Fitted) -> Fitted:
    """The model, after it answered about two made-up samples: parts that do not fit together are found out here."""
    rng = np.random.default_rng(0)
    ids = ["all", "nothing"]
    blocks = {}
    for m, columns in fitted.columns.items():
        x = np.vstack([rng.normal(size=len(columns)), np.full(len(columns), np.nan)]).astype(np.float32)
        blocks[m] = pd.DataFrame(x, index=ids, columns=columns)
    prediction = fitted.predict(blocks, pd.Series(ids, index=ids))
    width = len(fitted.classes) or max(1, len(fitted.outputs))
    for p in (prediction.fused, *(p[:1] for p in prediction.single.values())):
        if p.ndim != 2 or p.shape[1] != width or not np.isfinite(p).all():
            raise BadModel("the model gives no proper answers")
    prediction.to_rows()
    return fitted


def _fitted(about: dict[str, Any], read: Parts) -> Fitted:
    classes = tuple(about["classes"])
    machines = [_get_machine(about, read)]
    for i, other in enumerate(about.get("others", []), 1):
        machines.append(_get_machine(other, read.below(f"{i}.")))
    task = _task(about)
    for machine in machines:
        if task not in ("multilabel", "number") and len(classes) != machine.settings.classes:
            raise BadModel("the classes do not agree with each other")
    shown = None if about.get("shown") is None else finite("shown", np.array(about["shown"], dtype=np.float64))
    if shown is not None and (shown.shape != (len(classes),) or (shown <= 0).any()):
        raise BadModel("the prior of what is shown is none of its classes")
    cuts = about.get("cuts")
    if "cuts" not in about and machines[0].settings.balanced:
        # A file of before has no word on decisions: classes counted alike.
        prior = next(iter(machines[0].single.values())).prior
        cuts = [prior[1]] if len(prior) == 2 else divisors(prior, 1.0).tolist()
    return Fitted(
        about["label"],
        classes,
        about["fusion"],
        about["model"],
        about["columns"],
        about["fingerprints"],
        tuple(machines),
        about["card"] | {"versions": about["versions"]},
        about["normalise"],
        task,
        tuple(about.get("outputs", ())),
        None if cuts is None else finite("cuts", np.array(cuts, dtype=np.float64)),
        shown,
        _get_bounds(about.get("bounds"), task),
    )


def _task(about: dict[str, Any]) -> str:
    """A model of a quantity of before there were tasks says so by having no classes."""
    return str(about.get("task", "class" if about["classes"] else "number"))


def _promised(about: dict[str, Any]) -> dict[str, Any]:
    """What the model promises of its answers, beside what its benchmark measured; nothing of a file of before."""
    bounds = _get_bounds(about.get("bounds"), _task(about))
    if bounds is None:
        return {}
    found = {}
    of = (
        ("prediction_sets", bounds.sets, "coverage", "size"),
        ("abstention", bounds.abstention, "accuracy", "coverage"),
    )
    for name, bound, scored, number in of:
        found[name] = asdict(bound) | {"unit": bounds.unit}
        given = about["card"].get("measured", {}).get(name)
        if given and bound.value is not None:
            score = {k: given[scored][k] for k in ("value", "low", "high")}
            ends = [v for v in (score["low"], score["high"]) if v is not None]
            if len(ends) == 1:
                raise BadModel("an interval of one end in the card")
            known = [given[number], score["value"], *ends]
            finite("the card", np.array(known, dtype=np.float64))
            found[name] |= {scored: score, number: given[number]}
    return found


def _get_bounds(about: dict[str, Any] | None, task: str) -> Bounds | None:
    if about is None:  # a file of before
        return None
    found = Bounds(Bound(**about["sets"]), Bound(**about["abstention"]), about["unit"])
    for bound in (found.sets, found.abstention):
        for value in (bound.aim, 0.0 if bound.value is None else bound.value):
            if type(value) not in (int, float) or not 0 <= value <= 1:
                raise BadModel(f"a bound of {str(value)[:40]}: expected a probability")
        if bound.value is not None and task not in ("class", "ordinal"):
            raise BadModel(f"a bound of answers to the task {task}, which are no single classes")
        if (bound.value is None) != isinstance(bound.reason, str):
            raise BadModel("a bound that has neither a value nor a reason, or both")
    if not isinstance(found.unit, str):
        raise BadModel("bounds that hold for nobody")
    return found


def _put_machine(parts: dict[str, bytes], machine: Machine) -> dict[str, Any]:
    return {
        "settings": asdict(machine.settings),
        "prior": next(iter(machine.single.values())).prior.tolist(),
        "single": {m: _put_unimodal(parts, m, u) for m, u in machine.single.items()},
        "top": _put_top(parts, machine.top),
    }


def _get_machine(about: dict[str, Any], read: Parts) -> Machine:
    settings = Settings(**about["settings"])
    prior = np.array(about["prior"], dtype=np.float64)
    if len(prior) != settings.classes:
        raise BadModel("the classes do not agree with each other")
    single = {
        m: Unimodal(
            _get_block(read, part["block"]),
            _get_estimator(read, part["estimator"], settings),
            get_object(read, part["calibrator"]),
            np.empty((0, len(prior))),
            prior,
            settings,
        )
        for m, part in about["single"].items()
    }
    return Machine(single, _get_top(read, about["top"], prior, settings, list(single)), settings)


# Parts: each `_put_…` writes bytes and returns a JSON-able reference, each `_get_…` reads it back.


def _put_unimodal(parts: dict[str, bytes], name: str, u: Unimodal) -> dict[str, Any]:
    return {
        "block": _put_block(parts, f"{name}.block", u.block),
        "estimator": _put_estimator(parts, f"{name}.estimator", u.estimator),
        "calibrator": put_object(parts, f"{name}.calibrator.skops", u.calibrator),
    }


def _put_top(parts: dict[str, bytes], top: Early | Late | HeadFusion | None) -> dict[str, Any] | None:
    match top:
        case Early():
            return {
                "kind": "early",
                "names": list(top.names),
                "blocks": {m: _put_block(parts, f"early.{m}.block", b) for m, b in top.blocks.items()},
                "gaps": top.gaps,
                "estimator": _put_estimator(parts, "early.estimator", top.estimator),
                "calibrator": put_object(parts, "early.calibrator.skops", top.calibrator),
            }
        case Late():
            return {
                "kind": "late",
                "names": list(top.names),
                "method": top.method,
                "weights": None if top.weights is None else top.weights.tolist(),
                "stacker": put_object(parts, "late.stacker.skops", top.stacker),
                "refinement": _put_refinement(top.refinement),
            }
        case HeadFusion():
            from safetensors.numpy import save as tensors

            for i, state in enumerate(top.head.states):
                parts[f"head.{i}.safetensors"] = tensors(state)
            return {
                "kind": "head",
                "names": list(top.names),
                "blocks": {m: _put_block(parts, f"head.{m}.block", b) for m, b in top.blocks.items()},
                "head": {k: getattr(top.head, k) for k in ("kind", "widths", "classes", "mean", "std")},
                "networks": len(top.head.states),
                "refinement": _put_refinement(top.refinement),
            }
    return None


def _get_top(
    read: Parts, about: dict[str, Any] | None, prior: np.ndarray, settings: Settings, modalities: list[str]
) -> Early | Late | HeadFusion | None:
    if about is None:
        return None
    names = tuple(about["names"])
    if sorted(names) != sorted(modalities):
        raise BadModel("a fusion of other modalities than the model has")
    if about["kind"] == "late":
        weights = None if about["weights"] is None else finite("weights", np.array(about["weights"], dtype=np.float64))
        stacker, refinement = get_object(read, about["stacker"]), _get_refinement(about, settings)
        return Late(about["method"], names, prior, settings, weights, stacker, refinement)
    blocks = {m: _get_block(read, b) for m, b in about["blocks"].items()}
    if about["kind"] == "head":
        for m, width in about["head"]["widths"].items():
            rotation = blocks[m].rotation
            if rotation is None or not 0 < width <= rotation.axes.shape[1]:
                raise BadModel(f"a head that reads {width} components of {m}, which has fewer")
        if about["head"]["classes"] != settings.classes:
            raise BadModel("a head of other classes than the model has")
        finite("head", np.array([about["head"]["mean"], about["head"]["std"]], dtype=np.float64))
    if about["kind"] == "early":
        estimator = _get_estimator(read, about["estimator"], settings)
        return Early(names, blocks, about["gaps"], estimator, get_object(read, about["calibrator"]), prior, settings)
    from safetensors.numpy import load as tensors

    states = [tensors(read(f"head.{i}.safetensors")) for i in range(about["networks"])]
    for state in states:
        for name, values in state.items():
            finite(name, values)
    found = head.Head(states=states, **about["head"])
    return HeadFusion(names, blocks, found, prior, settings, _get_refinement(about, settings))


def _put_refinement(value: Line | Temperature | None) -> dict[str, float] | None:
    return None if value is None else asdict(value)


def _get_refinement(about: dict[str, Any], settings: Settings) -> Line | Temperature | None:
    given = about.get("refinement")
    if given is None:
        return None
    for value in given.values():
        finite("refinement", np.asarray(value, dtype=np.float64))
    if settings.task == "regression":
        return Line(**given)
    found = Temperature(**given)
    if found.of <= 0:
        raise BadModel("a temperature that is not above zero")
    return found


def _put_block(parts: dict[str, bytes], name: str, block: early.Block) -> dict[str, Any]:
    reference = {"pipeline": put_object(parts, f"{name}.skops", block.pipeline), "variance": block.variance}
    reference["usual"] = block.usual
    if block.rotation is not None:
        from safetensors.numpy import save as tensors

        arrays = {k: np.ascontiguousarray(getattr(block.rotation, k)) for k in ("mean", "axes")}
        parts[f"{name}.safetensors"] = tensors(arrays)
        reference["rotation"] = f"{name}.safetensors"
    return reference


def _get_block(read: Parts, about: dict[str, Any]) -> early.Block:
    from safetensors.numpy import load as tensors

    rotation = early.Rotation(**tensors(read(about["rotation"]))) if "rotation" in about else None
    usual = about.get("usual", 1.0)  # a file of before does not know: nothing is called far
    for values in (about["variance"], usual, *(vars(rotation).values() if rotation else ())):
        finite("block", np.asarray(values))
    return early.Block(get_object(read, about["pipeline"]), about["variance"], rotation, usual)


def _put_estimator(parts: dict[str, bytes], name: str, estimator: Selected | Ensemble) -> dict[str, Any]:
    if isinstance(estimator, Ensemble):
        pairs = enumerate(zip(estimator.parts, estimator.calibrators, strict=True))
        return {
            "parts": [
                {
                    "estimator": _put_estimator(parts, f"{name}.{i}", part),
                    "calibrator": put_object(parts, f"{name}.{i}.calibrator.skops", calibrator),
                }
                for i, (part, calibrator) in pairs
            ]
        }
    if type(estimator.estimator).__module__.startswith("xgboost"):
        file: str | None = f"{name}.ubj"
        parts[f"{name}.ubj"] = bytes(estimator.estimator.get_booster().save_raw("ubj"))
    else:
        file = put_object(parts, f"{name}.skops", estimator.estimator)
    arrays = {k: getattr(estimator, k) for k in ("columns", "offset")}
    return {"file": file, "reads": estimator.reads} | {k: None if v is None else v.tolist() for k, v in arrays.items()}


def _get_estimator(read: Parts, about: dict[str, Any], settings: Settings) -> Selected | Ensemble:
    if "parts" in about:
        found = [_get_estimator(read, p["estimator"], settings) for p in about["parts"]]
        if any(isinstance(e, Ensemble) for e in found):
            raise BadModel("an ensemble of ensembles")
        return Ensemble(
            tuple(e for e in found if isinstance(e, Selected)),
            tuple(get_object(read, p["calibrator"]) for p in about["parts"]),
        )
    if about["reads"] not in get_args(zoo.Reads):
        raise BadModel(f"an estimator reads {about['reads']!r}: no model of ours does")
    columns = None if about["columns"] is None else np.array(about["columns"], dtype=np.int64)
    offset = None if about["offset"] is None else finite("offset", np.array(about["offset"], dtype=np.float64))
    estimator = _get_file(read, about["file"], settings)
    seen = getattr(estimator, "n_features_in_", None)
    if columns is not None and seen is not None and len(columns) != seen:
        raise BadModel(f"an estimator of {seen} columns that is given {len(columns)}")
    return Selected(estimator, about["reads"], columns, offset)


def _get_file(read: Parts, name: str, settings: Settings) -> Any:
    if not name.endswith(".ubj"):
        return get_object(read, name)
    from xgboost import XGBClassifier, XGBRegressor

    try:
        booster = boosters.checked(read(name))
    except boosters.BadBooster as error:
        raise BadModel(f"the part {name} is {error}") from None
    numbers = settings.task == "regression"
    if numbers != (booster.objective == "reg:squarederror") or booster.groups > settings.classes:
        raise BadModel(f"the part {name} is a booster for another task")
    estimator = XGBRegressor() if numbers else XGBClassifier()
    estimator.load_model(bytearray(booster.content))
    return estimator
