"""Why running statistics of an average are wrong: what is left of the variance that its BatchNorms expect.

For every norm the variance that reaches it in the average, over the one that is stored there (the mean of the
parents'), as a geometric mean over channels: 1 where statistics are right. Norms in order of the forward pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.merging_ways import Net, Task, brought, task_of
from reknit.match.averages import average
from reknit.match.statistics import estimated_again

WAYS = ("naive", "weights", "activations")


def variances(key: Any) -> dict[str, Any]:
    """The share of the variance at every norm half way between two networks, for matchings that are not trained."""
    name, (left, right) = key
    line: dict[str, Any] = {"alone": kept(task_of(name), task_of(name).net(left))}
    for way in WAYS:
        found = brought(way, name, left, right, 0)
        line[way] = kept(found.task, average([found.left, found.moved], [0.5, 0.5]))
    return line


def kept(task: Task, net: Net) -> list[float]:
    """The variance seen over the variance stored, at every norm."""
    again = estimated_again(task.computer, net, task.kind.known)
    slots = [use.slots["running_var"] for use in task.computer.skeleton.uses if "running_var" in use.slots]
    return [float(np.exp(np.mean(np.log(again[slot] / net[slot])))) for slot in slots]
