"""One wiring in a process of its own, so that its memory can be told: ``python -m bench.wire_once REQUEST``.

REQUEST is a JSON object: ``pile``, ``data`` (or null), ``like``, ``seed``, ``budget``, and what evidence weighs, for
matrices in ``evidence`` and for vectors in ``vectors`` (a file each, or null for what reknit comes with). Prints one
JSON object: verdict, reason, placement, the slots that are certain, seconds, and memory in bytes: ``before`` the
wiring, with everything imported, and at its ``peak``. What reknit refuses is told as ``refused``.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

from reknit.errors import ReknitError
from reknit.skeleton import like, trace  # noqa: F401  loaded now: memory before the wiring is that of the libraries
from reknit.wiring import output_placement, weights_placement  # noqa: F401
from reknit.wiring.learned import Learned, from_json
from reknit.wiring.options import WiringOptions
from reknit.wiring.verb import wire


def peak_bytes() -> int:
    """The most memory this process has held; ``ru_maxrss`` would be the parent's, where that held more."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    if found:
        return int(found[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def run(request: dict[str, Any]) -> dict[str, Any]:
    """The wiring that was asked for."""
    evidence = request["evidence"] and from_json(json.loads(Path(request["evidence"]).read_text(encoding="utf-8")))
    if request["vectors"]:  # the verb has no argument for them
        weights = json.loads(Path(request["vectors"]).read_text(encoding="utf-8"))
        with mock.patch.object(weights_placement, "vector_weights", return_value=weights):
            return wired(request, evidence)
    return wired(request, evidence)


def wired(request: dict[str, Any], evidence: Learned | None) -> dict[str, Any]:
    """The answer, or the refusal."""
    options = WiringOptions(like=request["like"], seed=request["seed"], budget=request["budget"])
    before = peak_bytes()
    started = time.perf_counter()
    try:
        wiring = wire(request["pile"], request["data"], options, evidence=evidence)
    except ReknitError as error:
        return {"refused": " ".join(str(error).split())}
    return {
        "verdict": wiring.verdict,
        "reason": wiring.reason,
        "placement": wiring.placement,
        "certain": [placed.slot for placed in wiring.slots if placed.certain],
        "seconds": time.perf_counter() - started,
        "stages": dict(wiring.seconds),
        "before": before,
        "peak": peak_bytes(),
    }


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
