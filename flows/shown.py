"""What came from data, as it may be shown: nothing in it is an order to a terminal, a line break or a formula."""

import json
import re
from typing import Any

from affectlake.flows.values import plain

# Escapes of terminals begin with ESC or with a C1 control; marks of direction make a name look like another; line
# separators end lines of a log; lone surrogates cannot be encoded. Joiners stay: emoji and Persian words need them.
_LATE = "\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0001"
_ORDERS = re.compile(f"[\x00-\x1f{_LATE}]")
_IN_JSON = re.compile(f"[{_LATE}]")
_IN_LINES = re.compile(f"[\x00-\x08\x0b-\x1f{_LATE}]")

# What spreadsheets take for a formula, full-width forms too, and what they skip before one.
_FORMULA = re.compile("^[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def shown(value: object, lines: bool = False) -> str:
    r"""``value`` with control characters written out; line breaks and tabs stay only where `lines` is true.

    >>> print(shown("call\x1b[2J\n2026-01-01 INFO all is well"))
    call\x1b[2J\n2026-01-01 INFO all is well
    """
    pattern = _IN_LINES if lines else _ORDERS
    return pattern.sub(lambda found: ascii(found[0])[1:-1], str(value))


def json_text(value: Any, indent: int | None = None) -> str:
    """``value`` as valid JSON that is safe to print: control characters are written as JSON writes them."""
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return _IN_JSON.sub(lambda found: json.dumps(found[0])[1:-1], text)


def without_formulas(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula with ``'`` before it, which makes it text there too."""
    return "'" + value if isinstance(value, str) and _FORMULA.match(value) else value
