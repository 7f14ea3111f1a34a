"""How much of a barrier is confidence: every network judged at the temperature of the softmax that suits it best.

The logits of an average are smaller than its parents', so that its loss is high where its answers are right (Ito,
Yamada, Chijiwa, Kumagai 2025, arXiv 2510.08023). Half of the rows left out choose the temperature for the other half,
and the other way round. MLPs alone: a ResNet errs on one or two of the rows, and a half without an error calls for no
temperature above zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.nn.functional import cross_entropy

from bench.merging_ways import Net, Task, brought, task_of
from reknit.match.averages import average
from reknit.match.mending import mended

WAYS = ("naive", "weights", "activations")
TEMPERATURES = np.geomspace(0.05, 20, 120)
HALF = (0.5, 0.5)


def temperatures(key: Any) -> dict[str, Any]:
    """Barriers half way between two networks at their own temperatures, for matchings that are not trained."""
    name, (left, right) = key
    task = task_of(name)
    ends = [tempered(task, task.net(seed)) for seed in (left, right)]
    line: dict[str, Any] = {"ends": ends}
    for way in WAYS:
        parents = [task.net(left), brought(way, name, left, right, 0).moved]
        plain = average(parents, HALF)
        again = mended(task.computer, plain, parents, HALF, task.kind.known, rule="batch")
        line[way] = {"plain": tempered(task, plain), "mended": tempered(task, again)}
    return line


def tempered(task: Task, net: Net) -> dict[str, float]:
    """The loss with each half of the rows at the temperature that suits the other best, and the mean temperature."""
    assert task.kind.judged.targets is not None
    logits = task.computer.answers(net, task.kind.judged)[0].double()
    losses = np.stack(
        [cross_entropy(logits / t, task.kind.judged.targets, reduction="none").numpy() for t in TEMPERATURES]
    )
    halves = losses[:, ::2].mean(1), losses[:, 1::2].mean(1)
    first, second = (int(half.argmin()) for half in halves)
    loss = float(halves[0][second] + halves[1][first]) / 2
    return {"loss": loss, "temperature": float(TEMPERATURES[first] + TEMPERATURES[second]) / 2}
