"""One tensor of A and one of B: the orders of their units, and what was done behind them.

Candidates are tried until one explains every number: as they stand; in orders that a skeleton has found; with one axis
in a known order and the other matched (``naming.permutation``); with both found from sorted sizes, which only equality
makes believable. What none explains is a drift where units are recognised beyond what networks trained apart show, and
unrelated otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from reknit.changes.bases import Basis, Pool
from reknit.changes.naming.change import Change
from reknit.changes.naming.drift import FIXED, fixed_units
from reknit.changes.naming.explain import Fit, explain
from reknit.changes.naming.facts import Facts
from reknit.changes.naming.identical import equal
from reknit.changes.naming.permutation import Matched, match_units, permutation_change
from reknit.changes.naming.scale import SLACK
from reknit.changes.naming.unrelated import unrelated_change

Order = Int[np.ndarray, " units"]
ALIKE = 0.15
"""Correlation of sizes from which tensors are held against each other as they stand, whatever their signs."""
FARTHEST = 0.5
"""Relative distance up to which units in another order are said to have drifted; those of networks trained apart, matched
as well as can be, were farther (1.4 at random, 0.57 the nearest)."""
AXES = ("rows", "columns")


@dataclass(frozen=True, eq=False)
class Moved:
    """A in another basis, by a skeleton.

    Attributes:
        numbers: the tensor.
        change: what was done.
        off: relative error of the numbers, by Frobenius norms; 0 where units were only moved.
    """

    numbers: Float[np.ndarray, ...] = field(repr=False)
    change: Change
    off: float = 0.0


@dataclass(frozen=True, eq=False)
class Related:
    """What was found of one pair.

    Attributes:
        changes: in their order; empty where it is not known yet.
        explained: whether every number is accounted for.
        related: whether units are recognised; None where there are too few to ask.
        left: what is not accounted for, relative.
        bases: of the first two axes, where found.
    """

    changes: tuple[Change, ...]
    explained: bool
    related: bool | None
    left: float
    bases: tuple[Basis, ...] = field(default=(), repr=False)


def relate(first: Facts, second: Facts, pool: Pool, moved: Sequence[Moved] = (), layer: str = "") -> Related:
    """Name what makes B of A.

    Args:
        first: A, with the axes of B.
        second: B, of the same shape.
        pool: orders to try.
        moved: A as a skeleton moves it, to be tried first.
        layer: the name that weight and bias share.
    """
    if equal(first.numbers, second.numbers):
        return _related((), explain(first, second), second.numbers.shape, layer, related=True)
    if first.numbers.ndim == 1:
        return _vector(first, second, pool, moved, layer)
    best: Related | None = None
    for change, orders, candidate, off, proven in _candidates(first, second, pool, moved):
        fit = explain(candidate, second, off)
        found = _related(change, fit, second.numbers.shape, layer, orders, related=True if fit.explained else None)
        if fit.explained:
            return found
        if orders and (found.left > FARTHEST or not proven):
            continue
        if best is None or found.left < best.left:
            best = replace(found, related=True if orders else _in_place(candidate, second))
    if best is None or best.related is False:
        distance = _distance(first.numbers, second.numbers)
        return Related((unrelated_change(distance),), True, False, distance)
    return best


def _related(
    change: Sequence[Change],
    fit: Fit,
    shape: tuple[int, ...],
    layer: str,
    orders: Sequence[Order] = (),
    *,
    related: bool | None,
) -> Related:
    names = tuple(each for each in (*change, *fit.changes) if not (change and each.kind == "identical"))
    bases = []
    for axis in range(min(2, len(shape))):
        order = orders[axis] if orders else np.arange(shape[axis])
        factors, slack = None, 0.0
        if fit.factors is not None:
            factors = (fit.factors.rows, fit.factors.columns)[axis]
            slack = SLACK if all(each.exact for each in fit.changes if each.kind == "scale") else 0.05
        bases.append(Basis(order, factors, slack, layer))
    return Related(names, fit.explained, related, fit.left, tuple(bases))


Candidate = tuple[tuple[Change, ...], tuple[Order, ...], Facts, float, bool]


def _candidates(first: Facts, second: Facts, pool: Pool, moved: Sequence[Moved]) -> Iterator[Candidate]:
    """A as it stands, as a skeleton moves it, and in orders that are believed: or only if they explain everything."""
    small = min(second.numbers.shape[:2]) < FIXED
    if small or _alike(first.numbers, second.numbers) > ALIKE:
        yield (), (), first, 0.0, True
    for each in moved:
        if not equal(each.numbers, first.numbers):
            yield (each.change,), (), replace(first, numbers=each.numbers), each.off, True
    for orders, matched in believed_orders(first.numbers, second.numbers, pool):
        if matched.believed:
            candidate = first.numbers[orders[0]][:, orders[1]]
            change = permutation_change(dict(zip(AXES, orders, strict=True)), exact=True)
            movements = any((order != np.arange(len(order))).any() for order in orders)
            proven = matched.how != "sorted" and len(matched.order) >= FIXED
            yield ((change,) if movements else ()), orders, replace(first, numbers=candidate), 0.0, proven


def believed_orders(first: np.ndarray, second: np.ndarray, pool: Pool) -> Iterator[tuple[tuple[Order, Order], Matched]]:
    """Orders of both axes, the likely first; those of one cosine way end the search if they are believed."""
    for how in ("cosine", "magnitude"):
        found = list(_one_axis_known(first, second, pool, how))
        found.sort(key=lambda each: -each[1].share)
        yield from [each for each in found[:2] if each[1].believed]
        if found and found[0][1].believed:
            return
    yield from _from_sorted(first, second)


def _one_axis_known(
    first: np.ndarray, second: np.ndarray, pool: Pool, how: str
) -> Iterator[tuple[tuple[Order, Order], Matched]]:
    """One axis in an order of the pool, the other matched."""
    for known in (1, 0):
        for order in pool.orders(second.shape[known]):
            a = np.moveaxis(first.take(order, known), 1 - known, 0)
            matched = match_units(a, np.moveaxis(second, 1 - known, 0), how)
            if matched is not None:
                yield ((matched.order, order) if known == 1 else (order, matched.order)), matched
                if matched.share > 0.95:
                    return


def _from_sorted(first: np.ndarray, second: np.ndarray) -> Iterator[tuple[tuple[Order, Order], Matched]]:
    """Rows by their sorted sizes, then columns, then rows again."""
    for axis in (0, 1):
        a, b = (np.moveaxis(each, axis, 0) for each in (first, second))
        rows = match_units(a, b, "sorted")
        if rows is None:
            continue
        for how in ("cosine", "magnitude"):
            columns = match_units(np.moveaxis(a[rows.order], 1, 0), np.moveaxis(b, 1, 0), how)
            if columns is None:
                continue
            again = match_units(a[:, columns.order], b, how)
            if again is not None and again.believed:
                again = replace(again, how="sorted")
                yield ((again.order, columns.order) if axis == 0 else (columns.order, again.order)), again


def _vector(first: Facts, second: Facts, pool: Pool, moved: Sequence[Moved], layer: str) -> Related:
    """A vector tells its order only by equality: those of its layer are tried, then all of its size."""
    size = len(second.numbers)
    best: Related | None = None
    for each in moved:
        fit = explain(replace(first, numbers=each.numbers), second, each.off)
        change = () if equal(each.numbers, first.numbers) else (each.change,)
        found = _related(change, fit, (size,), layer, related=None)
        if fit.explained:
            return found
        best = found if best is None or found.left < best.left else best
    for basis in pool.bases(size, layer):
        numbers = first.numbers[basis.order]
        change = (permutation_change({"units": basis.order}, exact=True),) if basis.moves else ()
        for factors in _powers(basis, numbers, second):
            off, candidate = 0.0, numbers
            extra: tuple[Change, ...] = ()
            if factors is not None:
                candidate = numbers * factors
                off = max(basis.slack, SLACK)
                extra = (Change("scale", "scaled by the factors of its layer", basis.slack <= SLACK, {}),)
            fit = explain(replace(first, numbers=candidate), second, off)
            found = _related((*change, *extra), fit, (size,), layer, (basis.order,), related=None)
            if fit.explained:
                return replace(found, bases=())
            best = found if best is None or found.left < best.left else best
    order = _by_value(first.numbers, second.numbers)
    if order is not None:
        return Related((permutation_change({"units": order}, exact=True),), True, None, 0.0)
    return best if best is not None else Related((), False, None, 1.0)


def _powers(basis: Basis, numbers: np.ndarray, second: Facts) -> Iterator[np.ndarray | None]:
    """No factors; those of the basis, upright or upside down or squared, up to one number for all."""
    yield None
    if basis.factors is None or len(numbers) < 3:
        return
    for exponent in (1, -1, 2, -2):
        factors = basis.factors**exponent
        changed = numbers * factors
        size = float(np.square(changed).sum())
        if size > 0:
            yield factors * float((changed * second.numbers).sum() / size)


def _by_value(first: np.ndarray, second: np.ndarray) -> Order | None:
    """The order of a vector whose numbers are those of another, all different enough to tell."""
    if len(np.unique(first)) < max(2, len(first) // 2) or not np.array_equal(np.sort(first), np.sort(second)):
        return None
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(second, kind="stable")] = np.argsort(first, kind="stable")
    return order


def _in_place(first: Facts, second: Facts) -> bool | None:
    """Whether units are recognised in place; None where there are too few to ask."""
    found = fixed_units(first.numbers, second.numbers)
    return None if found is None else found[0] >= FIXED


def _alike(first: np.ndarray, second: np.ndarray) -> float:
    a, b = (np.abs(each.astype(np.float64)).reshape(-1) for each in (first, second))
    a, b = a - a.mean(), b - b.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else 1.0


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    size = float(np.linalg.norm(first.astype(np.float64)))
    return float(np.linalg.norm(second.astype(np.float64) - first)) / size if size > 0 else 1.0
