"""``reknit inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reknit.cli.terminal import print_json

if TYPE_CHECKING:
    from rich.table import Table

    from reknit.containers.inspect import Inspection


def inspect(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Containers, or folders of them.")],
    *,
    with_hash: Annotated[bool, typer.Option("--hash", help="Read everything and add SHA-256 hashes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> int:
    """List containers and their tensors, dtypes, shapes and sizes, from headers alone."""
    from reknit.containers.inspect import inspect as run

    inspection = run(paths, hash=with_hash)
    if as_json:
        print_json(inspection.as_json())
    else:
        _print(inspection, with_hash=with_hash)
    return 0


def _print(inspection: Inspection, *, with_hash: bool) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    table = _table(inspection, with_hash=with_hash)
    # a pipe has no width: let every row stand on one line, for the tools that read lines
    width = (
        None if console.is_terminal else console.measure(table, options=console.options.update(width=10_000)).maximum
    )
    console.print(table, width=width, crop=False, soft_wrap=width is not None)
    found = inspection
    containers = "container" if len(found.containers) == 1 else "containers"
    tensors = "tensor" if found.tensors == 1 else "tensors"
    total = f"{len(found.containers)} {containers}, {found.tensors:,} {tensors}, {found.parameters:,} numbers"
    typer.echo(f"{total}, {_size(found.nbytes)}")
    for error in found.others:
        typer.echo(f"not a container: {error.where}: {error.problem}")
    if with_hash:
        for container in found.containers:
            for file, digest in container.sha256:
                typer.echo(f"sha256 {digest}  {file}")


def _table(inspection: Inspection, *, with_hash: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("container", "tensor", "dtype", "shape"):
        table.add_column(name, overflow="fold")
    table.add_column("size", justify="right")
    if with_hash:
        table.add_column("sha256", overflow="fold")
    for container in inspection.containers:
        title = f"{container.path} ({container.format})"
        for tensor in container.tensors:
            shape = " x ".join(map(str, tensor.shape)) or "scalar"
            cells = [title, tensor.key, tensor.dtype, shape, _size(tensor.nbytes), tensor.sha256 or ""]
            # names are texts of others: shown as they are, never as markup
            table.add_row(*(Text(cell) for cell in cells[: 6 if with_hash else 5]))
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
