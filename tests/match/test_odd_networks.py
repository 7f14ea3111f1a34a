"""Answers and files that trip comparisons: what a harsh review found, held by a test each."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from match.odd_modules import Net, Normed
from reknit import align, merge, path
from reknit.cli import main
from reknit.errors import InputError, OutputError, TableError, UsageError
from reknit.skeleton.symmetry import Symmetry

PLAIN = "match.odd_modules:plain"


def like(name):
    return f"match.odd_modules:{name}"


def write(path, seed, outputs=10, net=None):
    torch.manual_seed(seed)
    state = (net or Net("", outputs)).state_dict()
    save_file(state, path)
    return path


@pytest.fixture
def files(tmp_path):
    np.savez(tmp_path / "x.npz", inputs=np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32))
    return write(tmp_path / "a.safetensors", 0), write(tmp_path / "b.safetensors", 1), tmp_path / "x.npz"


@pytest.mark.parametrize("name", ["masked", "infinite", "two"])
def test_large_and_infinite_constants_lend_no_tolerance(files, name, monkeypatch):
    first, second, data = files
    assert align(first, second, like=like(name), data=data).verdict == "exact"
    apply = Symmetry.apply

    def slightly_wrong(self, tensors):
        moved = apply(self, tensors)
        return {key: value * 1.0001 if key == "b.weight" else value for key, value in moved.items()}

    monkeypatch.setattr(Symmetry, "apply", slightly_wrong)
    assert align(first, second, like=like(name), data=data).verdict == "failed"


def test_class_ids_are_compared_as_they_are(files, monkeypatch):
    first, second, data = files
    assert align(first, second, like=like("ids"), data=data).verdict == "exact"
    apply = Symmetry.apply
    monkeypatch.setattr(
        Symmetry, "apply", lambda self, t: {k: -v if k == "b.weight" else v for k, v in apply(self, t).items()}
    )
    assert align(first, second, like=like("ids"), data=data).verdict == "failed"


def test_a_module_that_draws_is_refused(files):
    first, second, _ = files
    with pytest.raises(InputError, match="answers the same inputs differently"):
        align(first, second, like=like("dropout"))


def test_halves_are_scaled_by_powers_of_two_and_the_written_file_is_what_was_proved(tmp_path):
    paths = []
    for seed in range(2):
        torch.manual_seed(seed)
        state = {key: value.bfloat16() for key, value in Net("").state_dict().items()}
        paths.append(tmp_path / f"{seed}.safetensors")
        save_file(state, paths[-1])
    found = align(*paths, like=PLAIN, scales=True, out=tmp_path / "c.safetensors")
    assert found.verdict == "exact"
    written = load_file(tmp_path / "c.safetensors")
    for key, value in found.tensors.items():
        assert torch.equal(written[key].float(), torch.from_numpy(value))


def test_a_bend_far_out_is_no_class_of_factors(files, tmp_path):
    first, second, _ = files
    np.savez(tmp_path / "large.npz", inputs=np.random.default_rng(0).uniform(0, 255, (64, 8)).astype(np.float32))
    align(first, second, like=like("clamp"), scales=True, out=tmp_path / "c.safetensors")
    x = torch.from_numpy(np.load(tmp_path / "large.npz")["inputs"])
    net = Net("clamp")
    answers = []
    for file in (second, tmp_path / "c.safetensors"):
        net.load_state_dict(load_file(file))
        answers.append(net(x).detach())
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-3)


def test_one_output_is_a_number(tmp_path, files):
    first = write(tmp_path / "r0.safetensors", 0, 1)
    moved = load_file(first)
    moved["b.bias"] = moved["b.bias"] + 1000
    save_file(moved, tmp_path / "r1.safetensors")
    asked = {"like": like("one_output"), "data": files[2], "mend": False, "method": "none"}
    found = merge([first, tmp_path / "r1.safetensors"], by_slot={"b.*": [0.0, 1.0]}, **asked)
    assert found.verdict == "failed"
    assert "read as numbers" in found.reason
    with pytest.raises(TableError, match="one answer a row is no class"):
        merge([first, first], like=like("one_output"), data=files[2], answers="classes")
    with pytest.raises(UsageError, match="Choose one of classes, numbers"):
        merge([first, first], like=like("one_output"), data=files[2], answers="letters")


def test_few_rows_foresee_nothing(files, tmp_path):
    np.savez(tmp_path / "one.npz", inputs=np.eye(3, 8, dtype=np.float32))
    found = merge(files[:2], like=PLAIN, data=tmp_path / "one.npz", method="none")
    assert found.verdict == "ambiguous"
    assert "3 rows foresee nothing" in found.reason


def test_shares_by_layer_give_what_they_say(files, tmp_path):
    out = tmp_path / "m.safetensors"
    merge(files[:2], like=PLAIN, data=files[2], by_slot={"*": [1.0, 0.0]}, method="none", out=out, anyway=True)
    assert all(torch.equal(load_file(out)[key], value) for key, value in load_file(files[0]).items())


def test_a_network_merged_with_itself_is_itself_with_data_too(files, tmp_path):
    first = write(tmp_path / "n.safetensors", 0, net=Normed())
    found = merge([first, first], like=like("normed"), data=files[2], out=tmp_path / "m.safetensors")
    assert (found.mended, found.preflight.barrier.value) == ("nothing", 0)
    merged = load_file(tmp_path / "m.safetensors")
    assert all(torch.equal(merged[key], value) for key, value in load_file(first).items())


@pytest.mark.parametrize("verb", ["align", "merge"])
@pytest.mark.parametrize("victim", ["a.safetensors", "x.npz", "shard/b.safetensors"])
def test_inputs_are_never_written_over(files, tmp_path, monkeypatch, capsys, verb, victim):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shard").mkdir()
    (tmp_path / "shard" / "b.safetensors").write_bytes(files[1].read_bytes())
    before = (tmp_path / victim).read_bytes()
    command = [verb, "a.safetensors", "shard", "--like", PLAIN, "--data", "x.npz", "-o", victim, "--force"]
    assert main(command) == 2
    assert "never changed" in capsys.readouterr().err
    assert (tmp_path / victim).read_bytes() == before


def test_a_report_is_not_written_over_a_network_and_is_claimed_first(files, tmp_path, monkeypatch):
    first, second, _ = files
    x = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    np.savez(tmp_path / "y.npz", inputs=x, targets=np.zeros(40, np.uint16))
    with pytest.raises(UsageError, match="never changed"):
        path(first, second, like=PLAIN, data=tmp_path / "y.npz", report=first, force=True)
    (tmp_path / "there.html").write_text("")
    with pytest.raises(OutputError, match="exists already"):
        path(first, second, like=PLAIN, data=tmp_path / "y.npz", report=tmp_path / "there.html")
    assert path(first, second, like=PLAIN, data=tmp_path / "y.npz", places=3).curves["naive"].loss.shape == (3, 20)


def test_two_files_of_one_folder_must_not_differ(files, tmp_path):
    folder = tmp_path / "both"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(files[0].read_bytes())
    torch.save(load_file(files[1]), folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="two of its files hold different tensors"):
        align(files[0], folder, like=PLAIN)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_a_word_before_every_key_is_understood_and_kept(files, tmp_path, prefix):
    save_file({prefix + key: value for key, value in load_file(files[1]).items()}, tmp_path / "p.safetensors")
    align(files[0], tmp_path / "p.safetensors", like=PLAIN, out=tmp_path / "c.safetensors")
    assert all(key.startswith(prefix) for key in load_file(tmp_path / "c.safetensors"))


def test_a_counter_may_be_missing_in_one_of_them(tmp_path, files):
    first = write(tmp_path / "n.safetensors", 0, net=Normed())
    second = {key: value for key, value in Normed().state_dict().items() if "num_batches" not in key}
    save_file(second, tmp_path / "s.safetensors")
    assert merge([first, tmp_path / "s.safetensors"], like=like("normed"), out=tmp_path / "m.safetensors").notes == ()


@pytest.mark.parametrize(
    ("name", "arrays", "words"),
    [
        ("one_axis", {"targets": np.zeros(40, np.int64)}, "one number a row, and no classes"),
        ("scalar", {"targets": np.zeros(40, np.int64)}, "answers one number for all rows"),
        ("plain", {"targets": np.full(40, np.nan, np.float32)}, "infinite or undefined"),
        ("plain", {"inputs": np.zeros((40, 8), np.uint8), "targets": np.zeros(40, np.int64)}, "its inputs are uint8"),
        ("plain", {"inputs": np.zeros((0, 8), np.float32), "targets": np.zeros(0, np.int64)}, "holds no rows"),
        ("plain", {"targets": np.zeros(39, np.int64)}, "not equally long"),
    ],
)
def test_data_that_cannot_be_used_is_told_in_a_sentence(files, tmp_path, name, arrays, words):
    x = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    np.savez(tmp_path / "y.npz", **{"inputs": x, **arrays})
    with pytest.raises(TableError, match=words):
        path(files[0], files[1], like=like(name), data=tmp_path / "y.npz")


def test_one_row_has_no_variance(files, tmp_path):
    first = write(tmp_path / "n.safetensors", 0, net=Normed())
    second = write(tmp_path / "s.safetensors", 1, net=Normed())
    np.savez(tmp_path / "one.npz", inputs=np.zeros((1, 8), np.float32))
    with pytest.raises(TableError, match="one row has no variance"):
        merge([first, second], like=like("normed"), data=tmp_path / "one.npz")
