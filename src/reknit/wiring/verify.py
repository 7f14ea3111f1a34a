"""``verify`` for a wired network: its saved tensors against recorded outputs it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reknit import __version__
from reknit.errors import InputError, TableError
from reknit.network.saved import MODEL_FILE, load_tensors, read_json
from reknit.skeleton.skeleton import Skeleton
from reknit.wiring.folder import ASSEMBLY_FILE
from reknit.wiring.load import like_of
from reknit.wiring.matching import match_shapes, without_effect
from reknit.wiring.options import WiringOptions
from reknit.wiring.pile import judged
from reknit.wiring.pools import Pool
from reknit.wiring.recorded import read_recorded
from reknit.wiring.result import Verdict
from reknit.wiring.verb import check_inputs
from reknit.wiring.write_up import residual_of


@dataclass(frozen=True)
class WiringVerification:
    """What other recorded outputs say of a wired network: the verdict as ``assemble`` would give it, and why.

    Attributes:
        verdict: ``exact``, ``consistent``, ``ambiguous`` or ``failed`` (docs/verdicts.md).
        reason: one sentence.
        residual: by tensor of the answer: ``mse``, ``max_abs``, ``tolerance``; how many numbers were compared, and
            how many labels are contradicted.
        undecided: sets of slots whose tensors may be exchanged without anything in this record against it.
        version: of reknit.
    """

    verdict: Verdict
    reason: str
    residual: Mapping[str, Any]
    undecided: tuple[tuple[str, ...], ...]
    version: str

    def as_json(self) -> dict[str, Any]:
        """What ``verify --json`` prints."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "residual": dict(self.residual),
            "undecided": [list(slots) for slots in self.undecided],
            "version": self.version,
        }


def verify_wiring(
    folder: Path, data: str | Path, *, link: str | None = None, noise: float | None = None
) -> WiringVerification:
    """Judge a wired network on a record it has not seen, by the same rules as ``assemble``.

    Nothing is searched: the tensors stay in their slots, and every exchange of two of a shape is tested.

    Args:
        folder: what ``assemble --out`` wrote.
        data: the record, as ``assemble`` takes it.
        link: what lies between the module's answer and the recorded outputs; None: what was told to ``assemble``, or
            found out.
        noise: standard deviation of noise on the recorded outputs; None: what was told to ``assemble``.

    Raises:
        InputError: the folder or the record cannot be used, or they do not fit each other.
    """
    import torch

    from reknit.skeleton.trace import trace
    from reknit.wiring.output_proof import prove

    told = read_json(folder / ASSEMBLY_FILE).get("run") or {}
    options = WiringOptions(
        link=told.get("link") if link is None else link, noise=told.get("noise") if noise is None else noise
    )
    like, tensors, record = like_of(folder), load_tensors(folder), read_recorded(data)
    if not record.outputs:
        raise TableError("has no array outputs (nor output_0, output_1, ...)", data, "Record the network's own answers")
    skeleton = trace(like.module, like.inputs, name=like.name)
    pools = _pools(skeleton, tensors, folder / MODEL_FILE)
    check_inputs(like, record)
    proof = prove(
        like.fillable(),
        pools,
        {key: torch.from_numpy(np.asarray(tensor, order="C")) for key, tensor in tensors.items()},
        {key: key for key in tensors},  # a tensor is known by its slot
        record.inputs,
        record.outputs,
        link=options.known_links,
        noise=options.noise or 0.0,
    )
    undecided = proof.free if proof.named else tuple(pool.slots for pool in pools if len(pool.slots) > 1)
    return WiringVerification(proof.verdict, proof.reason, residual_of(proof.floor), undecided, __version__)


def _pools(skeleton: Skeleton, tensors: Mapping[str, np.ndarray], path: Path) -> list[Pool]:
    """The saved tensors of each shape that may be exchanged with each other.

    Raises:
        InputError: the tensors are not those of the skeleton.
    """
    slots = {slot.key: slot for slot in skeleton.slots}
    missing = [key for key in slots if key not in tensors and not without_effect(skeleton, [key])]
    unknown = [key for key in tensors if key not in slots]
    other = [key for key in tensors if key in slots and tensors[key].shape != slots[key].shape]
    remedy = f"Let {skeleton.name} make the network that was wired, or assemble again with --force"
    for keys, fault in ((missing, "holds no tensor"), (unknown, "is no slot"), (other, "is of another shape there")):
        if keys:
            raise InputError(f"{keys[0]!r} {fault}: these are not the tensors of {skeleton.name}", path, remedy)
    shapes, dtypes = ({key: getattr(t, what) for key, t in tensors.items()} for what in ("shape", "dtype"))
    pools = match_shapes(skeleton, shapes, {key: dtype.name for key, dtype in dtypes.items()}, str(path))
    return judged(skeleton, pools, tensors.__getitem__)
