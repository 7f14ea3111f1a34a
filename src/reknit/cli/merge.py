"""``reknit merge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reknit.cli.terminal import STATUS, ProgressLine, print_json
from reknit.errors import UsageError

if TYPE_CHECKING:
    from reknit.match.merge import Merge


def merge(
    networks: Annotated[
        list[Path], typer.Argument(metavar="A B [C...]", help="Checkpoints of one architecture; they stay as they are.")
    ],
    *,
    like: Annotated[
        str,
        typer.Option(metavar="SKELETON", help="package.module:callable, a folder with config.json, or a built-in one."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="An npz file: inputs for foresight, statistics, activations; targets to measure."
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(metavar="NAME", help="weights, activations, rotation, straight-through, sinkhorn or none.")
    ] = "weights",
    weights: Annotated[
        str | None, typer.Option(metavar="0.5,0.5", help="Share of each network; equal where not told.")
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN=0.3,0.7", help="Other shares for the slots that fit; may be repeated."),
    ] = None,
    decay: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Checkpoints of one run as if its rate had decayed: linear, cosine, 1-sqrt, inverse-sqrt.",
        ),
    ] = None,
    steps: Annotated[
        str | None, typer.Option(metavar="1000,2000", help="Where the checkpoints of --decay were taken.")
    ] = None,
    star: Annotated[
        int | None,
        typer.Option(metavar="STEPS", help="Train a network connected to all in a line, instead of averaging."),
    ] = None,
    answers: Annotated[
        str | None, typer.Option(metavar="classes|numbers", help="How answers are read; by their shape where not told.")
    ] = None,
    mend: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help="How statistics are set right: parents (channels vary as theirs do), batch (estimated again) or none.",
        ),
    ] = "parents",
    no_mend: Annotated[bool, typer.Option("--no-mend", help="The same as --mend none.")] = False,
    example: Annotated[
        str | None,
        typer.Option("--input", metavar="SHAPE", help="Example input of the skeleton: 1x3x224x224, int:1x16."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answer.")] = 0,
    plan: Annotated[bool, typer.Option("--plan", help="Say what is foreseen, and write nothing.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the merged network as safetensors.")
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Write it although it should not work.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> int:
    """Merge networks: look ahead, bring them into one basis, average, set statistics right."""
    from reknit.match.merge import merge as run
    from reknit.match.pairs import check_free

    if out is not None and not plan:
        check_free(out, (*networks, data, like), force=force)
    with ProgressLine() as show:
        found = run(
            networks,
            like=like,
            data=data,
            method=method,
            weights=None if weights is None else _numbers(weights, "--weights"),
            by_slot=dict(_layer(each) for each in layer or ()),
            mend="none" if no_mend else mend,
            answers=answers,
            decay=decay,
            steps=None if steps is None else [int(step) for step in _numbers(steps, "--steps")],
            star=star,
            input=example,
            seed=seed,
            plan=plan,
            progress=show.line,
        )
        written = out is not None and not plan and (anyway or found.verdict != "failed")
        if out is not None and written:
            found.save(out, force=force, anyway=anyway)
    if as_json:
        print_json(found.as_json())
    else:
        _print(found, out if written else None)
    return STATUS[found.verdict]


def _numbers(text: str, where: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{text!r} is no list of numbers", where, "Write 0.3,0.7") from None


def _layer(text: str) -> tuple[str, list[float]]:
    pattern, equals, numbers = text.rpartition("=")
    if not equals:
        raise UsageError(f"{text!r} names no shares", "--layer", "Write PATTERN=0.3,0.7")
    return pattern, _numbers(numbers, "--layer")


def _print(found: Merge, out: Path | None) -> None:
    from reknit.cli.summary import print_rows

    conflicts = [
        f"{each.slot} (directions {each.directions:.2f}, distance {each.distance:.2f})"
        for each in found.preflight.conflicts
        if each.directions is not None
    ]
    proofs = [f"{each.largest:.2g} of {each.tolerance:.2g} tolerated" for each in found.same]
    rows = {
        "why": found.reason,
        "agree least": "\n".join(conflicts) or "nothing",
        "function": "after alignment off by at most " + ", ".join(proofs) if proofs else "nothing was aligned",
        "mended": found.mended,
        "notes": "\n".join(found.notes) or "none",
        "model": str(out or "not written"),
    }
    print_rows(found.verdict, rows)
