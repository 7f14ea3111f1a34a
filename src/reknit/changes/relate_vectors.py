"""A vector of A and one of B: it tells its order and factors only by equality with what the matrices beside it say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from reknit.changes.bases import Basis, Pool
from reknit.changes.naming.change import Change
from reknit.changes.naming.explain import explain
from reknit.changes.naming.facts import Facts
from reknit.changes.naming.identical import equal
from reknit.changes.naming.permutation import permutation_change
from reknit.changes.naming.scale import SLACK
from reknit.changes.naming.sign import sign_change
from reknit.changes.related import Moved, Order, Related, related_by

POWERS = ((1, 0), (-1, 0), (2, 0), (-2, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
"""Of one or two bases' factors that a vector may have taken."""
LEAST, MOST_KNOWN = 4, 0.75
"""Numbers that a vector needs for factors to be recognised, and the share of them that has to agree."""


def relate_vectors(first: Facts, second: Facts, pool: Pool, moved: Sequence[Moved], layer: str) -> Related:
    """Name what makes B of A: as a skeleton moves it, then in every known order.

    Args:
        first: A.
        second: B, of the same size.
        pool: what is known of units.
        moved: A as a skeleton moves it.
        layer: whose orders are tried first.
    """
    size = len(second.numbers)
    best: Related | None = None
    for each in moved:
        fit = explain(replace(first, numbers=each.numbers), second, each.off)
        change = () if equal(each.numbers, first.numbers) else (each.change,)
        found = related_by(change, fit, (size,), layer, related=None)
        if fit.explained:
            return found
        best = found if best is None or found.left < best.left else best
    for order in _orders_of(pool, size, layer):
        found = _in_order(first, second, pool, order, layer)
        if found.explained:
            return found
        best = found if best is None or found.left < best.left else best
    order_by_value = _by_value(first.numbers, second.numbers)
    if order_by_value is not None:
        return Related((permutation_change({"units": order_by_value}, exact=True),), True, None, 0.0)
    return best if best is not None else Related((), False, None, 1.0)


def _in_order(first: Facts, second: Facts, pool: Pool, order: Order, layer: str) -> Related:
    """In one order: as it is, with known factors, with signs; as it is, where none of these explains it."""
    numbers = first.numbers[order]
    moves = bool((order != np.arange(len(order))).any())
    change = (permutation_change({"units": order}, exact=True),) if moves else ()
    plain = explain(replace(first, numbers=numbers), second)
    if plain.explained:
        return replace(related_by(change, plain, order.shape, layer, (order,), related=None), bases=())
    for factors, slack in products(pool.with_factors(order), numbers, second):
        fit = explain(replace(first, numbers=numbers * factors), second, slack)
        if fit.explained:
            named = (*change, *_factors_in_words(factors, slack))
            return replace(related_by(named, fit, order.shape, layer, (order,), related=None), bases=())
    turned = (numbers < 0) != (second.numbers < 0)
    fit = explain(replace(first, numbers=np.where(turned, -numbers, numbers)), second)
    if turned.any() and fit.explained:
        names = [each for each in fit.changes if each.kind != "identical"]
        return Related((*change, sign_change(int(turned.sum()), exact=True), *names), True, None, 0.0)
    return related_by(change, plain, order.shape, layer, (order,), related=None)


def _factors_in_words(factors: np.ndarray, slack: float) -> Iterator[Change]:
    yield Change("scale", "scaled by the factors of its layer", slack <= SLACK, {})
    if (factors < 0).any():
        yield sign_change(int((factors < 0).sum()), exact=True)


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
    rounding = float((second.half_step[told] / np.abs(second.numbers[told])).max())
    for powers in POWERS:
        others = powers[1] * logs if powers[1] else np.zeros((1, logs.shape[1]))
        off = ratio - powers[0] * logs[:, None, :] - others[None]
        off = np.abs(off - np.median(off, 2, keepdims=True))
        most = np.quantile(off, MOST_KNOWN, axis=2)
        for i, j in np.argwhere(most <= 0.2):
            one, two = bases[i], bases[j] if powers[1] else None
            slack = one.slack + (two.slack if two is not None else 0.0)
            known = off[i, j] <= 4 * (slack + rounding) + 1e-6
            if known.sum() < max(LEAST, MOST_KNOWN * len(known)):
                continue
            factors = np.asarray(one.factors) ** powers[0]
            if two is not None:
                factors = factors * np.asarray(two.factors) ** powers[1]
            if np.abs(np.abs(factors) - 1).max() < SLACK:
                continue  # signs alone need no fitting
            at = np.flatnonzero(told)[known]
            changed = numbers[at] * factors[at]
            factors = factors * float((changed @ second.numbers[at]) / (changed @ changed))
            lost = np.flatnonzero(told)[~known]  # units whose numbers are all zero beside: no factor is known
            factors[lost] = second.numbers[lost] / numbers[lost]
            yield factors, max(slack, SLACK)


def _by_value(first: np.ndarray, second: np.ndarray) -> Order | None:
    """The order of a vector whose numbers are those of another, all different enough to tell."""
    if len(np.unique(first)) < max(2, len(first) // 2) or not np.array_equal(np.sort(first), np.sort(second)):
        return None
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(second, kind="stable")] = np.argsort(first, kind="stable")
    return order
