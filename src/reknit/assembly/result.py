"""The result of ``assemble``: one frozen object that carries the answer and its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from reknit.network.residual_mlp import ResidualMLP
    from reknit.network.spec import ResidualSpec

Verdict = Literal["exact", "consistent", "ambiguous", "failed"]
MoveKind = Literal["swap", "insertion", "exchange"]


@dataclass(frozen=True)
class Pair:
    """One matched pair of layers: piece names as found, and the margin over the best rival (docs/evidence.md)."""

    in_piece: str
    out_piece: str
    margin: float


@dataclass(frozen=True)
class Move:
    """A rearrangement that the data do not reject.

    Attributes:
        kind: ``swap`` of two neighbouring blocks, ``insertion`` of a block elsewhere, ``exchange`` of two out-pieces.
        pieces: the pieces that move, names as found.
        change: by how much the move raises the mean squared error, in squared output units; may be negative.
        z: how many standard errors the data lie from the moved arrangement; small: not told apart.
    """

    kind: MoveKind
    pieces: tuple[str, ...]
    change: float
    z: float


@dataclass(frozen=True)
class Residual:
    """How far the assembled network is from the recorded outputs, over every row and output.

    Attributes:
        mse: mean squared error, squared output units.
        max_abs: largest absolute error, output units.
        rows: rows compared.
        tolerance: the largest absolute error that rounding explains (docs/verdicts.md).
        floor: the mean squared error expected of the right arrangement (decimals, dtype of pieces, stated noise).
        variance: variance of the recorded outputs, for scale.
    """

    mse: float
    max_abs: float
    rows: int
    tolerance: float
    floor: float
    variance: float


@dataclass(frozen=True)
class Step:
    """One point of the search: the arrangement held after it.

    Attributes:
        stage: ``pair``, ``start``, ``order``, ``mend``, ... as the report labels it.
        mse: mean squared error of that arrangement on the rows then in use.
        rows: how many rows those were.
        inversions: pairs of blocks that stand the other way round in the final order; None if the pairs differ.
        seconds: since the search began.
    """

    stage: str
    mse: float
    rows: int
    inversions: int | None
    seconds: float


@dataclass(frozen=True)
class Evidence:
    """What the report draws; arrays are in the final order.

    Attributes:
        pair_scores: score of in-piece i (rows) with out-piece j (columns), both in the final order: the right pairs lie
            on the diagonal. Units: standard deviations of the wrong pairs' scores (docs/evidence.md).
        stream_rms: root mean square of the stream before block 0, 1, ..., n-1 and after the last.
        branch_rms: root mean square of what each block adds.
        steps: the search, in time.
        moves: number of moves tested, by kind.
        rejected_z: the smallest z among the rejected moves, by kind (absent when no move of that kind was rejected).
        level: the z a move has to reach to be rejected.
        tried: the activation and norm combinations tried, with the best mean squared error of each.
    """

    pair_scores: Float[np.ndarray, "blocks blocks"]
    stream_rms: tuple[float, ...]
    branch_rms: tuple[float, ...]
    steps: tuple[Step, ...]
    moves: Mapping[str, int]
    rejected_z: Mapping[str, float]
    level: float
    tried: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Assembly:
    """A network put back together, the verdict, and what it rests on.

    Attributes:
        verdict: ``exact``, ``consistent``, ``ambiguous`` or ``failed`` (docs/verdicts.md).
        reason: one sentence: what the verdict rests on, or what blocks a better one.
        order: piece names in, out, in, out, ..., head.
        pairs: the pairs in the final order.
        undecided: the moves the data do not reject.
        residual: the error over all rows.
        seconds: wall time per stage: read, pair, order, verify.
        spec: the architecture that fits.
        tensors: the model's state dict.
        evidence: what the report draws.
        run: what repeats the run: version, seed, method, start, threads, rows, data and piece paths and hashes, ...
    """

    verdict: Verdict
    reason: str
    order: tuple[str, ...]
    pairs: tuple[Pair, ...]
    undecided: tuple[Move, ...]
    residual: Residual
    seconds: Mapping[str, float]
    spec: ResidualSpec
    tensors: Mapping[str, np.ndarray] = field(repr=False)
    evidence: Evidence = field(repr=False)
    run: Mapping[str, Any]

    @property
    def model(self) -> ResidualMLP:
        """The assembled network, a working ``torch.nn.Module``."""
        from reknit.network.residual_mlp import ResidualMLP

        return ResidualMLP.from_tensors(self.spec, self.tensors)

    def as_json(self) -> dict[str, Any]:
        """What ``assemble --json`` prints and ``assembly.json`` holds; plain JSON values only."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "order": list(self.order),
            "pairs": [{"in": p.in_piece, "out": p.out_piece, "margin": p.margin} for p in self.pairs],
            "undecided": [asdict(m) | {"pieces": list(m.pieces)} for m in self.undecided],
            "residual": asdict(self.residual),
            "seconds": dict(self.seconds),
            "method": self.run["method"],
            "start": self.run["start"],
            "seed": self.run["seed"],
            "activation": self.spec.activation,
            "norm": self.spec.norm,
            "final_norm": self.spec.final_norm,
            "version": self.run["version"],
        }

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Write ``model.safetensors``, ``config.json`` and ``assembly.json`` into a folder, whole or not at all."""
        from reknit.assembly.folder import save_assembly

        save_assembly(self, Path(folder), force=force)

    def report(self, path: str | Path, *, force: bool = False) -> None:
        """Write the result as one self-contained HTML page."""
        from reknit.assembly.page import write_page

        write_page(self, Path(path), force=force)
