"""Matching by rotations: streams and dimensions inside heads by orthogonal Procrustes, all else by permutations.

    Q  =  polar factor of   sum over members m:   B_m^T A_m        the nearest turn of B's units to A's, all else given

Orthogonal Procrustes is Schönemann's (1966, doi:10.1007/BF02289451, ``solvers.procrustes``). That the stream of an
RMSNorm may be turned once gains are folded is SliceGPT's (Ashkboos et al. 2024, arXiv 2401.15024); here that is asked
of the module, LayerNorm keeps the vector of ones, and the alternation with weight matching (Git Re-Basin, arXiv
2209.04836) maximises one objective, the inner product of both networks, so that it never falls.

    1  the streams, by what has no other free axis: embeddings, heads that name tokens
    2  heads: each pair by the nuclear norm of its cross-covariances, which no rotation inside can change
    3  the rest by weight matching, from what is fixed inwards
    4  insides of heads, streams, permutations, in turn, until nothing gains
    5  the same anew from there, as long as that gains: what was matched stays as it is when it is matched again

Known flaws: a local optimum, as all of weight matching. The first step is all there is to break the symmetry: without a
table of tokens or named inputs it starts from the identity. Inexact polar factors (``polar``) are no rotations: the
proof of ``align`` tells by how much the function changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reknit.errors import UsageError
from reknit.match.asking import answers_to_noise
from reknit.match.computing import Computer
from reknit.match.turned_basis import TurnedBasis, settled
from reknit.match.turned_network import RotationOptions, TurnedNetwork
from reknit.match.unit_similarity import Weighing
from reknit.skeleton.rotation_classes import RotationClass, find_rotation_classes
from reknit.skeleton.stream_gauge import StreamGauge

Tensors = Mapping[str, np.ndarray]
ROUNDS = 60
GAIN = 1e-9
"""Share of the objective that a round has to gain for another one to follow."""
AGAIN = 1e-6
"""Share that starting anew has to gain: rounds near their end still gain less than this."""


@dataclass(frozen=True)
class RotationMatching:
    """What brings the right network into the left one's basis.

    Attributes:
        basis: to be applied to the right network.
        objective: inner product of both, every tensor in units of its root mean square (or as it is).
        rounds: over streams, heads and permutations.
        settled: whether the last round gained nothing.
    """

    basis: TurnedBasis
    objective: float
    rounds: int
    settled: bool


def match_rotations(
    computer: Computer,
    left: Tensors,
    right: Tensors,
    *,
    weighing: Weighing = "standardised",
    options: RotationOptions | None = None,
    seed: int = 0,
) -> RotationMatching:
    """Bring the right network into the left one's basis.

    Args:
        computer: of the module of both; it is asked what may be turned.
        left: slot -> numbers; stays as it is.
        right: slot -> numbers.
        weighing: whether tensors count in units of their root mean square.
        options: how rotations are found.
        seed: see ``match_weights``.

    Raises:
        UsageError: nothing may be turned.
        InputError: a gain of the left network is zero.
    """
    told = options or RotationOptions()
    classes, gauges, refused = _turnable(computer, left, right)
    if not told.heads:
        classes = tuple(each for each in classes if each.group in {gauge.group.name for gauge in gauges})
    if not classes:
        groups = [each for each in computer.skeleton.groups if each.name in refused]
        largest = max(groups, key=lambda each: len(each.members))
        problem = f"no rotation leaves the function as it is: {largest.name}: {refused[largest.name]}"
        raise UsageError(problem, "--method rotation", "Take the method weights")
    first, second = ({k: _counted(v, weighing) for k, v in settled(gauges, each).items()} for each in (left, right))
    as_it_came = TurnedNetwork(computer.skeleton, classes, told, first, second, seed)
    best, rounds, done = _brought(as_it_came, again=told.polar == "svd")
    basis = TurnedBasis(computer.skeleton, gauges, tuple(best.steps), left, refused)
    return RotationMatching(basis, best.objective(), rounds, done)


def _brought(best: TurnedNetwork, *, again: bool) -> tuple[TurnedNetwork, int, bool]:
    """The four steps, from what they found as long as that gains; rounds, and whether the last one gained nothing.

    Once alone, where polar factors are inexact: their errors would pile up.
    """
    if not again:
        best.start()
        return best, *_improved(best)
    rounds, done, gained = 0, True, True
    while gained:
        gained = False
        for anew in (True, False):
            tried = best.copy()
            if anew:
                tried.start()
            more, settles = _improved(tried)
            gained = tried.objective() - best.objective() > AGAIN * abs(best.objective())
            if gained:
                best, rounds, done = tried, rounds + more, settles
                break
    return best, rounds, done


def _improved(state: TurnedNetwork) -> tuple[int, bool]:
    """Rounds until nothing gains: how many, and whether that was reached."""
    for rounds in range(1, ROUNDS + 1):
        before = state.objective()
        state.improve()
        if state.objective() - before <= GAIN * abs(before):
            return rounds, True
    return ROUNDS, False


def _turnable(
    computer: Computer, left: Tensors, right: Tensors
) -> tuple[tuple[RotationClass, ...], tuple[StreamGauge, ...], dict[str, str]]:
    """What may be turned in these two networks, how its norms are folded, and why other groups may not."""
    answer = answers_to_noise(computer)
    classes, refused = find_rotation_classes(computer.skeleton, answer)
    kept_classes, gauges = [], []
    within = {group.name: group.within for group in computer.skeleton.groups}
    for each in classes:
        gauge = StreamGauge.of(computer.skeleton, each, answer)
        reason = gauge.obstacle(left) or gauge.obstacle(right)
        if reason:
            refused[each.group] = reason
            continue
        kept_classes.append(each)
        if within[each.group] is None:
            gauges.append(gauge)
    return tuple(kept_classes), tuple(gauges), refused


def _counted(tensor: np.ndarray, weighing: Weighing) -> np.ndarray:
    """A tensor as it counts; lengths alone are changed, so that rotations stay rotations."""
    if tensor.dtype.kind != "f" or weighing == "plain" or not tensor.size:
        return tensor
    size = float(np.sqrt(np.square(tensor).mean()))
    return tensor / size if size > 0 else tensor
