"""Tensors by key into a module: ties, counters, and every sentence it refuses with."""

import pytest
import torch

from architectures.networks import build, random_state
from reknit.architectures.configs.gpt2 import Gpt2Config
from reknit.architectures.configs.mlp import MlpConfig
from reknit.architectures.gpt2 import gpt2
from reknit.architectures.load import hold, tied_keys
from reknit.architectures.mlp import mlp
from reknit.errors import InputError

TIED = Gpt2Config(1, 4, 2, 4, 5, 3)
KEYS = ("transformer.wte.weight", "lm_head.weight")


def test_one_key_of_a_tied_tensor_is_enough():
    module = build(gpt2, TIED)
    assert tied_keys(module) == [KEYS]
    state = random_state(module)
    other = {KEYS[1] if key == KEYS[0] else key: value for key, value in state.items()}
    for given in (state, other, state | other):
        held = hold(build(gpt2, TIED), given).state_dict()
        assert held[KEYS[0]].data_ptr() == held[KEYS[1]].data_ptr() == state[KEYS[0]].data_ptr()


def test_tensors_are_held_as_they_are_and_not_trained_on():
    state = random_state(build(gpt2, TIED), dtype=torch.float16)
    module = hold(build(gpt2, TIED), state)
    assert {tensor.dtype for tensor in module.state_dict().values()} == {torch.float16}
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_counters_may_be_missing():
    config = MlpConfig((2, 3, 1), batch_norm=True)
    state = {key: value for key, value in random_state(build(mlp, config)).items() if "num_batches" not in key}
    assert torch.isfinite(hold(build(mlp, config), state)(torch.ones(2, 2, dtype=torch.float64))).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"layers.0.weight": None},
            "Mlp: layers.0.weight missing. Leave away from the config what the file does not hold.",
        ),
        (
            {f"layers.{k}.{part}": None for k in (0, 1) for part in ("weight", "bias")},
            "Mlp: layers.0.weight, layers.0.bias, layers.1.weight and 1 more missing. Leave away from the config what ",
        ),
        ({"extra": torch.ones(1)}, "Mlp: there is no slot for extra. Add to the config what the file holds."),
        (
            {"layers.0.weight": torch.ones(2, 3)},
            "Mlp: layers.0.weight has the shape (2, 3), its slot (3, 2). Change the sizes of the config.",
        ),
    ],
)
def test_what_does_not_fit_is_named(change, sentence):
    module = build(mlp, MlpConfig((2, 3, 1)))
    state = {key: value for key, value in (random_state(module) | change).items() if value is not None}
    with pytest.raises(InputError) as caught:
        hold(module, state)
    assert str(caught.value).startswith(sentence)


def test_tied_tensors_that_differ_are_refused():
    module = build(gpt2, TIED)
    state = random_state(module)
    for other in (state[KEYS[0]] + 1, state[KEYS[0]][:, :2]):
        with pytest.raises(InputError, match=f"{KEYS[0]} and {KEYS[1]} are one tensor in this architecture but differ"):
            hold(module, state | {KEYS[1]: other})
