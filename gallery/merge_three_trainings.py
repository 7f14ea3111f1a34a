"""Three networks trained apart, merged in several ways: what was foreseen without labels, and what came out.

Run ``python gallery/merge_three_trainings.py [FOLDER]``; it takes about 10 s and ends in FOLDER/merge.html.
The default folder is gallery/out.

``merge`` says beforehand what it expects of the average, from inputs alone. Then the labels of digits that nobody was
trained on say what it is worth. Both should rank the ways alike.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from digit_nets import LIKE, TRAINED_ON, digits, write
from safetensors.torch import load_file
from torch.nn import functional

import reknit
from reknit.report.charts import Chart, Panel, draw_chart
from reknit.report.formatting import number
from reknit.report.markup import el
from reknit.report.parts import Column, figure, section, table, text
from reknit.report.shell import page

WAYS = {
    "as they are": {"method": "none", "mend": False},
    "as they are, mended": {"method": "none"},
    "by weights": {"method": "weights", "mend": False},
    "by weights, mended": {"method": "weights"},
    "by activations, mended": {"method": "activations"},
}


def judged(file: Path) -> tuple[float, float]:
    """Loss and accuracy on the digits that were left out, by plain torch."""
    net, (x, y) = load_file(file), digits()
    x, y = x[TRAINED_ON:], y[TRAINED_ON:]
    for layer in range(3):
        x = functional.linear(x, net[f"layers.{layer}.weight"], net[f"layers.{layer}.bias"])
        x = torch.relu(x) if layer < 2 else x
    return float(functional.cross_entropy(x, y)), float((x.argmax(1) == y).double().mean())


def main(folder: Path, epochs: int = 20) -> None:
    """Train, merge in every way, draw."""
    files = write(folder, (0, 1, 2), epochs)
    ends = [judged(file)[0] for file in files]
    rows, foreseen, measured = [], [], []
    for name, options in WAYS.items():
        out = folder / "merged.safetensors"
        data = folder / "inputs.npz"
        found = reknit.merge(files, like=LIKE, data=data, out=out, force=True, anyway=True, **options)
        loss, accuracy = judged(out)
        ahead = found.preflight.barrier
        foreseen.append(ahead.value)
        measured.append(loss - sum(ends) / len(ends))
        interval = f"{number(ahead.value, 3)} ({number(ahead.low, 3)} to {number(ahead.high, 3)})"
        rows.append([name, found.preflight.outlook, interval, number(measured[-1], 3), number(accuracy, 3)])
        print(f"{name:<24} {found.preflight.outlook:<16} foreseen {interval}, measured {measured[-1]:.3f}")
    places = list(range(1, len(WAYS) + 1))
    panels = [Panel("foreseen", "without labels", places, foreseen, mark="bars")]
    panels.append(Panel("measured", "on digits left out", places, measured, mark="bars"))
    chart = Chart("Excess loss of the merged network", tuple(panels), "way of merging", (0.5, len(WAYS) + 0.5))
    columns = [Column("Way"), Column("Outlook"), Column("Foreseen, 95 %", "right"), Column("Measured", "right")]
    columns.append(Column("Accuracy", "right"))
    caption = "In nats, over the mean of the three networks; the ways in the order of the table."
    sections = [section("barrier", "Foreseen and measured", figure(draw_chart(chart), caption))]
    sections.append(section("ways", "Way by way", table("Three networks merged", columns, rows)))
    words = "What is foreseen needs inputs alone; the labels were kept for the last two columns."
    html = page("Three into one", "reknit gallery", el("div", el("h1", "Three into one"), text(words)), sections)
    (folder / "merge.html").write_text(html, encoding="utf-8")
    print(f"drawn in {folder / 'merge.html'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out")
