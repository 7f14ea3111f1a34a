"""Files of torch.save: everything torch writes comes back bit for bit, and nothing else is believed."""

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import strategies
from reknit.containers import open_container
from reknit.errors import ContainerError


def saved(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def repacked(raw, *, change=None, compression=zipfile.ZIP_STORED, drop=(), add=()):
    """The same archive with entries changed, packed otherwise, left out or added."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for name in old.namelist():
            if name not in drop:
                new.writestr(name, (change or {}).get(name, old.read(name)))
        for name, content in add:
            new.writestr(name, content)
    return buffer.getvalue()


def pickled(data):
    """A torch archive around a pickle of our own making, with one storage of four float32."""
    return repacked(saved({"a": torch.arange(4.0)}), change={"archive/data.pkl": data})


def opened(tmp_path_factory_or_path, raw, name="file.pt"):
    path = Path(tmp_path_factory_or_path) / name
    path.write_bytes(raw)
    return open_container(path)


def read_all(folder, raw):
    container = opened(folder, raw)
    return {key: container.read(key) for key in container.tensors}


def refused(folder, raw):
    with pytest.raises(ContainerError) as caught:
        read_all(folder, raw)
    assert "file.pt" in str(caught.value)
    return caught.value.problem


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("torch")


@given(
    st.dictionaries(strategies.keys, st.one_of(strategies.tensors(), strategies.views()), min_size=1, max_size=4),
    st.booleans(),
)
def test_what_torch_saves_comes_back_bit_for_bit(folder, state, zipped):
    container = opened(folder, saved(state, _use_new_zipfile_serialization=zipped))
    assert container.format == "torch"
    assert list(container.tensors) == list(state)
    for key, tensor in state.items():
        info, array = container.tensors[key], container.read(key)
        assert strategies.bits(array) == strategies.torch_bits(tensor)
        assert (info.dtype, info.shape, info.nbytes) == (array.dtype.name, array.shape, array.nbytes)
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_views_of_one_storage_are_told_apart(folder):
    base = torch.arange(12.0)
    container = opened(folder, saved({"all": base, "part": base[3:7], "column": base.reshape(3, 4)[:, 1]}))
    assert container.read("part").tolist() == [3, 4, 5, 6]
    assert container.read("column").tolist() == [1, 5, 9]
    assert container.read("all").tolist() == list(range(12))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_every_protocol_torch_offers(folder, protocol, zipped):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    raw = saved(model.state_dict(), pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    container = opened(folder, raw)
    for key, tensor in model.state_dict().items():
        assert strategies.bits(container.read(key)) == strategies.torch_bits(tensor)


def test_wrappers_parameters_and_optimizers(folder):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    checkpoint = {
        "state_dict": model.state_dict(),
        "parameters": [model.weight, model.bias],
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "note": "text",
        "size": torch.Size([2]),
        "device": torch.device("cpu"),
        "dtype": torch.bfloat16,
        "nothing": None,
    }
    container = opened(folder, saved(checkpoint))
    assert list(container.tensors)[:4] == ["state_dict.weight", "state_dict.bias", "parameters.0", "parameters.1"]
    assert "optimizer.state.0.exp_avg" in container.tensors
    assert strategies.bits(container.read("parameters.0")) == strategies.torch_bits(model.weight)


def test_a_tensor_alone_is_named_after_its_file(folder):
    container = opened(folder, saved(torch.ones(2, 3)), "lonely.pth")
    assert container.unnamed
    assert list(container.tensors) == ["lonely"]


def test_a_tensor_with_attributes_is_read(folder):
    tensor = torch.ones(2)
    tensor.note = "text"
    assert opened(folder, saved({"a": tensor})).read("a").tolist() == [1, 1]


def test_tensors_saved_on_a_gpu(folder):
    data = zipfile.ZipFile(io.BytesIO(saved({"a": torch.arange(4.0)}))).read("archive/data.pkl")
    moved = data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    assert moved != data
    assert opened(folder, pickled(moved)).read("a").tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.complex64])
def test_big_endian_storages_are_turned(folder, dtype):
    tensor = torch.arange(4).to(dtype)
    raw = saved({"a": tensor})
    word = tensor.element_size() // (2 if dtype.is_complex else 1)
    bits = zipfile.ZipFile(io.BytesIO(raw)).read("archive/data/0")
    turned = np.frombuffer(bits, np.uint8).reshape(-1, word)[:, ::-1].tobytes()
    big = repacked(raw, change={"archive/byteorder": b"big", "archive/data/0": turned})
    assert strategies.bits(opened(folder, big).read("a")) == strategies.torch_bits(tensor)
    odd = repacked(raw, change={"archive/byteorder": b"middle"})
    assert refused(folder, odd) == "has the unknown byte order b'middle'"


def test_packed_entries_and_files_without_checksums(folder):
    state = {"a": torch.arange(5000.0), "b": torch.ones(3)}
    assert opened(folder, repacked(saved(state), compression=zipfile.ZIP_DEFLATED)).read("a").tolist() == list(
        range(5000)
    )
    torch.serialization.set_crc32_options(False)
    try:
        raw = saved(state)
    finally:
        torch.serialization.set_crc32_options(True)
    assert opened(folder, raw).read("a").tolist() == list(range(5000))


def test_a_large_file_is_read_by_parts(folder):
    base = torch.arange(200_000.0)
    container = opened(folder, saved({"a": base, "b": base[100_000:100_003], "c": torch.ones(2)}))
    assert container.read("b").tolist() == [100_000, 100_001, 100_002]
    assert container.read("b").tolist() == [100_000, 100_001, 100_002]
    assert strategies.bits(container.read("a")) == strategies.torch_bits(base)


def test_a_flipped_bit_of_the_numbers_fails_the_checksum(folder):
    raw = bytearray(saved({"a": torch.arange(100_000.0)}))
    raw[len(raw) // 2] ^= 1
    container = opened(folder, bytes(raw))
    assert list(container.tensors) == ["a"]
    with pytest.raises(ContainerError, match="the entry 'archive/data/0' fails its checksum"):
        container.read("a")


class Evil:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_calls_a_program_is_refused_by_name_and_not_run(folder, protocol, zipped):
    sentinel = folder / "sentinel"
    evil = {"weight": torch.ones(2, 2), "x": Evil(os.system, f"touch {sentinel}")}
    raw = saved(evil, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    assert refused(folder, raw) == f"asks for {os.system.__module__}.system, which is no tensor; nothing was executed"
    assert not sentinel.exists()
    # the control: unpickling for real does run it
    evil.pop("weight")
    pickle.loads(pickle.dumps(evil))
    assert sentinel.exists()
    sentinel.unlink()


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        (Evil(eval, "1"), "asks for __builtin__.eval"),
        (Evil(getattr, 1, "real"), "asks for __builtin__.getattr"),
        (torch.nn.Linear(2, 2), "asks for torch.nn.modules.linear.Linear"),
        (np.ones(2), "asks for numpy"),
        (torch.eye(2).to_sparse(), "asks for torch._utils._rebuild_sparse_tensor"),
        ({1, 2}, "asks for __builtin__.set"),
        (Path("x"), "asks for pathlib.PosixPath"),
    ],
)
def test_anything_but_tensors_is_refused_by_name(folder, value, asked):
    assert refused(folder, saved({"a": torch.ones(2), "b": value})).startswith(asked)


def test_the_remedy_says_how_to_save_instead(folder):
    with pytest.raises(
        ContainerError, match=r"Save the state dict instead: torch\.save\(model\.state_dict\(\), \.\.\.\)\."
    ):
        opened(folder, saved(torch.nn.Linear(2, 2)))


def tensor_pickle(shape=(4,), strides=(1,), offset=0, count=4, key=b"0", metadata=b""):
    """The pickle of ``{"a": tensor}`` with claims of our choice about the tensor."""

    def integer(value):
        raw = value.to_bytes(16, "little", signed=True)
        return b"\x8a\x10" + raw

    def numbers(values):
        return b"(" + b"".join(map(integer, values)) + b"t"

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value

    storage = b"(" + text(b"storage") + b"ctorch\nFloatStorage\n" + text(key) + text(b"cpu") + integer(count) + b"tQ"
    args = b"(" + storage + integer(offset) + numbers(shape) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)R"
    return b"\x80\x02}" + text(b"a") + b"ctorch._utils\n_rebuild_tensor_v2\n" + args + metadata + b"tRs."


def test_the_tensor_pickle_of_these_tests_is_sound(folder):
    assert opened(folder, pickled(tensor_pickle())).read("a").tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("claim", "problem"),
    [
        ({"shape": (5,)}, "'a' reaches past the end of its storage"),
        ({"offset": 1}, "'a' reaches past the end of its storage"),
        ({"strides": (2,)}, "'a' reaches past the end of its storage"),
        ({"offset": -1}, "'a' has a damaged description"),
        ({"strides": (-1,), "offset": 3}, "'a' has a damaged description"),
        ({"strides": (1, 1)}, "'a' has a damaged description"),
        ({"shape": (-4,)}, "'a' claims a shape that no tensor has"),
        ({"shape": (1,) * 40, "strides": (1,) * 40}, "'a' claims a shape that no tensor has"),
        ({"shape": (2**62, 0), "strides": (0, 0)}, "'a' claims a shape that no memory holds"),
        ({"shape": (2**40,), "strides": (0,)}, "describes far more numbers than it holds"),
        ({"count": 5}, "'a' claims a storage of 20 bytes but there are 16"),
        ({"count": -4}, "refers to something that is no storage of numbers"),
        ({"key": b"7"}, "the numbers of 'a' are missing (storage '7')"),
        ({"key": b"../0"}, "the numbers of 'a' are missing (storage '../0')"),
        (
            {"metadata": b"}X\x03\x00\x00\x00neg\x88s"},
            "calls _rebuild_tensor_v2 with arguments that reknit does not read",
        ),
    ],
)
def test_claims_about_a_tensor_are_checked(folder, claim, problem):
    assert refused(folder, pickled(tensor_pickle(**claim))) == problem


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "holds a damaged pickle"),
        (b"\x80\x02", "holds a damaged pickle"),
        (b"\x80\x02}q\x00K\x01h\x00s.", "nests its tensors too deep, or in themselves"),  # a dict that holds itself
        (b"\x80\x02h\x05.", "holds a damaged pickle"),
        (b"\x80\x02X\xff\xff\xff\xff.", "holds a damaged pickle"),
        (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", "holds a damaged pickle"),
        (b"\x80\x02r\xff\xff\xff\xff.", "holds a damaged pickle"),
        (b"\x80\x02u.", "holds a damaged pickle"),
        (b"\x80\x02K\x01K\x02s.", "holds a damaged pickle"),
        (b"\x80\x02(.", "is a torch file without a tensor"),
        (b"\x80\x02X\x01\x00\x00\x00\xff.", "holds a damaged pickle"),
        (b"\x80\x02}]K\x01s.", "has a dict whose key is neither a text nor a number"),
        (b"\x80\x02}))\x86K\x01s.", "has a dict whose key is neither a text nor a number"),
        (b"\x80\x02K\x01)R.", "calls something that cannot be called"),
        (b"\x80\x02ctorch\nSize\nK\x01\x85R.", "calls Size with arguments that reknit does not read"),
        (b"\x80\x02)Q.", "refers to something that is no storage of numbers"),
        (b"\x80\x02K\x01}b.", "sets the attributes of an object that is no tensor"),
        (
            b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",
            "uses the pickle instruction 0x96, which tensors do not need",
        ),
        (b"\x80\x02}.", "is a torch file without a tensor"),
        (b"cos\nsystem\n.", "asks for os.system, which is no tensor; nothing was executed"),
        (b"c\x1b[2J\nx\n.", "asks for '\\x1b[2J.x', which is no tensor; nothing was executed"),
        (b"\x80\x04K\x01K\x02\x93.", "asks for a nameless object, which is no tensor; nothing was executed"),
        (b"(" * 100_000 + b".", "is a torch file without a tensor"),
        (b"]" + b"]a" * 0 + b"(" + b"]" * 50_000 + b"e.", "is a torch file without a tensor"),
        (b"]" * 100_000 + b"a" * 99_999 + b".", "nests its tensors too deep, or in themselves"),
        (
            b"]" + b"".join(b"q%c]h%ch%c\x86a" % (k, k, k) for k in range(60)) + b".",
            "nests its tensors too deep, or in themselves",
        ),
        (b"N" * 4_000_001 + b".", "holds a pickle of more than 4,000,000 instructions"),
    ],
)
def test_hostile_pickles(folder, data, problem):
    assert refused(folder, pickled(data)) == problem


def test_two_paths_to_one_name(folder):
    assert refused(folder, saved({"a.b": torch.ones(1), "a": {"b": torch.ones(1)}})) == "holds two tensors named 'a.b'"


@pytest.mark.parametrize("key", ["../x", "a/../../x", "..", "x\n", "\x1b[2J", "x" * 2000])
def test_names_no_honest_file_has(folder, key):
    assert "name" in refused(folder, saved({key: torch.ones(1)})) or len(key) > 1000


def test_a_missing_storage(folder):
    assert "are missing" in refused(folder, repacked(saved({"a": torch.ones(3)}), drop=["archive/data/0"]))


def test_an_ordered_dict_made_from_pairs(folder):
    pairs = b"\x80\x02ccollections\nOrderedDict\n]]X\x01\x00\x00\x00kK\x01eaa\x85R."
    assert refused(folder, pickled(pairs.replace(b"eaa", b"aa"))) != ""
    assert list(opened(folder, saved(OrderedDict(a=torch.ones(1)))).tensors) == ["a"]


@pytest.mark.parametrize("cut", [1, 20, 150, 400, -1, -9, -30])
def test_legacy_files_cut_short(folder, cut):
    raw = saved({"a": torch.arange(9.0), "b": torch.ones(3)}, _use_new_zipfile_serialization=False)
    refused(folder, raw[:cut])


def test_legacy_files_with_a_huge_claim_or_more_than_they_say(folder):
    raw = saved({"a": torch.arange(9.0)}, _use_new_zipfile_serialization=False)
    at = len(raw) - 9 * 4 - 8
    huge = raw[:at] + struct.pack("<q", 2**40) + raw[at + 8 :]
    assert refused(folder, huge) == f"claims a storage of {2**42:,} bytes, past its end"
    assert refused(folder, raw + b"xyz") == "holds 3 bytes that are no storage"
