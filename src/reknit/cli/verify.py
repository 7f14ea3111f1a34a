"""``reknit verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reknit.cli.terminal import STATUS, print_json


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What reknit assemble --out has written.")],
    *,
    data: Annotated[Path, typer.Option(metavar="FILE", help="A table of recorded inputs and outputs.")],
    target: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="The recorded outputs: a column or a pattern.")
    ] = None,
    inputs: Annotated[str | None, typer.Option(metavar="PATTERN", help="The recorded inputs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> int:
    """Hold an assembled network against data it has not seen."""
    from reknit.assembly.verify import verify as run
    from reknit.cli.summary import print_rows, residual_text, undecided_text

    verification = run(folder, data, target=target, inputs=inputs)
    content = verification.as_json()
    if as_json:
        print_json(content)
    else:
        rows = {
            "why": verification.reason,
            "residual": residual_text(content["residual"]),
            "undecided": undecided_text(verification.undecided),
        }
        print_rows(verification.verdict, rows)
    return STATUS[verification.verdict]
