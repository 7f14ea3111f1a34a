"""``reknit launder``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reknit.cli.terminal import STATUS, ProgressLine, print_json

if TYPE_CHECKING:
    from reknit.changes.launder import Laundering
    from reknit.changes.laundering.key import Record


def launder(
    checkpoint: Annotated[Path, typer.Argument(metavar="A", help="A checkpoint; it stays as it is.")],
    *,
    how: Annotated[
        str,
        typer.Option(
            metavar="STEPS",
            help="Steps by comma, parameters behind colons: permute, scale, sign, rotate, cast:bf16, round:4:row, "
            "prune:0.5, low-rank:8:0.1, finetune:20, noise:0.5, shuffle, rename, transpose, fuse, split.",
        ),
    ],
    like: Annotated[
        str | None,
        typer.Option(metavar="SKELETON", help="package.module:callable, a folder with config.json, or a built-in one."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An npz file with inputs (and targets, for finetune).")
    ] = None,
    example: Annotated[
        str | None,
        typer.Option("--input", metavar="SHAPE", help="Example input of the skeleton: 1x3x224x224, int:1x16."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was done as JSON, with arrays as npz beside it.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write B as safetensors.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> int:
    """Make a checkpoint from another one by changes that keep its function, or nearly, with a key of what was done."""
    from reknit.changes.launder import launder as run

    with ProgressLine() as show:
        found = run(
            checkpoint,
            how,
            like=like,
            data=data,
            input=example,
            seed=seed,
            out=out,
            key=key,
            force=force,
            progress=show.line,
        )
    if as_json:
        print_json(found.as_json())
    else:
        _print(found, out, key)
    return STATUS[found.verdict]


def _print(found: Laundering, out: Path | None, key: Path | None) -> None:
    from reknit.cli.summary import print_rows

    rows = {
        "why": found.reason,
        "steps": "\n".join(_step(each, len(found.key.forms)) for each in found.key.steps),
        "proofs": "\n".join(f"{each.of}: {each.said}" for each in found.proofs),
        "model": str(out or "not written; --out FILE writes it"),
        "key": str(key or "not written; --key FILE writes it"),
    }
    print_rows(found.verdict, rows)


def _step(record: Record, tensors: int) -> str:
    """What a step did, and the first reason why it left something."""
    did = f"{len(record.changed)} of {tensors} tensors changed" if record.changed else "no number changed"
    groups = record.facts.get("groups", ())
    told = f", in {len(groups)} groups" if groups else ""
    left = next((f"; {name} left: {why}" for name, why in record.left.items()), "")
    return f"{record.said}: {did}{told}{left}"
