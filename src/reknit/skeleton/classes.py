"""Classes of axes that run over the same units: what each is made of, and why its units are fixed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

Key = tuple[str | int, ...]
Kind = Literal["leaf", "product", "sum", "vary"]


class MisfitError(Exception):
    """A rule asked for what cannot be: its operation is then treated as not understood."""


@dataclass
class Node:
    """One axis, or a part of one.

    Attributes:
        size: number of units.
        kind: how it was refined; of a node that was joined to another one, how it was before.
        parts: what it was refined into.
        along: for ``vary``, the axis whose parts have classes of their own.
        cuts: for ``vary``, the sizes of these parts.
        births: for the outer one of two factors, the places where it was split off; see ``Units.marks``.
    """

    size: int
    parent: int
    kind: Kind = "leaf"
    parts: tuple[int, ...] = ()
    along: int = -1
    cuts: tuple[int, ...] = ()
    births: set[Key] = field(default_factory=set)


class Classes:
    """All axes of one trace, and the classes they are in.

    Attributes:
        nodes: every axis ever seen.
        edges: (node, node, because): why two nodes are in one class.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.edges: list[tuple[int, int, str]] = []
        self._reasons: dict[int, list[str]] = {}

    def leaf(self, size: int, reason: str = "") -> int:
        """A new axis; fixed, if a reason is given."""
        self.nodes.append(Node(size, len(self.nodes)))
        node = len(self.nodes) - 1
        if reason:
            self.fix(node, reason)
        return node

    def like(self, node: int, because: str) -> int:
        """A new node of the same class: the same units on another value, after an operation."""
        found = self.nodes[self.find(node)]
        new = self.leaf(found.size)
        if found.kind == "vary":
            self.nodes[new] = Node(
                found.size,
                new,
                "vary",
                tuple(self.like(part, because) for part in found.parts),
                found.along,
                found.cuts,
            )
        else:
            self.nodes[new].parent = self.find(node)
            self.edges.append((node, new, because))
        return new

    def vary(self, along: int, cuts: Sequence[int], parts: Sequence[int]) -> int:
        """An axis with other units for every part of the axis ``along``; its parts have the sizes ``cuts``."""
        if len(parts) == 1 or len({self.find(part) for part in parts}) == 1:
            return parts[0]
        new = self._new("vary", parts, self.size(parts[0]))
        self.nodes[new].along, self.nodes[new].cuts = along, tuple(cuts)
        return new

    def _new(self, kind: Kind, parts: Sequence[int], size: int) -> int:
        node = self.leaf(size)
        self.nodes[node].kind, self.nodes[node].parts = kind, tuple(parts)
        return node

    def find(self, node: int) -> int:
        """The node that stands for the class."""
        while self.nodes[node].parent != node:
            self.nodes[node].parent = self.nodes[self.nodes[node].parent].parent
            node = self.nodes[node].parent
        return node

    def size(self, node: int) -> int:
        """Number of units."""
        return self.nodes[node].size

    def kind(self, node: int) -> Kind:
        """How the class was refined."""
        return self.nodes[self.find(node)].kind

    def parts(self, node: int) -> tuple[int, ...]:
        """What the class was refined into."""
        return self.nodes[self.find(node)].parts

    def leaves(self, node: int) -> Iterator[int]:
        """The leaf classes inside, in their order; one that occurs twice comes twice."""
        root = self.find(node)
        if self.nodes[root].kind == "leaf":
            yield root
        for part in self.nodes[root].parts:
            yield from self.leaves(part)

    def factors(self, node: int) -> list[int]:
        """The factors, none of them a product itself, the outermost first."""
        if self.kind(node) != "product":
            return [node]
        return [factor for part in self.parts(node) for factor in self.factors(part)]

    def terms(self, node: int) -> list[int]:
        """The parts of a sum, none of them a sum itself."""
        if self.kind(node) != "sum":
            return [node]
        return [term for part in self.parts(node) for term in self.terms(part)]

    def reasons(self, node: int) -> list[str]:
        """Why the units of a leaf class are fixed; empty: they are not."""
        return self._reasons.get(self.find(node), [])

    def fix(self, node: int, reason: str) -> None:
        """Forbid every permutation of the units, and say why."""
        for leaf in self.leaves(node):
            reasons = self._reasons.setdefault(leaf, [])
            if reason not in reasons:
                reasons.append(reason)
