"""Operations that take axes apart by position, or put them one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from reknit.skeleton.calls import Call
from reknit.skeleton.rules.registry import rule
from reknit.skeleton.value import Value

TAKEN = "taken by position"


def pieces(call: Call, x: Value, axis: int, sizes: Sequence[int]) -> list[Value]:
    """Consecutive parts along one axis; sizes of 0 are not asked for."""
    node = x.dims[axis]
    shapes = [(*x.shape[:axis], size, *x.shape[axis + 1 :]) for size in sizes]
    if node is None or len(sizes) == 1:
        return [x.laid_out(shape, x.dims) for shape in shapes]
    parts: Sequence[int | None] | None = call.units.cut(node, sizes)
    if parts is None:
        call.fix(node, TAKEN)
        parts = [call.fresh(size, TAKEN) for size in sizes]
    dims = [list(x.dims) for _ in sizes]
    for k, other in enumerate(x.dims):
        if k != axis and other is not None and call.units.kind(other) == "vary":
            for place, part in enumerate(_varying(call, other, node, sizes, parts)):
                dims[place][k] = part
    results = []
    for shape, part, each in zip(shapes, parts, dims, strict=True):
        each[axis] = part if shape[axis] != 1 else None
        results.append(x.laid_out(shape, each))
    return results


def _varying(
    call: Call, other: int, node: int, sizes: Sequence[int], parts: Sequence[int | None]
) -> Sequence[int | None]:
    """What varies along an axis that is taken apart, for each part of that axis."""
    units = call.units
    varying = units.nodes[units.find(other)]
    if units.find(varying.along) != units.find(node):
        return [other] * len(sizes)
    found, place, start = [], 0, 0
    ends = [sum(varying.cuts[: k + 1]) for k in range(len(varying.cuts))]
    for size, part in zip(sizes, parts, strict=True):
        stop, first = start + size, place
        while place < len(ends) and ends[place] <= stop:
            place += 1
        if place == first or ends[place - 1] != stop:  # a part was cut through: no units of its own for it
            units.collapse(other)
            return [other] * len(sizes)
        along = part if part is not None else units.leaf(1)
        found.append(units.vary(along, varying.cuts[first:place], varying.parts[first:place]))
        start = stop
    return found


@rule("slice", "narrow", layout=True)
def slices(call: Call) -> Value:
    """Positions from start to stop, or every few."""
    x = call.values[0]
    axis, size = x.axis(call.get("dim", 0)), x.shape[x.axis(call.get("dim", 0))]
    start = min(max(int(call.get("start", 0)) + (size if int(call.get("start", 0)) < 0 else 0), 0), size)
    step, taken = int(call.get("step", 1)), call.shape[axis]
    if taken == 0:
        return call.result([None if k == axis else node for k, node in enumerate(x.dims)])
    if step == 1:
        sizes = [start, taken, size - start - taken]
        wanted = [part for part in sizes if part]
        return pieces(call, x, axis, wanted)[1 if start else 0]
    if size % step or taken != size // step or start >= step or x.dims[axis] is None:
        call.fix(x.dims[axis], TAKEN)
        fresh = None if x.dims[axis] is None else call.fresh(taken, TAKEN)
        return x.laid_out(call.shape, [fresh if k == axis else node for k, node in enumerate(x.dims)])
    split = call.split_axis(x, axis, [size // step, step])
    return _without(pieces(call, split, axis + 1, [1] * step)[start], axis + 1)


def _without(x: Value, axis: int) -> Value:
    return x.laid_out((*x.shape[:axis], *x.shape[axis + 1 :]), (*x.dims[:axis], *x.dims[axis + 1 :]))


@rule("select", layout=True)
def select(call: Call) -> Value:
    """One position of an axis."""
    x = call.values[0]
    axis = x.axis(call.arguments["dim"])
    size, index = x.shape[axis], int(call.arguments["index"]) % x.shape[axis]
    wanted = [part for part in (index, 1, size - index - 1) if part]
    return _without(pieces(call, x, axis, wanted)[1 if index else 0], axis)


@rule("unbind", layout=True)
def unbind(call: Call) -> list[Value]:
    """Every position of an axis by itself."""
    x = call.values[0]
    axis = x.axis(call.get("dim", 0))
    return [_without(piece, axis) for piece in pieces(call, x, axis, [1] * x.shape[axis])]


@rule("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk", layout=True)
def split(call: Call) -> list[Value]:
    """Consecutive parts of an axis."""
    x = call.values[0]
    axis = x.axis(call.get("dim", 0))
    return pieces(call, x, axis, [shape[axis] for shape in call.shapes])


@rule("glu")
def glu(call: Call) -> Value:
    """The first half times the sigmoid of the second."""
    x = call.values[0]
    axis = x.axis(call.get("dim", -1))
    halves = pieces(call, x, axis, [call.shape[axis]] * 2)
    labels = range(x.rank)
    found = call.joint([(half, labels) for half in halves], labels)
    return call.result([found.get(label) for label in labels])


@rule("cat", "concat", "concatenate")
def cat(call: Call) -> Value:
    """One tensor after the other along one axis; all other axes run over the same units."""
    values = [value for value in call.arguments["tensors"] if value.rank == len(call.shape)]
    return joined(call, values, values[0].axis(call.get("dim", 0)))


@rule("stack")
def stack(call: Call) -> Value:
    """Tensors side by side along a new axis."""
    values: list[Value] = call.arguments["tensors"]
    axis = int(call.get("dim", 0)) % len(call.shape)
    wider = [
        value.laid_out(
            (*value.shape[:axis], 1, *value.shape[axis:]),
            (*value.dims[:axis], None, *value.dims[axis:]),
        )
        for value in values
    ]
    return joined(call, wider, axis)


def joined(call: Call, values: Sequence[Value], axis: int) -> Value:
    """Values one after the other along an axis."""
    labels = [k if k != axis else None for k in range(len(call.shape))]
    found = call.joint([(value, labels) for value in values], labels)
    parts = [
        call.units.leaf(value.shape[axis]) if (node := value.dims[axis]) is None else call.units.like(node, call.name)
        for value in values
        if value.shape[axis]
    ]
    whole = call.units.sum(parts)
    return call.result([whole if label is None else found.get(label) for label in labels])


@rule("slice_scatter", "select_scatter")
def scatter(call: Call) -> Value:
    """A part of one axis overwritten: that axis is fixed, along all others both run over the same units."""
    x, source = call.value("self" if "self" in call.arguments else "input"), call.value("src")
    axis = x.axis(call.get("dim", 0))
    labels = [k if k != axis else None for k in range(x.rank)]
    call.fix(x.dims[axis], TAKEN)
    if source.rank == x.rank:
        call.fix(source.dims[axis], TAKEN)
        seen = labels
    else:
        seen = [label for label in labels if label is not None]
    found = call.joint([(x, labels), (source, seen)], labels)
    dims = [found.get(label) if label is not None else call.fresh(x.shape[axis], TAKEN) for label in labels]
    return call.result(dims)
