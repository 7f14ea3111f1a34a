"""``reknit merge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reknit.cli import options
from reknit.cli.terminal import STATUS, ProgressLine, print_json, resumable_beside
from reknit.errors import UsageError

if TYPE_CHECKING:
    from reknit.match.merge import Merge


def merge(
    networks: Annotated[
        list[Path], typer.Argument(metavar="A B [C...]", help="Checkpoints of one architecture; they stay as they are.")
    ],
    *,
    like: options.Skeleton,
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
    mend: options.Mend = "parents",
    no_mend: Annotated[bool, typer.Option("--no-mend", help="The same as --mend none.")] = False,
    example: options.Example = None,
    seed: options.Seed = 0,
    plan: Annotated[bool, typer.Option("--plan", help="Say what is foreseen, and write nothing.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the merged network as safetensors.")
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Write it although it should not work.")] = False,
    resume: options.Resume = False,
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> int:
    """Merge networks: look ahead, bring them into one basis, average, set statistics right."""
    from reknit.match.merge import judged
    from reknit.match.merge_options import MergeOptions
    from reknit.match.merging import merged

    asked = MergeOptions(
        like=like,
        data=data,
        method=method,
        weights=None if weights is None else _numbers(weights, "--weights"),
        by_slot=dict(_layer(each) for each in layer or ()),
        decay=decay,
        steps=None if steps is None else [int(step) for step in _numbers(steps, "--steps")],
        mend="none" if no_mend else mend,
        answers=answers,
        star=star,
        input_shape=example,
        seed=seed,
    )
    place = None if plan else out
    with resumable_beside(place), ProgressLine() as show:
        found = judged(merged(networks, asked, out=place, resume=resume, force=force, progress=show.line))
        written = place is not None and (anyway or found.verdict != "failed")
        if place is not None and written:
            found.save(place, force=force, anyway=anyway)
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
