"""Operations that choose positions by the numbers in another tensor: those positions cannot move."""

from __future__ import annotations

from collections.abc import Hashable

from reknit.skeleton.calls import Call
from reknit.skeleton.classes import MisfitError
from reknit.skeleton.rules.registry import rule
from reknit.skeleton.value import Value


def _reason(index: Value) -> str:
    return "looked up by the input" if index.of_input else "looked up by position"


@rule("embedding")
def embedding(call: Call) -> Value:
    """Rows of a table."""
    weight, indices = call.value("weight"), call.value("indices")
    rows: list[Hashable] = list(range(indices.rank))
    call.fix(weight.dims[0], _reason(indices))
    found = call.joint(
        [(indices, rows), (weight, [None, "out"])],
        [*rows, "out"],
        roles={1: {"out": "writes"}},
    )
    call.role(weight, weight.dims[0], "looks up")
    return call.result([found.get(label) for label in [*rows, "out"]])


@rule("index_select")
def index_select(call: Call) -> Value:
    """Some positions along one axis."""
    x, index = call.values
    return _looked_up(call, x, x.axis(call.arguments["dim"]), [index])


@rule("index")
def index(call: Call) -> Value:
    """Positions along one or several axes; axes of the indices take their place."""
    x = call.values[0]
    places = [axis for axis, item in enumerate(call.arguments["indices"]) if item is not None]
    indices: list[Value] = [call.arguments["indices"][axis] for axis in places]
    if places != list(range(places[0], places[0] + len(places))) or len(call.shape) != x.rank - len(places) + max(
        item.rank for item in indices
    ):
        raise MisfitError("indices that are apart, or masks")
    for axis in places[1:]:
        call.fix(x.dims[axis], _reason(indices[0]))
    return _looked_up(call, x, places[0], indices, len(places))


def _looked_up(call: Call, x: Value, axis: int, indices: list[Value], taken: int = 1) -> Value:
    """The axes of the indices, broadcast, in place of those they choose from."""
    for node in x.dims[axis : axis + taken]:
        call.fix(node, _reason(indices[0]))
        call.role(x, node, "looks up")
    rank = max(item.rank for item in indices)
    at: list[Hashable] = [f"at {k}" for k in range(rank)]
    kept: list[Hashable | None] = [k if not axis <= k < axis + taken else None for k in range(x.rank)]
    labels: list[Hashable | None] = [*kept[:axis], *at, *kept[axis + taken :]]
    found = call.joint(
        [(x, kept), *[(item, at[rank - item.rank :]) for item in indices]],
        labels,
    )
    return call.result([found.get(label) for label in labels])


@rule("gather")
def gather(call: Call) -> Value:
    """For every entry of the index, the entry of x at that position along one axis."""
    x, indices = call.value("self"), call.value("index")
    axis = x.axis(call.arguments["dim"])
    call.fix(x.dims[axis], _reason(indices))
    labels: list[Hashable] = list(range(x.rank))
    seen: list[Hashable | None] = [label if label != axis else None for label in labels]
    for k in range(x.rank):
        if k != axis and x.shape[k] != indices.shape[k]:
            call.fix(x.dims[k], "position: gather")
            seen[k] = None
    found = call.joint([(indices, labels), (x, seen)], labels)
    return call.result([found.get(label) for label in labels])
