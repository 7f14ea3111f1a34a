"""How many rows does a verdict take? Verify the right arrangement on tables with few rows, rounded more and less.

Run ``python gallery/how_rows_decide.py [FOLDER]``; it takes about 15 s and ends in FOLDER/rows.html.
The default folder is gallery/out.

The network is put back together from the whole table once. Then it is judged on the first 1, 2, 3, ... rows, with the
recorded answers (one output, standard deviation about 1) as they are and rounded to three, two and one decimals. Every
rearrangement that these rows cannot tell from the right one counts as undecided; with none left, a verdict still takes
rows enough to name an arrangement (docs/verdicts.md).
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

import reknit
from reknit.assembly.verify import Verification
from reknit.report.charts import Chart, Panel, Slice, draw_chart
from reknit.report.markup import el
from reknit.report.parts import Column, figure, section, table, text
from reknit.report.shell import page

ROWS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20)
ROUNDINGS = {"as recorded": None, "three decimals": 3, "two decimals": 2, "one decimal": 1}


def judged(folder: Path, data: pl.DataFrame, decimals: int | None) -> list[Verification]:
    """The verdict on the first rows of a table, for every number of rows."""
    if decimals is not None:
        data = data.with_columns(pl.col("^pred.*$").round(decimals))
    found = []
    for rows in ROWS:
        data.head(rows).write_csv(folder / "few.csv")
        found.append(reknit.verify(folder / "assembled", folder / "few.csv"))
    return found


def main(folder: Path) -> None:
    dropped = reknit.drop(folder / "network", blocks=8, width=16, hidden=32, data="friedman", epochs=4, force=True)
    whole = reknit.assemble(dropped.pieces, dropped.table, rows=300, out=folder / "assembled", force=True)
    moves = sum(whole.evidence.moves.values())
    print(f"all {whole.residual.rows} rows: {whole.verdict}, {moves} near rearrangements")

    data, lines, panels = pl.read_csv(dropped.table), [], []
    for name, decimals in ROUNDINGS.items():
        found = judged(folder, data, decimals)
        for rows, verification in zip(ROWS, found, strict=True):
            lines.append([name, str(rows), verification.verdict, str(len(verification.undecided))])
        undecided = [float(len(v.undecided)) for v in found]
        if any(undecided):
            panels.append(Panel(name.capitalize(), "undecided rearrangements", ROWS, undecided))
        good = [rows for rows, v in zip(ROWS, found, strict=True) if v.verdict in ("exact", "consistent")]
        print(f"{name:<14} decided from {min(good, default=f'more than {max(ROWS)}')} rows on")

    tips = tuple(
        Slice(rows - 0.5, rows + 0.5, f"{rows} rows: " + ", ".join(f"{p.y[k]:g} ({p.title})" for p in panels))
        for k, rows in enumerate(ROWS)
    )
    across = (0.0, max(ROWS) + 1.0)
    chart = Chart("Undecided rearrangements against rows", tuple(panels), "rows of the table", across, slices=tips)
    columns = [Column("answers"), Column("rows", "right"), Column("verdict"), Column("undecided", "right")]
    caption = "Rearrangements that the rows cannot tell from the right one, where there are any."
    html = page(
        "How rows decide",
        "reknit gallery",
        el("div", el("h1", "How many rows does a verdict take?"), text(f"{moves} near rearrangements of 8 blocks.")),
        [
            section("figure", "Undecided", figure(draw_chart(chart), caption)),
            section("verdicts", "Verdicts", table("Verdict on the first rows", columns, lines, tall=True)),
        ],
    )
    out = folder / "rows.html"
    out.write_text(html, encoding="utf-8")
    print(f"the figure is {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out")
