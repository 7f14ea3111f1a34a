"""What is known of a laundered network: that it computes the same, or by how much its answers differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from reknit.changes.laundering.state import State

if TYPE_CHECKING:
    from torch import Tensor

    from reknit.match.samples import Samples


ALL = "all"
"""What the proof of a whole chain is of."""


@dataclass(frozen=True)
class Proof:
    """What was found out of one step, or of the whole chain.

    Attributes:
        of: the step as it was told, or ``all``.
        kind: ``function``: answers were held against rounding; ``answers``: measured, and expected to differ;
            ``numbers``: the same of the numbers themselves, without a skeleton; ``layout``: every number was taken back
            from where it was laid, bit by bit.
        holds: whether the function is the same, or every bit is; None where a difference was meant.
        difference: the largest (``function``), or the Euclidean one beside the size of what there was.
        tolerance: what ``function`` takes for rounding; else None.
        compared: how many numbers.
        drawn: whether the inputs were noise.
    """

    of: str
    kind: Literal["function", "answers", "numbers", "layout"]
    holds: bool | None
    difference: float
    tolerance: float | None = None
    compared: int = 0
    drawn: bool = True

    @property
    def said(self) -> str:
        """In words."""
        inputs = f"on {'drawn' if self.drawn else 'given'} inputs"
        if self.kind == "function":
            same = "computes what A computes" if self.of == ALL else "computes what it computed before"
            what = same if self.holds else "computes something else"
            return f"{what}: at most {self.difference:.3g} off where {self.tolerance:.3g} is rounding, {inputs}"
        if self.kind == "layout":
            return "every number is where it was meant to be, bit by bit"
        if self.kind == "answers":
            return f"answers differ by {self.difference:.3g} of their size, {inputs}"
        return f"numbers differ by {self.difference:.3g} of their size"

    def as_json(self) -> dict[str, Any]:
        """By the names of its fields."""
        return {**vars(self), "said": self.said}


def prove(of: str, before: State, after: State, samples: Samples | None, *, same: bool) -> Proof:
    """Hold a network against what it was made from.

    Args:
        of: what is proven, in words.
        before: the network it was made from.
        after: the network.
        samples: what both are asked; None without a skeleton.
        same: whether both should compute the same.

    Raises:
        InputError: the module cannot be asked.
    """
    if before.setting is None or samples is None:
        return Proof(of, "numbers", None, _apart(before.tensors, after.tensors))
    if same:
        from reknit.match.computing import same_function

        found = same_function(before.setting.computer, before.by_slot(), after.by_slot(), samples)
        return Proof(of, "function", found.holds, found.largest, found.tolerance, found.answers, found.drawn)
    import torch

    computer = before.setting.computer
    first, second = (computer.answers(each.by_slot(), samples, torch.float64) for each in (before, after))
    shares = [_differ(a, b) for a, b in zip(first, second, strict=True) if a.is_floating_point() and a.numel()]
    return Proof(
        of,
        "answers",
        None,
        max(shares, default=0.0),
        compared=sum(a.numel() for a in first if a.is_floating_point()),
        drawn=samples.drawn,
    )


def _differ(a: Tensor, b: Tensor) -> float:
    """Euclidean difference beside the size of the first, where the first is finite."""
    known = a.isfinite()
    a, b = a[known], b[known]
    size = float(a.norm())
    return float((a - b).norm()) / size if size else float((a - b).norm())


def _apart(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> float:
    """The same of all numbers of floating point."""
    moved = total = 0.0
    for key, value in first.items():
        if value.dtype.kind == "f":
            was, new = value.astype(np.float64), second[key].astype(np.float64)
            known = np.isfinite(was)
            total += float(np.square(was[known]).sum())
            moved += float(np.square(new[known] - was[known]).sum())
    return float(np.sqrt(moved / total)) if total else float(np.sqrt(moved))
