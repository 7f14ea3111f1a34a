"""Which tensors of A a tensor of B answers to: by name; else by content, also transposed, cut or put together.

    1  equal names and shapes                     unless the content says that names were exchanged
    2  names that end alike, within one shape     ``bert.encoder...`` and ``encoder...``
    3  equal content
    4  like content, by a linear assignment       cosines; where units moved, sorted sizes and singular values
    5  blocks: rows of one tensor, several tensors in one

Every assignment has a margin: the score of the pair less that of its best rival. Below ``MARGIN`` it cannot be said
which answers to which, unless what makes one of the other is then found exactly.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from reknit.changes.likeness import Signature, common_end, cosine_of, ends_alike, extremes
from reknit.changes.views import View, views_of
from reknit.changes.weights import Weight, Weights
from reknit.solvers.assignment import edge_margins

MARGIN = 0.05
NAMES = 0.2
"""What names that end alike count beside a cosine: enough to choose between vectors that say little, no more."""
TURN = 0.2
"""Cosine by which a square matrix has to be nearer the other way round than the file's others lie."""
LIKE = 0.3
"""Cosine from which a block of a tensor is taken to be another one; beyond chance for a hundred numbers and more."""


@dataclass(frozen=True)
class Counterpart:
    """A tensor of B and what of A it answers to.

    Attributes:
        second: the weight of B; None: there is none.
        views: ways to read A's weights as B's, the likely first; empty: there is none.
        how: ``name``, ``content``, ``likeness``, ``blocks``.
        margin: of an assignment by likeness; infinite elsewhere.
    """

    second: Weight | None
    views: tuple[View, ...]
    how: str
    margin: float = field(default=float("inf"))

    @property
    def first(self) -> str:
        """The names of A's weights."""
        return " + ".join(part.name for part in self.views[0].parts) if self.views else ""


def find_counterparts(first: Weights, second: Weights, told: Callable[[str], None] | None = None) -> list[Counterpart]:
    """Pair the weights of two files; those without counterpart come last.

    Raises:
        ContainerError: numbers cannot be read.
    """
    search = _Search(first, second)
    search.by_name()
    search.by_suffix()
    if search.left and search.right:
        (told or (lambda _: None))("comparing content")
        search.by_content()
        search.by_likeness()
        search.by_blocks()
    found = sorted(search.found, key=lambda each: search.place[each.second.name] if each.second else -1)
    found += [Counterpart(each, (), "") for each in search.right]
    return found + [Counterpart(None, (View((each,), (), each.shape),), "") for each in search.left]


class _Search:
    """What is paired so far."""

    def __init__(self, first: Weights, second: Weights) -> None:
        self.first, self.second = first, second
        self.left, self.right = list(first.found), list(second.found)
        self.found: list[Counterpart] = []
        self.place = {weight.name: k for k, weight in enumerate(second.found)}
        self._hashes: dict[tuple[int, str], str] = {}
        ours, theirs = (Counter(w.shape for w in side if len(w.shape) == 2) for side in (self.left, self.right))
        stands = sum(abs(count - theirs[shape]) for shape, count in ours.items())
        self.turned = sum(abs(count - theirs[shape[::-1]]) for shape, count in ours.items()) < stands
        """Whether B keeps its matrices the other way round; told by those that are not square."""

    def take(
        self, a: Weight, b: Weight, how: str, margin: float = float("inf"), axes: tuple[int, ...] | None = None
    ) -> None:
        """Pair two weights of shapes that fit, or of one name."""
        views = views_of(a, b.shape) or (View((a,), tuple(range(len(a.shape))), a.shape),)
        if self.turned:
            views = tuple(sorted(views, key=lambda view: "transposed" not in view.words))
        if axes is not None:
            views = tuple(sorted(views, key=lambda view: view.axes != axes))
        self.found.append(Counterpart(b, views, how, margin))
        self.left.remove(a)
        self.right.remove(b)

    def by_name(self) -> None:
        """Equal names; where content says that names were exchanged, content is believed."""
        named = {weight.name: weight for weight in self.left}
        pairs = [(named[b.name], b) for b in self.right if b.name in named]
        apart = [(a, b) for a, b in pairs if a.shape == b.shape and self.hash(0, a) != self.hash(1, b)]
        elsewhere = defaultdict(list)
        for a, _ in apart:
            elsewhere[a.shape, self.hash(0, a)].append(a)
        exchanged = {b.name for _, b in apart if len(elsewhere[b.shape, self.hash(1, b)]) == 1}
        gone = {elsewhere[b.shape, self.hash(1, b)][0].name for _, b in apart if b.name in exchanged}
        for a, b in pairs:
            if b.name in exchanged:
                self.take(elsewhere[b.shape, self.hash(1, b)][0], b, "content")
            elif a.name not in gone:
                self.take(a, b, "name")

    def by_suffix(self) -> None:
        """Names of which one ends in the other behind a dot, if only one does; codes without their own ending."""
        by_shape = defaultdict(list)
        for a in self.left:
            by_shape[tuple(sorted(a.shape))].append(a)
        for b in list(self.right):
            names = {b.name, b.name.removesuffix("_quantized"), b.name.removesuffix("_q")}
            fits = [a for a in by_shape[tuple(sorted(b.shape))] if a in self.left and ends_alike(a.name, names)]
            if len(fits) == 1:
                self.take(fits[0], b, "name")

    def by_content(self) -> None:
        """Equal numbers, in any order of axes."""
        known = defaultdict(list)
        for a in self.left:
            known[self.hash(0, a)].append(a)
        for b in list(self.right):
            numbers = None
            for a in [each for each in self.left if sorted(each.shape) == sorted(b.shape)]:
                if a.shape == b.shape and self.hash(0, a) == self.hash(1, b):
                    self.take(a, b, "content")
                    break
                views = [view for view in views_of(a, b.shape) if "transposed" in view.words]
                if not views or extremes(self.first.read(a)[0]) != extremes(self.second.read(b)[0]):
                    continue
                numbers = self.second.read(b)[0] if numbers is None else numbers
                turned = next((v for v in views if np.array_equal(v.of([self.first.read(a)[0]]), numbers)), None)
                if turned is not None:
                    self.take(a, b, "content", axes=turned.axes)
                    break

    def by_likeness(self) -> None:
        """A linear assignment within every set of sizes."""
        groups: defaultdict[tuple[int, ...], tuple[list[Weight], list[Weight]]] = defaultdict(lambda: ([], []))
        for k, side in enumerate((self.left, self.right)):
            for weight in side:
                groups[tuple(sorted(size for size in weight.shape if size != 1))][k].append(weight)
        for ours, theirs in list(groups.values()):
            if ours and theirs:
                self._assign(ours, theirs)

    def _assign(self, ours: Sequence[Weight], theirs: Sequence[Weight]) -> None:
        signatures = [
            [Signature.of(w.read(each)[0]) for each in side] for w, side in ((self.first, ours), (self.second, theirs))
        ]
        size = max(len(ours), len(theirs))
        scores, axes = np.full((size, size), -1.0), {}
        for j, b in enumerate(signatures[1]):
            for i, a in enumerate(signatures[0]):
                views = views_of(ours[i], theirs[j].shape)
                if views:
                    usual = views[-1] if self.turned else views[0]
                    best = max(views, key=lambda view: a.cosine(b, view.axes) + TURN * (view is usual))
                    near = 1e-3 * (1 - abs(i / size - j / size)) + NAMES * common_end(ours[i].name, theirs[j].name)
                    scores[j, i], axes[j, i] = max(a.cosine(b, best.axes), a.likeness(b)) + near, best.axes
        from scipy.optimize import linear_sum_assignment

        columns = linear_sum_assignment(scores, maximize=True)[1]
        margins = edge_margins(scores, columns)
        for j, i in enumerate(columns.tolist()):
            if j < len(theirs) and i < len(ours) and (j, i) in axes:
                self.take(ours[i], theirs[j], "likeness", float(margins[j]), axes[j, i])

    def by_blocks(self) -> None:
        """Several tensors of A in one of B, or rows of one tensor of A."""
        for b in list(self.right):
            for turn in (False, True):
                parts = self._parts(b, self.left, (self.second, self.first), turn=turn)
                if parts and len(parts) > 1:
                    axes = (1, 0) if turn else tuple(range(len(b.shape)))
                    self.found.append(Counterpart(b, (View(tuple(parts), axes, b.shape),), "blocks"))
                    self.right.remove(b)
                    for each in parts:
                        self.left.remove(each)
                    break
        for a in list(self.left):
            for turn in (False, True):
                parts = self._parts(a, self.right, (self.first, self.second), turn=turn)
                if parts and len(parts) > 1 and not turn:
                    at = 0
                    for each in parts:
                        stretch = (at, at + each.shape[0])
                        at += each.shape[0]
                        view = View((a,), tuple(range(len(a.shape))), each.shape, stretch)
                        self.found.append(Counterpart(each, (view,), "blocks"))
                        self.right.remove(each)
                    self.left.remove(a)
                    break

    def _parts(
        self, whole: Weight, pieces: Sequence[Weight], sides: tuple[Weights, Weights], *, turn: bool
    ) -> list[Weight] | None:
        """Pieces that make up a tensor along its first axis (of the transpose), in their order."""
        if (turn and len(whole.shape) != 2) or not whole.shape:
            return None
        shape = whole.shape[::-1] if turn else whole.shape
        fits = [each for each in pieces if each.shape[1:] == shape[1:] and 0 < each.shape[0] < shape[0]]
        if len(fits) < 2:
            return None
        numbers = sides[0].read(whole)[0]
        rows = numbers.T if turn else numbers
        found: list[Weight] = []
        at = 0
        while at < shape[0]:
            scored = [
                (abs(cosine_of(sides[1].read(each)[0], rows[at : at + each.shape[0]])), each)
                for each in fits
                if each not in found and at + each.shape[0] <= shape[0]
            ]
            if not scored:
                return None
            score, best = max(scored, key=lambda pair: pair[0])
            if score < LIKE:
                best = next(each for _, each in scored)  # units moved: the order of the file is all there is
            found.append(best)
            at += best.shape[0]
        return found

    def hash(self, side: int, weight: Weight) -> str:
        """Of the numbers, whatever dtype they are stored in."""
        key = side, weight.name
        if key not in self._hashes:
            numbers = (self.first, self.second)[side].read(weight)[0].astype(np.float64)
            self._hashes[key] = hashlib.sha256(np.ascontiguousarray(numbers + 0.0).data).hexdigest()
        return self._hashes[key]
