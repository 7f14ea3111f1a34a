"""``reknit inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reknit.cli import options
from reknit.cli.terminal import print_json

if TYPE_CHECKING:
    from rich.table import Table

    from reknit.containers.inspect import Inspection


def inspect(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Containers, or folders of them.")],
    *,
    with_hash: Annotated[bool, typer.Option("--hash", help="Read everything and add SHA-256 hashes.")] = False,
    as_json: options.AsJson = False,
) -> int:
    """List containers and their tensors, dtypes, shapes and sizes, from headers alone."""
    from reknit.containers.inspect import inspect as run

    inspection = run(paths, hash=with_hash)
    if as_json:
        print_json(inspection.as_json())
    else:
        _print(inspection)
    return 0


def _print(inspection: Inspection) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    table = _table(inspection)
    if not console.is_terminal:  # a pipe has no width: every row stands on one line, for the tools that read lines
        wide = console.options.update(width=10_000)
        console = Console(highlight=False, width=console.measure(table, options=wide).maximum)
    console.print(table)
    count = len(inspection.containers)
    containers = f"{count} container{'s' if count != 1 else ''}"
    tensors = f"{inspection.tensors:,} tensor{'s' if inspection.tensors != 1 else ''}"
    typer.echo(f"{containers}, {tensors}, {inspection.parameters:,} numbers, {_size(inspection.nbytes)}")
    for error in inspection.others:
        typer.echo(f"not a container: {error.where}: {error.problem}")
    for container in inspection.containers:
        for file, digest in container.sha256:
            typer.echo(f"sha256 {digest}  {file}")
        for tensor in container.tensors:
            if tensor.sha256 is not None:
                typer.echo(f"sha256 {tensor.sha256}  {tensor.file}  {tensor.key}")


def _table(inspection: Inspection) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("container", overflow="fold")
    for name in ("tensor", "dtype", "shape"):
        table.add_column(name, no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    for container in inspection.containers:
        title = f"{container.path} ({container.format})"
        for tensor in container.tensors:
            shape = " x ".join(map(str, tensor.shape)) or "scalar"
            dtype = f"{tensor.dtype} from {tensor.packing}" if tensor.packing else tensor.dtype
            cells = (title, tensor.key, dtype, shape, _size(tensor.nbytes))
            # names are texts of others: shown as they are, never as markup
            table.add_row(*map(Text, cells))
            title = ""
    return table


def _size(nbytes: int) -> str:
    """A size in bytes, for people."""
    size = float(nbytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
