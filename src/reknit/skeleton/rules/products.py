"""Operations that multiply and sum: linear layers, matrix products, einsum, convolutions."""

from __future__ import annotations

from collections.abc import Hashable

from reknit.skeleton.calls import Call, Labels, Roles
from reknit.skeleton.classes import MisfitError
from reknit.skeleton.rules.registry import rule
from reknit.skeleton.value import Value

TAPS = "taps of a convolution"
PLACES = "positions of a convolution"


@rule("linear")
def linear(call: Call) -> Value:
    """``x W^T + b``."""
    x, weight = call.value("input"), call.value("weight")
    rows: list[Hashable] = list(range(x.rank - 1))
    outputs: list[Hashable] = ["out"] if weight.rank == 2 else []
    found = call.joint(
        [(x, [*rows, "in"]), (weight, [*outputs, "in"]), (call.optional("bias"), outputs)],
        [*rows, *outputs],
        roles={1: {"out": "writes", "in": "reads"}, 2: "shifts"},
    )
    return call.result([found.get(label) for label in [*rows, *outputs]])


@rule("matmul", "mm", "bmm", "mv", "dot")
def matmul(call: Call) -> Value:
    """The matrix product with its rules for vectors and stacks."""
    left, right = call.values
    return _product(call, left, right, None)


@rule("addmm", "baddbmm", "addmv")
def addmm(call: Call) -> Value:
    """A matrix product and a summand."""
    summand, left, right = call.values
    return _product(call, left, right, summand)


def _product(call: Call, left: Value, right: Value, summand: Value | None) -> Value:
    stack = max(left.rank, right.rank, 2) - 2
    stacked: list[Hashable] = list(range(stack))
    left_labels: list[Hashable] = [*stacked[stack - max(left.rank - 2, 0) :], "rows", "sum"][-max(left.rank, 1) :]
    right_labels: list[Hashable] = [*stacked[stack - max(right.rank - 2, 0) :], "sum", "columns"]
    if right.rank == 1:
        right_labels = ["sum"]
    out: list[Hashable] = [*stacked]
    out += ["rows"] if left.rank > 1 else []
    out += ["columns"] if right.rank > 1 else []
    roles: dict[int, Roles] = {0: {"rows": "writes", "sum": "reads"}, 1: {"columns": "writes", "sum": "reads"}}
    operands: list[tuple[Value | None, Labels]] = [(left, left_labels), (right, right_labels)]
    if summand is not None:
        operands.append((summand, out[len(out) - summand.rank :]))
        roles[2] = "shifts"
    found = call.joint(operands, out, roles=roles)
    return call.result([found.get(label) for label in out])


@rule("einsum")
def einsum(call: Call) -> Value:
    """Einstein's summation, with an ellipsis if there is one."""
    equation, operands = str(call.arguments["equation"]).replace(" ", ""), call.arguments["tensors"]
    inputs, arrow, out = equation.partition("->")
    terms = inputs.split(",")
    if not arrow or len(terms) != len(operands):
        raise MisfitError("an einsum without an arrow")
    spread = max(value.rank - len(term.replace("...", "")) for term, value in zip(terms, operands, strict=True))
    labels = [_letters(term, value.rank, spread) for term, value in zip(terms, operands, strict=True)]
    if any(len(set(letters)) < len(letters) for letters in labels):
        raise MisfitError("a letter of an einsum occurs twice in one operand")
    result = _letters(out, len(call.shape), spread)
    found = call.joint(list(zip(operands, labels, strict=True)), result)
    return call.result([found.get(label) for label in result])


def _letters(term: str, rank: int, spread: int) -> list[Hashable]:
    """One label an axis; those of the ellipsis are numbered so that they meet at the right."""
    before, dots, after = term.partition("...")
    if not dots:
        return list(term)
    return [*before, *range(spread - (rank - len(before) - len(after)), spread), *after]


@rule("conv1d", "conv2d", "conv3d", "convolution")
def conv(call: Call) -> Value:
    """A convolution: channels are summed like the columns of a matrix, positions stay where they are."""
    return _conv(call, turned=bool(call.get("transposed", False)))


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(call: Call) -> Value:
    """The transpose of a convolution: its weight has the inputs first."""
    return _conv(call, turned=True)


def _conv(call: Call, *, turned: bool) -> Value:
    x, weight, bias = call.value("input"), call.value("weight"), call.optional("bias")
    groups = int(call.get("groups", 1))
    places = weight.rank - 2
    batch: list[Hashable] = list(range(x.rank - places - 1))
    channel = len(batch)
    inputs, outputs = x.shape[channel], call.shape[channel]
    pointwise = all(size == 1 for size in weight.shape[2:]) and x.shape[channel + 1 :] == call.shape[channel + 1 :]
    spatial: list[Hashable | None] = [f"place {k}" if pointwise else None for k in range(places)]
    for node in weight.dims[2:]:
        call.fix(node, TAPS)
    x = call.split_axis(x, channel, [groups, inputs // groups])
    grouped = inputs if turned else outputs
    weight = call.split_axis(weight, 0, [groups, grouped // groups])
    bias = None if bias is None else call.split_axis(bias, 0, [groups, outputs // groups])
    filters: list[Hashable | None] = ["group", "in", "out"] if turned else ["group", "out", "in"]
    found = call.joint(
        [
            (x, [*batch, "group", "in", *spatial]),
            (weight, [*filters, *[None] * places]),
            (bias, ["group", "out"]),
        ],
        [*batch, "group", "out", *spatial],
        because=f"conv{places}d",
        roles={1: {"group": "writes", "out": "writes", "in": "reads"}, 2: "shifts"},
    )
    if not pointwise:
        for node in x.dims[channel + 2 :]:
            call.fix(node, PLACES)
    beyond = [
        found.get(label) if pointwise else call.fresh(size, PLACES)
        for label, size in zip(spatial, call.shape[channel + 1 :], strict=True)
    ]
    made = call.merged([found.get("group"), found.get("out")], [groups, outputs // groups])
    return call.result([*[found.get(label) for label in batch], made, *beyond])
