"""A first arrangement of convolutions and norms, built from the front of the chain, for the search to start from.

A beginning of a chain says what mean the next convolution reads. All convolutions that fit are applied to it, all norms
that fit are compared with what comes out, and the beginning grows by the pairs of the least relative error

    e = mean over channels of (p_c - m_c)^2 / (v_c + eps)   over   mean over channels of (p_c^2 + m_c^2) / (v_c + eps)

which favours neither large norms nor small ones. The ``width`` beginnings of the least sum of log e are kept. With the
norm first, p of a unit's last convolution is its rise above the unit's first mean, and the chain may begin with any
norm: the beams of all beginnings are run, the best end is taken.

Source: beam search.
Cost: for each beginning kept and each convolution, one product of the convolutions left with a vector, and one of
convolutions x norms x channels.
Fails where several pairs agree about equally (gammas and betas of all norms alike): the search has to exchange them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from reknit.errors import PileError
from reknit.evidence.batch_norm_books import Books, Placement
from reknit.evidence.batch_norm_errors import relative_log_errors
from reknit.evidence.batch_norm_pieces import Unit


class _Beginning(NamedTuple):
    """Convolutions and norms in the order of the forward pass, and the sum of the log errors of their pairs."""

    total: float
    kernels: tuple[int, ...]
    norms: tuple[int, ...]


def arranged(units: Sequence[Unit], books: Books, widths: Sequence[int], beam: int = 8, retried: int = 3) -> Placement:
    """The chain that grows best from the front; bias and kernel, and all fields of a norm, have one number each.

    Args:
        units: of the chain.
        books: of the convolutions and norms.
        widths: channels of the norm at each place, in the order of the forward pass.
        beam: beginnings kept at every step; where there are several first norms, 2 to begin with.
        retried: how many of the first norms are then tried with all of them.

    Raises:
        PileError: no chain fits the shapes.
    """
    firsts = list(_firsts(units, books, widths))
    if len(firsts) > 1:
        ends = [_grown(first, units, books, widths, min(beam, 2)) for first in firsts]
        totals = [np.inf if end is None else end.total for end in ends]
        firsts = [firsts[k] for k in np.argsort(totals, kind="stable")[:retried]]
    ends = [_grown(first, units, books, widths, beam) for first in firsts]
    found = [end for end in ends if end is not None]
    if not found:
        raise PileError("no chain fits the shapes", "units", "Check that the pieces are those of these units")
    best = min(found, key=lambda end: end.total)
    layers = len(units[0])
    kernel = np.array(best.kernels).reshape(-1, layers)
    norm = np.array(best.norms).reshape(-1, layers)
    return Placement(kernel, kernel.copy(), norm, norm.copy(), norm.copy(), norm.copy())


def _firsts(units: Sequence[Unit], books: Books, widths: Sequence[int]) -> Iterator[list[_Beginning]]:
    """The beginnings to start from, in sets that compete."""
    norms = [k for k, mean in enumerate(books.means) if len(mean) == widths[0]]
    if units[0].norm_first:
        yield from ([_Beginning(0.0, (), (norm,))] for norm in norms)
    elif books.start is not None:
        yield [_Beginning(0.0, (), ())]
    else:
        kernels = [k for k, shape in enumerate(books.shapes) if shape == units[0].shapes[0]]
        yield from ([_Beginning(0.0, (kernel,), (norm,))] for kernel in kernels for norm in norms)


def _grown(
    beginnings: list[_Beginning], units: Sequence[Unit], books: Books, widths: Sequence[int], beam: int
) -> _Beginning | None:
    size = len(books.shapes)
    while beginnings and len(beginnings[0].norms) < size:
        longer = [more for beginning in beginnings for more in _longer(beginning, units, books, widths, beam)]
        beginnings = sorted(longer, key=lambda entry: entry.total)[:beam]
    if not beginnings:
        return None
    best = beginnings[0]
    left = [k for k in range(size) if k not in best.kernels]
    return best._replace(kernels=(*best.kernels, *left))


def _longer(
    beginning: _Beginning, units: Sequence[Unit], books: Books, widths: Sequence[int], beam: int
) -> list[_Beginning]:
    """The beginning and its best pairs of one more convolution and one more norm."""
    unit, layer = divmod(len(beginning.kernels), len(units[0]))
    shape, width = units[unit].shapes[layer], widths[len(beginning.norms)]
    kernels = [k for k, other in enumerate(books.shapes) if other == shape and k not in beginning.kernels]
    norms = [k for k, mean in enumerate(books.means) if len(mean) == width and k not in beginning.norms]
    if not kernels or not norms or shape[0] != width:
        return []
    means = np.stack([books.means[k] for k in norms])
    variances = np.stack([books.variances[k] for k in norms])
    if units[0].norm_first and layer == len(units[0]) - 1:  # the rise of the stream
        first = beginning.norms[-len(units[0])]
        means, variances = means - books.means[first], variances + books.variances[first]
    predicted = np.stack([_predicted(beginning, kernel, unit, layer, books) for kernel in kernels])
    logs = np.min([relative_log_errors(edge, means, variances) for edge in np.moveaxis(predicted, 1, 0)], axis=0)
    found = []
    for k in np.argsort(logs, axis=None)[:beam]:
        kernel, norm = divmod(int(k), len(norms))
        total = beginning.total + float(logs[kernel, norm])
        found.append(_Beginning(total, (*beginning.kernels, kernels[kernel]), (*beginning.norms, norms[norm])))
    return found


def _predicted(
    beginning: _Beginning, kernel: int, unit: int, layer: int, books: Books
) -> Float[np.ndarray, "edges out"]:
    """What the kernel makes of the mean it would read."""
    if layer or books.unit.norm_first:
        norm = beginning.norms[-1]
        return books.predicted(kernel, kernel, norm, norm)
    layers = len(books.unit)
    prefix = tuple(norm for i in range(unit) for norm in (beginning.norms[(i + 1) * layers - 1],) * 2)
    first = (beginning.kernels[0],) * 2 + (beginning.norms[0],) * 2 if beginning.norms else (0, 0, 0, 0)
    return books.through(kernel, kernel, books.stream(prefix, first).mean)
