"""``reknit verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from reknit.cli import options
from reknit.cli.terminal import STATUS, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reknit.assembly.result import Move


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What reknit assemble --out has written.")],
    *,
    data: Annotated[Path, typer.Option(metavar="FILE", help="Recorded inputs and outputs, as assemble takes them.")],
    target: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="The recorded outputs: a column or a pattern.")
    ] = None,
    inputs: Annotated[str | None, typer.Option(metavar="PATTERN", help="The recorded inputs.")] = None,
    link: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Outputs were recorded as identity, softmax, sigmoid, top-k or binary."),
    ] = None,
    noise: Annotated[float | None, typer.Option(metavar="SD", help="Known noise of the recorded outputs.")] = None,
    as_json: options.AsJson = False,
) -> int:
    """Hold an assembled network against data it has not seen."""
    from reknit.assembly.verify import verify as run
    from reknit.cli.summary import answers_text, print_rows, residual_text, slots_text, undecided_text

    verification = run(folder, data, target=target, inputs=inputs, link=link, noise=noise)
    content = verification.as_json()
    if as_json:
        print_json(content)
        return STATUS[verification.verdict]
    residual = content["residual"]
    if "rows" in residual:  # a table has rows, and moves may be left; of a wired network slots may be
        error, undecided = residual_text(residual), undecided_text(cast("Sequence[Move]", verification.undecided))
    else:
        error, undecided = answers_text(residual), slots_text(content["undecided"])
    print_rows(verification.verdict, {"why": verification.reason, "residual": error, "undecided": undecided})
    return STATUS[verification.verdict]
