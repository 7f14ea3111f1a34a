"""Tensors by key -> a module that holds them, whatever was tied, dropped from the file or only counts batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from reknit.errors import InputError

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def tied_keys(module: nn.Module) -> list[tuple[str, ...]]:
    """Keys of the state dict that hold one and the same tensor; only where there are several."""
    keys_of: dict[int, list[str]] = {}
    for key, value in module.state_dict(keep_vars=True).items():
        keys_of.setdefault(id(value), []).append(key)
    return [tuple(keys) for keys in keys_of.values() if len(keys) > 1]


def hold(module: AnyModule, tensors: Mapping[str, Tensor]) -> AnyModule:
    """The module, holding exactly these tensors, in their dtype and not trained on.

    Of a tied tensor one key is enough. The counters of a BatchNorm (``num_batches_tracked``) may be missing: they have
    no part in the answer.

    Raises:
        InputError: keys are missing, or left over, or a shape is another, or tied tensors differ.
    """
    slots = module.state_dict()
    state = dict(tensors)
    for key in slots:
        if key.endswith(".num_batches_tracked"):
            state.setdefault(key, torch.tensor(0))
    for keys in tied_keys(module):
        given = [key for key in keys if key in state]
        if not given:
            continue
        if any(not torch.equal(state[given[0]], state[key]) for key in given[1:]):
            raise InputError(
                f"{' and '.join(given)} are one tensor in this architecture but differ", type(module).__name__
            )
        state.update(dict.fromkeys(keys, state[given[0]]))
    _compare(type(module).__name__, slots, state)
    module.load_state_dict(state, assign=True)
    return module.requires_grad_(False)


def _compare(name: str, slots: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    missing = [key for key in slots if key not in state]
    if missing:
        raise InputError(f"{_some(missing)} missing", name, "Leave away from the config what the file does not hold")
    unknown = [key for key in state if key not in slots]
    if unknown:
        raise InputError(f"there is no slot for {_some(unknown)}", name, "Add to the config what the file holds")
    for key, slot in slots.items():
        if slot.shape != state[key].shape:
            shapes = f"{tuple(state[key].shape)}, its slot {tuple(slot.shape)}"
            raise InputError(f"{key} has the shape {shapes}", name, "Change the sizes of the config")


def _some(keys: list[str], most: int = 3) -> str:
    rest = f" and {len(keys) - most} more" if len(keys) > most else ""
    return f"{', '.join(keys[:most])}{rest}"
