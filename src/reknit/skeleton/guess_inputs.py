"""What to feed to a module whose author did not say: spelled by the user, given by the module, or tried.

A guess is only kept if the forward pass takes it. On the meta device that costs no arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from reknit.errors import InputError, UsageError

Inputs = tuple[Any, ...] | dict[str, Any]

ROWS, LENGTH = 2, 8
SIDES = {1: (64, 256, 1024, 4096, 16384), 2: (64, 224, 28, 32, 128, 256, 299, 512), 3: (16, 32, 64)}
"""Positions along each axis that are tried, by the number of axes."""
DTYPES = {"float": torch.float32, "int": torch.int64, "bool": torch.bool}


def read_shapes(text: str) -> tuple[Tensor, ...]:
    """``1x3x224x224`` or ``int:2x16,int:2x16``: zeros of these shapes.

    Raises:
        UsageError: it spells no shape.
    """
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(?:(\w+):)?([1-9]\d*(?:x[1-9]\d*)*)", part.strip())
        if not match or (match[1] or "float") not in DTYPES:
            kinds = ", ".join(DTYPES)
            remedy = f"Write 1x3x224x224 or int:1x16, with one of {kinds} before the colon and a comma between inputs"
            raise UsageError(f"{part!r} is no shape", "--input", remedy)
        found.append(torch.zeros(*map(int, match[2].split("x")), dtype=DTYPES[match[1] or "float"]))
    return tuple(found)


def guess_inputs(module: nn.Module) -> tuple[Inputs, str]:
    """Inputs that the forward pass takes, and in words where they come from.

    Raises:
        InputError: nothing that was tried is taken.
    """
    tried: list[str] = []
    reason = ""
    for inputs, source in _candidates(module):
        reason = refusal(module, inputs)
        if not reason:
            return inputs, source
        tried.append(source)
    name = type(module).__name__
    remedy = "Say what it takes with --input, such as 1x3x224x224 or int:1x16, or return (module, inputs)"
    if not tried:
        raise InputError("it has no layer that tells what it takes", name, remedy)
    raise InputError(
        f"it takes none of {len(tried)} inputs that were tried, such as {tried[0]}: {reason}", name, remedy
    )


def refusal(module: nn.Module, inputs: Inputs) -> str:
    """Why a forward pass does not take these inputs; empty where it does."""
    try:
        with torch.no_grad():
            module(**inputs) if isinstance(inputs, dict) else module(*inputs)
    except Exception as error:  # noqa: BLE001  what another's code raises is the answer, whatever it is
        return first_line(error)
    return ""


def first_line(error: Exception) -> str:
    """What an error says, as far as it fits into a sentence."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def on_meta(value: Any) -> Any:
    """The same with every tensor on the meta device: it has a shape and no numbers."""
    if isinstance(value, Tensor):
        return value.to("meta")
    if isinstance(value, Mapping):
        return {key: on_meta(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(on_meta(part) for part in value)
    return value


def _candidates(module: nn.Module) -> Iterator[tuple[Inputs, str]]:
    for attribute in ("dummy_inputs", "example_input_array"):
        value = getattr(module, attribute, None)
        if value is not None:
            inputs = on_meta(value)
            yield inputs if isinstance(inputs, tuple | dict) else (inputs,), f"{attribute} of the module"
    dtype = next((each.dtype for each in module.parameters() if each.is_floating_point()), torch.float32)
    seen: set[str] = set()
    for path, layer in module.named_modules():
        kind = _kind(layer)
        if kind and kind not in seen:  # the first of each kind, in the order they were made
            seen.add(kind)
            for inputs in _for_layer(layer, dtype):
                yield (inputs,), f"{'x'.join(map(str, inputs.shape))} for its first {kind} layer, {path or 'itself'}"


def _kind(layer: nn.Module) -> str:
    match layer:
        case nn.Embedding():
            return "embedding"
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            return "convolution"
        case nn.RNNBase():
            return "recurrent"
        case nn.Linear():
            return "linear"
        case _:
            return ""


def _for_layer(layer: nn.Module, dtype: torch.dtype) -> Iterator[Tensor]:
    match layer:
        case nn.Embedding():
            yield torch.zeros(ROWS, LENGTH, dtype=torch.int64)
            yield torch.zeros(ROWS, dtype=torch.int64)
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            axes = layer.weight.ndim - 2
            for side in SIDES[axes]:
                yield torch.zeros(ROWS, layer.in_channels, *[side] * axes, dtype=dtype)
        case nn.RNNBase():
            yield torch.zeros(LENGTH, ROWS, layer.input_size, dtype=dtype)
        case nn.Linear():
            yield torch.zeros(ROWS, layer.in_features, dtype=dtype)
            yield torch.zeros(ROWS, LENGTH, layer.in_features, dtype=dtype)
