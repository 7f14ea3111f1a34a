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

from collections.abc import Mapping

from reknit.skeleton.classes import Key, MisfitError
from reknit.skeleton.refining import Refining

UNFIT = "laid out in two ways that do not fit"


class Units(Refining):
    """All axes of one trace.

    Args:
        marks: of a former trace: split -> sizes. An axis that turned out to be taken apart by position after a split
            made it the outer one of two factors is a sum from the start this time, so that its parts have inner
            units of their own. Only precision hangs on them.
    """

    def __init__(self, marks: Mapping[Key, tuple[int, ...]] | None = None) -> None:
        super().__init__(marks)

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

    def marks(self) -> dict[Key, tuple[int, ...]]:
        """The splits of this trace whose outer factor was taken apart later, for the next trace."""
        found: dict[Key, tuple[int, ...]] = {}
        for node in range(len(self.nodes)):
            root = self.nodes[node]
            if root.parent == node and root.births and root.kind == "sum":
                sizes = tuple(map(self.size, self.terms(node)))
                found |= dict.fromkeys(root.births, sizes)
        return found
