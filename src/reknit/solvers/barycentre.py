"""Matching many sets at once: pairwise matches made consistent, so that going round any cycle leads back.

Each of N sets of n items is matched to one common set: item a of set i gets label ``labels[i, a]``. Sets i and j are
then matched by equal labels, and cycles close exactly, whatever was given. What is sought is the labelling of the
highest agreement ``sum over i < j of sum_a S_ij[a, b(a)]``, with b(a) the item of j that carries the label of a.

Source: Pachauri, Kondor, Singh, "Solving the multi-way matching problem by permutation synchronization" (NeurIPS
2013): the n leading eigenvectors of the N n x N n matrix of all S_ij, in blocks U_i; the labels of set i are the best
assignment of ``U_i U_1^T``.

Where we depart: set 1 is nothing special and may be matched badly, so every set (up to ``REFERENCES``) is tried in its
place and the labelling of the highest agreement is kept; it is then improved set by set, each assigned anew to what the
others say, until nothing changes. Agreement never falls by that.

Cost: an eigendecomposition of N n x N n, and some tens of N assignments. Known flaws: no optimum is promised; where a
label can be moved without loss, ``margins`` is zero there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from reknit.errors import InputError
from reknit.solvers.assignment import best_matching, edge_margins

REFERENCES = 16
SWEEPS = 100


@dataclass(frozen=True)
class Consistent:
    """Labels that match every two of the sets.

    Attributes:
        labels: the label of every item of every set; a permutation in every row, and the identity in the first.
        agreement: the sum of the scores of all matched pairs of items, each pair of sets once.
        spectral: the agreement before sets were assigned anew; never higher.
        margins: by how much an item's label scores more than its best rival, given all other sets.
    """

    labels: Int[np.ndarray, "sets items"]
    agreement: float
    spectral: float
    margins: Float[np.ndarray, "sets items"]

    def matching(self, i: int, j: int) -> Int[np.ndarray, " items"]:
        """The item of set j for each item of set i."""
        return np.asarray(np.argsort(self.labels[j])[self.labels[i]])


def consistent_matching(scores: Float[np.ndarray, "sets sets items items"]) -> Consistent:
    """Labels of the highest agreement with pairwise scores that was found.

    Args:
        scores: ``scores[i, j, a, b]``, how well item a of set i and item b of set j fit: a permutation matrix, or any
            finite numbers. Both ``scores[i, j]`` and the turned ``scores[j, i]`` count, half each; zeros say nothing.
            What a set says of itself is left aside.

    Raises:
        InputError: the shape is another, or a score is no number.

    >>> turned = np.eye(3)[[1, 2, 0]]
    >>> scores = np.stack([[np.eye(3), turned], [turned.T, np.eye(3)]])
    >>> found = consistent_matching(scores)
    >>> found.matching(0, 1).tolist(), found.agreement
    ([1, 2, 0], 3.0)
    """
    wide = np.asarray(scores, dtype=np.float64)
    if wide.ndim != 4 or wide.shape[0] != wide.shape[1] or wide.shape[2] != wide.shape[3]:
        raise InputError(f"scores of shape {wide.shape}", "scores", "Give sets x sets x items x items")
    if not np.isfinite(wide).all():
        raise InputError("a score is infinite or not a number", "scores", "Give finite scores")
    both = (wide + wide.transpose(1, 0, 3, 2)) / 2
    sets, items = both.shape[1:3]
    both[np.arange(sets), np.arange(sets)] = 0
    if not sets or not items:
        return Consistent(np.zeros((sets, items), dtype=np.int64), 0.0, 0.0, np.zeros((sets, items)))
    vectors = _leading(both)
    drafts = [_labelled(vectors, reference) for reference in range(min(sets, REFERENCES))]
    agreements = [_agreement(both, labels) for labels in drafts]
    best = int(np.argmax(agreements))
    labels = _improved(both, drafts[best])
    said = [_said(both, labels, i) for i in range(sets)]
    margins = np.stack([edge_margins(table, own) for table, own in zip(said, labels, strict=True)])
    labels = np.argsort(labels[0])[labels]
    return Consistent(labels, _agreement(both, labels), agreements[best], margins)


def _leading(both: Float[np.ndarray, "sets sets items items"]) -> Float[np.ndarray, "sets items items"]:
    """Blocks of the leading eigenvectors, as many as there are items; a set agrees with itself as with the others."""
    from scipy.linalg import eigh

    sets, items = both.shape[1:3]
    whole = both.transpose(0, 2, 1, 3).reshape(sets * items, sets * items)
    scale = np.abs(both).sum() / max(sets * (sets - 1) * items, 1)
    whole = whole + np.eye(sets * items) * scale
    last = sets * items - 1
    vectors = eigh(whole, subset_by_index=(last - items + 1, last))[1]
    return np.asarray(vectors.reshape(sets, items, items))


def _labelled(vectors: Float[np.ndarray, "sets items items"], reference: int) -> Int[np.ndarray, "sets items"]:
    """The best assignment of every set to one of them."""
    return np.stack([best_matching(block @ vectors[reference].T) for block in vectors])


def _said(
    both: Float[np.ndarray, "sets sets items items"], labels: Int[np.ndarray, "sets items"], i: int
) -> Float[np.ndarray, "items labels"]:
    """What all other sets together score for every label of every item of set i."""
    items = both.shape[2]
    total = np.zeros((items, items))
    for j, own in enumerate(labels):
        total[:, own] += both[i, j]
    return total


def _agreement(both: Float[np.ndarray, "sets sets items items"], labels: Int[np.ndarray, "sets items"]) -> float:
    items = np.arange(labels.shape[1])
    return float(sum(_said(both, labels, i)[items, own].sum() for i, own in enumerate(labels)) / 2)


def _improved(
    both: Float[np.ndarray, "sets sets items items"], labels: Int[np.ndarray, "sets items"]
) -> Int[np.ndarray, "sets items"]:
    """Set after set assigned anew while that gains."""
    labels = labels.copy()
    items = np.arange(labels.shape[1])
    for _ in range(SWEEPS):
        changed = False
        for i in range(len(labels)):
            table = _said(both, labels, i)
            better = best_matching(table)
            gain = table[items, better].sum() - table[items, labels[i]].sum()
            if gain > 1e-12 * np.abs(table).sum():
                labels[i], changed = better, True
        if not changed:
            break
    return labels
