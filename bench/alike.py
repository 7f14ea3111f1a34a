"""What ``compare`` measures of networks trained apart: which layers correspond, and distances from stored numbers.

    python -m bench alike [--pairs 5] [--kinds mlp-64,mlp-256,resnet-16,decoder-64]

The nets of ``bench.merge_nets``, pairs of different seeds; representations on rows that were not trained on. A layer is
found if its CKA with its counterpart is above that with every other layer, in its row and its column of the matrix.
Distances (MLPs alone): stored on the images trained on, true on those left out, the second net as it is and aligned by
weights and by activations.
"""

from __future__ import annotations

import numpy as np
import torch

from bench.common import options, show
from bench.intervals import rank_correlation, told
from bench.merge_nets import computer_of, kind_of, pair_of
from reknit.match.activation_matching import match_activations
from reknit.match.laftr import estimated_distance, outputs
from reknit.match.relu_chain import chain_inputs, relu_chain
from reknit.match.site_by_site import site_by_site
from reknit.match.stored_gates import gates_of
from reknit.match.weight_matching import match_weights

KINDS = ("mlp-64", "mlp-256", "resnet-16", "decoder-64")
WIDTHS = ("mlp-64", "mlp-128", "mlp-256", "mlp-512")


def layers_of(kind: str, pairs: int) -> list[object]:
    """A line of the table of layers."""
    runner, rows = computer_of(kind), kind_of(kind).judged
    found = [site_by_site(runner, *pair_of(kind, number), None, rows) for number in range(pairs)]
    own = np.array([each.matrix.found[0] / each.matrix.found[1] for each in found])
    values = [np.diag(each.matrix.values) for each in found]
    others = [each.matrix.values[~np.eye(len(each.matrix.values), dtype=bool)] for each in found]
    cca = np.array([np.mean([site.cca.value for site in each.sites if site.cca.value is not None]) for each in found])
    agree = np.array([np.mean([site.leading.agreement for site in each.sites if site.leading]) for each in found])
    alike = np.array([np.nanmean(each) for each in values])
    apart = np.array([np.nanmean(each) for each in others])
    sites = len(found[0].sites)
    return [
        kind,
        sites,
        *map(told, (alike, apart)),
        told(cca),
        told(agree),
        f"{100 * own.mean():.0f} %",
        f"{100 / sites:.0f} %",
    ]


def distances_of(kind: str, pairs: int) -> list[tuple[float, float, float, float]]:
    """True distance, and the estimates as it is, aligned by weights, and by activations."""
    computer, rows = computer_of(kind), kind_of(kind)
    chain = relu_chain(computer.skeleton)
    found = []
    for number in range(pairs):
        first, second = pair_of(kind, number)
        layers, x = chain(first), chain_inputs(rows.judged, kind)
        kept = gates_of(layers, chain_inputs(rows.known, kind), chain.fingerprint(first))
        by_weights = match_weights(computer.skeleton, first, second).symmetry.apply(dict(second))
        by_activations = match_activations(computer, first, second, rows.known).symmetry.apply(dict(second))
        true = float(np.square(outputs(layers, x) - outputs(chain(second), x)).sum(1).mean())
        nets = (second, by_weights, by_activations)
        a, b, c = (estimated_distance(layers, chain(net), kept.stored) for net in nets)
        found.append((true, a, b, c))
    return found


def main(argv: list[str]) -> None:
    """Both tables."""
    given = options("alike", argv, pairs=5, kinds=",".join(KINDS))
    torch.set_num_threads(given.threads)
    head = [
        "nets",
        "layers",
        "CKA, counterparts",
        "CKA, other pairs",
        "CCA",
        "leading directions",
        "found",
        "by chance",
    ]
    show(
        "representations of nets trained apart", head, [layers_of(kind, given.pairs) for kind in given.kinds.split(",")]
    )
    everything, rows = [], []
    for kind in WIDTHS:
        found = distances_of(kind, given.pairs)
        everything += found
        true, *estimates = np.array(found).T
        rows.append([kind, told(true, 1), *(told(each / true, 2) for each in estimates)])
    head = ["nets", "true squared distance", "estimate / true, as it is", "aligned by weights", "by activations"]
    show("distances from stored numbers, nets trained apart", head, rows)
    true, *estimates = np.array(everything).T
    for name, each in zip(("as it is", "aligned by weights", "by activations"), estimates, strict=True):
        print(
            "{}: rank correlation with the true distance {:.3f} [{:.3f}, {:.3f}]".format(
                name, *rank_correlation(each, true)
            )
        )
    assert np.median(estimates[2] / true) < np.median(estimates[0] / true), "alignment does not help"
