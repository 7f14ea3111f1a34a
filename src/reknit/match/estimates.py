"""LAFTR's estimate of how far two networks lie apart as functions, beside the true distance: see ``laftr``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reknit.errors import UsageError
from reknit.match.computing import Computer
from reknit.match.laftr import estimated_distance
from reknit.match.pairs import Pair
from reknit.match.relu_chain import Chain, chain_inputs, check_chain, relu_chain
from reknit.match.samples import Samples, draw_samples
from reknit.match.stored_gates import gates_of, read_gates

CHECKED = 64
"""Rows of noise on which a chain is held against the module, besides the data."""


@dataclass(frozen=True)
class Estimate:
    """The distance of two functions from stored numbers alone, in the units of ``AnswersApart.distance``.

    Attributes:
        before: the second network as it is; means little between networks in different bases.
        after: aligned; None where it is not.
        spread: mean squared distance of the first network's answers from their mean, to read it beside.
        rows: that the stored numbers were taken over.
        numbers: how many were stored for the units.
        stored: the file they were read from or written to; empty: neither.
        written: whether it was written now.
    """

    before: float
    after: float | None
    spread: float
    rows: int
    numbers: int
    stored: str
    written: bool

    @property
    def best(self) -> float:
        """After alignment, where there was one."""
        return self.before if self.after is None else self.after

    def as_json(self, true: float | None) -> dict[str, Any]:
        """The object that ``--json`` prints, with ratios to the true distance where it is known."""
        known = {"before": self.before, "after": self.after}
        ratios = {key: _ratio(value, true) for key, value in known.items()}
        return {**vars(self), "true": true, "estimate_over_true": ratios}


def _ratio(estimate: float | None, true: float | None) -> float | None:
    return estimate / true if estimate is not None and true is not None and true > 0 else None


def estimate(
    pair: Pair,
    aligned: Mapping[str, np.ndarray] | None,
    samples: Samples | None,
    store: str | Path | None,
    *,
    force: bool = False,
) -> Estimate | None:
    """Estimate the distance, from a file of stored numbers or from data; None where there are neither.

    Args:
        pair: two networks.
        aligned: the second one in the first one's basis; None: it is not aligned.
        samples: real inputs; None: there are none.
        store: a file. It is read if it is there, else written, with ``force`` written in any case if there are inputs.
        force: replace what is there.

    Raises:
        UsageError: there is neither a file nor inputs to make it from.
        InputError: the module is no plain chain with ReLU, or the file is another network's.
        OutputError: the file cannot be written.
    """
    held = Path(store) if store is not None and Path(store).exists() else None
    if store is not None and held is None and samples is None:
        raise UsageError("there is nothing stored yet", store, "Give the first network's inputs with --data")
    chain = relu_chain(pair.skeleton)
    first, second = (network.tensors for network in pair.networks)
    for net in (first, second):
        _check(chain, pair.computer, net, samples)
    layers, mark = chain(first), chain.fingerprint(first)
    x = None if samples is None else chain_inputs(samples, pair.skeleton.name)
    written = False
    if held is not None and (x is None or not force):
        kept = read_gates(held, layers, mark)
    elif x is not None:
        kept = gates_of(layers, x, mark)
        if store is not None:
            kept.save(store, force=force)
            written = True
    else:
        return None
    return Estimate(
        estimated_distance(layers, chain(second), kept.stored),
        None if aligned is None else estimated_distance(layers, chain(aligned), kept.stored),
        kept.spread,
        kept.rows,
        sum(len(each) for each in kept.stored.active),
        "" if store is None else str(store),
        written,
    )


def _check(chain: Chain, computer: Computer, tensors: Mapping[str, np.ndarray], samples: Samples | None) -> None:
    """On noise too: given inputs may not reach where a module is more than its chain."""
    noise = draw_samples(computer.like, computer.skeleton, torch.Generator().manual_seed(0), CHECKED)
    check_chain(chain, computer, tensors, noise)
    if samples is not None:
        check_chain(chain, computer, tensors, samples)
