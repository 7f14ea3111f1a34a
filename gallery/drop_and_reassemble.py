"""Drop a network, put it back together, compare with the answer, and draw how it was found.

Run ``python gallery/drop_and_reassemble.py [FOLDER]``; it takes about 15 s and ends in FOLDER/report.html.
The default folder is gallery/out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import reknit


def main(folder: Path) -> None:
    dropped = reknit.drop(folder / "network", blocks=12, epochs=10, seed=1, force=True)
    print(f"trained and scattered {dropped.spec.blocks} blocks: {len(dropped.order)} pieces in {dropped.pieces}")

    found = reknit.assemble(dropped.pieces, dropped.table, out=folder / "assembled", force=True)
    print(f"{found.verdict}: {found.reason}")

    # the key was never read by assemble
    answer = json.loads(dropped.key.read_text(encoding="utf-8"))["order"]
    print(f"the order is that of the key: {list(found.order) == answer}")

    model = reknit.load(folder / "assembled")
    print(f"a working module of {sum(p.numel() for p in model.parameters()):,} numbers")

    report = folder / "report.html"
    found.report(report, force=True)
    print(f"the report is {report}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out")
