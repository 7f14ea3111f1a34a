"""The algebra of axes: what an axis of a tensor runs over, and when two axes run over the same.

Every axis is a node. The nodes of one class run over the same units in the same order (union-find). A class is

    leaf      units with nothing known inside
    product   of classes, the outermost first: heads x the dimensions of a head
    sum       of classes, one after the other: three fused matrices, a concatenation
    vary      a class for every part of another axis P of the same value: after a fused axis was viewed as
              (3, heads, size), heads and size are other units for each of the three

Classes are only ever refined and joined, never taken apart, and a refinement has strictly smaller parts, so every
sequence of joins ends. What does not fit (6 units laid out as 2 x 3 and as 3 x 2) is fixed: no unit of it may move.
Being too strict costs freedom, never truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

Key = tuple[str | int, ...]
Kind = Literal["leaf", "product", "sum", "vary"]
UNFIT = "laid out in two ways that do not fit"


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


class Units:
    """All axes of one trace.

    Args:
        marks: of a former trace: split -> sizes. An axis that turned out to be taken apart by position after a split
            made it the outer one of two factors is a sum from the start this time, so that its parts have inner
            units of their own. Only precision hangs on them.

    Attributes:
        nodes: every axis ever seen.
        edges: (node, node, because): why two nodes are in one class.
    """

    def __init__(self, marks: dict[Key, tuple[int, ...]] | None = None) -> None:
        self.nodes: list[Node] = []
        self.edges: list[tuple[int, int, str]] = []
        self._reasons: dict[int, list[str]] = {}
        self._marks = marks or {}

    # --- making -------------------------------------------------------------------------------------------------

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

    def product(self, factors: Sequence[int]) -> int:
        """The axis that runs over all combinations, the first factor outermost; size 1 is dropped."""
        factors = [factor for factor in factors if self.size(factor) > 1]
        if not factors:
            return self.leaf(1)
        if len(factors) == 1:
            return factors[0]
        varying = [k for k, factor in enumerate(factors) if self.kind(factor) == "vary"]
        if varying:
            return self._product_of_varying(factors, varying[0])
        return self._new("product", factors, math.prod(map(self.size, factors)))

    def _product_of_varying(self, factors: Sequence[int], k: int) -> int:
        """A product in which a factor varies: inside the axis it varies along, a sum; beside it, it varies again."""
        first = self.nodes[self.find(factors[k])]
        along, cuts = self.find(first.along), first.cuts
        alike = [
            (self.nodes[self.find(f)].cuts == cuts and self.find(self.nodes[self.find(f)].along) == along)
            for f in factors[k:]
        ]
        place = next((j for j in range(k) if self.find(factors[j]) == along), None)
        consecutive = place == k - 1 or (place is None and k == 0)
        if not all(alike) or not consecutive:
            for factor in factors:
                self.collapse(factor)
            return self.product(factors)
        each = [[self.nodes[self.find(f)].parts[i] for f in factors[k:]] for i in range(len(cuts))]
        if place is None:
            return self.vary(along, cuts, [self.product(parts) for parts in each])
        counts = self.cut(factors[place], cuts)
        if counts is None:
            raise MisfitError("an axis varies along one that was not cut")
        total = self.sum([self.product([count, *parts]) for count, parts in zip(counts, each, strict=True)])
        return self.product([*factors[:place], total])

    def sum(self, parts: Sequence[int]) -> int:
        """The axis that runs over one part after the other."""
        if len(parts) == 1:
            return parts[0]
        for part in parts:
            self.collapse(part)
        return self._new("sum", parts, sum(map(self.size, parts)))

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

    # --- asking -------------------------------------------------------------------------------------------------

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

    def marks(self) -> dict[Key, tuple[int, ...]]:
        """The splits of this trace whose outer factor was taken apart later, for the next trace."""
        found: dict[Key, tuple[int, ...]] = {}
        for node in range(len(self.nodes)):
            root = self.nodes[node]
            if root.parent == node and root.births and root.kind == "sum":
                sizes = tuple(map(self.size, self.terms(node)))
                found |= dict.fromkeys(root.births, sizes)
        return found

    # --- fixing and joining -------------------------------------------------------------------------------------

    def fix(self, node: int, reason: str) -> None:
        """Forbid every permutation of the units, and say why."""
        for leaf in self.leaves(node):
            reasons = self._reasons.setdefault(leaf, [])
            if reason not in reasons:
                reasons.append(reason)

    def collapse(self, node: int) -> None:
        """Where an axis varies along another one, let it run over the same units everywhere."""
        root = self.find(node)
        if self.nodes[root].kind != "vary":
            return
        first, *others = self.nodes[root].parts
        for other in others:
            self.tie(first, other, "")
        self.nodes[root].kind, self.nodes[root].parts = "leaf", ()
        self.nodes[root].parent = self.find(first)
        self.edges.append((root, first, ""))

    def tie(self, first: int, second: int, because: str) -> None:
        """Two axes run over the same units in the same order, because of an operation."""
        a, b = self.find(first), self.find(second)
        if a == b:
            self.edges.append((first, second, because))
            return
        if self.nodes[a].size != self.nodes[b].size:
            raise MisfitError(f"axes of {self.nodes[a].size} and {self.nodes[b].size} units cannot be the same")
        if "vary" in {self.nodes[a].kind, self.nodes[b].kind}:
            self._tie_varying(first, second, because)
            return
        if self.nodes[b].kind == "leaf":
            self._join(b, a)
        elif self.nodes[a].kind == "leaf":
            self._join(a, b)
        elif self._align(a, b, because):
            a, b = self.find(a), self.find(b)
            if a != b:
                self._join(a, b)
        else:
            self.fix(a, UNFIT)
            self.fix(b, UNFIT)
            return
        self.edges.append((first, second, because))

    def _join(self, gone: int, stays: int) -> None:
        """Make one class of two; the one that goes is a leaf, or refined just as the other is."""
        self.nodes[gone].parent = stays
        self.nodes[stays].births |= self.nodes[gone].births
        for reason in self._reasons.pop(gone, []):
            self.fix(stays, reason)

    def _tie_varying(self, first: int, second: int, because: str) -> None:
        a, b = self.nodes[self.find(first)], self.nodes[self.find(second)]
        if a.kind == b.kind and a.cuts == b.cuts and self.find(a.along) == self.find(b.along):
            for x, y in zip(a.parts, b.parts, strict=True):
                self.tie(x, y, because)
            return
        self.collapse(first)
        self.collapse(second)
        self.tie(first, second, because)

    def _align(self, a: int, b: int, because: str) -> bool:
        """Join two refined classes part by part; False where their layouts do not fit."""
        if self.kind(a) == self.kind(b) == "sum":
            return self._align_sums(self.terms(a), self.terms(b), because)
        if self.kind(a) == "sum":
            a, b = b, a
        if self.kind(b) == "sum":
            return self._align_product_and_sum(a, b, because)
        return self._align_products(self.factors(a), self.factors(b), because)

    def _align_sums(self, left: list[int], right: list[int], because: str) -> bool:
        left, right = left[::-1], right[::-1]
        while left and right:
            x, y = left.pop(), right.pop()
            if self.size(x) > self.size(y):
                cut = self.cut(x, [self.size(y), self.size(x) - self.size(y)])
                if cut is None:
                    return False
                x, rest = cut
                left.append(rest)
            elif self.size(x) < self.size(y):
                cut = self.cut(y, [self.size(x), self.size(y) - self.size(x)])
                if cut is None:
                    return False
                y, rest = cut
                right.append(rest)
            self.tie(x, y, because)
        return True

    def _align_product_and_sum(self, product: int, total: int, because: str) -> bool:
        terms = self.terms(total)
        cut = self.cut(product, [self.size(term) for term in terms])
        if cut is None:
            return False
        for part, term in zip(cut, terms, strict=True):
            self.tie(part, term, because)
        return True

    def _align_products(self, left: list[int], right: list[int], because: str) -> bool:
        left, right = left[::-1], right[::-1]
        while left and right:
            x, y = left.pop(), right.pop()
            if self.size(x) != self.size(y):
                larger, smaller, rest = (x, y, left) if self.size(x) > self.size(y) else (y, x, right)
                split = self.split(larger, [self.size(smaller), self.size(larger) // self.size(smaller)], ("tie",))
                if split is None or any(self.kind(part) == "vary" for part in split):
                    return False
                outer, inner = split
                rest.extend(reversed(self.factors(inner)))
                x, y = outer, smaller
            self.tie(x, y, because)
        return True

    # --- taking apart -------------------------------------------------------------------------------------------

    def cut(self, node: int, sizes: Sequence[int]) -> list[int] | None:
        """An axis as parts of these sizes, one after the other; None where its layout does not allow that."""
        if sum(sizes) != self.size(node):
            raise MisfitError(f"{list(sizes)} do not make up {self.size(node)} units")
        if len(sizes) == 1:
            return [node]
        root = self.find(node)
        kind = self.nodes[root].kind
        if kind == "vary":
            self.collapse(node)
            return self.cut(node, sizes)
        if kind == "leaf":
            reasons = self._reasons.pop(root, [])
            parts = [self.leaf(size) for size in sizes]
            self.nodes[root].kind, self.nodes[root].parts = "sum", tuple(parts)
            for reason in reasons:
                self.fix(root, reason)
            return parts
        if kind == "product":
            outer, *inner = self.factors(node)
            block = math.prod(map(self.size, inner))
            if any(size % block for size in sizes):
                return None
            counts = self.cut(outer, [size // block for size in sizes])
            return None if counts is None else [self.product([count, *inner]) for count in counts]
        return self._cut_sum(self.terms(node), sizes)

    def _cut_sum(self, terms: list[int], sizes: Sequence[int]) -> list[int] | None:
        rest, found = terms[::-1], []
        for size in sizes:
            parts, missing = [], size
            while missing:
                term = rest.pop()
                if self.size(term) > missing:
                    cut = self.cut(term, [missing, self.size(term) - missing])
                    if cut is None:
                        return None
                    term, remains = cut
                    rest.append(remains)
                parts.append(term)
                missing -= self.size(term)
            found.append(self.sum(parts))
        return found

    def split(self, node: int, sizes: Sequence[int], key: Key) -> list[int] | None:
        """An axis as factors of these sizes, the outermost first; None where its layout does not allow that.

        Args:
            node: the axis.
            sizes: of the factors; their product is the size of the axis, and none is 1.
            key: names the place of the split, the same in every trace.
        """
        factors = self.factors(node)[::-1]
        found = []
        for k, size in enumerate(sizes):
            parts, missing = [], size
            while missing > 1:
                factor = factors.pop()
                if missing % self.size(factor):
                    pair = self._split_factor(factor, missing, (*key, k)) if not self.size(factor) % missing else None
                    if pair is None:
                        return None
                    factor, inner = pair
                    factors.extend(reversed(self.factors(inner)))
                parts.append(factor)
                missing //= self.size(factor)
            found.append(self.product(parts))
        return found

    def _split_factor(self, node: int, outer: int, key: Key) -> tuple[int, int] | None:
        """A leaf, sum or varying axis as ``outer`` x the rest; None where its layout does not allow that."""
        root = self.find(node)
        kind, inner = self.nodes[root].kind, self.size(node) // outer
        if kind == "leaf":
            cuts = self._marks.get(key, ())
            if len(cuts) > 1 and sum(cuts) == outer:
                self.cut(node, [count * inner for count in cuts])
                return self._split_factor(node, outer, key)
            factors = self.leaf(outer), self.leaf(inner)
            self.nodes[factors[0]].births.add(key)
            reasons = self._reasons.pop(root, [])
            self.nodes[root].kind, self.nodes[root].parts = "product", factors
            for reason in reasons:
                self.fix(root, reason)
            return factors
        if kind == "product":
            pair = self.split(node, [outer, inner], key)
            return None if pair is None else (pair[0], pair[1])
        if kind == "vary":
            return self._split_varying(root, outer, key)
        return self._split_sum(self.terms(node), inner, key)

    def _split_varying(self, root: int, outer: int, key: Key) -> tuple[int, int] | None:
        varying = self.nodes[root]
        pairs = []
        for k, part in enumerate(varying.parts):
            pair = self.split(part, [outer, self.size(part) // outer], (*key, k))
            if pair is None:
                return None
            pairs.append(pair)
        first, second = ([pair[side] for pair in pairs] for side in (0, 1))
        return self.vary(varying.along, varying.cuts, first), self.vary(varying.along, varying.cuts, second)

    def _split_sum(self, terms: list[int], inner: int, key: Key) -> tuple[int, int] | None:
        """(3 matrices of 12 x 64) as 3 x 768: which of the three, and units that vary along it."""
        counts, units = [], []
        for k, term in enumerate(terms):
            if self.size(term) % inner:
                return None
            count = self.size(term) // inner
            pair = [self.leaf(1), term] if count == 1 else self.split(term, [count, inner], (*key, k))
            if pair is None:
                return None
            counts.append(pair[0])
            units.append(pair[1])
        which = self.sum(counts)
        return which, self.vary(which, [self.size(count) for count in counts], units)
