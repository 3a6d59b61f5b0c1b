"""The command that opens pages over a store."""

from contextlib import suppress
from typing import Annotated

from cyclopts import Parameter

from affectlake.data.errors import UsageError
from affectlake.flows.cli.options import StoreOption
from affectlake.flows.cli.output import note


def explore(
    store: StoreOption = "lake", /, *, port: int = 0, open: Annotated[bool, Parameter(negative="--no-open")] = True
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
    """
    import webbrowser

    from affectlake.data.store import Store
    from affectlake.flows.explore.app import serve

    if not 0 <= port < 1 << 16:
        raise UsageError(f"port {port} is none: 1 to 65535, or 0 for a free one")

    def ready(address: str) -> None:
        note(f"explore {store} at {address} (Ctrl-C ends it)")
        if open:
            webbrowser.open(address)

    with suppress(KeyboardInterrupt):  # how one leaves
        serve(Store(store), port, ready)
    return 0
