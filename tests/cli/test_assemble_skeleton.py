"""``reknit assemble --like``: statuses, the summary, JSON, the folder, refusals as sentences; help loads no torch."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from own_code import BLOCK
from reknit.cli import main

CODE = f"""{BLOCK}
def net():
    return nn.Sequential(Block(), nn.Linear(6, 2))

def twins():
    return nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """Two nets of the user's own, piles and records of them; the callable's place."""
    name = "nets_of_assemble"
    (tmp_path / f"{name}.py").write_text(CODE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    scope: dict[str, object] = {}
    exec(CODE, scope)
    generator = torch.Generator().manual_seed(3)
    for net in ("net", "twins"):
        module = scope[net]().requires_grad_(False)
        state = {key: torch.randn(value.shape, generator=generator) for key, value in module.state_dict().items()}
        module.load_state_dict(state)
        save_file({f"t{k}": state[key].numpy() for k, key in enumerate(sorted(state))}, f"{net}.safetensors")
        x = torch.randn(20, module[-1].in_features, generator=generator)
        np.savez(f"{net}.npz", inputs=x.numpy(), outputs=module(x).numpy())
    yield name
    sys.modules.pop(name, None)


def run(capsys, *arguments):
    """The status, stdout and stderr of ``reknit assemble``."""
    status = main(["assemble", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_weights_alone_leave_it_ambiguous_with_status_3(nets, capsys):
    status, out, err = run(capsys, "twins.safetensors", "--like", f"{nets}:twins")
    assert status == 3
    rows = {line[:11].strip(): line[11:].strip() for line in out.splitlines() if line[:11].strip()}
    assert rows["verdict"] == "ambiguous"
    assert rows["network"] == f"{nets}:twins"
    assert rows["read from"] == "the skeleton that was given"
    assert rows["residual"] == "no outputs were given"
    assert rows["slots"] == "4, of which 0 are certain"
    assert rows["undecided"] == "0.weight, 2.weight"
    assert "0.bias, 2.bias" in out
    assert rows["model"] == "not written; --out DIR writes it"
    assert [line.split("  ")[0] for line in err.splitlines()] == [
        "reading",
        "tracing the skeleton",
        "placing by weights",
    ]


def test_recorded_outputs_make_it_exact_with_status_0_and_the_folder_holds_the_network(nets, capsys, tmp_path):
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    status, out, _ = run(
        capsys, "twins.safetensors", "--like", f"{nets}:twins", "--data", "twins.npz", "--link", "identity",
        "--input", "1x3", "--out", "made", "--json",
    )  # fmt: skip
    assert status == 0
    answer = json.loads(out)
    assert answer["verdict"] == "exact"
    assert answer["undecided"] == []
    assert answer["residual"]["max_abs"][0] <= answer["residual"]["tolerance"][0]
    stored = json.loads((tmp_path / "made" / "assembly.json").read_text(encoding="utf-8"))
    assert stored.keys() - answer.keys() == {"run", "evidence"}
    assert answer == {key: stored[key] for key in answer}
    state = load_file(tmp_path / "made" / "model.safetensors")
    recorded = np.load("twins.npz")
    hidden = np.maximum(recorded["inputs"] @ state["0.weight"].T + state["0.bias"], 0)
    np.testing.assert_allclose(
        hidden @ state["2.weight"].T + state["2.bias"], recorded["outputs"], rtol=1e-4, atol=1e-5
    )
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("link", [[], ["--link", "top-k"]])
def test_labels_make_it_consistent_and_never_exact(nets, capsys, link):
    module = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    state = {key: torch.randn(value.shape, generator=generator) for key, value in module.state_dict().items()}
    module.load_state_dict(state)
    save_file({f"t{k}": state[key].numpy() for k, key in enumerate(sorted(state))}, "pile.safetensors")
    x = torch.randn(400, 3, generator=generator)
    np.savez("labels.npz", inputs=x.numpy(), outputs=module(x).argmax(1).numpy())
    status, out, _ = run(capsys, "pile.safetensors", "--like", f"{nets}:twins", "--data", "labels.npz", *link, "--json")
    answer = json.loads(out)
    assert (status, answer["verdict"]) == (0, "consistent")
    assert "all 400 recorded labels are reproduced" in answer["reason"]
    assert (answer["residual"]["numbers"], answer["residual"]["contradicted"]) == (400, 0)
    assert {slot["slot"]: slot["piece"].rpartition(":")[2] for slot in answer["slots"]} == {
        "0.bias": "t0", "0.weight": "t1", "2.bias": "t2", "2.weight": "t3",
    }  # fmt: skip


def test_a_net_whose_shapes_all_differ_is_certain_in_every_slot_and_still_unproved(nets, capsys):
    status, out, _ = run(capsys, "net.safetensors", "--like", f"{nets}:net", "--json")
    answer = json.loads(out)
    # 0.out.bias (6), 0.inp.bias (8) and the head's (2) differ, and so do the matrices
    assert (status, answer["verdict"]) == (3, "ambiguous")
    assert answer["residual"] is None
    assert answer["undecided"] == []
    assert all(slot["certain"] for slot in answer["slots"])
    assert answer["reason"].endswith("no outputs were given, so nothing is proved")


def test_a_folder_is_not_written_over(nets, capsys):
    arguments = ("net.safetensors", "--like", f"{nets}:net", "--out", "made")
    assert run(capsys, *arguments)[0] == 3
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert "holds a finished assembly" in err
    assert run(capsys, *arguments, "--force")[0] == 3


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ("--target y", "--target"),
        ("--inputs x_*", "--inputs"),
        ("--activation relu", "--activation"),
        ("--norm none", "--norm"),
        ("--rows 3", "--rows"),
        ("--choose whitened", "--choose"),
        ("--threads 0", "--threads"),
        ("--resume", "--resume"),
        ("--link logit", "--link"),
        ("--noise -1", "--noise"),
        ("--input 1y3", "--input"),
    ],
)
def test_what_does_not_go_with_a_skeleton_is_refused_by_name(nets, capsys, options, where):
    status, out, _ = run(capsys, "net.safetensors", "--like", f"{nets}:net", *options.split(), "--json")
    assert status == 2
    assert json.loads(out)["where"] == where


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["net.safetensors", "--like", "nothing here"], "is no folder, no built-in architecture and no callable"),
        (["net.safetensors", "--like", "nets_of_assemble:twins"], "slots of shape 3 x 3 and the pile 0 tensors"),
        (["twins.safetensors", "--data", "twins.npz", "--link", "softmax"], "it goes with a skeleton"),
        (
            ["net.safetensors", "--like", "nets_of_assemble:net", "--data", "twins.npz"],
            "does not take the recorded inputs",
        ),
        (["none.safetensors", "--like", "nets_of_assemble:net"], "none.safetensors"),
    ],
)
def test_refusals_are_one_sentence_with_status_2(nets, capsys, arguments, words):
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["--help"], ["assemble", "--help"]])
def test_help_loads_no_torch(arguments):
    code = "import sys; from reknit.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "assemble" in done.stdout
    if "assemble" in arguments:
        assert all(option in done.stdout for option in ("--like", "--input", "--link"))
