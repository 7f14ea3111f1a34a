"""A skeleton: an architecture with empty slots, its families, and the groups of axes that run over the same units.

    Skeleton
    |-- Slot       one place for one tensor, by its state-dict key
    |-- Group      units that several axes index: a coupling; permuted together, or fixed for a reason that is named
    |   `-- Member     one axis of one slot, or a part of it
    |-- Use        an operation that takes slots as its arguments, in the order of the forward pass
    |-- Meeting    an operation in which values computed by several uses meet: attention, a gate
    `-- Link       A => B because ...: which operation put two axes into one group

It holds no numbers and no module: what it says was traced (``skeleton/trace.py``), and it can be printed and saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

# what an operation does with an axis of a slot
#   writes     the units are produced along it: the rows of a linear layer, the output channels of a convolution
#   reads      the units are summed over: the columns of a linear layer
#   scales     one factor a unit: the gain of a norm
#   shifts     one summand a unit: a bias, of a layer or of a norm
#   mean       one subtrahend a unit: the running mean of a BatchNorm
#   variance   one divisor a unit: the running variance of a BatchNorm
#   looks up   one of its positions is chosen: the rows of an embedding
#   holds      along for the ride: an axis on which nothing above is known
Role = Literal["writes", "reads", "scales", "shifts", "mean", "variance", "looks up", "holds"]


@dataclass(frozen=True)
class Slot:
    """One place for one tensor.

    Attributes:
        key: its name in the state dict; the first one, where a tensor is tied.
        shape: of the tensor.
        dtype: by torch's name without the prefix: ``float32``.
        family: the key with the numbers of repeated modules replaced by ``*``: slots of one kind across depth.
        index: the numbers that were replaced.
        aliases: other keys of the state dict that hold the very same tensor.
        is_buffer: whether it is kept but not trained: the statistics of a BatchNorm.
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    family: str
    index: tuple[int, ...] = ()
    aliases: tuple[str, ...] = ()
    is_buffer: bool = False


@dataclass(frozen=True)
class Member:
    """Where an axis of a slot runs over the units of a group.

    Positions of the axis from ``start`` on, laid out as (outer, size, inner) in row-major order: unit u is
    ``[:, u, :]``. Between two repetitions lie ``gap`` positions of other units. A head of q has inner = the size of a
    head; one of three fused matrices has a start, and a gap where they are fused head by head.

    Attributes:
        slot: the key of the slot.
        axis: which of its axes.
        role: what the operation does with it.
        start: first position on the axis.
        outer: how often the units are repeated along it.
        inner: how many neighbouring positions one unit takes.
        gap: positions between the end of one repetition and the start of the next.
    """

    slot: str
    axis: int
    role: Role = "holds"
    start: int = 0
    outer: int = 1
    inner: int = 1
    gap: int = 0


@dataclass(frozen=True)
class Link:
    """A => B because of an operation: the reason why two axes are in one group.

    Attributes:
        first: an axis, as ``key[axis]``.
        second: another one.
        because: the operation, or the way from one to the other: ``linear, gelu, linear``.
    """

    first: str
    second: str
    because: str


@dataclass(frozen=True)
class Group:
    """Units that several axes index: they are permuted together or not at all.

    Attributes:
        name: short, unique and telling: ``stream``, ``blocks.0.mlp.fc_in hidden``.
        size: number of units.
        members: every axis, or part of one, that runs over them.
        within: the name of a group in each of whose units these may be permuted on their own: the dimensions of a
            head within the heads. None: one permutation holds throughout.
        fixed: why a permutation of these units would change the function: ``input``, ``output``, ``looked up by the
            input``, ``not understood: fft``. Empty where every permutation leaves the function as it is.
        links: the reasons, enough to join all members.
    """

    name: str
    size: int
    members: tuple[Member, ...]
    within: str | None = None
    fixed: str = ""
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Use:
    """One operation of the forward pass that takes slots as arguments.

    Attributes:
        step: its place in the forward pass; the first is 0.
        operation: ``linear``, ``conv1d``, ``layer_norm``, ``batch_norm``, ``embedding``, ...
        slots: argument (``weight``, ``bias``, ``running_mean``, ...) -> key of the slot.
        sources: steps of the uses whose results reach this one with no other use in between.
        details: what the operation was told, where evidence needs it: ``eps``, ``stride``, ``dilation``, ``groups``.
        bent: the nonlinear functions of single entries between its sources and it, in their order: ``relu``.
    """

    step: int
    operation: str
    slots: Mapping[str, str]
    sources: tuple[int, ...] = ()
    details: Mapping[str, float | int | tuple[int, ...] | str] | None = None
    bent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Meeting:
    """An operation without slots in which values computed by different uses meet: attention, a gate, a product.

    It says what the groups alone cannot: which of two matrices asks and which is asked, which gates and which is gated.

    Attributes:
        operation: ``scaled_dot_product_attention``, ``matmul``, ``mul``.
        operands: argument (``query``, ``key``, ``value``; ``first``, ``second``) -> steps of the uses it comes from.
        bent: the arguments that went through a nonlinear function of single entries on the way.
    """

    operation: str
    operands: Mapping[str, tuple[int, ...]]
    bent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """An operation that is not understood; what it touches is fixed, never guessed.

    Attributes:
        operation: its name.
        where: the module it was met in, by its path.
        groups: the names of the groups that are fixed on its account.
    """

    operation: str
    where: str
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Skeleton:
    """An architecture with empty slots.

    Attributes:
        name: what it was made from, as the user would say it.
        slots: in the order of the state dict; tied tensors once.
        groups: every axis position of every slot belongs to exactly one group, those of size 1 to none.
        uses: in the order of the forward pass.
        refusals: what was not understood.
        meetings: in the order of the forward pass.
    """

    name: str
    slots: tuple[Slot, ...]
    groups: tuple[Group, ...] = ()
    uses: tuple[Use, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    meetings: tuple[Meeting, ...] = ()

    def __getitem__(self, key: str) -> Slot:
        """A slot by its key; KeyError if there is none."""
        return self._by_key[key]

    @cached_property
    def _by_key(self) -> dict[str, Slot]:
        return {slot.key: slot for slot in self.slots}

    @cached_property
    def families(self) -> dict[str, tuple[Slot, ...]]:
        """Family -> its slots, by rising index; families in the order of their first slots."""
        found: dict[str, list[Slot]] = {}
        for slot in self.slots:
            found.setdefault(slot.family, []).append(slot)
        return {family: tuple(sorted(slots, key=lambda slot: slot.index)) for family, slots in found.items()}
