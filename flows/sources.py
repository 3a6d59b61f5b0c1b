"""Where the datasets of a store came from, for who refreshes them without being told again."""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from affectlake.data.errors import UnknownName
from affectlake.features import settings as given

if TYPE_CHECKING:
    from affectlake.data.store import Store
    from affectlake.flows.options import RefreshOptions


def absolute(path: str | None) -> str | None:
    """A path that holds wherever one stands; what is elsewhere stays as it is."""
    from affectlake.data import remote

    return path if path is None or remote.is_remote(path) else str(Path(path).absolute())


def remember(store: "Store", options: "RefreshOptions") -> None:
    """Note where a dataset came from, so that a nightly run without a configuration knows what to do."""
    import pandas as pd

    source = {
        "dataset": options.dataset,
        "root": options.root or "",
        "manifest": absolute(options.manifest) or "",
        "only": "\n".join(options.only),
        "settings": json.dumps(dict(options.settings), sort_keys=True),
        "transcribe": "yes" if options.transcribe else "",
        "table": json.dumps({k: v for k, v in asdict(options.table).items() if v is not None}, sort_keys=True),
    }
    if sources(store).get(options.dataset) != source:
        store.record("sources", pd.DataFrame([source | {"time": datetime.now(UTC).isoformat()}]))


def sources(store: "Store") -> dict[str, dict[str, str]]:
    """Where each dataset of a store was last refreshed from.

    Each: dataset, root, manifest, only (one glob per line), settings and table (JSON objects; the latter are the
    options that its manifest is read by), transcribe ("yes" or nothing; stores of earlier versions lack it).
    """
    found = store.records("sources")
    if not len(found):
        return {}
    rows = found.sort_values("time").drop(columns="time").to_dict("records")
    return {row["dataset"]: {str(name): value for name, value in row.items()} for row in rows}


def again(dataset: str, options: "RefreshOptions") -> "RefreshOptions":
    """The last refresh of a dataset once more, with transcripts.

    Parameters
    ----------
    dataset : str
    options : RefreshOptions
        Store, workers and what else is not remembered; its settings are added to those that are.

    Raises
    ------
    UnknownName
        The store holds no dataset of this name that was refreshed from files.
    """
    from affectlake.data.store import Store

    known = sources(Store(options.store))
    if dataset not in known:
        raise UnknownName("dataset", dataset, known)
    source = known[dataset]
    table = json.loads(source["table"]) if isinstance(source.get("table"), str) else {}
    before = json.loads(source["settings"]) if isinstance(source.get("settings"), str) else {}
    if "missing_values" in table:
        table["missing_values"] = tuple(table["missing_values"])
    return replace(
        options,
        dataset=dataset,
        root=source["root"] or None,
        manifest=source["manifest"] or None,
        only=tuple(source["only"].splitlines()),
        settings=given.parsed(before) | dict(options.settings),
        transcribe=True,
        **table,
    )
