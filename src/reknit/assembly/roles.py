"""From a pile to stacks: which pieces are in-layers, out-layers and the head, told by shape where shape tells."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from reknit.assembly.floor import Steps
from reknit.containers import Piece, Pile
from reknit.containers.table import Table
from reknit.errors import PileError
from reknit.network.activations import activation
from reknit.network.norms import norm
from reknit.network.stack import Stack


@dataclass(frozen=True)
class Roles:
    """Pieces by role.

    Attributes:
        ins: in-layers; where in- and out-layers have one shape (``pooled``), every square piece but the head.
        outs: out-layers; where pooled, the same pieces as ``ins``.
        head: the head.
        pooled: in- and out-layers are not told apart by shape.
        placed: biases that came alone, as (the weight's piece, the bias's piece).
    """

    ins: tuple[Piece, ...]
    outs: tuple[Piece, ...]
    head: Piece
    pooled: bool
    placed: tuple[tuple[str, str], ...] = ()

    @property
    def blocks(self) -> int:
        """Number of blocks, n."""
        return len(self.ins) // 2 if self.pooled else len(self.ins)


def _shapes(pieces: list[Piece]) -> str:
    counts = Counter(piece.shape for piece in pieces)
    return ", ".join(f"{n} of {r} x {c}" for (r, c), n in sorted(counts.items(), key=lambda item: -item[1]))


def candidate_roles(pile: Pile, table: Table) -> list[Roles]:
    """Every way the shapes allow to give the pieces their roles; more than one only where the head's shape recurs.

    Raises:
        PileError: the pieces do not make one residual MLP that takes the table's inputs to its outputs; the sentence
            names the piece, or the counts.
    """
    width, outputs = table.inputs.shape[1], table.outputs.shape[1]
    pieces, placed = _with_loose_biases(pile)
    for piece in pieces:
        if width not in piece.shape:
            raise PileError(
                f"is {piece.shape[0]} x {piece.shape[1]}, but the table has {width} inputs: one side has to be {width}",
                piece.name,
                "Take the piece out of the pile, or choose the input columns with --inputs",
            )
    heads = [piece for piece in pieces if piece.shape == (outputs, width)]
    if not heads:
        raise PileError(
            f"no piece is {outputs} x {width}, the head for {outputs} recorded outputs (there are {_shapes(pieces)})",
            pile.path,
            "Choose the output columns with --target",
        )
    found, fault = [], ""
    for head in heads:
        rest = [piece for piece in pieces if piece is not head]
        problem = _misfit(rest, width)
        if problem:
            fault = fault or problem
            continue
        hidden = max((max(piece.shape) for piece in rest), default=width)
        hidden = hidden if hidden != width else min((min(piece.shape) for piece in rest), default=width)
        if hidden == width:
            found.append(Roles(tuple(rest), tuple(rest), head, True, placed))
        else:
            ins = tuple(piece for piece in rest if piece.shape == (hidden, width))
            outs = tuple(piece for piece in rest if piece.shape == (width, hidden))
            found.append(Roles(ins, outs, head, False, placed))
    if not found:
        raise PileError(fault, pile.path, "Look for a missing or a foreign piece with reknit inspect")
    return found


def _with_loose_biases(pile: Pile) -> tuple[list[Piece], tuple[tuple[str, str], ...]]:
    """The pieces that have a weight; a bias that came alone goes to the one weight without a bias that it fits.

    Raises:
        PileError: it fits none, or several; which of several it belongs to is not guessed.
    """
    whole, placed = [piece for piece in pile if piece.weight is not None], []
    for loose in (piece for piece in pile if piece.weight is None):
        (size,) = loose.shape
        open_to = [k for k, piece in enumerate(whole) if piece.bias is None and piece.shape[0] == size]
        rivals = [p.name for p in pile if p.weight is None and p.shape == loose.shape]
        if len(open_to) != 1 or len(rivals) != 1:
            counts = f"{len(rivals)} bias{'es' * (len(rivals) > 1)} and {len(open_to)} weights of {size} rows"
            takers = f"with {counts} left over it cannot be told whose it is"
            takers = takers if open_to else f"there is no weight of {size} rows without one"
            raise PileError(
                f"is a bias without a weight, and {takers}",
                loose.name,
                "Put the bias into the file of its weight" if open_to else "Take the piece out of the pile",
            )
        (k,) = open_to
        whole[k] = replace(whole[k], bias=loose.bias, bias_dtype=loose.bias_dtype)
        placed.append((whole[k].name, loose.name))
    return whole, tuple(placed)


def _misfit(rest: list[Piece], width: int) -> str:
    """Why these pieces do not make blocks; empty if they do."""
    sizes = Counter(piece.shape[0] if piece.shape[1] == width else piece.shape[1] for piece in rest)
    if len(sizes) > 1:
        hidden = sizes.most_common(1)[0][0]
        odd = next(p for p in rest if (p.shape[0] if p.shape[1] == width else p.shape[1]) != hidden)
        shape = f"{odd.shape[0]} x {odd.shape[1]}"
        return f"{odd.name} is {shape}, which fits neither the head nor blocks of {hidden} hidden units"
    hidden = next(iter(sizes), width)
    if hidden == width:
        return f"{len(rest)} square pieces cannot be halved into in- and out-layers" if len(rest) % 2 else ""
    ins = sum(piece.shape == (hidden, width) for piece in rest)
    outs = len(rest) - ins
    return f"{ins} in-layers ({hidden} x {width}) but {outs} out-layers ({width} x {hidden})" if ins != outs else ""


def _weights(pieces: tuple[Piece, ...], rows: int, columns: int) -> Float[np.ndarray, "pieces rows columns"]:
    stacked = np.empty((len(pieces), rows, columns), np.float32)
    for k, piece in enumerate(pieces):
        stacked[k] = piece.weight
    return stacked


def _biases(pieces: tuple[Piece, ...], size: int) -> Float[np.ndarray, "pieces size"]:
    stacked = np.zeros((len(pieces), size), np.float32)
    for k, piece in enumerate(pieces):
        if piece.bias is not None:
            stacked[k] = piece.bias
    return stacked


def stack_of(roles: Roles, width: int, act: str, block_norm: str, final_norm: str, eps: float | None = None) -> Stack:
    """The layers as stacked float32 arrays; a missing bias is zero."""
    hidden = roles.ins[0].shape[0] if roles.ins else width
    return Stack(
        _weights(roles.ins, hidden, width),
        _biases(roles.ins, hidden),
        _weights(roles.outs, width, hidden),
        _biases(roles.outs, width),
        _weights((roles.head,), *roles.head.shape)[0],
        _biases((roles.head,), roles.head.shape[0])[0],
        activation(act),
        norm(block_norm),
        norm(final_norm),
        eps,
    )


def steps_of(roles: Roles, table: Table, noise: float) -> Steps:
    """Rounding steps of pieces stored coarser than float32, and of the table's columns."""

    def coarse(pieces: tuple[Piece, ...], kind: str) -> Float[np.ndarray, "*shape"] | None:
        """The steps of all weights or biases of a role, 0 for pieces not coarse; None if none is."""
        dtypes = {p.dtype if kind == "weight" else p.bias_dtype for p in pieces} - {"float32", "float64", None}
        if not dtypes:
            return None
        steps = []
        for piece in pieces:
            values, dtype = (piece.weight, piece.dtype) if kind == "weight" else (piece.bias, piece.bias_dtype)
            if values is None:
                values = np.zeros(piece.shape[0])
            fine = dtype in ("float32", "float64", None)
            step = 0.0 if fine else piece.weight_step() if kind == "weight" else piece.bias_step()
            steps.append(np.broadcast_to(np.asarray(step, dtype=np.float64), values.shape))
        return np.stack(steps)

    found = {}
    for name, pieces in (("in", roles.ins), ("out", roles.outs), ("head", (roles.head,))):
        for kind in ("weight", "bias"):
            step = coarse(pieces, kind)
            if step is not None:
                found[f"{name}_{kind}"] = step[0] if name == "head" else step
    return Steps(found, table.input_step, table.output_step, noise)
