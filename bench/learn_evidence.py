"""Learns what each kind of evidence weighs, from piles whose key is known, and tests it on piles left out.

    python -m bench.learn_evidence fit NAME... [--out FILE]         weights from these piles
    python -m bench.learn_evidence test NAME... --from NAME...      weights from the second list, solved on the first
    python -m bench.learn_evidence leave-out NAME... [--whole]      each net with weights learned from the others, or
                                                                    from other architectures: how often right, by margin

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
from reknit.solvers.quadratic_assignment import Placement, Problem, neighbours, solve
from reknit.wiring.joint import Joint
from reknit.wiring.learned import Learned, as_json
from reknit.wiring.weights_placement import least_sure

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
    return committee_of({name: examples(joint(name), np.random.default_rng([0, k])) for k, name in enumerate(names)})


def committee_of(found: Mapping[str, Mapping[str, np.ndarray]]) -> Learned:
    """The same from their examples."""
    members = [fit([found[each] for each in found if each != name]) for name in found]
    return Learned(fit(list(found.values())), tuple(members), tuple(found))


def test(name: str, pile: Joint, evidence: Learned, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Solve a shuffled pile and say how much is right; returns the margins of the repeated slots and who is right."""
    started = time.perf_counter()
    mixed = np.arange(len(pile.keys))
    rng = np.random.default_rng(seed)
    for members in (np.flatnonzero(pile.pool == k) for k in range(int(pile.pool.max()) + 1)):
        mixed[members] = rng.permutation(members)
    shuffled = Joint(pile.skeleton, pile.keys, [pile.tensors[k] for k in mixed])
    problem = shuffled.problem(evidence.weights)
    truth = np.argsort(mixed)
    found = solve(problem, starts=16, seed=seed)
    margin = np.array(least_sure(shuffled, evidence, found.placement, found.ends))
    seconds = time.perf_counter() - started
    counted = [k for k, key in enumerate(pile.keys) if pile.skeleton[key].index and np.isfinite(margin[k])]
    right = (found.placement == truth)[counted]
    margin = margin[counted]
    print(
        f"{name}: {right.sum()} of {len(right)} right; E {found.value:.1f}, of the truth {problem.value(truth):.1f}, "
        f"{sum(np.isclose(found.starts, found.value))} of {len(found.starts)} climbs end there, {seconds:.1f} s; "
        f"margins right: median {np.median(margin[right] if right.any() else np.nan):.2f}; "
        f"wrong: most {margin[~right].max() if not right.all() else np.nan:.2f}",
        flush=True,
    )
    return margin, right


def leave_out(names: Sequence[str], *, whole: bool) -> None:
    """Every net with evidence learned from the others, and the share that is right by margin.

    Args:
        names: the piles.
        whole: whether all nets of its architecture are left out too.
    """
    piles = {name: joint(name) for name in names}
    found = {name: examples(pile, np.random.default_rng([0, k])) for k, (name, pile) in enumerate(piles.items())}
    ends = []
    for name, pile in piles.items():
        others = [each for each in names if each != name and not (whole and architecture(each) == architecture(name))]
        ends.append(test(name, pile, committee_of({each: found[each] for each in others}), seed=1))
    margin, right = (np.concatenate(part) for part in zip(*ends, strict=True))
    print(f"all: {right.sum()} of {len(right)} right\nmargin         slots  right  share")
    for low, high in itertools.pairwise((-np.inf, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.5, 6.0, np.inf)):
        inside = (margin >= low) & (margin < high)
        if inside.any():
            share = right[inside].mean()
            print(f"{low:5.2f} to {high:5.2f}  {inside.sum():5d}  {right[inside].sum():5d}  {share:.3f}")


def architecture(name: str) -> str:
    """What is left out together: the published nets are all BERTs."""
    return "bert" if "-" not in name else name.split("-", maxsplit=1)[0]


def main(argv: list[str] | None = None) -> None:
    """Fit or test."""
    parser = argparse.ArgumentParser(prog="bench.learn_evidence")
    parser.add_argument("what", choices=["fit", "test", "leave-out"])
    parser.add_argument("names", nargs="+")
    parser.add_argument("--from", dest="source", nargs="+", default=[])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--whole", action="store_true")
    asked = parser.parse_args(argv)
    if asked.what == "fit":
        text = json.dumps(as_json(committee(asked.names)))
        (asked.out.write_text(text + "\n", encoding="utf-8") if asked.out else print(text))
        return
    if asked.what == "leave-out":
        leave_out(asked.names, whole=asked.whole)
        return
    evidence = committee(asked.source)
    for name in asked.names:
        test(name, joint(name), evidence, seed=1)


if __name__ == "__main__":
    main()
