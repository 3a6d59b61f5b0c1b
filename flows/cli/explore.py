"""The command that opens pages over a store."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from affectlake.data.errors import UsageError
from affectlake.flows.cli.options import StoreOption
from affectlake.flows.cli.output import note


def explore(
    store: StoreOption = "lake",
    /,
    *,
    port: int = 0,
    open: Annotated[bool, Parameter(negative="--no-open")] = True,
    export: Path | None = None,
    samples: int = 200,
) -> int:
    """Pages over what a store holds: datasets, columns, maps, samples, benchmarks; for this machine alone.

    The pages only read, hold no script and load nothing from elsewhere. Ctrl-C ends them.

    Parameters
    ----------
    store
        Folder or object-store URI.
    port
        Port of this machine to serve them at; default: a free one.
    open
        Open a browser.
    export
        Write a static copy to this folder instead: without media and without paths of files, but with ids, speakers,
        labels, texts, values and answers.
    samples
        Of an export: so many samples of each dataset have a page.
    """
    import webbrowser

    from affectlake.data.store import Store
    from affectlake.flows.explore.app import serve

    if export is not None:
        return _export(store, export, samples)
    if not 0 <= port < 1 << 16:
        raise UsageError(f"port {port} is none: 1 to 65535, or 0 for a free one")

    def ready(address: str) -> None:
        note(f"explore {store} at {address} (Ctrl-C ends it)")
        if open:
            webbrowser.open(address)

    with suppress(KeyboardInterrupt):  # how one leaves
        serve(Store(store), port, ready)
    return 0


def _export(store: str, out: Path, samples: int) -> int:
    from affectlake.data.store import Store
    from affectlake.flows.erasure import remember
    from affectlake.flows.explore import export as exporting
    from affectlake.flows.progress import to_stderr

    opened = Store(store)
    for dataset in opened.status()["datasets"]:
        remember(store, "pages", out, dataset["dataset"])  # an erasure then says that people may be in it
    n = exporting.export(opened, out, samples, to_stderr())
    note(f"{n} pages in {out}: open {out / 'index.html'}; they name samples and speakers, and hold texts and values")
    return 0
