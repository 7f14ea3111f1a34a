"""``reknit launder``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reknit.cli import options
from reknit.cli.terminal import STATUS, ProgressLine, print_json

if TYPE_CHECKING:
    from reknit.changes.launder import Laundering
    from reknit.changes.laundering.key import Record


def launder(
    checkpoint: options.First,
    *,
    how: Annotated[
        str,
        typer.Option(
            metavar="STEPS",
            help="Steps by comma, parameters behind colons: permute, scale, sign, rotate, cast:bf16, round:4:row, "
            "prune:0.5, low-rank:8:0.1, finetune:20, noise:0.5, shuffle, rename, transpose, fuse, split.",
        ),
    ],
    like: options.SkeletonIfKnown = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An npz file with inputs (and targets, for finetune).")
    ] = None,
    example: options.Example = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was done as JSON, with arrays as npz beside it.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write B as safetensors.")] = None,
    force: options.Force = False,
    as_json: options.AsJson = False,
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
