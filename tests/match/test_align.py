"""``align``: the verb, its proof and its command."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from match.matched_nets import LIKES, random_tensors, samples, save, traced
from reknit import align
from reknit.cli import main
from reknit.errors import InputError, OutputError, UsageError
from reknit.match import finding
from reknit.match.agreement import direction_agreement, relative_distance
from reknit.skeleton.symmetry import Symmetry

LIKE = LIKES["gpt2"]


@pytest.fixture
def files(tmp_path):
    """A network, a permuted copy, and inputs."""
    _, skeleton = traced(LIKE)
    left = random_tensors(skeleton, 0)
    right = Symmetry.random(skeleton, np.random.default_rng(1)).apply(left)
    np.savez(tmp_path / "data.npz", inputs=samples(LIKE).inputs[0].numpy())
    return save(tmp_path / "a.safetensors", left), save(tmp_path / "b.safetensors", right), tmp_path / "data.npz"


@pytest.mark.parametrize("method", ["weights", "activations"])
def test_a_permuted_copy_is_written_as_the_first(files, tmp_path, method):
    first, second, data = files
    found = align(first, second, like=LIKE, method=method, data=data, out=tmp_path / "c.safetensors")
    assert found.verdict == "exact"
    assert found.distance[0] > 1
    assert found.distance[1] == 0
    assert found.directions[1] > 0.999 > 0.9 > found.directions[0]
    original, aligned = load_file(first), load_file(tmp_path / "c.safetensors")
    assert all(torch.equal(original[key], aligned[key]) for key in original)


def test_the_proof_sees_another_function(files, tmp_path, monkeypatch):
    first, second, _ = files

    class Wrong(Symmetry):
        def apply(self, tensors):
            moved = super().apply(tensors)
            return {key: value * 1.001 if key.endswith("c_fc.weight") else value for key, value in moved.items()}

    def wrongly(skeleton, left, right, **_):
        found = matched(skeleton, left, right)
        return type(found)(Wrong(skeleton, found.symmetry.permutations), found.objective, 1, True)

    matched = finding.match_weights
    monkeypatch.setattr(finding, "match_weights", wrongly)
    with pytest.raises(OutputError, match="would compute something else"):
        align(first, second, like=LIKE, out=tmp_path / "c.safetensors")
    assert align(first, second, like=LIKE).verdict == "failed"
    assert not (tmp_path / "c.safetensors").exists()


def test_halves_stay_halves(tmp_path):
    _, skeleton = traced(LIKES["mlp"])
    left = {key: torch.from_numpy(value).bfloat16() for key, value in random_tensors(skeleton, 0).items()}
    right = Symmetry.random(skeleton, np.random.default_rng(1)).apply(left)
    save_file(left, tmp_path / "a.safetensors")
    save_file({key: value.contiguous() for key, value in right.items()}, tmp_path / "b.safetensors")
    align(tmp_path / "a.safetensors", tmp_path / "b.safetensors", like=LIKES["mlp"], out=tmp_path / "c.safetensors")
    aligned = load_file(tmp_path / "c.safetensors")
    assert all(torch.equal(left[key], aligned[key]) and aligned[key].dtype == torch.bfloat16 for key in left)


def test_what_cannot_be_used_is_said(files, tmp_path):
    first, second, _ = files
    tensors = load_file(first)
    missing = {key: value for key, value in tensors.items() if key != "transformer.wte.weight"}
    save_file(missing, tmp_path / "missing.safetensors")
    with pytest.raises(InputError, match=r"wte.weight is missing"):
        align(first, tmp_path / "missing.safetensors", like=LIKE)
    save_file({**tensors, "more": torch.zeros(2)}, tmp_path / "more.safetensors")
    with pytest.raises(InputError, match="more is in no slot of the skeleton"):
        align(first, tmp_path / "more.safetensors", like=LIKE)
    bad = {**tensors, "transformer.ln_f.bias": torch.full_like(tensors["transformer.ln_f.bias"], float("nan"))}
    save_file(bad, tmp_path / "nan.safetensors")
    with pytest.raises(InputError, match="infinite or undefined"):
        align(first, tmp_path / "nan.safetensors", like=LIKE)
    save_file({**tensors, "transformer.ln_f.bias": torch.zeros(3)}, tmp_path / "shape.safetensors")
    with pytest.raises(InputError, match=r"has the shape \(3,\), its slot \(12,\)"):
        align(first, tmp_path / "shape.safetensors", like=LIKE)
    with pytest.raises(UsageError, match="Choose one of weights, activations"):
        align(first, second, like=LIKE, method="luck")
    with pytest.raises(UsageError, match="Give inputs with --data"):
        align(first, second, like=LIKE, method="activations")
    with pytest.raises(UsageError, match="which are never changed"):
        align(first, second, like=LIKE, out=first, force=True)
    (tmp_path / "there.safetensors").write_bytes(b"")
    with pytest.raises(OutputError, match="exists already"):
        align(first, second, like=LIKE, out=tmp_path / "there.safetensors")
    np.savez(tmp_path / "bad.npz", inputs=np.zeros((4, 3, 8, 8), dtype=np.float32))
    with pytest.raises(InputError, match="does not take the inputs"):
        align(first, second, like=LIKE, data=tmp_path / "bad.npz")


def test_the_command(files, tmp_path, capsys):
    first, second, data = map(str, files)
    out = str(tmp_path / "c.safetensors")
    assert main(["align", first, second, "--like", LIKE, "--data", data, "-o", out, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["verdict"] == "exact"
    assert answer["distance"]["after"] == 0
    assert answer["function"]["inputs"] == "given"
    assert main(["align", first, out, "--like", LIKE]) == 0
    said = capsys.readouterr().out
    assert "0 of " in said
    assert main(["align", first, second, "--like", LIKE, "-o", out]) == 2


def test_agreement_of_equal_and_unrelated_tensors():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 40, 30))
    assert direction_agreement(one, one) == pytest.approx(1)
    assert abs(direction_agreement(one, other)) < 0.2
    assert direction_agreement(one, -one) == pytest.approx(-1)
    assert relative_distance(one, other) == pytest.approx(np.sqrt(2), rel=0.1)
    assert relative_distance(np.zeros(3), np.zeros(3)) == 0
    assert relative_distance(np.zeros(3), np.ones(3)) == np.inf
