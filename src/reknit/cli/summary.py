"""Results in a few lines, for people."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from reknit.assembly.result import Move

COLOUR = {"exact": "green", "consistent": "green", "ambiguous": "yellow", "cannot say": "yellow", "failed": "red"}
LABEL_WIDTH = 11


def print_rows(verdict: str | None, rows: Mapping[str, str]) -> None:
    """The verdict, then one aligned row for each fact, on stdout; colours and line breaks only on a terminal."""
    # what is piped keeps one line for each fact, for the tools that read lines
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    labels = max(LABEL_WIDTH, *(len(label) + 1 for label in rows))
    if verdict is not None:
        typer.echo(f"{'verdict':<{labels}}{typer.style(verdict, fg=COLOUR[verdict], bold=True)}")
    for label, text in rows.items():
        typer.echo(row(label, text, width, labels))


def row(label: str, text: str, width: int, labels: int = LABEL_WIDTH) -> str:
    """One fact, wrapped to the width, its label to the left.

    >>> print(row("order", "piece_1 piece_2", 20))
    order      piece_1
               piece_2
    """
    margin = " " * labels
    lines = [
        textwrap.fill(line, width, initial_indent=margin, subsequent_indent=margin, break_long_words=False)
        for line in text.splitlines() or [""]
    ]
    block = "\n".join(lines)
    return f"{label:<{labels}}{block[labels:]}"


def residual_text(residual: Mapping[str, Any]) -> str:
    """The error against what rounding explains."""
    text = f"at most {residual['max_abs']:.2e} off where {residual['tolerance']:.2e} is tolerated"
    return f"{text}, mean square {residual['mse']:.2e}, over {residual['rows']} rows"


def answers_text(residual: Mapping[str, Any]) -> str:
    """The error of a wired network against what rounding explains, a line for each tensor of the answer."""
    pairs = zip(residual["max_abs"], residual["tolerance"], strict=True)
    return "\n".join(f"at most {off:.2e} off where {most:.2e} is tolerated" for off, most in pairs)


def slots_text(sets: Sequence[Sequence[str]], shown: int = 4) -> str:
    """Sets of slots, a line each, the first few of every set.

    >>> slots_text([])
    'nothing'
    """
    if not sets:
        return "nothing"
    lines = [
        ", ".join(slots[:shown]) + (f" and {len(slots) - shown} more" if len(slots) > shown else "") for slots in sets
    ]
    return "\n".join(lines)


def undecided_text(moves: Sequence[Move], shown: int = 5) -> str:
    """The rearrangements the data do not reject, the first few of them.

    >>> undecided_text([])
    'nothing'
    """
    if not moves:
        return "nothing"
    lines = [f"{move.kind} {' '.join(move.pieces)} (z {move.z:.2g})" for move in moves[:shown]]
    rest = len(moves) - shown
    return "\n".join([*lines, f"and {rest} more"] if rest > 0 else lines)


def shortened(names: Sequence[str], ends: int = 4) -> str:
    """A long list of names by its two ends.

    >>> shortened(["a", "b", "c", "d", "e"], ends=2)
    'a b ... d e'
    """
    if len(names) <= 2 * ends:
        return " ".join(names)
    return " ".join([*names[:ends], "...", *names[-ends:]])
