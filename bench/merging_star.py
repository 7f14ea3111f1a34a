"""A star of eight networks, trained once a kind, and its barriers to networks that it never saw (``bench.merging``)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from bench.merge_nets import text_rows
from bench.merging_ways import TEXT, Net, Task, judged_one, moved_by, require_same, task_of
from reknit.match.averages import average
from reknit.match.mending import mended
from reknit.match.star import StarTraining, train_star

SEEN, UNSEEN = range(2, 10), range(10, 17)
STEPS = 1000
PLACES = (0.25, 0.5, 0.75)
WAYS = ("weights", "activations")
TEXT_ROWS = 4096
"""A star is trained: the 96 rows that units are matched by are few for that."""


def star(steps: int, key: Any) -> dict[str, Any]:
    """Barriers from a star of eight networks, from their mean, and from one of them, to each one it never saw."""
    (name,) = key
    task = task_of(name)
    seen, unseen = ([task.net(seed) for seed in seeds] for seeds in (SEEN, UNSEEN))
    samples = text_rows(0, TEXT_ROWS) if name.startswith(TEXT) else task.kind.known
    began = time.perf_counter()
    found = train_star(task.computer, seen, samples, StarTraining(steps=steps))
    seconds = time.perf_counter() - began
    for net, moved in zip(seen, found.networks, strict=True):
        require_same(task, net, moved)
    shares = [1 / len(seen)] * len(seen)
    *_, mean = _forms(task, found.networks, shares).values()
    starts = {"star": [found.tensors] * len(unseen), "mean": [mean] * len(unseen), "one seen": seen[: len(unseen)]}
    return {
        "steps": steps,
        "seconds": seconds,
        "star": judged_one(task, found.tensors),
        "mean": judged_one(task, mean),
        "unseen": [judged_one(task, net) for net in unseen],
        "to seen": [barrier(task, found.tensors, net) for net in found.networks],
        "to unseen": {
            start: {way: [_barrier(task, way, a, b) for a, b in zip(nets, unseen, strict=True)] for way in WAYS}
            for start, nets in starts.items()
        },
    }


def _barrier(task: Task, way: str, left: Net, right: Net) -> dict[str, float]:
    moved = moved_by(way, task, left, right)
    require_same(task, right, moved)
    return barrier(task, left, moved)


def barrier(task: Task, left: Net, right: Net) -> dict[str, float]:
    """The barrier in loss between two networks in one basis, by three points of the line: as they are, and mended."""
    ends = [judged_one(task, net)["loss"] for net in (left, right)]
    excess: dict[str, list[float]] = {}
    for t in PLACES:
        chord = (1 - t) * ends[0] + t * ends[1]
        for form, net in _forms(task, (left, right), (1 - t, t)).items():
            excess.setdefault(form, [0.0]).append(judged_one(task, net)["loss"] - chord)
    return {form: max(values) for form, values in excess.items()}


def _forms(task: Task, parents: Sequence[Net], shares: Sequence[float]) -> dict[str, Net]:
    """The mean as it is and, but for text, whose nets mending does no good, mended."""
    plain = average(parents, shares)
    if task.name.startswith(TEXT):
        return {"plain": plain}
    return {"plain": plain, "mended": mended(task.computer, plain, parents, shares, task.kind.known, rule="batch")}
