"""``reknit assemble``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reknit.cli import options
from reknit.cli.terminal import STATUS, ProgressLine, print_json, resumable

if TYPE_CHECKING:
    from reknit.assembly.result import Assembly
    from reknit.wiring.result import Wiring

METHODS = "commutator|hill-climb"
STARTS = "seriation|norm|delta-norm|random"
CHOICES = "uniform|leverage|whitened"


def assemble(
    pieces: Annotated[
        Path, typer.Argument(metavar="PIECES", help="A folder of layer files, or one file that holds them all.")
    ],
    *,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Recorded inputs and outputs, or inputs; else the weights alone."),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="SKELETON", help="package.module:callable, a folder with config.json, or a built-in one."),
    ] = None,
    example: options.Example = None,
    link: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Outputs were recorded behind identity, softmax, sigmoid, top-k or binary."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="The recorded outputs: a column or a pattern.")
    ] = None,
    inputs: Annotated[str | None, typer.Option(metavar="PATTERN", help="The recorded inputs.")] = None,
    activation: Annotated[str | None, typer.Option(metavar="NAME", help="Between in and out; else tried.")] = None,
    norm: Annotated[str | None, typer.Option(metavar="NAME", help="Before each block; else tried.")] = None,
    method: Annotated[str, typer.Option(metavar=METHODS, help="How the order is found.")] = "commutator",
    start: Annotated[str, typer.Option(metavar=STARTS, help="Where the search starts.")] = "seriation",
    rows: Annotated[int | None, typer.Option(help="Search on this many rows; all are verified.")] = None,
    choose: Annotated[str | None, typer.Option(metavar=CHOICES, help="How those rows are chosen.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed and threads give the same answer.")] = 0,
    noise: Annotated[float | None, typer.Option(metavar="SD", help="Known noise of the recorded outputs.")] = None,
    threads: Annotated[int | None, typer.Option(help="Processor threads.")] = None,
    budget: Annotated[float | None, typer.Option(metavar="SECONDS", help="Bound on the search.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the model and the answer into this folder.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    force: options.Force = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write the report.")] = None,
    as_json: options.AsJson = False,
) -> int:
    """Put a network back together from its pieces, and perhaps from what it was asked and answered."""
    from reknit.assembly.result import Assembly
    from reknit.assembly.verb import assemble as run

    with resumable(out), ProgressLine() as show:
        assembly = run(
            pieces,
            data,
            like=like,
            input=example,
            link=link,
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
            out=out,
            resume=resume,
            force=force,
            report=report,
            progress=show,
        )
    if as_json:
        print_json(assembly.as_json())
    elif isinstance(assembly, Assembly):
        _print_summary(assembly, out, report)
    else:
        _print_wiring(assembly, out, report)
    return STATUS[assembly.verdict]


def _print_summary(assembly: Assembly, out: Path | None, report: Path | None) -> None:
    from reknit.cli.summary import print_rows, residual_text, shortened, undecided_text

    margin = min((pair.margin for pair in assembly.pairs), default=float("nan"))
    spec = assembly.spec
    sizes = f"{spec.blocks} blocks, width {spec.width}, hidden {spec.hidden}"
    rows = {
        "network": f"{sizes}, {spec.activation}, norm {spec.norm}, final norm {spec.final_norm}",
        "why": assembly.reason,
        "residual": residual_text(assembly.as_json()["residual"]),
        "pairs": f"{len(assembly.pairs)}, smallest margin {margin:.2g}",
        "undecided": undecided_text(assembly.undecided),
        "order": shortened(assembly.order),
        "seconds": "  ".join(f"{stage} {seconds:.2f}" for stage, seconds in assembly.seconds.items()),
        "model": str(out or "not written; --out DIR writes it"),
        "report": str(report or "not written; --report FILE.html writes it"),
    }
    print_rows(assembly.verdict, rows)


def _print_wiring(wiring: Wiring, out: Path | None, report: Path | None) -> None:
    from reknit.cli.summary import answers_text, print_rows, slots_text

    certain = sum(placed.certain for placed in wiring.slots)
    rows = {
        "network": wiring.skeleton.like,
        "read from": "\n".join(wiring.skeleton.read_from) or "the skeleton that was given",
        "or else": "\n".join(wiring.skeleton.alternatives) or "nothing",
        "why": wiring.reason,
        "residual": "no outputs were given" if wiring.residual is None else answers_text(wiring.residual),
        "slots": f"{len(wiring.slots)}, of which {certain} are certain",
        "undecided": slots_text(wiring.undecided),
        **({"identical": slots_text(wiring.identical)} if wiring.identical else {}),
        **({"note": "\n".join(wiring.notes)} if wiring.notes else {}),
        "seconds": "  ".join(f"{stage} {seconds:.2f}" for stage, seconds in wiring.seconds.items()),
        "model": str(out or "not written; --out DIR writes it"),
        "report": str(report or "not written; --report FILE.html writes it"),
    }
    print_rows(wiring.verdict, rows)
