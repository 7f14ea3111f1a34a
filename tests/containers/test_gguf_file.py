"""GGUF files: numbers come back bit for bit, blocks as a plain loop unpacks them, and headers that lie are refused.

The files are written by a few lines of our own (``writers``), by the layout that llama.cpp reads.
"""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from writers import gguf_blocks, gguf_fact, gguf_file, gguf_header, gguf_tensor, gguf_text

import strategies
from reknit.cli.app import main
from reknit.containers import open_container, read_pile, read_tensors
from reknit.containers.file_bytes import FileBytes
from reknit.containers.inspect import inspect
from reknit.errors import ContainerError, PileError

PLAIN = ["float32", "float16", "int8", "int16", "int32", "int64", "float64", "bfloat16"]
PAIR = np.float32([1, 2])


def opened(folder, raw):
    (folder / "file.gguf").write_bytes(raw)
    return open_container(folder / "file.gguf")


def refused(folder, raw):
    with pytest.raises(ContainerError) as caught:
        opened(folder, raw)
    assert "file.gguf" in str(caught.value)
    return caught.value.problem


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gguf")


def u32(value):
    return struct.pack("<L", value)


def u64(value):
    return struct.pack("<Q", value)


FACTS = [
    gguf_fact("general.architecture", 8, gguf_text("llama")),
    gguf_fact("tokens", 9, u32(8) + u64(3) + gguf_text("a") + gguf_text("") + gguf_text("ccc")),
    gguf_fact("scores", 9, u32(6) + u64(2) + bytes(8)),
    gguf_fact("nested", 9, u32(9) + u64(1) + u32(0) + u64(5) + bytes(5)),
    gguf_fact("count", 4, u32(7)),
    gguf_fact("ratio", 12, bytes(8)),
    gguf_fact("yes", 7, b"\1"),
]


@given(
    st.dictionaries(strategies.keys, strategies.arrays(PLAIN), min_size=1, max_size=4),
    st.lists(st.sampled_from(FACTS), unique=True),
    st.sampled_from([8, 32, 256]),
)
def test_numbers_come_back_bit_for_bit(folder, state, facts, alignment):
    facts = [*facts, gguf_fact("general.alignment", 4, u32(alignment))] if alignment != 32 else facts
    container = opened(folder, gguf_file(state, facts=facts, alignment=alignment))
    assert container.format == "gguf"
    assert list(container.tensors) == list(state)
    for key, expected in state.items():
        info, array = container.tensors[key], container.read(key)
        assert strategies.bits(array) == strategies.bits(expected)
        assert (info.dtype, info.shape, info.nbytes, info.packing) == (array.dtype.name, array.shape, array.nbytes, "")
        assert array.flags.writeable


def unpacked(kind, raw):
    """The numbers of blocks, one by one."""
    for at in range(0, len(raw), {"Q4_0": 18, "Q8_0": 34}[kind]):
        (scale,) = struct.unpack_from("<e", raw, at)
        for k in range(32):
            half = raw[at + 2 + k % 16]
            q = struct.unpack_from("b", raw, at + 2 + k)[0] if kind == "Q8_0" else (half >> 4 * (k // 16) & 15) - 8
            yield np.float32(scale) * np.float32(q)


@given(st.sampled_from(["Q4_0", "Q8_0"]), st.sampled_from([(32,), (3, 64), (2, 3, 32), (0, 32)]), strategies.seeds)
def test_blocks_are_unpacked_as_by_a_loop(folder, kind, shape, seed):
    raw = gguf_blocks(kind, shape, seed)
    container = opened(folder, gguf_file({"a": (kind, shape, raw), "b": PAIR}))
    info, array = container.tensors["a"], container.read("a")
    assert (info.dtype, info.shape, info.nbytes, info.packing) == ("float32", shape, array.nbytes, kind)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array.reshape(-1), np.float32(list(unpacked(kind, raw))))
    assert container.read("b").tolist() == [1, 2]


def test_blocks_of_no_finite_scale_are_read_without_a_warning(folder):
    raw = np.float16([np.inf]).tobytes() + bytes(32)
    assert np.isnan(opened(folder, gguf_file({"a": ("Q8_0", (32,), raw)})).read("a")).all()


def test_inspect_tells_the_packing(folder, capsys):
    opened(folder, gguf_file({"a": ("Q8_0", (32,), bytes(34)), "b": PAIR}))
    (seen,) = inspect(folder / "file.gguf").containers
    assert [tensor.packing for tensor in seen.tensors] == ["Q8_0", ""]
    assert "packing" not in inspect(folder / "file.gguf").as_json()["containers"][0]["tensors"][1]
    assert main(["inspect", str(folder / "file.gguf")]) == 0
    assert "float32 from Q8_0" in capsys.readouterr().out


def test_a_pile_takes_plain_numbers_and_no_blocks(folder):
    layer = {"fc.weight": np.ones((2, 32), "f4"), "fc.bias": PAIR}
    opened(folder, gguf_file(layer))
    assert read_pile(folder / "file.gguf")["file"].weight.shape == (2, 32)
    opened(folder, gguf_file(layer | {"fc.weight": ("Q8_0", (2, 32), bytes(68))}))
    with pytest.raises(PileError, match=r"'fc\.weight' is quantized as Q8_0, whose rounding steps are not known"):
        read_pile(folder / "file.gguf")
    assert read_tensors(folder / "file.gguf").shape("fc.weight") == (2, 32)


def test_only_headers_and_the_tensor_asked_for_are_read(folder, monkeypatch):
    reads = []
    read = FileBytes.read
    monkeypatch.setattr(FileBytes, "read", lambda self, at, size: reads.append(size) or read(self, at, size))
    container = opened(folder, gguf_file({"a": np.zeros(4_000_000, "f4"), "b": PAIR}))
    assert sum(reads) < 100_000
    reads.clear()
    assert container.read("b").tolist() == [1, 2]
    assert sum(reads) == 8


def claimed(name="a", kind=0, sizes=(2,), offset=0, **header):
    raw = gguf_header([gguf_tensor(name, kind, sizes, offset)], **header)
    return raw + bytes(-len(raw) % 32) + PAIR.tobytes()


def with_fact(*facts):
    return claimed(facts=facts)


def test_the_files_of_these_tests_are_sound(folder):
    assert opened(folder, claimed()).read("a").tolist() == [1, 2]
    assert opened(folder, with_fact(*FACTS)).read("a").tolist() == [1, 2]
    assert opened(folder, claimed(version=2)).read("a").tolist() == [1, 2]
    assert opened(folder, claimed() + bytes(24)).read("a").tolist() == [1, 2]  # filled up to the alignment


@pytest.mark.parametrize("size", range(65_400, 65_536, 8))
def test_a_header_is_read_across_the_windows_of_the_reader(folder, size):
    """A text in front moves the name of the tensor over the end of the first 64 KiB."""
    raw = claimed(name="abcdefghijkl", facts=[gguf_fact("t", 9, u32(8) + u64(1) + gguf_text("x" * size))])
    assert opened(folder, raw).read("abcdefghijkl").tolist() == [1, 2]


DAMAGED = "is a GGUF file that is cut short or damaged"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"GGUF", DAMAGED),
        (claimed()[:30], DAMAGED),
        (claimed()[:-1], "the numbers of 'a' lie outside the file"),
        (claimed() + bytes(25), "holds 25 bytes that belong to no tensor"),
        (claimed(version=1), "is a GGUF file of version 1, which is not supported"),
        (claimed(version=3 << 24), "is a GGUF file that is big-endian, which is not supported"),
        (claimed(counts=(2**63, 0)), f"claims {2**63:,} tensors and 0 facts in 72 bytes"),
        (claimed(counts=(1, 2**63)), f"claims 1 tensors and {2**63:,} facts in 72 bytes"),
        (gguf_header(), "is a GGUF file without a tensor"),
        (claimed(kind=12), "'a' is of the type Q4_K, which reknit does not read"),
        (claimed(kind=77), "'a' is of the type number 77, which reknit does not read"),
        (claimed(kind=8, sizes=(33,)), "'a' is of the type Q8_0 but its rows are not whole blocks"),
        (claimed(kind=2, sizes=()), "'a' is of the type Q4_0 but its rows are not whole blocks"),
        (claimed(sizes=(3,)), "the numbers of 'a' lie outside the file"),
        (claimed(sizes=(2**40,)), "the numbers of 'a' lie outside the file"),
        (claimed(sizes=(2**40, 2**40)), "'a' claims a shape that no memory holds"),
        (claimed(sizes=(0, 2**63)), "'a' claims a shape that no memory holds"),
        (claimed(sizes=(1,) * 5), "'a' claims 5 axes; 4 are allowed"),
        (claimed(offset=32), "'a' leaves a hole of 32 bytes before it"),
        (claimed(offset=2**63), f"'a' leaves a hole of {2**63:,} bytes before it"),
        (claimed(name="../a"), "holds the name '../a', which points out of its folder"),
        (claimed(name="a\x1b[2J"), "holds the name 'a\\x1b[2J', which has unprintable characters"),
        (claimed(name="x" * 2000), f"holds a name of 2,000 characters, starting '{'x' * 40}'"),
        (claimed(name="x" * 5000), DAMAGED),
        (claimed(name=b"\xff"), DAMAGED),
        (with_fact(FACTS[0], FACTS[0]), "names 'general.architecture' twice in its header"),
        (with_fact(gguf_fact("x", 13, b"")), DAMAGED),
        (with_fact(gguf_fact("x", 8, u64(2**63))), DAMAGED),
        (with_fact(gguf_fact("x", 9, u32(0) + u64(2**63))), DAMAGED),
        (with_fact(gguf_fact("x", 9, u32(8) + u64(2**63))), DAMAGED),
        (with_fact(gguf_fact("x", 9, (u32(9) + u64(1)) * 3000)), DAMAGED),
        (with_fact(gguf_fact("general.alignment", 4, u32(0))), "claims an alignment that is no power of two"),
        (with_fact(gguf_fact("general.alignment", 4, u32(48))), "claims an alignment that is no power of two"),
        (with_fact(gguf_fact("general.alignment", 4, u32(1 << 30))), "claims an alignment that is no power of two"),
        (with_fact(gguf_fact("general.alignment", 10, u64(32))), "claims an alignment that is no power of two"),
    ],
)
def test_headers_that_lie(folder, raw, problem):
    assert refused(folder, raw) == problem


def test_tensors_that_overlap_or_share_a_name(folder):
    a, b = (gguf_tensor(name, 0, (2,), offset) for name, offset in (("a", 0), ("b", 0)))
    raw = gguf_header([a, b])
    assert refused(folder, raw + bytes(-len(raw) % 32) + bytes(64)) == "'b' overlaps another tensor"
    raw = gguf_header([a, a])
    assert refused(folder, raw + bytes(-len(raw) % 32) + bytes(64)) == "holds two tensors named 'a'"


def test_more_items_than_any_header_has(folder, monkeypatch):
    monkeypatch.setattr("reknit.containers.gguf_file._MAX_ITEMS", 1000)
    tokens = gguf_fact("tokens", 9, u32(8) + u64(1000) + gguf_text("") * 1000)
    assert refused(folder, with_fact(tokens)) == "has a header of more than 1,000 items"
