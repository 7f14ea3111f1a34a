"""Buffers that are in no checkpoint have their values again once a module is to compute."""

import importlib
import sys
import threading

import pytest
import torch
from torch import nn

from reknit.errors import InputError
from reknit.skeleton.constants import constants_of, with_constants
from reknit.skeleton.like import resolve

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        from helper_of_constants import STEP
        self.inner = nn.Linear(4, 4)
        self.inner.register_buffer("kept", torch.ones(4))
        self.inner.register_buffer("steps", STEP * torch.arange(4.0), persistent=False)

    def forward(self, x):
        return self.inner(x) + self.inner.steps + self.inner.kept

def net():
    return Net(), torch.zeros(2, 4)

made = Net()
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The user's code where the user stands; it imports more of it when it is called."""
    (tmp_path / "nets_of_constants.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "helper_of_constants.py").write_text("STEP = 3.0\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("nets_of_constants", "helper_of_constants"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["net", "Net", "made"])
def test_constants_of_the_users_module(here, name):
    like = resolve(f"nets_of_constants:{name}", None if name == "net" else "2x4")
    assert list(constants_of(like.module)) == ["inner.steps"]
    sys.modules.pop("helper_of_constants", None)
    module = like.fillable()
    assert module.inner.steps.tolist() == [0, 3, 6, 9]
    assert module.inner.weight.is_meta
    assert module.inner.kept.is_meta
    assert not module.training
    assert like.module.inner.steps.is_meta  # a copy was filled
    assert module.state_dict().keys() == like.module.state_dict().keys()


def test_a_constant_that_cannot_be_had_is_named():
    with torch.device("meta"):
        module = nn.Linear(2, 2)
        module.register_buffer("table", torch.zeros(3), persistent=False)
    with pytest.raises(InputError, match="table"):
        with_constants(module, {}, None, "net")
    assert with_constants(module, {"table": torch.arange(3)}, None, "net").table.tolist() == [0, 1, 2]


def test_nothing_is_made_again_without_need():
    def never() -> nn.Module:
        raise AssertionError

    module = nn.Linear(2, 2).to("meta")
    assert with_constants(module, {}, never, "net").weight.is_meta


def test_the_users_own_module_stays_as_it_is_and_what_is_tied_stays_tied(here):
    made = importlib.import_module("nets_of_constants").made
    made.other = nn.Linear(4, 4)
    made.other.weight = made.inner.weight
    like = resolve("nets_of_constants:made", "2x4")
    assert made.inner.weight.device.type == "cpu"
    assert like.module.other.weight is like.module.inner.weight
    assert resolve("nets_of_constants:made", "2x4").fillable().inner.steps.tolist() == [0, 3, 6, 9]


def test_a_module_that_cannot_be_copied_is_refused(here, monkeypatch):
    made = importlib.import_module("nets_of_constants").made
    monkeypatch.setattr(made, "lock", threading.Lock(), raising=False)
    with pytest.raises(InputError, match="cannot be copied"):
        resolve("nets_of_constants:made", "2x4")
