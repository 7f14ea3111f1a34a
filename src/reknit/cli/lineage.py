"""``reknit lineage``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reknit.cli import options
from reknit.cli.terminal import ProgressLine, print_json

if TYPE_CHECKING:
    from reknit.kinship.lineage import Lineage
    from reknit.kinship.relation import Relation

CANNOT_SAY = 3
MOST = 30
"""Pairs that are told one by one; of more the trees, the JSON and the report speak."""


def lineage(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILES...", help="Two or more checkpoints; one is enough with --db.")
    ],
    *,
    like: options.SkeletonIfKnown = None,
    example: options.Example = None,
    panel: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="An independent network of this kind; say it again for each. Needs --like."),
    ] = None,
    unused: Annotated[
        list[str] | None,
        typer.Option(metavar="TENSOR:ROWS", help="Rows that were never trained: embeddings.weight:1-10."),
    ] = None,
    vocab: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A vocab.txt that names such rows: \\[unused0], ...")
    ] = None,
    alpha: Annotated[
        float, typer.Option(metavar="P", help="A relation is settled below this p, corrected for all pairs.")
    ] = 0.001,
    db: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A DuckDB file that keeps what was found: one more file costs one round."),
    ] = None,
    nearest: Annotated[
        int, typer.Option(metavar="N", help="Full comparisons that a file asks for; few files are all compared.")
    ] = 12,
    report: options.Report = None,
    force: options.Force = False,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> int:
    """Say which checkpoints share an initialisation or descend from each other, with a p-value where one exists."""
    from reknit.kinship.lineage import lineage as run

    with ProgressLine() as show:
        found = run(
            files,
            like=like,
            input=example,
            panel=panel or (),
            unused=unused or (),
            vocab=vocab,
            alpha=alpha,
            db=db,
            nearest=nearest,
            seed=seed,
            report=report,
            force=force,
            progress=show.line,
        )
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)
    return 0 if found.decided else CANNOT_SAY


def _print(found: Lineage) -> None:
    if len(found.files) > 2:
        _print_families(found)
    for reason in found.left_out.values():
        typer.echo(f"left out: {reason}")
    told = found.relations if len(found.relations) <= MOST else found.related[:MOST]
    for number, relation in enumerate(told):
        if number:
            typer.echo("")
        _print_pair(relation)


def _print_families(found: Lineage) -> None:
    """The trees, a file a line; and of many pairs only the settled ones are told one by one."""
    from reknit.kinship.page import family_nodes
    from reknit.kinship.relation import short_names

    names = short_names(found.files)
    typer.echo(f"{len(found.relations)} of {found.possible} pairs compared in full, {len(found.related)} settled")
    for family in found.families:
        nodes = family_nodes(family, names)
        under: dict[int | None, list[int]] = {}
        for place, node in enumerate(nodes):
            under.setdefault(node.parent, []).append(place)
        ahead = [(place, 0) for place in reversed(under.get(None, []))]
        while ahead:
            place, depth = ahead.pop()
            node = nodes[place]
            sign = "" if node.parent is None else "-> " if node.arrow else "-- "
            typer.echo(f"{'   ' * depth}{sign}{node.label}  {node.note}".rstrip())
            ahead += [(child, depth + 1) for child in reversed(under.get(place, []))]
    typer.echo("")


def _print_pair(relation: Relation) -> None:
    from reknit.cli.summary import print_rows
    from reknit.kinship.concluding import p_in_words

    kinds = "  ".join(f"{kind} {p_in_words(p)}" for kind, p in relation.kinds.items())
    tested = len({each.where for each in relation.findings if each.tier == "exact"})
    rows = {
        "files": f"{relation.first}\n{relation.second}",
        "evidence": relation.label,
        "claim": relation.claim,
        "p by kind": kinds or "nothing was tested",
        "effect": f"{relation.effect:.1%} of the units have their counterpart "
        + (
            "in the same place"
            if relation.label != "calibrated"
            else "twice over: by what comes in and by what goes out"
        ),
        "inherited": f"{len(relation.inherited)} of {tested} groups of units: {_some(relation.inherited)}",
        "direction": f"{relation.direction.label}: {relation.direction.reason}"
        + (f"; first {relation.direction.parent}" if relation.direction.parent is not None else ""),
        "not tested": "\n".join(f"{each.where}: {each.reason}" for each in relation.voids[:5])
        + (f"\nand {len(relation.voids) - 5} more" if len(relation.voids) > 5 else "")
        or "nothing",
        "assumed": "\n".join(relation.assumptions),
    }
    print_rows(None, rows)


def _some(names: tuple[str, ...], most: int = 3) -> str:
    if not names:
        return "none"
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
