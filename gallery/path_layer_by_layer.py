"""Which layer costs most? The line between two trainings, whole and layer by layer, before and after alignment.

Run ``python gallery/path_layer_by_layer.py [FOLDER]``; it takes about 10 s and ends in FOLDER/layers.html.
The default folder is gallery/out.

Averaged whole and as they are, two networks make a bad one. Averaged one layer at a time, the layers that read and
write hidden units lose most, since their units stand in other orders: aligned, little of it is left.
"""

from __future__ import annotations

import sys
from pathlib import Path

from digit_nets import LIKE, write

import reknit


def main(folder: Path, epochs: int = 20) -> None:
    """Train, walk, draw."""
    files = write(folder, (0, 1), epochs)
    out = folder / "layers.html"
    line = reknit.path(*files, like=LIKE, data=folder / "left-out.npz", layers=True, report=out, force=True)
    for name, curve in line.curves.items():
        barrier, accuracy = curve.barrier(), curve.accuracies
        said = f"{barrier.value:.3f} ({barrier.low:.3f} to {barrier.high:.3f})"
        print(f"{name:<16} barrier {said}, accuracy half way {accuracy[len(accuracy) // 2]:.3f}")
    for each in line.layers:
        print(f"{each.layer:<16} alone half way {each.naive.value:.3f}, aligned {each.aligned.value:.3f}")
    print(f"drawn in {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out")
