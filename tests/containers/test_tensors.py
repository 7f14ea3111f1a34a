"""Tensors as they are stored: what they are called, that every value comes through, and that nothing is read early."""

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save
from safetensors.torch import save_file
from writers import gguf_file, onnx_file

import strategies
from reknit.containers import open_container
from reknit.containers.dtypes import NUMPY_DTYPES
from reknit.containers.naming import natural_key
from reknit.containers.safetensors_file import SafetensorsFile
from reknit.containers.tensors import read_tensors
from reknit.errors import ContainerError, PileError


@given(st.dictionaries(strategies.keys, strategies.tensors(strategies.SAFETENSORS_DTYPES), min_size=2, max_size=6))
def test_every_tensor_of_a_file_comes_through(tmp_path_factory, state):
    folder = tmp_path_factory.mktemp("file")
    save_file(state, folder / "all.safetensors")
    torch.save(state, folder / "all.pt")
    seen = read_tensors(folder / "all.safetensors")
    assert seen.names == tuple(sorted(state, key=natural_key))
    assert list(seen) == list(seen.names)
    assert len(seen) == len(state)
    for name, tensor in state.items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        assert name in seen
        assert (seen.shape(name), seen.dtype(name)) == (tuple(tensor.shape), dtype)
        array = seen.array(name)
        if NUMPY_DTYPES[dtype].kind in "fiubc":
            assert strategies.bits(array) == strategies.torch_bits(tensor)
        else:
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, tensor.to(torch.float32).numpy())
    assert seen.sha256 == read_tensors(folder / "all.pt").sha256
    with pytest.raises(KeyError):
        seen.array("no such name/")


NUMBERS = ["float32", "float16", "float64", "int8", "int16", "int32", "int64"]


@given(st.dictionaries(strategies.keys, strategies.arrays(NUMBERS), min_size=2, max_size=4))
def test_the_same_tensors_are_the_same_in_every_container(tmp_path_factory, state):
    folder = tmp_path_factory.mktemp("same")
    torch.save({key: torch.from_numpy(array) for key, array in state.items()}, folder / "torch")
    (folder / "safetensors").write_bytes(save(state))
    (folder / "onnx").write_bytes(onnx_file(state))
    (folder / "gguf").write_bytes(gguf_file(state))
    with h5py.File(folder / "hdf5", "w") as file:
        file.update(state)
    with (folder / "npz").open("wb") as file:
        np.savez(file, **state)
    formats = ["torch", "safetensors", "onnx", "gguf", "hdf5", "npz"]
    assert [open_container(folder / name).format for name in formats] == formats
    (one,) = {read_tensors(folder / name).sha256 for name in formats}
    assert len(one) == 64


def test_a_folder_of_single_tensors_is_named_by_its_files(tmp_path):
    np.save(tmp_path / "t_10.npy", np.arange(24).reshape(2, 3, 4))
    torch.save(torch.ones(3), tmp_path / "t_2.pth")
    torch.save({"some.weight": torch.ones(1, 2)}, tmp_path / "t_1.pt")
    save_file({"x": torch.tensor(7, dtype=torch.int8)}, tmp_path / "t_0.safetensors")
    (tmp_path / "config.json").write_text("{}")
    seen = read_tensors(tmp_path)
    assert seen.names == ("t_0", "t_1", "t_2", "t_10")
    assert [seen.shape(name) for name in seen] == [(), (1, 2), (3,), (2, 3, 4)]
    assert [seen.dtype(name) for name in seen] == ["int8", "float32", "float32", "int64"]
    assert seen.array("t_0") == 7
    assert seen.array("t_10")[1, 2, 3] == 23
    assert (seen.info("t_1").key, seen.info("t_1").file) == ("some.weight", tmp_path / "t_1.pt")


def test_files_of_several_tensors(tmp_path):
    save_file({"a": torch.ones(1), "b": torch.ones(2)}, tmp_path / "x.safetensors")
    torch.save({"a": torch.ones(3), "c": {"d": [torch.ones(4)]}}, tmp_path / "y.pt")
    np.save(tmp_path / "z.npy", np.ones(5))
    assert read_tensors(tmp_path).names == ("x:a", "x:b", "y:a", "y:c.d.0", "z")
    torch.save({"a": torch.ones(3), "b": torch.ones(2)}, tmp_path / "x.pt")
    assert read_tensors(tmp_path).names[:4] == ("x.pt:a", "x.pt:b", "x.safetensors:a", "x.safetensors:b")


def test_a_folder_of_shards(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "m-1.safetensors")
    save_file({"b": torch.ones(1)}, tmp_path / "m-2.safetensors")
    index = '{"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}'
    (tmp_path / "m.safetensors.index.json").write_text(index)
    seen = read_tensors(tmp_path)
    assert {name: seen.array(name).tolist() for name in seen} == {"a": [0], "b": [1]}
    np.save(tmp_path / "c.npy", np.ones(5))
    assert read_tensors(tmp_path).names == ("c", "m:a", "m:b")


def test_the_hash_knows_names_dtypes_shapes_and_numbers(tmp_path):
    ones = torch.ones(4)
    hashes = set()
    for k, state in enumerate(
        [{"a": ones}, {"b": ones}, {"a": ones * 2}, {"a": ones.reshape(2, 2)}, {"a": ones.view(torch.int32)}]
    ):
        save_file(state | {"z": torch.ones(4)}, tmp_path / f"{k}.safetensors")
        hashes.add(read_tensors(tmp_path / f"{k}.safetensors").sha256)
    assert len(hashes) == 5


def test_nothing_is_read_before_it_is_asked_for(tmp_path, monkeypatch):
    save_file({"a": torch.ones(2), "b": torch.ones(3)}, tmp_path / "x.safetensors")
    read = []
    stored = SafetensorsFile.read
    monkeypatch.setattr(SafetensorsFile, "read", lambda self, key: read.append(key) or stored(self, key))
    seen = read_tensors(tmp_path / "x.safetensors")
    assert read == []
    first, second = seen.array("b"), seen.array("b")
    assert read == ["b", "b"]
    first[:] = 5
    assert second.tolist() == [1, 1, 1]


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(PileError, match="is a folder without tensors"):
        read_tensors(tmp_path)
    np.save(tmp_path / "a.npy", np.ones(2))
    (tmp_path / "README").write_text("text")
    with pytest.raises(ContainerError, match="README: holds no tensors; it is text"):
        read_tensors(tmp_path)
    (tmp_path / "README").unlink()
    torch.save(torch.ones(1), tmp_path / "a.npy.pt")
    torch.save(torch.ones(1), tmp_path / "a.pt")
    with pytest.raises(PileError, match=r"two tensors would be named 'a.npy'"):
        read_tensors(tmp_path)
    with pytest.raises(ContainerError, match="there is no such file or folder"):
        read_tensors(tmp_path / "none")


def test_real_numbers_that_numpy_lacks_come_as_float32_even_nan(tmp_path):
    bits = torch.tensor([0x7F81, 0x3F80, 0xFF80], dtype=torch.uint16)
    torch.save({"a": bits.view(torch.bfloat16)}, tmp_path / "a.pt")
    array = read_tensors(tmp_path / "a.pt").array("a")
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [np.nan, 1, -np.inf])
