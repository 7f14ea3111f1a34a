"""``reknit align``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reknit.cli import options
from reknit.cli.terminal import STATUS, ProgressLine, print_json, resumable_beside

if TYPE_CHECKING:
    from reknit.match.align import Alignment


def align(
    first: options.First,
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one, to be brought into the basis of A.")],
    *,
    like: options.Skeleton,
    method: Annotated[
        str, typer.Option(metavar="NAME", help="weights, activations, rotation, straight-through or sinkhorn.")
    ] = "weights",
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An npz file with inputs (and targets, for what trains).")
    ] = None,
    example: options.Example = None,
    weighing: Annotated[
        str, typer.Option(metavar="NAME", help="Weights compared standardised, or plain as published.")
    ] = "standardised",
    scales: Annotated[
        bool, typer.Option("--scales", help="Look for factors and signs on units too; for the method weights.")
    ] = False,
    seed: options.Seed = 0,
    polar: Annotated[
        str, typer.Option(metavar="NAME", help="Polar factors of the method rotation: svd, cubic, quintic, ...")
    ] = "svd",
    polar_steps: Annotated[int, typer.Option(metavar="N", help="Steps of an inexact polar factor.")] = 10,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write B, aligned, as safetensors.")
    ] = None,
    resume: options.Resume = False,
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> int:
    """Bring a network into the basis of another one, and prove that it computes what it computed."""
    from reknit.match.align import align as run

    with resumable_beside(out), ProgressLine() as show:
        found = run(
            first,
            second,
            like=like,
            method=method,
            data=data,
            input=example,
            weighing=weighing,
            scales=scales,
            seed=seed,
            polar=polar,
            polar_steps=polar_steps,
            out=out,
            resume=resume,
            force=force,
            progress=show.line,
        )
    if as_json:
        print_json(found.as_json())
    else:
        _print(found, out)
    return STATUS[found.verdict]


def _print(found: Alignment, out: Path | None) -> None:
    from reknit.cli.summary import print_rows

    moved = sum(int((each.order != range(each.order.shape[1])).sum()) for each in found.symmetry.permutations)
    units = sum(each.order.size for each in found.symmetry.permutations)
    rows = {
        "why": found.reason,
        "moved": f"{moved} of {units} units in {len(found.symmetry.permutations)} groups",
        **({"turned": found.run["rotation"]["said"]} if "rotation" in found.run else {}),
        "distance": "{:.3g} before, {:.3g} after (0 equal, about 1.4 unrelated)".format(*found.distance),
        "directions": "{:.2f} before, {:.2f} after (leading singular directions: 1 agree)".format(*found.directions),
        "seconds": "  ".join(f"{stage} {seconds:.2f}" for stage, seconds in found.seconds.items()),
        "model": str(out or "not written; --out FILE writes it"),
    }
    print_rows(found.verdict, rows)
