"""The result of wiring: which tensor is in which slot, how sure that is, and what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
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
            two tensors. Whole branches that may change places without effect on any answer cannot be told apart; nor
            can identical copies, which are never certain.
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
class Step:
    """One point of the search by recorded outputs.

    Attributes:
        stage: ``given``, ``round``, ``exchange``, ``rival``, ``beliefs``, ``all arrangements``, ``found``.
        error: mean squared error in units of the recorded variance, where answers are compared.
        certain: open slots that had become certain.
        seconds: since the search began.
    """

    stage: str
    error: float
    certain: int
    seconds: float


@dataclass(frozen=True)
class ExchangeTests:
    """What was asked of the exchanges of two tensors (docs/verdicts.md).

    Attributes:
        level: z from which an exchange is rejected.
        tested: exchanges in all pools.
        screened: of these, how many first-order effects alone rejected.
        weakest: the smallest z among exchanges rejected exactly; infinite if there are none.
        undecided: how many are not rejected.
    """

    level: float
    tested: int
    screened: int
    weakest: float
    undecided: int


@dataclass(frozen=True)
class WiringEvidence:
    """What the report draws.

    Attributes:
        families: slot -> its family across depth, and the numbers that were replaced in its key.
        likely: slots that are not certain, and that the weights alone make likely.
        by_weights: slot -> what the weights alone would have there, where recorded outputs put something else.
        steps: the search by recorded outputs, in time.
        tests: of exchanges; None without recorded outputs.
    """

    families: Mapping[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    likely: frozenset[str] = frozenset()
    by_weights: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    tests: ExchangeTests | None = None


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
        identical: sets of slots that hold tensors of equal bits: which copy is where, nothing can tell.
        notes: what was done to the pile, in words: copies of tied tensors that were left out.
        evidence: what the report draws.
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
    identical: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    evidence: WiringEvidence = field(default_factory=WiringEvidence, repr=False)

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
            "identical": [list(slots) for slots in self.identical],
            "notes": list(self.notes),
            "residual": None if self.residual is None else dict(self.residual),
            "seconds": dict(self.seconds),
            "seed": self.run["seed"],
            "version": self.run["version"],
        }

    def save(self, folder: str | Path, *, force: bool = False, expendable: Collection[str] = ()) -> None:
        """Write ``model.safetensors`` (keys are slots), ``config.json`` and ``assembly.json``.

        Args:
            folder: where to.
            force: replace an existing folder that holds an assembly and nothing else.
            expendable: names of files that may be lost with the old folder: the checkpoint of this run.

        Raises:
            OutputError: the folder is there already and ``force`` is false, or it cannot be written.
        """
        evidence = asdict(self.evidence) | {"likely": sorted(self.evidence.likely)}
        content = self.as_json() | {"run": self.run, "evidence": evidence}
        save_wiring(
            self.tensors,
            self.skeleton.like,
            content,
            Path(folder),
            input_shape=self.run.get("input"),
            force=force,
            expendable=expendable,
        )

    def report(self, path: str | Path, *, force: bool = False) -> None:
        """Write the result as one self-contained HTML page.

        Raises:
            OutputError: something is there already and ``force`` is false, or the place cannot be written.
        """
        from reknit.wiring.page import write_page

        write_page(self, Path(path), force=force)
