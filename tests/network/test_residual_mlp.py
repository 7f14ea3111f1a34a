"""The module against a plain reference in numpy, written from the equation."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from reknit.network.activations import ACTIVATIONS
from reknit.network.norms import NORMS
from reknit.network.residual_mlp import ResidualMLP
from reknit.network.spec import ResidualSpec

REFERENCE_ACTIVATIONS = {
    "relu": lambda z: np.maximum(z, 0),
    "gelu": lambda z: z * special.ndtr(z),
    "silu": lambda z: z * special.expit(z),
    "tanh": np.tanh,
    "gelu-tanh": lambda z: z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    "leaky-relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "sigmoid": special.expit,
}
REFERENCE_NORMS = {
    "none": lambda x: x,
    "layer": lambda x: (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5),
    "rms": lambda x: x / np.sqrt((x**2).mean(-1, keepdims=True) + 2.0**-23),
}
SPECS = st.builds(
    ResidualSpec,
    blocks=st.integers(1, 4),
    width=st.integers(1, 6),
    hidden=st.integers(1, 6),
    outputs=st.integers(1, 3),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    norm=st.sampled_from(sorted(NORMS)),
    final_norm=st.sampled_from(sorted(NORMS)),
)


def random_tensors(spec, seed, keep=lambda key: True):
    """Weights for a spec, in float64; a bias is left out where ``keep`` says no."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in ResidualMLP(spec).state_dict().items()}
    return {
        key: torch.randn(shape, dtype=torch.float64, generator=generator)
        for key, shape in shapes.items()
        if key.endswith(".weight") or keep(key)
    }


def reference(spec, tensors, x):
    """``x -> x + out(act(in(norm(x))))``, n times, then final norm and head."""

    def linear(key, value):
        bias = tensors.get(f"{key}.bias")
        return value @ tensors[f"{key}.weight"].numpy().T + (0 if bias is None else bias.numpy())

    act, norm = REFERENCE_ACTIVATIONS[spec.activation], REFERENCE_NORMS[spec.norm]
    for k in range(spec.blocks):
        x = x + linear(f"blocks.{k}.out", act(linear(f"blocks.{k}.in", norm(x))))
    return linear("head", REFERENCE_NORMS[spec.final_norm](x))


def test_the_references_cover_every_name():
    assert set(REFERENCE_ACTIVATIONS) == set(ACTIVATIONS)
    assert set(REFERENCE_NORMS) == set(NORMS)


@given(spec=SPECS, seed=st.integers(0, 2**31), rows=st.integers(0, 4), every=st.integers(1, 3))
def test_forward_is_the_equation(spec, seed, rows, every):
    tensors = random_tensors(spec, seed, keep=lambda key: hash_free(key) % every == 0)
    x = np.random.default_rng(seed).standard_normal((rows, spec.width))
    answer = ResidualMLP.from_tensors(spec, tensors)(torch.from_numpy(x)).numpy()
    expected = reference(spec, tensors, x)
    assert answer.shape == (rows, spec.outputs)
    np.testing.assert_allclose(answer, expected, rtol=1e-9, atol=1e-9 * max(1, np.abs(expected).max(initial=0)))


def hash_free(key):
    """A number from a key that is the same in every process."""
    return sum(key.encode())


@given(spec=SPECS)
def test_spec_survives_its_config(spec):
    assert ResidualSpec.from_config(spec.as_config() | {"version": "9"}) == spec


def test_keys_are_the_documented_ones():
    spec = ResidualSpec(blocks=1, width=2, hidden=3, outputs=1)
    layers = ["blocks.0.in", "blocks.0.out", "head"]
    assert sorted(ResidualMLP(spec).state_dict()) == [f"{key}.{part}" for key in layers for part in ("bias", "weight")]


def test_a_missing_weight_is_not_filled_in():
    spec = ResidualSpec(blocks=1, width=2, hidden=3, outputs=1)
    tensors = random_tensors(spec, 0)
    del tensors["blocks.0.in.weight"]
    with pytest.raises(RuntimeError, match=r"blocks\.0\.in\.weight"):
        ResidualMLP.from_tensors(spec, tensors)
