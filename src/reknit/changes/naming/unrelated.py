"""Unrelated: no more alike than networks that were trained apart.

Said where no unit is recognised: not in place (``drift``), not in any order (``permutation``). That nothing was found
is no proof that nothing is there: a network trained anew from another one's outputs is unrelated, too.
"""

from __future__ import annotations

from reknit.changes.naming.change import Change


def unrelated_change(size: float) -> Change:
    """The change in words; ``size`` is the relative distance of what stands in one place."""
    return Change("unrelated", "unrelated: no more alike than networks trained apart", False, {"distance": size})
