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
from reknit.changes.naming.identical import equal, identical_change
from reknit.changes.naming.permutation import Matched, match_units, permutation_change
from reknit.changes.naming.scale import SLACK
from reknit.changes.naming.sign import sign_change
from reknit.changes.naming.unrelated import unrelated_change

Order = Int[np.ndarray, " units"]
ALIKE = 0.15
"""Correlation of sizes from which tensors are held against each other as they stand, whatever their signs."""
FARTHEST = 0.5
"""Relative distance up to which units in another order are said to have drifted; networks trained apart were farther,
matched as well as can be (the nearest .57)."""
POWERS = ((1, 0), (-1, 0), (2, 0), (-2, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
"""Of one or two bases' factors that a vector may have taken."""
LEAST = 4
"""Numbers that a vector needs for factors to be recognised."""
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
    if not (np.isfinite(first.numbers).all() and np.isfinite(second.numbers).all()):
        return _not_finite(first, second)
    if equal(first.numbers, second.numbers):
        return _related((), explain(first, second), second.numbers.shape, layer, related=True)
    if first.numbers.ndim == 1:
        return _vector(first, second, pool, moved, layer)
    return _matrix(first, second, pool, moved, layer)


def _matrix(first: Facts, second: Facts, pool: Pool, moved: Sequence[Moved], layer: str) -> Related:
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


def _not_finite(first: Facts, second: Facts) -> Related:
    """Numbers that are infinite or undefined are equal, or nothing is said."""
    if equal(first.numbers, second.numbers):
        return Related((identical_change(int(second.numbers.size)),), True, True, 0.0)
    words = "cannot say: it holds numbers that are infinite or undefined"
    return Related((Change("cannot say", words),), False, True, 1.0)


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
    for order in _orders_of(pool, size, layer):
        numbers = first.numbers[order]
        moves = bool((order != np.arange(size)).any())
        change = (permutation_change({"units": order}, exact=True),) if moves else ()
        for factors, slack in ((None, 0.0), *products(pool.with_factors(order), numbers, second)):
            candidate = numbers if factors is None else numbers * factors
            extra: tuple[Change, ...] = ()
            if factors is not None:
                extra = (Change("scale", "scaled by the factors of its layer", slack <= SLACK, {}),)
                if (factors < 0).any() and not np.allclose(np.abs(factors), 1, rtol=1e-5):
                    extra += (sign_change(int((factors < 0).sum()), exact=True),)
                elif (factors < 0).any():
                    extra = (sign_change(int((factors < 0).sum()), exact=True),)
            fit = explain(replace(first, numbers=candidate), second, slack)
            found = _related((*change, *extra), fit, (size,), layer, (order,), related=None)
            if fit.explained:
                return replace(found, bases=())
            if factors is None:
                best = found if best is None or found.left < best.left else best
        turned = (numbers < 0) != (second.numbers < 0)
        fit = explain(replace(first, numbers=np.where(turned, -numbers, numbers)), second)
        if turned.any() and fit.explained:
            names = [each for each in fit.changes if each.kind != "identical"]
            return Related((*change, sign_change(int(turned.sum()), exact=True), *names), True, None, 0.0)
    order = _by_value(first.numbers, second.numbers)
    if order is not None:
        return Related((permutation_change({"units": order}, exact=True),), True, None, 0.0)
    return best if best is not None else Related((), False, None, 1.0)


def _orders_of(pool: Pool, size: int, layer: str) -> Iterator[Order]:
    """Orders to try of a vector: those of its layer, the identity, all others; each once."""
    seen = set()
    for basis in pool.bases(size, layer):
        if basis.order.tobytes() not in seen:
            seen.add(basis.order.tobytes())
            yield basis.order


def products(
    bases: Sequence[Basis], numbers: np.ndarray, second: Facts
) -> Iterator[tuple[Float[np.ndarray, " units"], float]]:
    """Factors of known bases, or products of two, by which a vector comes to B, up to one number for all.

    A gain behind a layer and before another takes the factors of both: so ``f ** a * g ** b`` with small powers.

    Args:
        bases: with factors, of one order.
        numbers: A's, in that order.
        second: B.
    """
    told = (numbers != 0) & (second.numbers != 0)
    if told.sum() < LEAST or not bases:
        return
    ratio = np.log(np.abs(second.numbers[told] / numbers[told]))
    logs = np.stack([np.log(np.abs(np.asarray(each.factors)[told])) for each in bases])
    ratio, logs = ratio - ratio.mean(), logs - logs.mean(1, keepdims=True)
    rounding = float((second.half_step[told] / np.abs(second.numbers[told])).max())
    for powers in POWERS:
        others = powers[1] * logs if powers[1] else np.zeros((1, logs.shape[1]))
        off = np.abs(ratio - powers[0] * logs[:, None, :] - others[None]).max(2)
        for i, j in np.argwhere(off <= 0.2):
            one, two = bases[i], bases[j] if powers[1] else None
            slack = one.slack + (two.slack if two is not None else 0.0)
            if off[i, j] > 4 * (slack + rounding) + 1e-6:
                continue
            factors = np.asarray(one.factors) ** powers[0]
            if two is not None:
                factors = factors * np.asarray(two.factors) ** powers[1]
            if np.abs(np.abs(factors) - 1).max() < SLACK:
                continue  # signs alone need no fitting
            changed = numbers * factors
            yield factors * float((changed @ second.numbers) / (changed @ changed)), max(slack, SLACK)


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
