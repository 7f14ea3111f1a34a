"""Learns what each kind of evidence weighs, from piles whose key is known, and tests it on piles left out.

    python -m bench.learn_evidence fit NAME... [--out FILE]         weights from these piles
    python -m bench.learn_evidence test NAME... [--from NAME...]    weights from the second list (the shipped ones,
                                                                    where there is none), solved on the first
    python -m bench.learn_evidence leave-out NAME... [--whole]      each net with weights learned from the others, or
                                                                    from other architectures: how often right, by margin

``--out`` keeps the weights, or what ``bench.reliability`` draws.

The true placement is to win against every neighbouring one: logistic regression on the differences of what each kind
of evidence adds up to (a conditional logit), with a ridge. Margins are then log-odds under that model.
Neighbours are all exchanges and moves of rungs, and as many placements two to four moves away.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.special import expit

from bench.reliability import Outcome, outcome_of, save, tables
from bench.solved_piles import solved
from reknit.solvers.quadratic_assignment import Placement, Problem, neighbours, solve
from reknit.wiring.designs import design_of
from reknit.wiring.joint import Joint
from reknit.wiring.learned import Learned, as_json, learned
from reknit.wiring.weights_placement import least_sure

RIDGE = 30.0
PER_PILE = 3000.0
MOST = 6000
NEWTON_STEPS = 60
Examples = Mapping[str, Mapping[str, np.ndarray]]


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

    return {
        key: round(float(value), 4)
        for key, value in zip(keys, logistic(differences, weight), strict=True)
        if abs(value) > 1e-4
    }


def logistic(differences: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The least of the ridge-penalised logistic loss, by Newton steps that are halved until they help."""
    beta = np.zeros(differences.shape[1])
    value = logistic_loss(differences, weight, beta)
    for _ in range(NEWTON_STEPS):
        wrong = expit(-(differences @ beta))
        slope = RIDGE * beta - differences.T @ (weight * wrong)
        curved = differences * (weight * wrong * (1 - wrong))[:, None]
        curvature = curved.T @ differences + RIDGE * np.eye(len(beta))
        step = np.linalg.solve(curvature, slope)
        size, before = 1.0, value
        while (value := logistic_loss(differences, weight, beta - size * step)) > before and size > 1e-6:
            size /= 2
        beta = beta - size * step
        if before - value < 1e-9 * max(before, 1.0):
            break
    return beta


def logistic_loss(differences: np.ndarray, weight: np.ndarray, beta: np.ndarray) -> float:
    """What ``logistic`` makes least."""
    return float(weight @ np.logaddexp(0.0, -(differences @ beta)) + 0.5 * RIDGE * beta @ beta)


def committee(names: Sequence[str]) -> Learned:
    """Weights from all these piles, and from all but one."""
    piles = {name: joint(name) for name in names}
    found = {name: examples(pile, np.random.default_rng([0, k])) for k, (name, pile) in enumerate(piles.items())}
    return committee_of(piles, found, {})


def committee_of(piles: Mapping[str, Joint], found: Examples, kept: dict[frozenset[str], dict[str, float]]) -> Learned:
    """The same from their examples; ``kept`` remembers weights by the piles they are from."""

    def weights(names: frozenset[str]) -> dict[str, float]:
        if names not in kept:
            kept[names] = fit([found[name] for name in found if name in names])
        return kept[names]

    whole = frozenset(found)
    designs = frozenset(design_of(piles[name].skeleton) for name in found)
    return Learned(weights(whole), tuple(weights(whole - {name}) for name in found), tuple(found), designs)


def test(name: str, pile: Joint, evidence: Learned, seed: int) -> Outcome:
    """Solve a shuffled pile and say how much is right."""
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
    outcome = outcome_of(name, shuffled, evidence, found, margin, truth)
    seconds = time.perf_counter() - started
    right, wrong = outcome.margins[outcome.right], outcome.margins[~outcome.right]
    print(
        f"{name}: {len(right)} of {len(outcome.right)} right, edges {outcome.edge_right.sum()} of "
        f"{len(outcome.edge_right)}; E {found.value:.1f}, of the truth {problem.value(truth):.1f}, "
        f"{sum(np.isclose(found.starts, found.value))} of {len(found.starts)} climbs end there, {seconds:.1f} s; "
        f"margins right: median {np.median(right if right.size else np.nan):.2f}; "
        f"wrong: most {wrong.max(initial=-np.inf):.2f}, edges {outcome.worst_edge:.2f}",
        flush=True,
    )
    return outcome


def leave_out(names: Sequence[str], *, whole: bool) -> list[Outcome]:
    """Every net with evidence learned from the others.

    Args:
        names: the piles.
        whole: whether all nets of its architecture are left out too.
    """
    piles = {name: joint(name) for name in names}
    found = {name: examples(pile, np.random.default_rng([0, k])) for k, (name, pile) in enumerate(piles.items())}
    kept: dict[frozenset[str], dict[str, float]] = {}
    outcomes = []
    for name, pile in piles.items():
        others = [each for each in names if each != name and not (whole and architecture(each) == architecture(name))]
        evidence = committee_of(piles, {each: found[each] for each in others}, kept)
        outcomes.append(test(name, pile, evidence, seed=1))
    return outcomes


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
        outcomes = leave_out(asked.names, whole=asked.whole)
    else:
        evidence = committee(asked.source) if asked.source else learned()
        outcomes = [test(name, joint(name), evidence, seed=1) for name in asked.names]
    tables(outcomes)
    if asked.out:
        save(outcomes, asked.out)


if __name__ == "__main__":
    main()
