"""The format is told from the content, and an error names what was found."""

import io
import os
import socket

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save
from writers import gguf_file, onnx_file

from reknit.containers import open_container
from reknit.errors import ContainerError


def written(format_):
    buffer = io.BytesIO()
    if format_ == "torch":
        torch.save({"a": torch.ones(2)}, buffer)
    elif format_ == "npz":
        np.savez(buffer, a=np.ones(2))
    elif format_ == "npy":
        np.save(buffer, np.ones(2))
    elif format_ == "hdf5":
        with h5py.File(buffer, "w") as file:
            file["a"] = np.ones(2)
    elif format_ in ("onnx", "gguf"):
        return {"onnx": onnx_file, "gguf": gguf_file}[format_]({"a": np.ones(2)})
    else:
        return save({"a": torch.ones(2)})
    return buffer.getvalue()


@pytest.mark.parametrize("format_", ["torch", "safetensors", "npz", "npy", "onnx", "hdf5", "gguf"])
@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.bin", "a.safetensors", "a.npz", "a.npy", "a", "a.json", "a.txt"])
def test_the_ending_of_the_name_does_not_matter(tmp_path, format_, name):
    (tmp_path / name).write_bytes(written(format_))
    container = open_container(tmp_path / name)
    assert container.format == format_
    assert container.read("a").tolist() == [1, 1]


@pytest.mark.parametrize(
    ("lead", "found"),
    [
        (b"", "empty"),
        (b"PAR1....", "a Parquet table"),
        (b"\x1f\x8b\x08\x00", "a gzip archive"),
        (b"\x80\x04\x95", "a bare pickle"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the file itself"),
        (b"\0" * 100, "nothing but zeros"),
        (b"# Title\n", "text, starting '# Title\\n'"),
        (b"\x01\x02\xff", "unknown, starting with the bytes 01 02 ff"),
    ],
)
def test_what_is_no_container_is_named(tmp_path, lead, found):
    path = tmp_path / "a.safetensors"
    path.write_bytes(lead)
    with pytest.raises(ContainerError) as caught:
        open_container(path)
    remedy = "reknit reads torch, TorchScript, safetensors, npz, npy, ONNX, HDF5 and GGUF files"
    assert str(caught.value) == f"{path}: holds no tensors; it is {found}. {remedy}."


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(ContainerError) as caught:
        open_container(tmp_path / "none.pt")
    assert str(caught.value) == f"{tmp_path}/none.pt: there is no such file or folder."
    (tmp_path / "broken").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("broken", "loop", "x" * 300, "a\0b"):
        with pytest.raises(ContainerError):
            open_container(tmp_path / name)


@pytest.mark.skipif(os.name != "posix", reason="pipes and sockets are files on POSIX only")
def test_a_pipe_or_a_device_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    monitor = socket.socket(socket.AF_UNIX)
    monitor.bind(str(tmp_path / "s"))
    for path in (tmp_path / "pipe", tmp_path / "s", "/dev/zero"):
        with pytest.raises(ContainerError, match="is a device or a pipe, not a file"):
            open_container(path)
    monitor.close()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(ContainerError, match="cannot be read: Permission denied"):
        open_container(path)


def test_a_file_cut_short_after_it_was_opened(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({"a": torch.ones(100_000)}))
    container = open_container(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ContainerError, match=r"a\.safetensors: ends at byte"):
        container.read("a")
    path.unlink()
    with pytest.raises(ContainerError, match="there is no such file"):
        container.read("a")
