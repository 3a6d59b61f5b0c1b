"""What decoders of sound and of pictures check alike."""

import math
from pathlib import Path
from urllib.parse import unquote, urlsplit

from affectlake.data.errors import BadMedia


def local_path(uri: str | Path) -> Path:
    """Path behind a local address; raises BadMedia for an address on another system."""
    text = str(uri)
    if "://" not in text:
        return Path(text)
    parts = urlsplit(text)
    if parts.scheme != "file":
        raise BadMedia(f"cannot read {text!r}: only local paths and file:// addresses, copy the file here first")
    return Path(unquote(parts.path))


def check_segment(path: Path, start: float | None, end: float | None) -> None:
    """Raises BadMedia where a segment is none."""
    for name, value in (("start", start), ("end", end)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise BadMedia(f"{path.name}: {name}={value} is not a time in seconds >= 0")
    if start is not None and end is not None and start >= end:
        raise BadMedia(f"{path.name}: segment starts at {start} s but ends at {end} s")


def check_file(path: Path) -> None:
    """Raises BadMedia where there is no file, or an empty one."""
    if not path.exists():
        raise BadMedia(f"no such file: {path}")
    if not path.is_file():
        raise BadMedia(f"not a file: {path}")
    if path.stat().st_size == 0:
        raise BadMedia(f"{path.name}: file is empty (0 bytes)")


def reason(error: Exception) -> str:
    """What a decoder says, on one line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split()).rstrip(".")
