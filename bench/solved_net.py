"""A network whose key is known, as the benches of wiring hand it round: scattered, asked, compared.

A record is drawn for any module: what it takes is asked of it (``reknit.skeleton``), and random tokens, letters or
numbers of these shapes are put to the true network.
"""

from __future__ import annotations

import inspect
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch.func import functional_call

from reknit.skeleton.answers import cast, tensors_in
from reknit.skeleton.guess_inputs import Inputs
from reknit.skeleton.like import resolve
from reknit.skeleton.skeleton import Skeleton

TOKENS, LETTERS = 20, 4
"""Length of a row of tokens; channels of a sequence of letters, one for each base."""
BEYOND = 168
"""Positions by which sequences of letters are longer than the least that their module takes."""
SAME = 1e-4
"""Largest difference between two answers that are the same, in units of the largest number of the answer."""


@dataclass(frozen=True)
class SolvedNet:
    """A network and its key.

    Attributes:
        name: as the bench calls it.
        like: what ``--like`` is told.
        skeleton: its slots.
        tensors: slot -> numbers, the true ones; slots that have no effect, such as counters, may have none.
        module: what answers when the tensors are put into it; on the meta device unless it holds numbers of its own.
        examples: what one forward pass takes, on the meta device.
        weights_of: the network in ``bench.solved_piles`` that has the same weights, if any but the one of this name.
    """

    name: str
    like: str
    skeleton: Skeleton
    tensors: Mapping[str, np.ndarray]
    module: nn.Module
    examples: tuple[Tensor, ...]
    weights_of: str = ""

    @classmethod
    def of(
        cls,
        name: str,
        like: str,
        skeleton: Skeleton,
        tensors: Mapping[str, np.ndarray],
        module: nn.Module | None = None,
        weights_of: str = "",
    ) -> SolvedNet:
        """With the inputs that its module takes; the module is the skeleton's own where none is given."""
        resolved = resolve(like)
        examples = positional(resolved.module, resolved.inputs)
        return cls(name, like, skeleton, tensors, module or resolved.module, examples, weights_of)

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def scatter(self, path: Path, seed: int) -> dict[str, str]:
        """Write the tensors under anonymous names in a seeded order; returns the true slot of each."""
        keys = list(self.tensors)
        order = np.random.default_rng([seed, 17]).permutation(len(keys))
        slot_of = {f"t_{k:04d}": keys[place] for k, place in enumerate(order)}
        save_file({piece: np.asarray(self.tensors[key], order="C") for piece, key in slot_of.items()}, path)
        return slot_of

    def draw(self, rows: int, seed: int) -> tuple[Tensor, ...]:
        """Random inputs: tokens, letters, or normal numbers; whole numbers behind the first input are zeros."""
        generator = torch.Generator().manual_seed(seed)
        return tuple(
            self._drawn(place, (rows, *shape[1:]), example.is_floating_point(), generator)
            for place, (shape, example) in enumerate(zip(self.shapes, self.examples, strict=True))
        )

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of a batch of inputs: longer than the examples, where the network takes that."""
        shapes = tuple(map(longer, self.examples))
        zeros = [torch.zeros(shape, dtype=e.dtype) for shape, e in zip(shapes, self.examples, strict=True)]
        try:
            self.answer(self.tensors, zeros)
        except (IndexError, RuntimeError):  # there are fewer positions; the meta device would not say so
            return tuple(tuple(example.shape) for example in self.examples)
        return shapes

    def _drawn(self, place: int, shape: tuple[int, ...], is_float: bool, generator: torch.Generator) -> Tensor:
        if is_float and is_letters(shape):
            letters = torch.randint(LETTERS, (shape[0], shape[2]), generator=generator)
            return nn.functional.one_hot(letters, LETTERS).movedim(-1, 1).float()
        if is_float:
            return torch.randn(shape, generator=generator)
        if place:
            return torch.zeros(shape, dtype=torch.int64)
        looked_up = next(use for use in self.skeleton.uses if use.operation == "embedding")
        return torch.randint(self.skeleton[looked_up.slots["weight"]].shape[0], shape, generator=generator)

    def answer(
        self, tensors: Mapping[str, np.ndarray], inputs: Sequence[Tensor], dtype: torch.dtype = torch.float32
    ) -> list[Tensor]:
        """What the network answers with these tensors in its slots, zeros in those without effect that have none."""
        state: dict[str, Tensor] = {}
        for slot in self.skeleton.slots:
            given = tensors.get(slot.key)
            value = torch.zeros(slot.shape) if given is None else torch.from_numpy(np.asarray(given, order="C"))
            state |= dict.fromkeys((slot.key, *slot.aliases), cast(value, dtype))
        module = self.module.to(dtype)
        with torch.no_grad():
            return tensors_in(functional_call(module, state, tuple(cast(x, dtype) for x in inputs)))

    def record(self, path: Path, rows: int, seed: int, *, top: bool = False) -> None:
        """Write random inputs, and what the network answers to them, or only its top answers, to an npz file."""
        inputs = self.draw(rows, seed)
        arrays = {f"input_{k}": value.numpy() for k, value in enumerate(inputs)}
        answers = self.answer(self.tensors, inputs)
        kept = [answer.argmax(-1) for answer in answers] if top else answers
        arrays |= {f"output_{k}": value.numpy() for k, value in enumerate(kept)}
        np.savez(path, allow_pickle=False, **arrays)

    def check_seconds(self, rows: int, seed: int, runs: int = 5) -> float:
        """One check C: one forward pass of the true network over so many rows; the median of ``runs``."""
        inputs = self.draw(rows, seed)
        seconds = []
        for _ in range(runs):
            began = time.perf_counter()
            self.answer(self.tensors, inputs)
            seconds.append(time.perf_counter() - began)
        return statistics.median(seconds)

    def computes_the_same(self, tensors: Mapping[str, np.ndarray], seed: int) -> bool:
        """Whether these tensors answer other inputs as the true ones do, in float64."""
        inputs = self.draw(4, seed + 1000)
        pairs = zip(*(self.answer(each, inputs, torch.float64) for each in (self.tensors, tensors)), strict=True)
        return all(float((a - b).abs().max()) <= SAME * float(a.abs().max()) for a, b in pairs)


def longer(example: Tensor) -> tuple[int, ...]:
    """A shape that tells more than the example's: sequences with more positions."""
    shape = tuple(example.shape)
    if is_letters(shape):
        return (*shape[:2], shape[2] + BEYOND)
    return (shape[0], TOKENS) if example.ndim == 2 and not example.is_floating_point() else shape


def is_letters(shape: Sequence[int]) -> bool:
    """Rows, one channel for each letter, positions."""
    return len(shape) == 3 and shape[1] == LETTERS


def positional(module: nn.Module, inputs: Inputs) -> tuple[Any, ...]:
    """Inputs by place; those by name have to be the first ones that ``forward`` takes.

    Raises:
        ValueError: they are others.
    """
    if not isinstance(inputs, dict):
        return tuple(inputs)
    first = list(inspect.signature(module.forward).parameters)[: len(inputs)]
    if set(first) != set(inputs):
        raise ValueError(f"{', '.join(inputs)} are not the first inputs, {', '.join(first)}")
    return tuple(inputs[name] for name in first)
