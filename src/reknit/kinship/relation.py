"""What is said of two files: the evidence test by test, one conclusion, and what could not be tested and why.

    Relation
    |-- Finding      one test on one group of units, or on all
    |-- Void         a group that could not be tested, with the reason
    `-- Direction    which of the two came first, or that it cannot be said

The claim is always "shared initialisation or descent": no test here tells two children of one initialisation from a
parent and its child. Numbers are in log10, because they underflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Label = Literal["exact", "calibrated", "cannot say"]
Tier = Literal["exact", "calibrated"]
DirectionLabel = Literal["decided", "suggested", "cannot say"]


@dataclass(frozen=True)
class Finding:
    """One test.

    Attributes:
        test: ``fixed points``, ``trace``, ``incoming Gram``, ``outgoing Gram``, ``unused rows``, ``same numbers``,
            ``stream relabelled`` or ``panel``.
        where: the group of units or the tensor; ``all`` for a test of the whole network.
        units: how many were relabelled, or the size of the panel.
        tier: ``exact``: valid in finite samples under ``Relation.assumptions``; ``calibrated``: by a panel.
        log10_p: of this test alone.
        log10_e: of its e-value; None where it has none.
        statistic: what was counted or summed.
        expected: its mean under the hypothesis of independence.
        effect: share of units in place, a correlation, or a cosine; 0 unrelated, 1 the same. Not the strength of the
            evidence.
    """

    test: str
    where: str
    units: int
    tier: Tier
    log10_p: float
    log10_e: float | None
    statistic: float
    expected: float
    effect: float

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return dict(vars(self))


@dataclass(frozen=True)
class Void:
    """A group of units that a test would not be valid for.

    Attributes:
        where: the group or tensor.
        reason: one clause: ``units sorted by norm``.
    """

    where: str
    reason: str

    def as_json(self) -> dict[str, str]:
        """The object that ``--json`` prints."""
        return {"where": self.where, "reason": self.reason}


@dataclass(frozen=True)
class Direction:
    """Which of two related files came first.

    Attributes:
        label: ``decided`` by a change that loses information; ``suggested`` by a habit of training, with its measured
            error rate; or ``cannot say``.
        parent: the file that came first; None where that cannot be said.
        reason: one sentence.
        error_rate: of a suggestion, as measured; None otherwise.
    """

    label: DirectionLabel
    parent: Path | None
    reason: str
    error_rate: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "label": self.label,
            "parent": None if self.parent is None else str(self.parent),
            "reason": self.reason,
            "error_rate": self.error_rate,
        }


@dataclass(frozen=True)
class Relation:
    """What is said of two files.

    Attributes:
        first: a file.
        second: another one.
        label: the tier of the evidence that settles it; ``cannot say`` where none does.
        claim: one sentence.
        log10_p: of all tests of the settling tier together (of the exact ones where none settles it), corrected for
            the kinds of tests tried, the number of pairs of files and, where names do not agree, of tensors.
        log10_e: of the averaged e-values of the fixed points, for this pair alone; None where none was computed.
        effect: share of units in place, over all groups tested; of calibrated evidence the share agreed upon.
        findings: test by test.
        kinds: log10 p of every kind of test over all groups, before correction.
        inherited: groups of units with evidence of their own; 1 % of them are expected to be named wrongly.
        direction: which came first.
        voids: what was not tested, and why.
        assumptions: what the p-value rests on, a sentence each.
        threshold: log10 of the p below which a relation counts as settled.
        distance: modulo permutations and positive factors (``aligned``): 0 the same, about 1 unrelated.
        moved: share of units that were not in place, of the arrangement in which they are nearest.
        numbers: how many weights the distance is of.
    """

    first: Path
    second: Path
    label: Label
    claim: str
    log10_p: float
    log10_e: float | None
    effect: float
    findings: tuple[Finding, ...] = field(repr=False)
    kinds: Mapping[str, float]
    inherited: tuple[str, ...]
    direction: Direction
    voids: tuple[Void, ...]
    assumptions: tuple[str, ...]
    threshold: float
    distance: float = 1.0
    moved: float = 0.0
    numbers: int = 0

    @property
    def related(self) -> bool:
        """Whether a shared initialisation or descent is settled."""
        return self.label != "cannot say"

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "files": [str(self.first), str(self.second)],
            "label": self.label,
            "claim": self.claim,
            "log10_p": self.log10_p,
            "log10_e": self.log10_e,
            "effect": self.effect,
            "distance": self.distance,
            "moved": self.moved,
            "numbers": self.numbers,
            "inherited": list(self.inherited),
            "direction": self.direction.as_json(),
            "kinds": dict(self.kinds),
            "findings": [each.as_json() for each in self.findings],
            "voids": [each.as_json() for each in self.voids],
            "assumptions": list(self.assumptions),
            "threshold": self.threshold,
        }


def short_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """As few of the last parts of paths as tell them apart.

    >>> short_names([Path("a/b/model.bin"), Path("a/c/model.bin")])
    ('b/model.bin', 'c/model.bin')
    """
    for count in range(1, max(len(path.parts) for path in paths) + 1):
        names = tuple("/".join(path.parts[-count:]) for path in paths)
        if len(set(names)) == len(names):
            return names
    return tuple(map(str, paths))
