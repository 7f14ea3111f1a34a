"""From values to pixels: linear and logarithmic scales and the ticks that suit them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reknit.report.formatting import number, power_of_ten

_HUGE = 1e300  # beyond this a difference of two values overflows
_TINY, _TOP = 1e-307, 1e308  # where a logarithmic scale ends at the latest


@dataclass(frozen=True)
class Tick:
    """One mark of an axis."""

    value: float
    label: str


@dataclass(frozen=True)
class Scale:
    """A map from values to pixels.

    Attributes:
        low: the value drawn at ``start``.
        high: the value drawn at ``end``.
        start: pixel of ``low``.
        end: pixel of ``high``.
        log: logarithmic; then ``low`` and ``high`` are positive.
        zero: on a logarithmic scale, the pixel where zero stands, a lane outside the scale; None where none is needed.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    zero: float | None = None

    def __call__(self, value: float | None) -> float | None:
        """The pixel of a value; None where it cannot be drawn."""
        if value is None or not math.isfinite(value):
            return None
        if self.log:
            if value <= 0:
                return self.zero
            low, high, value = math.log10(self.low), math.log10(self.high), math.log10(min(max(value, _TINY), _TOP))
        else:
            low, high = self.low, self.high
            value = min(max(value, -_HUGE), _HUGE)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int) -> list[Tick]:
        """At most about ``most`` marks, low to high, the zero lane first."""
        if not self.log:
            return [Tick(v, tick_label(v)) for v in linear_steps(self.low, self.high, most)]
        lane = [] if self.zero is None else [Tick(0.0, "0")]
        return lane + [Tick(v, tick_label(v)) for v in log_steps(self.low, self.high, most)]


def linear_steps(low: float, high: float, most: int, *, whole: bool = False) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within ``[low, high]``; whole numbers only if asked.

    >>> linear_steps(0.0, 1.0, 6)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low] if math.isfinite(low) else []
    exponent = math.floor(math.log10(span / most))
    for mantissa, power in ((1, 0), (2, 0), (5, 0), (1, 1), (2, 1)):
        step = float(f"{mantissa}e{exponent + power}")
        if step > 0 and span / step <= most:
            break
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # a decimal point rounds 3 * 0.1 back to 0.3
    places = max(0, -math.floor(math.log10(step)))
    return [round(k * step, places) if places < 300 else k * step for k in range(first, last + 1)]


def log_steps(low: float, high: float, most: int) -> list[float]:
    """Powers of ten within ``[low, high]``, with 2 and 5 between them where fewer than two would show.

    >>> log_steps(1e-6, 1.0, 4)
    [1e-06, 0.0001, 0.01, 1.0]
    """
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    if last - first >= 1:
        stride = next(s for s in (1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 700) if (last - first) // s + 1 <= max(most, 2))
        return [float(f"1e{k}") for k in range(first, last + 1) if k % stride == 0]
    between = [float(f"{m}e{k}") for k in range(first - 1, last + 1) for m in (1, 2, 5)]
    held = [v for v in between if low * (1 - 1e-9) <= v <= high * (1 + 1e-9)]
    return held or linear_steps(low, high, 3)


def tick_label(value: float) -> str:
    """A tick's value without digits that say nothing.

    >>> [tick_label(v) for v in (0.2, 1e-12, 500.0, 1e9)]
    ['0.2', '10⁻¹²', '500', '10⁹']
    """
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        shown = number(value, 4)
        return shown.rstrip("0").rstrip(".") if "." in shown else shown
    mantissa, power = f"{value:.3e}".split("e")
    head = mantissa.rstrip("0").rstrip(".").replace("-", "−")
    return power_of_ten(int(power)) if head == "1" else f"{head} × {power_of_ten(int(power))}"


def linear_scale(values: Sequence[float | None], start: float, end: float) -> Scale:
    """A linear scale that holds zero and every finite value."""
    finite = [min(max(v, -_HUGE), _HUGE) for v in values if v is not None and math.isfinite(v)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    if high - low < 1e-300:
        high = low + 1.0
    return Scale(low, high + 0.04 * (high - low), start, end)


def log_scale(values: Sequence[float | None], start: float, end: float) -> Scale:
    """A logarithmic scale that holds every positive value, and a lane for zero if one is not."""
    finite = [v for v in values if v is not None and math.isfinite(v)]
    positive = [v for v in finite if v > 0] or [1.0]
    low, high = math.log10(min(positive)), math.log10(max(positive))
    room = max(0.06 * (high - low), 0.15)
    low, high = max(low - room, math.log10(_TINY)), min(high + room, math.log10(_TOP))
    lane = any(v <= 0 for v in finite)
    zero = start if lane else None
    base = start + 0.12 * (end - start) if lane else start
    return Scale(10.0**low, 10.0**high, base, end, log=True, zero=zero)


def spans_decades(values: Sequence[float | None], ratio: float = 50.0) -> bool:
    """Whether the positive values differ by so much that a linear axis would flatten the small ones."""
    positive = [v for v in values if v is not None and math.isfinite(v) and v > 0]
    return bool(positive) and max(positive) / ratio > min(positive)
