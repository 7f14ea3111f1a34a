"""Operations in which the order along an axis matters: that axis is fixed, the others pass."""

from __future__ import annotations

from collections.abc import Collection, Hashable

from reknit.skeleton.calls import Call
from reknit.skeleton.classes import MisfitError
from reknit.skeleton.rules.registry import rule
from reknit.skeleton.value import Value


def in_place(call: Call, x: Value, axes: Collection[int], reason: str) -> Value | list[Value]:
    """Results whose axes are those of x, except some that are fixed, and may have other sizes."""
    labels: list[Hashable | None] = [k if k not in axes else None for k in range(x.rank)]
    for axis in axes:
        call.fix(x.dims[axis], reason)
    found = call.joint([(x, labels)], labels)
    results = [
        call.result(
            [found.get(label) if label is not None else call.fresh(shape[k], reason) for k, label in enumerate(labels)],
            shape,
        )
        for shape in call.shapes
    ]
    return results if len(results) > 1 else results[0]


@rule("roll", "flip", "fliplr", "flipud", "cumsum", "cumprod", "logcumsumexp", "diff", "sort", "argsort", "topk")
def along(call: Call) -> Value | list[Value]:
    """Moved, accumulated or compared along some axes."""
    x = call.values[0]
    dim = call.get("dims", call.get("dim", -1))
    axes = dim if isinstance(dim, list | tuple) else [dim]
    if call.name == "roll" and not axes:
        raise MisfitError("rolled as if it were flat")
    return in_place(call, x, {x.axis(each) for each in axes}, f"position: {call.name}")


@rule("tril", "triu")
def triangle(call: Call) -> Value | list[Value]:
    """Rows against columns."""
    x = call.values[0]
    return in_place(call, x, {x.rank - 2, x.rank - 1}, f"position: {call.name}")


@rule(
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool2d_with_indices",
    "max_pool3d",
    "upsample_bicubic2d",
    "upsample_bilinear2d",
    "upsample_linear1d",
    "upsample_nearest1d",
    "upsample_nearest2d",
    "upsample_nearest3d",
    "upsample_trilinear3d",
)
def pool(call: Call) -> Value | list[Value]:
    """Neighbouring positions combined or made; a mean over all of them does not care for their order."""
    x = call.values[0]
    places = int(next(filter(str.isdigit, call.name)))
    axes = set(range(x.rank - places, x.rank))
    if call.name.startswith("adaptive_avg") and all(call.shape[axis] == 1 for axis in axes):
        labels: list[Hashable] = list(range(x.rank))
        found = call.joint([(x, labels)], labels[: x.rank - places])
        return call.result([found.get(label) for label in labels])
    return in_place(call, x, axes, "position: pooling" if "pool" in call.name else "position: upsampling")


@rule("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d")
def pad(call: Call) -> Value:
    """Positions added at the ends of some axes; constants have no units of their own."""
    x = call.values[0]
    amounts = list(call.get("pad", call.get("padding", [])))
    by_constant = call.name == "constant_pad_nd" or (call.name == "pad" and call.get("mode", "constant") == "constant")
    dims = [None if node is None else call.units.like(node, call.name) for node in x.dims]
    for k in range(len(amounts) // 2):
        before, after = int(amounts[2 * k]), int(amounts[2 * k + 1])
        axis = x.rank - 1 - k
        if before == after == 0:
            continue
        node = dims[axis]
        if by_constant and node is not None and before >= 0 and after >= 0:
            parts = [call.units.leaf(before)] if before else []
            dims[axis] = call.units.sum([*parts, node, *([call.units.leaf(after)] if after else [])])
        else:
            call.fix(node, "position: pad")
            dims[axis] = call.fresh(call.shape[axis], "position: pad")
    return call.result(dims)


@rule("pixel_shuffle")
def pixel_shuffle(call: Call) -> Value:
    """Channels x factor x factor become positions."""
    x, factor = call.values[0], int(call.arguments["upscale_factor"])
    channels = x.shape[-3] // factor**2
    split = call.split_axis(x, x.rank - 3, [channels, factor**2])
    for node in split.dims[x.rank - 2 :]:
        call.fix(node, "position: pixel_shuffle")
    dims = [None if node is None else call.units.like(node, call.name) for node in split.dims[: x.rank - 2]]
    places = [call.fresh(size, "position: pixel_shuffle") for size in call.shape[-2:]]
    return call.result([*dims, *places])


@rule("view_as_complex", "view_as_real")
def complex_view(call: Call) -> Value:
    """Pairs of numbers as one complex number, and back: which of the two is which cannot move."""
    x = call.values[0]
    whole = x.rank if call.name == "view_as_real" else x.rank - 1
    for node in x.dims[whole:]:
        call.fix(node, f"position: {call.name}")
    labels: list[Hashable | None] = [k if k < whole else None for k in range(x.rank)]
    found = call.joint([(x, labels)], labels[:whole])
    pair = [call.fresh(size, f"position: {call.name}") for size in call.shape[whole:]]
    return call.result([*[found.get(label) for label in range(whole)], *pair])
