"""Many sets matched at once: how often corrupted pairwise matches are put right, by share of corruption."""

from __future__ import annotations

import itertools

import numpy as np

from bench.common import options, show
from reknit.solvers.barycentre import consistent_matching

SHARES = (0.0, 0.1, 0.3, 0.5, 0.7)
SETS = (3, 5, 10, 20)
ITEMS = 16
SEEDS = 10


def planted(seed: int, sets: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """True labels, and pairwise permutations of which a share is drawn at random instead."""
    rng = np.random.default_rng([seed, sets, round(100 * share)])
    labels = np.stack([rng.permutation(ITEMS) for _ in range(sets)])
    scores = np.zeros((sets, sets, ITEMS, ITEMS))
    for i, j in itertools.combinations(range(sets), 2):
        columns = rng.permutation(ITEMS) if rng.random() < share else np.argsort(labels[j])[labels[i]]
        scores[i, j, np.arange(ITEMS), columns] = 1
        scores[j, i] = scores[i, j].T
    return labels, scores


def right_pairs(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float, float, bool]:
    """The share of right matches over all pairs of sets: as given, by the first set alone, and found together."""
    found = consistent_matching(scores)
    given, first, together = [], [], []
    for i, j in itertools.combinations(range(len(labels)), 2):
        truth = np.argsort(labels[j])[labels[i]]
        given.append((scores[i, j].argmax(1) == truth).mean())
        through = scores[0, j].argmax(1)[scores[i, 0].argmax(1)] if i else scores[0, j].argmax(1)
        first.append((through == truth).mean())
        together.append((found.matching(i, j) == truth).mean())
        cycle = found.matching(j, 0)[found.matching(i, j)]
        assert np.array_equal(cycle, found.matching(i, 0)), "a cycle does not close"
    whole = bool(np.min(together) == 1)
    return float(np.mean(given)), float(np.mean(first)), float(np.mean(together)), whole


def main(argv: list[str]) -> None:
    """Every number of sets and share; without corruption all has to be right."""
    options("many_sets", argv)
    rows = []
    for sets in SETS:
        for share in SHARES:
            found = [right_pairs(*planted(seed, sets, share)) for seed in range(SEEDS)]
            given, first, together, whole = np.mean(found, axis=0)
            assert share or whole == 1, f"exact pairs of {sets} sets were not kept"
            rows.append(
                (sets, share, float(given), float(first), float(together), f"{round(whole * SEEDS)} of {SEEDS}")
            )
    head = ("sets", "corrupted", "right as given", "through set 1", "found", "all right")
    show(f"matches of {ITEMS} items, share of right ones over all pairs of sets, {SEEDS} seeds", head, rows)
