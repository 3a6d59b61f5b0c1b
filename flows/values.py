"""Values as JSON can hold them."""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any


def plain(value: Any) -> Any:
    """``value`` as JSON has it: missing, NaN and infinite ones, which JSON does not have, become null.

    Times become ISO 8601, arrays lists, bytes their hexadecimal digits.
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):  # of numpy and of pandas: a list, or for a single value the value
        value = value.tolist()
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Decimal):  # of SQL
        value = float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if str(value) in ("NaT", "<NA>"):
        return None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
