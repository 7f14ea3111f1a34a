"""Small networks, their layers as a stack, and piles of pieces on disk: what the tests of assembly share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import torch

from reknit.assembly.floor import Steps
from reknit.assembly.judge import Names
from reknit.assembly.problem import Problem
from reknit.network.activations import activation
from reknit.network.norms import norm
from reknit.network.residual_mlp import ResidualMLP
from reknit.network.spec import ResidualSpec
from reknit.network.stack import Arrangement, Stack
from reknit.puzzle.scatter import layer_keys
from reknit.puzzle.train import Trained, train_network


@dataclass(frozen=True)
class Net:
    """A network and what it answers: float32 inputs, answers recorded in float32 by torch's own layers."""

    model: ResidualMLP
    x: np.ndarray
    y: np.ndarray

    @property
    def stack(self) -> Stack:
        return stack_of_model(self.model)

    @property
    def truth(self) -> Arrangement:
        return identity(self.model.spec.blocks)

    @property
    def problem(self) -> Problem:
        return Problem(self.stack, self.x, self.y)


def identity(blocks: int) -> Arrangement:
    """In-layer k feeds out-layer k and both stand at position k."""
    return Arrangement(tuple(range(blocks)), tuple(range(blocks)))


def random_net(
    seed: int = 0,
    *,
    blocks: int = 6,
    width: int = 10,
    hidden: int = 14,
    outputs: int = 1,
    rows: int = 300,
    act: str = "relu",
    normed: str = "none",
    final: str = "none",
    size: float = 0.5,
) -> Net:
    """Random blocks whose branches are about ``size`` beside the stream; the global random state stays as it is."""
    spec = ResidualSpec(blocks, width, hidden, outputs, act, normed, final)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = ResidualMLP(spec).requires_grad_(False)
        for block in model.blocks:
            block.out.weight *= size * float(1 + torch.rand(())) * 2 / block.out.weight.norm()
            block.out.bias *= size
        x = torch.randn(rows, width)
    return Net(model, x.numpy(), model(x).numpy())


@cache
def trained(**options: object) -> Trained:
    """A trained network; every test that asks for the same one gets the same one."""
    small: dict[str, object] = {"blocks": 6, "width": 12, "hidden": 20, "epochs": 4, "data": "digits"}
    return train_network(**(small | options))


def trained_net(**options: object) -> Net:
    found = trained(**options)
    return Net(found.model, found.inputs.numpy(), found.outputs.numpy())


def stack_of_model(model: ResidualMLP) -> Stack:
    """The layers of a model, in-layer k and out-layer k at index k; a missing bias is zero."""
    tensors, spec = {key: value.numpy() for key, value in model.state_dict().items()}, model.spec

    def gather(part: str, size: int | None = None) -> np.ndarray:
        zero = None if size is None else np.zeros(size, np.float32)
        keys = [f"blocks.{k}.{part}" for k in range(spec.blocks)]
        return np.stack([tensors[key] if size is None else tensors.get(key, zero) for key in keys])

    return Stack(
        gather("in.weight"),
        gather("in.bias", spec.hidden),
        gather("out.weight"),
        gather("out.bias", spec.width),
        tensors["head.weight"],
        tensors.get("head.bias", np.zeros(spec.outputs, np.float32)),
        activation(spec.activation),
        norm(spec.norm),
        norm(spec.final_norm),
        spec.norm_eps,
    )


def model_of_stack(stack: Stack, arrangement: Arrangement) -> ResidualMLP:
    """The arrangement as a module, by torch's own layers: an oracle for what the stack computes by hand."""
    spec = ResidualSpec(
        len(arrangement),
        stack.width,
        stack.hidden,
        stack.outputs,
        stack.activation.name,
        stack.norm.name,
        stack.final_norm.name,
        stack.norm_eps,
    )
    tensors = {"head.weight": stack.head_weight, "head.bias": stack.head_bias}
    for k, (inner, outer) in enumerate(zip(arrangement.ins, arrangement.outs, strict=True)):
        tensors[f"blocks.{k}.in.weight"] = stack.in_weight[inner]
        tensors[f"blocks.{k}.in.bias"] = stack.in_bias[inner]
        tensors[f"blocks.{k}.out.weight"] = stack.out_weight[outer]
        tensors[f"blocks.{k}.out.bias"] = stack.out_bias[outer]
    return ResidualMLP.from_tensors(spec, tensors)


def answers(model: ResidualMLP, x: np.ndarray) -> np.ndarray:
    """What torch's own layers answer."""
    return model(torch.from_numpy(x)).numpy()


def relabelled(stack: Stack, ins: list[int], outs: list[int]) -> Stack:
    """The same layers under other numbers: what was in-layer ``ins[k]`` is now number k."""
    return Stack(
        stack.in_weight[ins],
        stack.in_bias[ins],
        stack.out_weight[outs],
        stack.out_bias[outs],
        stack.head_weight,
        stack.head_bias,
        stack.activation,
        stack.norm,
        stack.final_norm,
        stack.norm_eps,
    )


def _hash(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def names_of(stack: Stack, arrangement: Arrangement) -> Names:
    """``in0``, ``out0``, ... by number, with the content at each position."""
    return Names(
        [f"in{i}" for i in arrangement.ins],
        [f"out{j}" for j in arrangement.outs],
        [_hash(stack.in_weight[i], stack.in_bias[i]) for i in arrangement.ins],
        [_hash(stack.out_weight[j], stack.out_bias[j]) for j in arrangement.outs],
    )


def no_steps(net_or_stack: Net | Stack, noise: float = 0.0) -> Steps:
    """Nothing is known to be rounded; perhaps noise is stated."""
    stack = net_or_stack.stack if isinstance(net_or_stack, Net) else net_or_stack
    return Steps({}, np.zeros(stack.width), np.zeros(stack.outputs), noise)


def write_pieces(
    folder: Path, tensors: dict[str, torch.Tensor], spec: ResidualSpec, seed: int = 0, prefix: str = "piece_"
) -> list[str]:
    """One ``.pth`` a layer, numbered at random; returns the names in the true order: in, out, ..., head."""
    folder.mkdir(parents=True)
    keys = layer_keys(spec)
    names = [f"{prefix}{k}" for k in np.random.default_rng(seed).permutation(len(keys))]
    for name, key in zip(names, keys, strict=True):
        parts = {part: tensors[f"{key}.{part}"] for part in ("weight", "bias") if f"{key}.{part}" in tensors}
        torch.save({part: tensor.clone() for part, tensor in parts.items()}, folder / f"{name}.pth")
    return names


def write_table(path: Path, x: np.ndarray, y: np.ndarray, decimals: int | None = None) -> Path:
    """``input_*`` and ``pred`` or ``pred_*`` as CSV, with as many digits as float32 needs, or so many decimals."""
    columns = {f"input_{k}": x[:, k] for k in range(x.shape[1])}
    columns |= {"pred" if y.shape[1] == 1 else f"pred_{k}": y[:, k] for k in range(y.shape[1])}
    frame = pl.DataFrame(columns)
    if decimals is not None:
        frame = frame.with_columns(pl.all().cast(pl.Float64).round(decimals))
    frame.write_csv(path)
    return path


def write_net(folder: Path, net: Net, **options: object) -> list[str]:
    """``pieces`` and ``data.csv`` in a folder; returns the names in the true order."""
    names = write_pieces(folder / "pieces", net.model.state_dict(), net.model.spec, **options)
    write_table(folder / "data.csv", net.x, net.y)
    return names
