"""One operation of the traced function, as its rule sees it, and what all rules leave behind."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reknit.skeleton.classes import Key, MisfitError
from reknit.skeleton.skeleton import Meeting, Role, Use
from reknit.skeleton.units import Units
from reknit.skeleton.value import Value

Labels = Sequence[Hashable | None]
Roles = Role | Mapping[Hashable, Role]


@dataclass
class Ledger:
    """What one trace has found so far.

    Attributes:
        units: the axes.
        slots: key -> the slot as a value.
        together: (axis, others): axes that ran beside it, index for index, in everything one operation touched.
        roles: (key, axis of the slot, axis, role): what an operation did with an axis of a slot or a part of it.
        residuals: axes of sums of a value and something computed from it.
        words: axis -> what an operation calls its units: ``heads``.
        uses: the operations that took slots.
        meetings: the operations in which values of several uses met.
        refusals: (operation, module): those not understood.
    """

    units: Units
    slots: dict[str, Value] = field(default_factory=dict)
    together: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    roles: list[tuple[str, int, int, Role]] = field(default_factory=list)
    residuals: list[int] = field(default_factory=list)
    words: dict[int, str] = field(default_factory=dict)
    uses: list[Use] = field(default_factory=list)
    meetings: list[Meeting] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Call:
    """An operation with its arguments.

    Attributes:
        name: of the operation, without overload and underscore: ``linear``.
        site: names the place in the graph, the same in every trace.
        arguments: by the names of torch's schema; tensors are values, everything else is what it was.
        shapes: of the results; one, unless the operation returns several.
        where: path of the module it was called in.
        ledger: what the trace has found so far.
        used: places among several results that anything reads.
    """

    name: str
    site: str
    arguments: dict[str, Any]
    shapes: list[tuple[int, ...]]
    where: str
    ledger: Ledger
    used: frozenset[int] = frozenset()
    _splits: int = 0

    @property
    def units(self) -> Units:
        """The axes."""
        return self.ledger.units

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the first result."""
        return self.shapes[0]

    @property
    def values(self) -> list[Value]:
        """All tensors among the arguments, also those in lists."""
        return list(_tensors(self.arguments))

    def key(self) -> Key:
        """Names the next split in this operation."""
        self._splits += 1
        return (self.site, self._splits)

    def get(self, name: str, default: Any = None) -> Any:
        """An argument; the default, if it was not given."""
        value = self.arguments.get(name)
        return default if value is None else value

    def value(self, name: str) -> Value:
        """An argument that is a tensor."""
        value = self.arguments.get(name)
        if not isinstance(value, Value):
            raise MisfitError(f"{name} is no tensor")
        return value

    def optional(self, name: str) -> Value | None:
        """An argument that is a tensor or missing."""
        value = self.arguments.get(name)
        return value if isinstance(value, Value) else None

    def result(self, dims: Sequence[int | None], shape: Sequence[int] | None = None) -> Value:
        """A result with these axes; axes of size 1 carry no units."""
        shape = self.shape if shape is None else tuple(shape)
        kept = [node if size != 1 else None for node, size in zip(dims, shape, strict=True)]
        return Value(shape, tuple(kept))

    def fresh(self, size: int, reason: str) -> int | None:
        """A new axis that is fixed from the start."""
        return self.units.leaf(size, reason) if size != 1 else None

    def fix(self, node: int | None, reason: str) -> None:
        """Forbid every permutation of an axis."""
        if node is not None:
            self.units.fix(node, reason)

    def word(self, node: int | None, word: str) -> None:
        """What this operation calls the units of an axis."""
        if node is not None:
            self.ledger.words.setdefault(node, word)

    def split_axis(self, value: Value, axis: int, sizes: Sequence[int]) -> Value:
        """A value with one axis as several, the outermost first."""
        node, inner = value.dims[axis], [size for size in sizes if size > 1]
        parts: list[int] | None = []
        if node is not None:
            parts = self.units.split(node, inner, self.key()) if len(inner) > 1 else [node]
        if parts is None:
            raise MisfitError(f"{value.shape[axis]} units do not split into {list(sizes)}")
        rest = parts[::-1]
        dims = [rest.pop() if size > 1 and node is not None else None for size in sizes]
        return value.laid_out(
            (*value.shape[:axis], *sizes, *value.shape[axis + 1 :]),
            (*value.dims[:axis], *dims, *value.dims[axis + 1 :]),
        )

    def merged(self, nodes: Sequence[int | None], sizes: Sequence[int]) -> int | None:
        """Several axes as one; where nothing varies along one of them, its units are free."""
        if all(node is None for node in nodes):
            return None
        return self.units.product(
            [
                self.units.leaf(size) if node is None else node
                for node, size in zip(nodes, sizes, strict=True)
                if size > 1
            ]
        )

    def joint(
        self,
        operands: Sequence[tuple[Value | None, Labels]],
        out: Labels,
        *,
        because: str = "",
        roles: Mapping[int, Roles] | None = None,
        within: Sequence[Labels] = (),
    ) -> dict[Hashable, int]:
        """Axes with the same label run over the same units, index for index, as in an einsum.

        Args:
            operands: tensors, each with a label for every axis; None for an axis that the rule treats by itself.
            out: labels of the result.
            because: the word for the operation; the rules' own name, if empty.
            roles: place of an operand -> what is done with its axes, for all or by label; it counts for slots only.
            within: labels of intermediate results: a softmax sums over its axis on the way.

        Returns:
            label -> a new node for the axes of the result; labels along which nothing varies are missing.
        """
        because = f"{because or self.name}@{self.site}"  # two calls of one operation are two steps on the way
        held = [(value, labels) for value, labels in operands if value is not None]
        nodes: dict[Hashable, list[int]] = {}
        beside: dict[Hashable, set[Hashable]] = {}
        spaces = []
        for value, labels in held:
            space = {
                label: node
                for label, node in zip(labels, value.dims, strict=True)
                if label is not None and node is not None
            }
            spaces.append(set(space))
            for label, node in space.items():
                nodes.setdefault(label, []).append(node)
        spaces += [{label for label in labels if label in nodes} for labels in (*within, out)]
        for label in nodes:
            beside[label] = set.intersection(*(space for space in spaces if label in space))
        for value, _ in held:
            self._note_together(value)
        self._settle(nodes, beside)
        for label, (first, *others) in nodes.items():
            for other in others:
                self.units.tie(first, other, because)
            near = tuple(nodes[other][0] for other in nodes if other in beside[label] and other != label)
            self.ledger.together.append((first, near))
        for place, role in (roles or {}).items():
            operand, names = operands[place]
            if operand is not None:
                self._note_roles(operand, names, role)
        return {label: self.units.like(nodes[label][0], because) for label in out if label in nodes}

    def _settle(self, nodes: Mapping[Hashable, list[int]], beside: Mapping[Hashable, set[Hashable]]) -> None:
        """What varies along an axis that does not run beside it everywhere, varies no more."""
        for label, group in nodes.items():
            for node in group:
                root = self.units.nodes[self.units.find(node)]
                if root.kind != "vary":
                    continue
                along = self.units.find(root.along)
                places = [other for other in beside[label] if along in {self.units.find(item) for item in nodes[other]}]
                if len(places) != 1:
                    self.units.collapse(node)

    def _note_roles(self, value: Value, labels: Labels, roles: Roles) -> None:
        for label, node in zip(labels, value.dims, strict=True):
            role = roles if isinstance(roles, str) else roles.get(label)
            if role is not None:
                self.role(value, node, role)

    def role(self, value: Value, node: int | None, role: Role) -> None:
        """Note what is done with an axis, if the value is a slot."""
        if value.slot is None or node is None:
            return
        dims = self.ledger.slots[value.slot].dims
        if node in dims:
            axis = dims.index(node)
        else:
            leaves = set(self.units.leaves(node))
            axis = next(k for k, dim in enumerate(dims) if dim is not None and leaves & set(self.units.leaves(dim)))
        self.ledger.roles.append((value.slot, axis, node, role))

    def _note_together(self, value: Value) -> None:
        """Note that the axes of a value run beside each other, and nothing else beside them."""
        for axis, node in enumerate(value.dims):
            if node is not None:
                others = (other for k, other in enumerate(value.dims) if k != axis and other is not None)
                self.ledger.together.append((node, tuple(others)))

    def settled(self, value: Value) -> Value:
        """A value in which what varies along an axis has that axis beside it, once."""
        for axis, node in enumerate(value.dims):
            if node is None or self.units.kind(node) != "vary":
                continue
            along = self.units.find(self.units.nodes[self.units.find(node)].along)
            others = (other for k, other in enumerate(value.dims) if k != axis and other is not None)
            if sum(self.units.find(other) == along for other in others) != 1:
                self.units.collapse(node)
        return value

    def traced(self, value: Value, sources: frozenset[int], slot: str | None, bent: tuple[str, ...]) -> Value:
        """A result with what is known of the arguments."""
        return replace(
            self.settled(value),
            sources=sources,
            slot=slot,
            of_slots=any(item.of_slots for item in self.values),
            of_input=any(item.of_input for item in self.values),
            bent=bent,
        )


def _tensors(item: Any) -> Iterator[Value]:
    if isinstance(item, Value):
        yield item
    elif isinstance(item, Mapping | list | tuple):
        for each in item.values() if isinstance(item, Mapping) else item:
            yield from _tensors(each)
