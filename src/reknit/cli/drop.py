"""``reknit drop``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reknit.cli import options
from reknit.cli.terminal import ProgressLine, print_json


def drop(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write; the answer goes beside it.")],
    *,
    blocks: Annotated[int, typer.Option(help="Residual blocks.")] = 24,
    width: Annotated[int, typer.Option(help="Size of the stream.")] = 64,
    hidden: Annotated[int, typer.Option(help="Size inside a block.")] = 128,
    activation: Annotated[str, typer.Option(metavar="relu|gelu|silu|tanh", help="Between in and out.")] = "relu",
    norm: Annotated[str, typer.Option(metavar="none|layer|rms", help="Before each block and the head.")] = "none",
    data: Annotated[str, typer.Option(metavar="digits|diabetes|friedman", help="What it learns.")] = "digits",
    epochs: Annotated[int, typer.Option(help="Passes over the data; 0 leaves it untrained.")] = 20,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a network and scatter it: OUT/pieces/, OUT/data.csv and, apart from them, OUT.key.json."""
    from reknit.puzzle.verb import drop as run

    with ProgressLine() as show:
        dropped = run(
            out,
            blocks=blocks,
            width=width,
            hidden=hidden,
            activation=activation,
            norm=norm,
            data=data,
            epochs=epochs,
            seed=seed,
            force=force,
            on_epoch=lambda epoch, loss: show.line("train", f"epoch {epoch} of {epochs}", f"loss {loss:.4g}"),
        )
    if as_json:
        print_json(dropped.as_json())
        return
    typer.echo(f"trained  {blocks} blocks on {data}: loss {dropped.loss_before:.4g} -> {dropped.loss_after:.4g}")
    typer.echo(f"pieces   {dropped.pieces} ({len(dropped.order)} files)")
    typer.echo(f"data     {dropped.table} ({dropped.rows} rows)")
    typer.echo(f"answer   {dropped.key}")
