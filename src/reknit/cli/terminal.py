"""What all verbs share: exit statuses, JSON on stdout, errors and progress on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from reknit.errors import ReknitError
from reknit.plain import dumps

if TYPE_CHECKING:
    from rich.console import Console

    from reknit.assembly.verb import Progress

BAD_INPUT = 2
INTERRUPTED = 130
STATUS = {"exact": 0, "consistent": 0, "ambiguous": 3, "failed": 4}


class StoppedError(ReknitError):
    """The user pressed Ctrl-C."""

    def __init__(self, where: str | Path = "", remedy: str = "") -> None:
        super().__init__("interrupted", where, remedy)


@contextmanager
def resumable(out: Path | None) -> Iterator[None]:
    """Turn Ctrl-C into a sentence that says where the search can go on from."""
    try:
        yield
    except KeyboardInterrupt:
        if out is None:
            raise StoppedError(remedy="Nothing was written; with --out a checkpoint would have been kept") from None
        remedy = "A usable checkpoint is kept there; run the same command with --resume to go on"
        raise StoppedError(out, remedy) from None


@contextmanager
def resumable_beside(out: Path | None) -> Iterator[None]:
    """The same for an answer that is one file: its checkpoint lies beside it, if something was trained long enough."""
    from reknit.match.unfinished_files import checkpoints_of

    try:
        yield
    except KeyboardInterrupt:
        left = checkpoints_of(out) if out is not None else []
        if not left:
            raise
        remedy = "A usable checkpoint is kept there; run the same command with --resume to go on"
        raise StoppedError(left[-1], remedy) from None


def print_json(value: Any) -> None:
    """One strict JSON object on stdout."""
    typer.echo(dumps(value, indent=2))


def print_error(error: ReknitError, as_json: bool) -> None:
    """One sentence on stderr or, where JSON was asked for, one object on stdout."""
    if as_json:
        print_json(error.as_json())
    else:
        typer.echo(f"reknit: {error}", err=True)


def stderr_console() -> Console:
    """Where everything goes that is not the answer."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


class ProgressLine:
    """Progress on stderr: one live line on a terminal, elsewhere a line whenever the stage changes."""

    def __init__(self) -> None:
        self._console = stderr_console()
        self._status = self._console.status("starting")
        self._stage = ""
        self._best = float("inf")

    def __enter__(self) -> ProgressLine:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def __call__(self, progress: Progress) -> None:
        """Show one report of ``reknit.assemble``."""
        if progress.mse is not None and progress.mse < self._best:
            self._best = progress.mse
        best = f"best mse {self._best:.2e}" if self._best < float("inf") else ""
        self.line(progress.stage, progress.message, best, f"{progress.seconds:.1f} s")

    def line(self, stage: str, *details: str) -> None:
        """Show a stage and what is known of it."""
        text = "  ".join(part for part in (f"{stage:<8}", *details) if part)
        if self._console.is_terminal:
            from rich.text import Text

            self._status.update(Text(text))  # Text: a message may hold what rich takes for markup
        elif stage != self._stage:
            typer.echo(text, err=True)
        self._stage = stage
