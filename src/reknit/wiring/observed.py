"""One tensor of a module's answer, as it was recorded: numbers, or the order of answers.

Either kind says what the search compares (``compared`` with ``target``, in units of ``scale``) and what the proof does
(``misfit``). Masked numbers, infinite or one huge negative constant, count for nothing in the search; in the proof the
same has to stand there. Beside -1e9 a float32 has no room for the other numbers: their rounding is judged without it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from reknit.wiring.links import Link
from reknit.wiring.masks import coarsest
from reknit.wiring.top_answers import against_threshold, best_temperature, chance_losses, leads, losses

Known = Bool[Tensor, "*shape"]
Compared = Float[Tensor, "*shape"]

TOLERANCE = 8.0
NOISES = 6 * math.sqrt(2)
"""Standard deviations of stated noise by which the lead of one answer over another may be wrong."""
SMALLEST_LOSS = 1e-12
"""Added to losses, of which the root is taken: it has no slope at 0."""


@dataclass(frozen=True)
class Misfit:
    """How far computed answers are from the recorded ones, in their own units.

    Attributes:
        rounding: root mean square of the rounding of a float32 pass.
        tolerance: the largest error that rounding explains.
        max_abs: the largest error; of an order, by how much it is broken.
        mse: mean squared error.
        count: numbers or labels compared.
        contradicted: labels that are broken by more than the tolerance.
    """

    rounding: float
    tolerance: float
    max_abs: float
    mse: float
    count: int
    contradicted: int = 0

    @property
    def share(self) -> float:
        """The largest error as a share of the tolerance; at most 1: rounding explains everything."""
        if self.max_abs == 0:
            return 0.0
        share = self.max_abs / self.tolerance if self.tolerance > 0 else math.inf
        return math.inf if math.isnan(share) else share


class Observed(ABC):
    """What was recorded of one tensor of the answer; the first axis runs over the inputs."""

    @property
    @abstractmethod
    def known(self) -> Known:
        """What counts in the search."""

    @property
    @abstractmethod
    def target(self) -> Compared:
        """What the search compares with; 0 where it is not known."""

    @property
    @abstractmethod
    def scale(self) -> Tensor:
        """The root mean square error of the mean answer, where the search compares."""

    @abstractmethod
    def compared(self, answer: Tensor) -> Compared:
        """What the search compares of an answer."""

    @abstractmethod
    def some(self, rows: Int[Tensor, " rows"]) -> Observed:
        """The same of some of the inputs."""

    @abstractmethod
    def recorded(self, answer: Tensor) -> Tensor:
        """What the proof compares of an answer."""

    @abstractmethod
    def misfit(self, full: Tensor, short: Tensor, noise: float = 0.0) -> Misfit:
        """The error of an answer, as ``recorded``, computed in float64 and again in float32.

        ``noise``: standard deviation that the answers are known to have carried before their order was recorded.
        """

    @abstractmethod
    def tuned(self, answer: Tensor) -> Observed:
        """The same, with what depends on all answers fixed as it is for these."""


@dataclass(frozen=True)
class ObservedNumbers(Observed):
    """Numbers, perhaps behind a link.

    Attributes:
        link: what lies between answer and record.
        record: in the dtype in which it came.
        finite: which of the numbers are neither infinities nor ``masked``.
    """

    link: Link
    record: Tensor
    finite: Known

    @property
    def known(self) -> Known:
        """What the search can undo."""
        return self.link.known(self.record.float()) & self.finite

    @property
    def target(self) -> Compared:
        """The record where the search compares it."""
        return torch.where(self.finite, self.link.target(torch.where(self.finite, self.record.float(), 0.0)), 0.0)

    @property
    def scale(self) -> Tensor:
        """The deviation of what counts."""
        known = self.known
        return self.target[known].std(correction=0).clamp(min=1e-12) if known.any() else torch.ones(())

    def compared(self, answer: Tensor) -> Compared:
        """The answer where the search compares it."""
        return self.link.compared(answer, self.known)

    def some(self, rows: Int[Tensor, " rows"]) -> ObservedNumbers:
        """The same of some of the inputs."""
        return replace(self, record=self.record[rows], finite=self.finite[rows])

    def tuned(self, answer: Tensor) -> ObservedNumbers:  # noqa: ARG002  nothing depends on it
        """The same."""
        return self

    @property
    def numbers(self) -> Tensor:
        """The record as ``recorded`` has it: 0 where it is masked."""
        return torch.where(self.finite, self.record, 0.0)

    def recorded(self, answer: Tensor) -> Tensor:
        """As the record would hold it; where that is masked, 0 for the same (to rounding) and infinite for all else."""
        linked = self.link.recorded(answer)
        held = self.record.to(linked.dtype)
        lowest = linked.clamp(min=torch.finfo(self.record.dtype).min)  # a mask of the least number there is
        unit = coarsest(self.record.dtype) / 2 * held.abs()
        same = (linked == held) | (held.isfinite() & linked.isfinite() & ((lowest - held).abs() <= TOLERANCE * unit))
        off = torch.where(same, 0.0, torch.inf)
        lowest = linked.clamp(min=torch.finfo(torch.float32).min)  # the least float64 rounds no least float32
        seen = torch.where(linked.isinf(), linked, lowest)
        return torch.where(self.finite, seen, off.to(linked.dtype))

    @property
    def count(self) -> int:
        """How many finite numbers there are."""
        return int(self.finite.sum())

    def misfit(self, full: Tensor, short: Tensor, noise: float = 0.0) -> Misfit:  # noqa: ARG002
        """The error and the rounding of the finite numbers; ``noise`` is judged by their mean square."""
        count = self.count
        slip = (short.double() - full).abs()[self.finite]
        error = (self.numbers.double() - full).abs()
        unit = torch.finfo(self.record.dtype).eps / 2 * float(self.numbers.abs().max()) if error.numel() else 0.0
        return Misfit(
            rounding=max(float(slip.square().mean()) ** 0.5 if count else 0.0, unit / 3),
            tolerance=TOLERANCE * max(float(slip.max()) if count else 0.0, unit),
            max_abs=float(error.max()) if error.numel() else 0.0,
            mse=float(error.square().sum()) / count if count else float(error.sum()),
            count=count,
        )


@dataclass(frozen=True)
class ObservedOrder(Observed):
    """The ids of the top classes, best first, or on which side of a threshold a number lies.

    Attributes:
        ids: of classes.
        classes: among how many.
        threshold: of single numbers, whose classes are below and above; None: the classes are the last axis.
        temperature: what answers are divided by; None: what suits them best.
    """

    ids: Int[Tensor, "*positions k"]
    classes: int
    threshold: float | None = None
    temperature: float | None = None

    @property
    def labels(self) -> int:
        """How many labels were recorded."""
        return self.ids[..., : self.classes - 1].numel()

    @property
    def known(self) -> Known:
        """All labels count."""
        return torch.ones_like(self.ids[..., : self.classes - 1], dtype=torch.bool)

    @property
    def target(self) -> Compared:
        """No loss at all."""
        return torch.zeros_like(self.known, dtype=torch.float32)

    @property
    def scale(self) -> Tensor:
        """What equal answers have."""
        return (2 * chance_losses(self.classes, self.ids.shape[-1])).sqrt()

    def as_classes(self, answer: Tensor) -> Float[Tensor, "*positions classes"]:
        """The answer with its classes along the last axis."""
        return answer if self.threshold is None else against_threshold(answer, self.threshold)

    def compared(self, answer: Tensor) -> Compared:
        """The root of twice the loss of each label: its square is the deviance."""
        answer = self.as_classes(answer)
        temperature = self.temperature or best_temperature(answer, self.ids)
        return (2 * losses(answer, self.ids, temperature) + SMALLEST_LOSS).sqrt()

    def some(self, rows: Int[Tensor, " rows"]) -> ObservedOrder:
        """The same of some of the inputs."""
        return replace(self, ids=self.ids[rows])

    def tuned(self, answer: Tensor) -> ObservedOrder:
        """The same at the temperature that suits these answers."""
        return replace(self, temperature=best_temperature(self.as_classes(answer), self.ids))

    def recorded(self, answer: Tensor) -> Tensor:
        """The answer itself: its order is compared."""
        return answer

    def leads(self, answer: Tensor) -> Float[Tensor, "*positions labels"]:
        """By how much the recorded order holds."""
        return leads(self.as_classes(answer), self.ids)

    def misfit(self, full: Tensor, short: Tensor, noise: float = 0.0) -> Misfit:
        """By how much the order is broken."""
        held, again = self.leads(full), self.leads(short).double()
        slip = torch.where(held.isfinite() & again.isfinite(), again - held, 0.0).abs()
        tolerance = (TOLERANCE * float(slip.max()) if slip.numel() else 0.0) + NOISES * noise
        broken = torch.where(held.isnan(), torch.inf, (-held).clamp(min=0.0))
        return Misfit(
            rounding=float(slip.square().mean()) ** 0.5 if slip.numel() else 0.0,
            tolerance=tolerance,
            max_abs=float(broken.max()) if broken.numel() else 0.0,
            mse=float(broken.square().mean()) if broken.numel() else 0.0,
            count=self.labels,
            contradicted=int((broken > tolerance).sum()),
        )
