"""Training: it learns, it repeats, and it leaves the random state of others alone."""

import random

import numpy as np
import pytest
import torch

from reknit.errors import UsageError
from reknit.network.spec import ResidualSpec
from reknit.puzzle.train import initial_model, train_network

SMALL = {"blocks": 2, "width": 6, "hidden": 8, "data": "diabetes"}


def test_training_lowers_the_loss():
    trained = train_network(**SMALL, epochs=5)
    assert trained.loss_after < 0.8 * trained.loss_before


def test_classes_are_learned():
    trained = train_network(blocks=2, width=16, hidden=16, epochs=4)
    right = (trained.outputs.argmax(1) == trained.truth).double().mean()
    assert trained.outputs.shape == (1797, 10)
    assert right > 0.4  # chance gives 0.1


def test_outputs_are_those_of_the_model_on_the_projected_features():
    trained = train_network(**SMALL, epochs=1, norm="layer", activation="gelu")
    inputs = (trained.dataset.features @ trained.projection).astype(np.float32)
    assert torch.equal(trained.inputs, torch.from_numpy(inputs))
    assert torch.equal(trained.outputs, trained.model(trained.inputs))
    error = ((trained.outputs[:, 0] - trained.truth) ** 2).mean().item()
    assert trained.loss_after == pytest.approx(error, rel=1e-5)


def test_the_norm_also_stands_before_the_head():
    assert train_network(**SMALL, epochs=0, norm="rms").spec.final_norm == "rms"


def test_no_epochs_leave_the_initial_weights():
    trained = train_network(**SMALL, epochs=0)
    assert trained.loss_before == trained.loss_after
    weight = trained.model.state_dict()["blocks.0.in.weight"]
    bound = 1 / np.sqrt(SMALL["width"])
    assert 0.8 * bound < weight.abs().max() <= bound


def test_initial_weights_are_distributed_as_those_of_torch():
    spec = ResidualSpec(blocks=1, width=50, hidden=400, outputs=1)
    ours = initial_model(spec, torch.Generator().manual_seed(0)).state_dict()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = {"in": torch.nn.Linear(50, 400), "out": torch.nn.Linear(400, 50)}
    for layer, linear in theirs.items():
        for part in ("weight", "bias"):
            mine, torchs = ours[f"blocks.0.{layer}.{part}"], getattr(linear, part)
            assert mine.std().item() == pytest.approx(torchs.std().item(), rel=0.15)
            assert mine.abs().max().item() == pytest.approx(torchs.abs().max().item(), rel=0.15)


def test_same_seed_same_network_other_seed_another():
    first, again, other = (train_network(**SMALL, epochs=2, seed=seed) for seed in (3, 3, 4))
    weights = [net.model.state_dict()["blocks.1.out.weight"] for net in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(first.outputs, again.outputs)


def _global_states():
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002


def test_global_random_state_is_neither_read_nor_changed():
    before = _global_states()
    first = train_network(**SMALL, epochs=1)
    assert _global_states() == before
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        assert torch.equal(first.outputs, train_network(**SMALL, epochs=1).outputs)


def test_every_epoch_is_reported():
    seen = []
    train_network(**SMALL, epochs=3, on_epoch=lambda epoch, loss: seen.append((epoch, loss)))
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert seen[-1][1] < seen[0][1]


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"blocks": 0}, "--blocks"),
        ({"width": 0}, "--width"),
        ({"hidden": -1}, "--hidden"),
        ({"batch": 0}, "--batch"),
        ({"epochs": -1}, "--epochs"),
        ({"seed": -1}, "--seed"),
        ({"activation": "swish"}, "--activation"),
        ({"norm": "batch"}, "--norm"),
        ({"data": "mnist"}, "--data"),
    ],
)
def test_options_without_meaning_are_refused_by_name(options, where):
    with pytest.raises(UsageError) as caught:
        train_network(**(SMALL | options))
    assert caught.value.where == where


def test_divergence_is_said():
    with pytest.raises(UsageError, match="training diverged"):
        train_network(**SMALL, epochs=3, learning_rate=1e30)
