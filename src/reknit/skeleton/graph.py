"""A module as a graph of torch's own operations, and what its inputs are: slots, constants, data."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from reknit.errors import InputError

Inputs = Sequence[Any] | Mapping[str, Any]
CHECKED = 1_000_000
"""Constants with more entries are not searched for axes along which nothing varies."""


def export(module: nn.Module, inputs: Inputs) -> ExportedProgram:
    """The forward pass in evaluation, with linear layers, convolutions, norms and attention whole.

    ``torch.export`` without its compiler of bytecode (``strict=False``) and without decompositions: 1.8 s for BERT of
    12 layers on the meta device, where nothing is computed.

    Args:
        module: anything ``torch.export`` can follow; on the meta device or another.
        inputs: example arguments, by place or by name.

    Raises:
        InputError: ``torch.export`` cannot follow the forward pass.
    """
    args, kwargs = ((), dict(inputs)) if isinstance(inputs, Mapping) else (tuple(inputs), {})
    try:
        with _as_evaluated(module), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(module, args, kwargs, strict=False)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(
            f"torch.export cannot follow its forward pass: {reason}",
            type(module).__name__,
            "Check the shape of the example input; branches on the data have to be rewritten",
        ) from error


def without_mutation(program: ExportedProgram) -> ExportedProgram:
    """The same with copies in place of every tensor that was written to; it takes as long as the export."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        functional: ExportedProgram = program.run_decompositions({})
    return functional


@contextmanager
def _as_evaluated(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, and attention layer by layer instead of torch's fused fast path; put back afterwards."""
    trained = [each for each in module.modules() if each.training]
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    for each in trained:
        each.training = False
    try:
        yield
    finally:
        for each in trained:
            each.training = True
        torch.backends.mha.set_fastpath_enabled(fast)


def tied(module: nn.Module) -> dict[str, list[str]]:
    """Key of the state dict -> all keys under which the very same tensor is kept, by the first of them."""
    keys: dict[int, list[str]] = {}
    for key, tensor in module.state_dict(keep_vars=True).items():
        if isinstance(tensor, Tensor):
            keys.setdefault(id(tensor), []).append(key)
    return {names[0]: names for names in keys.values()}


def placeholders(program: ExportedProgram) -> dict[str, tuple[str, Any]]:
    """Placeholder -> what it stands for.

    Returns:
        ``("slot", key)``, ``("constant", tensor or None)``, or ``("input", None)``.
    """
    found: dict[str, tuple[str, Any]] = {}
    for spec in program.graph_signature.input_specs:
        name = spec.arg.name
        if spec.kind is InputKind.PARAMETER or (spec.kind is InputKind.BUFFER and spec.persistent):
            found[name] = ("slot", spec.target)
        elif spec.kind is InputKind.USER_INPUT:
            found[name] = ("input", None)
        else:
            held = program.constants.get(spec.target or "")
            found[name] = ("constant", held if isinstance(held, Tensor) else None)
    return found


def varies(tensor: Tensor | None, shape: Sequence[int]) -> list[bool]:
    """Along which axes the entries of a constant differ; where its numbers are not known, along all of them."""
    if tensor is None or tensor.device.type == "meta" or tensor.numel() > CHECKED:
        return [True] * len(shape)
    return [bool((tensor != tensor.narrow(axis, 0, 1)).any()) if size else False for axis, size in enumerate(shape)]


def shapes(node: torch.fx.Node) -> list[tuple[int, ...]] | None:
    """Shapes of the results of a node; None, if it returns no tensor.

    Raises:
        InputError: a shape depends on data.
    """
    value = node.meta.get("val")
    values = list(value) if isinstance(value, tuple | list) else [value]
    tensors = [each for each in values if isinstance(each, Tensor)]
    if any(isinstance(size, torch.SymInt) for tensor in tensors for size in tensor.shape):
        raise InputError("the shape of a result depends on data", node.name, "Rewrite it with shapes that are known")
    return [tuple(tensor.shape) for tensor in tensors] or None


def module_path(node: torch.fx.Node) -> str:
    """Path of the module a node was traced in; empty for the outermost one."""
    stack = node.meta.get("nn_module_stack") or {}
    return str(next(reversed(stack.values()))[0]) if stack else ""
