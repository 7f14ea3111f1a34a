"""An ensemble of soft decision trees, in numpy.

Source: Kanoh and Sugiyama 2024, "Linear mode connectivity in differentiable tree ensembles", arXiv 2405.14596, section
2.2. A perfect binary tree of depth D sends a share sigmoid(w_n x + b_n) of a sample to the left of node n and the rest
to the right; leaf l holds a vector pi_l and weighs it by the share that arrives, mu_l:

    f(x) = sum over trees m and leaves l:   mu_{m,l}(x) pi_{m,l}

In an *oblivious* tree all nodes of a depth share w and b, so that it has D of them instead of 2^D - 1.

    paper   here
    M D F C trees, depth, inputs, outputs
    w, b    weights, biases: one row for each node, in the order of a heap (children of n: 2n + 1 left, 2n + 2 right),
            or for each depth
    pi      leaves: from left to right
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from reknit.errors import InputError, UsageError


@dataclass(frozen=True)
class TreeEnsemble:
    """M soft trees of one depth.

    Attributes:
        weights: of every node (2^D - 1 a tree) or, if oblivious, of every depth (D a tree).
        biases: likewise.
        leaves: what the 2^D leaves hold.
        oblivious: nodes of a depth share their split.

    Raises:
        InputError: the shapes do not belong to one ensemble, or a number is not finite.
    """

    weights: Float[np.ndarray, "trees nodes inputs"]
    biases: Float[np.ndarray, "trees nodes"]
    leaves: Float[np.ndarray, "trees leaves outputs"]
    oblivious: bool = False

    def __post_init__(self) -> None:
        shapes = tuple(part.shape for part in self.parts)
        fit = [len(shape) for shape in shapes] == [3, 2, 3] and shapes[0][:2] == shapes[1]
        if not fit or shapes[0][0] != shapes[2][0] or 2**self.depth != shapes[2][1]:
            remedy = "Give trees x nodes x inputs, trees x nodes and trees x leaves x outputs, with 2^depth leaves"
            raise InputError(f"weights, biases and leaves of shapes {shapes} make no trees", "trees", remedy)
        if not all(np.isfinite(part).all() for part in self.parts):
            raise InputError("not every number is finite", "trees", "Leave this ensemble out")

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights, biases, leaves."""
        return self.weights, self.biases, self.leaves

    @property
    def trees(self) -> int:
        """M."""
        return len(self.weights)

    @property
    def depth(self) -> int:
        """D."""
        nodes = int(self.weights.shape[1])
        return nodes if self.oblivious else (nodes + 1).bit_length() - 1

    def shares(self, x: Float[np.ndarray, "rows inputs"]) -> Float[np.ndarray, "rows trees leaves"]:
        """mu: which share of each sample arrives at each leaf; they sum to 1 over the leaves of a tree."""
        scores = np.einsum("ri,mni->rmn", x, self.weights, optimize=True) + self.biases
        left, right = np.exp(-np.logaddexp(0, -scores)), np.exp(-np.logaddexp(0, scores))
        arriving = np.ones((len(x), self.trees, 1))
        for depth in range(self.depth):
            nodes = slice(depth, depth + 1) if self.oblivious else slice(2**depth - 1, 2 ** (depth + 1) - 1)
            sides = np.stack([arriving * left[..., nodes], arriving * right[..., nodes]], axis=-1)
            arriving = sides.reshape(len(x), self.trees, 2 * arriving.shape[2])
        return np.asarray(arriving, dtype=np.float64)

    def tree_outputs(self, x: Float[np.ndarray, "rows inputs"]) -> Float[np.ndarray, "rows trees outputs"]:
        """What each tree adds to the answer."""
        return np.asarray(np.einsum("rml,mlo->rmo", self.shares(x), self.leaves), dtype=np.float64)

    def __call__(self, x: Float[np.ndarray, "rows inputs"]) -> Float[np.ndarray, "rows outputs"]:
        """The answer of the ensemble."""
        return np.asarray(self.tree_outputs(x).sum(1), dtype=np.float64)


def check_alike(first: TreeEnsemble, second: TreeEnsemble) -> None:
    """Stop unless two ensembles have one architecture.

    Raises:
        InputError: they differ in kind or in a size.
    """
    kinds = [
        ("oblivious" if trees.oblivious else "plain", *(p.shape for p in trees.parts)) for trees in (first, second)
    ]
    if kinds[0] != kinds[1]:
        remedy = "Compare ensembles of the same kind, trees, depth, inputs and outputs"
        raise InputError(f"{kinds[0]} and {kinds[1]} are two architectures", "trees", remedy)


def average(ensembles: Sequence[TreeEnsemble], weights: Sequence[float] | None = None) -> TreeEnsemble:
    """The mean of the parameters: a merge, if the ensembles were aligned.

    Args:
        ensembles: of one architecture.
        weights: sum to 1; equal if not given.

    Raises:
        InputError: the ensembles differ in architecture.
        UsageError: there are none, or the weights do not fit or do not sum to 1.
    """
    shares = [1 / len(ensembles)] * len(ensembles) if weights is None and ensembles else list(weights or [])
    if not ensembles or len(shares) != len(ensembles) or not abs(sum(shares) - 1) <= 1e-6:
        problem = f"{len(ensembles)} ensembles cannot be averaged with weights {shares}"
        raise UsageError(problem, "weights", "Give one weight for each, of sum 1")
    for other in ensembles[1:]:
        check_alike(ensembles[0], other)
    splits, biases, leaves = (
        np.asarray(sum(share * part for share, part in zip(shares, parts, strict=True)))
        for parts in zip(*(trees.parts for trees in ensembles), strict=True)
    )
    return TreeEnsemble(splits, biases, leaves, ensembles[0].oblivious)
