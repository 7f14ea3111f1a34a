"""``reknit couple``: a network's own code, groups with their reasons, JSON, refusals by name."""

import json
import sys

import pytest

from reknit.cli import main
from reknit.skeleton.saved import from_json

CODE = """
import torch
from torch import nn

def mlp():
    return nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 3))

class Spectrum(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = nn.Linear(4, 6)

    def forward(self, x):
        return torch.fft.rfft(self.inp(x)).abs()
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    name = "nets_of_couple"
    (tmp_path / f"{name}.py").write_text(CODE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_groups_are_printed_with_their_reasons(nets, capsys):
    assert main(["couple", f"{nets}:mlp"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert (
        out
        == f"""\
0: 8 units on 3 axes
  0.weight[0] => 0.bias[0] because linear
  0.weight[0] => 2.weight[1] because linear, gelu, linear

2: 3 units on 2 axes; fixed: output
  2.weight[0] => 2.bias[0] because linear

fixed: input
  0.weight[1]: 4 units

{nets}:mlp: 4 slots, 3 groups; 1 may be permuted, 2 may not
"""
    )


def test_json_is_the_skeleton(nets, capsys):
    assert main(["couple", f"{nets}:mlp", "--json"]) == 0
    skeleton = from_json(json.loads(capsys.readouterr().out))
    assert [group.name for group in skeleton.groups if not group.fixed] == ["0"]
    assert [slot.family for slot in skeleton.slots] == ["*.weight", "*.bias", "*.weight", "*.bias"]


def test_an_operation_that_is_not_understood_is_named(nets, capsys):
    assert main(["couple", f"{nets}:Spectrum", "--input", "2x4"]) == 0
    assert "not understood: fft_rfft; fixed for it: inp\n" in capsys.readouterr().out


def test_bad_input_is_one_sentence(nets, capsys):
    assert main(["couple", f"{nets}:mlp", "--input", "2x5"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("reknit: ")
    assert len(err.splitlines()) == 1
