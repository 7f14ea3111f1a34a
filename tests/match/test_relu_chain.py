"""Which modules are plain chains of linear layers with ReLU: as computed where they are, refused by name elsewhere."""

import numpy as np
import pytest
import torch
from torch import nn

from match.matched_nets import LIKES, random_tensors, samples, traced
from reknit.errors import InputError
from reknit.match.computing import Computer
from reknit.match.laftr import outputs
from reknit.match.relu_chain import chain_inputs, check_chain, relu_chain
from reknit.match.samples import draw_samples
from reknit.skeleton.like import Like
from reknit.skeleton.trace import trace


def runner_of(module, shape=(2, 4)):
    with torch.device("meta"):
        like = Like("net", module().eval(), (torch.zeros(shape),), "")
    return Computer(like, trace(like.module, like.inputs, name="net"))


class Turned(nn.Module):
    """Weights as inputs x outputs, images flattened, one layer without a bias, one answer."""

    def __init__(self):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.zeros(4, 6)), nn.Parameter(torch.zeros(6))
        self.middle, self.v = nn.Linear(6, 6, bias=False), nn.Parameter(torch.zeros(6, 1))

    def forward(self, x):
        hidden = torch.relu(torch.addmm(self.b, x.flatten(1), self.w))
        return torch.relu(self.middle(hidden)) @ self.v


def plain():
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


def normed():
    layers = [nn.BatchNorm1d(4), nn.Linear(4, 6), nn.BatchNorm1d(6, eps=0.1), nn.ReLU(), nn.Dropout(), nn.Linear(6, 6)]
    return nn.Sequential(*layers, nn.Linear(6, 5), nn.ReLU(), nn.BatchNorm1d(5, affine=False), nn.Linear(5, 3))


@pytest.mark.parametrize(("module", "shape"), [(plain, (2, 4)), (normed, (2, 4)), (Turned, (2, 2, 2))])
def test_a_chain_answers_what_the_module_does(module, shape):
    runner = runner_of(module, shape)
    tensors = random_tensors(runner.skeleton, 0)
    chain = relu_chain(runner.skeleton)
    asked = draw_samples(runner.like, runner.skeleton, torch.Generator().manual_seed(0), 30)
    ours = outputs(chain(tensors), chain_inputs(asked, "net"))
    np.testing.assert_allclose(ours, runner.answers(tensors, asked, torch.float64)[0].numpy(), rtol=1e-8)
    check_chain(chain, runner, tensors, asked)
    assert chain.fingerprint(tensors) != chain.fingerprint(random_tensors(runner.skeleton, 1))


REFUSED = {
    "gelu": (lambda: nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3)), "gelu stands before 2"),
    "conv": (lambda: nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 3, 2), nn.Flatten()), "1 is conv1d"),
    "layer norm": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 3)),
        "1 is layer_norm",
    ),
    "nothing": (nn.ReLU, "it has no layers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_plain_is_refused_by_name(name):
    module, words = REFUSED[name]
    with pytest.raises(InputError, match=f"net: {words}. LAFTR is for plain chains of linear layers with ReLU"):
        relu_chain(runner_of(module).skeleton)


class Residual(nn.Module):
    def __init__(self, kind="residual"):
        super().__init__()
        self.a, self.b, self.kind = nn.Linear(4, 4), nn.Linear(4, 4), kind

    def forward(self, x):
        hidden = torch.relu(self.a(x))
        return {
            "residual": lambda: hidden + self.b(hidden),
            "branches": lambda: hidden + torch.relu(self.b(x)),
            "tied": lambda: self.a(hidden),
            "gate": lambda: hidden * self.b(hidden),
            "scaled": lambda: 2 * self.b(hidden),
            "far": lambda: self.b(hidden.clamp(max=100)),
            "softmax": lambda: self.b(hidden).softmax(-1),
            "two": lambda: (self.b(hidden), hidden),
            "some": lambda: self.b(hidden)[:, :2],
            "ids": lambda: self.b(hidden).argmax(-1),
        }[self.kind]()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("residual", "answers are not those of its layers"),
        ("branches", "it has branches"),
        ("tied", "a is used twice"),
        ("gate", "values of several layers meet in mul"),
        ("scaled", "answers are not those of its layers"),
        ("far", "answers are not those of its layers"),
        ("softmax", "answers are not those of its layers"),
        ("two", "does not answer one tensor of numbers"),
        ("some", "does more to its inputs or answers than its layers do"),
        ("ids", "argmax is not understood"),
    ],
)
def test_what_a_skeleton_does_not_tell_is_found_by_the_answers(kind, words):
    runner = runner_of(lambda: Residual(kind))
    asked = draw_samples(runner.like, runner.skeleton, torch.Generator().manual_seed(0), 30)
    with pytest.raises(InputError, match=words):
        check_chain(relu_chain(runner.skeleton), runner, random_tensors(runner.skeleton, 0), asked)


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "preact-resnet", "residual-mlp", "conv-chain"])
def test_other_architectures_are_refused(name):
    with pytest.raises(InputError, match="LAFTR is for plain chains"):
        relu_chain(traced(LIKES[name])[1])


def test_token_numbers_are_no_vectors():
    with pytest.raises(InputError, match="its input is not one vector of numbers a row"):
        chain_inputs(samples(LIKES["gpt2"]), "net")
