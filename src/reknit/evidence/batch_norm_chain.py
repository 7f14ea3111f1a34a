"""Residual units with BatchNorm put back together from their layers alone: who feeds whom, which unit comes when.

Pieces are layers: convolutions with their biases, norms with their four vectors. Nothing is run and no data are seen;
the running statistics are bookkeeping of the training data's flow, and the weights before a norm predict them.

1. links: (norm, convolution, norm) triples inside a unit (``batch_norm_links``);
2. the convolution that has the stream on one side, and the order of the units, by the stream's mean:
   norm first: from every unit to every other, with the best convolution for it, then the best path, and again;
   convolution first: from the front, the pair of convolution and unit whose first norm agrees best with E x;
3. exchanges and moves while the books of all (``batch_norm_books``) get better (``batch_norm_search``).

What is told: the order and the seats, the squared error of every entry, which is the certificate (0.000 to 0.03 on
trained networks, 1 where statistics are of another network), and margins in nats.
Source: Ioffe and Szegedy, arXiv 1502.03167, for what a BatchNorm keeps; the rest is arithmetic of moments.
Fails: a chain of one unit has no order; norms first leave the last unit's last convolution without an entry (it is
placed by elimination); a bias before a norm that is near zero can be anyone's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from reknit.errors import PileError
from reknit.evidence.batch_norm_beam import arranged
from reknit.evidence.batch_norm_books import Books, Placement
from reknit.evidence.batch_norm_certainty import certain
from reknit.evidence.batch_norm_moments import Moments
from reknit.evidence.batch_norm_pieces import Convolution, Norm, Unit, norm_widths
from reknit.evidence.batch_norm_search import Margins, Neighbourhood, Place, Seat, improve, margins, shaken

SETTLED = 15.0
"""Nats: with no lesser margin anywhere, annealing has nothing to find."""
STEPS = 20_000
"""Of annealing."""


@dataclass(frozen=True)
class Chain:
    """Units in order, and how well that agrees with the statistics.

    Attributes:
        convolutions: the number of the convolution at each place of each unit.
        norms: the number of the norm at each place of each unit.
        squared_errors: of every entry of the books, in running variances.
        unit_errors: the largest of each unit.
        convolution_margins: in nats, how much worse the best neighbour is that has another convolution there.
        norm_margins: the same of norms.
        order_margins: the same of the order: of another unit at this place.
        certain_convolutions: where the convolution is certain (``batch_norm_certainty``), and the order of its unit.
        certain_norms: the same of norms.
        certain_order: where it is certain that the unit stands here, as a whole.
    """

    convolutions: Int[np.ndarray, "units layers"]
    norms: Int[np.ndarray, "units layers"]
    squared_errors: Float[np.ndarray, " entries"]
    unit_errors: Float[np.ndarray, " units"]
    convolution_margins: Float[np.ndarray, "units layers"]
    norm_margins: Float[np.ndarray, "units layers"]
    order_margins: Float[np.ndarray, " units"]
    certain_convolutions: Bool[np.ndarray, "units layers"]
    certain_norms: Bool[np.ndarray, "units layers"]
    certain_order: Bool[np.ndarray, " units"]


def chain_of_units(
    units: Sequence[Unit],
    convolutions: Sequence[Convolution],
    norms: Sequence[Norm],
    *,
    eps: float = 1e-5,
    start: Moments | None = None,
    seed: int = 0,
    steps: int = STEPS,
) -> Chain:
    """Put convolutions and norms into units, and the units in order.

    Args:
        units: one for every place in the chain, in the order of the forward pass; alike but for their shapes.
        convolutions: as many as the units have, in any order.
        norms: as many.
        eps: of the norms.
        start: mean and variance of the stream before the first unit, where known and the convolution comes first.
        seed: of the annealing, which is done where a margin is small.
        steps: of the annealing.

    Raises:
        PileError: the counts do not fit, or no arrangement of links fits the shapes.
    """
    count = sum(len(unit) for unit in units)
    if not units or len(convolutions) != count or len(norms) != count:
        raise PileError(
            f"{len(units)} units need {count} convolutions and as many norms, and there are {len(convolutions)} and "
            f"{len(norms)}",
            "units",
            "Give the pieces of these units and no others",
        )
    books = Books(
        units,
        [piece.kernel for piece in convolutions],
        [np.zeros(len(piece.kernel)) if piece.bias is None else piece.bias for piece in convolutions],
        [norm.gamma for norm in norms],
        [norm.beta for norm in norms],
        [norm.mean for norm in norms],
        [norm.variance for norm in norms],
        eps=eps,
        start=start,
    )
    widths = [width for row in norm_widths(units) for width in row]
    placement = arranged(units, books, widths)
    hood = _neighbourhood(units, widths)
    placement = improve(placement, books.total, hood)
    found = margins(placement, books.total, hood)
    if found.least() < SETTLED:
        placement = shaken(placement, books.total, hood, np.random.default_rng(seed), steps)
        placement = improve(placement, books.total, hood)
        found = margins(placement, books.total, hood)
    errors = books.squared_errors(placement)
    convolution_margins, norm_margins = _table(found, "kernel", placement), _table(found, "mean", placement)
    written = np.array([[shape[0] for shape in unit.shapes] for unit in units])
    held = np.array(norm_widths(units))
    stream = held[:, 0] if units[0].norm_first else held[:, -1]
    ordered = certain(found.order, stream, errors)
    return Chain(
        placement.kernel,
        placement.mean,
        errors,
        books.unit_errors(placement),
        convolution_margins,
        norm_margins,
        found.order,
        ordered[:, None] & certain(convolution_margins, written, errors),
        ordered[:, None] & certain(norm_margins, held, errors),
        ordered,
    )


def _neighbourhood(units: Sequence[Unit], widths: Sequence[int]) -> Neighbourhood:
    """Convolutions of one shape, norms of one width and what follows a convolution may be exchanged."""
    pools: dict[object, list[Seat]] = {}
    bundles: dict[object, list[Seat]] = {}
    for i, unit in enumerate(units):
        cells = [_cell(units, i, k) for k in range(len(unit))]
        for k, shape in enumerate(unit.shapes):
            norm = tuple(Place(field, i, k) for field in ("gamma", "beta", "mean", "variance"))
            pools.setdefault(("convolution", shape), []).append((Place("kernel", i, k), Place("bias", i, k)))
            pools.setdefault(("norm", widths[i * len(unit) + k]), []).append(norm)
            if cells[k]:
                bundles.setdefault(shape, []).append(cells[k])
        inner = unit.between
        for k in inner[:-1]:
            rest = tuple(place for j in range(k, inner[-1] + 1) for place in cells[j])
            bundles.setdefault(unit.shapes[k : inner[-1] + 1], []).append(rest)
    kinds = [(unit.shapes, unit.adds) for unit in units]
    return Neighbourhood(
        tuple(tuple(seats) for seats in pools.values()),
        ((),) * len(pools),
        tuple(tuple(cells) for cells in bundles.values()),
        tuple(kinds.index(kind) for kind in kinds),
    )


def _cell(units: Sequence[Unit], place: int, layer: int) -> Seat:
    """A convolution and the norm behind it; nothing where no norm is behind it in the chain."""
    norm = (place, layer)
    if units[place].norm_first:
        norm = (place, layer + 1) if layer + 1 < len(units[place]) else (place + 1, 0)
    if norm[0] == len(units):
        return ()
    fields = (Place(field, *norm) for field in ("gamma", "beta", "mean", "variance"))
    return Place("kernel", place, layer), Place("bias", place, layer), *fields


def _table(found: Margins, field: str, placement: Placement) -> Float[np.ndarray, "units layers"]:
    table = np.full(placement.kernel.shape, np.inf)
    for place, margin in found.seats.items():
        if place.field == field:
            table[place.unit, place.layer] = margin
    return table
