"""The symmetry that brings one ensemble of soft trees nearest to another.

Source: arXiv 2405.14596, section 3.2. Two trees are as similar as the inner product of their parameters, nodes weighted
by the leaves below them, under the best flips and split order; a linear assignment over the trees follows
(``weights``). Or the assignment is by the inner product of what the trees answer on some data, which no flip changes,
and flips and split order follow from the parameters, pair by pair (``activations``).

Departures. The paper tries all 2^(2^D - 1) patterns of flips. But what is below a node's left child is flipped whatever
is below its right one, so the best pattern follows from the leaves up, subtree by subtree:

    best(a, b) = max( <a, b> + best(a left, b left)  + best(a right, b right),
                     -<a, b> + best(a left, b right) + best(a right, b left) )

exactly, in M^2 4^D steps for all pairs of trees. Oblivious trees are tried in all 2^D D! ways, up to depth ``MOST``.
Constants of trees are taken out first (leaves are compared as differences to their mean; answers too).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product

import numpy as np
from jaxtyping import Float, Int

from reknit.errors import UsageError
from reknit.match.trees.ensemble import TreeEnsemble, check_alike
from reknit.match.trees.symmetry import TreeSymmetry
from reknit.solvers.assignment import best_matching

MOST = 6
"""The depth of oblivious trees up to which all 2^D D! changes are tried: 46,080 of them."""


def match_weights(first: TreeEnsemble, second: TreeEnsemble) -> TreeSymmetry:
    """The change of ``second`` after which its parameters have the largest weighted inner product with ``first``'s.

    That is the optimum over the whole group. ``symmetry.apply(second)`` is aligned.

    Raises:
        InputError: the ensembles differ in architecture.
        UsageError: oblivious trees deeper than ``MOST``.
    """
    similarity, searched = _searched(first, second)
    return searched.change(best_matching(similarity))


def match_activations(first: TreeEnsemble, second: TreeEnsemble, x: Float[np.ndarray, "rows inputs"]) -> TreeSymmetry:
    """The change of ``second`` after which its trees' answers on x have the largest inner product with ``first``'s.

    Raises:
        InputError: the ensembles differ in architecture.
        UsageError: there are no rows, or oblivious trees deeper than ``MOST``.
    """
    if not len(x):
        raise UsageError("no rows to compare answers on", "data", "Give some, or match by weights")
    _, searched = _searched(first, second)
    answers = [trees.tree_outputs(x) for trees in (first, second)]
    flat = [(a - a.mean(0)).transpose(1, 0, 2).reshape(a.shape[1], len(x) * a.shape[2]) for a in answers]
    return searched.change(best_matching(flat[0] @ flat[1].T))


def match_order(first: TreeEnsemble, second: TreeEnsemble) -> TreeSymmetry:
    """The best change that only reorders trees, by weights: what matching of neurons would do; for comparison.

    Raises:
        InputError: the ensembles differ in architecture.
    """
    check_alike(first, second)
    similarity = sum(a @ b.T for a, b in zip(_features(first), _features(second), strict=True))
    plain = TreeSymmetry.identity(second)
    return TreeSymmetry(best_matching(np.asarray(similarity)), plain.flips, plain.depths)


def _searched(
    first: TreeEnsemble, second: TreeEnsemble
) -> tuple[Float[np.ndarray, "first second"], _ObliviousSearch | _HeapSearch]:
    check_alike(first, second)
    searched = _ObliviousSearch(first, second) if first.oblivious else _HeapSearch(first, second)
    return searched.similarity, searched


def _nodes(trees: TreeEnsemble) -> Float[np.ndarray, "trees nodes parameters"]:
    """Weights and bias of every split, times the root of the number of leaves below it."""
    nodes = np.concatenate([trees.weights, trees.biases[..., None]], axis=2)
    depths = np.arange(trees.depth)
    below = (
        np.full(trees.depth, 2**trees.depth) if trees.oblivious else np.repeat(2 ** (trees.depth - depths), 2**depths)
    )
    return np.asarray(nodes * np.sqrt(below)[:, None], dtype=np.float64)


def _leaves(trees: TreeEnsemble) -> Float[np.ndarray, "trees leaves outputs"]:
    return np.asarray(trees.leaves - trees.leaves.mean(1, keepdims=True), dtype=np.float64)


def _features(trees: TreeEnsemble) -> list[Float[np.ndarray, "trees parameters"]]:
    return [part.reshape(len(part), part.shape[1] * part.shape[2]) for part in (_nodes(trees), _leaves(trees))]


class _HeapSearch:
    """Best flips of every pair of plain trees, from the leaves up."""

    def __init__(self, first: TreeEnsemble, second: TreeEnsemble) -> None:
        self.depth = first.depth
        nodes, leaves = (_nodes(first), _nodes(second)), (_leaves(first), _leaves(second))
        best = np.einsum("aio,bjo->aibj", *leaves, optimize=True)
        self.flipped: dict[int, np.ndarray] = {}
        for depth in reversed(range(self.depth)):
            level = slice(2**depth - 1, 2 ** (depth + 1) - 1)
            alike = np.einsum("aip,bjp->aibj", nodes[0][:, level], nodes[1][:, level], optimize=True)
            straight = alike + best[:, ::2, :, ::2] + best[:, 1::2, :, 1::2]
            crossed = -alike + best[:, ::2, :, 1::2] + best[:, 1::2, :, ::2]
            self.flipped[depth] = crossed > straight
            best = np.maximum(straight, crossed)
        self.similarity = best[:, 0, :, 0]

    def change(self, order: Int[np.ndarray, " trees"]) -> TreeSymmetry:
        """The best change that puts tree ``order[m]`` of the second at m."""
        count, rows = len(order), np.arange(len(order))
        flips = np.zeros((count, 2**self.depth - 1), dtype=bool)
        stands = np.zeros((count, 1), dtype=np.int64)  # where the nodes of a depth, as they were, come to stand
        for depth in range(self.depth):
            level = np.arange(2**depth)
            flip = self.flipped[depth][rows[:, None], stands, order[:, None], level]
            flips[:, 2**depth - 1 : 2 ** (depth + 1) - 1] = flip
            sides = np.stack([2 * stands + flip, 2 * stands + ~flip], axis=-1)
            stands = sides.reshape(count, 2 ** (depth + 1))
        return TreeSymmetry(order, flips, np.zeros((count, 0), dtype=np.int64))


class _ObliviousSearch:
    """Best flips and split order of every pair of oblivious trees: all are tried."""

    def __init__(self, first: TreeEnsemble, second: TreeEnsemble) -> None:
        self.depth = first.depth
        if self.depth > MOST:
            remedy = "Match shallower trees"
            raise UsageError(f"split orders of depth {self.depth} are too many to try", "trees", remedy)
        ours = np.hstack(_features(first))
        self.similarity = np.full((first.trees, second.trees), -np.inf)
        self.best = np.zeros(self.similarity.shape, dtype=np.int64)
        for number, (depths, flips) in enumerate(self.changes()):
            every = TreeSymmetry(np.arange(second.trees), *(np.tile(v, (second.trees, 1)) for v in (flips, depths)))
            found = ours @ np.hstack(_features(every.apply(second))).T
            better = found > self.similarity
            self.best[better] = number
            np.maximum(self.similarity, found, out=self.similarity)

    def changes(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All new depths, with all flips."""
        for depths in permutations(range(self.depth)):
            for flips in product((False, True), repeat=self.depth):
                yield np.array(depths, dtype=np.int64), np.array(flips, dtype=bool)

    def change(self, order: Int[np.ndarray, " trees"]) -> TreeSymmetry:
        """The best change that puts tree ``order[m]`` of the second at m."""
        every = list(self.changes())
        chosen = [every[self.best[m, old]] for m, old in enumerate(order)]
        shape = (len(order), self.depth)
        depths = np.array([depths for depths, _ in chosen], dtype=np.int64).reshape(shape)
        return TreeSymmetry(order, np.array([flips for _, flips in chosen], dtype=bool).reshape(shape), depths)
