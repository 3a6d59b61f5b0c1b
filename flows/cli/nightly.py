"""The command that runs unattended."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from affectlake.flows.cli.output import as_json, note
from affectlake.flows.cli.refresh import StoreOption


def nightly(
    config: Path = Path("affectlake.toml"),
    /,
    *,
    store: StoreOption = "lake",
    cron: str | None = None,
    timezone: str | None = None,
    once: Annotated[bool, Parameter(negative=())] = False,
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
        Run one night now and exit: 0 done, 1 when a dataset failed, 3 with samples in quarantine.
    prefect
        With --once: run as a Prefect flow; --no-prefect runs the same functions without it.
    """
    from affectlake.data.errors import UnknownName, UsageError
    from affectlake.flows.nightly import events, load_config, night, write_config

    if config == Path("affectlake.toml") and not config.exists():
        note(f"wrote {write_config(store, config)}: every dataset of {store}, from where it was last refreshed")
    settings = load_config(config)
    if once:
        if prefect:
            from affectlake.flows.orchestration import benchmark_flow, refresh_flow

            record = night(settings, refresh_flow, benchmark_flow)
        else:
            record = night(settings)
        as_json(record)
        return 1 if record["state"] == "failed" else 3 if "quarantine" in events(record) else 0
    from affectlake.flows.settings import configure

    configure()
    from zoneinfo import available_timezones

    from prefect.client.schemas.schedules import CronSchedule

    from affectlake.flows.server import server

    cron, timezone = cron or settings.cron, timezone or settings.timezone
    if timezone not in available_timezones():
        raise UnknownName("time zone", timezone, available_timezones())
    try:
        CronSchedule(cron=cron, timezone=timezone)
    except ValueError:
        raise UsageError(f"{cron!r} is not a cron expression; expected five fields, such as '0 2 * * *'") from None
    with server() as url:
        from affectlake.flows.orchestration import serve_nightly

        note(f"serving at {cron!r} ({timezone}); runs are listed at {url.removesuffix('/api')}; Ctrl-C ends it")
        serve_nightly(str(config.absolute()), cron, timezone)
    return 0
