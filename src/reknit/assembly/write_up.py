"""From the best arrangement of a run to the result object: judged, named, and with all that repeats it."""

from __future__ import annotations

import math
import platform
import sys
import time
from importlib.metadata import version
from typing import Any

import numpy as np
from jaxtyping import Float

import reknit
from reknit.assembly.attempts import TRUSTED_COHERENCE, in_final_order
from reknit.assembly.judge import Judgement, Names, judge
from reknit.assembly.mend import suspect
from reknit.assembly.problem import mean_square
from reknit.assembly.result import Assembly, Evidence, Pair, Step
from reknit.assembly.roles import Roles
from reknit.assembly.run import Found, Run
from reknit.assembly.weight_pairing import pair_margins
from reknit.network.spec import ResidualSpec
from reknit.network.stack import Arrangement, Stack
from reknit.solvers.ordering import inversions

STREAM_ROWS = 1000
PLATEAU = 0.1
"""Share of the outputs' variance below which an error is looked into for a few wrong pairs."""


def write_up(run: Run, found: Found) -> Assembly:
    """Judge what a run has found, on all rows, and say it."""
    clock = time.perf_counter()
    run.tell("verify", "all rows in float64, every near rearrangement")
    roles, plan, arrangement = found.roles, found.plan, found.held.arrangement
    setting, stack = found.held.setting, plan.suppose(found.held.setting).stack
    ins, outs = [roles.ins[i] for i in arrangement.ins], [roles.outs[j] for j in arrangement.outs]
    names = Names([p.name for p in ins], [p.name for p in outs], [p.sha256 for p in ins], [p.sha256 for p in outs])
    judged = judge(stack, run.x, run.y, arrangement, found.steps, names, pooled=roles.pooled)
    pairs = list(zip(arrangement.ins, arrangement.outs, strict=True))
    margins = pair_margins(plan.weights.scores, pairs, roles.pooled)
    sizes = (plan.problem.blocks, stack.width, stack.hidden, stack.outputs)
    streams, branches = _growth(stack, arrangement, run.x[:STREAM_ROWS].astype(np.float32))
    reason = "; ".join(
        [_reason(run, found, judged), *(f"the bias {bias} was given to {weight}" for weight, bias in roles.placed)]
    )
    run.seconds["verify"] = time.perf_counter() - clock
    order = [name for pair in zip(names.ins, names.outs, strict=True) for name in pair]
    return Assembly(
        verdict=judged.verdict,
        reason=reason,
        order=(*order, roles.head.name),
        pairs=tuple(Pair(a, b, m) for a, b, m in zip(names.ins, names.outs, margins, strict=True)),
        undecided=judged.undecided,
        residual=judged.residual,
        seconds=dict(run.seconds),
        spec=ResidualSpec(*sizes, setting.activation, setting.norm, setting.final_norm, stack.norm_eps),
        tensors=_tensors(roles, arrangement),
        evidence=Evidence(
            in_final_order(arrangement, plan.weights.scores),
            streams,
            branches,
            _steps(run, arrangement),
            judged.proof.counts,
            judged.proof.rejected_z,
            judged.proof.level,
            tuple((str(s), mse) for s, mse in sorted(plan.tried.items(), key=lambda item: item[1])),
        ),
        run=_description(run, found, judged),
    )


def _reason(run: Run, found: Found, judged: Judgement) -> str:
    """The judgement's reason, and what stood in the way of a better verdict."""
    parts, plan = [judged.reason], found.plan
    if judged.verdict == "failed" and plan.weights.coherence < TRUSTED_COHERENCE and plan.method == "commutator":
        weak = sum(m < 0 for m in plan.weights.margins)
        parts.append(f"the weights alone do not settle the pairs ({weak} of {plan.problem.blocks} have a better rival)")
    if judged.verdict in {"failed", "ambiguous"} and run.unfinished:
        parts.append(run.unfinished)
    if judged.verdict == "failed" and judged.residual.mse <= PLATEAU * judged.residual.variance:
        parts += _plateau(found)
    return "; ".join(parts)


def _plateau(found: Found) -> list[str]:
    """Name the pairs or places that a small error points to."""
    suspicion = suspect(found.plan.suppose(found.held.setting), found.held.arrangement)
    if not suspicion.moves or suspicion.left > 0.5:
        return []
    share = f"{100 * (1 - suspicion.left):.0f} % of the error to first order"
    wrong = [m for m in suspicion.moves if m.kind == "exchange"]
    if 2 * len(wrong) < len(suspicion.moves):
        return [f"a few blocks stand in the wrong place: {len(suspicion.moves)} moves would take {share}"]
    outs = [found.roles.outs[j].name for j in found.held.arrangement.outs]
    names = ", ".join(f"{outs[m.first]} with {outs[m.second]}" for m in wrong)
    return [f"a plateau that a few wrong pairs explain: exchanging {names} would take {share}"]


def _steps(run: Run, final: Arrangement) -> tuple[Step, ...]:
    """The log as the report shows it; inversions are counted where the pairs are the final ones."""
    pairs = set(zip(final.ins, final.outs, strict=True))

    def count(a: Arrangement) -> int | None:
        return inversions(a.ins, final.ins) if set(zip(a.ins, a.outs, strict=True)) == pairs else None

    return tuple(Step(stage, mse, rows, count(a), seconds) for stage, mse, rows, a, seconds in run.log)


def _description(run: Run, found: Found, judged: Judgement) -> dict[str, Any]:
    """What repeats the run, and what it stood on."""
    options, plan, roles, table = run.options, found.plan, found.roles, run.table
    threads = run.threads
    return {
        "command": options.command(str(run.pile.path), str(table.path), threads),
        "version": reknit.__version__,
        "method": options.method,
        "start": options.start,
        "seed": options.seed,
        "noise": options.noise or 0.0,
        "threads": threads,
        "pieces": {"path": str(run.pile.path), "count": len(run.pile), "sha256": run.pile.sha256},
        "data": {
            "path": str(table.path),
            "rows": table.rows,
            "dropped": table.dropped,
            "outputs": list(table.output_names),
            "sha256": table.sha256,
        },
        "search_rows": len(plan.problem.x),
        "choose": options.choose or "uniform",
        "coherence": plan.weights.coherence,
        "pairs_by_weights": [[roles.ins[i].name, roles.outs[j].name] for i, j in plan.weights.pairs],
        "roles": "by evidence" if roles.pooled else "by shape",
        "placed_biases": [list(names) for names in roles.placed],
        "floor": dict(judged.floor.parts),
        "fingerprint": run.fingerprint(),
        "unfinished": run.unfinished,
        "software": _software(),
    }


def _software() -> dict[str, str]:
    """The versions a run rests on; torch's only where something else has loaded it."""
    found = {"python": platform.python_version(), "numpy": np.__version__, "scipy": version("scipy")}
    if "torch" in sys.modules:
        found["torch"] = version("torch")
    return found


def _tensors(roles: Roles, arrangement: Arrangement) -> dict[str, np.ndarray]:
    """The state dict: dequantized float32 or, where stored so, float64; no bias where none came."""
    tensors = {}
    layers = [(f"blocks.{k}.in", roles.ins[i]) for k, i in enumerate(arrangement.ins)]
    layers += [(f"blocks.{k}.out", roles.outs[j]) for k, j in enumerate(arrangement.outs)]
    double = any("float64" in (p.dtype, p.bias_dtype) for p in (*roles.ins, *roles.outs, roles.head))
    for key, piece in (*layers, ("head", roles.head)):
        for part, values in (("weight", piece.weight), ("bias", piece.bias)):
            if values is not None:
                # one dtype throughout, since a linear layer cannot mix them
                tensors[f"{key}.{part}"] = np.array(values, np.float64 if double else np.float32)
    return tensors


def _growth(
    stack: Stack, arrangement: Arrangement, x: Float[np.ndarray, "rows width"]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Root mean square of the stream before each block and after the last, and of what each block adds."""
    streams, branches = [math.sqrt(mean_square(x))], []
    for inner, outer in zip(arrangement.ins, arrangement.outs, strict=True):
        added = stack.branch(x, inner, outer)
        x = x + added
        branches.append(math.sqrt(mean_square(added)))
        streams.append(math.sqrt(mean_square(x)))
    return tuple(streams), tuple(branches)
