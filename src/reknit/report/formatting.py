"""Numbers as a reader wants them: three digits that count, true minus signs, no sentinel for what is missing."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

from reknit.report.markup import el

MISSING = "–"
_THIN = "\u202f"
_HARD = "\xa0"  # no line breaks inside a number
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(exponent: int) -> str:
    """``10⁻³``.

    >>> power_of_ten(-3)
    '10⁻³'
    """
    return "10" + str(exponent).translate(_RAISED)


def count(value: int) -> str:
    """An integer with its thousands set apart.

    >>> count(-12345).replace(chr(0x202F), " ")
    '−12 345'
    """
    return f"{value:,}".replace(",", _THIN).replace("-", "−")


def plural(value: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "block"), plural(0, "block")
    ('1 block', '0 blocks')
    """
    return f"{count(value)} {noun}" + ("" if value == 1 else "s")


def number(value: float | None, digits: int = 3) -> str:
    r"""A number in ``digits`` significant digits; whole numbers in full up to a million.

    >>> [number(x) for x in (0.012345, 9.9999, 3.1e-13, 5.0, float("inf"), float("nan"), None)]
    ['0.0123', '10.0', '3.10\xa0×\xa010⁻¹³', '5', '∞', 'NaN', '–']
    """
    if value is None:
        return MISSING
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) < 1e6):
        return count(int(value))
    if math.isnan(value):
        return "NaN"
    sign = "−" if value < 0 else ""
    if math.isinf(value):
        return sign + "∞"
    mantissa, power = f"{abs(value):.{digits - 1}e}".split("e")
    exponent = int(power)
    if -4 < exponent < 6:
        fixed = f"{abs(value):,.{max(0, digits - 1 - exponent)}f}"
        return sign + fixed.replace(",", _THIN)
    return f"{sign}{mantissa}{_HARD}×{_HARD}{power_of_ten(exponent)}"


def duration(seconds: float | None) -> str:
    """A wall time in the unit that suits it.

    >>> [duration(x) for x in (0.00042, 0.0123, 2.5, 75.0, 7325.0)]
    ['0.42 ms', '12.3 ms', '2.50 s', '1 min 15 s', '2 h 2 min']
    """
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return number(seconds)
    if seconds == 0:
        return "0 s"
    if seconds < 0.9995:
        digits = 3 if seconds >= 0.01 else 2
        return f"{number(seconds * 1000, digits)} ms"
    if seconds < 59.95:
        return f"{number(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{count(minutes // 60)} h {minutes % 60} min"


def share(value: float | None) -> str:
    r"""A fraction as per cent.

    >>> [share(x) for x in (0.123, 0.0004, 12.0, None)]
    ['12\xa0%', '0.040\xa0%', '1\u202f200\xa0%', '–']
    """
    if value is None or not math.isfinite(value):
        return number(value)
    return f"{number(value * 100, 2)}{_HARD}%"


def quantity(value: float | None, text: str | None = None) -> Element:
    """A number on the page, with the exact value it stands for in the markup."""
    shown = number(value) if text is None else text
    return el("data", shown, value="" if value is None else repr(value))
