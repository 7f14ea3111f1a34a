"""``assemble``: pieces and recorded data in, the network with its verdict out."""

from __future__ import annotations

import hashlib
import math
import platform
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import reknit
from reknit.assembly.attempts import MOST_ATTEMPTS, Held, Plan, Setting, in_final_order, settings
from reknit.assembly.checkpoint import CHECKPOINT_FILE, Log, claim_folder, load_checkpoint, save_checkpoint
from reknit.assembly.floor import Steps, measure_floor
from reknit.assembly.folder import load_assembly, save_assembly
from reknit.assembly.judge import Judgement, Names, judge
from reknit.assembly.mend import polish, suspect
from reknit.assembly.problem import OutOfTime, Problem, Search
from reknit.assembly.result import Assembly, Evidence, Pair, Step
from reknit.assembly.roles import Roles, candidate_roles, stack_of, steps_of
from reknit.assembly.starts import STARTS
from reknit.containers import Pile, read_pile
from reknit.containers.table import Table, read_table
from reknit.errors import OutputError, UsageError
from reknit.network.residual_mlp import ResidualSpec
from reknit.network.stack import Arrangement
from reknit.solvers.ordering import inversions

METHODS = ("commutator", "hill-climb")
STREAM_ROWS = 1000
PLATEAU = 0.1
"""Share of the outputs' variance below which an error is looked into for a few wrong pairs."""
SMALL_LAYER = 20_000
"""Numbers in a layer up to which one thread searches."""


@dataclass(frozen=True)
class Progress:
    """Where a search is: the stage, a sentence, the error just found (None if none) and the seconds since the start."""

    stage: str
    message: str
    mse: float | None
    seconds: float


@dataclass(frozen=True)
class _Options:
    """The options that decide the answer; they enter the fingerprint of a checkpoint."""

    activation: str | None
    norm: str | None
    method: str
    start: str
    rows: int | None
    seed: int
    noise: float


def assemble(
    pieces: str | Path,
    data: str | Path,
    *,
    target: str | None = None,
    inputs: str | None = None,
    activation: str | None = None,
    norm: str | None = None,
    method: str = "commutator",
    start: str = "seriation",
    rows: int | None = None,
    seed: int = 0,
    noise: float | None = None,
    threads: int | None = None,
    budget: float | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    report: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Assembly:
    """Put a residual MLP back together from its layers and a table of recorded inputs and outputs.

    Args:
        pieces: a folder of layer files, or one file that holds them all.
        data: the table (CSV, Parquet, npz); its inputs are the stream before the first block.
        target: recorded output columns, names or patterns; None: ``pred``, else ``pred_*``.
        inputs: input columns; None: every column but the targets, ``pred*`` and ``true*``.
        activation: between in and out; None: the common ones are tried and the one that fits is named.
        norm: before each block; None: likewise.
        method: ``commutator``, or ``hill-climb`` for the published method (arXiv 2602.19845).
        start: where the first attempt starts: ``seriation``, ``norm``, ``delta-norm`` or ``random``.
        rows: search on so many rows, drawn by the seed; the verdict always rests on all of them.
        seed: of everything that is drawn; the same seed and threads give the same answer.
        noise: known standard deviation of noise on the recorded outputs, in their units.
        threads: processor threads; None: torch's present number.
        budget: seconds after which the search stops with the best it has.
        out: a folder for model, configuration, answer and, meanwhile, the checkpoint.
        resume: go on from the checkpoint in ``out``; report again what a finished folder holds.
        force: replace what is there.
        report: where to write the HTML page.
        progress: called as the search goes on.

    Returns:
        The network, its verdict and the evidence, whatever the verdict is.

    Raises:
        InputError: pieces, data or options cannot be used.
        OutputError: the answer cannot be written where it is wanted; found out before the search.
    """
    options = _options(activation, norm, method, start, rows, seed, noise, threads, budget)
    out, report = (None if path is None else Path(path) for path in (out, report))
    if resume and out is None:
        raise UsageError("--resume needs --out, where the checkpoint lives", "--resume", "Add --out DIR")
    if report is not None and report.exists() and not force:
        raise OutputError("exists already", report, "Choose another name, or replace it with --force")
    state = "new" if out is None else claim_folder(out, resume=resume, force=force)
    if state == "finished" and out is not None:
        assembly = load_assembly(out)
        if report is not None:
            assembly.report(report, force=force)
        return assembly
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        with torch.inference_mode():
            run = _Run(Path(pieces), Path(data), target, inputs, options, budget, progress, out, state == "unfinished")
            assembly = run.assembly(threads or before)
    finally:
        torch.set_num_threads(before)
    if out is not None:
        save_assembly(assembly, out, force=True, expendable={CHECKPOINT_FILE})
    if report is not None:
        assembly.report(report, force=force)
    return assembly


def _options(
    activation: str | None,
    norm: str | None,
    method: str,
    start: str,
    rows: int | None,
    seed: int,
    noise: float | None,
    threads: int | None,
    budget: float | None,
) -> _Options:
    """Check the options that no file has to be read for."""
    for name, value, choices in (("--method", method, METHODS), ("--start", start, STARTS)):
        if value not in choices:
            raise UsageError(f"there is no {name[2:]} {value!r}", name, f"Choose one of {', '.join(choices)}")
    for name, number, least in (("--rows", rows, 1), ("--threads", threads, 1), ("--seed", seed, 0)):
        if number is not None and number < least:
            raise UsageError(f"{number} is too small", name, f"Give a whole number of at least {least}")
    if budget is not None and not budget > 0:
        raise UsageError(f"{budget} is no time", "--budget", "Give a positive number of seconds")
    if noise is not None and not (noise >= 0 and math.isfinite(noise)):
        raise UsageError(f"{noise} is no standard deviation", "--noise", "Give a number of at least 0")
    settings(activation, norm)  # names the choices if there is no such activation or norm
    return _Options(activation, norm, method, start, rows, seed, noise or 0.0)


class _Run:
    """One run of the verb, from files to result; holds what the stages hand on."""

    def __init__(
        self,
        pieces: Path,
        data: Path,
        target: str | None,
        inputs: str | None,
        options: _Options,
        budget: float | None,
        progress: Callable[[Progress], None] | None,
        out: Path | None,
        resuming: bool,
    ) -> None:
        self.began = time.perf_counter()
        self.options, self.budget, self.progress, self.out, self.resuming = options, budget, progress, out, resuming
        self.seconds = {"read": 0.0, "pair": 0.0, "order": 0.0, "verify": 0.0}
        self.log: Log = []
        self.searches: list[Search] = []
        self.tell("read", f"{pieces} and {data}")
        self.pile: Pile = read_pile(pieces)
        self.table: Table = read_table(data, target=target, inputs=inputs)
        self.candidates = candidate_roles(self.pile, self.table)
        self.x = torch.from_numpy(np.ascontiguousarray(self.table.inputs))
        self.y = torch.from_numpy(np.ascontiguousarray(self.table.outputs))
        self.columns = {"target": target, "inputs": inputs}
        self.seconds["read"] = time.perf_counter() - self.began
        self.deadline = None if budget is None else time.perf_counter() + budget
        self.unfinished = ""

    def tell(self, stage: str, message: str, mse: float | None = None) -> None:
        if self.progress is not None:
            self.progress(Progress(stage, message, mse, time.perf_counter() - self.began))

    def search(self, problem: Problem, seed: int) -> Search:
        """A search that shares this run's clock and log."""

        def listen(stage: str, mse: float) -> None:
            self.tell(stage, "", mse)

        found = Search(problem, seed, self.deadline, listen, began=self.began, log=self.log)
        self.searches.append(found)
        return found

    def fingerprint(self) -> str:
        text = repr((self.pile.sha256, self.table.sha256, self.options, self.columns, reknit.__version__))
        return hashlib.sha256(text.encode()).hexdigest()

    def assembly(self, threads: int) -> Assembly:
        """Search and judge; ``threads`` is what the passes over all rows get."""
        torch.set_num_threads(min(threads, _search_threads(self.candidates[0])))
        best: tuple[Roles, Plan, Held, Steps] | None = None
        for roles in self.candidates:
            found = self.solve(roles)
            if best is None or found[2].mse < best[2].mse:
                best = found
            if found[1].solved:
                break
        assert best is not None  # noqa: S101  (there is at least one candidate)
        torch.set_num_threads(threads)
        return self.result(*best)

    def solve(self, roles: Roles) -> tuple[Roles, Plan, Held, Steps]:
        """Search under one assignment of roles."""
        choices = settings(self.options.activation, self.options.norm)
        stack = stack_of(roles, self.x.shape[1], *_names(choices[0]))
        steps = steps_of(roles, self.table, self.options.noise)
        x, y = self.x.float(), self.y.float()
        rows = self.options.rows
        if rows is not None and rows < len(x):
            pick = torch.randperm(len(x), generator=torch.Generator().manual_seed(self.options.seed))[:rows]
            x, y = x[pick], y[pick]
        problem = Problem(stack, x, y, pooled=roles.pooled)
        options = self.options
        plan = Plan(problem, choices, options.method, options.start, options.seed, self.search)
        clock = time.perf_counter()
        weights = plan.pair()
        self.seconds["pair"] += time.perf_counter() - clock
        self.tell("pair", f"from weights, coherence {weights.coherence:.1f}")
        plan.problem = replace(problem, floor=self.expected_floor(plan, steps))
        first = 0
        if self.out is not None:
            print_of = self.fingerprint()
            if self.resuming:
                first, log = load_checkpoint(self.out, print_of, plan)
                self.log.extend(log)
            else:
                save_checkpoint(self.out, print_of, plan, 0, self.log)
        clock = time.perf_counter()
        try:
            plan.run(first, lambda following: self.keep(plan, following))
        except OutOfTime:
            self.unfinished = f"the budget of {self.budget:g} s ended the search before its {MOST_ATTEMPTS} attempts"
        held = plan.held or self.fallback(plan)
        rough = not plan.solved or steps.known
        if rough and options.method != "hill-climb" and not self.unfinished:
            supposed = plan.suppose(held.setting)
            arrangement = polish(supposed, held.arrangement)
            held = replace(held, arrangement=arrangement, mse=supposed.mse(arrangement))
        self.seconds["order"] += time.perf_counter() - clock
        return roles, plan, held, steps

    def keep(self, plan: Plan, following: int) -> None:
        if self.out is not None:
            save_checkpoint(self.out, self.fingerprint(), plan, following, self.log)

    def fallback(self, plan: Plan) -> Held:
        """What is held when time was up before anything was scored."""
        pairs = plan.weights.pairs
        arrangement = Arrangement(tuple(i for i, _ in pairs), tuple(o for _, o in pairs))
        return Held(plan.problem.mse(arrangement), plan.choices[0], arrangement)

    def expected_floor(self, plan: Plan, steps: Steps) -> float:
        """The floor that the search should not try to get below, from the pairs that the weights propose."""
        if not steps.known:
            return 0.0
        pairs = plan.weights.pairs
        arrangement = Arrangement(tuple(i for i, _ in pairs), tuple(o for _, o in pairs))
        stack, x, y = plan.problem.stack, plan.problem.x[:STREAM_ROWS], plan.problem.y[:STREAM_ROWS].double()
        exact = stack.to(torch.float64).forward(x.double(), arrangement)
        return measure_floor(stack, x, y, arrangement, exact, steps).mse

    def result(self, roles: Roles, plan: Plan, held: Held, steps: Steps) -> Assembly:
        clock = time.perf_counter()
        self.tell("verify", "all rows in float64, every near rearrangement")
        stack = plan.suppose(held.setting).stack
        arrangement = held.arrangement
        ins = [roles.ins[i] for i in arrangement.ins]
        outs = [roles.outs[j] for j in arrangement.outs]
        names = Names([p.name for p in ins], [p.name for p in outs], [p.sha256 for p in ins], [p.sha256 for p in outs])
        found = judge(stack, self.x, self.y, arrangement, steps, names, pooled=roles.pooled)
        margins = _margins(plan, arrangement)
        spec = ResidualSpec(
            plan.problem.blocks, stack.width, stack.hidden, stack.outputs, *_names(held.setting), stack.norm_eps
        )
        streams, branches = _growth(plan, held, self.x[:STREAM_ROWS].float())
        self.seconds["verify"] = time.perf_counter() - clock
        order = [name for pair in zip(names.ins, names.outs, strict=True) for name in pair]
        return Assembly(
            verdict=found.verdict,
            reason=self.reason(found, roles, plan, held),
            order=(*order, roles.head.name),
            pairs=tuple(Pair(a, b, m) for a, b, m in zip(names.ins, names.outs, margins, strict=True)),
            undecided=found.undecided,
            residual=found.residual,
            seconds=dict(self.seconds),
            spec=spec,
            tensors=_tensors(roles, arrangement),
            evidence=Evidence(
                in_final_order(arrangement, plan.weights.scores),
                streams,
                branches,
                self.steps(arrangement),
                found.proof.counts,
                found.proof.rejected_z,
                found.proof.level,
                tuple((str(s), mse) for s, mse in sorted(plan.tried.items(), key=lambda item: item[1])),
            ),
            run=self.description(roles, plan, found),
        )

    def reason(self, found: Judgement, roles: Roles, plan: Plan, held: Held) -> str:
        parts = [found.reason]
        if self.unfinished and found.verdict == "ambiguous":
            parts.append(self.unfinished)
        if found.verdict == "failed":
            weak = sum(m < 0 for m in plan.weights.margins)
            if plan.weights.coherence < 3 and self.options.method == "commutator":
                parts.append(f"the weights alone do not settle the pairs ({weak} of {plan.problem.blocks} outweighed)")
            if self.unfinished:
                parts.append(self.unfinished)
            parts += self.plateau(roles, plan, held, found)
        return "; ".join(parts)

    def plateau(self, roles: Roles, plan: Plan, held: Held, found: Judgement) -> list[str]:
        """Name the pairs or places that a small error points to."""
        if found.residual.mse > PLATEAU * found.residual.variance:
            return []
        suspicion = suspect(plan.suppose(held.setting), held.arrangement)
        wrong = [m for m in suspicion.moves if m.kind == "exchange"]
        if not suspicion.moves or suspicion.left > 0.5:
            return []
        share = f"{100 * (1 - suspicion.left):.0f} % of the error to first order"
        if 2 * len(wrong) >= len(suspicion.moves):
            outs = held.arrangement.outs
            names = ", ".join(f"{roles.outs[outs[m.first]].name} with {roles.outs[outs[m.second]].name}" for m in wrong)
            return [f"a plateau that a few wrong pairs explain: exchanging {names} would take {share}"]
        return [f"a few blocks stand in the wrong place: {len(suspicion.moves)} moves would take {share}"]

    def steps(self, final: Arrangement) -> tuple[Step, ...]:
        pairs = set(zip(final.ins, final.outs, strict=True))
        return tuple(
            Step(
                stage,
                mse,
                rows,
                inversions(a.ins, final.ins) if set(zip(a.ins, a.outs, strict=True)) == pairs else None,
                seconds,
            )
            for stage, mse, rows, a, seconds in self.log
        )

    def description(self, roles: Roles, plan: Plan, found: Judgement) -> dict[str, Any]:
        """What repeats the run, and what it stood on."""
        options = self.options
        words = ["reknit", "assemble", str(self.pile.path), "--data", str(self.table.path)]
        for flag, value in (
            *((f"--{key}", value) for key, value in self.columns.items()),
            ("--activation", options.activation),
            ("--norm", options.norm),
            ("--method", options.method),
            ("--start", options.start),
            ("--rows", options.rows),
            ("--seed", options.seed),
            ("--noise", options.noise or None),
            ("--threads", torch.get_num_threads()),
            ("--budget", self.budget),
        ):
            if value is not None:
                words += [flag, str(value)]
        return {
            "command": shlex.join(words),
            "version": reknit.__version__,
            "method": options.method,
            "start": options.start,
            "seed": options.seed,
            "noise": options.noise,
            "threads": torch.get_num_threads(),
            "pieces": {"path": str(self.pile.path), "count": len(self.pile), "sha256": self.pile.sha256},
            "data": {
                "path": str(self.table.path),
                "rows": self.table.rows,
                "dropped": self.table.dropped,
                "outputs": list(self.table.output_names),
                "sha256": self.table.sha256,
            },
            "search_rows": len(plan.problem.x),
            "coherence": plan.weights.coherence,
            "pairs_by_weights": [[roles.ins[i].name, roles.outs[j].name] for i, j in plan.weights.pairs],
            "roles": "by evidence" if roles.pooled else "by shape",
            "floor": dict(found.floor.parts),
            "unfinished": self.unfinished,
            "software": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        }


def _search_threads(roles: Roles) -> int:
    """Threads that a search can use: its products of a few hundred rows are too small to share out.

    On layers of 48 x 96 two threads were no faster than one, and 10 to 50 times slower as soon as another process
    wanted a core too, because they wait for each other by spinning (dev/log.md).
    """
    size = max(piece.weight.size for piece in roles.outs if piece.weight is not None) if roles.outs else 0
    return 1 if size <= SMALL_LAYER else torch.get_num_threads()


def _names(setting: Setting) -> tuple[str, str, str]:
    return setting.activation, setting.norm, setting.final_norm


def _margins(plan: Plan, arrangement: Arrangement) -> list[float]:
    """Margins of the final pairs in the weights' scores; negative where the data overruled the weights."""
    from reknit.assembly.weight_pairing import pair_margins

    pairs = list(zip(arrangement.ins, arrangement.outs, strict=True))
    return list(pair_margins(plan.weights.scores, pairs, plan.problem.pooled))


def _tensors(roles: Roles, arrangement: Arrangement) -> dict[str, Tensor]:
    """The state dict: dequantized float32 or, where stored so, float64; no bias where none came."""
    tensors = {}
    layers = [(f"blocks.{k}.in", roles.ins[i]) for k, i in enumerate(arrangement.ins)]
    layers += [(f"blocks.{k}.out", roles.outs[j]) for k, j in enumerate(arrangement.outs)]
    double = any("float64" in (p.dtype, p.bias_dtype) for p in (*roles.ins, *roles.outs, roles.head))
    with torch.inference_mode(False):  # tensors made in that mode can never become parameters
        for key, piece in (*layers, ("head", roles.head)):
            for part, values in (("weight", piece.weight), ("bias", piece.bias)):
                if values is not None:
                    # one dtype throughout, since a linear layer cannot mix them
                    tensors[f"{key}.{part}"] = torch.from_numpy(np.array(values, np.float64 if double else np.float32))
    return tensors


def _growth(plan: Plan, held: Held, x: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Root mean square of the stream before each block and after the last, and of what each block adds."""
    stack = plan.suppose(held.setting).stack
    streams, branches = [float(x.square().mean().sqrt())], []
    for inner, outer in zip(held.arrangement.ins, held.arrangement.outs, strict=True):
        added = stack.branch(x, inner, outer)
        x = x + added
        branches.append(float(added.square().mean().sqrt()))
        streams.append(float(x.square().mean().sqrt()))
    return tuple(streams), tuple(branches)
