"""``assemble``: pieces and recorded data in, the network with its verdict out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from reknit.assembly.checkpoint import CHECKPOINT_FILE
from reknit.assembly.folder import load_assembly, save_assembly
from reknit.assembly.options import Options, refuse_foreign
from reknit.assembly.places import claim_places
from reknit.assembly.result import Assembly
from reknit.assembly.run import Progress, Run
from reknit.assembly.threads import blas_threads
from reknit.assembly.write_up import write_up
from reknit.errors import UsageError
from reknit.wiring.options import WiringOptions

if TYPE_CHECKING:
    from reknit.wiring.result import Wiring

__all__ = ["Progress", "assemble"]


@overload
def assemble(pieces: str | Path, data: str | Path, *, like: None = None, **options: Any) -> Assembly: ...
@overload
def assemble(pieces: str | Path, data: str | Path | None = None, *, like: str, **options: Any) -> Wiring: ...
@overload
def assemble(pieces: str | Path, data: None = None, *, like: None = None, **options: Any) -> Wiring: ...
@overload
def assemble(
    pieces: str | Path, data: str | Path | None = None, *, like: str | None = None, **options: Any
) -> Assembly | Wiring: ...
def assemble(  # type: ignore[misc]  # it names every option, where the overloads leave them open
    pieces: str | Path,
    data: str | Path | None = None,
    *,
    like: str | None = None,
    input: str | None = None,  # noqa: A002  the word of the command line
    link: str | None = None,
    target: str | None = None,
    inputs: str | None = None,
    activation: str | None = None,
    norm: str | None = None,
    method: str = "commutator",
    start: str = "seriation",
    rows: int | None = None,
    choose: str | None = None,
    seed: int = 0,
    noise: float | None = None,
    threads: int | None = None,
    budget: float | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    report: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Assembly | Wiring:
    """Put a network back together from its pieces, and say how sure that is.

    With a data table and without ``like``: a residual MLP from its layers. With ``like``, or without data: any network
    from its tensors, each without a name, by the weights alone or with what it has answered.

    Args:
        pieces: a folder of layer files, or one file that holds them all.
        data: the table (CSV, Parquet, npz); its inputs are the stream before the first block. With ``like``: arrays
            ``inputs`` and ``outputs``, or ``inputs`` alone (npz, safetensors); None: the weights alone. Without outputs
            no verdict is ``exact``.
        like: the skeleton: ``package.module:callable`` for a module of your own, a folder with ``config.json``, or a
            built-in architecture (``bert:layers=12,width=256,...``); None without data: inferred from shapes.
        input: the shape of an example input for the skeleton, ``1x3x224x224`` or ``int:1x16``; None: guessed.
        link: what lies between the module's answer and the recorded outputs: ``identity``, ``softmax``, ``sigmoid``,
            ``top-k`` (class ids, best first; labels are k = 1) or ``binary`` (0 or 1: below or above zero, or a
            probability of one half); of several outputs one each, by comma. None: found out.
        target: recorded output columns, names or patterns; None: ``pred``, else ``pred_*``.
        inputs: input columns; None: every column but the targets, ``pred*`` and ``true*``.
        activation: between in and out; None: the common ones are tried and the one that fits is named.
        norm: before each block; None: likewise.
        method: ``commutator``, or ``hill-climb`` for the published method (arXiv 2602.19845).
        start: where the first attempt starts: ``seriation``, ``norm``, ``delta-norm`` or ``random``.
        rows: search on so many rows, chosen by the seed; the verdict always rests on all of them.
        choose: how these are chosen: ``uniform``, by ``leverage`` of the inputs, or ``whitened``, those that resemble
            the others most; None: uniform.
        seed: of everything that is drawn; the same seed and threads give the same answer.
        noise: known standard deviation of noise on the recorded outputs, in their units.
        threads: processor threads; None: as many as the BLAS of numpy is set to.
        budget: seconds after which the search stops with the best it has.
        out: a folder for model, configuration, answer and, meanwhile, the checkpoint.
        resume: go on from the checkpoint in ``out``; report again what a finished folder holds. With a skeleton the
            checkpoint holds what the weights say; the search by outputs is repeated, to the same end.
        force: replace what is there.
        report: where to write the HTML page.
        progress: called as the search goes on.

    Returns:
        The network, its verdict and the evidence, whatever the verdict is: a ``Wiring`` where a skeleton was filled.

    Raises:
        InputError: pieces, data or options cannot be used.
        OutputError: the answer cannot be written where it is wanted; found out before the search.
    """
    if like is not None or data is None:
        foreign = {
            "--target": target,
            "--inputs": inputs,
            "--activation": activation,
            "--norm": norm,
            "--method": None if method == "commutator" else method,
            "--start": None if start == "seriation" else start,
            "--rows": rows,
            "--choose": choose,
        }
        refuse_foreign(foreign, "it goes with a residual MLP and its data table, not with a skeleton")
        from reknit.assembly.fill import fill

        return fill(
            Path(pieces),
            None if data is None else Path(data),
            WiringOptions(like, input, link, noise, budget, seed, threads=threads),
            out=None if out is None else Path(out),
            report=None if report is None else Path(report),
            resume=resume,
            force=force,
            progress=progress,
        )
    for name, value in (("--input", input), ("--link", link)):
        if value is not None:
            raise UsageError("it goes with a skeleton", name, "Name the skeleton with --like")
    options = Options(
        target=target,
        inputs=inputs,
        activation=activation,
        norm=norm,
        method=method,
        start=start,
        rows=rows,
        choose=choose,
        seed=seed,
        noise=noise,
        threads=threads,
        budget=budget,
    )
    out, report = (None if path is None else Path(path) for path in (out, report))
    state = claim_places([Path(pieces), Path(data)], out, report, resume=resume, force=force)
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
