"""The size of rounding steps, against numpy's and torch's own neighbours."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.containers.dtypes import NUMPY_DTYPES, float_step, is_float, is_integer


@given(st.floats(width=32, allow_nan=False, allow_infinity=False).filter(lambda v: abs(v) < 3e38))
def test_a_float32_step_is_the_spacing_of_numpy(value):
    assert float_step(np.float32([value]), "float32")[0] == np.spacing(np.abs(np.float32(value)))


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_the_step_of_every_value_leads_to_its_neighbour(name):
    dtype = NUMPY_DTYPES[name]
    bits = np.arange(2 ** (8 * dtype.itemsize - 1), dtype=f"u{dtype.itemsize}")
    with np.errstate(invalid="ignore"):
        values = bits.view(dtype).astype(np.float64)
    finite = np.isfinite(values)
    values = values[: np.argmin(finite)] if not finite.all() else values
    np.testing.assert_array_equal(float_step(values[:-1], name), np.diff(values))
    np.testing.assert_array_equal(float_step(-values[:-1], name), np.diff(values))


def test_the_least_step_is_the_least_number():
    assert float_step(np.zeros(1), "float16") == float(ml_dtypes.finfo(np.float16).smallest_subnormal)


def test_kinds():
    assert [name for name in NUMPY_DTYPES if not is_float(name) and not is_integer(name)] == [
        "complex64",
        "complex128",
        "bool",
    ]
    assert not is_float("int8")
    assert is_integer("uint8")
