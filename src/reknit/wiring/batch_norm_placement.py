"""Kernels and BatchNorm vectors into the slots of residual units, by the bookkeeping of running statistics.

Vectors of norms outside of chains are told apart by their signs alone.
The units are read off the skeleton (``batch_norm_units``), the placement comes from ``evidence.batch_norm_vectors``.
Nothing of it is certain: its margins are in nats and not calibrated (docs/wiring.md). It is the rough placement that
recorded outputs start from, and where the weights alone are asked, the best there is.

Left out: a chain whose kernels share a pool with slots outside of it; convolution first, behind more than one norm.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from reknit.errors import PileError
from reknit.evidence.batch_norm_books import NOTHING
from reknit.evidence.batch_norm_errors import relative_log_errors
from reknit.evidence.batch_norm_moments import Moments, moments_after
from reknit.evidence.batch_norm_pieces import norm_widths
from reknit.evidence.batch_norm_search import Place
from reknit.evidence.batch_norm_vectors import LooseChain, chain_of_tensors, may_scale
from reknit.evidence.convolution_taps import edge_sums, passed_on
from reknit.skeleton.skeleton import Skeleton
from reknit.solvers.assignment import best_matching
from reknit.wiring.batch_norm_units import FIELDS, NORM, UnitChain, find_chains
from reknit.wiring.pools import Pool

DOUBT = 12.0
"""Nats: a margin so large leaves a doubt of 1 / 2e. Read off SpliceAI 1, EfficientNet-Lite0 and two nets trained on
digits: of 45 wrong places 43 had less than 12 nats, one had 36, which is believed to .976."""
Array = Callable[[str], Float[np.ndarray, "..."]]


@dataclass(frozen=True)
class ChainPlacement:
    """What the books of all chains say.

    Attributes:
        placement: slot -> tensor, for kernels, gammas, betas, means and variances of the chains, and for what else is
            in the pools of variances.
        margins: slot -> nats by which the best neighbour with another tensor there, or with the unit elsewhere, is
            worse. No log-odds: see ``evidence.batch_norm_vectors``.
        squared_errors: of every entry of the books, in running variances: 0 is perfect, 1 is no use.
        beliefs: slot -> tensor -> how likely, for a search that goes on from here.
    """

    placement: Mapping[str, str]
    margins: Mapping[str, float]
    squared_errors: tuple[float, ...] = ()
    beliefs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def place_chains(skeleton: Skeleton, pools: Sequence[Pool], array: Array) -> ChainPlacement:
    """Place what stands in chains of units with BatchNorm; empty where there are none.

    Args:
        skeleton: what is to be filled.
        pools: slots and tensors of one shape.
        array: the numbers of a tensor, by name.
    """
    placement: dict[str, str] = {}
    margins: dict[str, float] = {}
    errors: list[float] = []
    beliefs: dict[str, Mapping[str, float]] = {}
    for chain in find_chains(skeleton):
        left = [pool.without(placement, set(placement)) for pool in pools]
        found = _place(chain, {slot: pool for pool in left for slot in pool.slots}, array)
        if found is not None:
            placement |= found.placement
            margins |= found.margins
            errors += found.squared_errors
            beliefs |= found.beliefs
    rest = _by_sign(skeleton, [pool.without(placement, set(placement)) for pool in pools], array)
    margins |= dict.fromkeys(rest, 0.0)
    return ChainPlacement({**placement, **rest}, margins, tuple(errors), _possible(skeleton, pools, beliefs, array))


def _possible(
    skeleton: Skeleton, pools: Sequence[Pool], beliefs: Mapping[str, Mapping[str, float]], array: Array
) -> dict[str, Mapping[str, float]]:
    """The beliefs, with nothing negative for a variance; where nothing is believed of one, all others are alike."""
    possible = dict(beliefs)
    variances = {use.slots.get("running_var") for use in skeleton.uses if use.operation == NORM}
    for pool in pools:
        for slot in (each for each in pool.slots if each in variances):
            said = beliefs.get(slot, dict.fromkeys(pool.tensors, 1.0))
            possible[slot] = {name: share for name, share in said.items() if not (array(name) < 0).any()}
    return possible


def _by_sign(skeleton: Skeleton, pools: Sequence[Pool], array: Array) -> dict[str, str]:
    """What stands in no chain but shares a pool with norms: no variance may be negative, and gammas seldom are.

    A negative variance makes every answer undefined, and a search by outputs could not begin.
    """
    kinds = {key: name for use in skeleton.uses if use.operation == NORM for name, key in use.slots.items()}
    placement: dict[str, str] = {}
    for pool in pools:
        found = [kinds.get(slot, "") for slot in pool.slots]
        if "running_var" not in found:
            continue
        shares = np.array([float((array(name) < 0).mean()) for name in pool.tensors])
        costs = {"running_var": shares + 10 * (shares > 0), "weight": shares}
        table = np.stack([costs.get(kind, -shares) for kind in found])
        columns = best_matching(-table)
        placement |= {slot: pool.tensors[k] for slot, k in zip(pool.slots, columns.tolist(), strict=True)}
    return placement


def _place(chain: UnitChain, pool_of: Mapping[str, Pool], array: Array) -> ChainPlacement | None:
    kernels = _names(chain, ("kernel",), pool_of)
    vectors = _names(chain, tuple(FIELDS), pool_of)
    if len(kernels) != len(_slots(chain, ("kernel",))):
        return None
    start = _start(chain, pool_of, array)
    if start is None and not (chain.units[0].shape.norm_first or chain.from_input):
        return None
    before, at_start = start or (None, {})
    vectors = [name for name in vectors if name not in at_start.values()]
    units = [unit.shape for unit in chain.units]
    try:
        found = chain_of_tensors(
            units,
            [array(name) for name in kernels],
            [array(name) for name in vectors],
            eps=chain.eps,
            start=before,
            end=chain.end is not None,
        )
    except PileError:  # no arrangement fits the shapes
        return None
    placement, margins = _as_slots(chain, found, kernels, vectors)
    beliefs = {slot: _belief(name, pool_of[slot].tensors, margins[slot]) for slot, name in placement.items()}
    return ChainPlacement(
        {**at_start, **placement},
        {**dict.fromkeys(at_start, 0.0), **margins},
        tuple(map(float, found.squared_errors)),
        beliefs,
    )


def _belief(placed: str, names: Sequence[str], margin: float) -> dict[str, float]:
    """The one that was placed, or else any of the others."""
    half = 0.5 * float(np.exp(-abs(margin) / DOUBT))
    trust = 1 - half if margin > 0 else half
    others = [name for name in names if name != placed]
    return {placed: trust, **dict.fromkeys(others, (1 - trust) / max(len(others), 1))}


def _slots(chain: UnitChain, fields: Sequence[str]) -> list[str]:
    places = itertools.product(fields, range(len(chain.units)), range(len(chain.units[0].layers)))
    return [slot for slot in itertools.starmap(chain.slot, places) if slot is not None]


def _names(chain: UnitChain, fields: Sequence[str], pool_of: Mapping[str, Pool]) -> list[str]:
    """The tensors of all pools that some slots of a chain are in."""
    return list(dict.fromkeys(name for slot in _slots(chain, fields) for name in pool_of[slot].tensors))


def _as_slots(
    chain: UnitChain, found: LooseChain, kernels: Sequence[str], vectors: Sequence[str]
) -> tuple[dict[str, str], dict[str, float]]:
    """By slot: what stands there, and by how many nats."""
    placement: dict[str, str] = {}
    margins: dict[str, float] = {}
    for part in ("kernel", *FIELDS):
        names = kernels if part == "kernel" else vectors
        for (unit, layer), number in np.ndenumerate(getattr(found.placement, part)):
            slot = chain.slot(part, unit, layer) if number != NOTHING else None
            if slot is not None:
                placement[slot] = names[number]
                seat = found.margins.seats.get(Place(part, unit, layer), np.inf)
                margins[slot] = min(float(seat), float(found.margins.order[unit]))
    return placement, margins


def _start(chain: UnitChain, pool_of: Mapping[str, Pool], array: Array) -> tuple[Moments, dict[str, str]] | None:
    """Mean and variance of the stream before a chain that begins with a convolution, and the norm that they come from.

    Of all gammas and betas that may be that norm's, those under which some kernel of the first unit predicts some mean
    best. Where the stream has no activation gamma plays no part, and is left open.
    """
    norm = chain.start
    if norm is None or chain.units[0].shape.norm_first:
        return None
    slots = {field: norm.slots[name] for field, name in FIELDS.items() if name in norm.slots}
    if slots.keys() != FIELDS.keys() or any(slot not in pool_of for slot in slots.values()):
        return None
    names = pool_of[slots["beta"]].tensors
    positive = [name for name in names if may_scale(array(name))]
    linear = chain.start_activation == "identity"
    first = chain.units[0]
    width = norm_widths([first.shape])[0][0]
    sums = [edge_sums(array(name))[0] for name in pool_of[first.layers[0].slots["weight"]].tensors]
    behind = pool_of[first.norms[0].slots["running_mean"]].tensors
    best: tuple[float, str, str] | None = None
    for beta in names:
        means = [array(name).astype(np.float64) for name in behind if name != beta]
        targets = np.stack(means) if means else np.zeros((0, width))
        for gamma in names[:1] if linear else positive:
            if not linear and gamma == beta:
                continue
            moments = _moments(chain, array, gamma, beta)
            predicted = np.stack([passed_on(each, moments.mean) for each in sums])
            errors = relative_log_errors(predicted, targets, np.ones_like(targets))
            if errors.size and (best is None or float(errors.min()) < best[0]):
                best = float(errors.min()), gamma, beta
    if best is None:
        return None
    _, gamma, beta = best
    known = {slots["beta"]: beta} if linear else {slots["beta"]: beta, slots["gamma"]: gamma}
    return _moments(chain, array, gamma, beta), known


def _moments(chain: UnitChain, array: Array, gamma: str, beta: str) -> Moments:
    return moments_after(
        chain.start_activation, array(beta).astype(np.float64), np.square(array(gamma).astype(np.float64))
    )
