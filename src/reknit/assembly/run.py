"""One run of ``assemble``: read, pair, search; what is found goes to ``write_up``."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

import reknit
from reknit.assembly.attempts import MOST_ATTEMPTS, Held, Plan
from reknit.assembly.checkpoint import (
    Log,
    State,
    load_checkpoint,
    restore,
    restore_log,
    save_checkpoint,
    state_of,
)
from reknit.assembly.floor import Steps, measure_floor
from reknit.assembly.mend import polish
from reknit.assembly.options import Options
from reknit.assembly.problem import HELD_ROWS, LARGEST, OutOfTime, Problem, Search
from reknit.assembly.roles import Roles, candidate_roles, stack_of, steps_of
from reknit.assembly.settings import settings
from reknit.containers import Pile, read_pile
from reknit.containers.table import Table, read_table
from reknit.errors import TableError
from reknit.network.stack import Arrangement
from reknit.solvers.row_selection import select_rows

FLOOR_ROWS = 1000


@dataclass(frozen=True)
class Progress:
    """Where a search is: the stage, a sentence, the error just found (None if none) and the seconds since the start."""

    stage: str
    message: str
    mse: float | None
    seconds: float


@dataclass(frozen=True)
class Found:
    """What a search ends with: the roles supposed, the plan with all it tried, and the best arrangement."""

    roles: Roles
    plan: Plan
    held: Held
    steps: Steps


class Run:
    """One run, from files to the best arrangement; holds what the stages hand on.

    Args:
        pieces: the pile.
        data: the table.
        options: all that is asked beyond them.
        progress: told of every step.
        out: where checkpoints go; None: nowhere.
    """

    def __init__(
        self,
        pieces: Path,
        data: Path,
        options: Options,
        *,
        progress: Callable[[Progress], None] | None = None,
        out: Path | None = None,
    ) -> None:
        self.began = time.perf_counter()
        self.options, self.progress, self.out = options, progress, out
        self.seconds = {"read": 0.0, "pair": 0.0, "order": 0.0, "verify": 0.0}
        self.log: Log = []
        self.states: list[State] = []
        self.saved_log: list[Any] = []
        self.unfinished, self.threads = "", 1
        self.tell("read", f"{pieces} and {data}")
        self.pile: Pile = read_pile(pieces)
        self.table: Table = read_table(data, target=options.target, inputs=options.inputs)
        _refuse_overflow(self.table)
        self.candidates = candidate_roles(self.pile, self.table)
        self.x, self.y = np.ascontiguousarray(self.table.inputs), np.ascontiguousarray(self.table.outputs)
        self.seconds["read"] = time.perf_counter() - self.began
        self.deadline = None if options.budget is None else time.perf_counter() + options.budget

    def tell(self, stage: str, message: str, mse: float | None = None) -> None:
        """Report progress."""
        if self.progress is not None:
            self.progress(Progress(stage, message, mse, time.perf_counter() - self.began))

    def search(self, problem: Problem, seed: int) -> Search:
        """A search that shares this run's clock and log."""

        def listen(stage: str, mse: float) -> None:
            self.tell(stage, "", mse)

        return Search(problem, seed, self.deadline, listen, began=self.began, log=self.log)

    @property
    def layer(self) -> int:
        """Numbers in the largest layer of a block."""
        roles = self.candidates[0]
        return max((piece.weight.size for piece in roles.outs if piece.weight is not None), default=0)

    def fingerprint(self) -> str:
        """What a checkpoint has to agree with: pieces, data, the options that decide, and the version."""
        text = repr((self.pile.sha256, self.table.sha256, self.options.deciding(), reknit.__version__))
        return hashlib.sha256(text.encode()).hexdigest()

    def best(self, threads: int, *, resume: bool) -> Found:
        """Search under every assignment of roles that the shapes allow, until one explains the data."""
        self.threads = threads
        states: list[State] = []
        if self.out is not None and resume:
            states, self.saved_log = load_checkpoint(self.out, self.fingerprint())
        best: Found | None = None
        for number, roles in enumerate(self.candidates):
            found = self._solve(roles, states[number] if number < len(states) else None)
            if best is None or found.held.mse < best.held.mse:
                best = found
            if found.plan.solved or self.unfinished:
                break
        assert best is not None  # noqa: S101  (there is at least one candidate)
        return best

    def _solve(self, roles: Roles, state: State | None) -> Found:
        options = self.options
        choices = settings(options.activation, options.norm)
        first_setting = choices[0]
        names = (first_setting.activation, first_setting.norm, first_setting.final_norm)
        stack = stack_of(roles, self.x.shape[1], *names)
        steps = steps_of(roles, self.table, options.noise or 0.0)
        x, y = self.x.astype(np.float32), self.y.astype(np.float32)
        if options.rows is not None and options.rows < len(x):
            pick = _search_rows(x, options.rows, options)
            x, y = x[pick], y[pick]
        problem = Problem(stack, x, y, pooled=roles.pooled)
        plan = Plan(problem, choices, options.method, options.start, options.seed, self.search)
        clock = time.perf_counter()
        weights = plan.pair()
        self.seconds["pair"] += time.perf_counter() - clock
        self.tell("pair", f"from weights, coherence {weights.coherence:.1f}")
        plan.problem = replace(problem, floor=self._expected_floor(plan, steps))
        clock = time.perf_counter()
        following, finished = (0, False) if state is None or self.out is None else restore(self.out, state, plan)
        if self.saved_log and self.out is not None:
            self.log.extend(restore_log(self.out, self.saved_log, plan))
            self.saved_log = []
        if not finished:
            self._attempts(plan, following, fresh=state is None)
        held = plan.held or self._proposed(plan)
        rough = not plan.solved or steps.known
        if rough and options.method != "hill-climb" and not (self.unfinished or finished):
            supposed = plan.suppose(held.setting)
            arrangement = polish(supposed, held.arrangement)
            held = replace(held, arrangement=arrangement, mse=supposed.mse(arrangement, HELD_ROWS))
        if not self.unfinished:
            plan.held = held
            self.states.append(state_of(plan, MOST_ATTEMPTS, finished=True))
        self.seconds["order"] += time.perf_counter() - clock
        return Found(roles, plan, held, steps)

    def _attempts(self, plan: Plan, first: int, *, fresh: bool) -> None:
        """Run the plan from where it was left, keeping a checkpoint after every attempt."""
        fingerprint = self.fingerprint() if self.out is not None else ""

        def keep(following: int) -> None:
            if self.out is not None:
                save_checkpoint(self.out, fingerprint, [*self.states, state_of(plan, following)], self.log)

        if fresh:
            keep(0)
        try:
            plan.run(first, keep)
        except OutOfTime:
            spent = f"the budget of {self.options.budget:g} s ended the search"
            self.unfinished = f"{spent} before its {MOST_ATTEMPTS} attempts were made"

    def _proposed(self, plan: Plan) -> Held:
        """What is held when time was up before anything was scored: the weights' pairs as they came."""
        arrangement = _as_paired(plan)
        return Held(plan.problem.mse(arrangement, HELD_ROWS), plan.choices[0], arrangement)

    def _expected_floor(self, plan: Plan, steps: Steps) -> float:
        """The floor that the search should not try to get below, from the pairs that the weights propose."""
        if not steps.known:
            return 0.0
        arrangement = _as_paired(plan)
        stack, x, y = plan.problem.stack, plan.problem.x[:FLOOR_ROWS], plan.problem.y[:FLOOR_ROWS].astype(np.float64)
        exact = stack.to(np.float64).forward(x.astype(np.float64), arrangement)
        return measure_floor(stack, x, y, arrangement, exact, steps).mse


def _refuse_overflow(table: Table) -> None:
    """Name the first column with numbers that float32 arithmetic cannot square and add up."""
    for names, values in ((table.input_names, table.inputs), (table.output_names, table.outputs)):
        largest = np.abs(values).max(0, initial=0.0)
        for name, most in zip(names, largest.tolist(), strict=True):
            if most > LARGEST:
                problem = f"column {name!r} holds a number of size {most:.3g}; more than {LARGEST:g} overflows float32"
                raise TableError(problem, table.path, "Take that row out, or rescale the column and its layers")


def _search_rows(x: Float[np.ndarray, "rows width"], count: int, options: Options) -> Int[np.ndarray, " count"]:
    """The rows that the search gets, chosen by their inputs and a constant: all that is known before anything is."""
    features = np.hstack([np.ones((len(x), 1), x.dtype), x])
    return select_rows(features, count, options.choose or "uniform", np.random.default_rng(options.seed)).rows


def _as_paired(plan: Plan) -> Arrangement:
    pairs = plan.weights.pairs
    return Arrangement(tuple(i for i, _ in pairs), tuple(o for _, o in pairs))
