"""Loose tensors dealt out to the places of a chain, fit by fit; see ``batch_norm_vectors`` for the stages.

Every stage takes tensors out of what is left and writes their numbers into the table of the placement. What a stage
cannot decide it leaves to the next; the last ones fill every place, if only by the cost of sites.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

from reknit.evidence.batch_norm_books import FIELDS, NOTHING, TINY, Placement
from reknit.evidence.batch_norm_errors import relative_log_errors
from reknit.evidence.batch_norm_moments import Moments, moments_after
from reknit.evidence.batch_norm_pieces import Unit, all_widths
from reknit.evidence.batch_norm_sites import LooseBooks, standing
from reknit.evidence.batch_norm_triples import Fit, best_fit, clearest_fits, ends_of
from reknit.evidence.convolution_taps import passed_on

FORBIDDEN = 1e6
"""Nats, for a tensor of another size."""


class Dealer:
    """Deals the tensors of ``books`` out.

    Args:
        units: of the chain.
        books: of its tensors.
        scales: vectors that may be gammas and variances.
        shifts: vectors that may be betas and means.
        end: whether a norm reads the stream behind all units: one more row.
        inside: kernels that may stand between two norms; None: all, the clearest fits decide.

    Attributes:
        table: units x layers x the fields of a placement; ``NOTHING`` where no tensor stands yet.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        books: LooseBooks,
        scales: Sequence[int],
        shifts: Sequence[int],
        *,
        end: bool = False,
        inside: Collection[int] | None = None,
    ) -> None:
        self.units = units
        self.books = books
        self.widths = all_widths(units, end=end)
        self.scales, self.shifts = set(scales), set(shifts)
        self.kernels = set(range(len(books.shapes)))
        self.inside = self.kernels if inside is None else set(inside)
        self.first = units[0].norm_first
        self.layers = len(units[0])
        self.table = np.full((len(self.widths), self.layers, len(FIELDS)), NOTHING)

    def placement(self) -> Placement:
        """All places filled."""
        fits = self._inside_fits()
        if self.first:
            self._deal_path()
        else:
            self._deal_from_front()
        self._join(fits)
        self._fill("beta", self.shifts)
        self._fill("mean", self.shifts)
        self._fill("variance", self.scales, [k for k in range(self.layers) if k or not self.first])
        if self.first:
            self._deal_growth()
        self._fill("gamma", self.scales)
        return Placement(*(np.ascontiguousarray(self.table[:, :, f]) for f in range(len(FIELDS))))

    def _put(self, unit: int, layer: int, **numbers: int) -> None:
        for name, number in numbers.items():
            self.table[unit, layer, FIELDS.index(name)] = number
            for left in (self.kernels,) if name == "kernel" else (self.scales, self.shifts):
                left.discard(number)

    def _inside_fits(self) -> list[Fit]:
        """The fits of kernels between two norms; their tensors count as dealt."""
        shapes = {unit.shapes[k] for unit in self.units for k in unit.between}
        kernels = [k for k in sorted(self.kernels & self.inside) if self.books.shapes[k] in shapes]

        def fit(kernel: int, taken: Sequence[Fit]) -> Fit | None:
            used = {number for entry in taken for number in entry[2:]}
            scales, shifts = sorted(self.scales - used), sorted(self.shifts - used)
            sums = self.books.sums[kernel][::3]
            return best_fit(kernel, sums, self.books.betas, scales, shifts, shifts, self.units[0].activation)

        fits = clearest_fits(kernels, len(self.units) * len(self.units[0].between), fit)
        for entry in fits:
            self.kernels.discard(entry.kernel)
            self.scales.discard(entry.gamma)
            self.shifts -= {entry.beta, entry.mean}
        return fits

    def _deal_path(self) -> None:
        """Norm first: means of the stream from unit to unit, with the last kernel, gamma and beta of each."""

        def fit(kernel: int, taken: Sequence[Fit]) -> Fit | None:
            bases, means, ends = {t.base for t in taken}, {t.mean for t in taken}, ends_of(taken)

            def rise(base: int, mean: int) -> bool:
                return base != mean and base not in bases and mean not in means and ends.get(mean) != base

            scales, shifts = sorted(self.scales), sorted(self.shifts - means - bases)
            sums = self.books.sums[kernel][::3]
            behind = sorted(self.shifts)
            return best_fit(kernel, sums, self.books.betas, scales, shifts, behind, self.units[0].activation, rise=rise)

        fits = clearest_fits(sorted(self.kernels), len(self.table) - 1, fit)
        fits = self._with_sources(fits)
        after = {entry.base: entry for entry in fits}
        heads = sorted(set(after) - {entry.mean for entry in fits}, key=lambda base: _length(after, base), reverse=True)
        unit = 0
        for head in heads:
            base = head
            while unit < len(self.table):
                self._put(unit, 0, mean=base)
                entry = after.get(base)
                unit += 1
                if entry is None or unit > len(self.units):
                    break
                self._put(unit - 1, self.layers - 1, kernel=entry.kernel, gamma=entry.gamma, beta=entry.beta)
                base = entry.mean
        self._deal_kernels(self.layers - 1)

    def _with_sources(self, fits: Sequence[Fit], rounds: int = 4) -> list[Fit]:
        """The same rises with gammas and betas dealt anew, each to one of them: in turn the best matching of either."""
        means = {entry.mean for entry in fits} | {entry.base for entry in fits}
        now = list(fits)
        for _ in range(rounds):
            for name, items in (("beta", sorted(self.shifts - means)), ("gamma", sorted(self.scales))):

                def cost(entry: Fit, item: int, name: str = name) -> float:
                    return self._rise_error(entry._replace(**{name: item}))

                now = [entry._replace(**{name: item}) for entry, item in _matched(now, items, cost)]
        return now

    def _rise_error(self, entry: Fit) -> float:
        """What a rise costs in the books."""
        if len(self.books.betas[entry.beta]) != len(self.books.betas[entry.gamma]):
            return FORBIDDEN
        return self.books.step((entry.kernel, NOTHING, *entry[2:4], entry.base, NOTHING, entry.mean, NOTHING)).nats

    def _deal_from_front(self) -> None:
        """Convolution first: place by place, what reads the stream, and the last beta of the unit before."""
        before = self.books.start or Moments(np.zeros(0), np.zeros(0))
        for i, unit in enumerate(self.units):
            best = (np.inf, NOTHING, NOTHING, NOTHING, NOTHING)
            if i == 0 and self.books.start is None:
                continue
            streams = [(NOTHING, NOTHING, before)] if i == 0 else self._grown(self.units[i - 1], before, i)
            kernels = [k for k in sorted(self.kernels) if self.books.shapes[k] == unit.shapes[0]]
            means = [k for k in sorted(self.shifts) if len(self.books.means[k]) == unit.shapes[0][0]]
            for gamma, beta, moments in streams:
                behind = [k for k in means if k != beta]
                if not behind:
                    continue
                targets = np.stack([self.books.means[k] for k in behind])
                for kernel in kernels:
                    predicted = passed_on(self.books.sums[kernel][0], moments.mean)[None]
                    errors = relative_log_errors(predicted, targets, np.ones_like(targets))[0]
                    best = min(best, (float(errors.min()), gamma, beta, kernel, behind[int(errors.argmin())]))
            _, gamma, beta, kernel, mean = best
            if i and beta != NOTHING:
                before = next(moments for g, b, moments in streams if (g, b) == (gamma, beta))
                self._put(i - 1, self.layers - 1, beta=beta)
                if gamma != NOTHING:
                    self._put(i - 1, self.layers - 1, gamma=gamma)
            if kernel != NOTHING:
                self._put(i, 0, kernel=kernel, mean=mean)
        self._deal_kernels(0)

    def _grown(self, unit: Unit, before: Moments, place: int) -> list[tuple[int, int, Moments]]:
        """What the stream may have become behind a unit, for each gamma and beta that its last norm may have.

        Without an activation on the stream gamma does not matter for the mean, and stays open.
        """
        width = self.widths[place - 1][-1]
        betas = [k for k in sorted(self.shifts) if len(self.books.betas[k]) == width]
        gammas = [NOTHING]
        if unit.stream_activation != "identity":
            gammas = [k for k in sorted(self.scales) if len(self.books.gammas[k]) == width]
        found = []
        for gamma in gammas:
            spread = np.zeros(width) if gamma == NOTHING else self.books.gammas[gamma] ** 2
            for beta in betas:
                mean, variance = self.books.betas[beta], spread
                if unit.adds:
                    mean, variance = mean + before.mean, variance + before.variance
                found.append((gamma, beta, moments_after(unit.stream_activation, mean, variance)))
        return found

    def _deal_kernels(self, layer: int) -> None:
        """Kernels without a fit go to the places of their shape that are still empty."""
        for i, unit in enumerate(self.units):
            fitting = [k for k in sorted(self.kernels) if self.books.shapes[k] == unit.shapes[layer]]
            if self.table[i, layer, 0] == NOTHING and fitting:
                self._put(i, layer, kernel=fitting[0])

    def _join(self, fits: Sequence[Fit]) -> None:
        """The fits between two norms to their units, by the hidden units they share with what stands there already."""
        layers = list(self.units[0].between)
        for layer in reversed(layers) if self.first else layers:
            source, target = (layer, layer + 1) if self.first else (layer - 1, layer)

            def cost(unit: int, entry: Fit, layer: int = layer, source: int = source, target: int = target) -> float:
                if self.books.shapes[entry.kernel] != self.units[unit].shapes[layer]:
                    return FORBIDDEN
                kept = self.table[unit].copy()
                self._write(unit, layer, source, target, entry)
                other = layer + 1 if self.first else layer - 1
                pair = (entry.kernel, int(kept[other, 0])) if self.first else (int(kept[other, 0]), entry.kernel)
                site = standing(self.table[unit].tolist(), target if self.first else source, self.first)
                self.table[unit] = kept
                return self.books.bond(pair).nats + self.books.site(site)

            open_fits = [entry for entry in fits if any(self._fits_at(entry, unit, layer) for unit in self.units)]
            for unit, entry in _matched(range(len(self.units)), open_fits, cost):
                self._write(unit, layer, source, target, entry)

    def _fits_at(self, entry: Fit, unit: Unit, layer: int) -> bool:
        return self.books.shapes[entry.kernel] == unit.shapes[layer]

    def _write(self, unit: int, layer: int, source: int, target: int, entry: Fit) -> None:
        self._put(unit, layer, kernel=entry.kernel)
        self._put(unit, source, gamma=entry.gamma, beta=entry.beta)
        self._put(unit, target, mean=entry.mean)

    def _deal_growth(self) -> None:
        """Norm first: variances to the first norms, as they grow along the stream; those that disturb it are left."""
        width, count = self.widths[0][0], len(self.table)
        items = [k for k in self.scales if len(self.books.variances[k]) == width]
        items.sort(key=lambda k: float(np.mean(np.log(np.maximum(self.books.variances[k], TINY)))))
        while len(items) > count:
            shorter = [items[:i] + items[i + 1 :] for i in range(len(items))]
            items = min(shorter, key=self._growth)
        for i, item in enumerate(items):
            self._put(i, 0, variance=item)

    def _growth(self, items: Sequence[int]) -> float:
        """What it costs when these are the variances of the stream, one after the other."""
        nats = sum(self.books.rise(before, behind) for before, behind in pairwise(items))
        for i, item in enumerate(items[: len(self.table)]):
            nats += self.books.site(standing(self._with(i, 0, "variance", item), 0, self.first))
        return nats

    def _with(self, unit: int, layer: int, name: str, number: int) -> list[list[int]]:
        """One unit's rows of the table, with another number at one place."""
        rows: list[list[int]] = self.table[unit].tolist()
        rows[layer][FIELDS.index(name)] = number
        return rows

    def _fill(self, name: str, left: set[int], layers: Sequence[int] | None = None) -> None:
        """Places of a field that are still empty, by the cost of their sites; in some layers, or in all."""
        field = FIELDS.index(name)
        vectors = self.books.betas
        for width in sorted({width for row in self.widths for width in row}):
            places = [
                (i, k)
                for i, row in enumerate(self.widths)
                for k, own in enumerate(row)
                if own == width and self.table[i, k, field] == NOTHING and (layers is None or k in layers)
            ]
            items = [k for k in sorted(left) if len(vectors[k]) == width]

            def cost(place: tuple[int, int], item: int) -> float:
                i, k = place
                return self.books.site(standing(self._with(i, k, name, item), k, self.first))

            for (i, k), item in _matched(places, items, cost):
                self._put(i, k, **{name: item})


def inside_by_difference(
    units: Sequence[Unit], books: LooseBooks, scales: Sequence[int], shifts: Sequence[int]
) -> list[int] | None:
    """The kernels whose best fit between two norms is clearer than their best fit on the stream, by difference.

    None where shapes tell them apart, or the convolution comes first.
    """
    shapes = {unit.shapes[k] for unit in units for k in unit.between}
    if not units[0].norm_first or not shapes & {unit.shapes[-1] for unit in units}:
        return None
    differences: dict[int, float] = {}
    for kernel in (k for k, shape in enumerate(books.shapes) if shape in shapes):
        activation, sums = units[0].activation, books.sums[kernel][::3]
        inside = best_fit(kernel, sums, books.betas, scales, shifts, shifts, activation)
        rise = best_fit(kernel, sums, books.betas, scales, shifts, shifts, activation, rise=operator.ne)
        if inside is not None and rise is not None:
            differences[kernel] = inside.error - rise.error
    return sorted(differences, key=differences.__getitem__)[: len(units) * len(units[0].between)]


def _length(after: dict[int, Fit], base: int) -> int:
    length = 0
    while base in after:
        base, length = after[base].mean, length + 1
    return length


Where = TypeVar("Where")
What = TypeVar("What")


def _matched(
    places: Sequence[Where], items: Sequence[What], cost: Callable[[Where, What], float]
) -> list[tuple[Where, What]]:
    """The matching of least cost, every place with one item; items may stay over."""
    if not places or not items:
        return []
    from scipy.optimize import linear_sum_assignment  # slow to load, and only loose vectors need it here

    costs = np.array([[cost(place, item) for item in items] for place in places])
    rows, columns = linear_sum_assignment(costs)
    return [(places[i], items[j]) for i, j in zip(rows, columns, strict=True)]
