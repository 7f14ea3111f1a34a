"""``reknit couple``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reknit.cli.terminal import print_json

if TYPE_CHECKING:
    from reknit.skeleton.skeleton import Group, Skeleton


def couple(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="package.module:callable, a folder with config.json, or a built-in architecture (bert:layers=6).",
        ),
    ],
    *,
    input_shape: Annotated[
        str | None,
        typer.Option("--input", metavar="SHAPE", help="What one forward pass takes: 2x3x224x224, int:2x16."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the skeleton as one JSON object on stdout.")] = False,
) -> int:
    """Trace a network: which axes of its tensors run over the same units, and through what."""
    from reknit.skeleton.saved import as_json as as_plain
    from reknit.skeleton.verb import couple as run

    skeleton = run(model, input_shape=input_shape)
    if as_json:
        print_json(as_plain(skeleton))
    else:
        _print(skeleton)
    return 0


def _print(skeleton: Skeleton) -> None:
    """Groups with their reasons; those that are fixed and have one axis come last, by the reason they are fixed for."""
    alone: dict[str, list[str]] = {}
    for group in skeleton.groups:
        if group.fixed and len(group.members) == 1:
            axis = f"{group.members[0].slot}[{group.members[0].axis}]"
            alone.setdefault(group.fixed, []).append(f"{axis}: {_count(group.size, 'unit')}")
        else:
            _print_group(group)
    for reason, lines in alone.items():
        typer.echo("\n".join([f"fixed: {reason}", *(f"  {line}" for line in lines), ""]))
    for refusal in skeleton.refusals:
        place = f" in {refusal.where}" if refusal.where else ""
        typer.echo(
            f"not understood: {refusal.operation}{place}; fixed for it: {', '.join(refusal.groups) or 'nothing'}"
        )
    free = sum(not group.fixed for group in skeleton.groups)
    typer.echo(
        f"{skeleton.name}: {_count(len(skeleton.slots), 'slot')}, {_count(len(skeleton.groups), 'group')}; "
        f"{free} may be permuted, {len(skeleton.groups) - free} may not"
    )


def _print_group(group: Group) -> None:
    within = f", in each unit of {group.within}" if group.within else ""
    fixed = f"; fixed: {group.fixed}" if group.fixed else ""
    axes = len({(member.slot, member.axis) for member in group.members})
    typer.echo(f"{group.name}: {_count(group.size, 'unit')} on {_count(axes, 'axis', 'axes')}{within}{fixed}")
    for link in group.links:
        typer.echo(f"  {link.first} => {link.second} because {link.because or 'they are parts of one axis'}")
    typer.echo("")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
