"""Mending by both rules on inputs like those of the training: digits ResNets half way, 5 pairs.

    python -m bench mending_rules [--kinds resnet-16,resnet-32] [--pairs 5]

Mended on the rows that were trained on, judged on 547 others. By what they differ is told pair by pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from bench.common import Lines, options, show
from bench.intervals import told
from bench.merge_nets import computer_of, kind_of, pair_of
from reknit.match.activation_matching import match_activations
from reknit.match.averages import average
from reknit.match.judging import judged
from reknit.match.mend_rules import RULES
from reknit.match.mending import mended
from reknit.match.weight_matching import match_weights

HALF = (0.5, 0.5)
WAYS = ("naive", "weights", "activations")


def one_pair(key: Sequence[Any]) -> dict[str, Any]:
    """Accuracy and loss of every way and rule."""
    name, number = key
    computer, kind = computer_of(name), kind_of(name)
    first, second = pair_of(name, number)
    moved = {
        "naive": second,
        "weights": match_weights(computer.skeleton, first, second).symmetry.apply(second),
        "activations": match_activations(computer, first, second, kind.known).symmetry.apply(second),
    }
    figures: dict[str, list[float]] = {}
    for way in WAYS:
        plain = average([first, moved[way]], HALF)
        for rule in RULES:
            net = mended(computer, plain, (first, moved[way]), HALF, kind.known, rule=rule)
            curve = judged(computer, [net], [0.0], kind.judged)
            assert curve.accuracies is not None
            figures[f"{way}, {rule}"] = [float(curve.accuracies[0]), float(curve.losses[0])]
    return {"figures": figures}


def tell(kind: str, lines: Sequence[dict[str, Any]]) -> None:
    """Means over pairs, and differences."""
    rows = []
    for way in WAYS:
        one, other = (np.array([line["figures"][f"{way}, {rule}"] for line in lines]) for rule in ("batch", "parents"))
        rows.append([way, *(told(each[:, k]) for k in range(2) for each in (one, other, other - one))])
    head = ["", *(f"{what}{how}" for what in ("accuracy", "loss") for how in (", batch", ", parents", ", difference"))]
    show(f"{kind}, {len(lines)} pairs: mean ± half the 95 % interval over pairs", head, rows)


def main(argv: list[str]) -> None:
    """Every pair, then the tables."""
    given = options("mending_rules", argv, pairs=5, kinds="resnet-16,resnet-32")
    torch.set_num_threads(given.threads)
    lines = Lines("mending_rules", given.fresh, ("match", "skeleton", "solvers"))
    for kind in given.kinds.split(","):
        tell(kind, list(lines.each([[kind, number] for number in range(given.pairs)], one_pair)))
    print(f"\n{lines.codes()}")
