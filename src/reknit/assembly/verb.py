"""``assemble``: pieces and recorded data in, the network with its verdict out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from reknit.assembly.checkpoint import CHECKPOINT_FILE, claim_folder
from reknit.assembly.folder import load_assembly, save_assembly
from reknit.assembly.options import Options
from reknit.assembly.result import Assembly
from reknit.assembly.run import Progress, Run
from reknit.assembly.threads import blas_threads
from reknit.assembly.write_up import write_up
from reknit.errors import OutputError, UsageError

__all__ = ["Progress", "assemble"]


def assemble(
    pieces: str | Path,
    data: str | Path,
    *,
    target: str | None = None,
    inputs: str | None = None,
    activation: str | None = None,
    norm: str | None = None,
    method: str = "commutator",
    start: str = "seriation",
    rows: int | None = None,
    seed: int = 0,
    noise: float | None = None,
    threads: int | None = None,
    budget: float | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    report: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Assembly:
    """Put a residual MLP back together from its layers and a table of recorded inputs and outputs.

    Args:
        pieces: a folder of layer files, or one file that holds them all.
        data: the table (CSV, Parquet, npz); its inputs are the stream before the first block.
        target: recorded output columns, names or patterns; None: ``pred``, else ``pred_*``.
        inputs: input columns; None: every column but the targets, ``pred*`` and ``true*``.
        activation: between in and out; None: the common ones are tried and the one that fits is named.
        norm: before each block; None: likewise.
        method: ``commutator``, or ``hill-climb`` for the published method (arXiv 2602.19845).
        start: where the first attempt starts: ``seriation``, ``norm``, ``delta-norm`` or ``random``.
        rows: search on so many rows, drawn by the seed; the verdict always rests on all of them.
        seed: of everything that is drawn; the same seed and threads give the same answer.
        noise: known standard deviation of noise on the recorded outputs, in their units.
        threads: processor threads; None: as many as the BLAS of numpy is set to.
        budget: seconds after which the search stops with the best it has.
        out: a folder for model, configuration, answer and, meanwhile, the checkpoint.
        resume: go on from the checkpoint in ``out``; report again what a finished folder holds.
        force: replace what is there.
        report: where to write the HTML page.
        progress: called as the search goes on.

    Returns:
        The network, its verdict and the evidence, whatever the verdict is.

    Raises:
        InputError: pieces, data or options cannot be used.
        OutputError: the answer cannot be written where it is wanted; found out before the search.
    """
    options = Options(
        target=target,
        inputs=inputs,
        activation=activation,
        norm=norm,
        method=method,
        start=start,
        rows=rows,
        seed=seed,
        noise=noise,
        threads=threads,
        budget=budget,
    )
    out, report = (None if path is None else Path(path) for path in (out, report))
    if resume and out is None:
        raise UsageError("--resume needs --out, where the checkpoint lives", "--resume", "Add --out DIR")
    _spare_inputs(Path(pieces), Path(data), report)
    if report is not None and report.exists() and not force:
        raise OutputError("exists already", report, "Choose another name, or replace it with --force")
    state = "new" if out is None else claim_folder(out, resume=resume, force=force)
    if state == "finished" and out is not None:
        assembly = load_assembly(out)
        if assembly.run.get("fingerprint") != Run(Path(pieces), Path(data), options).fingerprint():
            fault = "holds the answer to other pieces, data or options"
            raise UsageError(fault, out, "Repeat the first command, or use --force to replace it")
    else:
        assembly = _assemble(Path(pieces), Path(data), options, progress, out, resume=state == "unfinished")
        if out is not None:
            save_assembly(assembly, out, force=True, expendable={CHECKPOINT_FILE})
    if report is not None:
        assembly.report(report, force=force)
    return assembly


def _spare_inputs(pieces: Path, data: Path, report: Path | None) -> None:
    """Refuse to write the report over what is read, whatever is forced."""
    if report is None:
        return
    place = report.resolve()
    if place in (data.resolve(), pieces.resolve()) or pieces.resolve() in place.parents:
        raise OutputError("is among the inputs, which are never touched", report, "Write the report elsewhere")


def _assemble(
    pieces: Path,
    data: Path,
    options: Options,
    progress: Callable[[Progress], None] | None,
    out: Path | None,
    *,
    resume: bool,
) -> Assembly:
    """Run with the threads asked for; the setting of numpy's BLAS is put back afterwards."""
    run = Run(pieces, data, options, progress=progress, out=out)
    # the streams of a wrong arrangement may overflow; its error counts as infinite then, and it is not chosen
    with blas_threads(run.layer, options.threads) as threads, np.errstate(over="ignore", invalid="ignore"):
        return write_up(run, run.best(threads, resume=resume))
