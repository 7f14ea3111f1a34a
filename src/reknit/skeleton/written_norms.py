"""RMS norms that a module writes out itself: ``x * rsqrt(mean(x^2) + eps)``, then a gain.

Recognised by what is computed, never by the name of a class.
"""

from __future__ import annotations

from typing import Any

from torch.fx import Node

CASTS = {"to", "_to_copy", "type_as", "float", "half", "double", "clone", "contiguous", "alias", "detach"}


def operation(node: Node) -> str:
    """``relu`` for ``aten.relu_.default``: the name without overload and underscore."""
    target = node.target
    packet = getattr(target, "overloadpacket", None)
    name = str(packet if packet is not None else getattr(target, "__name__", target))
    name = name.removeprefix("aten.")
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


def rms_eps(gain: Node) -> float | None:
    """The eps of the RMS norm whose result is multiplied here; None, if there is none."""
    if operation(gain) != "mul":
        return None
    found = (_normed(_uncast(factor)) for factor in gain.args[:2])
    return next((eps for eps in found if eps is not None), None)


def _normed(product: Node | None) -> float | None:
    """The eps of ``x * rsqrt(mean(x^2) + eps)``."""
    if product is None or product.op != "call_function" or operation(product) != "mul":
        return None
    factors = [_uncast(factor) for factor in product.args[:2]]
    for x, root in (factors, factors[::-1]):
        shifted = _argument_of(root, "rsqrt")
        mean = _argument_of(shifted, "add")
        square = _argument_of(mean, "mean")
        if x is None or square is None or shifted is None or mean is None or mean.args[1] not in ([-1], [_last(mean)]):
            continue
        squared = _argument_of(square, "pow") if square.args[1:] == (2,) else None
        eps = shifted.args[1]
        if squared is x and isinstance(eps, float | int):
            return float(eps)
    return None


def _last(mean: Node) -> int:
    source: Any = mean.args[0]
    return len(source.meta["val"].shape) - 1


def _argument_of(node: Node | None, name: str) -> Node | None:
    """The first argument, if the node is this operation."""
    return (
        _uncast(node.args[0]) if node is not None and node.op == "call_function" and operation(node) == name else None
    )


def _uncast(item: Any) -> Node | None:
    """The tensor before it was cast or copied."""
    while isinstance(item, Node) and item.op == "call_function" and operation(item) in CASTS:
        item = item.args[0]
    return item if isinstance(item, Node) else None
