"""``reknit path``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reknit.cli import options
from reknit.cli.terminal import ProgressLine, print_json

if TYPE_CHECKING:
    from reknit.match.path import Path as Line


def path(
    first: options.First,
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one of the same architecture.")],
    *,
    like: options.Skeleton,
    data: Annotated[Path, typer.Option(metavar="FILE", help="An npz file with inputs and targets.")],
    method: Annotated[str, typer.Option(metavar="NAME", help="weights, activations or rotation.")] = "weights",
    example: options.Example = None,
    places: Annotated[int, typer.Option(help="Places on the line, ends included.")] = 11,
    layers: Annotated[bool, typer.Option("--layers", help="Average each layer on its own too.")] = False,
    mend: options.Mend = "parents",
    seed: options.Seed = 0,
    report: options.Report = None,
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> int:
    """Loss and accuracy along the line between two networks, before and after alignment."""
    from reknit.match.path import path as run

    with ProgressLine() as show:
        found = run(
            first,
            second,
            like=like,
            data=data,
            method=method,
            input=example,
            places=places,
            layers=layers,
            mend=mend,
            seed=seed,
            report=report,
            force=force,
            progress=show.line,
        )
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)
    return 0


def _print(found: Line) -> None:
    from reknit.cli.summary import print_rows

    rows = {}
    for name, curve in found.curves.items():
        barrier, middle = curve.barrier(), len(curve.places) // 2
        accuracy = curve.accuracies
        right = "" if accuracy is None else f", accuracy {accuracy[0]:.3f} {accuracy[middle]:.3f} {accuracy[-1]:.3f}"
        losses = f"{curve.losses[0]:.3g} {curve.losses[middle]:.3g} {curve.losses[-1]:.3g}"
        rows[name] = f"barrier {barrier.value:.3g} ({barrier.low:.3g} to {barrier.high:.3g}); loss {losses}{right}"
    worst = sorted(found.layers, key=lambda each: -each.aligned.value)[:5]
    rows |= {
        f"layer {each.layer}": f"alone half way: {each.naive.value:.3g}, aligned {each.aligned.value:.3g}"
        for each in worst
    }
    rows["mended"] = found.mended
    curve = next(iter(found.curves.values()))
    middle = curve.places[len(curve.places) // 2]
    rows["rows"] = f"{found.rows}; of three numbers the middle one is at {middle:.2g} of the way"
    print_rows(None, rows)
