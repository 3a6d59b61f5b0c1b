"""Prefect settings that our flows rely on, for runs outside the checkout, where prefect.toml is not found."""

import os

PREFECT = {
    # The first start creates the database: 15-30 s on two cores, more than prefect's default of 20.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    # In memory, leases are forgotten with the server, and a slot that was held then is never freed.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_CLI_PROMPT": "false",
    "DO_NOT_TRACK": "1",
}


def configure() -> None:
    """Set what the user has not; call before prefect is imported."""
    for name, value in PREFECT.items():
        os.environ.setdefault(name, value)
