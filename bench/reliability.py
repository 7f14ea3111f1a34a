"""How often slots and edges were right, by the margin they were reported at: tables, and the picture in the docs.

    python -m bench.reliability FILE [FILE...] --draw docs/reliability.svg

FILE is what ``bench.learn_evidence test`` or ``leave-out`` wrote with ``--out``. An *edge* is a pair of slots of one
block. It is right if its two tensors come from these two places of one block, whichever block; its margin is what the
best rival loses that parts the two.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.wiring_score import block_of
from reknit.solvers.quadratic_assignment import Placement, Solution, climb, neighbours
from reknit.wiring.joint import Joint
from reknit.wiring.learned import Learned

BOUNDS = (-np.inf, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.5, 6.0, np.inf)
FIELDS = ("name", "margins", "right", "edge_margins", "edge_right")


@dataclass(frozen=True)
class Outcome:
    """One pile, solved.

    Attributes:
        name: of the net.
        margins: of the slots in blocks that hold one of several tensors.
        right: whether each holds its own.
        edge_margins: of pairs of them in one block.
        edge_right: whether they belong together.
    """

    name: str
    margins: np.ndarray
    right: np.ndarray
    edge_margins: np.ndarray
    edge_right: np.ndarray

    @property
    def worst_edge(self) -> float:
        """The largest margin of a wrong edge."""
        return float(self.edge_margins[~self.edge_right].max(initial=-np.inf))


def outcome_of(
    name: str, pile: Joint, evidence: Learned, found: Solution, margin: np.ndarray, truth: Placement
) -> Outcome:
    """What is right in a solution.

    Args:
        name: of the net.
        pile: the shuffled pile.
        evidence: the committee that was asked.
        found: the solution.
        margin: of every slot.
        truth: the item that belongs in each place.
    """
    slots = [pile.skeleton[key] for key in pile.keys]
    counted = [k for k, slot in enumerate(slots) if slot.index and np.isfinite(margin[k])]
    edges = [(s, t) for s, t in itertools.combinations(counted, 2) if block_of(slots[s]) == block_of(slots[t])]
    home = np.argsort(truth)[found.placement]
    partner = partners(pile)
    right = np.array([partner(s, int(home[s]), t) == home[t] for s, t in edges], dtype=bool)
    return Outcome(
        name,
        margin[counted],
        (found.placement == truth)[counted],
        least_sure_edges(pile, evidence, found, edges),
        right,
    )


def partners(pile: Joint) -> Callable[[int, int, int], int]:
    """Where the slot t has to be sought when s has moved to another block; -1 where s has changed its family."""
    slots = [pile.skeleton[key] for key in pile.keys]
    place = {(slot.family, slot.index): k for k, slot in enumerate(slots)}

    def partner(s: int, moved: int, t: int) -> int:
        if slots[moved].family != slots[s].family:
            return -1
        return place.get((slots[t].family, slots[moved].index), -1)

    return partner


def least_sure_edges(pile: Joint, evidence: Learned, found: Solution, edges: Sequence[tuple[int, int]]) -> np.ndarray:
    """The least margin of every edge over the committee."""
    problems = [pile.problem(weights) for weights in (evidence.weights, *evidence.committee)]
    rivals = [*found.ends, *(climb(problem, found.placement) for problem in problems)]
    drafts = np.concatenate([neighbours(problems[0], found.placement), np.stack(rivals)])
    parted = parting(pile, found.placement, drafts, edges)
    least = np.full(len(edges), np.inf)
    for problem in problems:
        losses = problem.value(found.placement) - problem.values(drafts)
        for k, apart in enumerate(parted):
            least[k] = min(least[k], float(losses[apart].min(initial=np.inf)))
    return least


def parting(
    pile: Joint, placement: Placement, drafts: np.ndarray, edges: Sequence[tuple[int, int]]
) -> list[np.ndarray]:
    """The rivals that part each edge, by their numbers."""
    partner = partners(pile)
    seats = np.argsort(drafts, axis=1)  # where each item sits
    tables = {edge: np.array([partner(edge[0], moved, edge[1]) for moved in range(len(placement))]) for edge in edges}
    return [np.flatnonzero(tables[s, t][seats[:, placement[s]]] != seats[:, placement[t]]) for s, t in edges]


def tables(outcomes: Sequence[Outcome]) -> None:
    """Slots and edges by margin, over all nets."""
    for what, margin, right in pooled(outcomes):
        wrong = margin[~right].max(initial=-np.inf)
        print(f"\n{what}: {right.sum()} of {len(right)} right; the largest margin of a wrong one {wrong:.2f}")
        print("margin           reported  right  share")
        for low, high, reported, good in binned(margin, right):
            print(f"{low:5.2f} to {high:5.2f}  {reported:8d}  {good:5d}  {good / reported:.3f}")


def pooled(outcomes: Sequence[Outcome]) -> tuple[tuple[str, np.ndarray, np.ndarray], ...]:
    """What, margins and whether right, over all nets."""
    return (
        ("slots", np.concatenate([o.margins for o in outcomes]), np.concatenate([o.right for o in outcomes])),
        ("edges", np.concatenate([o.edge_margins for o in outcomes]), np.concatenate([o.edge_right for o in outcomes])),
    )


def binned(margin: np.ndarray, right: np.ndarray) -> list[tuple[float, float, int, int]]:
    """Lower bound, upper bound, how many were reported, how many of these are right; no empty bins."""
    found = []
    for low, high in itertools.pairwise(BOUNDS):
        inside = (margin >= low) & (margin < high)
        if inside.any():
            found.append((low, high, int(inside.sum()), int(right[inside].sum())))
    return found


def save(outcomes: Sequence[Outcome], path: Path) -> None:
    """As JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [{key: getattr(o, key) if key == "name" else getattr(o, key).tolist() for key in FIELDS} for o in outcomes]
    path.write_text(json.dumps(lines), encoding="utf-8")


def read(path: Path) -> list[Outcome]:
    """The inverse of ``save``."""
    return [
        Outcome(line["name"], *(np.array(line[key]) for key in FIELDS[1:]))
        for line in json.loads(path.read_text(encoding="utf-8"))
    ]
