"""Values as JSON can hold them."""

from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """``value`` as JSON has it: NaN, which JSON does not have, becomes null; times become ISO 8601."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(v) for v in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and value != value:
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
