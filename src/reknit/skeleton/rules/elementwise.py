"""Operations that act on every entry by itself: any permutation of any axis passes."""

from __future__ import annotations

from reknit.skeleton.calls import Call
from reknit.skeleton.rules.registry import rule
from reknit.skeleton.skeleton import Role
from reknit.skeleton.value import Value

ROLES: dict[str, Role] = {
    "add": "shifts",
    "sub": "shifts",
    "rsub": "shifts",
    "mul": "scales",
    "div": "scales",
}


@rule(
    "addcdiv",
    "addcmul",
    "copy",
    "dropout1d",
    "dropout2d",
    "feature_dropout",
    "floor_divide",
    "masked_fill",
    "prelu",
    "where",
    "__and__",
    "__or__",
    "__xor__",
)
def elementwise(call: Call) -> Value:
    """Every operation that torch tags as pointwise, and some that it does not; shapes are broadcast."""
    values = [value for value in call.values if value.rank <= len(call.shape)]
    role = ROLES.get(call.name, "holds")
    labels = range(len(call.shape))
    operands = [(value, list(labels)[len(call.shape) - value.rank :]) for value in values]
    if call.name == "prelu" and len(values) == 2 and values[1].rank == 1:
        operands[1], role = (values[1], [1 if len(call.shape) > 1 else 0]), "scales"
    found = call.joint(operands, labels, roles=dict.fromkeys(range(len(operands)), role))
    return call.result([found.get(label) for label in labels])


@rule(
    "_to_copy",
    "alias",
    "alpha_dropout",
    "clone",
    "contiguous",
    "cpu",
    "detach",
    "double",
    "dropout",
    "feature_alpha_dropout",
    "float",
    "half",
    "lift",
    "lift_fresh",
    "lift_fresh_copy",
    "to",
    "type_as",
    "_conj",
    "resolve_conj",
    "resolve_neg",
    layout=True,
)
def same(call: Call) -> Value:
    """The tensor itself, or a copy; dropout is traced as it is in evaluation."""
    value = call.values[0]
    return value.laid_out(value.shape, value.dims)


@rule("zeros", "ones", "full", "empty", "zeros_like", "ones_like", "full_like", "empty_like")
@rule("new_zeros", "new_ones", "new_full", "new_empty", "scalar_tensor")
def uniform(call: Call) -> Value:
    """All entries are the same: nothing varies along any axis."""
    return call.result([None] * len(call.shape))
