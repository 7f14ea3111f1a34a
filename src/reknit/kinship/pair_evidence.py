"""All that is computed of two files, before it is known how many pairs there are: what the store keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reknit.kinship.concluding import Sides, concluded
from reknit.kinship.panel import Placed
from reknit.kinship.relating import Exact
from reknit.kinship.relation import Direction, Finding, Relation, Void

Paths = tuple[Path, Path]


@dataclass(frozen=True)
class PairEvidence:
    """What two files tell.

    Attributes:
        exact: the exact tests.
        direction: which came first, were they related; the parent is one of the paths it was computed with.
        sides: where their agreement stands among those with the panel.
        by_skeleton: whether a skeleton said what units are.
        log10_choices: log10 of how many ways to pair their tensors could have been chosen.
        distance: modulo permutations and factors.
        moved: share of units that were not in place.
        numbers: how many weights the distance is of.
    """

    exact: Exact
    direction: Direction
    sides: Sides | None
    by_skeleton: bool
    log10_choices: float
    distance: float
    moved: float
    numbers: int

    def concluded(self, paths: Paths, *, pairs: int, alpha: float) -> Relation:
        """The relation of two files among so many pairs."""
        return concluded(
            paths,
            self.exact,
            self.direction,
            by_skeleton=self.by_skeleton,
            panel=self.sides,
            log10_choices=self.log10_choices + math.log10(pairs),
            alpha=alpha,
            apart=(self.distance, self.moved, self.numbers),
        )

    def as_json(self, paths: Paths) -> dict[str, Any]:
        """For the store: the files are numbers there, so paths are left out."""
        parent = None if self.direction.parent is None else paths.index(self.direction.parent)
        return {**asdict(self), "direction": {**asdict(self.direction), "parent": parent}}


def from_json(found: Mapping[str, Any], paths: Paths) -> PairEvidence:
    """What was kept, of files that lie at these paths now."""
    exact, sides, direction = found["exact"], found["sides"], found["direction"]
    parent = direction["parent"]
    return PairEvidence(
        Exact(
            **{
                **exact,
                "findings": tuple(Finding(**each) for each in exact["findings"]),
                "inherited": tuple(exact["inherited"]),
                "voids": tuple(Void(**each) for each in exact["voids"]),
            }
        ),
        Direction(**{**direction, "parent": None if parent is None else paths[parent]}),
        None if sides is None else Sides(_placed(sides["first"]), _placed(sides["second"]), sides["share"]),
        found["by_skeleton"],
        found["log10_choices"],
        found["distance"],
        found["moved"],
        found["numbers"],
    )


def _placed(found: Mapping[str, Any]) -> Placed:
    return Placed(found["statistic"], tuple(found["panel"]))
