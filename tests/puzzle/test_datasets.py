"""The data sets are standardised, and the projection keeps what it promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.errors import UsageError
from reknit.puzzle.datasets import DATASETS, load_dataset, projection


@pytest.mark.parametrize(("name", "rows", "features", "outputs"), [("digits", 1797, 64, 10), ("diabetes", 442, 10, 1)])
def test_bundled_tables_have_the_known_sizes(name, rows, features, outputs):
    data = load_dataset(name)
    assert data.features.shape == (rows, features)
    assert data.truth.shape == (rows,)
    assert data.outputs == outputs


@pytest.mark.parametrize("name", DATASETS)
def test_columns_are_standardised(name):
    data = load_dataset(name)
    spread = data.features.std(0)
    np.testing.assert_allclose(data.features.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(spread[spread > 0], 1)
    if data.classification:
        assert set(data.truth) == set(range(data.outputs))
    else:
        np.testing.assert_allclose(
            [data.truth.mean(dtype=np.float64), data.truth.std(dtype=np.float64)], [0, 1], atol=1e-6
        )


def test_untouched_pixels_become_zero():
    data = load_dataset("digits")
    assert not data.features[:, 0].any()
    assert np.isfinite(data.features).all()


@given(features=st.integers(1, 20), width=st.integers(1, 20), seed=st.integers(0, 2**31))
def test_projection_is_a_scaled_orthonormal_frame(features, width, seed):
    P = projection(features, width, np.random.default_rng(seed))
    assert P.shape == (features, width)
    gram = P @ P.T if features <= width else P.T @ P
    scale = width / features if features <= width else 1.0
    np.testing.assert_allclose(gram, scale * np.eye(len(gram)), atol=1e-12)


def test_unknown_name_lists_the_choices():
    with pytest.raises(UsageError) as caught:
        load_dataset("mnist")
    assert str(caught.value) == "--data: there is no data set 'mnist'. Choose one of digits, diabetes, friedman."
