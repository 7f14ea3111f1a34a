"""The tensors at hand, laid out as a skeleton wants them, and the skeleton itself: named, or inferred from shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from reknit.containers.tensors import Tensors
from reknit.errors import PileError
from reknit.skeleton.skeleton import Skeleton
from reknit.wiring.matching import without_effect
from reknit.wiring.options import WiringOptions
from reknit.wiring.pools import Pool
from reknit.wiring.result import Inferred
from reknit.wiring.tied import note, tied_copies
from reknit.wiring.turned import turned

if TYPE_CHECKING:
    from torch import Tensor, nn

    from reknit.architectures.infer import Inference
    from reknit.skeleton.like import Like


class Pile:
    """Tensors and what they are to fill.

    Args:
        tensors: as they were found.
        options: what was asked for.

    Raises:
        InputError: the skeleton is not there, or cannot be inferred or traced.
        PileError: copies of a tied tensor differ.
    """

    def __init__(self, tensors: Tensors, options: WiringOptions) -> None:
        self.tensors = tensors
        self.options = options
        self._inferred: Sequence[Inference] = () if options.like else self._infer()
        slots = self.skeleton.slots
        copies = [slot.shape for slot in slots for _ in slot.aliases]
        self._turned = turned([tensors.shape(name) for name in tensors.names], [slot.shape for slot in slots], copies)
        shapes = {name: self._turned.shape(tensors.shape(name)) for name in tensors.names}
        dtypes = {name: tensors.dtype(name) for name in tensors.names}
        dropped = tied_copies(self.skeleton, shapes, dtypes, tensors.array, str(tensors.path))
        self.notes = tuple(note(name, kept) for name, kept in dropped.items())
        self.shapes = {name: shape for name, shape in shapes.items() if name not in dropped}
        self.dtypes = {name: dtypes[name] for name in self.shapes}

    def _infer(self) -> Sequence[Inference]:
        from reknit.architectures.infer import infer

        names = self.tensors.names
        found = infer([self.tensors.shape(name) for name in names], [self.tensors.dtype(name) for name in names])
        if not found:
            problem = f"no built-in architecture has exactly these {len(names)} tensors"
            raise PileError(problem, self.tensors.path, "Name the skeleton with --like")
        return found

    @cached_property
    def like(self) -> Like:
        """The module on the meta device, and example inputs."""
        from reknit.skeleton.like import resolve

        return resolve(self.options.like or self._inferred[0].like, self.options.input_shape)

    @cached_property
    def skeleton(self) -> Skeleton:
        """What is to be filled."""
        from reknit.skeleton.trace import trace

        return trace(self.like.module, self.like.inputs, name=self.like.name)

    @property
    def inferred(self) -> Inferred:
        """Where the skeleton comes from, and what else would fit."""
        if self.options.like:
            return Inferred(self.options.like)
        first, *others = self._inferred
        open_points = [
            f"{point.field}: taken {point.taken}, as well {', '.join(map(str, point.others)) or 'any'}; {point.because}"
            for point in first.undecided
        ]
        return Inferred(first.like, first.read_from, (*open_points, *(other.like for other in others)))

    def array(self, name: str) -> Float[np.ndarray, ...]:
        """The numbers of a tensor, turned as the skeleton has them."""
        return self._turned.array(self.tensors.array(name))

    def torch_tensors(self) -> dict[str, Tensor]:
        """All of them, by name."""
        import torch

        return {name: torch.from_numpy(np.asarray(self.array(name), order="C")) for name in self.shapes}

    def build(self, tensors: Mapping[str, np.ndarray]) -> nn.Module:
        """The module with these tensors in its slots."""
        return filled(self.like, self.skeleton, tensors)


def filled(like: Like, skeleton: Skeleton, tensors: Mapping[str, np.ndarray]) -> nn.Module:
    """The module with these tensors in its slots; tied slots get the same one, slots without effect zeros."""
    import torch

    module = like.fillable()
    state: dict[str, torch.Tensor] = {}
    for slot in skeleton.slots:
        given = tensors.get(slot.key)
        values = torch.zeros(slot.shape) if given is None else torch.from_numpy(np.asarray(given, order="C"))
        state |= dict.fromkeys((slot.key, *slot.aliases), values)
    module.load_state_dict(state, strict=False, assign=True)
    return module.eval()


def judged(skeleton: Skeleton, pools: Sequence[Pool], array: Callable[[str], np.ndarray]) -> list[Pool]:
    """The pools that recorded outputs can say anything of.

    Left out are counters and what else no operation uses, and buffers that are all equal: a mask that every block
    keeps is one thing, stored several times.
    """
    return [pool for pool in pools if not (without_effect(skeleton, pool.slots) or _one_buffer(skeleton, pool, array))]


def _one_buffer(skeleton: Skeleton, pool: Pool, array: Callable[[str], np.ndarray]) -> bool:
    if len(pool.slots) < 2 or not all(skeleton[key].is_buffer for key in pool.slots):
        return False
    first, *others = (array(name) for name in pool.tensors)
    return all(np.array_equal(first, other) for other in others)


def check_numbers(pile: Pile) -> None:
    """No tensor of a network that works holds infinities or NaN.

    Raises:
        PileError: one does.
    """
    for name in pile.shapes:
        array = pile.array(name)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise PileError("it holds numbers that are infinite or undefined", name, "Leave out what is damaged")
