"""Options that several verbs have, each spelled once: an annotated type for the signature of a verb."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_SKELETON = typer.Option(
    "--like", metavar="SKELETON", help="package.module:callable, a folder with config.json, or a built-in one."
)
Skeleton = Annotated[str, _SKELETON]
SkeletonIfKnown = Annotated[str | None, _SKELETON]
Example = Annotated[
    str | None,
    typer.Option("--input", metavar="SHAPE", help="Example input of the skeleton: 1x3x224x224, int:1x16."),
]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same answer.")]
Report = Annotated[Path | None, typer.Option("--report", metavar="FILE.html", help="Draw it as one page.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint beside --out, where it trains.")]
First = Annotated[Path, typer.Argument(metavar="A", help="A checkpoint; it stays as it is.")]
Mend = Annotated[
    str,
    typer.Option(
        "--mend",
        metavar="RULE",
        help="How statistics are set right: parents (channels vary as theirs do), batch (estimated again) or none.",
    ),
]
