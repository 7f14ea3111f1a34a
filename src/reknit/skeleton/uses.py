"""Operations that take slots, under the names that evidence knows them by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reknit.skeleton.calls import Call
from reknit.skeleton.skeleton import Use
from reknit.skeleton.value import Value

DETAILS = {"dilation", "eps", "groups", "num_groups", "output_padding", "padding", "stride"}
MATRIX_PRODUCTS = {"matmul": "", "mm": "", "addmm": "self"}
"""Matrix products, by the name of their summand."""


def as_use(
    step: int,
    call: Call,
    slots: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    sources: frozenset[int],
    bent: tuple[str, ...],
    eps: float | None,
) -> Use:
    """What an operation did, for evidence.

    The product with a matrix is a linear layer, and the gain of a written-out RMS norm belongs to that norm, whoever
    wrote them.

    Args:
        step: its place in the forward pass.
        call: the operation.
        slots: argument -> slot.
        shapes: of the slots.
        sources: steps of the uses before it.
        bent: the nonlinear functions between these and it.
        eps: of the RMS norm that this gain belongs to; None, if it belongs to none.
    """
    name, found = call.name, {key: item for key, item in call.arguments.items() if key in DETAILS}
    if eps is not None:
        name, slots, found = "rms_norm", {"weight": next(iter(slots.values()))}, {"eps": eps}
    elif name in MATRIX_PRODUCTS:
        summand = MATRIX_PRODUCTS[name]
        matrices = [key for argument, key in slots.items() if argument != summand]
        if len(matrices) == 1 and len(shapes[matrices[0]]) == 2:
            bias = {"bias": slots[summand]} if summand in slots else {}
            name, slots = "linear", {"weight": matrices[0], **bias}
    details = {key: tuple(item) if isinstance(item, list) else item for key, item in found.items() if item is not None}
    return Use(step, name, slots, tuple(sorted(sources)), details, bent)


def slots_among(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Argument -> slot, of those arguments that are slots; one in a list by its place: ``tensors.0``."""
    found = {}
    for name, item in arguments.items():
        if isinstance(item, Value) and item.slot is not None:
            found[name] = item.slot
        for k, each in enumerate(item if isinstance(item, list) else ()):
            if isinstance(each, Value) and each.slot is not None:
                found[f"{name}.{k}"] = each.slot
    return found
