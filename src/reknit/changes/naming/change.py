"""A change with its name, and what it was recognised by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Kind = Literal[
    "identical",
    "permutation",
    "sign",
    "scale",
    "rotation",
    "cast",
    "grid",
    "mask",
    "low rank",
    "drift",
    "unrelated",
    "shape",
    "only in A",
    "only in B",
    "cannot say",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Change:
    """One step from A to B.

    Attributes:
        kind: its name.
        words: what was found, to be read after "B is A ...".
        exact: whether it holds of every number by equality (to the last places of the stored dtype), and not by a size.
        details: the numbers it was recognised by.
    """

    kind: Kind
    words: str
    exact: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The part of the object that ``--json`` prints."""
        return {"kind": self.kind, "words": self.words, "exact": self.exact, "details": dict(self.details)}
