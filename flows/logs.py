"""Log lines for people or for machines, through the logging module."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

from affectlake.flows.shown import json_text, shown

FIELDS = ("run", "dataset", "stage", "seconds")
"""What a line may say besides its message; given as ``extra`` to the logger."""


class JsonLines(logging.Formatter):
    """One JSON object per line: time (ISO 8601, UTC), level, logger, message, then `FIELDS` as far as known."""

    def __init__(self, run: str):
        super().__init__()
        self.run = run

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "run": self.run,
        }
        line |= {k: getattr(record, k) for k in FIELDS if getattr(record, k, None) is not None}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json_text(line)


class TextLines(logging.Formatter):
    """One line per record, whatever was logged: no name or error begins a line that looks like another record.

    Tracebacks follow, each line of them set in.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = shown(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return "\n".join(f"    {shown(line)}" for line in super().formatException(ei).splitlines())


@contextmanager
def to_stderr(kind: Literal["text", "json"], run: str) -> Iterator[None]:
    """Send what affectlake logs from level INFO to stderr, as text or as JSON lines, on behalf of one run."""
    logger = logging.getLogger("affectlake")
    handler = logging.StreamHandler(sys.stderr)
    text = TextLines("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JsonLines(run) if kind == "json" else text)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # a handler of the root would write every line to stderr once more, in another form
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
