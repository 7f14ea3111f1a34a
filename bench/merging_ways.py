"""The ways in which ``bench.merging`` brings one network into another's basis, and how what comes out is judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from bench import rotation
from bench.merge_nets import Kind, computer_of, kind_of, trained
from reknit.match.activation_matching import match_activations
from reknit.match.averages import average
from reknit.match.computing import Computer, same_function
from reknit.match.judging import judged
from reknit.match.mending import mended
from reknit.match.rotation_matching import match_rotations
from reknit.match.samples import Samples
from reknit.match.sinkhorn_matching import SinkhornMatching, match_sinkhorn
from reknit.match.straight_through import StraightThrough, match_straight_through
from reknit.match.weight_matching import match_weights

Net = Mapping[str, np.ndarray]
METHODS = ("naive", "weights", "weights, plain", "activations", "straight-through", "sinkhorn", "rotation")
TRAINED = ("straight-through", "sinkhorn")
"""Methods that see labels and take steps."""
TEXT = ("decoder", "llama")


@dataclass(frozen=True, eq=False)
class Task:
    """What runs and judges the nets of a kind.

    Attributes:
        name: of the kind.
        kind: architecture and data.
        computer: runs the module.
        net: a trained net by its seed.
    """

    name: str
    kind: Kind
    computer: Computer
    net: Callable[[int], Net]


@cache
def task_of(name: str, method: str = "") -> Task:
    """A kind; for rotations with a head of its own, the same function (``bench.rotation``)."""
    if method == "rotation":
        kind, computer = rotation.untied(name)
        return Task(name, kind, computer, lambda seed: rotation.net(name, seed))
    return Task(name, kind_of(name), computer_of(name), lambda seed: trained(name, seed))


def methods_of(name: str) -> tuple[str, ...]:
    """The methods that a kind knows: streams that may be turned have text nets alone."""
    return METHODS if name.startswith(TEXT) else METHODS[:-1]


@dataclass(frozen=True, eq=False)
class Brought:
    """A network in the basis of another.

    Attributes:
        task: of both.
        left: the other.
        moved: the network there.
        seconds: it took.
    """

    task: Task
    left: Net
    moved: Net
    seconds: float


@lru_cache(maxsize=64)
def brought(method: str, name: str, left: int, right: int, steps: int) -> Brought:
    """One trained network in the basis of another, by their seeds; proven to compute what it computed."""
    task = task_of(name, method)
    first, second = task.net(left), task.net(right)
    began = time.perf_counter()
    moved = moved_by(method, task, first, second, steps)
    seconds = time.perf_counter() - began
    require_same(task, second, moved)
    return Brought(task, first, moved, seconds)


def moved_by(method: str, task: Task, left: Net, right: Net, steps: int = 0) -> Net:
    """The right network in the basis of the left one."""
    computer, known = task.computer, task.kind.known
    match method:
        case "naive":
            return right
        case "weights":
            return match_weights(computer.skeleton, left, right).symmetry.apply(dict(right))
        case "weights, plain":
            return match_weights(computer.skeleton, left, right, weighing="plain").symmetry.apply(dict(right))
        case "activations":
            return match_activations(computer, left, right, known).symmetry.apply(dict(right))
        case "straight-through":
            taught = match_straight_through(computer, left, right, known, StraightThrough(steps=steps))
        case "sinkhorn":
            taught = match_sinkhorn(computer, left, right, known, SinkhornMatching(steps=steps))
        case "rotation":
            return match_rotations(computer, left, right).basis.apply(right)
        case _:
            raise AssertionError(f"there is no method {method!r}")
    return taught.symmetry.apply(dict(right))


def require_same(task: Task, net: Net, moved: Net) -> None:
    """Stop if an aligned network computes something else."""
    same = same_function(task.computer, net, moved, task.kind.judged.some(slice(None, 64)))
    assert same.holds, f"{task.name}: an aligned network is {same.largest:.2g} off"


def averaged(task: Task, parents: Sequence[Net]) -> dict[str, Any]:
    """Loss and accuracy of the mean of some networks, as it is and mended."""
    shares = [1 / len(parents)] * len(parents)
    mean = average(parents, shares)
    again = mended(task.computer, mean, parents, shares, task.kind.known, rule="batch")
    return {"plain": judged_one(task, mean), "mended": judged_one(task, again)}


def judged_one(task: Task, net: Net, samples: Samples | None = None) -> dict[str, float]:
    """Loss and accuracy on rows that nothing was trained on."""
    curve = judged(task.computer, [net], [0.0], samples or task.kind.judged)
    assert curve.accuracies is not None
    return {"loss": float(curve.losses[0]), "accuracy": float(curve.accuracies[0])}


def distance(task: Task, left: Net, right: Net) -> float:
    """Of all that is trained, over the root of the product of both sizes: 0 equal, about 1.4 unrelated."""
    statistics = {
        use.slots.get(role) for use in task.computer.skeleton.uses for role in ("running_mean", "running_var")
    }
    keys = [key for key, value in left.items() if value.dtype.kind == "f" and key not in statistics]
    a, b = (np.concatenate([np.asarray(net[key], dtype=np.float64).ravel() for key in keys]) for net in (left, right))
    return float(np.linalg.norm(a - b) / np.sqrt(np.linalg.norm(a) * np.linalg.norm(b)))
