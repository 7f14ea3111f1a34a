"""Every pair of tensors named, pass by pass: an order of units found in one is tried in all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from reknit.changes.bases import Pool
from reknit.changes.counterparts import MARGIN, Counterpart
from reknit.changes.found import TensorChange
from reknit.changes.naming.change import Change, Kind
from reknit.changes.naming.facts import Facts, facts_of
from reknit.changes.naming.unrelated import unrelated_change
from reknit.changes.relate import relate
from reknit.changes.related import Moved, Related
from reknit.changes.views import View, squeezed, turned_grid
from reknit.changes.weights import Weight, Weights

SOME = 0.25
"""Share of matrices that are related from which no other one is called unrelated; a table may be the same in all."""
MOST_EXCHANGED = 64
"""Tensors of one shape that are tried against each other."""
LOST = 0.05
"""What a vector may have drifted beside a matrix that did not."""
PASSES = 5
"""Rounds over the tensors; one is enough where nothing moved, and each unravels a layer or more where units did."""


class Naming:
    """All pairs, pass by pass, until no new order of units is found."""

    def __init__(
        self,
        weights: tuple[Weights, Weights],
        pairs: Sequence[Counterpart],
        moved: Mapping[str, Sequence[Moved]],
        told: Callable[[str], None],
    ) -> None:
        self.weights, self.pairs, self.moved, self.told = weights, list(pairs), moved, told
        self.pool = Pool()
        self.facts: dict[str, Facts] = {}
        self.answers: dict[int, tuple[Related, View]] = {}

    def run(self) -> tuple[tuple[TensorChange, ...], int]:
        """Every tensor, and how many sets of units stand in another order."""
        paired = [k for k, pair in enumerate(self.pairs) if pair.second is not None and pair.views]
        order = sorted(paired, key=lambda k: (len(self.pairs[k].views[0].shape) < 2, k))
        open_pairs = order
        for number in range(PASSES):
            new = False
            for k in open_pairs:
                self.told(f"naming {self.pairs[k].first}")
                new |= self._name(k)
            open_pairs = [k for k in order if not self._settled(k)]
            if not new or not open_pairs or (number and not any(len(self._shape(k)) > 1 for k in open_pairs)):
                break
        self._exchange()
        return self._written(), self._groups()

    def _exchange(self) -> None:
        """Pair anew, by equality, what was paired by likeness and is not explained: vectors of few looks."""
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for k, (found, _) in self.answers.items():
            if self.pairs[k].how == "likeness" and not found.explained:
                by_shape.setdefault(self._shape(k), []).append(k)
        for these in by_shape.values():
            free = {k: self.pairs[k].views for k in these}
            for k in these if len(these) <= MOST_EXCHANGED else ():
                for other, views in list(free.items()):
                    trial = replace(self.pairs[k], views=views, how="equality", margin=float("inf"))
                    answer = self._answer(trial)
                    if answer is not None and answer[0].explained and answer[0].related is not False:
                        self.pairs[k], self.answers[k] = trial, answer
                        del free[other]
                        break
            left = [k for k in these if self.pairs[k].how == "likeness"]
            for k, (other, views) in zip(left, list(free.items()), strict=True):
                if k != other:
                    self.pairs[k] = replace(self.pairs[k], views=views, margin=0.0)
                    self.answers.pop(k)
                    self._name(k)

    def _shape(self, k: int) -> tuple[int, ...]:
        return self.pairs[k].views[0].shape

    def _settled(self, k: int) -> bool:
        """Whether other orders could not say more: it is explained, or a matrix whose units are recognised."""
        found = self.answers[k][0]
        if found.related and len(self._shape(k)) > 1:
            return True
        return found.explained and found.related is not False and "unrelated" not in {c.kind for c in found.changes}

    def _name(self, k: int) -> bool:
        """Name one pair; whether new orders of units were found."""
        answer = self._answer(self.pairs[k])
        if answer is None:
            return False
        known = self.answers.get(k)
        if known is None or _better(answer[0], known[0]):
            self.answers[k] = answer
        found = self.answers[k][0]
        believed = found.related is True or (found.explained and found.related is not False)
        new = [self.pool.add(basis) for basis in found.bases if believed and len(basis.order) > 1]
        return any(new)

    def _answer(self, pair: Counterpart) -> tuple[Related, View] | None:
        """What is found of a pair, in the way to read A that explains most."""
        if pair.second is None:
            return None
        second = self._facts(pair.second)
        best: tuple[Related, View] | None = None
        for view in pair.views:
            first = self._first(view)
            found = _compared(first, second, self.pool, self.moved.get(pair.second.name, ()), pair.second.layer)
            if best is None or _better(found, best[0], by_size=False):
                best = found, view
            if found.explained and found.related is not False:
                break
        return best

    def _facts(self, weight: Weight) -> Facts:
        if weight.name not in self.facts:
            numbers, grid = self.weights[1].read(weight)
            self.facts[weight.name] = facts_of(numbers, weight.dtype if not weight.scale else "float32", grid)
        return self.facts[weight.name]

    def _first(self, view: View) -> Facts:
        read = [self.weights[0].read(part) for part in view.parts]
        dtypes = {part.dtype for part in view.parts if not part.scale}
        grid = turned_grid(read[0][1], view)
        return facts_of(
            view.of([numbers for numbers, _ in read]), dtypes.pop() if len(dtypes) == 1 else "float32", grid
        )

    def _groups(self) -> int:
        """Different orders, and those that a skeleton has named."""
        named = {
            group
            for found, _ in self.answers.values()
            for change in found.changes
            if change.kind == "permutation"
            for group in change.details.get("groups", ())
        }
        return len(named) or self.pool.different()

    def _written(self) -> tuple[TensorChange, ...]:
        related = self._related()
        return tuple(self._line(k, pair, related) for k, pair in enumerate(self.pairs))

    def _related(self) -> dict[str, bool]:
        """By layer, and for all layers under an empty name, whether units are recognised."""
        votes: dict[str, bool] = {}
        sizes = {True: 0, False: 0}
        for k, (found, _) in self.answers.items():
            verdict = True if found.explained and found.related is not False else found.related
            verdict = True if "cannot say" in {change.kind for change in found.changes} else verdict
            if verdict is not None and len(self._shape(k)) > 1:
                second = self.pairs[k].second
                layer = second.layer if second is not None else ""
                votes[layer] = votes.get(layer, False) or verdict
                sizes[verdict] += 1
        votes[""] = sizes[True] > 0 and SOME * (sizes[True] + sizes[False]) <= sizes[True]
        return votes

    def _proven(self, layer: str) -> bool:
        """Whether the matrices of a layer are explained to the last number: a vector beside them did not drift."""
        beside = [
            found
            for k, (found, _) in self.answers.items()
            if len(self._shape(k)) > 1 and getattr(self.pairs[k].second, "layer", None) == layer
        ]
        return bool(beside) and all(each.explained and each.related is not False for each in beside)

    def _line(self, k: int, pair: Counterpart, related: Mapping[str, bool]) -> TensorChange:
        second = pair.second
        if second is None or not pair.views:
            where: Kind = "only in A" if second is None else "only in B"
            shape = second.shape if second is not None else pair.views[0].shape
            change = Change(where, where, True)
            return TensorChange(
                pair.first if second is None else "", second.name if second else "", shape, "", "", (change,), True, 0.0
            )
        found, view = self.answers[k]
        changes, named = found.changes, found.explained
        if changes and changes[0].kind == "cannot say":
            named = False
        elif not found.explained or "unrelated" in {change.kind for change in changes}:
            alike = found.related if found.related is not None else related.get(second.layer, related[""])
            if not alike and related[""]:  # replaced, or changed in a way that hides every unit: who knows
                changes = (Change("cannot say", "cannot say: no more alike than layers trained apart", False),)
            elif not alike:
                changes = (unrelated_change(found.left),)
            elif len(second.shape) < 2 and self._proven(second.layer) and found.left > LOST:
                words = "cannot say: in no order and with no factors of the layers beside it is it A's"
                changes = (Change("cannot say", words, False),)
            named = bool(changes) and changes[0].kind != "cannot say"
        if pair.how == "likeness" and pair.margin < MARGIN and not found.explained:
            changes, named = (Change("cannot say", "cannot say which tensor of A it answers to", False),), False
        return TensorChange(
            pair.first, second.name, second.shape, pair.how, view.words, tuple(changes), named, found.left, pair.margin
        )


def _compared(first: Facts, second: Facts, pool: Pool, moved: Sequence[Moved], layer: str) -> Related:
    """Two tensors; where their shapes differ, what they have in common."""
    if first.numbers.shape == second.numbers.shape:
        one, other = squeezed(first), squeezed(second)
        shape = other.numbers.shape
        turned = [
            replace(each, numbers=each.numbers.reshape(shape))
            for each in moved
            if each.numbers.size == other.numbers.size
        ]
        return relate(one, other, pool, turned, layer)
    shapes = first.numbers.shape, second.numbers.shape
    words = f"shape changed from {_times(shapes[0])} to {_times(shapes[1])}"
    if len(shapes[0]) != len(shapes[1]):
        return Related((Change("shape", words, True),), True, None, 0.0)
    common = tuple(slice(0, min(sizes)) for sizes in zip(*shapes, strict=True))
    parts = [replace(facts_of(each.numbers[common], "float32"), cast=each.cast) for each in (first, second)]
    inside = relate(parts[0], parts[1], pool, (), layer)
    said = "in what both have, " + (", ".join(each.words for each in inside.changes) or "cannot say")
    return Related((Change("shape", f"{words}; {said}", inside.explained),), True, inside.related, inside.left)


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _better(found: Related, than: Related, *, by_size: bool = True) -> bool:
    """Explained before not, related before not, then (``by_size``) the least left."""

    def rank(each: Related) -> tuple[bool, bool, float]:
        return (not each.explained or each.related is False, each.related is False, each.left if by_size else 0.0)

    return rank(found) < rank(than)
