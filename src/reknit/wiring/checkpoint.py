"""The checkpoint of an unfinished wiring: what the weights alone have said, in ``OUT/checkpoint.json``.

The search by outputs is not kept: it draws from a generator of its own and is repeated to the same end. A budget bounds
it by the clock, so that a run with a budget may end otherwise, resumed or not.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reknit.containers.unfinished import check_belongs, nothing_believed
from reknit.containers.write import write_file
from reknit.plain import dumps
from reknit.skeleton.skeleton import Skeleton
from reknit.wiring.pools import Pool
from reknit.wiring.weights_placement import WeightsPlacement, vectors_around

CHECKPOINT_FILE = "checkpoint.json"


def save_checkpoint(out: Path, fingerprint: str, weights: WeightsPlacement | None = None) -> None:
    """Write what is known so far; the old checkpoint is replaced in one step."""
    known = None
    if weights is not None:
        known = {
            "placement": weights.placement,
            "margins": weights.margins,
            "certain": sorted(weights.certain),
            "climbs": weights.climbs,
            "ladders": weights.ladders,
            "beliefs": weights.beliefs,
            "likely": sorted(weights.likely),
            "rivals": weights.rivals,
            "chained": sorted(weights.chained),
        }
    write_file(out / CHECKPOINT_FILE, dumps({"fingerprint": fingerprint, "weights": known}), force=True)


def load_checkpoint(
    out: Path,
    fingerprint: str,
    skeleton: Skeleton,
    pools: Sequence[Pool],
    array: Callable[[str], np.ndarray],
) -> WeightsPlacement | None:
    """What a checkpoint says; None if there is none, or the weights had not been asked to the end.

    Raises:
        InputError: the checkpoint is damaged.
        UsageError: it belongs to other pieces, data or options.
    """
    path = out / CHECKPOINT_FILE
    if not path.exists():
        return None
    with nothing_believed(path):
        content = json.loads(path.read_text(encoding="utf-8"))
        check_belongs(content["fingerprint"], fingerprint, path, to="pieces, data or options")
        known = content["weights"]
        return None if known is None else _restored(known, skeleton, pools, array)


def _restored(
    known: Mapping[str, Any], skeleton: Skeleton, pools: Sequence[Pool], array: Callable[[str], np.ndarray]
) -> WeightsPlacement:
    placement = dict(known["placement"])
    slots = {slot for pool in pools for slot in pool.slots}
    for pool in pools:
        if Counter(placement[slot] for slot in pool.slots) != Counter(pool.tensors):
            raise ValueError("not a placement of this pile")
    rivals = tuple(dict(move) for move in known["rivals"])
    ladders = tuple(tuple(tuple(rung) for rung in ladder) for ladder in known["ladders"])
    named = {*known["margins"], *known["certain"], *known["likely"], *known["chained"], *known["beliefs"]}
    named |= {slot for move in rivals for pair in move.items() for slot in pair}
    if not named | {slot for ladder in ladders for rung in ladder for slot in rung} <= slots == placement.keys():
        raise ValueError("not the slots of this skeleton")
    chained = frozenset(known["chained"])
    first, second = known["climbs"]
    return WeightsPlacement(
        placement,
        {slot: math.inf if margin is None else float(margin) for slot, margin in known["margins"].items()},
        frozenset(known["certain"]),
        (int(first), int(second)),
        ladders,
        {slot: {name: float(chance) for name, chance in row.items()} for slot, row in known["beliefs"].items()},
        frozenset(known["likely"]),
        rivals,
        vectors_around(skeleton, pools, array, {slot: placement[slot] for slot in placement if slot in chained}),
        chained,
    )
