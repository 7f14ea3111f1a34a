"""A rotation: a stream, or the inside of a head, turned by an orthogonal matrix on every axis that runs over it.

*Statistic.* What is left once the nearest rotation is applied (orthogonal Procrustes over all members of a group at
once, ``match.rotation_matching``): rounding, and no more. *Null.* A group has fewer free numbers, d^2 / 2, than its
members hold; dense changes leave their whole size. Only with a skeleton: which axes turn together, and which gains are
folded first, a tensor alone does not tell.
"""

from __future__ import annotations

from collections.abc import Sequence

from reknit.changes.naming.change import Change

OFF = 1e-4
"""What a rotation found from rounded numbers may leave, relative."""


def rotation_change(groups: Sequence[str]) -> Change:
    """The change in words."""
    return Change("rotation", f"turned by a rotation of {', '.join(groups)}", False, {"groups": list(groups)})
