"""The command that runs unattended."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from affectlake.flows.cli.options import StoreOption
from affectlake.flows.cli.output import as_json, note


def nightly(
    config: Path = Path("affectlake.toml"),
    /,
    *,
    store: StoreOption = "lake",
    cron: str | None = None,
    timezone: str | None = None,
    once: Annotated[bool, Parameter(negative=())] = False,
    check: Annotated[bool, Parameter(negative=())] = False,
    recover: Annotated[bool, Parameter(negative=())] = False,
    log: Literal["text", "json"] | None = None,
    prefect: bool = True,
) -> int:
    """Refresh and benchmark on a schedule, one run at a time, until stopped.

    Uses the Prefect server of PREFECT_API_URL, or starts one of its own.

    Parameters
    ----------
    config
        TOML file that names the datasets; see docs/nightly.md. Where it is absent, it is written first, for every
        dataset that the store holds.
    store
        Folder or object-store URI, for a configuration that is yet to be written.
    cron
        When to run, such as "0 2 * * *"; overrides the file's.
    timezone
        IANA time zone of the schedule; overrides the file's.
    once
        Run one night now and exit: 0 done, 1 when a dataset failed or was held back, 3 with samples in quarantine.
    check
        Check the file against this machine, print what it says as JSON, and exit.
    recover
        Mark runs whose process died as crashed on the Prefect server, and exit; for workers, before they start.
    log
        With --once: lines for people, or JSON; overrides the file's.
    prefect
        With --once: run as a Prefect flow; --no-prefect runs the same functions without it.
    """
    from affectlake.flows.config import check_config, write_config

    if not config.exists() and not recover:
        note(f"wrote {write_config(store, config)}: every dataset of {store}, from where it was last refreshed")
    if check:
        as_json(check_config(config).public())
        return 0
    if recover:
        return _recover(config)
    if once:
        return _once(config, log, prefect)
    return _serve(config, cron, timezone)


def _once(config: Path, log: Literal["text", "json"] | None, prefect: bool) -> int:
    from affectlake.flows.config import load_config
    from affectlake.flows.nightly import night

    settings = load_config(config)
    if prefect:
        from affectlake.flows import orchestration

        record = orchestration.once(str(config.absolute()), log)
    else:
        record = night(settings if log is None else settings.model_copy(update={"log": log}))
    as_json(record)
    if record["state"] != "done":
        return 1
    bad = (e["changes"]["bad"] for e in record["datasets"] if e["changes"])
    return 3 if any(b["new"]["count"] + b["standing"]["count"] for b in bad) else 0


def _recover(config: Path) -> int:
    from affectlake.flows.orchestration import recover
    from affectlake.flows.server import server

    with server():
        for name in recover(str(config.absolute())):
            note(f"run {name} was marked as crashed: its process is gone")
    return 0


def _serve(config: Path, cron: str | None, timezone: str | None) -> int:
    from affectlake.flows.config import check_config, check_schedule
    from affectlake.flows.server import server

    settings = check_config(config)
    cron, timezone = cron or settings.cron, timezone or settings.timezone
    check_schedule(cron, timezone)
    with server() as url:
        from affectlake.flows.orchestration import serve_nightly

        shown = f"serving at {cron!r} ({timezone}); runs are listed at {url.removesuffix('/api')}; Ctrl-C ends it"
        serve_nightly(str(config.absolute()), settings.name, cron, timezone, lambda: note(shown))
    return 0
