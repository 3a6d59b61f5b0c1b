"""Tells somebody about a night: a command, a webhook or a Prefect block. No prefect here."""

import json
import logging
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from affectlake.flows.config import Notify
from affectlake.flows.record import Notification, Record
from affectlake.flows.values import plain

_log = logging.getLogger("affectlake.nightly")

SendBlock = Callable[[str, str, str], None]
"""Sends a message through a Prefect notification block: (block, subject, body)."""


def events(record: Record) -> list[str]:
    """Which of the occasions of `affectlake.flows.config.Notify` the record is, ``always`` included.

    ``quarantine`` is a file that has become bad since the night before: one that was bad already is no news.
    """
    found = {"always", *(["interrupted"] if record["interrupted"] else [])}
    for entry in record["datasets"]:
        if entry["state"] == "failed":
            found.add("failure")
        if entry["changes"] and entry["changes"]["bad"]["new"]["count"]:
            found.add("quarantine")
        if entry["refresh"] and entry["refresh"]["problems"]:
            found.add("gate")
        if entry["drift"]:
            found.add("drift")
    return sorted(found)


def notify(hooks: Sequence[Notify], record: Record, send_block: SendBlock | None = None) -> list[Notification]:
    """Call every hook that asked for one of the record's occasions; never raises.

    Returns
    -------
    list of dict
        Per hook that was called: ``hook``, ``events``, ``delivered``, ``attempts``, ``error``.
    """
    occasions = set(events(record))
    return [
        _deliver(hook, sorted(occasions & set(hook.on)), record, send_block)
        for hook in hooks
        if occasions & set(hook.on)
    ]


def _deliver(hook: Notify, occasions: list[str], record: Record, send_block: SendBlock | None) -> Notification:
    said: Notification = {"hook": _name(hook), "events": occasions, "delivered": False, "attempts": 0, "error": None}
    body = json.dumps(plain(record | {"events": occasions})).encode()
    while said["attempts"] < hook.attempts and not said["delivered"]:
        if said["attempts"]:
            time.sleep(min(2 ** (said["attempts"] - 1), 60))
        said["attempts"] += 1
        try:
            _send(hook, record, body, send_block)
            said["delivered"], said["error"] = True, None
        except Exception as error:  # whatever a hook does, the night's work is done and must be recorded
            # Cut last: half a secret would not be found.
            said["error"] = _without_secret(" ".join(f"{type(error).__name__}: {error}".split()), hook)[:300]
    if not said["delivered"]:
        _log.warning("%s was not told: %s", said["hook"], said["error"], extra={"stage": "notify"})
    return said


def _without_secret(error: str, hook: Notify) -> str:
    """An error without the address, which may be a secret; some name only its path, its query or its password."""
    if not hook.webhook:
        return error
    parts = urlsplit(hook.webhook)
    secrets = [hook.webhook, f"{parts.path}?{parts.query}", parts.path.rstrip("/"), parts.query, parts.password]
    for secret in secrets:
        if secret and secret != "?":
            error = error.replace(secret, _name(hook))
    return error


def _name(hook: Notify) -> str:
    if hook.webhook:
        return f"webhook {urlsplit(hook.webhook).hostname}"
    return f"block {hook.block}" if hook.block else f"command {hook.command[0]}"


def _send(hook: Notify, record: Record, body: bytes, send_block: SendBlock | None) -> None:
    if hook.command:
        subprocess.run(hook.command, input=body, check=True, timeout=hook.timeout)
    elif hook.webhook:
        request = urllib.request.Request(hook.webhook, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=hook.timeout).close()
    elif send_block is None or hook.block is None:
        raise RuntimeError("a Prefect block needs Prefect: leave out --no-prefect")
    else:
        pool = ThreadPoolExecutor(1)
        try:
            title = f"{record['name']}: {record['state']}"
            pool.submit(send_block, hook.block, title, record["text"]).result(timeout=hook.timeout)
        finally:
            pool.shutdown(wait=False)
