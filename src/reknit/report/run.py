"""What repeats a run, on the page: its command line, its settings, the hashes of what it read."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import Any

from reknit.plain import dumps
from reknit.report.formatting import count, duration, quantity
from reknit.report.markup import Child, el
from reknit.report.parts import Column, copyable, folded, metered, part_of, table, text

_LONG = 8
"""Entries from which a list folds away."""


def run_parts(run: Mapping[str, Any]) -> list[Child]:
    """The command line to copy, a table of the settings, long lists folded, and all of it as JSON.

    ``run["command"]`` is a line or its words; nested mappings are shown with their keys joined by a dot.
    """
    parts: list[Child] = [text("The same inputs, seed and threads give the same answer.")]
    command = run.get("command")
    if command:
        line = command if isinstance(command, str) else shlex.join(str(word) for word in command)
        parts.append(copyable(line, "the command line"))
    short = {key: value for key, value in run.items() if key != "command" and not _is_long(value)}
    if short:
        parts.append(table("The run", [Column("What"), Column("Value")], _rows(short)))
    for key, value in run.items():
        if key != "command" and _is_long(value):
            inside = table(key, [Column("What"), Column("Value")], _rows(_as_mapping(value)), tall=True)
            parts.append(folded(f"{key} ({count(len(value))})", inside))
    return [*parts, folded("Everything as JSON, to copy", copyable(dumps(run, indent=2), "the run as JSON"))]


def time_parts(seconds: Mapping[str, float]) -> list[Child]:
    """How long each stage took; nothing where that is not known."""
    if not seconds:
        return []
    longest = max((s for s in seconds.values() if math.isfinite(s)), default=0.0)
    rows: list[list[Child]] = [
        [stage, metered(quantity(taken, duration(taken)), part_of(taken, longest))] for stage, taken in seconds.items()
    ]
    return [el("h3", "Time per stage"), table("Wall time", [Column("Stage"), Column("Time", "right")], rows)]


def _rows(values: Mapping[str, Any]) -> list[list[Child]]:
    return [[key, el("bdi", _words(value))] for key, value in _flat(values)]


def _flat(values: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{above}{key}"
        flat += _flat(value, f"{name}.") if isinstance(value, Mapping) and value else [(name, value)]
    return flat


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_words(item) for item in value) or "none"
    return "none" if value is None or value == {} else str(value)


def _is_long(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple) and len(value) >= _LONG


def _as_mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {str(k): item for k, item in enumerate(value)}
