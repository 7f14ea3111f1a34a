"""``verify``: an assembled network against data it has not seen."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import reknit
from reknit.assembly.floor import Steps
from reknit.assembly.folder import load_assembly
from reknit.assembly.judge import Names, judge
from reknit.assembly.options import refuse_foreign
from reknit.assembly.result import Move, Residual, Verdict
from reknit.assembly.threads import blas_threads
from reknit.containers.table import read_table
from reknit.errors import TableError
from reknit.network.activations import activation
from reknit.network.norms import norm
from reknit.network.stack import Arrangement, Stack
from reknit.wiring.load import is_wired

if TYPE_CHECKING:
    from reknit.wiring.verify import WiringVerification


@dataclass(frozen=True)
class Verification:
    """What other data say of an assembled network: the verdict as ``assemble`` would give it, and why."""

    verdict: Verdict
    reason: str
    residual: Residual
    undecided: tuple[Move, ...]
    version: str

    def as_json(self) -> dict[str, Any]:
        """What ``verify --json`` prints."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "residual": asdict(self.residual),
            "undecided": [asdict(move) | {"pieces": list(move.pieces)} for move in self.undecided],
            "version": self.version,
        }


def verify(
    folder: str | Path,
    data: str | Path,
    *,
    target: str | None = None,
    inputs: str | None = None,
    link: str | None = None,
    noise: float | None = None,
) -> Verification | WiringVerification:
    """Judge an assembled network on data it has not seen, by the same rules as ``assemble``.

    Noise stated to ``assemble`` and the rounding of its pieces count here too: the floor found there is allowed for.

    Args:
        folder: what ``assemble --out`` wrote: a residual MLP, or a network wired into a skeleton.
        data: the table; of a wired network the record (npz, safetensors), as ``assemble`` takes it.
        target: recorded output columns; None: ``pred``, else ``pred_*``. Of a residual MLP, like ``inputs``.
        inputs: input columns; None: all others but ``pred*`` and ``true*``.
        link: what lies between a wired network's answer and the recorded outputs; None: what was told to ``assemble``,
            or found out.
        noise: standard deviation of noise on the recorded outputs of a wired network; None: what was told to
            ``assemble``.

    Raises:
        InputError: the folder or the data cannot be used, or they do not fit each other.
        UsageError: an option goes with the other kind of network.
    """
    if is_wired(Path(folder)):
        refuse_foreign({"--target": target, "--inputs": inputs}, "it goes with a residual MLP and its data table")
        from reknit.wiring.verify import verify_wiring

        return verify_wiring(Path(folder), data, link=link, noise=noise)
    refuse_foreign({"--link": link, "--noise": noise}, "it goes with a network wired into a skeleton")
    return _verify_mlp(Path(folder), data, target, inputs)


def _verify_mlp(folder: Path, data: str | Path, target: str | None, inputs: str | None) -> Verification:
    assembly = load_assembly(folder)
    table = read_table(data, target=target, inputs=inputs)
    spec = assembly.spec
    for what, found, wanted in (
        ("inputs", table.inputs.shape[1], spec.width),
        ("outputs", table.outputs.shape[1], spec.outputs),
    ):
        if found != wanted:
            flag = "--inputs" if what == "inputs" else "--target"
            raise TableError(
                f"has {found} {what}, but the network has {wanted}", table.path, f"Choose the columns with {flag}"
            )
    stack = _stack(assembly.tensors, assembly.spec)
    # what disturbed the outputs there (noise, dtype of the pieces), as one standard deviation
    parts = {k: v for k, v in assembly.run.get("floor", {}).items() if k in ("stated noise", "dtype of the pieces")}
    steps = Steps({}, table.input_step, table.output_step, float(np.sqrt(sum(parts.values()))))
    n = spec.blocks
    content = [_content(assembly.tensors, f"blocks.{k}.{kind}") for kind in ("in", "out") for k in range(n)]
    names = Names(assembly.order[0 : 2 * n : 2], assembly.order[1 : 2 * n : 2], content[:n], content[n:])
    arrangement = Arrangement(tuple(range(n)), tuple(range(n)))
    x, y = (np.ascontiguousarray(part) for part in (table.inputs, table.outputs))
    # another table may be far from what the network was made for
    with blas_threads(spec.width * spec.hidden), np.errstate(over="ignore", invalid="ignore"):
        found_here = judge(stack, x, y, arrangement, steps, names)
    return Verification(
        found_here.verdict, found_here.reason, found_here.residual, found_here.undecided, reknit.__version__
    )


def _content(tensors: Any, key: str) -> str:
    """A hash of a layer's shape, weight and bias."""
    weight, bias = tensors[f"{key}.weight"], tensors.get(f"{key}.bias")
    digest = hashlib.sha256(f"{tuple(weight.shape)};{bias is None};".encode())
    digest.update(weight.tobytes())
    digest.update(b"" if bias is None else bias.tobytes())
    return digest.hexdigest()


def _stack(tensors: Any, spec: Any) -> Stack:
    """The state dict as stacked float32 arrays; a missing bias is zero."""

    def gather(kind: str, part: str, *shape: int) -> np.ndarray:
        zero = np.zeros(shape)
        return np.stack([tensors.get(f"blocks.{k}.{kind}.{part}", zero) for k in range(spec.blocks)]).astype(np.float32)

    return Stack(
        gather("in", "weight", spec.hidden, spec.width),
        gather("in", "bias", spec.hidden),
        gather("out", "weight", spec.width, spec.hidden),
        gather("out", "bias", spec.width),
        tensors["head.weight"].astype(np.float32),
        tensors.get("head.bias", np.zeros(spec.outputs)).astype(np.float32),
        activation(spec.activation),
        norm(spec.norm),
        norm(spec.final_norm),
        spec.norm_eps,
    )
