"""Classes of axes taken apart and put together: products, sums, and what varies along another axis."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from reknit.skeleton.classes import Classes, Key, MisfitError


class Refining(Classes, ABC):
    """What views, slices and concatenations do to classes.

    Args:
        marks: split -> sizes of the parts in which its outer factor is taken apart later; see ``Units``.
    """

    def __init__(self, marks: Mapping[Key, tuple[int, ...]] | None = None) -> None:
        super().__init__()
        self._marks = marks or {}

    @abstractmethod
    def collapse(self, node: int) -> None:
        """Where an axis varies along another one, let it run over the same units everywhere."""

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
