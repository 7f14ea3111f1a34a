"""Whatever was tied, split and cut, in any order: a permutation of the leaf classes moves all axes consistently."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.skeleton.classes import MisfitError
from reknit.skeleton.units import UNFIT, Units
from strategies import seeds

SIZES = (2, 3, 4, 6, 12)


def induced(units, node, orders):
    """The old position for every new one along an axis, from one order a leaf class: written without ``Units``' own."""
    parts = [induced(units, part, orders) for part in units.parts(node)]
    if units.kind(node) == "leaf":
        return orders[units.find(node)]
    if units.kind(node) == "sum":
        starts = np.cumsum([0, *map(len, parts)])
        return np.concatenate([start + part for start, part in zip(starts, parts, strict=False)])
    moved = np.zeros(1, dtype=int)
    for part in parts:
        moved = (moved[:, None] * len(part) + part[None, :]).ravel()
    return moved


def orders_of(units, nodes, seed):
    """A random order for every leaf class that is not fixed."""
    rng = np.random.default_rng(seed)
    leaves = {leaf for node in nodes for leaf in units.leaves(node)}
    return {
        leaf: np.arange(units.size(leaf)) if units.reasons(leaf) else rng.permutation(units.size(leaf))
        for leaf in sorted(leaves)
    }


@st.composite
def steps(draw: st.DrawFn):
    kinds = st.sampled_from(["tie", "split", "cut", "product", "sum"])
    number = st.integers(0, 10**6)
    return draw(st.lists(st.tuples(kinds, number, number, number), min_size=1, max_size=12))


@given(sizes=st.lists(st.sampled_from(SIZES), min_size=3, max_size=6), plan=steps(), seed=seeds)
def test_axes_stay_consistent(sizes, plan, seed):
    units = Units()
    axes = [units.leaf(size) for size in sizes]
    claims = []  # (one list of axes, another, how the second makes up the first)
    for kind, a, b, c in plan:
        first, second = axes[a % len(axes)], axes[b % len(axes)]
        size = units.size(first)
        if kind == "tie" and size == units.size(second):
            units.tie(first, second, "here")
            claims.append((first, [second], "tie"))
        elif kind == "split":
            outer = [number for number in (2, 3, 4, 6) if size % number == 0 and 1 < number < size]
            if outer:
                chosen = outer[c % len(outer)]
                parts = units.split(first, [chosen, size // chosen], ("here", a, b, c))
                if parts is not None and all(units.kind(part) != "vary" for part in parts):
                    claims.append((first, parts, "product"))
                    axes += parts
        elif kind == "cut" and size > 1:
            at = 1 + c % (size - 1)
            parts = units.cut(first, [at, size - at])
            if parts is not None:
                claims.append((first, parts, "sum"))
                axes += parts
        elif kind == "product" and 1 < size * units.size(second) <= 24:
            axes.append(units.product([first, second]))
            claims.append((axes[-1], [item for item in (first, second) if units.size(item) > 1], "product"))
        elif kind == "sum" and size + units.size(second) <= 24:
            axes.append(units.sum([first, second]))
            claims.append((axes[-1], [first, second], "sum"))
    orders = orders_of(units, axes, seed)
    for whole, parts, how in claims:
        if any(UNFIT in units.reasons(leaf) for node in (whole, *parts) for leaf in units.leaves(node)):
            continue  # tied in vain, and fixed for it
        moved = [induced(units, part, orders) for part in parts]
        expected = moved[0]
        for part in moved[1:]:
            joined = (expected[:, None] * len(part) + part[None, :]).ravel()
            expected = joined if how == "product" else np.concatenate([expected, len(expected) + part])
        assert np.array_equal(induced(units, whole, orders), expected)


def test_a_fixed_axis_fixes_what_it_is_tied_to_and_its_parts():
    units = Units()
    axis, other = units.leaf(12), units.leaf(12, "input")
    outer, inner = units.split(axis, [3, 4], ("here",))
    units.tie(axis, other, "add")
    assert units.reasons(outer) == units.reasons(inner) == ["input"]


def test_what_does_not_fit_is_fixed():
    units = Units()
    axis, other = units.leaf(6), units.leaf(6)
    units.split(axis, [2, 3], ("here",))
    units.split(other, [3, 2], ("there",))
    units.tie(axis, other, "add")
    assert all(units.reasons(leaf) == [UNFIT] for node in (axis, other) for leaf in units.leaves(node))


def test_a_fused_axis_viewed_by_its_parts_varies_along_them_and_comes_back():
    units = Units()
    fused = units.leaf(24)
    parts = units.cut(fused, [8, 8, 8])
    which, heads, size = units.split(fused, [3, 2, 4], ("here",))
    assert (units.kind(which), units.kind(heads), units.kind(size)) == ("sum", "vary", "vary")
    back = units.product([which, heads, size])
    assert list(units.leaves(back)) == list(units.leaves(fused))
    units.tie(size, units.leaf(4), "mul")  # one factor for all three: no units of their own any more
    first, second, _ = (list(units.leaves(part)) for part in parts)
    assert first[1] == second[1]
    assert first[0] != second[0]


def test_sizes_that_differ_are_no_ones_guess():
    units = Units()
    with pytest.raises(MisfitError, match="axes of 2 and 3 units cannot be the same"):
        units.tie(units.leaf(2), units.leaf(3), "add")
    with pytest.raises(MisfitError, match="do not make up 4 units"):
        units.cut(units.leaf(4), [1, 2])
