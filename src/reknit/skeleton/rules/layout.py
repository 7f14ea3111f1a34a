"""Operations that lay the entries of a tensor out in another way."""

from __future__ import annotations

from collections.abc import Sequence

from reknit.skeleton.calls import Call
from reknit.skeleton.rules.registry import rule
from reknit.skeleton.units import UNFIT
from reknit.skeleton.value import Value

Axis = tuple[int, int | None]


@rule(
    "_unsafe_view",
    "atleast_1d",
    "flatten",
    "ravel",
    "reshape",
    "squeeze",
    "unflatten",
    "unsqueeze",
    "view",
    "view_as",
    "reshape_as",
    layout=True,
)
def view(call: Call) -> Value:
    """The same entries in the same order, under another shape."""
    x = call.values[0]
    dims = relaid(call, list(zip(x.shape, x.dims, strict=True)), call.shape)
    return x.laid_out(call.shape, dims)


def relaid(call: Call, axes: Sequence[Axis], shape: Sequence[int]) -> list[int | None]:
    """The nodes of a new shape: old and new axes are taken in blocks of the same size."""
    old = [(size, node) for size, node in axes if size != 1][::-1]
    new = [(size, place) for place, size in enumerate(shape) if size != 1][::-1]
    dims: list[int | None] = [None] * len(shape)
    while old and new:
        block, targets = [old.pop()], [new.pop()]
        have, want = block[0][0], targets[0][0]
        while have != want:
            if have < want:
                block.append(old.pop())
                have *= block[-1][0]
            else:
                targets.append(new.pop())
                want *= targets[-1][0]
        nodes = _block(call, block, [size for size, _ in targets])
        for (_, place), node in zip(targets, nodes, strict=True):
            dims[place] = node
    return dims


def _block(call: Call, block: Sequence[Axis], sizes: Sequence[int]) -> Sequence[int | None]:
    nodes = [node for _, node in block]
    whole = call.merged(nodes, [size for size, _ in block])
    if whole is None:
        return [None] * len(sizes)
    parts = call.units.split(whole, sizes, call.key()) if len(sizes) > 1 else [whole]
    if parts is None:
        call.fix(whole, UNFIT)
        return [call.units.leaf(size, UNFIT) for size in sizes]
    return parts


@rule("permute", "movedim", "moveaxis", layout=True)
def permute(call: Call) -> Value:
    """Axes in another order."""
    x = call.values[0]
    if call.name == "permute":
        order = [x.axis(dim) for dim in call.arguments["dims"]]
    else:
        given = [call.arguments["source"], call.arguments["destination"]]
        source, target = ([each] if isinstance(each, int) else list(each) for each in given)
        pairs = sorted(zip((x.axis(dim) for dim in target), (x.axis(dim) for dim in source), strict=True))
        order = [axis for axis in range(x.rank) if axis not in {each for _, each in pairs}]
        for place, axis in pairs:
            order.insert(place, axis)
    return x.laid_out([x.shape[axis] for axis in order], [x.dims[axis] for axis in order])


@rule("transpose", "swapaxes", "swapdims", "t", "numpy_T", "mT", "adjoint", layout=True)
def transpose(call: Call) -> Value:
    """Two axes exchanged; of a matrix by default, all of them for ``numpy_T``."""
    x = call.values[0]
    order = list(range(x.rank))
    if call.name == "numpy_T":
        order.reverse()
    elif x.rank > 1:
        first = call.get("dim0", call.get("axis0", -2))
        second = call.get("dim1", call.get("axis1", -1))
        a, b = x.axis(first), x.axis(second)
        order[a], order[b] = b, a
    return x.laid_out([x.shape[axis] for axis in order], [x.dims[axis] for axis in order])


@rule("expand", "expand_as", "broadcast_to", layout=True)
def expand(call: Call) -> Value:
    """Nothing varies along an axis that was expanded."""
    x = call.values[0]
    return x.laid_out(call.shape, [*[None] * (len(call.shape) - x.rank), *x.dims])


@rule("broadcast_tensors")
def broadcast_tensors(call: Call) -> list[Value]:
    """Several tensors expanded to one shape."""
    return [
        value.laid_out(shape, [*[None] * (len(shape) - value.rank), *value.dims])
        for value, shape in zip(call.values, call.shapes, strict=True)
    ]


@rule("repeat", "tile")
def repeat(call: Call) -> Value:
    """The whole axis, several times over."""
    x = call.values[0]
    shape = (*[1] * (len(call.shape) - x.rank), *x.shape)
    dims = [*[None] * (len(call.shape) - x.rank), *x.dims]
    made = [
        None if node is None else call.merged([None, call.units.like(node, call.name)], [size // before, before])
        for node, size, before in zip(dims, call.shape, shape, strict=True)
    ]
    return call.result(made)


@rule("repeat_interleave")
def repeat_interleave(call: Call) -> Value:
    """Every position of an axis, several times over."""
    x = call.values[0]
    axis = x.axis(call.arguments["dim"])
    dims = [None if node is None else call.units.like(node, call.name) for node in x.dims]
    if dims[axis] is not None:
        dims[axis] = call.merged([dims[axis], None], [x.shape[axis], call.shape[axis] // x.shape[axis]])
    return call.result(dims)
