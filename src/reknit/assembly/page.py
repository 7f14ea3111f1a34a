"""An assembly as one self-contained HTML page: the verdict, what it rests on, how it was found, how to repeat it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from xml.etree.ElementTree import Element

from reknit.assembly.page_figures import branch_share, pairing_figure, search_figure, stream_figure
from reknit.assembly.page_glance import glance
from reknit.assembly.result import Assembly, Move
from reknit.containers.write import write_file
from reknit.plain import dumps
from reknit.report.formatting import count, number, plural, quantity, share
from reknit.report.markup import Child, el
from reknit.report.parts import Column, beside, copyable, folded, metered, part_of, section, table, tag, text
from reknit.report.run import run_parts, time_parts
from reknit.report.shell import page as shell

MOST_MOVES = 1000
"""Undecided moves that are listed; duplicated blocks can leave tens of thousands."""


def page(assembly: Assembly) -> str:
    """The page as text; the same assembly gives the same bytes."""
    sections = [
        section("evidence", "What it rests on", *_evidence(assembly)),
        section("pairing", "Pairing", pairing_figure(assembly)),
        section("search", "Search", search_figure(assembly), beside(_tried(assembly), time_parts(assembly.seconds))),
        section("stream", "Stream", stream_figure(assembly)),
        section("order", "Final order", *_order(assembly)),
        section("run", "Repeat this run", *run_parts(assembly.run)),
    ]
    title = f"{assembly.verdict}: {plural(assembly.spec.blocks, 'block')} reassembled"
    version = assembly.run.get("version")
    return shell(title, "reknit assemble", glance(assembly), sections, f"Written by reknit {version}.")


def write_page(assembly: Assembly, path: Path, *, force: bool = False) -> None:
    """Write the page.

    Raises:
        OutputError: something is there already and ``force`` is not given, or the place cannot be written.
    """
    write_file(path, page(assembly), force=force)


def _evidence(assembly: Assembly) -> list[Child]:
    evidence = assembly.evidence
    undecided = Counter[str](move.kind for move in assembly.undecided)
    kinds = list(dict.fromkeys([*evidence.moves, *evidence.rejected_z, *undecided]))
    rows: list[list[Child]] = []
    for kind in kinds:
        tested, left = evidence.moves.get(kind, 0), undecided[kind]
        smallest = evidence.rejected_z.get(kind)
        rejected = quantity(tested, f"all {count(tested)}")
        if left or not tested:
            rejected = el("span", quantity(tested - left), " of ", quantity(tested))
        rows.append([kind, rejected, quantity(left), quantity(smallest)])
    titles = ("Move", "Rejected", "Undecided", "Lowest rejected z")
    columns = [Column(title, "right" if k else "left") for k, title in enumerate(titles)]
    words = text(
        "A move is a small rearrangement: a swap of two neighbouring blocks, an insertion of one block elsewhere, an "
        "exchange of two out-pieces. The data reject it when they lie far enough from it, in standard errors (z)."
    )
    moves: Child = text("No moves were tested.", "quiet")
    if rows:
        moves = table(f"Moves held against the data, rejected from z = {number(evidence.level)} on", columns, rows)
    return [words, moves, *_undecided(assembly.undecided)]


def _undecided(moves: Sequence[Move]) -> list[Child]:
    if not moves:
        return []
    rows: list[list[Child]] = [
        [move.kind, _names(move.pieces), quantity(move.change), quantity(move.z)] for move in moves[:MOST_MOVES]
    ]
    columns = [Column("Move"), Column("Pieces"), Column("Change of the error", "right"), Column("z", "right")]
    caption = f"{plural(len(moves), 'move')} the data do not reject"
    if len(moves) > MOST_MOVES:
        caption += f"; the first {count(MOST_MOVES)} are listed, all of them are in assembly.json"
    return [el("h3", "Undecided"), table(caption, columns, rows, tall=True)]


def _tried(assembly: Assembly) -> list[Child]:
    if not assembly.evidence.tried:
        return []
    best = min((mse for _, mse in assembly.evidence.tried if math.isfinite(mse)), default=None)
    rows: list[list[Child]] = [
        [name, quantity(mse), tag("fits best", "exact") if mse == best else None]
        for name, mse in assembly.evidence.tried
    ]
    columns = [Column("Activation, norm"), Column("Mean squared error", "right"), Column("Note")]
    return [el("h3", "Activations and norms tried"), table("The best error of each", columns, rows, tall=True)]


def _order(assembly: Assembly) -> list[Child]:
    open_pieces = {name for move in assembly.undecided for name in move.pieces}
    noted = bool(open_pieces)
    head = assembly.order[2 * len(assembly.pairs) :]
    rows = [row if noted else row[:-1] for row in [*_block_rows(assembly, open_pieces), *map(_head_row, head)]]
    names = ("Block", "In-piece", "Out-piece", "Margin", "Branch rms", "Of the stream", "Note")
    columns = [Column(name, "right" if 3 <= k <= 5 else "left") for k, name in enumerate(names)]
    what = "piece names in order: in, out, in, out, …, head"
    return [
        text("The margin is the score of the pair minus its best rival's; the branch is what the block adds."),
        table(
            f"{plural(assembly.spec.blocks, 'block')} in final order",
            columns if noted else columns[:-1],
            rows,
            tall=True,
        ),
        folded("All names, to copy", copyable(dumps(assembly.order), what)),
    ]


def _block_rows(assembly: Assembly, open_pieces: Set[str]) -> Iterator[list[Child]]:
    branch = assembly.evidence.branch_rms
    widest = max((pair.margin for pair in assembly.pairs if math.isfinite(pair.margin)), default=0.0)
    largest = max((size for size in branch if math.isfinite(size)), default=0.0)
    for k, pair in enumerate(assembly.pairs):
        size = branch[k] if k < len(branch) else None
        yield [
            str(k),
            _name(pair.in_piece),
            _name(pair.out_piece),
            metered(quantity(pair.margin), part_of(pair.margin, widest)),
            metered(quantity(size), part_of(size, largest)),
            share(branch_share(assembly, k)),
            tag("undecided", "ambiguous") if {pair.in_piece, pair.out_piece} & open_pieces else None,
        ]


def _head_row(name: str) -> list[Child]:
    return ["head", _name(name), None, None, None, None, None]


def _name(piece: str) -> Element:
    return el("bdi", piece)


def _names(pieces: Sequence[str]) -> Element:
    last = len(pieces) - 1
    listed = (el("span", _name(piece), "," if k < last else None) for k, piece in enumerate(pieces))
    return el("span", *listed, class_="names")
