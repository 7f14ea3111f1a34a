"""What the trace knows of a tensor: what its axes run over, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Value:
    """A tensor of the traced function, without its numbers.

    Attributes:
        shape: of the tensor.
        dims: a node of ``Units`` for every axis; None where nothing varies along it: size 1, or expanded.
        sources: the uses whose results it was made from, with no other use in between.
        slot: the key, if it is a slot itself, or one that was merely laid out in another way.
        of_slots: whether any slot had a part in it.
        of_input: whether the input had a part in it.
        bent: the nonlinear functions of single entries that it went through since the last use, in their order.
    """

    shape: tuple[int, ...]
    dims: tuple[int | None, ...]
    sources: frozenset[int] = frozenset()
    slot: str | None = None
    of_slots: bool = False
    of_input: bool = False
    bent: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.dims):
            raise ValueError(f"{len(self.shape)} sizes and {len(self.dims)} axes")

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def axis(self, dim: int) -> int:
        """An axis, counted from the front."""
        return dim % max(self.rank, 1)

    @property
    def nodes(self) -> tuple[int, ...]:
        """The axes along which something varies."""
        return tuple(node for node in self.dims if node is not None)

    def laid_out(self, shape: Sequence[int], dims: Sequence[int | None]) -> Value:
        """The same tensor with other axes."""
        return replace(self, shape=tuple(shape), dims=tuple(dims))
