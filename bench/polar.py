"""Polar factors: how near the inexact ones come, and whether an inexact one can be the better one on a finite budget.

That claim is of Gonon, Muşat, Boumal, "Insights on Muon from simple quadratics" (2026), arXiv 2602.11948: the error of
the polar step can improve what is reached in finite time, on quadratics as simple as |W|^2 / 2. Here it is put to the
test on that quadratic and on a small network, every method with the step size that suits it best.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student
from sklearn.datasets import load_digits

from bench.common import options, show
from reknit.solvers.polar import Method, polar_factor

METHODS: tuple[Method, ...] = ("svd", "cubic", "quintic", "muon", "polar-express")
STEPS = 5
SEEDS = 5
QUADRATIC_RATES = np.geomspace(0.01, 1, 41)
NETWORK_RATES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
MOMENTUM = 0.95


def nearness() -> None:
    """Distance to the exact factor, after it was made sure that the exact one is exact."""
    rng = np.random.default_rng(0)
    square = rng.normal(size=(256, 256))
    u, _, vt = np.linalg.svd(square)
    matrices = {"normal": square, "condition 1e4": u * np.geomspace(1e-4, 1, 256) @ vt}
    assert all(polar_factor(matrix).defect < 1e-12 for matrix in matrices.values())
    rows = []
    for name, matrix in matrices.items():
        times: dict[tuple[Method, int], list[float]] = {}
        for _ in range(3):
            for method in METHODS:
                for steps in (0,) if method == "svd" else (5, 10, 20):
                    began = time.perf_counter()
                    polar_factor(matrix, method, steps=steps)
                    times.setdefault((method, steps), []).append(time.perf_counter() - began)
        exact = statistics.median(times["svd", 0])
        for (method, steps), seconds in times.items():
            found = polar_factor(matrix, method, steps=steps)
            ratio = exact / statistics.median(seconds)
            rows.append((name, method, steps, float(found.distance), float(found.defect), ratio))
    show("one matrix of 256 x 256", ("matrix", "method", "steps", "distance", "defect", "times as fast as svd"), rows)


def quadratic(method: Method, rates: np.ndarray, budget: int) -> np.ndarray:
    """log10 of |W|^2 / |W_0|^2 after so many steps W <- W - rate |W_0| / sqrt(n) polar(W): seeds x rates."""
    size = 32
    start = np.stack([np.random.default_rng(seed).normal(size=(size, size)) for seed in range(SEEDS)])
    start /= np.linalg.norm(start, axis=(1, 2), keepdims=True) / size**0.5
    weights = np.repeat(start[:, None], len(rates), axis=1)
    for _ in range(budget):
        weights = weights - rates[:, None, None] * polar_factor(weights, method, steps=STEPS).factor
    return np.asarray(np.log10(np.square(weights).sum((2, 3)) / size))


class Network:
    """Five multi-layer perceptrons at once (64-64-64-10, relu), trained on digits by Muon with a given polar factor."""

    def __init__(self) -> None:
        inputs, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(inputs))
        self.inputs, self.labels = inputs[order] / 16, labels[order]
        self.train = 1297

    def losses(self, method: Method, rate: float, budget: int) -> tuple[np.ndarray, np.ndarray]:
        """The loss over all training rows and the share of right test rows, of every seed, after so many steps."""
        draws = [np.random.default_rng(seed) for seed in range(SEEDS)]
        sizes = (64, 64, 64, 10)
        layers = [
            np.stack([draw.normal(size=(n, m)) * (2 / n) ** 0.5 for draw in draws])
            for n, m in itertools.pairwise(sizes)
        ]
        momenta = [np.zeros_like(layer) for layer in layers]
        for step in range(budget):
            batch = np.stack([draw.integers(self.train, size=128) for draw in draws])
            speed = rate * (1 - step / budget)
            for k, gradient in enumerate(self.gradients(layers, batch)):
                momenta[k] = MOMENTUM * momenta[k] + gradient
                ahead = gradient + MOMENTUM * momenta[k]
                layers[k] = layers[k] - speed * polar_factor(ahead, method, steps=STEPS).factor
        loss, _ = self.judged(layers, slice(None, self.train))
        _, right = self.judged(layers, slice(self.train, None))
        return loss, right

    def gradients(self, layers: Sequence[np.ndarray], batch: np.ndarray) -> list[np.ndarray]:
        """Of the cross-entropy, by hand."""
        streams = [self.inputs[batch]]
        for layer in layers[:-1]:
            streams.append(np.maximum(streams[-1] @ layer, 0))
        scores = streams[-1] @ layers[-1]
        back = np.exp(scores - scores.max(-1, keepdims=True))
        back /= back.sum(-1, keepdims=True)
        back -= np.eye(10)[self.labels[batch]]
        back /= batch.shape[1]
        found = []
        for layer, stream in zip(reversed(layers), reversed(streams), strict=True):
            found.append(stream.mT @ back)
            back = (back @ layer.mT) * (stream > 0)
        return found[::-1]

    def judged(self, layers: Sequence[np.ndarray], rows: slice) -> tuple[np.ndarray, np.ndarray]:
        stream = np.broadcast_to(self.inputs[rows], (SEEDS, *self.inputs[rows].shape))
        for layer in layers[:-1]:
            stream = np.maximum(stream @ layer, 0)
        scores = stream @ layers[-1]
        top = scores.max(-1, keepdims=True)
        chances = scores - top - np.log(np.exp(scores - top).sum(-1, keepdims=True))
        labels = self.labels[rows]
        own = chances[:, np.arange(len(labels)), labels]
        return -own.mean(1), (scores.argmax(-1) == labels).mean(1)


def interval(differences: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a mean of paired differences."""
    half = student.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / len(differences) ** 0.5
    return float(differences.mean() - half), float(differences.mean() + half)


def verdict(low: float, high: float) -> str:
    return "better" if high < 0 else "worse" if low > 0 else "no difference"


def judged_rows(budget: int, found: dict[Method, np.ndarray], rates: Sequence[float]) -> list[tuple[object, ...]]:
    """Each method at its best rate against the exact factor at its own: seeds x rates, less is better."""
    best = {method: int(values.mean(0).argmin()) for method, values in found.items()}
    exact = found["svd"][:, best["svd"]]
    rows: list[tuple[object, ...]] = []
    for method, values in found.items():
        own = values[:, best[method]]
        low, high = interval(own - exact) if method != "svd" else (0.0, 0.0)
        at_edge = " (edge)" if best[method] in (0, len(rates) - 1) else ""
        word = "-" if method == "svd" else verdict(low, high)
        rows.append((budget, method, f"{rates[best[method]]:.3g}{at_edge}", float(own.mean()), low, high, word))
    return rows


def gradients_are_right(network: Network) -> None:
    """One entry of the hand-written gradient, by differences."""
    rng = np.random.default_rng(0)
    layers = [rng.normal(size=(SEEDS, n, m)) * 0.1 for n, m in ((64, 64), (64, 64), (64, 10))]
    batch = np.broadcast_to(np.arange(network.train), (SEEDS, network.train))
    slope = network.gradients(layers, batch)[0][:, 20, 5]
    values = []
    for step in (1e-6, -1e-6):  # small: a unit that starts to fire in between would make a difference
        layers[0][:, 20, 5] += step
        values.append(network.judged(layers, slice(None, network.train))[0])
        layers[0][:, 20, 5] -= step
    assert np.allclose((values[0] - values[1]) / 2e-6, slope, atol=1e-6), "the network's gradient is wrong"


def main(argv: list[str]) -> None:
    """Nearness, the quadratic, the network."""
    options("polar", argv)
    nearness()
    head = ("budget", "method", "best rate", "mean", "against svd from", "to", "so it is")
    rows = []
    for budget in (5, 10, 20, 40):
        found = {method: quadratic(method, QUADRATIC_RATES, budget) for method in METHODS}
        rows += judged_rows(budget, found, list(QUADRATIC_RATES))
    show(f"log10 |W|^2 / |W_0|^2 of 32 x 32, {SEEDS} starts, {STEPS} steps of each method, 95 %", head, rows)
    network = Network()
    gradients_are_right(network)
    rows, tests = [], []
    for budget in (20, 100):
        both = {method: [network.losses(method, rate, budget) for rate in NETWORK_RATES] for method in METHODS}
        loss = {method: np.log10([pair[0] for pair in pairs]).T for method, pairs in both.items()}
        rows += judged_rows(budget, loss, NETWORK_RATES)
        for method, pairs in both.items():
            best = int(loss[method].mean(0).argmin())
            tests.append((budget, method, float(pairs[best][1].mean())))
    show(f"log10 of the training loss of a network on digits, {SEEDS} seeds, 95 %", head, rows)
    show("share of right test digits at that rate", ("budget", "method", "right"), tests)
