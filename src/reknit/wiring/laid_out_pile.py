"""The tensors at hand, laid out as the skeleton wants them, and the skeleton itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from reknit.containers.tensors import Tensors
from reknit.errors import PileError
from reknit.skeleton.skeleton import Skeleton
from reknit.wiring.options import WiringOptions
from reknit.wiring.result import Inferred
from reknit.wiring.turned import Turned, turned

if TYPE_CHECKING:
    from torch import Tensor, nn

    from reknit.architectures.infer import Inference
    from reknit.skeleton.like import Like


class LaidOutPile:
    """The tensors at hand, laid out as the skeleton wants them, and the skeleton itself."""

    def __init__(self, tensors: Tensors, options: WiringOptions) -> None:
        self.tensors = tensors
        self.options = options
        self._inferred: Sequence[Inference] = () if options.like else self._infer()
        kept = tensors.names
        self._turned = self._layout(kept)
        self.shapes = {name: self._turned.shape(tensors.shape(name)) for name in kept}
        self.dtypes = {name: tensors.dtype(name) for name in kept}

    def _infer(self) -> Sequence[Inference]:
        from reknit.architectures.infer import infer

        names = self.tensors.names
        found = infer([self.tensors.shape(name) for name in names], [self.tensors.dtype(name) for name in names])
        if not found:
            problem = f"no built-in architecture has exactly these {len(names)} tensors"
            raise PileError(problem, self.tensors.path, "Name the skeleton with --like")
        return found

    def _layout(self, names: Sequence[str]) -> Turned:
        """How tensors are kept: as the skeleton has them, or turned, as other frameworks keep them."""
        wanted = [slot.shape for slot in self.skeleton.slots]
        return turned([self.tensors.shape(name) for name in names], wanted)

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
        """The module with these tensors in its slots; tied slots get the same one, slots without effect zeros."""
        import torch

        module = self.like.fillable()
        state: dict[str, torch.Tensor] = {}
        for slot in self.skeleton.slots:
            given = tensors.get(slot.key)
            values = torch.zeros(slot.shape) if given is None else torch.from_numpy(np.asarray(given, order="C"))
            state |= dict.fromkeys((slot.key, *slot.aliases), values)
        module.load_state_dict(state, strict=False, assign=True)
        return module.eval()

    def check_numbers(self) -> None:
        """No tensor of a network that works holds infinities or NaN.

        Raises:
            PileError: one does.
        """
        for name in self.shapes:
            array = self.array(name)
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise PileError("it holds numbers that are infinite or undefined", name, "Leave out what is damaged")
