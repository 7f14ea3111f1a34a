"""How a symmetry is found: the options of ``align`` and its kin, and the method they name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, Union, get_args

from reknit.errors import UsageError
from reknit.match.methods import find_method
from reknit.match.pairs import Pair
from reknit.match.unit_similarity import WEIGHINGS, Weighing
from reknit.match.weight_matching import match_weights
from reknit.skeleton.symmetry import Symmetry
from reknit.solvers.polar import Method as PolarMethod

if TYPE_CHECKING:
    from reknit.match.checkpoint import Checkpoint
    from reknit.match.samples import Samples
    from reknit.match.training import TrainedMatching
    from reknit.match.turned_basis import TurnedBasis

Basis: TypeAlias = Union[Symmetry, "TurnedBasis"]
"""What brings a network into another one's basis: it has ``apply`` and ``permutations``."""
POLARS: tuple[PolarMethod, ...] = get_args(PolarMethod)


@dataclass(frozen=True)
class AlignOptions:
    """What was asked for.

    Attributes:
        like: the skeleton, as ``--like`` has it.
        method: a name in ``reknit.match.methods``.
        input_shape: of an example input.
        weighing: in which units tensors are compared by weight matching.
        scales: whether weight matching also looks for factors and signs on units.
        seed: of everything that is drawn.
        polar: how the method rotation computes polar factors.
        polar_steps: of an inexact one.
    """

    like: str
    method: str = "weights"
    input_shape: str | None = None
    weighing: str = "standardised"
    scales: bool = False
    seed: int = 0
    polar: str = "svd"
    polar_steps: int = 10

    def __post_init__(self) -> None:
        find_method(self.method)
        if self.weighing not in WEIGHINGS:
            raise UsageError(
                f"there is no weighing {self.weighing!r}", "--weighing", f"Choose one of {', '.join(WEIGHINGS)}"
            )
        if self.scales and self.method != "weights":
            raise UsageError(f"the method {self.method} looks for permutations alone", "--scales", "Leave it away")
        if self.polar not in POLARS:
            raise UsageError(
                f"there is no polar factor {self.polar!r}", "--polar", f"Choose one of {', '.join(POLARS)}"
            )
        if self.polar != "svd" and self.method != "rotation":
            raise UsageError(f"the method {self.method} has no polar factors", "--polar", "Leave it away")
        if self.polar_steps < 1:
            raise UsageError(f"there are {self.polar_steps} steps", "--polar-steps", "Give 1 or more")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"the seed is {self.seed}", "--seed", "Give a whole number from 0 to 4294967295")

    @property
    def known_weighing(self) -> Weighing:
        """The weighing, as one of those there are."""
        return next(each for each in WEIGHINGS if each == self.weighing)


def found_symmetry(
    pair: Pair,
    options: AlignOptions,
    samples: Samples,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[Basis, float]:
    """What brings the second network into the first one's basis, and what the method reached, in its own units.

    Args:
        pair: of two networks.
        options: the method, and what it takes.
        samples: inputs, and targets for what trains.
        checkpoint: where what trains keeps its state; None: nowhere.
        progress: told how far it has come.
    """
    first, second = (network.tensors for network in pair.networks)
    if find_method(options.method).wants_targets:
        trained = _trained(pair, options, samples, checkpoint, progress)
        return trained.symmetry, trained.objective
    if options.method == "activations":
        from reknit.match.activation_matching import match_activations

        by_activations = match_activations(pair.computer, first, second, samples)
        return by_activations.symmetry, by_activations.objective
    if options.method == "rotation":
        from reknit.match.rotation_matching import match_rotations
        from reknit.match.turned_network import RotationOptions

        told = RotationOptions(next(each for each in POLARS if each == options.polar), options.polar_steps)
        turned = match_rotations(
            pair.computer, first, second, weighing=options.known_weighing, options=told, seed=options.seed
        )
        return turned.basis, turned.objective
    if options.scales:
        from reknit.match.all_symmetries import match_all

        everything = match_all(pair.computer, first, second, weighing=options.known_weighing, seed=options.seed)
        return everything.symmetry, everything.objective
    by_weights = match_weights(pair.skeleton, first, second, weighing=options.known_weighing, seed=options.seed)
    return by_weights.symmetry, by_weights.objective


def _trained(
    pair: Pair,
    options: AlignOptions,
    samples: Samples,
    checkpoint: Checkpoint | None,
    progress: Callable[[str], None] | None,
) -> TrainedMatching:
    first, second = (network.tensors for network in pair.networks)
    if options.method == "sinkhorn":
        from reknit.match.sinkhorn_matching import SinkhornMatching, match_sinkhorn

        softened = SinkhornMatching(seed=options.seed)
        return match_sinkhorn(pair.computer, first, second, samples, softened, checkpoint, progress)
    from reknit.match.straight_through import StraightThrough, match_straight_through

    rounded = StraightThrough(seed=options.seed, weighing=options.known_weighing)
    return match_straight_through(pair.computer, first, second, samples, rounded, checkpoint, progress)
