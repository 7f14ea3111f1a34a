"""TorchScript files: what torch saves comes back under the names of the state dict, and no code is run."""

import io
import zipfile

import pytest
import torch

import strategies
from reknit.containers import open_container, read_pile, read_tensors
from reknit.errors import ContainerError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Several(torch.nn.Module):
    """Parameters, buffers, and attributes of every kind that TorchScript keeps."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 3)
        self.norm = torch.nn.BatchNorm1d(3)
        self.scale = torch.nn.Parameter(torch.randn(3).half())
        self.tied = torch.nn.Linear(2, 3)
        self.tied.weight = self.linear.weight
        self.count, self.share, self.flag, self.nothing, self.text = 5, 0.5, True, None, "text"
        self.integers, self.floats, self.flags, self.texts = [1, 2], [0.5], [True], ["a", "b"]
        self.named = {"key": torch.ones(2), "other": torch.zeros(1)}
        self.listed = [torch.ones(1), torch.zeros(2)]
        self.paired = (torch.ones(3), 2)

    def forward(self, x):
        y = self.norm(self.linear(x)) + self.tied(x) * self.scale + self.named["key"].sum()
        return y * self.floats[0] + self.listed[0] + self.paired[0] * self.integers[0]


def scripted(module):
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    return buffer.getvalue()


def opened(folder, raw):
    (folder / "file.pt").write_bytes(raw)
    return open_container(folder / "file.pt")


def repacked(raw, change=None, add=()):
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, (change or {}).get(name, old.read(name)))
        for name, content in add:
            new.writestr(name, content)
    return buffer.getvalue()


def test_a_scripted_module_has_the_names_and_numbers_of_its_state_dict(tmp_path):
    module = Several()
    container = opened(tmp_path, scripted(torch.jit.script(module)))
    assert container.format == "torchscript"
    state = module.state_dict()
    extra = {
        "named.key": torch.ones(2),
        "named.other": torch.zeros(1),
        "listed.0": torch.ones(1),
        "listed.1": torch.zeros(2),
        "paired.0": torch.ones(3),
    }
    assert set(container.tensors) == set(state) | set(extra)
    for key, tensor in {**state, **extra}.items():
        assert strategies.bits(container.read(key)) == strategies.torch_bits(tensor)


def test_a_traced_module(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    opened(tmp_path, scripted(torch.jit.trace(module, torch.ones(1, 2))))
    assert read_pile(tmp_path).names == ("0", "2")
    assert read_pile(tmp_path)["2"].weight.tolist() == module[2].weight.tolist()


def test_a_frozen_module_keeps_its_weights_among_the_constants(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 4)).eval()
    container = opened(tmp_path, scripted(torch.jit.freeze(torch.jit.script(module))))
    held = [container.read(key) for key in container.tensors]
    assert all(key.startswith("CONSTANTS.c") for key in container.tensors)
    for tensor in module.state_dict().values():
        assert any(strategies.bits(array) == strategies.torch_bits(tensor) for array in held)


TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x06tQ"
    b"K\x00K\x03K\x02\x86K\x02K\x01\x86\x89ccollections\nOrderedDict\n)RtR"
)


@pytest.mark.parametrize(
    ("state", "key"),
    [(b"K\x07" + TENSOR + b"\x86", "a.1"), (b"]" + TENSOR + b"a", "a.0"), (TENSOR, "a.state")],
)
def test_state_that_a_class_makes_itself(tmp_path, state, key):
    """It may be a tuple, a list, or a tensor; what it holds is numbered."""
    linear = torch.nn.Linear(2, 3)
    pickle = b"\x80\x02c__torch__\nA\n)\x81}X\x01\0\0\0ac__torch__.torch.classes\nB\n)\x81" + state + b"bsb."
    container = opened(tmp_path, repacked(scripted(torch.jit.script(linear)), {"archive/data.pkl": pickle}))
    assert list(container.tensors) == [key]
    assert container.read(key).tolist() == linear.weight.tolist()


@pytest.mark.parametrize(
    ("pickle", "problem"),
    [
        (b"\x80\x02cos\nsystem\n.", "asks for os.system, which is no tensor; nothing was executed"),
        (b"\x80\x02c__torch__\nA\n(K\x01t\x81.", "makes an object that is no tensor"),
        (b"\x80\x02ctorch\nSize\n)\x81.", "makes an object that is no tensor"),
        (b"\x80\x02c__torch__\nA\n)R.", "calls something that cannot be called"),
        (b"\x80\x02c__torch__\nA\n.", "is a damaged torchscript file"),
        (b"\x80\x02c__torch__\nA\n)\x81.", "is a torchscript file without a tensor"),
        (b"\x80\x02c__torch__\nA\n)\x81}X\x09\x00\x00\x00CONSTANTSNsb.", "is a damaged torchscript file"),
        (
            b"\x80\x02c__torch__\nA\n)\x81q\x00}X\x01\x00\x00\x00ah\x00sb.",
            "nests its tensors too deep, or in themselves",
        ),
        (
            b"\x80\x02ctorch.jit._pickle\nbuild_intlist\nK\x01\x85R.",
            "calls build_intlist with arguments that reknit does not read",
        ),
        (b"\x80\x02)\x81.", "holds a damaged pickle"),
        (b"\x80\x02]K\x01b.", "sets the attributes of an object that is no tensor"),
    ],
)
def test_hostile_modules(tmp_path, pickle, problem):
    raw = repacked(scripted(torch.jit.script(torch.nn.Linear(2, 3))), {"archive/data.pkl": pickle})
    with pytest.raises(ContainerError) as caught:
        opened(tmp_path, raw)
    assert caught.value.problem == problem
    assert caught.value.where == str(tmp_path / "file.pt")


def test_constants_of_another_folder_do_not_make_a_module(tmp_path):
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(2)}, buffer)
    container = opened(tmp_path, repacked(buffer.getvalue(), add=[("other/constants.pkl", b"\x80\x02).")]))
    assert container.format == "torch"


def test_constants_that_are_no_tuple(tmp_path):
    raw = scripted(torch.jit.script(torch.nn.Linear(2, 3)))
    with pytest.raises(ContainerError, match="is a damaged torchscript file"):
        opened(tmp_path, repacked(raw, {"archive/constants.pkl": b"\x80\x02]."}))


@pytest.mark.slow
def test_a_real_module_against_torch_and_its_onnx_export():
    path = strategies.real_file("silero_vad/silero_vad/data/silero_vad.jit")
    module, container = torch.jit.load(path, map_location="cpu"), open_container(path)
    state = dict(module.state_dict())
    assert len(state) == 30
    for key, tensor in state.items():
        assert strategies.bits(container.read(key)) == strategies.torch_bits(tensor)
    onnx = read_tensors(strategies.real_file("silero_vad/silero_vad/data/silero_vad_16k_op15.onnx"))
    for name in onnx:
        if name.startswith("model."):
            assert (onnx.array(name) == container.read(f"_{name}")).all()
    assert sum(name.startswith("model.") for name in onnx) == 15
