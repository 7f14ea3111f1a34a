"""Looking into containers: from headers alone, without torch, in words and in JSON."""

import hashlib
import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from writers import gguf_file, onnx_file

from reknit.cli.app import main
from reknit.containers.inspect import inspect
from reknit.errors import ContainerError

TENSOR = torch.arange(6.0).reshape(2, 3)


@pytest.fixture
def folder(tmp_path):
    torch.save({"a.weight": TENSOR}, tmp_path / "one.pth")
    (tmp_path / "sub" / "sub").mkdir(parents=True)
    save_file({"b": TENSOR.to(torch.bfloat16), "a": TENSOR.clone()}, tmp_path / "sub" / "two.safetensors")
    np.save(tmp_path / "sub" / "sub" / "three.npy", TENSOR.numpy())
    (tmp_path / "README.md").write_text("# Read me\n")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    return tmp_path


def test_a_folder_and_all_below_it(folder):
    seen = inspect(folder)
    assert [str(c.path.relative_to(folder)) for c in seen.containers] == [
        "one.pth",
        "sub/two.safetensors",
        "sub/sub/three.npy",
    ]
    assert [c.format for c in seen.containers] == ["torch", "safetensors", "npy"]
    assert (seen.tensors, seen.parameters, seen.nbytes) == (4, 24, 84)
    assert [(e.where, e.problem) for e in seen.others] == [
        (str(folder / "README.md"), "holds no tensors; it is text, starting '# Read me\\n'"),
        (str(folder / "cut.npz"), "is a zip archive without its directory"),
    ]
    (tensor,) = seen.containers[0].tensors
    assert (tensor.key, tensor.dtype, tensor.shape, tensor.sha256) == ("a.weight", "float32", (2, 3), None)


def test_hashes_are_of_the_numbers_whatever_the_container(folder):
    seen = inspect([folder / "one.pth", folder / "sub"], hash=True)
    expected = hashlib.sha256(TENSOR.numpy().tobytes()).hexdigest()
    hashes = {tensor.key: tensor.sha256 for container in seen.containers for tensor in container.tensors}
    assert hashes["a.weight"] == hashes["a"] == hashes["three"] == expected != hashes["b"]
    ((file, digest),) = seen.containers[0].sha256
    assert digest == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_damaged_file_is_told_when_it_is_read(folder):
    path = folder / "one.pth"
    path.write_bytes(path.read_bytes().replace(TENSOR.numpy().tobytes(), (TENSOR + 1).numpy().tobytes()))
    assert inspect(path).tensors == 1
    with pytest.raises(ContainerError, match="fails its checksum"):
        inspect(path, hash=True)


def test_a_folder_of_shards_is_one_container(tmp_path):
    save_file({"a": TENSOR}, tmp_path / "m-1.safetensors")
    save_file({"b": TENSOR}, tmp_path / "m-2.safetensors")
    index = tmp_path / "m.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}')
    (container,) = inspect(tmp_path).containers
    assert [tensor.file.name for tensor in container.tensors] == ["m-1.safetensors", "m-2.safetensors"]
    (tmp_path / "m-2.safetensors").unlink()
    seen = inspect(tmp_path)
    assert [c.path.name for c in seen.containers] == ["m-1.safetensors"]
    assert [e.problem for e in seen.others] == ["the shard m-2.safetensors is missing"]


def test_paths_that_hold_nothing(folder):
    for path, problem in (
        (folder / "README.md", "holds no tensors; it is text, starting '# Read me\\n'"),
        (folder / "none", "there is no such file or folder"),
    ):
        with pytest.raises(ContainerError) as caught:
            inspect([folder, path])
        assert (caught.value.where, caught.value.problem) == (str(path), problem)
    (folder / "empty").mkdir()
    with pytest.raises(ContainerError, match="empty: holds no container"):
        inspect(folder / "empty")


def test_a_loop_of_links_ends(folder):
    (folder / "sub" / "loop").symlink_to(folder)
    assert inspect(folder).tensors == 4


def test_the_command_prints_json(folder, capsys):
    assert main(["inspect", str(folder), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == inspect(folder).as_json()
    assert printed["total"] == {"containers": 3, "tensors": 4, "parameters": 24, "bytes": 84}
    assert printed["containers"][0]["tensors"] == [
        {"key": "a.weight", "dtype": "float32", "shape": [2, 3], "bytes": 24, "file": str(folder / "one.pth")}
    ]
    assert main(["inspect", str(folder / "one.pth"), "--hash", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["containers"][0]["tensors"][0]["sha256"]) == 64


def test_the_command_prints_a_table(folder, capsys):
    save_file({"[red]x[/red]": TENSOR}, folder / "markup.safetensors")
    assert main(["inspect", str(folder)]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    row = [str(folder / "one.pth"), "(torch)", "a.weight", "float32", "2", "x", "3", "24", "B"]
    assert row in [line.split() for line in lines]
    assert "[red]x[/red]" in out
    assert "4 containers, 5 tensors, 30 numbers, 108 B" in lines
    assert f"not a container: {folder / 'cut.npz'}: is a zip archive without its directory" in lines
    assert main(["inspect", str(folder / "one.pth"), "--hash"]) == 0
    digest = hashlib.sha256((folder / "one.pth").read_bytes()).hexdigest()
    assert f"sha256 {digest}  {folder / 'one.pth'}" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_every_format_is_listed_by_numpy_alone(tmp_path):
    """No library of a format is needed: they are the oracles of the tests, not what reads."""
    array = TENSOR.numpy()
    (tmp_path / "a.onnx").write_bytes(onnx_file({"x": array}))
    (tmp_path / "b.gguf").write_bytes(gguf_file({"x": array}))
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["x"] = array
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 3)), tmp_path / "d.pt")
    seen = inspect(tmp_path, hash=True)
    assert [c.format for c in seen.containers] == ["onnx", "gguf", "hdf5", "torchscript"]
    assert len({c.tensors[0].sha256 for c in seen.containers[:3]}) == 1
    code = f"import sys, reknit; assert reknit.inspect({str(tmp_path)!r}, hash=True).tensors == 5"
    check = "bad = {'torch', 'h5py', 'onnx', 'gguf', 'scipy', 'polars'} & set(sys.modules); assert not bad, bad"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_fails_in_one_sentence(folder, capsys):
    assert main(["inspect", str(folder / "README.md")]) == 2
    assert capsys.readouterr().err.startswith(f"reknit: {folder / 'README.md'}: holds no tensors; it is text")
    assert main(["inspect", "--json", str(folder / "none")]) == 2
    assert json.loads(capsys.readouterr().out)["problem"] == "there is no such file or folder"


@pytest.mark.parametrize(
    "code",
    [
        "import reknit.containers",
        "import reknit.containers.table",
        "import reknit; reknit.inspect({path!r}, hash=True)",
        "from reknit.cli import main; main(['inspect', {path!r}, '--hash'])",
        "import reknit; from reknit.containers import read_pile; assert len(read_pile({path!r})) == 1",
    ],
)
def test_no_torch_is_loaded(folder, code):
    code = code.format(path=str(folder / "one.pth"))
    check = "import sys; bad = {'torch', 'sklearn', 'scipy', 'plotly'} & set(sys.modules); assert not bad, bad"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
