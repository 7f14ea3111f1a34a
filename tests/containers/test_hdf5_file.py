"""HDF5 files: what h5py writes comes back bit for bit in every layout, and what is damaged or elsewhere is refused."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from reknit.containers import open_container, read_tensors
from reknit.containers.file_bytes import FileBytes
from reknit.containers.hdf5_bytes import Hdf5Bytes
from reknit.containers.hdf5_chunks import fletcher32
from reknit.containers.lookup3 import lookup3
from reknit.errors import ContainerError

DTYPES = [f"{kind}{8 * size}" for kind in ("int", "uint") for size in (1, 2, 4, 8)]
DTYPES += ["float16", "float32", "float64", "bool"]
DAMAGED = "is an HDF5 file that is cut short or damaged"
PAIR = np.float32([1, 2])


def written(folder, write, libver="earliest"):
    path = folder / "file.h5"
    path.unlink(missing_ok=True)
    with h5py.File(path, "w", libver=libver) as file:
        write(file)
    return path


def opened(folder, write, libver="earliest"):
    return open_container(written(folder, write, libver))


def refused(path):
    with pytest.raises(ContainerError) as caught:
        read_all(open_container(path))
    assert caught.value.where == str(path)
    return caught.value.problem


def read_all(container):
    return {key: container.read(key) for key in container.tensors}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("hdf5")


@st.composite
def packings(draw, array):
    """How h5py is asked to keep an array: in one stretch, or in chunks through filters."""
    if not array.ndim or not array.size or draw(st.booleans()):
        return {}
    chunks = tuple(draw(st.integers(1, size)) for size in array.shape)
    compression = draw(st.sampled_from([None, "gzip"]))
    return {"chunks": chunks, "compression": compression} | {
        name: draw(st.booleans()) for name in ("shuffle", "fletcher32")
    }


@settings(max_examples=100)
@given(st.data(), st.dictionaries(strategies.keys, strategies.arrays(DTYPES), min_size=1, max_size=4))
def test_every_layout_comes_back_bit_for_bit(folder, data, state):
    big_endian, deep = data.draw(st.booleans()), data.draw(st.booleans())
    state = {f"a/b c/{key}" if deep else key: array for key, array in state.items()}
    packed = {key: data.draw(packings(array)) for key, array in state.items()}

    def write(file):
        for key, array in state.items():
            dtype = array.dtype.newbyteorder(">") if big_endian else array.dtype
            file.create_dataset(key, data=array, dtype=dtype, **packed[key])

    container = opened(folder, write)
    assert container.format == "hdf5"
    assert set(container.tensors) == set(state)
    for key, expected in state.items():
        info, array = container.tensors[key], container.read(key)
        assert strategies.bits(array) == strategies.bits(expected)
        assert (info.dtype, info.shape, info.nbytes) == (array.dtype.name, array.shape, array.nbytes)
        assert array.flags.writeable
        assert array.flags.c_contiguous


@given(
    st.dictionaries(strategies.keys, strategies.arrays(DTYPES), min_size=1, max_size=4),
    st.booleans(),
    st.sampled_from(["v108", "v110", "v114", "latest"]),
)
def test_newer_files_with_small_groups(folder, state, chunked, libver):
    def write(file):
        group = file.create_group("in") if chunked else file
        for key, array in state.items():
            packing = {"chunks": array.shape, "compression": "gzip"} if chunked and array.size and array.ndim else {}
            group.create_dataset(key, data=array, **packing)

    container = opened(folder, write, libver)
    for key, array in state.items():
        assert strategies.bits(container.read(f"in/{key}" if chunked else key)) == strategies.bits(array)


def test_groups_larger_than_one_node_and_headers_longer_than_one_block(folder):
    def write(file):
        group = file.create_group("many")
        for k in range(1000):
            group[f"t{k}"] = np.int16([k])
        for k in range(200):
            file.attrs[f"a{k}"] = "x" * 500
        file["many/t7"].attrs["note"] = "x" * 5000

    seen = read_tensors(written(folder, write))
    assert list(open_container(folder / "file.h5").tensors) == sorted(seen.names)
    assert seen.names == tuple(f"many/t{k}" for k in range(1000))
    assert all(seen.array(f"many/t{k}") == k for k in range(0, 1000, 37))


def test_many_chunks_in_a_tree_of_several_levels(folder):
    array = np.arange(20_000, dtype="f4").reshape(200, 100)
    for packing in ({"chunks": (3, 7)}, {"chunks": (200, 1), "compression": "gzip", "shuffle": True}):
        container = opened(
            folder, lambda file, p=packing: file.create_dataset("x", data=array, maxshape=(None, 100), **p)
        )
        np.testing.assert_array_equal(container.read("x"), array)


def test_what_was_never_written_is_the_fill_value(folder):
    def write(file):
        file.create_dataset("zeros", (3,), "f4")
        file.create_dataset("sevens", (2, 2), ">i4", fillvalue=7)
        some = file.create_dataset("some", (10,), "f4", chunks=(4,), fillvalue=-1)
        some[5] = 5
        file.create_dataset("none", (0, 3), "f4")

    found = read_all(opened(folder, write))
    assert found["zeros"].tolist() == [0, 0, 0]
    assert found["sevens"].tolist() == [[7, 7], [7, 7]]
    assert found["some"].tolist() == [-1, -1, -1, -1, -1, 5, -1, -1, -1, -1]
    assert found["none"].shape == (0, 3)


def test_numbers_in_the_header_and_of_other_float_formats(folder):
    def write(file):
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((2,))
        h5py.Dataset(h5py.h5d.create(file.id, b"compact", h5py.h5t.NATIVE_FLOAT, space, compact))[...] = PAIR
        brain = h5py.h5t.IEEE_F32LE.copy()
        brain.set_fields(15, 7, 8, 0, 7)
        brain.set_size(2)
        brain.set_ebias(127)
        h5py.h5d.create(file.id, b"brain", brain, space).write(h5py.h5s.ALL, h5py.h5s.ALL, np.float32([1.5, -2]))

    container = opened(folder, write)
    assert container.read("compact").tolist() == [1, 2]
    assert (container.tensors["brain"].dtype, container.read("brain").astype("f4").tolist()) == ("bfloat16", [1.5, -2])


def test_enums_are_their_integers_unless_they_are_of_false_and_true(folder):
    names = [{"FALSE": 0, "TRUE": 1}, {"FALSE": 0, "TRUE": 2}, {"NO": 0, "YES": 1}]

    def write(file):
        for k, members in enumerate(names):
            file.create_dataset(f"x{k}", data=[0, 1], dtype=h5py.enum_dtype(members, basetype="i1"))

    container = opened(folder, write)
    assert [container.read(f"x{k}").dtype.name for k in range(3)] == ["bool", "int8", "int8"]


def test_two_names_of_one_dataset_and_links_that_lead_elsewhere(folder):
    def write(file):
        file["one/a"] = PAIR
        file["two"] = file["one/a"]
        file["soft"] = h5py.SoftLink("/one/a")
        file["outside"] = h5py.ExternalLink("/etc/passwd", "/x")
        file["type"] = np.dtype("f8")
        file.create_group("empty")

    for libver in ("earliest", "latest"):
        container = opened(folder, write, libver)
        assert sorted(container.tensors) == ["one/a", "two"]
        assert container.read("two").tolist() == [1, 2]


def test_soft_links_of_old_groups_are_left_aside(folder):
    container = opened(folder, lambda f: f.update({"a": PAIR, "soft": h5py.SoftLink("/a")}))
    assert list(container.tensors) == ["a"]


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_groups_and_datasets_that_remember_the_order_they_were_made_in(folder, libver):
    def write(file):
        group = file.create_group("g", track_order=True)
        for name in "zya":
            group.create_dataset(name, data=PAIR, track_order=True).attrs["note"] = 1

    container = opened(folder, write, libver)
    assert sorted(container.tensors) == ["g/a", "g/y", "g/z"]
    assert container.read("g/z").tolist() == [1, 2]


def test_only_headers_and_the_dataset_asked_for_are_read(folder, monkeypatch):
    reads = []
    read = FileBytes.read
    monkeypatch.setattr(FileBytes, "read", lambda self, at, size: reads.append(size) or read(self, at, size))
    container = opened(folder, lambda file: file.update({"a": np.zeros(4_000_000, "f4"), "b": PAIR}))
    assert sum(reads) < 10_000
    reads.clear()
    assert container.read("b").tolist() == [1, 2]
    assert sum(reads) == 8


def virtual(file):
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (2,))
    file.create_virtual_dataset("x", layout)


def cyclic(file):
    file["a/x"] = PAIR
    file["a/again"] = file["a"]


def nested(file):
    file["/".join("a" * 70)] = PAIR


@pytest.mark.parametrize(
    ("value", "held"),
    [
        ("text", "lists or texts of varying length"),
        (np.bytes_("text"), "texts"),
        (np.complex64(1), "records of several fields"),
        (np.void(b"abc"), "opaque bytes"),
        (np.longdouble(1), "numbers of an unusual format"),
        (h5py.Reference(), "references"),
    ],
)
def test_what_are_no_plain_numbers_is_refused_by_name(folder, value, held):
    assert refused(written(folder, lambda f: f.update({"x": value}))) == f"'x' holds {held}, which are not supported"


def of_no_shape(file):
    file["x"] = h5py.Empty("f4")


def oddly_packed(file):
    file.create_dataset("x", data=PAIR, compression="lzf")


def outside(file):
    file.create_dataset("x", (2,), "f4", external=[("y", 0, 8)])


def huge(file):
    file.create_dataset("x", (2**30, 2**20), "f4")


def huge_in_chunks(file):
    file.create_dataset("x", (2**30, 2**20), "f4", chunks=(1, 1))


def huge_chunks(file):
    file.create_dataset("x", (2, 2), "f4", chunks=(2**15, 2**14), maxshape=(None, None))


FAR_TOO_MANY = "describes far more numbers than it holds"


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (of_no_shape, "'x' is of no shape (a null dataspace)"),
        (oddly_packed, "'x' is packed by the filter 32000 ('lzf'), which is not supported"),
        (outside, "'x' keeps its numbers in another file, which is not opened"),
        (virtual, "'x' is a virtual dataset, whose numbers are elsewhere"),
        (cyclic, "holds the group 'a/again/' in itself, twice, or too deep"),
        (nested, f"holds the group {'a/' * 65!r:.100} in itself, twice, or too deep"),
        (lambda f: f.create_group("a"), "is an HDF5 file without a dataset"),
        *((write, FAR_TOO_MANY) for write in (huge, huge_in_chunks, huge_chunks)),
        (lambda f: f.update({"x" * 2000: PAIR}), f"holds a name of 2,000 characters, starting '{'x' * 40}'"),
        (lambda f: f.update({"x\x1b[2J": PAIR}), "holds the name 'x\\x1b[2J', which has unprintable characters"),
        (lambda f: f.update({"a\\..\\x": PAIR}), "holds the name 'a\\\\..\\\\x', which points out of its folder"),
    ],
)
def test_what_is_not_read_is_refused_by_name(folder, write, problem):
    assert refused(written(folder, write)) == problem


def full_group(file):
    for k in range(20):
        file[f"t{k}"] = PAIR


def in_chunks(file):
    file.create_dataset("x", data=np.arange(4), chunks=(1,))


def growing(file):
    file.create_dataset("x", data=np.arange(4), chunks=(1,), maxshape=(None,))


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (full_group, "holds the group '' with its links in a fractal heap, which is not supported"),
        (in_chunks, "'x' keeps its chunks by a fixed array, which is not supported"),
        (growing, "'x' keeps its chunks by an extensible array, which is not supported"),
    ],
)
def test_newer_structures_are_refused_by_name(folder, write, problem):
    assert refused(written(folder, write, "latest")) == problem


def patched(path, place, change):
    """The file with bytes changed: ``place`` is a mark and the distance from it."""
    raw = bytearray(path.read_bytes())
    mark, distance = place
    at = raw.index(mark) + distance
    raw[at : at + len(change)] = change
    path.write_bytes(raw)
    return path


def simple(file):
    file["a"], file["b"] = PAIR, PAIR * 3


FAR = (2**40).to_bytes(8, "little")
NOWHERE = b"\xff" * 8
ROOT_TREE = (b"TREE", 0)


@pytest.mark.parametrize(
    ("place", "change", "problem"),
    [
        ((b"\x89HDF", 8), b"\x09", "is an HDF5 file of version 9, which is not supported"),
        ((b"\x89HDF", 13), b"\x03", DAMAGED),
        ((b"\x89HDF", 24), b"\x08", DAMAGED),  # the base address
        ((b"\x89HDF", 40), FAR, DAMAGED),  # the end
        ((b"\x89HDF", 64), FAR, DAMAGED),  # the root group
        ((b"\x89HDF", 64), NOWHERE, DAMAGED),
        ((b"TREE", 4), b"\x01", DAMAGED),
        ((b"TREE", 5), b"\xff", DAMAGED),
        ((b"TREE", 5), b"\x01", DAMAGED),  # a level above its tables
        ((b"TREE", 6), b"\xff\xff", DAMAGED),
        ((b"TREE", 32), FAR, DAMAGED),
        ((b"SNOD", 0), b"DONS", DAMAGED),
        ((b"SNOD", 6), b"\xff\xff", DAMAGED),
        ((b"SNOD", 8), FAR, DAMAGED),
        ((b"SNOD", 8), NOWHERE, DAMAGED),
        ((b"SNOD", 16), FAR, DAMAGED),
        ((b"SNOD", 16), NOWHERE, DAMAGED),
        ((b"HEAP", 8), FAR, DAMAGED),
        ((b"HEAP", 8), bytes(8), DAMAGED),
        ((b"HEAP", 24), FAR, DAMAGED),
    ],
)
def test_structures_that_lie(folder, place, change, problem):
    assert refused(patched(written(folder, simple), place, change)) == problem


def test_a_header_with_more_messages_than_it_claims(folder):
    path = written(folder, simple)
    at = int.from_bytes(path.read_bytes()[64:72], "little")
    count = path.read_bytes()[at + 2]
    assert refused(patched(path, (b"\x89HDF", at + 2), bytes([count + 1]))) == DAMAGED


def test_a_header_that_goes_on_in_itself(folder):
    def write(file):
        file["a"] = PAIR
        for k in range(50):
            file["a"].attrs[f"a{k}"] = "x" * 100

    path = written(folder, write)
    raw = path.read_bytes()
    places = [at for at in range(0, len(raw) - 24, 8) if raw[at : at + 8] == b"\x10\0\x10\0\0\0\0\0"]
    assert len(places) > 1
    for at in places[1:]:  # from the second block on
        where = int.from_bytes(raw[places[0] + 8 : places[0] + 16], "little")
        assert refused(patched(path, (b"\x89HDF", at + 8), where.to_bytes(8, "little"))) == DAMAGED


def test_a_fill_value_of_another_size(folder):
    path = written(folder, lambda f: f.create_dataset("x", (2,), "f4", fillvalue=-1.25))
    mark = (4).to_bytes(4, "little") + np.float32(-1.25).tobytes()
    assert mark in path.read_bytes()
    while mark in path.read_bytes():  # the old message and the new one
        patched(path, (mark, 0), b"\2")
    assert refused(path) == "'x' has a damaged fill value"


def test_the_checksum_of_the_superblock(folder):
    path = written(folder, simple, "latest")
    assert refused(patched(path, (b"\x89HDF", 20), b"\0")) == "holds a header that fails its checksum"


def test_a_tree_that_holds_itself(folder, monkeypatch):
    reads = []
    read = FileBytes.read
    monkeypatch.setattr(FileBytes, "read", lambda self, at, size: reads.append(size) or read(self, at, size))
    path = written(folder, simple)
    at = path.read_bytes().index(b"TREE")
    patched(path, (b"TREE", 5), b"\x01")
    assert refused(patched(path, (b"TREE", 32), at.to_bytes(8, "little"))) == DAMAGED
    assert len(reads) < 20  # it is not followed until the bound on all reads is met


def test_structures_that_use_the_same_bytes_over_and_over(folder):
    source = FileBytes(written(folder, simple))
    file = Hdf5Bytes(source)
    for _ in range(4):
        file.record(0, source.size)
    with pytest.raises(ContainerError, match=DAMAGED):
        [file.record(0, source.size) for _ in range(70_000 // source.size)]
    assert file.again().record(0, 8).data == b"\x89HDF\r\n\x1a\n"


def test_two_names_that_are_one(folder):
    path = written(folder, simple)
    raw = path.read_bytes()
    at = raw.index(b"SNOD") + 8
    second = raw[at + 40 : at + 48]
    assert refused(patched(path, (b"SNOD", 8), second)) == "holds two tensors named 'b'"


def contiguous(path):
    """Where the layout message of each dataset has its address: version 3, in one stretch, 8 bytes long."""
    raw = path.read_bytes()
    places, at = [], -1
    while (at := raw.find(b"\x03\x01", at + 1)) >= 0:
        if raw[at + 10 : at + 18] == (8).to_bytes(8, "little"):
            places.append(at + 2)
    assert len(places) == 2
    return raw, places


def test_stretches_that_overlap_or_lie_outside(folder):
    path = written(folder, simple)
    raw, (first, second) = contiguous(path)
    for change, problem in (
        (raw[first : first + 8], "'b' overlaps another tensor"),
        (FAR, "the numbers of 'b' lie outside the file"),
        (raw[second : second + 8] + (12).to_bytes(8, "little"), "'b' should have 8 bytes but its header claims 12"),
    ):
        path.write_bytes(raw[:second] + change + raw[second + len(change) :])
        assert refused(path) == problem


def chunked(file):
    file.create_dataset("a", data=np.arange(6, dtype="f4"), chunks=(2,), compression="gzip", fletcher32=True)


@pytest.mark.parametrize(
    ("distance", "change", "problem"),
    [
        (24, FAR[:4], "'a' has a chunk that does not unpack"),  # the size of the first chunk
        (24, b"\xff\xff\xff\x7f", "'a' has a chunk outside the file"),
        (32, (1).to_bytes(8, "little"), "'a' has a chunk twice, or outside itself"),
        (32, (2).to_bytes(8, "little"), "'a' has a chunk twice, or outside itself"),
        (32, FAR, "'a' has a chunk twice, or outside itself"),
        (48, FAR, "'a' has a chunk outside the file"),
        (48, bytes(8), "'a' has a chunk that does not unpack"),
        (28, b"\x01", "'a' has a chunk that does not unpack"),  # as if it had not gone through deflate
    ],
)
def test_chunks_that_lie(folder, distance, change, problem):
    path = written(folder, chunked)
    assert refused(patched(path, (b"TREE\x01", distance), change)) == problem


def test_a_chunk_that_fails_its_checksum(folder):
    path = written(folder, lambda f: f.create_dataset("a", data=np.arange(6, dtype="f4"), chunks=(6,), fletcher32=True))
    at = path.read_bytes().index(np.arange(6, dtype="f4").tobytes())
    for k in range(0, 28, 3):
        raw = bytearray(path.read_bytes())
        raw[at + k] ^= 1
        (folder / "flipped.h5").write_bytes(raw)
        assert refused(folder / "flipped.h5") == "'a' has a chunk that does not unpack"


def test_newer_headers_are_checked_to_the_bit(folder):
    """Every header of a newer file has a checksum, so each change is noticed or harmless."""
    path = written(folder, simple, "latest")
    raw = path.read_bytes()
    expected = {"a": [1, 2], "b": [3, 6]}
    for at in [*range(8, 700), *range(700, len(raw) - 16, 7)]:
        (folder / "flipped.h5").write_bytes(raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :])
        try:
            found = read_all(open_container(folder / "flipped.h5"))
        except ContainerError:
            continue
        assert {key: array.tolist() for key, array in found.items()} == expected


@given(st.binary(max_size=40))
def test_checksums_know_every_byte(data):
    for at in range(len(data)):
        flipped = data[:at] + bytes([data[at] ^ 128]) + data[at + 1 :]
        assert lookup3(data) != lookup3(flipped)
        assert fletcher32(data) != fletcher32(flipped)


def test_long_checksums_do_not_overflow():
    words = 20_000_000
    first, second = 0xFFFE * words % 65535, 0xFFFE * words * (words + 1) // 2 % 65535
    assert 0 not in (first, second)
    assert fletcher32(b"\xff\xfe" * words) == second << 16 | first


@pytest.mark.slow
def test_real_keras_weights_against_h5py():
    for k in range(1, 6):
        path = strategies.real_file(f"spliceai/spliceai/models/spliceai{k}.h5")
        container = open_container(path)
        with h5py.File(path) as file:
            names = []
            file.visititems(
                lambda name, item, names=names: names.append(name) if isinstance(item, h5py.Dataset) else None
            )
            assert list(container.tensors) == names
            assert len(names) == 206
            for name in names:
                assert strategies.bits(container.read(name)) == strategies.bits(file[name][()])
