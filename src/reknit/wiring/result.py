"""The result of wiring: which tensor is in which slot, how sure that is, and what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from reknit.wiring.folder import save_wiring

if TYPE_CHECKING:
    from torch import nn

Verdict = Literal["exact", "consistent", "ambiguous", "failed"]


@dataclass(frozen=True)
class Placed:
    """A tensor in a slot.

    Attributes:
        slot: the state-dict key.
        piece: the tensor, by its name as found.
        margin: log-odds, from the weights alone, against the best rival (docs/wiring.md); infinite where no other
            tensor has the shape.
        certain: whether it may be relied on: by its margin, or because the recorded outputs reject every exchange of
            two tensors. Whole branches that may change places without effect on any answer cannot be told apart.
    """

    slot: str
    piece: str
    margin: float
    certain: bool


@dataclass(frozen=True)
class Inferred:
    """Where the skeleton comes from.

    Attributes:
        like: what ``--like`` is told to get it.
        read_from: which tensors are what, in words; empty where the skeleton was given.
        alternatives: what else would fit, in words.
    """

    like: str
    read_from: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wiring:
    """A network put back together from anonymous tensors.

    Attributes:
        verdict: ``exact``, ``consistent``, ``ambiguous`` or ``failed`` (docs/verdicts.md). Weights alone never give
            ``exact``: that takes recorded outputs.
        reason: one sentence.
        slots: every slot of the skeleton, in its order.
        undecided: sets of slots whose tensors may be exchanged without anything known against it.
        residual: against recorded outputs; None without them.
        skeleton: where it comes from.
        seconds: per stage.
        run: command-line options, version, and what else repeats the run.
        array: the numbers of a piece, by name.
        build: the module with the tensors in it.
    """

    verdict: Verdict
    reason: str
    slots: tuple[Placed, ...]
    undecided: tuple[tuple[str, ...], ...]
    residual: Mapping[str, Any] | None
    skeleton: Inferred
    seconds: Mapping[str, float]
    run: Mapping[str, Any]
    array: Callable[[str], Float[np.ndarray, ...]] = field(repr=False)
    build: Callable[[Mapping[str, np.ndarray]], nn.Module] = field(repr=False)

    @property
    def placement(self) -> dict[str, str]:
        """Slot -> piece."""
        return {placed.slot: placed.piece for placed in self.slots}

    @property
    def tensors(self) -> dict[str, Float[np.ndarray, ...]]:
        """Slot -> numbers, read now."""
        return {placed.slot: self.array(placed.piece) for placed in self.slots}

    @property
    def model(self) -> nn.Module:
        """The module with every tensor in its slot, in eval mode."""
        return self.build(self.tensors)

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "architecture": {
                "like": self.skeleton.like,
                "inferred_from": list(self.skeleton.read_from),
                "alternatives": list(self.skeleton.alternatives),
            },
            "slots": [{"slot": p.slot, "piece": p.piece, "margin": p.margin, "certain": p.certain} for p in self.slots],
            "undecided": [list(slots) for slots in self.undecided],
            "residual": None if self.residual is None else dict(self.residual),
            "seconds": dict(self.seconds),
            "seed": self.run["seed"],
            "version": self.run["version"],
        }

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Write ``model.safetensors`` (keys are slots), ``config.json`` and ``assembly.json``.

        Raises:
            OutputError: the folder is there already and ``force`` is false, or it cannot be written.
        """
        shape = self.run.get("input")
        save_wiring(self.tensors, self.skeleton.like, self.as_json(), Path(folder), input_shape=shape, force=force)
