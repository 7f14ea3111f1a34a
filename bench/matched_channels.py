"""How alike matched channels are, block by block: SpliceAI's seeds beside digits ResNets, which merge.

    REKNIT_CHECKPOINTS=... python -m bench matched_channels [--pairs 5]

Correlation over positions of each channel of the first network with the one it was matched to by activations, at every
place that convolutions read or write; hidden channels of a block, and the stream. What is matched and what is looked at
are the same positions, so the figures are a little high.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from bench import merge_nets
from bench.common import Lines, options, show
from bench.published_merges import computer_of, networks, pairs_of, splice_inputs, splice_parents
from reknit.match.activation_matching import match_activations
from reknit.match.activations import Place, activations, standardised
from reknit.match.computing import Computer
from reknit.match.samples import Samples

HEAD = ("", "hidden", "stream", "hidden below .3", "hidden above .7")


def place_of(place: Place) -> str | None:
    """``stages.0.1 hidden``, ``stages.0.1 stream``; None at the ends of the network."""
    block, _, layer = place.slot.removesuffix(".weight").rpartition(".")
    if layer not in ("conv1", "conv2"):
        return None
    return f"{block} {'hidden' if (layer == 'conv1') == place.written else 'stream'}"


def correlations(computer: Computer, first: Mapping[str, Any], second: Mapping[str, Any], known: Samples) -> Any:
    """Place -> correlations of matched channels."""
    moved = match_activations(computer, first, second, known).symmetry.apply(second)
    one, other = (activations(computer, net, known) for net in (first, moved))
    found: dict[str, list[float]] = {}
    for place, rows in one.items():
        name = place_of(place)
        if name is not None:
            same = (standardised(rows) * standardised(other[place])).sum(1)
            found.setdefault(name, []).extend(same[np.any(rows != rows[:, :1], 1)].tolist())
    return found


def of_pair(key: Sequence[Any]) -> dict[str, Any]:
    """A pair of any kind."""
    kind, number = key
    if kind == "spliceai":
        one, other = pairs_of("spliceai")[number]
        nets, answers = networks("spliceai"), splice_parents()
        same = float(np.corrcoef(answers[one].ravel(), answers[other].ravel())[0, 1])
        return {
            "answers": same,
            "places": correlations(computer_of("spliceai"), nets[one], nets[other], splice_inputs()[0]),
        }
    judged, known = merge_nets.kind_of(kind).judged, merge_nets.kind_of(kind).known
    computer, pair = merge_nets.computer_of(kind), merge_nets.pair_of(kind, number)
    shares = [computer.answers(net, judged)[0].softmax(1).numpy().ravel() for net in pair]
    return {"answers": float(np.corrcoef(np.stack(shares))[0, 1]), "places": correlations(computer, *pair, known)}


def tell(kind: str, lines: Sequence[Mapping[str, Any]]) -> None:
    """Quartiles by block."""
    blocks = sorted({name.rpartition(" ")[0] for line in lines for name in line["places"]})
    rows: list[list[object]] = []
    for block in blocks:
        hidden, stream = (
            np.concatenate([line["places"][f"{block} {part}"] for line in lines]) for part in ("hidden", "stream")
        )
        quartiles = [" ".join(f"{q:.2f}" for q in np.quantile(each, (0.25, 0.5, 0.75))) for each in (hidden, stream)]
        rows.append([block, *quartiles, f"{(hidden < 0.3).mean():.2f}", f"{(hidden > 0.7).mean():.2f}"])
    answers = np.mean([line["answers"] for line in lines])
    show(f"{kind}, {len(lines)} pairs, quartiles; correlation of the two networks' answers {answers:.3f}", HEAD, rows)


def main(argv: list[str]) -> None:
    """Every pair, then the tables."""
    given = options("matched_channels", argv, pairs=5, kinds="spliceai,resnet-16,resnet-32")
    torch.set_num_threads(given.threads)
    lines = Lines("matched_channels", given.fresh, ("match", "skeleton", "solvers"))
    for kind in given.kinds.split(","):
        tell(kind, list(lines.each([[kind, number] for number in range(given.pairs)], of_pair)))
    print(f"\n{lines.codes()}")
