"""Where an answer is to go, looked at before any work: folder and report, and that no input is in the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reknit.assembly.checkpoint import claim_folder
from reknit.errors import OutputError, UsageError


def claim_places(inputs: Sequence[Path], out: Path | None, report: Path | None, *, resume: bool, force: bool) -> str:
    """Look at where the answer is to go: ``new``, ``unfinished`` or ``finished``.

    Args:
        inputs: files and folders that are read.
        out: the folder of the answer; None: it is not written.
        report: the page; None: it is not written.
        resume: go on from what is in the folder.
        force: replace what is there.

    Raises:
        OutputError: something is there that may not be replaced.
        UsageError: there is no folder to resume from.
    """
    if resume and out is None:
        raise UsageError("--resume needs --out, where the checkpoint lives", "--resume", "Add --out DIR")
    if report is not None:
        _spare(inputs, report)
        if report.exists() and not force:
            raise OutputError("exists already", report, "Choose another name, or replace it with --force")
    return "new" if out is None else claim_folder(out, resume=resume, force=force)


def _spare(inputs: Sequence[Path], report: Path) -> None:
    """Refuse to write the report over what is read, whatever is forced."""
    place = report.resolve()
    read = [path.resolve() for path in inputs]
    if any(place == path or path in place.parents for path in read):
        raise OutputError("is among the inputs, which are never touched", report, "Write the report elsewhere")
