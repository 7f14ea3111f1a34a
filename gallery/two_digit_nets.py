"""Two networks trained apart on digits: aligned, looked at beforehand, merged, and what lies between them.

Run ``python gallery/two_digit_nets.py [FOLDER]``; it takes about 20 s and ends in FOLDER/path.html.
The default folder is gallery/out.

Half way between the two networks as they are, accuracy falls; in one basis it hardly does. The page of ``path`` draws
it before and after alignment, with statistics as averaging leaves them and set right.
"""

from __future__ import annotations

import sys
from pathlib import Path

from digit_nets import LIKE, write

import reknit


def main(folder: Path, epochs: int = 20) -> None:
    """Train, align, merge, draw."""
    files = write(folder, (0, 1), epochs)
    aligned = reknit.align(*files, like=LIKE, out=folder / "aligned.safetensors", force=True)
    print(f"align: {aligned.verdict}; {aligned.reason}")
    print("       leading singular directions agree by {:.2f} before and {:.2f} after".format(*aligned.directions))
    for method in ("none", "weights"):
        found = reknit.merge(files, like=LIKE, data=folder / "inputs.npz", method=method, plan=True)
        print(f"merge, aligned by {method}: {found.verdict}; {found.reason}")
    data, merged = folder / "inputs.npz", folder / "merged.safetensors"
    reknit.merge(files, like=LIKE, data=data, out=merged, force=True, anyway=True)
    line = reknit.path(*files, like=LIKE, data=folder / "left-out.npz", report=folder / "path.html", force=True)
    for name, curve in line.curves.items():
        barrier = curve.barrier()
        print(f"path, {name}: barrier {barrier.value:.3f} ({barrier.low:.3f} to {barrier.high:.3f})")
    print(f"drawn in {folder / 'path.html'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out")
