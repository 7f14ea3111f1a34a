"""Operations that run over whole axes and do not care for the order: sums, means, norms, softmax."""

from __future__ import annotations

from collections.abc import Hashable

from reknit.skeleton.calls import Call
from reknit.skeleton.rules.registry import rule
from reknit.skeleton.value import Value


@rule(
    "all",
    "amax",
    "amin",
    "any",
    "linalg_vector_norm",
    "logsumexp",
    "mean",
    "norm",
    "prod",
    "std",
    "std_mean",
    "sum",
    "var",
    "var_mean",
)
def reduce(call: Call) -> Value | list[Value]:
    """One number for all entries along some axes."""
    x = call.values[0]
    gone = _axes(call.get("dim"), x)
    labels: list[Hashable] = list(range(x.rank))
    kept: list[Hashable] = [label for label in labels if label not in gone]
    shape = call.shape
    found = call.joint([(x, labels)], kept)
    shown = labels if len(shape) == x.rank else kept
    results = [call.result([found.get(label) for label in shown], each) for each in call.shapes]
    return results if len(results) > 1 else results[0]


def _axes(dim: int | list[int] | None, x: Value) -> set[int]:
    if dim is None or dim == []:
        return set(range(x.rank))
    return {x.axis(each) for each in (dim if isinstance(dim, list) else [dim])}


@rule("softmax", "log_softmax", "_softmax", "_log_softmax")
def softmax(call: Call) -> Value:
    """Every entry divided by a sum over one axis."""
    x = call.values[0]
    labels: list[Hashable] = list(range(x.rank))
    rest = [label for label in labels if label != x.axis(call.arguments["dim"])]
    found = call.joint([(x, labels)], labels, within=[rest])
    return call.result([found.get(label) for label in labels])


@rule("max", "min", "median")
def extreme(call: Call) -> Value | list[Value]:
    """The largest entry along one axis; where its position is read, the axis is fixed."""
    x = call.values[0]
    if len(call.values) == 2:
        from reknit.skeleton.rules.elementwise import elementwise

        return elementwise(call)
    if 1 in call.used:
        call.fix(x.dims[x.axis(call.arguments["dim"])], f"position: {call.name}")
    return reduce(call)
