"""``assemble`` with a skeleton: where the answer goes, what is resumed, how many threads; the work is in ``wiring``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from reknit.assembly.places import claim_places
from reknit.assembly.run import Progress
from reknit.errors import UsageError
from reknit.wiring.checkpoint import CHECKPOINT_FILE
from reknit.wiring.load import is_wired, load_wiring
from reknit.wiring.options import WiringOptions
from reknit.wiring.result import Wiring
from reknit.wiring.threads import limited_threads
from reknit.wiring.verb import Run


def fill(
    pieces: Path,
    data: Path | None,
    options: WiringOptions,
    *,
    out: Path | None,
    report: Path | None,
    resume: bool,
    force: bool,
    progress: Callable[[Progress], None] | None,
) -> Wiring:
    """Fill a skeleton, and write the answer where it is wanted; the arguments are those of ``assemble``.

    Raises:
        InputError: pieces, data or options cannot be used.
        OutputError: the answer cannot be written where it is wanted; found out before the search.
    """
    skeleton = [Path(options.like)] if options.like is not None and Path(options.like).is_dir() else []
    inputs = [pieces, *skeleton, *([] if data is None else [data])]
    state = claim_places(inputs, out, report, resume=resume, force=force)
    began = time.perf_counter()

    def told(stage: str) -> None:
        if progress is not None:
            progress(Progress(stage, "", None, time.perf_counter() - began))

    with limited_threads(options.threads):
        run = Run(pieces, data, options, progress=told)
        if state == "finished" and out is not None:
            wiring = _finished(out, run)
        else:
            wiring = run.wiring(out=out, resume=state == "unfinished")
            if out is not None:
                wiring.save(out, force=True, expendable={CHECKPOINT_FILE})
    if report is not None:
        wiring.report(report, force=force)
    return wiring


def _finished(out: Path, run: Run) -> Wiring:
    """The answer in a folder.

    Raises:
        UsageError: it is the answer to another question.
    """
    found = load_wiring(out) if is_wired(out) else None
    if found is None or found.run.get("fingerprint") != run.described()["fingerprint"]:
        fault = "holds the answer to other pieces, data or options"
        raise UsageError(fault, out, "Repeat the first command, or use --force to replace it")
    return found
