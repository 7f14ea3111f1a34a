"""Changes that lose information: recognised exactly, in one direction, and never where nothing was lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reknit.changes.naming.cast import CASTS, as_cast, narrowest, rounded
from reknit.changes.naming.grid import Grid, as_rounding, find_grid
from reknit.changes.naming.losses import lost
from reknit.changes.naming.mask import as_mask, find_mask

SHAPES = ((48, 32), (16, 8, 3, 3), (24, 64))


def drawn(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def on_grid(a, bits, per, *, offset=False, group=32):
    """An independent rounding, as libraries do it: steps from the largest size, or from the range with a zero point."""
    units = {
        "tensor": lambda: a.reshape(1, -1),
        "row": lambda: a.reshape(len(a), -1),
        "column": lambda: np.moveaxis(a, 1, 0).reshape(a.shape[1], -1),
        "group": lambda: a.reshape(-1, group),
    }[per]()
    if offset:
        low, high = units.min(1, keepdims=True), units.max(1, keepdims=True)
        step = (high - low) / np.float32(2**bits - 1)
        zero = np.round(low / step)
        codes = np.clip(np.round(units / step) - zero, 0, 2**bits - 1) + zero
    else:
        step = np.abs(units).max(1, keepdims=True) / np.float32(2 ** (bits - 1) - 1)
        codes = np.round(units / step)
    values = (codes * step).astype(np.float32)
    if per == "column":
        return np.moveaxis(values.reshape(a.shape[1], a.shape[0], *a.shape[2:]), 0, 1)
    return values.reshape(a.shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("per", ["tensor", "row", "column", "group"])
@pytest.mark.parametrize("offset", [False, True])
def test_every_grid_is_named_with_its_bits_and_its_units(shape, per, offset):
    if per == "group" and (np.prod(shape[1:]) % 32 or np.prod(shape[1:]) <= 32):
        pytest.skip("no groups of 32")
    for bits in (2, 3, 4, 8):
        a = drawn(shape, bits)
        b = on_grid(a, bits, per, offset=offset)
        change = as_rounding(a, b)
        assert change is not None
        assert (change.details["bits"], change.details["per"]) == (bits, per)
        assert as_rounding(b, a) is None


@pytest.mark.parametrize("cast", ["bfloat16", "float16"])
@pytest.mark.parametrize("per", ["tensor", "row", "column"])
def test_a_grid_is_seen_through_a_cast(per, cast):
    a = drawn((64, 64))
    for bits in (2, 3, 4):
        b = rounded(on_grid(a, bits, per), cast).astype(np.float32)
        grid = find_grid(b)
        assert (grid.bits, grid.per, grid.cast) == (bits, per, cast)
        assert grid.agreeing(a).all()


@settings(max_examples=20)
@given(st.sampled_from(SHAPES), st.integers(0, 2**31))
def test_continuous_numbers_lie_on_no_grid_and_went_through_no_cast(shape, seed):
    a = drawn(shape, seed)
    assert find_grid(a) is None
    assert narrowest(a) is None
    # the widest slack there is: a cast alone must not look like a grid
    assert find_grid(rounded(a, "bfloat16").astype(np.float32)) is None


@given(st.sampled_from(CASTS), st.integers(0, 2**31))
def test_a_cast_is_named_by_its_dtype_and_in_one_direction(dtype, seed):
    a = drawn((24, 12), seed)
    b = rounded(a, dtype).astype(np.float32)
    assert narrowest(b) == dtype
    assert as_cast(a, b).details["dtype"] == dtype
    assert as_cast(b, a) is None
    assert as_cast(b, b.copy()) is None
    b.flat[5] = a.flat[5] * np.float32(1.5)  # one number that no cast has made
    assert as_cast(a, b) is None


def test_tables_that_any_dtype_holds_are_no_cast_and_no_grid():
    one_hot = np.eye(16, dtype=np.float32)
    counts = np.arange(64, dtype=np.float32).reshape(8, 8)
    for table in (one_hot, counts):
        assert narrowest(table) is None
        assert lost(table, table.copy()) is None
        assert lost(table, table * 2) is None


def test_one_wrong_code_is_no_rounding():
    a = drawn((64, 64))
    b = on_grid(a, 4, "row")
    k = int(np.abs(b[3]).argsort()[40])
    step = np.abs(a[3]).max() / 7
    b[3, k] -= np.sign(b[3, k]) * np.float32(step)
    grid = find_grid(b)
    assert isinstance(grid, Grid)
    assert (~grid.agreeing(a)).sum() == 1
    assert as_rounding(a, b) is None


def test_zeros_of_a_grid_are_no_mask_and_come_first():
    a = drawn((64, 64))
    b = on_grid(a, 4, "tensor")
    assert (b == 0).mean() > 0.1
    assert find_mask(a, b).area > 0.99  # what it would be taken for
    assert lost(a, b).kind == "grid"


@given(st.floats(0.05, 0.9), st.integers(0, 2**31))
def test_masks_are_told_by_what_chose_them(share, seed):
    a = drawn((32, 48), seed)
    rng = np.random.default_rng(seed)
    by_size = np.where(np.abs(a) > np.quantile(np.abs(a), share), a, 0)
    by_chance = np.where(rng.random(a.shape) > share, a, 0)
    rows = a.copy()
    rows[rng.permutation(32)[: max(1, int(share * 32) - 1)]] = 0
    fours = a.reshape(-1, 4).copy()
    np.put_along_axis(fours, np.argsort(np.abs(fours), axis=1)[:, :2], 0, axis=1)
    fours = fours.reshape(a.shape)
    for b, pattern in (
        (by_size, "by magnitude"),
        (by_chance, "at random"),
        (rows, "whole rows"),
        (fours, "two of four"),
    ):
        change = as_mask(a, b)
        assert change.details["pattern"] == pattern
        assert change.details["share"] == pytest.approx((b == 0).mean())
        assert as_mask(b, a) is None
    b = by_size.copy()
    b[b != 0] *= np.float32(1.1)
    assert as_mask(a, b) is None


def test_what_shapes_or_dtypes_do_not_allow_is_nothing():
    a = drawn((8, 8))
    assert lost(a, a[:4]) is None
    assert lost(a, a) is None
    assert as_cast(a.astype(np.int64), a.astype(np.int64)) is None
    assert find_grid(np.zeros((8, 8), np.float32)) is None
    assert find_grid(np.full((8, 8), np.inf, np.float32)) is None
