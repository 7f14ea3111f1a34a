"""A pair of files compared in full: brought under common names, tested, and which of them lost what the other holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reknit.kinship import units_by_shape, units_by_skeleton
from reknit.kinship.aligned import aligned
from reknit.kinship.concluding import Sides
from reknit.kinship.direction import direction
from reknit.kinship.named import State, in_common, in_slots
from reknit.kinship.nameless import matched_by_content
from reknit.kinship.pair_evidence import PairEvidence
from reknit.kinship.panel import placed
from reknit.kinship.relating import Exact, exact_evidence
from reknit.kinship.relation import Relation, Void
from reknit.kinship.same_numbers import SameNumbers, same_numbers
from reknit.kinship.sweeps import Sweeps, sweeps
from reknit.kinship.unused_tokens import Unused

DRAWN = 1000
"""Pairs among which tests whose null is drawn are run: among more, what they can say at most settles nothing."""


@dataclass(frozen=True, eq=False)
class Kin:
    """What all pairs share.

    Attributes:
        plan: of the skeleton of all files; None: names and shapes have to tell.
        panel: independent networks, by slot.
        unused: rows that were never trained.
        seed: of the coins.
        alpha: below which p a relation is settled.
        pairs: how many are looked at.
    """

    plan: units_by_skeleton.Plan | None = None
    panel: tuple[State, ...] = ()
    unused: tuple[Unused, ...] = ()
    seed: int = 0
    alpha: float = 0.001
    pairs: int = 1


def related(paths: tuple[Path, Path], states: tuple[State, State], kin: Kin) -> Relation:
    """The relation of two files that have been read.

    Raises:
        InputError: one of them does not fit the skeleton, or rows named as unused are not there.
    """
    return compared(paths, states, kin).concluded(paths, pairs=kin.pairs, alpha=kin.alpha)


def compared(paths: tuple[Path, Path], states: tuple[State, State], kin: Kin) -> PairEvidence:
    """What two files that have been read tell.

    Raises:
        InputError: one of them does not fit the skeleton, or rows named as unused are not there.
    """
    a, b, log10_choices = _under_one_name(paths, states, kin)
    whole = aligned(a, b, None if kin.plan is None else kin.plan.skeleton)
    exact = evidence(a, b, kin, same_numbers(whole))
    exact = replace(exact, voids=(*exact.voids, *(Void(name, reason) for name, reason in whole.left_out.items())))
    sides = _beside_panel(a, b, kin.plan, kin) if kin.plan is not None and kin.panel else None
    return PairEvidence(
        exact,
        direction(*paths, a, b if whole.symmetry is None else whole.symmetry.apply(b)),
        sides,
        kin.plan is not None,
        log10_choices,
        whole.distance,
        whole.moved,
        whole.numbers,
    )


def _under_one_name(paths: tuple[Path, Path], states: tuple[State, State], kin: Kin) -> tuple[State, State, float]:
    """Tensors by slot or by the names of one file, and log10 of how many ways to pair them could have been chosen.

    The names of the file that has more weights called so are taken where names do not agree.
    """
    if kin.plan is not None:
        a, b = (in_slots(state, kin.plan.skeleton, path) for state, path in zip(states, paths, strict=True))
        return a, b, 0.0
    a, b = in_common(*states)
    matrices = [sum(array.ndim > 1 for array in state.values()) for state in (a, *states)]
    if 2 * matrices[0] >= min(matrices[1:]):
        return a, b, 0.0
    called = [sum(name.endswith(".weight") for name in state) for state in states]
    if called[0] >= called[1]:
        return matched_by_content(*paths)
    b, a, log10_choices = matched_by_content(*reversed(paths))
    return a, b, log10_choices


def evidence(a: State, b: State, kin: Kin, same: SameNumbers | None = None) -> Exact:
    """The exact evidence on two networks under common names, and what could not be tested."""
    plan = kin.plan
    tables = units_by_shape.tables(a, b) if plan is None else units_by_skeleton.tables(plan, a, b)
    rows = {name: each for unused in kin.unused for name, each in unused.among(a, b).items()}
    return exact_evidence(
        tables,
        by_skeleton=plan is not None,
        unused=rows,
        same=same,
        draw=kin.pairs <= DRAWN,
        seed=kin.seed,
    )


def _beside_panel(a: State, b: State, plan: units_by_skeleton.Plan, kin: Kin) -> Sides:
    """The agreement of two networks among those of each with the panel."""

    def swept(first: State, second: State) -> Sweeps:
        return sweeps(plan, first, second, np.random.default_rng(kin.seed))

    own = swept(a, b)
    first, second = (placed(own.statistic, [swept(x, each).statistic for each in kin.panel]) for x in (a, b))
    return Sides(first, second, own.share)
