"""An assembly in a folder: what is written, and that it can be read back to report again."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import sample_assemblies
import torch

from reknit.assembly.folder import load_assembly, save_assembly
from reknit.errors import InputError, OutputError
from reknit.network.residual_mlp import ResidualMLP
from reknit.network.saved import load_model


def _with_model(assembly):
    generator = np.random.default_rng(0)
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in ResidualMLP(assembly.spec).state_dict().items()}
    tensors = {
        key: np.float32(0.05) * generator.standard_normal(tuple(shape), np.float32) for key, shape in shapes.items()
    }
    return replace(assembly, tensors=tensors)


@pytest.fixture(params=["exact", "ambiguous", "single", "many_outputs"])
def assembly(request):
    return _with_model(getattr(sample_assemblies, request.param)())


def _strict(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_the_folder_holds_model_config_and_answer(tmp_path, assembly):
    assembly.save(tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["assembly.json", "config.json", "model.safetensors"]
    answer = _strict(tmp_path / "out" / "assembly.json")
    assert answer["verdict"] == assembly.verdict
    assert answer["order"] == list(assembly.order)
    assert answer["run"]["data"] == assembly.run["data"]
    config = _strict(tmp_path / "out" / "config.json")
    assert config == assembly.spec.as_config() | {"version": "0.1.0"}
    model = load_model(tmp_path / "out")
    x = torch.randn(4, assembly.spec.width, generator=torch.Generator().manual_seed(1))
    assert torch.isfinite(model(x)).all()
    assert torch.equal(model(x), assembly.model(x))


def test_what_is_read_back_is_what_was_written(tmp_path, assembly):
    save_assembly(assembly, tmp_path / "out", force=False)
    again = load_assembly(tmp_path / "out")
    for name in ("verdict", "reason", "order", "undecided", "residual", "seconds", "spec", "run"):
        assert getattr(again, name) == getattr(assembly, name), name
    assert [(p.in_piece, p.out_piece) for p in again.pairs] == [(p.in_piece, p.out_piece) for p in assembly.pairs]
    for ours, theirs in zip(again.pairs, assembly.pairs, strict=True):
        assert ours.margin == theirs.margin or (math.isnan(ours.margin) and math.isinf(theirs.margin))
    np.testing.assert_array_equal(again.evidence.pair_scores, assembly.evidence.pair_scores)
    for name in ("stream_rms", "branch_rms", "steps", "moves", "rejected_z", "level", "tried"):
        assert getattr(again.evidence, name) == getattr(assembly.evidence, name), name
    assert all(np.array_equal(again.tensors[key], value) for key, value in assembly.tensors.items())


def test_numbers_that_json_lacks_come_back_as_nan(tmp_path):
    assembly = _with_model(sample_assemblies.not_finite())
    save_assembly(assembly, tmp_path / "out", force=False)
    assert _strict(tmp_path / "out" / "assembly.json")["residual"]["mse"] is None
    again = load_assembly(tmp_path / "out")
    assert math.isnan(again.residual.mse)
    assert math.isnan(again.residual.max_abs)
    assert math.isnan(again.evidence.steps[1].mse)
    assert math.isnan(again.evidence.steps[2].seconds)
    expected = np.where(np.isfinite(assembly.evidence.pair_scores), assembly.evidence.pair_scores, np.nan)
    np.testing.assert_array_equal(again.evidence.pair_scores, expected)


def test_names_that_are_no_text_survive(tmp_path):
    base = _with_model(sample_assemblies.single())
    assembly = replace(base, order=("a\ud800", "b\u202e", "<c>"))
    save_assembly(assembly, tmp_path / "out", force=False)
    assert load_assembly(tmp_path / "out").order == assembly.order


def test_same_assembly_same_bytes(tmp_path, assembly):
    for name in ("a", "b"):
        save_assembly(assembly, tmp_path / name, force=False)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_nothing_is_overwritten_without_force(tmp_path, assembly):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError):
        save_assembly(assembly, tmp_path / "out", force=False)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("missing", ["verdict", "pairs", "residual", "evidence", "run"])
def test_a_file_without_an_assembly_is_named(tmp_path, missing):
    out = tmp_path / "out"
    save_assembly(_with_model(sample_assemblies.single()), out, force=False)
    content = _strict(out / "assembly.json")
    del content[missing]
    (out / "assembly.json").write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        load_assembly(out)
    assert caught.value.where == str(out / "assembly.json")
    assert caught.value.problem == "the file does not hold an assembly"
