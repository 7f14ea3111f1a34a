"""Npy and npz files: round trips against numpy, and headers that lie."""

import io
import os
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import strategies
from reknit.containers import open_container
from reknit.errors import ContainerError


@st.composite
def arrays(draw):
    dtype = np.dtype(draw(st.sampled_from(strategies.NUMPY_OWN_DTYPES)))
    shape = draw(strategies.shapes)
    raw = np.random.default_rng(draw(strategies.seeds)).bytes(int(np.prod(shape)) * dtype.itemsize)
    array = np.frombuffer(raw, dtype).reshape(shape)
    array = np.frombuffer(raw, np.uint8).reshape(shape) % 2 == 1 if dtype.kind == "b" else array
    layout = draw(st.sampled_from(["C", "F", "big", "strided"]))
    if layout == "big":
        return array.astype(array.dtype.newbyteorder(">"))
    return array[::2] if layout == "strided" and array.ndim else np.array(array, order="F" if layout == "F" else "C")


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def native(array):
    return strategies.bits(array.astype(array.dtype.newbyteorder("=")))


def opened(folder, raw, name="file.npz"):
    (folder / name).write_bytes(raw)
    return open_container(folder / name)


def read_all(folder, raw):
    container = opened(folder, raw)
    return {key: container.read(key) for key in container.tensors}


def refused(folder, raw):
    with pytest.raises(ContainerError) as caught:
        read_all(folder, raw)
    assert "file.npz" in str(caught.value)
    return caught.value.problem


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("numpy")


@given(
    st.dictionaries(strategies.keys.filter(lambda key: key != "file"), arrays(), min_size=1, max_size=4), st.booleans()
)
def test_what_numpy_saves_comes_back_bit_for_bit(folder, state, packed):
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(buffer, **state)
    container = opened(folder, buffer.getvalue())
    assert container.format == "npz"
    assert list(container.tensors) == list(state)
    for key, array in state.items():
        read, info = container.read(key), container.tensors[key]
        assert strategies.bits(read) == native(array)
        assert (info.dtype, info.shape, info.nbytes) == (read.dtype.name, read.shape, read.nbytes)
        assert read.flags.c_contiguous
        assert read.flags.writeable


@given(arrays())
def test_an_npy_is_one_array_named_after_its_file(folder, array):
    container = opened(folder, npy(array), "lonely.npy")
    assert (container.format, container.unnamed, list(container.tensors)) == ("npy", True, ["lonely"])
    assert strategies.bits(container.read("lonely")) == native(array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_header(folder, version):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.arange(3), version=version)
    assert opened(folder, buffer.getvalue()).read("file").tolist() == [0, 1, 2]


def header(text, data=b"", length=None, version=1):
    raw = text.encode("latin-1")
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(raw) if length is None else length) + raw + data


FLOATS = struct.pack("<2f", 1, 2)


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n",
        "{'shape': (2L,), 'descr': '<f4', 'fortran_order': False}",
        "{ 'fortran_order':False,'descr':'<f4','shape':( 2, ) }    ",
    ],
)
def test_headers_of_other_writers(folder, text):
    assert opened(folder, header(text, FLOATS)).read("file").tolist() == [1, 2]


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (
            header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", FLOATS[:-1]),
            "the array 'file' claims 8 bytes but holds 7",
        ),
        (
            header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", FLOATS + b"x"),
            "the array 'file' claims 8 bytes but holds 9",
        ),
        (
            header("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,)}", FLOATS),
            "the array 'file' claims 4,398,046,511,104 bytes but holds 8",
        ),
        (
            header("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9999999999999999999)}"),
            "'file' claims a shape that no memory holds",
        ),
        (
            header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}"),
            "the array 'file' has a damaged header",
        ),
        (
            header("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", FLOATS),
            "the array 'file' has a damaged header",
        ),
        (
            header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, , 3)}", FLOATS),
            "the array 'file' has a damaged header",
        ),
        (header("{'descr': '<f4', 'fortran_order': False}", FLOATS), "the array 'file' has a damaged header"),
        (header("{'descr': '<f4', 'descr': '<f8', 'shape': (2,)}", FLOATS), "the array 'file' has a damaged header"),
        (header("__import__('os').system('true')", FLOATS), "the array 'file' has a damaged header"),
        (header("(" * 60_000), "the array 'file' has a damaged header"),
        (
            header("{'descr': '<U4', 'fortran_order': False, 'shape': (2,)}"),
            "the array 'file' holds items of the type '<U4', not numbers",
        ),
        (
            header("{'descr': '|V2', 'fortran_order': False, 'shape': (2,)}"),
            "the array 'file' holds items of the type '|V2', not numbers",
        ),
        (
            header("{'descr': '<f16', 'fortran_order': False, 'shape': (2,)}"),
            "the array 'file' holds items of the type '<f16', not numbers",
        ),
        (
            header("{'descr': '', 'fortran_order': False, 'shape': (2,)}"),
            "the array 'file' holds items of the type '', not numbers",
        ),
        (
            header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", FLOATS),
            "the array 'file' holds items of the type \"[('a', '<f4')]\", not numbers",
        ),
        (header("{", length=999), "the array 'file' claims a header of 999 bytes but has 11 bytes in all"),
        (header("{'descr': '<f4'", version=9), "the array 'file' has a damaged header"),
        (b"\x93NUMPY\x01", "the array 'file' has a damaged header"),
        (
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
            "the array 'file' claims a header of 4,294,967,295 bytes but has 12 bytes in all",
        ),
    ],
)
def test_headers_that_lie(folder, raw, problem):
    assert refused(folder, raw) == problem


class Evil:
    def __init__(self, sentinel):
        self.sentinel = sentinel

    def __reduce__(self):
        return os.system, (f"touch {self.sentinel}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_python_objects_are_refused_and_not_unpickled(folder, zipped):
    sentinel = folder / "sentinel"
    array = np.array([Evil(sentinel)], dtype=object)
    buffer = io.BytesIO()
    np.savez(buffer, x=array) if zipped else np.save(buffer, array)
    assert (
        refused(folder, buffer.getvalue())
        == f"the array {'x' if zipped else 'file'!r} holds Python objects, not numbers"
    )
    assert not sentinel.exists()
    np.load(io.BytesIO(npy(array)), allow_pickle=True)  # the control: numpy can be told to run it
    assert sentinel.exists()
    sentinel.unlink()


def archive(entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in entries:
            made.writestr(name, content)
    return buffer.getvalue()


def test_archives_that_are_no_npz(folder):
    array = npy(np.ones(2))
    assert (
        refused(folder, archive([("a.npy", array), ("b.txt", b"")]))
        == "is an npz file with the entry 'b.txt', which is no array"
    )
    assert refused(folder, archive([("a.txt", b"")])) == "is a zip archive, but neither of torch nor of numpy"
    assert refused(folder, archive([])) == "is an empty zip archive"
    assert (
        refused(folder, archive([("../a.npy", array)])) == "holds the name '../a.npy', which points out of its folder"
    )
    assert refused(folder, archive([("a.npy", array[:-1])])) == "the array 'a' claims 16 bytes but holds 15"


def test_a_header_changed_inside_a_packed_archive_fails_the_checksum(folder):
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(2))
    raw = buffer.getvalue().replace(b"(2,)", b"(1,)").replace(b"<f8", b"<c8")
    assert refused(folder, raw).endswith(("bytes but holds 16", "fails its checksum"))
    raw = buffer.getvalue().replace(b"<f8", b"<i8")
    assert refused(folder, raw) == "the entry 'a.npy' fails its checksum"
