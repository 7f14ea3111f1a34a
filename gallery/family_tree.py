"""Two networks and what was made of them, seven files without a word: lineage finds both families, and draws them.

Run ``python gallery/family_tree.py [FOLDER]``; it takes about 10 s and ends in FOLDER/families.html.
The default folder is gallery/out.

Of the first network there is a copy with its units in another order, a fine-tune of that copy, and the fine-tune in 16
bits; of the second one a pruned child and a rounded one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from digit_nets import LIKE, train, write
from safetensors.torch import load_file, save_file

import reknit


def main(folder: Path, epochs: int = 8) -> None:
    """Train, make children, ask who comes from whom."""
    roots = write(folder, (0, 1), epochs)
    made = {name: folder / f"{name}.safetensors" for name in ("moved", "tuned", "half", "pruned", "rounded")}
    reknit.launder(roots[0], "permute", like=LIKE, out=made["moved"], force=True)
    save_file(train(2, 1, start=load_file(made["moved"])), made["tuned"])
    reknit.launder(made["tuned"], "cast:bf16:kept", out=made["half"], force=True)
    reknit.launder(roots[1], "prune:0.5", out=made["pruned"], force=True)
    reknit.launder(roots[1], "round:8:row", out=made["rounded"], force=True)

    found = reknit.lineage([*roots, *made.values()], like=LIKE, report=folder / "families.html", force=True)
    for family in found.families:
        print("a family of " + ", ".join(found.files[member].stem for member in family.members))
        for edge in family.edges:
            known = "gave" if edge.direction == "decided" else "is next to"
            print(f"   {found.files[edge.parent].stem} {known} {found.files[edge.child].stem}")
    print(f"drawn in {folder / 'families.html'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out")
