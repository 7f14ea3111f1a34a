"""Soft permutations as they occur in training: Sinkhorn's iteration alone, and with sparse Newton steps.

    python -m bench trained_plans

Scores are kept at some steps of a Sinkhorn matching of two networks trained apart; each is solved both ways, to the
tolerance, at the temperature and by the falling epsilons of training.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from bench.common import options, show
from bench.merge_nets import computer_of, kind_of, pair_of
from reknit.match import sinkhorn_matching
from reknit.match.sinkhorn_matching import TOLERANCE, SinkhornMatching, match_sinkhorn
from reknit.solvers.sinkhorn import entropic_transport, falling_epsilons
from reknit.solvers.sinkhorn_newton import entropic_transport_newton
from reknit.solvers.soft_permutation import SPREAD
from reknit.solvers.transport import Transport

KEPT = (1, 10, 50, 100)


def main(argv: Sequence[str]) -> None:
    """Every kind, and a table."""
    torch.set_num_threads(options("trained_plans", argv).threads)
    rows = [row for kind in ("mlp-64", "mlp-256") for row in _rows(kind)]
    head = ("network, step", "spread/eps", "iterations", "newton", "of them N", "seconds", "newton", "differ by")
    show("Plans of training: Sinkhorn's iteration beside Newton's steps", head, rows)


def _rows(kind: str) -> list[list[object]]:
    found: list[list[object]] = []
    for step, scores in _scores(kind):
        epsilon = sinkhorn_matching._epsilon(len(scores), SinkhornMatching().sharpness)
        ones, spread = np.ones(len(scores)), float(np.ptp(scores)) / epsilon
        schedule = falling_epsilons(scores, epsilon) if spread > SPREAD else ()
        answers: list[Transport] = []
        seconds = []
        for solve in (entropic_transport, entropic_transport_newton):
            began = time.perf_counter()
            answers.append(solve(-scores, ones, ones, epsilon=epsilon, schedule=schedule, tolerance=TOLERANCE))
            seconds.append(time.perf_counter() - began)
        plain, newton = answers
        assert newton.converged, f"{kind}: Newton's steps did not get there"
        difference = float(np.abs(plain.plan - newton.plan).max())
        assert difference < 1e-3 or not plain.converged, f"{kind}: the plans differ by {difference}"
        done = [sum(stage.iterations for stage in each.stages) for each in answers]
        counts = [count if each.converged else f"> {count}" for count, each in zip(done, answers, strict=True)]
        taken = sum(stage.iterations for stage in newton.stages if stage.method != "sinkhorn")
        found.append([f"{kind}, {step}", spread, *counts, taken, *(f"{each:.4f}" for each in seconds), difference])
    return found


def _scores(kind: str) -> list[tuple[int, np.ndarray]]:
    """Of the first group, at the steps that are kept."""
    kept: list[np.ndarray] = []
    plan_of = sinkhorn_matching.plan_of

    def watched(scores: Tensor, sharpness: float) -> Tensor:
        kept.append(scores.detach().double().numpy().copy())
        return plan_of(scores, sharpness)

    with patch.object(sinkhorn_matching, "plan_of", watched):
        settings = SinkhornMatching(steps=max(KEPT))
        match_sinkhorn(computer_of(kind), *pair_of(kind, 0), kind_of(kind).known, settings)
    groups = len(kept) // max(KEPT)
    return [(step, kept[(step - 1) * groups]) for step in KEPT]
