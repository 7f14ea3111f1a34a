"""How often the bookkeeping of BatchNorms is right, kind by kind, with all else known; see ``bench.evidence_alone``.

means inside a unit   norms matched to running means by relative log error of the mean predicted from kernel, gamma
                      and beta before them
rises of the stream   units matched to the unit behind them by the rise of the mean that they predict (norm first)
sites, variances      norms matched to running variances by the cost of their sites; gammas in the same way
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from bench.solved_piles import solved
from reknit.evidence.batch_norm_books import NOTHING
from reknit.evidence.batch_norm_errors import relative_log_errors
from reknit.evidence.batch_norm_moments import moments_after
from reknit.evidence.batch_norm_sites import LooseBooks, standing
from reknit.evidence.convolution_taps import edge_sums, passed_on
from reknit.solvers.assignment import best_matching
from reknit.wiring.batch_norm_units import UnitChain, find_chains

Tensors = Mapping[str, np.ndarray]
Tables = dict[str, list[np.ndarray]]
GAMMA, VARIANCE = 2, 5


def norm_counts(names: Sequence[str]) -> list[list[object]]:
    """A row for every kind, over these nets: right of how many, and by chance."""
    right: dict[str, int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    chance: dict[str, int] = defaultdict(int)
    rng = np.random.default_rng(0)
    for name in names:
        skeleton, tensors = solved(name)
        for chain in find_chains(skeleton):
            for label, tables in tables_of(chain, tensors).items():
                for costs in tables:
                    order = rng.permutation(len(costs))
                    found = order[best_matching(-costs[:, order])]
                    right[label] += int((found == np.arange(len(costs))).sum())
                    total[label] += len(costs)
                    chance[label] += 1
    return [[label, f"{right[label]} of {total[label]}", chance[label]] for label in total]


def tables_of(chain: UnitChain, tensors: Tensors) -> Tables:
    """Costs, small where right, with the truth on the diagonal; one table for every width of norms."""
    found: Tables = defaultdict(list)
    found["means inside a unit"] = _by_width(_inside(chain, tensors))
    if chain.units[0].shape.norm_first:
        found["rises of the stream"] = _by_width(_rises(chain, tensors))
    for label, field in (("sites, variances", VARIANCE), ("sites, gammas", GAMMA)):
        found[label] = _sites(chain, tensors, field)
    return {label: tables for label, tables in found.items() if tables}


Pair = tuple[np.ndarray, np.ndarray]


def _predicted(chain: UnitChain, tensors: Tensors, unit: int, layer: int, norm: int) -> np.ndarray:
    """What a kernel makes of the norm before it, for each distance of the edges."""
    activation = chain.units[0].shape.activation
    gamma, beta = (tensors[str(chain.slot(field, unit, norm))].astype(np.float64) for field in ("gamma", "beta"))
    mean = moments_after(activation, beta, gamma**2).mean
    bias = chain.slot("bias", unit, layer)
    shift = tensors[bias] if bias else 0.0
    return passed_on(edge_sums(tensors[str(chain.slot("kernel", unit, layer))]), mean) + shift


def _inside(chain: UnitChain, tensors: Tensors) -> list[Pair]:
    first = chain.units[0].shape.norm_first
    pairs = []
    for unit, one in enumerate(chain.units):
        for k in one.shape.between:
            source, target = (k, k + 1) if first else (k - 1, k)
            mean = tensors[str(chain.slot("mean", unit, target))].astype(np.float64)
            pairs.append((_predicted(chain, tensors, unit, k, source), mean))
    return pairs


def _rises(chain: UnitChain, tensors: Tensors) -> list[Pair]:
    """Every unit's rise, against the mean of every first norm less the unit's own."""
    last = len(chain.units[0].layers) - 1
    pairs = []
    for unit in range(len(chain.units) - (chain.end is None)):
        rise = _predicted(chain, tensors, unit, last, last)
        own = tensors[str(chain.slot("mean", unit, 0))]
        pairs.append((rise + own, tensors[str(chain.slot("mean", unit + 1, 0))].astype(np.float64)))
    return pairs


def _by_width(pairs: Sequence[Pair]) -> list[np.ndarray]:
    widths: dict[int, list[Pair]] = defaultdict(list)
    for predicted, mean in pairs:
        widths[len(mean)].append((predicted, mean))
    tables = []
    for group in widths.values():
        means = np.stack([mean for _, mean in group])
        rows = [relative_log_errors(predicted, means, np.ones_like(means)).min(0) for predicted, _ in group]
        if len(group) > 1:
            tables.append(np.stack(rows))
    return tables


def _sites(chain: UnitChain, tensors: Tensors, field: int) -> list[np.ndarray]:
    units = [unit.shape for unit in chain.units]
    kernels: list[np.ndarray] = []
    vectors: list[np.ndarray] = []
    rows = []
    for unit, one in enumerate(chain.units):
        layers = []
        for layer in range(len(one.layers)):
            numbers = [len(kernels), NOTHING]
            kernels.append(tensors[str(chain.slot("kernel", unit, layer))])
            for name in ("gamma", "beta", "mean", "variance"):
                numbers.append(len(vectors))
                vectors.append(tensors[str(chain.slot(name, unit, layer))])
            layers.append(numbers)
        rows.append(layers)
    books = LooseBooks(units, kernels, vectors, eps=chain.eps)
    widths: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for unit, layers in enumerate(rows):
        for layer, numbers in enumerate(layers):
            widths[len(vectors[numbers[field]])].append((unit, layer))
    return [_costs(books, rows, places, field) for places in widths.values() if len(places) > 1]


def _costs(books: LooseBooks, rows: list[list[list[int]]], places: list[tuple[int, int]], field: int) -> np.ndarray:
    held = [rows[unit][layer][field] for unit, layer in places]
    table = np.empty((len(places), len(places)))
    for s, (unit, layer) in enumerate(places):
        for t, number in enumerate(held):
            draft = [list(numbers) for numbers in rows[unit]]
            draft[layer][field] = number
            table[s, t] = sum(books.site(standing(draft, k, books.unit.norm_first)) for k in range(len(draft)))
    return table
