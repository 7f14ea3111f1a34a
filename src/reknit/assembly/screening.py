"""Which settings a network may have: ranked by what short searches leave of the outputs under each.

With trusted pairs a search is a few annealing steps and a descent; without, a few steps of the mean field. What it
writes into a plan is each setting's promise, the least error seen under it, and now and then an arrangement to hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reknit.assembly.commutator import NARROWEST, anneal, descend
from reknit.assembly.mean_field import mean_field
from reknit.assembly.problem import HELD_ROWS, SCREEN_ROWS
from reknit.assembly.settings import FAMILIES, Setting
from reknit.assembly.starts import start_order
from reknit.network.stack import Arrangement

if TYPE_CHECKING:
    from reknit.assembly.attempts import Plan

LIKELY, NEARLY = 12, 0.4
"""Settings looked at again when the error held is below that share of the outputs' variance."""
REFINING = 30
"""Steps of a mean field that is no first look."""
GLANCE_STEPS, GLANCED, LED = 10, 4, 2
"""Annealing steps under every common setting where pairs are trusted; how many settings are looked at longer; and of
how many of these the kin are tried on the order found."""
CHEAP, LOOKED = 3_000_000, 5
"""Products of one row's pairing effects up to which untrusted settings are looked at longer, and how many."""
SHALLOW = 32
"""Blocks up to which a setting is screened from two starts."""


def screen(plan: Plan) -> None:
    """Rank the settings by what short searches leave: first one of each family, then the kin of the likeliest."""
    first = [s for s in plan.choices if s.final_norm == s.norm and s.activation in FAMILIES] or plan.choices
    for setting in first:
        plan.promise[setting] = _glance(plan, setting) if plan.trusted else _short_mean_field(plan, setting)
        if plan.solved:
            return
    if not plan.trusted:
        _look_longer(plan, first)
        return  # kindred settings are compared on what the first attempt finds
    ordered: dict[Setting, Arrangement] = {}
    for setting in sorted(first, key=lambda s: plan.promise[s])[:GLANCED]:
        plan.promise[setting], ordered[setting] = _short_search(plan, setting)
        if plan.solved:
            return
    for leader in sorted(ordered, key=lambda s: plan.promise[s])[:LED]:
        for setting in plan.choices:
            same_norms = (setting.norm, setting.final_norm) == (leader.norm, leader.final_norm)
            like = same_norms and setting.activation in FAMILIES.get(leader.activation, ())
            bare = setting.activation == leader.activation and setting.norm == leader.norm
            if like or bare:  # the leader itself too, so that all had as many steps
                search = plan.make_search(plan.suppose(setting), plan.seed * 1000 + 700)
                error, found = descend(search, ordered[leader], iterations=5, patience=2)
                plan.promise[setting] = min(error, plan.promise.get(setting, np.inf))
                plan.keep(setting, found, search.problem.mse(found, HELD_ROWS))
                if plan.solved:
                    return
    for setting, error in plan.promise.items():
        plan.note(setting, error)


def reconsider(plan: Plan, number: int) -> None:
    """Put the order right under every likely setting from the best arrangement: its pairs may well be right."""
    if plan.held is None or plan.held.mse > NEARLY * plan.problem.variance:
        return
    pairs_and_order = plan.held.arrangement
    for setting in sorted(plan.choices, key=lambda s: prospect(plan, s))[:LIKELY]:
        search = plan.make_search(plan.suppose(setting), plan.seed * 1000 + 600 + number)
        error, arrangement = descend(search, pairs_and_order, iterations=6, patience=2)
        plan.promise[setting] = min(error, plan.promise.get(setting, np.inf))
        plan.keep(setting, arrangement, search.problem.mse(arrangement, HELD_ROWS))
        if plan.solved:
            return


def prospect(plan: Plan, setting: Setting) -> float:
    """The promise of a setting, or that of the likeliest looked at which is of its norms and family."""
    if setting in plan.promise:
        return plan.promise[setting]
    kin = [a for a, others in FAMILIES.items() if setting.activation in (a, *others)]
    alike = [e for s, e in plan.promise.items() if s.norm == setting.norm and s.activation in kin]
    return min(alike, default=np.inf)


def _glance(plan: Plan, setting: Setting) -> float:
    """What a few annealing steps leave of the outputs at their best; tells norms apart, not kindred activations."""
    search = plan.make_search(plan.suppose(setting), plan.seed * 1000 + 400)
    start = start_order(search.problem, plan.weights.pairs, plan.start, search.generator)
    anneal(search, start, GLANCE_STEPS)
    return search.best[0] if search.best is not None else np.inf


def _look_longer(plan: Plan, settings: list[Setting]) -> None:
    """Follow the likeliest settings for longer where that is cheap; what it finds may be held."""
    items, hidden = plan.problem.stack.in_weight.shape[:2]
    if items**2 * hidden * plan.problem.stack.width > CHEAP:
        return
    for setting in sorted(settings, key=lambda s: plan.promise[s])[:LOOKED]:
        search = plan.make_search(plan.suppose(setting), plan.seed * 1000 + 550)
        prior = np.exp(0.5 * plan.weights.scores.clip(-6, 6))
        found = mean_field(search, search.generator.permutation(items).tolist(), prior, steps=REFINING).arrangement
        error, found = descend(search, found, iterations=10, patience=2)
        plan.promise[setting] = min(error, plan.promise[setting])
        plan.keep(setting, found, search.problem.mse(found, HELD_ROWS))
        if plan.solved:
            return


def _short_search(plan: Plan, setting: Setting) -> tuple[float, Arrangement]:
    """What a few steps with trusted pairs leave, and in which order; the same draws for every setting."""
    search = plan.make_search(plan.suppose(setting), plan.seed * 1000 + 500)
    found: list[tuple[float, Arrangement]] = []
    tries = ((plan.start, 20), ("random", 30))
    for start, steps in tries if plan.problem.blocks <= SHALLOW else tries[:1]:
        arrangement = start_order(search.problem, plan.weights.pairs, start, search.generator)
        found.append(descend(search, anneal(search, arrangement, steps), iterations=8, patience=3))
        if found[-1][0] < plan.problem.solved_below:
            plan.keep(setting, found[-1][1], search.problem.mse(found[-1][1], HELD_ROWS))
            break
    return min(found, key=lambda pair: pair[0])


def _short_mean_field(plan: Plan, setting: Setting) -> float:
    """What a few steps of a mean field leave, on rows they have not seen; the same draws for every setting."""
    search = plan.make_search(plan.suppose(setting), plan.seed * 1000 + 500)
    items = len(plan.problem.stack.in_weight)
    order = search.generator.permutation(items).tolist()
    prior = np.exp(0.5 * plan.weights.scores.clip(-6, 6))
    found = mean_field(search, order, prior, steps=5, rows=300, first_rows=800, finest=NARROWEST)
    rounded = search.problem.mse(found.arrangement, SCREEN_ROWS)
    # the mixture's residual is steadier, the rounded arrangement's tells kindred settings apart
    return float(np.sqrt(min(found.unexplained[-2:]) * rounded)) if found.unexplained else np.inf
