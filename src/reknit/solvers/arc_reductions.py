"""Exact reductions of the minimum feedback arc set problem, and the way back: an order, and a packing of cycles.

Two rules, until neither applies; between them a graph falls into strongly connected components, which are solved alone
(an arc from one to another lies on no cycle):

``cancel``    Of two opposite arcs one is contradicted by every order: the lighter weight is paid and taken off both.
``contract``  A vertex v with one arc (u, v) into it that is at least as heavy as all arcs out of it together: who would
              cut (u, v) does no worse to cut those. v goes right behind u, whose arcs out it hands its own to. Likewise
              a vertex with one arc out, at least as heavy as all into it, goes right before that arc's end.

Where they come from: the unweighted forms are folklore; Levy, Low, "A contraction algorithm for finding small cycle
cutsets" (1988), doi:10.1016/0196-6774(88)90013-2, has the second for vertices, Baharev et al. (2021),
doi:10.1145/3446429, for arcs. The weighted condition is ours, and easily seen: cycles through v all use (u, v).
Cost: n^2 a contraction.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from reknit.solvers.cycle_cover import Cycle, Packing


class Cancelled(NamedTuple):
    """Opposite arcs between a and b, and the weight taken off both."""

    a: int
    b: int
    weight: float


class Contracted(NamedTuple):
    """Vertex v put right behind u (``after``) or right before it; the weights of the arcs handed over, and of u's own.

    ``own`` and ``handed`` are weights of arcs out of u and v (``after``), or into them.
    """

    v: int
    u: int
    after: bool
    own: Float[np.ndarray, " n"]
    handed: Float[np.ndarray, " n"]


Reduction = Cancelled | Contracted


def reduce(weights: Float[np.ndarray, "n n"]) -> list[Reduction]:
    """Apply both rules in place, until neither does; a vertex contracted has no arcs left. Returns what was done."""
    done: list[Reduction] = list(_cancel(weights, range(len(weights))))
    while (contraction := _contractible(weights)) is not None:
        u, v = contraction.u, contraction.v
        grown = contraction.own + contraction.handed
        weights[v, :] = weights[:, v] = 0.0
        if contraction.after:
            weights[u, :] = grown
        else:
            weights[:, u] = grown
        done.append(contraction)
        done.extend(_cancel(weights, [u]))
    return done


def _cancel(weights: Float[np.ndarray, "n n"], vertices: range | list[int]) -> list[Cancelled]:
    done = []
    for a in vertices:
        for b in np.flatnonzero((weights[a] > 0) & (weights[:, a] > 0)).tolist():
            lighter = float(min(weights[a, b], weights[b, a]))
            weights[a, b] -= lighter
            weights[b, a] -= lighter
            done.append(Cancelled(a, b, lighter))
    return done


def _contractible(weights: Float[np.ndarray, "n n"]) -> Contracted | None:
    """The first vertex that the second rule takes out."""
    into, out = weights.sum(0), weights.sum(1)
    for after, single, heavy, light in ((True, weights.T, into, out), (False, weights, out, into)):
        fit = np.flatnonzero(((single > 0).sum(1) == 1) & (heavy >= light) & (light > 0))
        if len(fit):
            v = int(fit[0])
            u = int(np.argmax(single[v]))
            ends = weights if after else weights.T
            return Contracted(v, u, after, ends[u].copy() * (np.arange(len(ends)) != v), ends[v].copy())
    return None


def restored_order(order: list[int], done: list[Reduction]) -> list[int]:
    """An order of what is left, with the vertices that were contracted put back."""
    order = list(order)
    for step in reversed(done):
        if isinstance(step, Contracted):
            order.insert(order.index(step.u) + step.after, step.v)
    return order


def restored_packing(packing: Packing, done: list[Reduction]) -> Packing:
    """Cycles of the graph before the reductions, from those of the graph after them; the multipliers' sum stays."""
    for step in reversed(done):
        packing = [*packing, ((step.a, step.b), step.weight)] if isinstance(step, Cancelled) else _lead(packing, step)
    return packing


def _lead(packing: Packing, step: Contracted) -> Packing:
    """Lead cycles over arcs of u that were v's through v, as far as u's own weight does not carry them."""
    own, found = step.own.copy(), Packing()
    for cycle, multiplier in packing:
        if step.u not in cycle:
            found.append((cycle, multiplier))
            continue
        place = cycle.index(step.u)
        end = cycle[(place + 1) % len(cycle)] if step.after else cycle[place - 1]
        direct = min(multiplier, float(own[end]))
        own[end] -= direct
        if direct > 0:
            found.append((cycle, direct))
        if multiplier - direct > 0:
            at = place + step.after
            found.append((_canonical((*cycle[:at], step.v, *cycle[at:])), multiplier - direct))
    return found


def _canonical(cycle: Cycle) -> Cycle:
    least = cycle.index(min(cycle))
    return cycle[least:] + cycle[:least]
