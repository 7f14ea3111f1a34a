"""The picture holds the pixels it was given."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reknit.report.png import data_address, png
from report.page_reader import read_png


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_reads_back(rows, columns, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (rows, columns), dtype=np.uint8)
    palette = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    found, colours = read_png(png(pixels, palette))
    np.testing.assert_array_equal(found, pixels)
    np.testing.assert_array_equal(colours, palette)


def test_address_needs_no_network():
    address = data_address(np.zeros((1, 1), np.uint8), np.zeros((1, 3), np.uint8))
    assert address.startswith("data:image/png;base64,iVBOR")
