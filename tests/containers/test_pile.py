"""Piles of pieces: what counts as a piece, what it is called, and what is refused."""

import io
import json
import math
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from reknit.containers import read_pile
from reknit.containers.naming import natural_key
from reknit.errors import ContainerError, PileError, ReknitError

W = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.float32([7, 8])


def linear(seed=0, rows=2, columns=3):
    rng = np.random.default_rng(seed)
    return {
        "weight": rng.normal(size=(rows, columns)).astype(np.float32),
        "bias": rng.normal(size=rows).astype(np.float32),
    }


def torch_save(state, path):
    torch.save({key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}, path)


def good_pile(folder):
    folder.mkdir(exist_ok=True)
    torch_save(linear(0), folder / "piece_10.pth")
    save_file(linear(1), folder / "piece_2.safetensors")
    np.savez(folder / "piece_1.npz", **linear(2))
    return folder


def test_a_folder_of_files_in_natural_order(tmp_path):
    pile = read_pile(good_pile(tmp_path))
    assert pile.names == ("piece_1", "piece_2", "piece_10")
    assert len(pile) == 3
    assert [piece.name for piece in pile] == list(pile.names)
    for name, seed in (("piece_10", 0), ("piece_2", 1), ("piece_1", 2)):
        piece = pile[name]
        np.testing.assert_array_equal(piece.weight, linear(seed)["weight"])
        np.testing.assert_array_equal(piece.bias, linear(seed)["bias"])
        assert (piece.dtype, piece.bias_dtype, piece.shape) == ("float32", "float32", (2, 3))
        assert piece.file.stem == name
    with pytest.raises(KeyError):
        pile["piece_3"]


def test_one_file_of_many_pieces(tmp_path):
    state = {f"{name}.{key}": value for name, seed in (("b", 0), ("a.x", 1)) for key, value in linear(seed).items()}
    for write, name in (
        (torch_save, "all.pt"),
        (save_file, "all.safetensors"),
        (lambda s, p: np.savez(p, **s), "all.npz"),
    ):
        write(state, tmp_path / name)
        pile = read_pile(tmp_path / name)
        assert pile.names == ("a.x", "b")
        np.testing.assert_array_equal(pile["b"].weight, linear(0)["weight"])
    single = tmp_path / "single"
    single.mkdir()
    shutil.copy(tmp_path / "all.pt", single)
    assert read_pile(single).names == ("a.x", "b")


def test_several_files_of_several_pieces_and_bare_keys(tmp_path):
    save_file({"x.weight": W, "y.weight": W}, tmp_path / "one.safetensors")
    save_file({"x.weight": W, "bias": B, "weight": W}, tmp_path / "two.safetensors")
    save_file({"deep.down.weight": W}, tmp_path / "three.safetensors")
    assert read_pile(tmp_path).names == ("one:x", "one:y", "three", "two", "two:x")


def test_names_that_meet_are_told_apart_by_the_file(tmp_path):
    torch_save(linear(0), tmp_path / "a.pth")
    np.savez(tmp_path / "a.npz", **linear(1))
    save_file({"x.weight": W, "y.weight": W}, tmp_path / "m.safetensors")
    np.savez(tmp_path / "m.npz", **{"x.weight": W, "z.weight": W})
    assert read_pile(tmp_path).names == ("a.npz", "a.pth", "m.npz:x", "m.safetensors:x", "m:y", "m:z")


def test_names_that_cannot_be_told_apart(tmp_path):
    torch_save(linear(0), tmp_path / "a.pth")
    torch_save(linear(0), tmp_path / "a.npz")
    torch_save(linear(0), tmp_path / "a.pth.pt")
    with pytest.raises(PileError, match=r"two pieces would be named 'a.pth'"):
        read_pile(tmp_path)


def test_files_of_one_unnamed_tensor(tmp_path):
    np.save(tmp_path / "a.weight.npy", W)
    np.save(tmp_path / "a.bias.npy", B)
    np.save(tmp_path / "b.npy", W)
    np.save(tmp_path / "c.npy", B)
    torch.save(torch.from_numpy(W), tmp_path / "d.pt")
    pile = read_pile(tmp_path)
    assert pile.names == ("a", "b", "c", "d")
    assert (pile["a"].bias == B).all()
    assert pile["b"].bias is None
    assert pile["b"].bias_step() is None
    assert pile["c"].weight is None
    assert pile["c"].shape == (2,)
    with pytest.raises(PileError, match="c: has a bias but no weight"):
        pile["c"].weight_step()


def test_weight_or_bias_alone(tmp_path):
    save_file({"w.weight": W, "b.bias": B}, tmp_path / "all.safetensors")
    pile = read_pile(tmp_path / "all.safetensors")
    assert (pile["w"].bias, pile["b"].weight) == (None, None)
    assert pile["b"].dtype == "float32"


def test_a_sharded_folder(tmp_path):
    save_file({"x.weight": W}, tmp_path / "model-1.safetensors")
    save_file({"x.bias": B, "y.weight": W}, tmp_path / "model-2.safetensors")
    places = {"x.weight": "model-1.safetensors", "x.bias": "model-2.safetensors", "y.weight": "model-2.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / ".hidden").write_text("not a container")
    pile = read_pile(tmp_path)
    assert pile.names == ("x", "y")
    assert pile["x"].file.name == "model-1.safetensors"
    np.savez(tmp_path / "extra.npz", weight=W)
    assert read_pile(tmp_path).names == ("extra", "model:x", "model:y")


def test_linked_files_are_followed(tmp_path):
    good_pile(tmp_path / "real")
    (tmp_path / "pile").mkdir()
    (tmp_path / "pile" / "a.pth").symlink_to(tmp_path / "real" / "piece_10.pth")
    assert read_pile(tmp_path / "pile").names == ("a",)


def test_hashes_know_numbers_and_names_but_not_files(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    for folder in (a, b):
        folder.mkdir()
    torch_save(linear(0), a / "x.pth")
    save_file({**linear(0)}, b / "x.safetensors")
    assert read_pile(a).sha256 == read_pile(b).sha256
    save_file({**linear(1)}, b / "x.safetensors")
    assert read_pile(a).sha256 != read_pile(b).sha256
    (b / "x.safetensors").unlink()
    torch_save(linear(0), b / "y.pth")
    assert read_pile(a)["x"].sha256 == read_pile(b)["y"].sha256
    assert read_pile(a).sha256 != read_pile(b).sha256


@pytest.mark.parametrize(
    ("dtype", "kept", "relative"),
    [
        ("float64", "float64", 2.0**-52),
        ("float32", "float32", 2.0**-23),
        ("float16", "float32", 2.0**-10),
        ("bfloat16", "float32", 2.0**-7),
        ("float8_e4m3fn", "float32", 2.0**-3),
    ],
)
def test_floats_of_every_size(tmp_path, dtype, kept, relative):
    weight = torch.from_numpy(W + 1).to(getattr(torch, dtype))
    torch.save({"weight": weight, "bias": torch.ones(2)}, tmp_path / "a.pt")
    piece = read_pile(tmp_path)["a"]
    assert piece.weight.dtype == kept
    assert piece.bias.dtype == "float32"
    assert (piece.dtype, piece.bias_dtype) == (dtype, "float32")
    np.testing.assert_array_equal(piece.weight, weight.to(torch.float64).numpy())
    np.testing.assert_array_equal(piece.weight_step(), 2.0 ** np.floor(np.log2(np.abs(piece.weight))) * relative)
    np.testing.assert_array_equal(piece.bias_step(), [2.0**-23] * 2)


@given(st.sampled_from(["tensor", "column", "flat"]), st.booleans(), st.sampled_from(["int8", "uint8", "int32"]))
def test_quantized_weights(tmp_path_factory, layout, shifted, dtype):
    folder = tmp_path_factory.mktemp("quantized")
    stored = np.array([[1, 2, 100], [4, 0, 6]], dtype)
    scale = {
        "tensor": np.array(0.5, np.float32),
        "column": np.float32([[0.5], [0.25]]),
        "flat": np.float16([0.5, 0.25]),
    }[layout]
    zero = np.array(3, dtype) if shifted else np.array(0, dtype)
    state = {"weight": stored, "weight_scale" if shifted else "scale": scale}
    if shifted:
        state["weight_zero_point"] = zero
    save_file(state, folder / "a.safetensors")
    piece = read_pile(folder)["a"]
    column = np.broadcast_to(np.asarray(scale, np.float64).reshape(-1, 1), (scale.size, 1))
    np.testing.assert_array_equal(piece.weight, ((stored.astype(float) - float(zero)) * column).astype(np.float32))
    np.testing.assert_array_equal(piece.weight_step(), column)
    assert piece.weight.dtype == np.float32
    assert piece.dtype == dtype


def test_a_scaled_float8(tmp_path):
    weight = torch.from_numpy(W).to(torch.float8_e4m3fn)
    torch.save({"weight": weight, "weight_scale": torch.tensor(0.5)}, tmp_path / "a.pt")
    piece = read_pile(tmp_path)["a"]
    np.testing.assert_array_equal(piece.weight, W / 2)
    assert piece.weight_step()[1, 2] == 0.25  # 5 lies in [4, 8), where e4m3 steps by 1/2


I8 = np.ones((2, 3), np.int8)
S = np.float32(0.5)


HUGE = np.float32(3e38)


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ({"weight": np.float32([[1, np.nan], [np.inf, 2]])}, "piece 'bad': 'weight' holds 2 non-finite values of 4"),
        ({"weight": W, "bias": np.float32([1, np.nan])}, "piece 'bad': 'bias' holds 1 non-finite values of 2"),
        ({"weight": W, "bias": np.ones(3, np.float32)}, "piece 'bad': 'bias' has 3 values but the weight has 2 rows"),
        ({"weight": W, "bias": W}, "piece 'bad': 'bias' has the shape (2, 3); a bias has one axis and is not empty"),
        (
            {"weight": W, "bias": np.ones(2, np.int64)},
            "piece 'bad': 'bias' is of the dtype int64, not of floating-point numbers",
        ),
        ({"weight": B}, "piece 'bad': 'weight' has the shape (2,); a weight has two axes and is not empty"),
        ({"weight": W[None]}, "piece 'bad': 'weight' has the shape (1, 2, 3); a weight has two axes and is not empty"),
        ({"weight": W[:0]}, "piece 'bad': 'weight' has the shape (0, 3); a weight has two axes and is not empty"),
        ({"bias": B[:0]}, "piece 'bad': 'bias' has the shape (0,); a bias has one axis and is not empty"),
        ({"weight": W > 1}, "piece 'bad': 'weight' is of the dtype bool, not of real numbers"),
        ({"weight": W.astype(np.complex64)}, "piece 'bad': 'weight' is of the dtype complex64, not of real numbers"),
        ({"weight": I8}, "piece 'bad': 'weight' is of the dtype int8 and has no scale"),
        (
            {"weight": W, "scale": S},
            "piece 'bad': 'scale' scales a weight of the dtype float32, which is not quantized",
        ),
        (
            {"weight": W, "zero_point": S},
            "piece 'bad': 'zero_point' shifts a weight of the dtype float32, which is not quantized",
        ),
        ({"weight": I8, "scale": -S}, "piece 'bad': 'scale' has values that are not positive"),
        ({"weight": I8, "scale": S * np.nan}, "piece 'bad': 'scale' holds 1 non-finite values of 1"),
        (
            {"weight": I8, "scale": np.float32(3e38), "zero_point": np.int8(99)},
            "piece 'bad': 'weight' holds 6 non-finite values of 6",
        ),
        (
            {"weight": I8, "scale": np.ones(3, np.float32)},
            "piece 'bad': 'scale' has the shape (3,); one value, or one for each of 2 rows, is expected",
        ),
        ({"weight": I8, "scale": np.ones(2, np.int32)}, "piece 'bad': 'scale' is of the dtype int32"),
        ({"a.weight": W, "running_mean": B}, "holds tensors that are no part of a piece: 'running_mean'"),
        (
            {"a.weight": W, "a.num_batches_tracked": np.int64(1)},
            "holds tensors that are no part of a piece: 'a.num_batches_tracked'",
        ),
        ({"a.weight_scale": S, "b.weight": W}, "holds tensors that are no part of a piece: 'a.*'"),
        ({"weight": I8, "weight_scale": S, "scale": S}, "holds tensors that are no part of a piece: 'scale'"),
        (
            {f"x{k}": B for k in range(9)},
            "holds tensors that are no part of a piece: 'x0', 'x1', 'x2', 'x3', 'x4' and 4 more",
        ),
    ],
)
def test_pieces_that_are_no_linear_layer_are_refused_among_good_ones(tmp_path, state, problem):
    good_pile(tmp_path)
    np.savez(tmp_path / "bad.npz", **state)
    with pytest.raises(PileError) as caught:
        read_pile(tmp_path)
    assert caught.value.problem == problem
    assert caught.value.where == str(tmp_path / "bad.npz")
    (tmp_path / "bad.npz").unlink()
    assert len(read_pile(tmp_path)) == 3


def test_an_unnamed_tensor_that_is_no_layer(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 2, 2)))
    with pytest.raises(PileError, match="no part of a piece: 'a'"):
        read_pile(tmp_path)


def test_signalling_nans_are_told_without_a_warning(tmp_path):
    torch.save({"weight": torch.tensor([[0x7F81]], dtype=torch.uint16).view(torch.bfloat16)}, tmp_path / "a.pt")
    with pytest.raises(PileError, match="'weight' holds 1 non-finite values of 1"):
        read_pile(tmp_path)


def test_an_unnamed_tensor_twice(tmp_path):
    np.save(tmp_path / "a.npy", W)
    np.save(tmp_path / "a.weight.npy", W)
    assert read_pile(tmp_path).names == ("a.npy", "a.weight.npy")


@pytest.mark.parametrize("name", ["README.md", "data.csv", "piece_3.pth", "notes", "archive.zip"])
def test_one_unreadable_file_is_bad_input(tmp_path, name):
    good_pile(tmp_path)
    (tmp_path / name).write_text("# not weights\n")
    with pytest.raises(ContainerError) as caught:
        read_pile(tmp_path)
    assert caught.value.where == str(tmp_path / name)
    assert caught.value.problem == "holds no tensors; it is text, starting '# not weights\\n'"


def test_folders_without_pieces_or_with_folders(tmp_path):
    (tmp_path / ".hidden").touch()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / ".git").mkdir()
    with pytest.raises(PileError) as caught:
        read_pile(tmp_path)
    assert str(caught.value) == f"{tmp_path}: is a folder without pieces. Name the folder that holds the weight files."
    (tmp_path / "more").mkdir()
    with pytest.raises(PileError, match="holds the folder 'more'; a pile is a flat folder of files"):
        read_pile(tmp_path)
    with pytest.raises(ContainerError, match="there is no such file or folder"):
        read_pile(tmp_path / "none")


def test_names_of_files_that_cannot_be_printed(tmp_path):
    good_pile(tmp_path)
    (tmp_path / "a\x1b[2J.pth").touch()
    with pytest.raises(PileError, match=r"holds a file with an unprintable name: 'a\\x1b\[2J\.pth'"):
        read_pile(tmp_path)


def test_every_error_is_one_of_ours_and_leaves_the_pile_as_it_was(tmp_path):
    good_pile(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    (tmp_path / "zz.pth").write_bytes(before["piece_10.pth"][:-40])
    with pytest.raises(ReknitError):
        read_pile(tmp_path)
    (tmp_path / "zz.pth").unlink()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=9, unique=True))
def test_natural_order_is_that_of_the_numbers(numbers):
    names = [f"piece_{number}.x" for number in numbers]
    assert sorted(names, key=natural_key) == [f"piece_{number}.x" for number in sorted(numbers)]


def test_reading_needs_no_more_memory_than_the_pieces(tmp_path):
    import tracemalloc

    big = np.zeros((1000, 1000), np.float32)
    for k in range(4):
        np.savez(tmp_path / f"{k}.npz", weight=big)
    tracemalloc.start()
    read_pile(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5.5 * big.nbytes


def test_math_of_the_step_of_zero(tmp_path):
    np.savez(tmp_path / "a.npz", weight=np.zeros((1, 1), np.float32))
    assert read_pile(tmp_path)["a"].weight_step() == math.ldexp(1, -149)


def test_buffers_are_the_pieces_own(tmp_path):
    buffer = io.BytesIO()
    base = torch.arange(12.0)
    torch.save({"a.weight": base.view(3, 4), "b.weight": base.view(4, 3)}, buffer)
    (tmp_path / "x.pt").write_bytes(buffer.getvalue())
    pile = read_pile(tmp_path)
    pile["a"].weight[:] = -1
    assert pile["b"].weight.min() == 0
