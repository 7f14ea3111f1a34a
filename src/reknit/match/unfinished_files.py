"""Which files beside an answer are checkpoints of the run that is to write it."""

from __future__ import annotations

from pathlib import Path

from reknit.errors import OutputError, UsageError


def claim_checkpoint(out: str | Path | None, *, trains: bool, resume: bool, force: bool) -> Path | None:
    """Look at what a killed run has left, before any work; where this run is to keep its state, if it trains.

    Raises:
        UsageError: there is nothing that could be gone on from.
        OutputError: an unfinished run is there, and it is not said whether to go on.
    """
    if resume and not trains:
        raise UsageError("nothing is trained, so there is nothing to go on from", "--resume", "Leave it away")
    if resume and out is None:
        raise UsageError("--resume needs --out, beside which the checkpoint lives", "--resume", "Add --out FILE")
    if out is None or not trains:
        return None
    left = checkpoints_of(out)
    if left and not (resume or force):
        remedy = "Add --resume to go on or --force to start afresh"
        raise OutputError("is the checkpoint of an unfinished run", left[0], remedy)
    if not resume:
        forget(out)
    return _base(out)


def checkpoints_of(out: str | Path) -> list[Path]:
    """The checkpoints beside an answer: one, or one for each of several descents."""
    base = _base(out)
    if not base.parent.is_dir():
        return []
    parts = (path for path in base.parent.iterdir() if path.name.startswith(f"{base.name}-"))
    return sorted(path for path in (base, *parts) if path.is_file())


def forget(out: str | Path) -> None:
    """Remove them; the answer has been written, or is to be found anew.

    Raises:
        OutputError: the system refuses.
    """
    for path in checkpoints_of(out):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot be removed: {error.strerror}", path) from None


def _base(out: str | Path) -> Path:
    out = Path(out)
    return out.with_name(f"{out.name}.checkpoint")
