"""From an arrangement to a verdict (docs/verdicts.md): the error against what may remain, and every near rival."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from reknit.assembly.floor import Floor, Steps, measure_floor
from reknit.assembly.problem import mean_square
from reknit.assembly.proof import Proof, Tested, prove, score_exactly
from reknit.assembly.result import Move, Residual, Verdict
from reknit.network.stack import Arrangement, Stack

ALIKE, TWIN_ROWS = 0.05, 64
"""Relative distance below which two in-layers or blocks are looked at for being exchangeable; rows for the latter."""
SPARE_BITS = 20.0
"""Bits of information the outputs must carry beyond what naming the arrangement takes."""


ARTICLES = {"swap": "a swap", "insertion": "an insertion", "exchange": "an exchange"}


@dataclass(frozen=True)
class Judgement:
    """A verdict with all it rests on."""

    verdict: Verdict
    reason: str
    residual: Residual
    undecided: tuple[Move, ...]
    proof: Proof
    floor: Floor


@dataclass(frozen=True)
class Names:
    """Piece names and contents at each position of an arrangement."""

    ins: Sequence[str]
    outs: Sequence[str]
    in_content: Sequence[str]
    out_content: Sequence[str]


def _named(tested: Tested, names: Names) -> Move:
    move = tested.move
    i, j = move.first, move.second
    if move.kind == "exchange":
        pieces: tuple[str, ...] = (names.outs[i], names.outs[j])
    elif move.kind == "swap":
        pieces = (names.ins[i], names.outs[i], names.ins[j], names.outs[j])
    else:
        pieces = (names.ins[i], names.outs[i])
    return Move(move.kind, pieces, tested.change, tested.z)


def _identical(names: Names) -> list[Move]:
    """Pieces of identical content, whatever their roles (square ones may have either): which is which is unknown."""
    found = []
    first: dict[str, str] = {}
    labels, contents = (*names.ins, *names.outs), (*names.in_content, *names.out_content)
    for label, content in zip(labels, contents, strict=True):
        if content in first:
            found.append(Move("exchange", (first[content], label), 0.0, 0.0))
        else:
            first[content] = label
    return found


def _twins(
    stack: Stack,
    x: Float[np.ndarray, "rows width"],
    error: Float[np.ndarray, "rows outputs"],
    arrangement: Arrangement,
    floor: Floor,
    level: float,
    names: Names,
) -> list[Move]:
    """Exchanges of like in-layers and of like blocks, scored exactly in float64; those the data do not reject.

    Neither is among the moves of ``prove``, because neither can be small unless the two are alike: in-layers by their
    numbers, blocks by what they add to the recorded inputs (hidden units in another order, or rescaled, make another
    block of numbers with the same function).
    """
    weights = np.concatenate([stack.in_weight.reshape(stack.blocks, stack.hidden * stack.width), stack.in_bias], 1)[
        list(arrangement.ins)
    ]
    rows = x[:TWIN_ROWS]
    pairs = zip(arrangement.ins, arrangement.outs, strict=True)
    added = np.stack([stack.branch(rows, i, o).reshape(-1) for i, o in pairs])
    trials: list[tuple[tuple[str, ...], Arrangement]] = []
    for i, j in _alike(weights):
        ins = list(arrangement.ins)
        ins[i], ins[j] = ins[j], ins[i]
        trials.append(((names.ins[i], names.ins[j]), Arrangement(tuple(ins), arrangement.outs)))
    for i, j in _alike(added):
        order = list(range(len(arrangement)))
        order[i], order[j] = j, i
        pieces = (names.ins[i], names.outs[i], names.ins[j], names.outs[j])
        trials.append((pieces, arrangement.reordered(order)))
    if not trials:
        return []
    scores = score_exactly(stack, x, error, arrangement, floor, [trial for _, trial in trials])
    found = [
        Move("exchange", moved, change, z) for (moved, _), (z, change) in zip(trials, scores, strict=True) if z < level
    ]
    known = {frozenset(move.pieces) for move in _identical(names)}
    return [move for move in found if frozenset(move.pieces) not in known]


def _alike(features: Float[np.ndarray, "items features"]) -> list[tuple[int, int]]:
    """Pairs of items that lie within ``ALIKE`` of each other, relative to their size."""
    wide = features.astype(np.float64)
    gram = wide @ wide.T
    squares = gram.diagonal()
    alike = squares[:, None] + squares - 2 * gram < ALIKE**2 * squares.clip(1e-300)
    return [(i, j) for i, j in np.argwhere(np.triu(alike, 1)).tolist()]


def _bits(y: Float[np.ndarray, "rows outputs"], spread: float) -> float:
    """How much the recorded outputs say: rows times log2 of their deviation over the error's, summed over outputs."""
    if len(y) < 2:
        return 0.0
    ratio = (y.std(0, ddof=1) / max(spread, 1e-300)).clip(1.0)
    return float(len(y) * np.log2(ratio).sum())


def _bits_needed(blocks: int, pooled: bool) -> float:
    ways = math.lgamma(2 * blocks + 1) if pooled else 2 * math.lgamma(blocks + 1)
    return ways / math.log(2)


def judge(
    stack: Stack,
    x: Float[np.ndarray, "rows width"],
    y: Float[np.ndarray, "rows outputs"],
    arrangement: Arrangement,
    steps: Steps,
    names: Names,
    *,
    pooled: bool = False,
) -> Judgement:
    """Judge an arrangement on all rows, in float64.

    Args:
        stack: the layers, float32.
        x: recorded inputs, float64.
        y: recorded outputs, float64.
        arrangement: what is claimed.
        steps: the rounding of pieces and table, and stated noise.
        names: of the pieces at each position.
        pooled: roles were found by evidence, too.
    """
    single = x.astype(np.float32)
    answers = stack.to(np.float64).forward(x, arrangement)
    error = y - answers
    floor = measure_floor(stack, single, y, arrangement, answers, steps)
    mse, max_abs = mean_square(error), float(np.abs(error).max())
    variance = mean_square(y - y.mean(0))
    residual = Residual(mse, max_abs, len(y), floor.tolerance, floor.mse, variance)
    reproduced = max_abs <= floor.tolerance
    at_floor = steps.known and mse <= floor.highest
    if not (reproduced or at_floor):
        empty = Proof(0.0, {}, {}, (), None)
        return Judgement("failed", _why_not(mse, variance, floor, steps, len(y)), residual, (), empty, floor)
    proof = prove(stack, single, error, arrangement, floor, pulls=not reproduced)
    same = _identical(names) + _twins(stack, single, error, arrangement, floor, proof.level, names)
    known = {frozenset(move.pieces) for move in same}
    undecided = (*same, *(m for m in (_named(t, names) for t in proof.undecided) if frozenset(m.pieces) not in known))
    needed = _bits_needed(len(arrangement), pooled) + SPARE_BITS
    carried = _bits(y, math.sqrt(max(mse, floor.white)))
    verdict, reason = _verdict(residual, floor, proof, undecided, (carried, needed), reproduced)
    return Judgement(verdict, reason, residual, undecided, proof, floor)


def _why_not(mse: float, variance: float, floor: Floor, steps: Steps, rows: int) -> str:
    if not variance > 0 and rows > 1:
        return f"the recorded outputs are constant, and the best arrangement misses them by {mse:.3g} (mean squared)"
    share = mse / variance if variance > 0 else math.inf
    known = ", ".join(floor.parts) if steps.known else "float32 rounding"
    of_all = f" ({share:.2g} of the outputs' variance)" if variance > 0 else ""
    return (
        f"the best arrangement leaves a mean squared error of {mse:.3g}{of_all}, "
        f"more than {known} explains ({floor.highest:.2g})"
    )


def _verdict(
    residual: Residual,
    floor: Floor,
    proof: Proof,
    undecided: Sequence[Move],
    bits: tuple[float, float],
    reproduced: bool,
) -> tuple[Verdict, str]:
    total = sum(proof.counts.values())
    if undecided:
        kinds = ", ".join(sorted({f"{m.kind} of {' and '.join(m.pieces[:4])}" for m in undecided})[:3])
        return (
            "ambiguous",
            f"the data do not decide {len(undecided)} near rearrangements ({total} were tested): {kinds}",
        )
    if bits[0] < bits[1]:
        return "ambiguous", (
            f"{residual.rows} rows carry about {bits[0]:.0f} bits and naming the arrangement takes {bits[1]:.0f}: "
            "another arrangement may fit as well"
        )
    tested = (
        "there is nothing to rearrange"
        if not total
        else (
            f"all {total} near rearrangements are rejected (z at least {min(proof.rejected_z.values(), default=0):.3g})"
        )
    )
    if reproduced:
        return "exact", (
            f"every one of {residual.rows} rows is reproduced in float64 within {floor.tolerance:.2g} "
            f"(largest error {residual.max_abs:.2g}), and {tested}"
        )
    pull = proof.strongest_pull
    if pull is not None and pull.pull_z > proof.level:
        return "failed", (
            f"the error is no larger than {', '.join(floor.parts)} explains, but it still correlates with "
            f"{ARTICLES[pull.move.kind]} of positions {pull.move.first} and {pull.move.second} (z {pull.pull_z:.1f})"
        )
    return "consistent", (
        f"the mean squared error {residual.mse:.3g} is what {', '.join(floor.parts)} explains "
        f"(up to {floor.highest:.3g}), and {tested}"
    )
