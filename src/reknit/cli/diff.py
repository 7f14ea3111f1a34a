"""``reknit diff``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reknit.cli import options
from reknit.cli.terminal import ProgressLine, print_json

if TYPE_CHECKING:
    from reknit.changes.found import Diff

STATUS = {"exact": 0, "consistent": 0, "cannot say": 3}


def diff(
    first: options.First,
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one; its names need not be A's.")],
    *,
    like: options.SkeletonIfKnown = None,
    example: options.Example = None,
    seed: options.Seed = 0,
    report: options.Report = None,
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> int:
    """Name what makes B of A, layer by layer: orders, factors, casts, roundings, zeros, low-rank changes, drift."""
    from reknit.changes.diff import diff as run

    with ProgressLine() as show:
        found = run(first, second, like=like, input=example, seed=seed, report=report, force=force, progress=show.line)
    if as_json:
        print_json(found.as_json())
    else:
        _print(found, report)
    return STATUS[found.verdict]


def _print(found: Diff, report: Path | None) -> None:
    from reknit.cli.summary import print_rows

    rows = {each.name: each.words for each in found.layers}
    rows["notes"] = "\n".join(found.notes) or "none"
    rows["left aside"] = (
        " and ".join(f"{len(names)} of {which}" for which, names in zip("AB", found.aside, strict=True) if names)
        or "nothing"
    )
    rows["seconds"] = "  ".join(f"{stage} {seconds:.2f}" for stage, seconds in found.seconds.items())
    if report is not None:
        rows["page"] = str(report)
    print_rows(found.verdict, {"whole": found.sentence, **rows})
