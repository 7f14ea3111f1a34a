"""Safetensors files: round trips against the reference writer, and headers that lie."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

import strategies
from reknit.containers import open_container
from reknit.errors import ContainerError


def written(header, data=b"", size=None):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if size is None else size) + raw + data


def entry(begin=0, end=8, dtype="F32", shape=(2,)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def opened(folder, raw, name="file.safetensors"):
    (folder / name).write_bytes(raw)
    return open_container(folder / name)


def refused(folder, raw):
    with pytest.raises(ContainerError) as caught:
        opened(folder, raw)
    assert "file.safetensors" in str(caught.value)
    return caught.value.problem


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("safetensors")


@given(st.dictionaries(strategies.keys, strategies.tensors(strategies.SAFETENSORS_DTYPES), min_size=1, max_size=4))
def test_what_safetensors_saves_comes_back_bit_for_bit(folder, state):
    container = opened(folder, save(state, metadata={"made": "here"}))
    assert container.format == "safetensors"
    assert set(container.tensors) == set(state)
    for key, tensor in state.items():
        info, array = container.tensors[key], container.read(key)
        assert strategies.bits(array) == strategies.torch_bits(tensor)
        assert (info.dtype, info.shape, info.nbytes) == (array.dtype.name, array.shape, array.nbytes)
        assert array.flags.writeable


def test_only_the_tensor_asked_for_is_read(folder, monkeypatch):
    header = {"a": entry(0, 4_000_000, shape=(1_000_000,)), "b": entry(4_000_000, 4_000_008)}
    container = opened(folder, written(header, bytes(4_000_000) + struct.pack("<2f", 1, 2)))
    reads = []
    read = container._source.read
    monkeypatch.setattr(container._source, "read", lambda *args: reads.append(args) or read(*args))
    assert container.read("b").tolist() == [1, 2]
    assert sum(size for _, size in reads) == 8


DATA = struct.pack("<2f", 1, 2)


def test_the_headers_of_these_tests_are_sound(folder):
    assert opened(folder, written({"a": entry()}, DATA)).read("a").tolist() == [1, 2]
    assert opened(folder, written(json.dumps({"a": entry()}).encode() + b"   ", DATA)).read("a").tolist() == [1, 2]


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (written({"a": entry()}, DATA)[:-1], "the numbers of 'a' lie outside the file"),
        (written({"a": entry()}, DATA + b"x"), "holds 1 bytes that belong to no tensor"),
        (written({"a": entry()}, DATA, size=2**40), f"claims a header of {2**40:,} bytes but only 69 follow"),
        (written(b"{" + b" " * 100_000_001), "has a header of 100,000,002 bytes; 100,000,000 are allowed"),
        (written({"a": entry(0, 4 * 2**40, shape=(2**40,))}, DATA), "the numbers of 'a' lie outside the file"),
        (written({"a": entry(0, 8, shape=(3,))}, DATA), "'a' should have 12 bytes but its header claims 8"),
        (written({"a": entry(8, 0)}, DATA), "the numbers of 'a' lie outside the file"),
        (written({"a": entry(-8, 0)}, DATA), "the numbers of 'a' lie outside the file"),
        (written({"a": entry(True, 8)}, DATA), "the numbers of 'a' lie outside the file"),
        (written({"a": entry(0, 8.0)}, DATA), "has a damaged description of 'a'"),
        (written({"a": entry(), "b": entry()}, DATA), "'b' overlaps another tensor"),
        (written({"a": entry(), "b": entry(4, 12)}, DATA * 2), "'b' overlaps another tensor"),
        (written({"a": entry(), "b": entry(12, 20)}, DATA * 3), "'b' leaves a hole of 4 bytes before it"),
        (written({"a": entry(dtype="F4")}, DATA), "'a' has the dtype 'F4', which is not supported"),
        (written({"a": entry(shape=(-2,))}, DATA), "'a' claims a shape that no tensor has"),
        (written({"a": entry(shape=(2.0,))}, DATA), "'a' claims a shape that no tensor has"),
        (written({"a": entry(shape=(True,))}, DATA), "'a' claims a shape that no tensor has"),
        (written({"a": entry(0, 0, shape=(0, 2**70))}, b""), "'a' claims a shape that no memory holds"),
        (written({"a": {**entry(), "more": 1}}, DATA), "has a damaged description of 'a'"),
        (written({"a": []}, DATA), "has a damaged description of 'a'"),
        (written({"../a": entry()}, DATA), "holds the name '../a', which points out of its folder"),
        (written({"a\ud800": entry()}, DATA), "holds the name 'a\\ud800', which has unprintable characters"),
        (written({"a\x1b[2J": []}, DATA), "holds the name 'a\\x1b[2J', which has unprintable characters"),
        (written({"__metadata__": {"a": 1}, "a": entry()}, DATA), "has a __metadata__ that is not a map of texts"),
        (written({"__metadata__": {"a": "b"}}), "is a safetensors file without a tensor"),
        (written(b'{"a": 1, "a": 2}'), "names 'a' twice in its header"),
        (written(b'{"a": {"dtype": "F32", "dtype": "I32"}}'), "names 'dtype' twice in its header"),
        (written(b"{" + b'"a":[' * 200_000), "has a damaged header: not JSON"),
        (written(b'{"a": ' + b"1" * 5000 + b"}"), "has a damaged header: not JSON"),
        (written(b'{"a\xff": 1}'), "has a damaged header: not JSON"),
        (written(b"{"), "has a damaged header: not JSON"),
    ],
)
def test_headers_that_lie(folder, raw, problem):
    assert refused(folder, raw) == problem


def shards(folder, **changes):
    folder.mkdir()
    (folder / "model-1.safetensors").write_bytes(written({"a": entry()}, DATA))
    (folder / "model-2.safetensors").write_bytes(written({"b": entry()}, DATA[::-1]))
    index = {"metadata": {}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"} | changes}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_a_sharded_folder_is_one_container(tmp_path):
    folder = shards(tmp_path / "sharded")
    for path in (folder, folder / "model.safetensors.index.json"):
        container = open_container(path)
        assert list(container.tensors) == ["a", "b"]
        assert container.read("a").tobytes() + container.read("b").tobytes() == DATA + DATA[::-1]
        assert container.tensors["b"].file == folder / "model-2.safetensors"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"a": "../model-1.safetensors"},
            "the index names the shard '../model-1.safetensors', which is not a file beside it",
        ),
        ({"a": "/etc/passwd"}, "the index names the shard '/etc/passwd', which is not a file beside it"),
        ({"a": ".."}, "the index names the shard '..', which is not a file beside it"),
        ({"a": ""}, "the index names the shard '', which is not a file beside it"),
        ({"a": "model-3.safetensors"}, "the shard model-3.safetensors is missing"),
        ({"a": "model-2.safetensors"}, "the index promises 'a' in model-2.safetensors, which lacks it"),
        ({"c": "model-2.safetensors"}, "the index promises 'c' in model-2.safetensors, which lacks it"),
        ({"a": 7}, "is an index without a weight_map of names"),
        ({"../a": "model-1.safetensors"}, "holds the name '../a', which points out of its folder"),
    ],
)
def test_an_index_that_lies(tmp_path, changes, problem):
    with pytest.raises(ContainerError) as caught:
        open_container(shards(tmp_path / "sharded", **changes))
    assert caught.value.problem == problem
    assert "model.safetensors.index.json" in str(caught.value)


def test_a_shard_with_more_than_the_index_knows(tmp_path):
    folder = shards(tmp_path / "sharded")
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    assert list(open_container(folder).tensors) == ["a"]
    (folder / "model-1.safetensors").write_bytes(written({"a": entry(), "x": entry(8, 16)}, DATA * 2))
    with pytest.raises(
        ContainerError, match=r"the shard model-1.safetensors holds 'x', which the index does not place there"
    ):
        open_container(folder)


@pytest.mark.parametrize(
    "text", ["[]", "{", "", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": "b", "a": "c"}}']
)
def test_an_index_that_is_none(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ContainerError, match=r"index\.json"):
        open_container(tmp_path)


def test_a_folder_without_or_with_two_indexes(tmp_path):
    with pytest.raises(ContainerError, match="is a folder with no "):
        open_container(tmp_path)
    (tmp_path / "a.safetensors.index.json").touch()
    (tmp_path / "b.safetensors.index.json").touch()
    with pytest.raises(ContainerError, match="is a folder with more than one "):
        open_container(tmp_path)
