"""The checkpoint of an unfinished ``assemble``: what the next attempt needs, in ``OUT/checkpoint.json``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reknit.assembly.attempts import MOST_ATTEMPTS, Held, Plan
from reknit.assembly.folder import ASSEMBLY_FILE
from reknit.assembly.settings import Setting
from reknit.containers.unfinished import check_belongs, nothing_believed
from reknit.containers.write import write_file
from reknit.errors import OutputError
from reknit.network.stack import Arrangement
from reknit.plain import dumps

CHECKPOINT_FILE = "checkpoint.json"
State = dict[str, Any]
Log = list[tuple[str, float, int, Arrangement, float]]


def claim_folder(out: Path, *, resume: bool, force: bool) -> str:
    """Look at where the answer is to go, before any work: ``new``, ``unfinished`` or ``finished``.

    Raises:
        OutputError: something is there that may not be replaced.
    """
    if not out.exists():
        return "new"
    if not out.is_dir():
        raise OutputError("is a file, not a folder", out, "Choose another --out")
    present = {path.name for path in out.iterdir()}
    if ASSEMBLY_FILE in present:
        if not (resume or force):
            raise OutputError(
                "holds a finished assembly", out, "Add --resume to report it again or --force to replace it"
            )
        return "finished" if resume else "new"
    if CHECKPOINT_FILE in present:
        if not (resume or force):
            raise OutputError("holds an unfinished run", out, "Add --resume to go on or --force to start afresh")
        return "unfinished" if resume else "new"
    if present:
        raise OutputError("is not empty and holds no assembly of ours", out, "Choose another --out")
    return "new"


def state_of(plan: Plan, following: int, *, finished: bool = False) -> State:
    """All that attempt ``following`` of a plan needs, as plain JSON values."""
    held = plan.held
    return {
        "next": following,
        "finished": finished,
        "repeats": plan.repeats,
        "tried": [[s.activation, s.norm, s.final_norm, mse] for s, mse in plan.tried.items()],
        "times": [[s.activation, s.norm, s.final_norm, count] for s, count in plan.times.items()],
        "promise": [[s.activation, s.norm, s.final_norm, mse] for s, mse in plan.promise.items()],
        "held": held
        and {
            "mse": held.mse,
            "setting": [held.setting.activation, held.setting.norm, held.setting.final_norm],
            "ins": held.arrangement.ins,
            "outs": held.arrangement.outs,
        },
    }


def save_checkpoint(out: Path, fingerprint: str, states: Sequence[State], log: Log) -> None:
    """Write the state of each assignment of roles searched so far; the old checkpoint is replaced in one step."""
    entries = [[stage, mse, rows, a.ins, a.outs, seconds] for stage, mse, rows, a, seconds in log]
    content = {"fingerprint": fingerprint, "candidates": list(states), "log": entries}
    write_file(out / CHECKPOINT_FILE, dumps(content), force=True)


def load_checkpoint(out: Path, fingerprint: str) -> tuple[list[State], list[Any]]:
    """The states and the log in a checkpoint, for ``restore`` and ``restore_log``; nothing in them is believed yet.

    Raises:
        InputError: the checkpoint is damaged.
        UsageError: it belongs to other pieces, data or options.
    """
    path = out / CHECKPOINT_FILE
    with nothing_believed(path):
        content = json.loads(path.read_text(encoding="utf-8"))
        check_belongs(content["fingerprint"], fingerprint, path, to="pieces, data or options")
        return list(content["candidates"]), list(content["log"])


def restore(out: Path, state: State, plan: Plan) -> tuple[int, bool]:
    """Bring a plan to a saved state; returns the next attempt, and whether there is none.

    Raises:
        InputError: the state is damaged.
    """
    with nothing_believed(out / CHECKPOINT_FILE):
        plan.repeats = int(state["repeats"])
        plan.tried = {_setting(entry[:3], plan): _number(entry[3]) for entry in state["tried"]}
        plan.times = Counter({_setting(entry[:3], plan): _attempts(entry[3]) for entry in state["times"]})
        plan.promise = {_setting(entry[:3], plan): _number(entry[3]) for entry in state["promise"]}
        held = state["held"]
        if held is not None:
            arrangement = _arrangement(held["ins"], held["outs"], plan)
            plan.held = Held(_number(held["mse"]), _setting(held["setting"], plan), arrangement)
        elif state["finished"]:
            raise ValueError("finished without an arrangement")
        return _attempts(state["next"]), bool(state["finished"])


def restore_log(out: Path, entries: Sequence[Any], plan: Plan) -> Log:
    """The log in a checkpoint; all assignments of roles have arrangements of one size.

    Raises:
        InputError: it is damaged.
    """
    with nothing_believed(out / CHECKPOINT_FILE):
        return [(str(e[0]), _number(e[1]), int(e[2]), _arrangement(e[3], e[4], plan), float(e[5])) for e in entries]


def _attempts(value: int) -> int:
    if not 0 <= int(value) <= MOST_ATTEMPTS:
        raise ValueError("not the number of an attempt")
    return int(value)


def _number(value: float | None) -> float:
    return float("inf") if value is None else float(value)


def _setting(names: list[str], plan: Plan) -> Setting:
    found = Setting(*names)
    if found not in plan.choices:
        raise ValueError("not a setting of this run")
    return found


def _arrangement(ins: list[int], outs: list[int], plan: Plan) -> Arrangement:
    items, n = range(len(plan.problem.stack.in_weight)), plan.problem.blocks
    found = Arrangement(tuple(map(int, ins)), tuple(map(int, outs)))
    for part in (found.ins, found.outs):
        if len(part) != n or len(set(part)) != n or not set(part) <= set(items):
            raise ValueError("not an arrangement of this pile")
    return found
