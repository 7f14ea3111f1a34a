"""Learns what each kind of evidence weighs for vectors, from piles whose key is known, and tests it on piles left out.

    python -m bench.learn_vectors fit NAME... [--out FILE]
    python -m bench.learn_vectors leave-out NAME...        each net with weights learned from the others

In each slot the true tensor is to win in a softmax over all tensors of the shape; every pile counts the same, with a
ridge. Matrices stand where they belong.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from bench.solved_piles import solved
from reknit.skeleton.skeleton import Skeleton
from reknit.wiring.pools import Pool
from reknit.wiring.vector_beliefs import believe
from reknit.wiring.vector_evidence import VectorScores, vector_scores

RIDGE, PER_PILE = 1.0, 50.0
Example = tuple[VectorScores, int]


def pools(skeleton: Skeleton, tensors: Mapping[str, np.ndarray]) -> list[Pool]:
    """Pools of vectors of which there are several; every tensor is called by its slot."""
    found: dict[tuple[int, ...], list[str]] = {}
    for slot in skeleton.slots:
        if len(slot.shape) == 1 and tensors[slot.key].dtype.kind == "f":
            found.setdefault(slot.shape, []).append(slot.key)
    return [Pool(tuple(keys), tuple(keys)) for keys in found.values() if len(keys) > 1]


def examples(name: str) -> list[Example]:
    """The evidence in every slot, and which tensor is the right one."""
    skeleton, tensors = solved(name)
    found = []
    for pool in pools(skeleton, tensors):
        stacked = np.stack([tensors[key] for key in pool.tensors])
        scores = vector_scores(skeleton, pool.slots, stacked, tensors.__getitem__)
        found += [(scores[slot], k) for k, slot in enumerate(pool.slots) if slot in scores]
    return found


def fit(piles: Sequence[Sequence[Example]]) -> dict[str, float]:
    """The weights of the highest likelihood, with a ridge."""
    keys = sorted({key for pile in piles for one, _ in pile for key in one.scores})
    number = {key: k for k, key in enumerate(keys)}
    rows = [
        (
            np.array([number[key] for key in one.scores]),
            np.stack(list(one.scores.values())),
            one.prior,
            truth,
            len(pile),
        )
        for pile in piles
        for one, truth in pile
    ]

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = 0.5 * RIDGE * float(beta @ beta), RIDGE * beta
        for which, scores, prior, truth, count in rows:
            logits = beta[which] @ scores + prior
            total = logsumexp(logits)
            share = PER_PILE / count
            value += share * float(total - logits[truth])
            slope[which] += share * (scores @ np.exp(logits - total) - scores[:, truth])
        return value, slope

    end = minimize(loss, np.zeros(len(keys)), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return {key: round(float(value), 3) for key, value in zip(keys, end.x, strict=True) if abs(value) >= 5e-4}


def tested(name: str, weights: Mapping[str, float]) -> np.ndarray:
    """How many vectors of a shuffled pile are placed right; returns belief and whether right, slot by slot."""
    skeleton, tensors = solved(name)
    found = []
    likelihood = []
    for pool in pools(skeleton, tensors):
        mixed = Pool(pool.slots, tuple(np.random.default_rng(0).permutation(pool.tensors).tolist()))
        said = believe(skeleton, mixed, tensors.__getitem__, {key: key for key in tensors}, weights)
        assert said is not None
        found += [(said.beliefs[slot][said.placement[slot]], said.placement[slot] == slot) for slot in pool.slots]
        likelihood += [np.log(max(said.beliefs[slot][slot], 1e-9)) for slot in pool.slots]
    belief, right = np.array(found).T
    worst = belief[right == 0].max(initial=0.0)
    print(
        f"{name}: {right.sum():.0f} of {len(right)} right; mean log belief of the truth {np.mean(likelihood):.2f}; "
        f"expected right {belief.sum():.1f}; most belief in a wrong tensor {worst:.2f}",
        flush=True,
    )
    return np.array(found)


def main(argv: list[str] | None = None) -> None:
    """Fit or test."""
    parser = argparse.ArgumentParser(prog="bench.learn_vectors")
    parser.add_argument("what", choices=["fit", "leave-out"])
    parser.add_argument("names", nargs="+")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args(argv)
    piles = {name: examples(name) for name in asked.names}
    if asked.what == "fit":
        text = json.dumps({"learned from": asked.names, "weights": fit(list(piles.values()))}, indent=0)
        (asked.out.write_text(text + "\n", encoding="utf-8") if asked.out else print(text))
        return
    for name in asked.names:
        tested(name, fit([pile for each, pile in piles.items() if each != name]))


if __name__ == "__main__":
    main()
