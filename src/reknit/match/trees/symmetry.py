"""What can be changed in an ensemble of soft trees without changing its function, as a value.

Source: arXiv 2405.14596, section 3.1. Three things:

    tree order       the trees are summed
    subtree flip     negate w and b of a node and exchange what lies to its left and right: sigmoid(-s) = 1 - sigmoid(s)
    split order      of an oblivious tree: exchange two depths, and the leaves with them

Not in the paper, and without consequence for averages: a constant added to all leaves of one tree and taken from those
of another (the shares of a tree sum to 1). Averages of parameters are linear in it; the matching takes it out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from reknit.errors import InputError
from reknit.match.trees.ensemble import TreeEnsemble


@dataclass(frozen=True)
class TreeSymmetry:
    """One change of an ensemble that leaves its function as it is.

    Attributes:
        order: ``order[m]`` is the old tree that becomes tree m.
        flips: of the old tree that becomes tree m, which nodes (or depths, if oblivious) are flipped.
        depths: if oblivious, the new depth of each old depth of that tree; else without columns.
    """

    order: Int[np.ndarray, " trees"]
    flips: Bool[np.ndarray, "trees nodes"]
    depths: Int[np.ndarray, "trees depths"]

    @classmethod
    def identity(cls, trees: TreeEnsemble) -> TreeSymmetry:
        """The change that changes nothing."""
        count, nodes = trees.biases.shape
        depths = np.tile(np.arange(nodes if trees.oblivious else 0), (count, 1))
        return cls(np.arange(count), np.zeros((count, nodes), dtype=bool), depths)

    @classmethod
    def drawn(cls, trees: TreeEnsemble, rng: np.random.Generator) -> TreeSymmetry:
        """A change drawn at random, all alike likely."""
        plain = cls.identity(trees)
        flips = rng.random(plain.flips.shape) < 0.5
        return cls(rng.permutation(trees.trees), flips, rng.permuted(plain.depths, axis=1))

    def apply(self, trees: TreeEnsemble) -> TreeEnsemble:
        """The changed ensemble.

        Raises:
            InputError: the change is one of another architecture.
        """
        depths = trees.depth if trees.oblivious else 0
        if self.flips.shape != trees.biases.shape or self.depths.shape[1] != depths:
            found = f"flips of shape {self.flips.shape} for nodes of shape {trees.biases.shape}"
            raise InputError(found, "symmetry", "Apply it to ensembles of the architecture it was made for")
        nodes, leaves = self.places()
        node_from, leaf_from = np.argsort(nodes, axis=1), np.argsort(leaves, axis=1)
        rows = self.order[:, None]
        signs = np.where(np.take_along_axis(self.flips, node_from, axis=1), -1.0, 1.0)
        return TreeEnsemble(
            trees.weights[rows, node_from] * signs[..., None],
            trees.biases[rows, node_from] * signs,
            trees.leaves[rows, leaf_from],
            oblivious=trees.oblivious,
        )

    def inverse(self) -> TreeSymmetry:
        """The change that undoes this one."""
        nodes, _ = self.places()
        back = np.argsort(self.order)
        flips = np.take_along_axis(self.flips, np.argsort(nodes, axis=1), axis=1)
        return TreeSymmetry(back, flips[back], np.argsort(self.depths, axis=1)[back])

    def places(self) -> tuple[Int[np.ndarray, "trees nodes"], Int[np.ndarray, "trees leaves"]]:
        """Where each old node (or depth) and each old leaf of a tree comes to stand."""
        count, nodes = self.flips.shape
        if self.depths.shape[1]:
            leaves = np.arange(2**nodes)
            sides = (leaves[:, None] >> np.arange(nodes - 1, -1, -1)) & 1  # leaf x old depth; 1 is right
            turned = sides[None] ^ self.flips[:, None, :].astype(np.int64)
            return self.depths, (turned << (nodes - 1 - self.depths)[:, None, :]).sum(-1)
        place = np.zeros((count, 2 * nodes + 1), dtype=np.int64)  # nodes, then leaves, in the order of a heap
        for n in range(nodes):
            left = 2 * place[:, n] + 1
            place[:, 2 * n + 1] = left + self.flips[:, n]
            place[:, 2 * n + 2] = left + ~self.flips[:, n]
        return place[:, :nodes], place[:, nodes:] - nodes
