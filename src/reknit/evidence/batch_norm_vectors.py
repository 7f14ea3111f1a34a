"""Residual units with BatchNorm put back together where every tensor is loose: kernels, and vectors without a role.

1. roles by sign: gammas and variances are (nearly) free of negative entries, betas and means are the rest; which of the
   two a vector is, and what is a bias, the fits decide;
2. fits (``batch_norm_triples``): (gamma, beta, mean) around every kernel between two norms, then for the kernels on the
   stream: norm first (gamma, beta, mean, next mean), joined to a path; convolution first, place by place from a known
   start, (kernel, mean) by what the stream has become, and with it the last beta of the unit before;
   where kernels on the stream have the shape of those inside, two ways of telling them apart are tried: whose fit
   inside is clearest, and whose fit inside is the clearer of its two (the mean before the first unit is often about 0,
   and the first kernel on the stream then fits inside as well);
3. fits are joined to units where kernels share hidden units, and what is left over is dealt out, by the cost of sites
   (``batch_norm_sites``);
4. exchanges and moves while the books get better (``batch_norm_search``).

Biases are not placed: before a norm they are near zero and nearly without effect, and on the stream alike.

Cost: pairs of vectors x kernels x means; seconds for 32 norms of 32 channels, one core.
Fails where vectors hardly moved in training: a gamma of all ones is everyone's. Nothing of it is certain, whatever the
margins: they rank the places, but on small networks wrong ones were seen with more than 100 nats. Prove it otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from reknit.errors import PileError
from reknit.evidence.batch_norm_books import Placement
from reknit.evidence.batch_norm_deal import Dealer, inside_by_difference
from reknit.evidence.batch_norm_moments import Moments
from reknit.evidence.batch_norm_pieces import Unit, all_widths
from reknit.evidence.batch_norm_search import Margins, Neighbourhood, Place, Seat, improve, margins
from reknit.evidence.batch_norm_sites import LooseBooks

Vector = Float[np.ndarray, " channels"]
CLOSED = 0.02
"""A squared error above which another way of dealing is tried."""
NEGATIVE = 0.1
"""The largest share of negative entries of a vector that may scale or divide."""


@dataclass(frozen=True)
class LooseChain:
    """Units in order, tensor by tensor.

    Attributes:
        placement: the number of the tensor at every place; biases are ``NOTHING``.
        squared_errors: of every entry of the books, in running variances.
        unit_errors: the largest of each unit.
        margins: in nats, of every place and of the order.
    """

    placement: Placement
    squared_errors: Float[np.ndarray, " entries"]
    unit_errors: Float[np.ndarray, " units"]
    margins: Margins


def chain_of_tensors(
    units: Sequence[Unit],
    kernels: Sequence[Float[np.ndarray, "out inside *taps"]],
    vectors: Sequence[Vector],
    *,
    eps: float = 1e-5,
    start: Moments | None = None,
    end: bool = False,
) -> LooseChain:
    """Place every kernel, and of the vectors those that are gammas, betas, means and variances of these units.

    Args:
        units: one for every place in the chain, in the order of the forward pass; alike but for their shapes.
        kernels: as many as the units have.
        vectors: at least four for every norm; the others (biases) stay unplaced.
        eps: of the norms.
        start: mean and variance of the stream before the first unit; needed where the convolution comes first, unless
            the first unit is not added to what it reads and its convolution has a shape of its own: then its first
            norm is dealt without a prediction.
        end: whether one more norm reads the stream behind all units; only where norms come first. The placement has one
            more row then, and its vectors are among the vectors.

    Raises:
        PileError: the counts do not fit, or no arrangement fits the shapes.
    """
    count = sum(len(unit) for unit in units)
    if not units or len(kernels) != count or len(vectors) < 4 * count:
        raise PileError(
            f"{len(units)} units need {count} kernels and at least {4 * count} vectors, and there are {len(kernels)} "
            f"and {len(vectors)}",
            "units",
            "Give the tensors of these units, and no other kernels",
        )
    books = LooseBooks(units, kernels, vectors, eps=eps, start=start)
    widths = all_widths(units, end=end and units[0].norm_first)
    scales, shifts = _by_sign(vectors, widths)

    def dealt(inside: Collection[int] | None) -> tuple[Placement, Neighbourhood]:
        end = len(widths) > len(units)
        first = Dealer(units, books, scales, shifts, end=end, inside=inside).placement()
        hood = _neighbourhood(units, widths, first, vectors, scales, shifts)
        return improve(first, books.total, hood), hood

    placement, hood = dealt(None)
    inside = inside_by_difference(units, books, scales, shifts)
    if inside is not None and books.squared_errors(placement).max(initial=0.0) > CLOSED:
        other = dealt(inside)
        placement, hood = min((placement, hood), other, key=lambda found: books.nats(found[0]))
    return LooseChain(
        placement,
        books.squared_errors(placement),
        books.unit_errors(placement),
        margins(placement, books.total, hood, doubled=True),
    )


def may_scale(vector: Vector) -> bool:
    """Whether a vector may be a gamma or a variance: nearly none of its entries is negative."""
    return float((vector < 0).mean()) <= NEGATIVE


def _by_sign(vectors: Sequence[Vector], widths: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """What may be a gamma or a variance, and what a beta or a mean: by the share of negatives, width by width."""
    needed: dict[int, int] = {}
    for row in widths:
        for width in row:
            needed[width] = needed.get(width, 0) + 2
    scales: list[int] = []
    shifts: list[int] = []
    for width, count in needed.items():
        members = [k for k, vector in enumerate(vectors) if len(vector) == width]
        shares = [float((vectors[k] < 0).mean()) for k in members]
        order = [members[k] for k in np.argsort(shares, kind="stable")]
        positive = sum(may_scale(vectors[k]) for k in members)
        cut = min(max(positive, count), len(members) - count)
        if cut < count:
            raise PileError(
                f"{2 * count} vectors of {width} channels are needed, and there are {len(members)}",
                "vectors",
                "Give the tensors of these units",
            )
        scales += order[:cut]
        shifts += order[cut:]
    return scales, shifts


def _neighbourhood(
    units: Sequence[Unit],
    widths: Sequence[Sequence[int]],
    placement: Placement,
    vectors: Sequence[Vector],
    scales: Sequence[int],
    shifts: Sequence[int],
) -> Neighbourhood:
    """Kernels of one shape; gammas and variances, betas and means of one width; fits as bundles."""
    pools: dict[tuple[str, object], list[Seat]] = {}
    bundles: dict[object, list[Seat]] = {}
    for i, row in enumerate(widths):
        for k, width in enumerate(row):
            for name, use in (("gamma", "scale"), ("variance", "scale"), ("beta", "shift"), ("mean", "shift")):
                pools.setdefault((use, width), []).append((Place(name, i, k),))
    for i, unit in enumerate(units):
        for k, shape in enumerate(unit.shapes):
            pools.setdefault(("kernel", shape), []).append((Place("kernel", i, k),))
            source = k if unit.norm_first else k - 1
            if source >= 0:
                inner = [Place("kernel", i, k), Place("gamma", i, source), Place("beta", i, source)]
                if k in unit.between:
                    inner.append(Place("mean", i, source + 1))
                    bundles.setdefault(("norm", shape), []).append((*inner, Place("variance", i, source + 1)))
                bundles.setdefault((k in unit.between, shape), []).append(tuple(inner))
    placed = (placement.gamma, placement.beta, placement.mean, placement.variance)
    standing = {int(number) for numbers in placed for number in numbers.ravel()}
    spares = []
    for kind, size in pools:
        allowed = {"scale": scales, "shift": shifts}.get(kind, ())
        spares.append(tuple(k for k in allowed if k not in standing and len(vectors[k]) == size))
    kinds = [(unit.shapes, unit.adds) for unit in units] + [((), False)] * (len(widths) - len(units))
    return Neighbourhood(
        tuple(tuple(seats) for seats in pools.values()),
        tuple(spares),
        tuple(tuple(cells) for cells in bundles.values()),
        tuple(kinds.index(kind) for kind in kinds),
    )
