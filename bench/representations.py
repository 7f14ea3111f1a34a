"""Claims about comparing representations, at a size that runs here.

    python -m bench representations [--seeds 5] [--replications 500]

1. CKA tells which layers of two nets trained from different seeds correspond; CCA does so less well (arXiv 1905.00414).
2. Stochastic CCA recovers the exact correlations from minibatches (arXiv 2310.01012).
3. Bootstrap regions for principal subspaces cover at their nominal rate (arXiv 1703.00871).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import combinations

import numpy as np
import torch

from bench.common import options, show
from bench.digits_mlp import TRAINED_ON, activations, digits, made, trained
from bench.intervals import interval
from reknit.match.cka import cka
from reknit.match.stochastic_cca import exact_cca, stochastic_cca
from reknit.match.subspace import subspace_region

SIZES = (64, 64, 64, 64, 64, 64, 10)
MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "linear CKA, unbiased": cka,
    "linear CKA, biased": lambda x, y: cka(x, y, unbiased=False),
    "RBF CKA, unbiased": lambda x, y: cka(x, y, kernel="rbf"),
    "CCA, mean squared correlation": lambda x, y: float(np.square(exact_cca(x, y).correlations).mean()),
}


def layers_found(inner: list[list[np.ndarray]]) -> None:
    """For each layer of a net, is the most similar layer of another net the one at its depth?"""
    rows = []
    for name, measure in MEASURES.items():
        right = []
        for a, b in combinations(range(len(inner)), 2):
            similar = np.array([[measure(x, y) for y in inner[b]] for x in inner[a]])
            right += [float(np.mean(s.argmax(1) == np.arange(len(s)))) for s in (similar, similar.T)]
        rows.append([name, f"{100 * np.mean(right):.1f} %", f"{100 * min(right):.0f} %"])
    depth, pairs = len(inner[0]), len(inner) * (len(inner) - 1)
    title = "layers whose most similar layer in a net of another seed is at their depth"
    show(
        f"{title}; {depth} layers, chance {100 / depth:.0f} %, {pairs} ordered pairs",
        ["measure", "mean", "worst pair"],
        rows,
    )


def stochastic_against_exact(inner: list[list[np.ndarray]], seeds: int) -> None:
    """The largest ten correlations of the same layer in two nets, and of planted ones."""
    rows = []
    pairs = list(combinations(range(len(inner)), 2))[:seeds]
    cases = [(f"layer {k + 1} of digits nets", [(inner[a][k], inner[b][k]) for a, b in pairs]) for k in (0, 4)]
    cases.append(("planted, 100 + 80 wide, 4000 rows", [planted(seed) for seed in range(seeds)]))
    for name, views in cases:
        for steps in (500, 2000):
            errors, seconds = [], []
            for seed, (x, y) in enumerate(views):
                exact = exact_cca(x, y).correlations[:10]
                began = time.perf_counter()
                found = stochastic_cca(x, y, 10, batch=256, steps=steps, seed=seed).correlations
                seconds.append(time.perf_counter() - began)
                errors.append(exact - found)
            worst, mean = np.abs(errors).max(1), np.mean(errors, axis=1)
            rows.append([name, steps, "{:.5f} ± {:.5f}".format(*interval(mean)), worst.max(), float(np.mean(seconds))])
    show(
        "ten largest canonical correlations, exact less stochastic",
        ["views", "steps", "mean", "worst", "seconds"],
        rows,
    )


def planted(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two wide views of ten shared variables."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(4000, 10)) * np.linspace(2, 0.7, 10)
    x, y = (shared @ rng.normal(size=(10, w)) / 3 + rng.normal(size=(4000, w)) for w in (100, 80))
    return x, y


def covered(replications: int) -> None:
    """How often regions hold the truth: ten dimensions, the top two."""
    rows = []
    wide, narrow = [6.0, 5.0, *[1.0] * 8], [2.0, 1.5, *[1.0] * 8]
    cases = (("gap 4", wide, "normal"), ("gap 4", wide, "t, 5 degrees"), ("gap 0.5", narrow, "normal"))
    for name, values, tail in cases:
        for count in (50, 200, 1000):
            held: list[list[bool]] = []
            vague = 0
            for seed in range(replications):
                rng = np.random.default_rng([seed, count])
                noise = rng.normal(size=(count, 10)) if tail == "normal" else rng.standard_t(5, size=(count, 10))
                x = noise * np.sqrt(values)
                region = subspace_region(x, 2, level=0.95, draws=199, seed=seed)
                held.append([np.eye(10)[:, :2] in r for r in (region.at(0.8), region)])
                vague += region.vacuous
            shares = np.mean(held, axis=0)
            rows.append(
                [name, tail, count, *map(binomial, shares, [replications] * 2), f"{100 * vague / replications:.0f} %"]
            )
    title = f"share of {replications} replications whose region holds the true subspace (95 % interval)"
    show(title, ["spectrum", "rows drawn from", "rows", "nominal .80", "nominal .95", "vacuous at .95"], rows)


def binomial(share: float, count: int) -> str:
    return f"{share:.3f} ± {1.96 * (share * (1 - share) / count) ** 0.5:.3f}"


def main(argv: list[str]) -> None:
    """All three."""
    given = options("representations", argv, seeds=5, replications=500)
    torch.set_num_threads(given.threads)
    x, _ = digits()
    nets = [trained(made(SIZES, seed), 500, seed, rate=1e-3) for seed in range(given.seeds)]
    inner = [activations(net, x[TRAINED_ON:]) for net in nets]
    layers_found(inner)
    stochastic_against_exact(inner, given.seeds)
    covered(given.replications)
