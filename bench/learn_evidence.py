"""Learns what each kind of evidence weighs, from piles whose key is known, and tests it on piles left out.

    python -m bench.learn_evidence fit NAME... [--out FILE]         weights from these piles
    python -m bench.learn_evidence test NAME... --from NAME...      weights from the second list, solved on the first
    python -m bench.learn_evidence leave-out NAME...                each net with weights learned from nets of other
                                                                    architectures; then: how often right, by margin

The true placement is to win against every neighbouring one: logistic regression on the differences of what each kind
of evidence adds up to (a conditional logit), with a ridge. Margins are then log-odds under that model.
Neighbours are all exchanges and moves of rungs, and as many placements two to four moves away.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from bench.solved_piles import solved
from reknit.solvers.quadratic_assignment import Placement, Problem, margins, neighbours, solve
from reknit.wiring.joint import Joint
from reknit.wiring.learned import Learned, as_json

RIDGE = 30.0
PER_PILE = 3000.0
MOST = 6000


def joint(name: str) -> Joint:
    """The objective of a solved pile; the truth is the identity."""
    skeleton, tensors = solved(name)
    keys = [key for key, tensor in tensors.items() if tensor.ndim > 1 and tensor.dtype.kind == "f"]
    return Joint(skeleton, keys, [tensors[key] for key in keys])


def sums(pile: Joint, problem: Problem, drafts: np.ndarray) -> dict[str, np.ndarray]:
    """What each kind of evidence adds up to in each placement."""
    found: dict[str, np.ndarray] = {}
    spots = problem.spots[drafts]
    for relation in pile.relations:
        first, second = np.array(relation.pairs).T
        total = relation.scores[spots[:, first], spots[:, second]].sum(1)
        found[relation.key] = found.get(relation.key, 0.0) + total
    return found


def examples(pile: Joint, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Truth less rival, kind by kind, for many rivals."""
    problem = pile.problem({})
    truth = np.arange(len(pile.keys))
    near = neighbours(problem, truth)
    if len(near) > MOST // 2:
        near = near[rng.choice(len(near), MOST // 2, replace=False)]
    far = np.stack([wandered(near, truth, rng) for _ in range(len(near))])
    drafts = np.concatenate([truth[None], near, far])
    return {key: total[0] - total[1:] for key, total in sums(pile, problem, drafts).items()}


def wandered(near: np.ndarray, truth: Placement, rng: np.random.Generator) -> Placement:
    """Two to four moves one after the other."""
    draft = truth
    for move in near[rng.integers(len(near), size=rng.integers(2, 5))]:
        draft = draft[move]
    return draft


def fit(found: Sequence[Mapping[str, np.ndarray]]) -> dict[str, float]:
    """The weights, by key of the relation, from the examples of some piles."""
    keys = sorted({key for each in found for key in each})
    rows, counts = [], []
    for each in found:
        size = len(next(iter(each.values())))
        rows.append(np.stack([each.get(key, np.zeros(size)) for key in keys], 1))
        counts.append(np.full(size, PER_PILE / size))
    differences, weight = np.concatenate(rows), np.concatenate(counts)

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        odds = differences @ beta
        value = weight @ np.logaddexp(0.0, -odds) + 0.5 * RIDGE * beta @ beta
        slope = -(weight / (1.0 + np.exp(np.clip(odds, -50, 50)))) @ differences + RIDGE * beta
        return float(value), slope

    end = minimize(loss, np.zeros(len(keys)), jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    return {key: round(float(value), 4) for key, value in zip(keys, end.x, strict=True) if abs(value) > 1e-4}


def committee(names: Sequence[str]) -> Learned:
    """Weights from all these piles, and from all but one."""
    found = {name: examples(joint(name), np.random.default_rng([0, k])) for k, name in enumerate(names)}
    members = [fit([found[each] for each in names if each != name]) for name in names]
    return Learned(fit(list(found.values())), tuple(members), tuple(names))


def test(name: str, pile: Joint, weights: Mapping[str, float], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Solve a pile and say how much of it is right; returns the margins of the repeated slots and who is right."""
    started = time.perf_counter()
    problem = pile.problem(weights)
    truth = np.arange(len(pile.keys))
    found = solve(problem, starts=12, seed=seed)
    margin = margins(problem, found.placement, found.ends)
    seconds = time.perf_counter() - started
    counted = [k for k, key in enumerate(pile.keys) if pile.skeleton[key].index and np.isfinite(margin[k])]
    right = (found.placement == truth)[counted]
    margin = margin[counted]
    print(
        f"{name}: {right.sum()} of {len(right)} right; E {found.value:.1f}, of the truth {problem.value(truth):.1f}, "
        f"{sum(np.isclose(found.starts, found.value))} of {len(found.starts)} climbs end there, {seconds:.1f} s; "
        f"margins right: least {least(margin[right])}, median {np.median(margin[right] if right.any() else 0):.2f}; "
        f"wrong: most {least(-margin[~right], -1)}",
        flush=True,
    )
    return margin, right


def leave_out(names: Sequence[str]) -> None:
    """Every net with weights from the other architectures, and the share that is right by margin."""
    piles = {name: joint(name) for name in names}
    found = {name: examples(pile, np.random.default_rng([0, k])) for k, (name, pile) in enumerate(piles.items())}
    ends = []
    for name, pile in piles.items():
        others = [each for each in names if architecture(each) != architecture(name)]
        ends.append(test(name, pile, fit([found[each] for each in others]), seed=1))
    margin, right = (np.concatenate(part) for part in zip(*ends, strict=True))
    print("margin        slots  right  share")
    for low, high in itertools.pairwise((-np.inf, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, np.inf)):
        inside = (margin >= low) & (margin < high)
        if inside.any():
            share = right[inside].mean()
            print(f"{low:5.2f} to {high:5.2f}  {inside.sum():5d}  {right[inside].sum():5d}  {share:.3f}")


def architecture(name: str) -> str:
    """What is left out together: the published nets are all BERTs."""
    return "bert" if "-" not in name else name.split("-", maxsplit=1)[0]


def least(values: np.ndarray, sign: int = 1) -> str:
    """The smallest value, or '-' of none."""
    return f"{sign * values.min():.2f}" if len(values) else "-"


def main(argv: list[str] | None = None) -> None:
    """Fit or test."""
    parser = argparse.ArgumentParser(prog="bench.learn_evidence")
    parser.add_argument("what", choices=["fit", "test", "leave-out"])
    parser.add_argument("names", nargs="+")
    parser.add_argument("--from", dest="source", nargs="+", default=[])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args(argv)
    if asked.what == "fit":
        text = json.dumps(as_json(committee(asked.names)))
        (asked.out.write_text(text + "\n", encoding="utf-8") if asked.out else print(text))
        return
    if asked.what == "leave-out":
        leave_out(asked.names)
        return
    weights = committee(asked.source).weights
    for name in asked.names:
        test(name, joint(name), weights, seed=1)


if __name__ == "__main__":
    main()
