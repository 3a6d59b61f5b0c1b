"""Commands about what affectlake knows: datasets, extractors, show, download, doctor."""

import platform
import shlex
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from affectlake.data.errors import UnknownName
from affectlake.features import registry, settings
from affectlake.flows.cli.options import Json
from affectlake.flows.cli.output import as_json, as_table, note


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


def show(name: str, /, *, json: Json = False) -> int:
    """All about an extractor (its columns, units), a dataset (layout, licence), a model file, or `settings`.

    Parameters
    ----------
    name
        Name of an extractor or a dataset, a model file, or settings: what `refresh --set` takes.
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
        from affectlake.flows.cli.bench import show_card

        return show_card(Path(name), json)
    raise UnknownName("extractor or dataset", name, [*registry.extractors(), *known.datasets(), "settings"])


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


def _show_extractor(extractor, json: bool) -> int:
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


def _show_dataset(dataset, json: bool) -> int:
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

    folder = fetch(dataset, to, progress=to_stderr().bar)
    note(f"next: affectlake refresh {dataset} --root {shlex.quote(str(folder))}")
    return 0


def doctor(*, json: Json = False) -> int:
    """What is installed, what is missing, and what would mend it.

    Parameters
    ----------
    json
        JSON on stdout.
    """
    rows = [{"what": "python", "found": platform.python_version(), "remedy": ""}]
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
    if json:
        as_json(rows)
    else:
        as_table(rows)
    return 0
