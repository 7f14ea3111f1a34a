"""What every checkpoint of an unfinished run says where it cannot be gone on from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reknit.errors import ContainerError, InputError, UsageError


@contextmanager
def nothing_believed(path: Path) -> Iterator[None]:
    """Whatever goes wrong in reading a checkpoint is one sentence.

    Raises:
        InputError: anything did.
    """
    faults = (OSError, ArithmeticError, RecursionError, ValueError, LookupError, TypeError, AttributeError)
    try:
        yield
    except (*faults, ContainerError) as fault:
        raise InputError("is a damaged checkpoint", path, "Start afresh with --force instead of --resume") from fault


def check_belongs(found: object, fingerprint: str, path: Path, *, to: str) -> None:
    """Whether a checkpoint was left by the run that goes on from it.

    Args:
        found: the fingerprint in it.
        fingerprint: of what was given now.
        path: of the checkpoint.
        to: what a fingerprint is taken of, in words.

    Raises:
        UsageError: it was not.
    """
    if found != fingerprint:
        raise UsageError(f"belongs to other {to}", path, "Repeat the first command, or add --force")
