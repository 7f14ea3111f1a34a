"""The shapes of a network's tensors without the network: what each layer keeps.

They say no keys: keys are the module's business. That both agree is a property test.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Shape = tuple[int, ...]

# vector: one axis. matrix: of a linear layer, outputs x inputs, which some files keep transposed.
# table: of an embedding. kernel: of a convolution, outputs x inputs x positions, which some files keep the other way
# round. other: what no layer computes with
Kind = Literal["vector", "matrix", "table", "kernel", "other"]


class Slot(NamedTuple):
    """A place for one tensor.

    Attributes:
        what: the part of the network that reads it, in words.
        shape: as torch's own layers keep it.
        kind: what it is.
    """

    what: str
    shape: Shape
    kind: Kind = "vector"


class Slots(NamedTuple):
    """The places of a network.

    Attributes:
        needed: those that every file fills.
        extras: by name, those that a file fills all or leaves away all: second copies of tied tensors, counters.
    """

    needed: list[Slot]
    extras: dict[str, list[Slot]]


def linear(what: str, outputs: int, inputs: int, bias: bool = True) -> list[Slot]:
    """A linear layer."""
    return [Slot(what, (outputs, inputs), "matrix")] + [Slot(f"{what}, bias", (outputs,))] * bias


def embedding(what: str, number: int, width: int) -> list[Slot]:
    """A table that is looked up."""
    return [Slot(what, (number, width), "table")]


def norm(what: str, width: int, bias: bool = True) -> list[Slot]:
    """A LayerNorm, or without bias an RMSNorm."""
    return [Slot(what, (width,))] * (1 + bias)


def batch_norm(what: str, width: int) -> list[Slot]:
    """Gain, shift, running mean and running variance."""
    return [Slot(what, (width,))] * 4


def convolution(what: str, outputs: int, inputs: int, kernel: int, dimensions: int, bias: bool = False) -> list[Slot]:
    """A convolution; ``inputs`` are those of one group."""
    shape = (outputs, inputs, *[kernel] * dimensions)
    return [Slot(what, shape, "kernel")] + [Slot(f"{what}, bias", (outputs,))] * bias


def counters(number: int) -> dict[str, list[Slot]]:
    """What torch's BatchNorm counts; other frameworks do not."""
    return {"counters of BatchNorm": [Slot("counter", (), "other")] * number} if number else {}
