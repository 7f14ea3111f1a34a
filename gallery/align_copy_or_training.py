"""Is it a copy? A shuffled copy, a shuffled fine-tune and a training of its own, each aligned to one network.

Run ``python gallery/align_copy_or_training.py [FOLDER]``; it takes about 10 s and ends in FOLDER/align.html.
The default folder is gallery/out.

As they come, all three are as far from the network as chance. Aligned, the copy is the network itself, the fine-tune is
near, and the training of its own stays far though its leading singular directions agree more than before. Each is
proved to compute what it computed before it was aligned.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from digit_nets import LIKE, train, write
from safetensors.torch import load_file, save_file

import reknit
from reknit.report.charts import Chart, Panel, draw_chart
from reknit.report.formatting import number
from reknit.report.markup import el
from reknit.report.parts import Column, figure, section, table, text
from reknit.report.shell import page


def shuffled(tensors: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """The same function, its hidden units in another order; written by hand, so that nothing is taken on trust."""
    found, rng = dict(tensors), np.random.default_rng(seed)
    for layer in (0, 1):
        order = torch.from_numpy(rng.permutation(len(found[f"layers.{layer}.bias"])))
        for key in (f"layers.{layer}.weight", f"layers.{layer}.bias"):
            found[key] = found[key][order]
        found[f"layers.{layer + 1}.weight"] = found[f"layers.{layer + 1}.weight"][:, order].contiguous()
    return found


def main(folder: Path, epochs: int = 20) -> None:
    """Train, shuffle, align, draw."""
    first, apart = write(folder, (0, 1), epochs)
    network = load_file(first)
    save_file(shuffled(network, 0), folder / "copy.safetensors")
    save_file(shuffled(train(7, max(epochs // 10, 1), network), 1), folder / "tuned.safetensors")
    others = {
        "a shuffled copy": folder / "copy.safetensors",
        "a shuffled fine-tune": folder / "tuned.safetensors",
        "a training of its own": apart,
    }
    rows, panels = [], []
    for name, file in others.items():
        found = reknit.align(first, file, like=LIKE)
        (far, near), (before, after) = found.distance, found.directions
        rows.append([name, found.verdict, number(far, 3), number(near, 3), number(before, 3), number(after, 3)])
        distances = [each.distance for each in found.after]
        panels.append(Panel(name, "distance after", list(range(1, len(distances) + 1)), distances, mark="bars"))
        print(f"{name:<22} {found.verdict}; distance {far:.3g} before, {near:.3g} after")
    chart = Chart("Relative distance of each tensor after alignment", tuple(panels), "tensor", (0.5, 6.5))
    caption = "Tensors in the order of the network, weight and bias in turn; about 1.4 is unrelated, 0 is equal."
    columns = [Column("Second network"), Column("Same function"), Column("Distance before", "right")]
    columns += [Column(name, "right") for name in ("after", "Directions before", "after")]
    sections = [section("tensors", "Tensor by tensor", figure(draw_chart(chart), caption))]
    sections.append(section("networks", "All together", table("Before and after", columns, rows)))
    words = "The same verb tells a copy from a training of its own, by what is left once all bases are one."
    html = page("Is it a copy?", "reknit gallery", el("div", el("h1", "Is it a copy?"), text(words)), sections)
    (folder / "align.html").write_text(html, encoding="utf-8")
    print(f"drawn in {folder / 'align.html'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out")
