"""The checkpoint of an unfinished ``assemble``: what the next attempt needs, in ``OUT/checkpoint.json``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from reknit.assembly.attempts import MOST_ATTEMPTS, Held, Plan, Setting
from reknit.assembly.folder import ASSEMBLY_FILE
from reknit.containers.write import write_file
from reknit.errors import InputError, OutputError, UsageError
from reknit.network.stack import Arrangement
from reknit.plain import dumps

CHECKPOINT_FILE = "checkpoint.json"
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


def save_checkpoint(out: Path, fingerprint: str, plan: Plan, following: int, log: Log) -> None:
    """Write what attempt ``following`` needs; the old checkpoint is replaced in one step."""
    held = plan.held
    content: dict[str, Any] = {
        "fingerprint": fingerprint,
        "next": following,
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
        "log": [[stage, mse, rows, a.ins, a.outs, seconds] for stage, mse, rows, a, seconds in log],
    }
    write_file(out / CHECKPOINT_FILE, dumps(content), force=True)


def load_checkpoint(out: Path, fingerprint: str, plan: Plan) -> tuple[int, Log]:
    """Bring a plan to where the checkpoint left it; returns the next attempt and the log so far.

    Raises:
        InputError: the checkpoint is damaged.
        UsageError: it belongs to other pieces, data or options.
    """
    path = out / CHECKPOINT_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["fingerprint"] != fingerprint:
            raise UsageError(
                "belongs to other pieces, data or options", path, "Repeat the first command, or add --force"
            )
        plan.repeats = int(content["repeats"])
        plan.tried = {_setting(entry[:3], plan): _number(entry[3]) for entry in content["tried"]}
        plan.times = Counter({_setting(entry[:3], plan): _attempts(entry[3]) for entry in content["times"]})
        plan.promise = {_setting(entry[:3], plan): _number(entry[3]) for entry in content["promise"]}
        held = content["held"]
        if held is not None:
            arrangement = _arrangement(held["ins"], held["outs"], plan)
            plan.held = Held(_number(held["mse"]), _setting(held["setting"], plan), arrangement)
        log = [
            (str(e[0]), _number(e[1]), int(e[2]), _arrangement(e[3], e[4], plan), float(e[5])) for e in content["log"]
        ]
        return _attempts(content["next"]), log
    except (OSError, ArithmeticError, RecursionError, ValueError, LookupError, TypeError, AttributeError) as fault:
        raise InputError("is a damaged checkpoint", path, "Start afresh with --force instead of --resume") from fault


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
