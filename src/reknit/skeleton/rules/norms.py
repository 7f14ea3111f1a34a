"""Norms: statistics over some axes, then one factor and one summand a unit."""

from __future__ import annotations

from collections.abc import Hashable

from reknit.skeleton.calls import Call
from reknit.skeleton.rules.registry import rule
from reknit.skeleton.value import Value


@rule("layer_norm", "rms_norm")
def layer_norm(call: Call) -> Value:
    """Over the last axes."""
    x = call.value("input")
    labels: list[Hashable] = list(range(x.rank))
    kept = x.rank - len(call.arguments["normalized_shape"])
    found = call.joint(
        [(x, labels), (call.optional("weight"), labels[kept:]), (call.optional("bias"), labels[kept:])],
        labels,
        roles={1: "scales", 2: "shifts"},
        within=[labels[:kept]],
    )
    return call.result([found.get(label) for label in labels])


@rule("batch_norm", "instance_norm", "_native_batch_norm_legit_no_training")
def batch_norm(call: Call) -> Value:
    """Over everything but the channels; in evaluation by the running statistics, where they are kept."""
    x = call.value("input")
    labels: list[Hashable] = list(range(x.rank))
    one = labels[1:2]
    statistics: list[Hashable] = labels[:2] if call.name == "instance_norm" else one
    found = call.joint(
        [
            (x, labels),
            (call.optional("weight"), one),
            (call.optional("bias"), one),
            (call.optional("running_mean"), one),
            (call.optional("running_var"), one),
        ],
        labels,
        roles={1: "scales", 2: "shifts", 3: "mean", 4: "variance"},
        within=[statistics],
    )
    return call.result([found.get(label) for label in labels])


@rule("group_norm")
def group_norm(call: Call) -> Value:
    """Over each group of channels and all positions."""
    x, groups = call.value("input"), int(call.arguments["num_groups"])
    sizes = [groups, x.shape[1] // groups]
    x = call.split_axis(x, 1, sizes)
    weight, bias = (
        None if value is None else call.split_axis(value, 0, sizes)
        for value in (call.optional("weight"), call.optional("bias"))
    )
    labels: list[Hashable] = list(range(x.rank))
    found = call.joint(
        [(x, labels), (weight, labels[1:3]), (bias, labels[1:3])],
        labels,
        roles={1: "scales", 2: "shifts"},
        within=[labels[:2]],
    )
    call.word(found.get(1), "norm groups")
    channels = call.merged([found.get(1), found.get(2)], sizes)
    return call.result([found.get(0), channels, *[found.get(label) for label in labels[3:]]])


@rule("_weight_norm", "_weight_norm_interface")
def weight_norm(call: Call) -> Value | list[Value]:
    """A weight as its direction and its length along one axis."""
    direction, length = call.value("v"), call.value("g")
    labels: list[Hashable] = list(range(direction.rank))
    kept = [direction.axis(call.arguments["dim"])]
    found = call.joint([(direction, labels), (length, labels)], labels, roles={1: "scales"}, within=[kept])
    made = [call.result([found.get(label) for label in labels])]
    made += [call.result([found.get(label) if label in kept else None for label in labels], length.shape)]
    return made if len(call.shapes) > 1 else made[0]
