import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_nets import bert_scene, mlp_scene

from reknit.wiring.recording import Recording
from reknit.wiring.tensor_effects import Mixture, tensor_effects


def setting(scene):
    """The recording, all tensors as placed, and mixtures with random shares."""
    values = {slot: scene.tensors[name] for slot, name in scene.placement.items()}
    recording = Recording.of(scene.module, values, scene.inputs, scene.outputs)
    generator = torch.Generator().manual_seed(5)
    mixtures = [
        Mixture(
            pool.slots,
            tuple(scene.tensors[pool.tensors[0]].shape),
            pool.stacked(scene.tensors),
            torch.rand(len(pool.slots), len(pool.slots), generator=generator).softmax(1),
        )
        for pool in scene.pools
    ]
    return recording, values, mixtures


@settings(max_examples=6)
@given(st.integers(0, 5), st.integers(1, 2))
def test_effects_are_derivatives_by_the_shares(seed, axes):
    scene = mlp_scene(seed, inputs=3, most_axes=axes)
    recording, values, mixtures = setting(scene)
    # 3 inputs of 5 answers each: so many rows that every number is a direction of its own
    found = tensor_effects(recording, values, mixtures, 100, torch.Generator().manual_seed(seed))
    assert found.residual.shape == (15,)
    inside = torch.cat([part.target[:, 0] for part, _ in found.directions])
    order = [recording.target[:, 0].tolist().index(first) for first in inside.tolist()]

    def answers(*shares):
        moved = dict(values)
        for mixture, own in zip(mixtures, shares, strict=True):
            moved.update(Mixture(mixture.slots, mixture.shape, mixture.tensors, own).values())
        return recording.answers(moved)[order].reshape(-1)

    wanted = torch.autograd.functional.jacobian(answers, tuple(mixture.shares for mixture in mixtures))
    for effects, derivative in zip(found.effects, wanted, strict=True):
        torch.testing.assert_close(effects, derivative, rtol=1e-3, atol=1e-5)


def test_random_directions_see_the_size_of_a_change():
    scene = bert_scene(0)
    recording, values, mixtures = setting(scene)
    found = tensor_effects(recording, values, mixtures, 800, torch.Generator().manual_seed(0))
    changed = {slot: value for mixture in mixtures for slot, value in mixture.values().items()}
    seen = found.residual_of({**values, **changed})
    torch.testing.assert_close(seen, found.residual, rtol=1e-3, atol=1e-4)
    size = (found.weights * found.residual.square()).sum().sqrt()
    assert abs(size / recording.residual({**values, **changed}).norm() - 1) < 0.1


class Loud(torch.autograd.Function):
    """The identity, with a derivative that has no rule for batches."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float(gradient.numel() > 0)


class Wrapped(torch.nn.Module):
    def __init__(self, module, loud):
        super().__init__()
        self.module, self.loud = module, loud
        self.unused = torch.nn.Parameter(torch.zeros(12))

    def forward(self, x):
        return {"answer": Loud.apply(self.module(x)) if self.loud else self.module(x)}


def test_an_operation_without_a_rule_for_batches_and_a_slot_without_effect():
    scene = mlp_scene(1, inputs=4)
    found = []
    for loud in (False, True):
        module = Wrapped(scene.module, loud)
        values = {f"module.{slot}": scene.tensors[name] for slot, name in scene.placement.items()}
        values["unused"] = torch.ones(12)
        slots = ("module.blocks.0.norm.bias", "unused")
        recording = Recording.of(module, values, scene.inputs, {"answer": scene.outputs})
        mixture = Mixture(slots, (12,), torch.stack([values[slot] for slot in slots]), torch.eye(2))
        found.append(tensor_effects(recording, values, [mixture], 8, torch.Generator().manual_seed(0)).effects[0])
    torch.testing.assert_close(*found)
    assert found[0][:, 0].abs().max() > 0
    assert found[0][:, 1].abs().max() == 0


def test_of_many_labels_those_of_the_largest_deviance_are_asked():
    scene = mlp_scene(0)
    values = {slot: scene.tensors[name] for slot, name in scene.placement.items()}
    recording = Recording.of(scene.module, values, scene.inputs, scene.outputs.argmax(1))
    pool = scene.pools[0]
    shape = tuple(scene.tensors[pool.tensors[0]].shape)
    held = [Mixture(pool.slots, shape, pool.stacked(scene.tensors), torch.eye(len(pool.slots)))]  # as it is placed
    model = tensor_effects(recording, values, held, 10, torch.Generator().manual_seed(0), groups=1)
    whole = recording.tuned(values).residual(values).reshape(-1).abs()
    torch.testing.assert_close(model.residual.abs().sort().values, whole.sort().values[-10:])
    torch.testing.assert_close(model.residual_of(values), model.residual)
