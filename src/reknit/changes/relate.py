"""One tensor of A and one of B: the orders of their units, and what was done behind them.

Candidates are tried until one explains every number: as they stand; in orders that a skeleton has found; with one axis
in a known order and the other matched (``naming.permutation``); with both found from sorted sizes, which only equality
makes believable. What none explains is a drift where units are recognised beyond what networks trained apart show, and
unrelated otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from reknit.changes.bases import Pool
from reknit.changes.naming.change import Change
from reknit.changes.naming.drift import FIXED, fixed_units
from reknit.changes.naming.explain import explain
from reknit.changes.naming.facts import Facts
from reknit.changes.naming.identical import equal, identical_change
from reknit.changes.naming.permutation import Matched, match_units, permutation_change
from reknit.changes.naming.unrelated import unrelated_change
from reknit.changes.relate_vectors import relate_vectors
from reknit.changes.related import Moved, Order, Related, related_by

ALIKE = 0.15
"""Correlation of sizes from which tensors are held against each other as they stand, whatever their signs."""
FARTHEST = 0.5
"""Relative distance up to which units in another order are said to have drifted; networks trained apart were farther,
matched as well as can be (the nearest .57)."""
TURNED = "cannot say: its singular values are A's, so it may be turned by a rotation; name the skeleton with --like"
SPECTRUM, NARROWEST, WIDEST = 1e-3, 12, 1024
"""Relative distance up to which singular values are equal, and of how many rows or columns they are asked."""
AXES = ("rows", "columns")
Candidate = tuple[tuple[Change, ...], tuple[Order, ...], Facts, float, bool]


def relate(first: Facts, second: Facts, pool: Pool, moved: Sequence[Moved] = (), layer: str = "") -> Related:
    """Name what makes B of A.

    Args:
        first: A, with the axes of B.
        second: B, of the same shape.
        pool: orders to try.
        moved: A as a skeleton moves it, to be tried first.
        layer: the name that weight and bias share.
    """
    if not (np.isfinite(first.numbers).all() and np.isfinite(second.numbers).all()):
        return _not_finite(first, second)
    if equal(first.numbers, second.numbers):
        return related_by((), explain(first, second), second.numbers.shape, layer, related=True)
    if first.numbers.ndim == 1:
        return relate_vectors(first, second, pool, moved, layer)
    return _matrix(first, second, pool, moved, layer)


def _matrix(first: Facts, second: Facts, pool: Pool, moved: Sequence[Moved], layer: str) -> Related:
    best: Related | None = None
    for change, orders, candidate, off, proven in _candidates(first, second, pool, moved):
        fit = explain(candidate, second, off)
        found = related_by(change, fit, second.numbers.shape, layer, orders, related=True if fit.explained else None)
        if fit.explained:
            return found
        if orders and (found.left > FARTHEST or not proven):
            continue
        if best is None or found.left < best.left:
            best = replace(found, related=True if orders else _in_place(candidate, second))
    if best is None or best.related is False:
        distance = _distance(first.numbers, second.numbers)
        if _same_spectrum(first.numbers, second.numbers):
            return Related((Change("cannot say", TURNED),), False, None, distance)
        return Related((unrelated_change(distance),), True, False, distance)
    return best


def _not_finite(first: Facts, second: Facts) -> Related:
    """Numbers that are infinite or undefined are equal, or nothing is said."""
    if equal(first.numbers, second.numbers):
        return Related((identical_change(int(second.numbers.size)),), True, True, 0.0)
    words = "cannot say: it holds numbers that are infinite or undefined"
    return Related((Change("cannot say", words),), False, True, 1.0)


def _candidates(first: Facts, second: Facts, pool: Pool, moved: Sequence[Moved]) -> Iterator[Candidate]:
    """A as it stands, as a skeleton moves it, and in orders that are believed: or only if they explain everything."""
    small = min(second.numbers.shape[:2]) < FIXED
    stands = small or _alike(first.numbers, second.numbers) > ALIKE
    if stands:
        yield (), (), first, 0.0, True
    for each in moved:
        if not equal(each.numbers, first.numbers):
            yield (each.change,), (), replace(first, numbers=each.numbers), each.off, True
    for orders, matched in believed_orders(first.numbers, second.numbers, pool):
        movements = any((order != np.arange(len(order))).any() for order in orders)
        if matched.believed and (movements or not stands):
            candidate = first.numbers[orders[0]][:, orders[1]]
            change = permutation_change(dict(zip(AXES, orders, strict=True)), exact=True)
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


def _in_place(first: Facts, second: Facts) -> bool | None:
    """Whether units are recognised in place; None where there are too few to ask."""
    found = fixed_units(first.numbers, second.numbers)
    return None if found is None else found[0] >= FIXED


def _alike(first: np.ndarray, second: np.ndarray) -> float:
    a, b = (np.abs(each.astype(np.float64)).reshape(-1) for each in (first, second))
    a, b = a - a.mean(), b - b.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else 1.0


def _same_spectrum(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether singular values are equal, which rotations of rows or columns leave as they are."""
    a, b = (each.reshape(len(each), -1).astype(np.float64) for each in (first, second))
    if not NARROWEST <= min(a.shape) <= WIDEST:
        return False
    values = [np.linalg.svd(each, compute_uv=False) for each in (a, b)]
    return float(np.linalg.norm(values[0] - values[1])) <= SPECTRUM * float(np.linalg.norm(values[0]))


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    size = float(np.linalg.norm(first.astype(np.float64)))
    return float(np.linalg.norm(second.astype(np.float64) - first)) / size if size > 0 else 1.0
