"""Units with the other sign: ``B[i, j] = r[i] A[i, j] c[j]`` with r and c of 1 and -1.

*Statistic.* The signs of the factors of ``scale``. Named only where the factors themselves hold, or where the matched
units agree by the ratio test of ``permutation``, whose cosines are then negative.
"""

from __future__ import annotations

from reknit.changes.naming.change import Change


def sign_change(turned: int, *, exact: bool) -> Change:
    """The change in words."""
    return Change("sign", f"{turned} units turned in sign", exact, {"units": turned})
