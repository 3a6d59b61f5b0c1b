"""Commands about what affectlake knows: datasets, extractors, show, download, doctor."""

import platform
import shlex
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from affectlake.data.errors import UnknownName
from affectlake.features import registry, settings
from affectlake.flows.cli.options import Json, StoreOption
from affectlake.flows.cli.output import as_json, as_table, note

if TYPE_CHECKING:
    from affectlake.data.dataset import Dataset
    from affectlake.data.store import DatasetStatus
    from affectlake.features.protocol import Extractor
    from affectlake.features.timing import Timing


def extractors(*, json: Json = False) -> int:
    """Every feature extractor, and whether it can run here.

    Parameters
    ----------
    json
        JSON on stdout.
    """
    rows = [
        {
            "name": e.name,
            "columns": len(e.columns),
            "ms": e.cost,
            "licence": e.licence,
            "summary": e.summary,
            "unavailable": registry.unavailable(e),
        }
        for e in registry.extractors().values()
    ]
    for name, reason in registry.broken().items():
        rows.append(dict.fromkeys(rows[0]) | {"name": f"plug-in {name}", "unavailable": reason})
    if json:
        as_json(rows)
    else:
        as_table(rows)
    return 0


def datasets(*, json: Json = False) -> int:
    """Every dataset that has a loader.

    Parameters
    ----------
    json
        JSON on stdout.
    """
    from affectlake.data import datasets as known

    rows = [
        {"name": d.name, "title": d.title, "licence": d.licence, "official split": d.official_split}
        for d in known.datasets().values()
    ]
    if json:
        as_json(rows)
    else:
        as_table(rows)
    return 0


def show(name: str, /, *, store: StoreOption = "lake", json: Json = False) -> int:
    """All about an extractor (its columns, units), a dataset (layout, licence; of a store: its tables), a model file.

    Parameters
    ----------
    name
        Name of an extractor or a dataset, a model file, or settings: what `refresh --set` takes.
    store
        Folder or object-store URI, for datasets that it alone knows.
    json
        JSON on stdout.
    """
    from affectlake.data import datasets as known

    if name in registry.extractors():
        return _show_extractor(registry.get(name), json)
    if name in known.datasets():
        return _show_dataset(known.get(name), json)
    if name == "settings":
        return _show_settings(json)
    if Path(name).is_file():
        from affectlake.flows.cli.predict import show_card

        return show_card(Path(name), json)
    held = _held(store)
    if name in held:
        return _show_held(held[name], json)
    raise UnknownName("extractor or dataset", name, [*held, *registry.extractors(), *known.datasets(), "settings"])


def _held(store: str) -> "dict[str, DatasetStatus]":
    """What the store says of each of its datasets; nothing where there is no store."""
    from affectlake.data.errors import AffectlakeError
    from affectlake.data.store import Store

    try:
        opened = Store(store)
    except AffectlakeError:
        return {}
    return {d["dataset"]: d for d in opened.status()["datasets"]}


def _show_held(about: "DatasetStatus", json: bool) -> int:
    if json:
        as_json(about)
        return 0
    as_table([{"": k, "value": v} for k, v in about.items() if k != "tables"])
    as_table(about["tables"])
    return 0


def _show_settings(json: bool) -> int:
    rows = [
        {"name": name, "default": s.default, "allowed": s.valid, "description": s.description, "variable": s.variable}
        for name, s in settings.SETTINGS.items()
    ]
    if json:
        as_json(rows)
    else:
        as_table(rows)
    return 0


def _show_extractor(extractor: "Extractor", json: bool) -> int:
    columns = [
        {"column": f"{extractor.name}.{c.name}", "unit": c.unit, "description": c.description, "source": c.source}
        | ({"follows": c.nuisance} if any(c.nuisance for c in extractor.columns) else {})
        for c in extractor.columns
    ]
    about = {
        "name": extractor.name,
        "version": extractor.version,
        "reads": extractor.reads,
        "parameters": dict(extractor.parameters),
        "licence": extractor.licence,
        "milliseconds per sample": extractor.cost,
        "summary": extractor.summary,
        "unavailable": registry.unavailable(extractor),
    }
    if json:
        as_json(about | {"columns": columns})
        return 0
    as_table([{"": k, "value": v} for k, v in about.items()])
    as_table(columns)
    return 0


def _show_dataset(dataset: "Dataset", json: bool) -> int:
    keys = ("name", "title", "licence", "url", "citation", "access", "layout", "labels", "official_split")
    about = {key: getattr(dataset, key) for key in keys}
    if json:
        as_json(about)
    else:
        as_table([{"": k, "value": v} for k, v in about.items()])
    return 0


def download(dataset: str, /, to: Path = Path("downloads")) -> int:
    """Fetch a dataset whose terms allow it; for the others, say where to ask.

    Parameters
    ----------
    dataset
        Name of the dataset.
    to
        Folder in which the dataset's own is made.
    """
    from affectlake.data.download import download as fetch
    from affectlake.flows.progress import to_stderr

    folder = fetch(dataset, to, progress=to_stderr())
    note(f"next: affectlake refresh {dataset} --root {shlex.quote(str(folder))}")
    return 0


def doctor(
    *, measure: Annotated[bool, Parameter(negative=())] = False, store: StoreOption = "lake", json: Json = False
) -> int:
    """What is installed, what is missing, what there is to compute with, and what would mend it.

    Parameters
    ----------
    measure
        Time each extractor for a second, on a synthetic sample; some load a model first.
    store
        Folder whose disk is looked at; it need not exist.
    json
        JSON on stdout.
    """
    rows: list[dict[str, str | None]] = [
        {"what": "python", "found": platform.python_version(), "remedy": ""},
        *_resources(store),
    ]
    for package in ("affectlake", "pandas", "pyarrow", "deltalake", "duckdb", "prefect", "librosa", "torch", "xgboost"):
        try:
            rows.append({"what": package, "found": version(package), "remedy": ""})
        except PackageNotFoundError:
            rows.append({"what": package, "found": None, "remedy": "pip install 'affectlake[all]'"})
    for extractor in registry.extractors().values():
        reason = registry.unavailable(extractor)
        rows.append({"what": extractor.name, "found": "no" if reason else "yes", "remedy": reason or ""})
    for name, reason in registry.broken().items():
        rows.append({"what": f"plug-in {name}", "found": "no", "remedy": reason})
    if measure:
        rows = _measured(rows)
    if json:
        as_json(rows)
    else:
        as_table(rows)
    return 0


def _resources(store: str) -> list[dict[str, Any]]:
    from affectlake.flows.machine import GIB, machine

    found = machine(store)
    advice = found.advice()
    said = {"cores": str(found.cores), "disk": f"{found.disk / GIB:.1f} GiB free"}
    if found.busy is not None:
        said["busy"] = f"{found.busy:.1f} processes"
    if found.memory is not None:
        said["memory"] = f"{found.memory / GIB:.1f} GiB free"
    return [{"what": what, "found": value, "remedy": advice.get(what, "")} for what, value in said.items()]


def _measured(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, those of extractors that can run with what a sample takes here."""
    from affectlake.features.timing import timings

    found = {}
    for timing in timings():
        note(f"{timing.extractor}: {'failed' if timing.milliseconds is None else f'{timing.milliseconds:.1f} ms'}")
        found[timing.extractor] = timing
    return [_with_time(row, found.get(row["what"])) for row in rows]


def _with_time(row: dict[str, Any], timing: "Timing | None") -> dict[str, Any]:
    if timing is None:
        return row
    took = "fails" if timing.milliseconds is None else f"{timing.milliseconds:.1f} ms a sample"
    return row | {"found": took, "remedy": timing.advice()}
