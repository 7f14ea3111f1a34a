"""ONNX files: every dtype in every field comes back bit for bit, and claims that lie are refused.

The files are written by a few lines of our own (``writers``); the slow test compares real models with the same weights
in safetensors.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from writers import field, onnx_constant, onnx_file, onnx_graph, onnx_model, onnx_tensor, varint

import strategies
from reknit.containers import open_container, read_pile, read_tensors
from reknit.containers.dtypes import NUMPY_DTYPES
from reknit.containers.protobuf import unpack_varints
from reknit.errors import ContainerError

PAIR = np.float32([1, 2])


def opened(folder, raw):
    (folder / "file.onnx").write_bytes(raw)
    return open_container(folder / "file.onnx")


def read_all(container):
    return {key: container.read(key) for key in container.tensors}


def refused(folder, raw):
    with pytest.raises(ContainerError) as caught:
        read_all(opened(folder, raw))
    assert "file.onnx" in str(caught.value)
    return caught.value.problem


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("onnx")


def one(array=PAIR, **changes):
    return onnx_model(onnx_graph([onnx_tensor("a", array, **changes)]))


@given(st.dictionaries(strategies.keys, strategies.arrays(sorted(NUMPY_DTYPES)), min_size=1, max_size=4), st.booleans())
def test_every_dtype_comes_back_bit_for_bit(folder, state, typed):
    container = opened(folder, onnx_file(state, typed=typed))
    assert container.format == "onnx"
    assert list(container.tensors) == list(state)
    for key, expected in state.items():
        info, array = container.tensors[key], container.read(key)
        assert strategies.bits(array) == strategies.bits(expected)
        assert (info.dtype, info.shape, info.nbytes) == (array.dtype.name, array.shape, array.nbytes)
        assert array.flags.writeable


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_varints_come_back(numbers):
    raw = np.frombuffer(b"".join(map(varint, numbers)), np.uint8)
    assert unpack_varints(raw).tolist() == numbers
    if numbers:
        assert unpack_varints(np.append(raw, np.uint8(0x80))) is None
        assert unpack_varints(np.append(np.repeat(np.uint8(0x80), 10), raw)) is None


def test_numbers_of_less_than_a_byte_have_their_signs(folder):
    raw = one(np.zeros(4, NUMPY_DTYPES["int4"]), numbers=field(9, b"\x87\xf1"))
    assert opened(folder, raw).read("a").astype(int).tolist() == [7, -8, 1, -1]
    raw = one(np.zeros(3, NUMPY_DTYPES["uint2"]), numbers=field(9, b"\x39"))
    assert opened(folder, raw).read("a").astype(int).tolist() == [1, 2, 3]
    assert strategies.bits(read_tensors(folder / "file.onnx").array("file")) == strategies.bits(np.uint8([1, 2, 3]))


def test_constants_subgraphs_and_functions(folder):
    t = onnx_tensor("inner", PAIR)
    branch = onnx_graph([t], [onnx_constant("c", t), field(2, "d") + field(4, "Relu")])
    either = field(3, "choose") + field(4, "If") + field(5, field(1, "then") + field(6, branch))
    loop = field(2, "out") + field(4, "Loop") + field(5, field(1, "bodies") + field(11, branch) + field(11, branch))
    fill = field(2, "f") + field(4, "ConstantOfShape") + field(5, field(1, "value") + field(5, t))
    function = field(1, "swish") + field(7, onnx_constant("k", t)) + field(4, "x")
    graph = onnx_graph([onnx_tensor("w", PAIR)], [onnx_constant("c", t), either, loop, fill])
    container = opened(folder, onnx_model(graph, more=field(25, function)))
    assert list(container.tensors) == [
        *("c", "choose.then.c", "choose.then.inner", "out.bodies.0.c", "out.bodies.0.inner", "out.bodies.1.c"),
        *("out.bodies.1.inner", "w", "swish.k"),
    ]
    assert all(container.read(key).tolist() == [1, 2] for key in container.tensors)


def test_a_pile_of_onnx_layers(folder):
    opened(
        folder, onnx_file({"fc.weight": np.ones((2, 3), "f4"), "fc.bias": PAIR, "out.weight": np.ones((1, 2), "f2")})
    )
    pile = read_pile(folder / "file.onnx")
    assert pile.names == ("fc", "out")
    assert (pile["out"].dtype, pile["fc"].bias.tolist()) == ("float16", [1, 2])


def test_only_headers_and_the_tensor_asked_for_are_read(folder, monkeypatch):
    from reknit.containers.file_bytes import FileBytes

    reads = []
    read = FileBytes.read
    monkeypatch.setattr(FileBytes, "read", lambda self, at, size: reads.append(size) or read(self, at, size))
    container = opened(folder, onnx_file({"a": np.zeros(4_000_000, "f4"), "b": PAIR, "c": np.zeros(4_000_000, "f4")}))
    assert sum(reads) < 400_000
    reads.clear()
    assert container.read("b").tolist() == [1, 2]
    assert sum(reads) == 8


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (one()[:-1], "is an ONNX file that is cut short or damaged"),
        (one()[:-4], "is an ONNX file without its graph, or without its version"),
        (one() + field(7, b""), "is an ONNX file without its graph, or without its version"),
        (onnx_model(), "is an ONNX file without a tensor"),
        (one(dims=[3]), "'a' should have 12 bytes but holds 8, or numbers of another kind"),
        (one(dims=[2**40]), f"'a' should have {2**42:,} bytes but holds 8, or numbers of another kind"),
        (one(dims=[2**40, 2**40]), "'a' claims a shape that no memory holds"),
        (one(dims=[0, 2**62]), "'a' claims a shape that no memory holds"),
        (one(dims=[-2]), "'a' claims a shape that no tensor has"),
        (one(dims=[1] * 40), "'a' claims a shape that no tensor has"),
        (one(dims=[1] * 65), "is an ONNX file that is cut short or damaged"),
        (one(dtype=8), "'a' has the dtype 'text', which is not supported"),
        (one(dtype=0), "'a' has the dtype 'undefined', which is not supported"),
        (one(dtype=2**63), f"'a' has the dtype 'number {2**63}', which is not supported"),
        (one(numbers=b""), "the numbers of 'a' are missing"),
        (one(numbers=field(9, b"x" * 8) * 2), "'a' keeps its numbers scattered, not in one stretch"),
        (one(numbers=b"\x25abcd\x25abcd"), "'a' keeps its numbers scattered, not in one stretch"),
        (one(numbers=field(5, b"\1\1")), "'a' should have 8 bytes but holds 2, or numbers of another kind"),
        (one(numbers=field(4, b"x" * 12)), "'a' should have 8 bytes but holds 12, or numbers of another kind"),
        (
            one(numbers=b"\x10" + b"\xff" * 9 + b"\x7f"),
            f"'a' has the dtype 'number {2**64 - 1}', which is not supported",
        ),
        (one(numbers=field(9, b"x" * 8) + field(3, b"")), "'a' is a segment of a tensor, which is not supported"),
        (one(np.int8([1, 2]), numbers=field(5, b"\x81\1")), "'a' does not hold the 2 numbers it claims"),
        (one(np.int8([1, 2]), numbers=field(5, b"\1\x81")), "'a' does not hold the 2 numbers it claims"),
        (one(np.int8([1, 2]), numbers=field(5, b"\1" + varint(128))), "'a' holds numbers that are no int8"),
        (one(np.int8([1, 2]), numbers=field(5, b"\1" + varint(-129))), "'a' holds numbers that are no int8"),
        (one(np.array([True, True]), numbers=field(5, b"\1\2")), "'a' holds numbers that are no bool"),
        (onnx_model(onnx_graph([onnx_tensor("a", PAIR)] * 2)), "holds two tensors named 'a'"),
        (onnx_model(onnx_graph([onnx_tensor("", PAIR)])), "holds an initialiser without a name"),
        (onnx_model(onnx_graph([onnx_tensor("../a", PAIR)])), "holds the name '../a', which points out of its folder"),
        (
            onnx_model(onnx_graph([onnx_tensor("a\x1b[2J", PAIR)])),
            "holds the name 'a\\x1b[2J', which has unprintable characters",
        ),
        (
            onnx_model(onnx_graph([onnx_tensor("x" * 2000, PAIR)])),
            f"holds a name of 2,000 characters, starting '{'x' * 40}'",
        ),
        (onnx_model(onnx_graph([onnx_tensor("x" * 70_000, PAIR)])), "is an ONNX file that is cut short or damaged"),
        (onnx_model(onnx_graph([onnx_tensor(b"\xff", PAIR)])), "is an ONNX file that is cut short or damaged"),
        (
            onnx_model(onnx_graph([], [field(4, "Constant") + field(5, field(1, "sparse_value"))])),
            "holds a sparse constant, which is not supported",
        ),
        (onnx_model(field(15, b"")), "holds a sparse initialiser, which is not supported"),
        (onnx_model(field(5, 7)), "is an ONNX file that is cut short or damaged"),
        (onnx_model(field(1, 7)), "is an ONNX file that is cut short or damaged"),
        (onnx_model(b"\x0b\x0c"), "is an ONNX file that is cut short or damaged"),
        (onnx_model(b"\x02\x00"), "is an ONNX file that is cut short or damaged"),
        (onnx_model(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), "is an ONNX file that is cut short or damaged"),
        (onnx_model(b"\x80" * 11), "is an ONNX file that is cut short or damaged"),
    ],
)
def test_claims_that_lie(folder, raw, problem):
    assert refused(folder, raw) == problem


def test_more_fields_than_any_model_has(folder, monkeypatch):
    monkeypatch.setattr("reknit.containers.protobuf._MAX_FIELDS", 1000)
    assert refused(folder, onnx_model(b"\x10\x01" * 1000)) == "is an ONNX file of more than 1,000 fields"


def test_graphs_nested_without_end(folder):
    graph = onnx_graph([onnx_tensor("a", PAIR)])
    for _ in range(40):
        graph = onnx_graph([], [field(4, "If") + field(5, field(6, graph))])
    assert refused(folder, onnx_model(graph)) == "nests its graphs more than 32 deep"


def beside(location, offset=None, length=None):
    """A tensor of two float32 kept in a file of their own."""
    told = {"location": location, "offset": offset, "length": length}
    entries = [field(13, field(1, k) + field(2, str(v))) for k, v in told.items() if v is not None]
    return one(numbers=b"".join(entries) + field(14, 1))


@pytest.fixture
def models(tmp_path):
    """A folder with a model's numbers, beside a file it must not reach."""
    (tmp_path / "secret").write_bytes(bytes(8))
    inner = tmp_path / "model"
    (inner / "sub").mkdir(parents=True)
    (inner / "numbers.data").write_bytes(b"skip" + PAIR.tobytes())
    (inner / "sub" / "numbers.data").write_bytes(PAIR[::-1].tobytes())
    (inner / "out").symlink_to(tmp_path / "secret")
    (inner / "up").symlink_to(tmp_path)
    (inner / "loop").symlink_to("loop")
    return inner


def test_numbers_in_a_file_of_their_own(models):
    container = opened(models, beside("numbers.data", 4, 8))
    assert container.read("a").tolist() == [1, 2]
    assert container.tensors["a"].file == models / "numbers.data"
    assert opened(models, beside("sub/numbers.data")).read("a").tolist() == [2, 1]


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        *(
            (beside(name), f"names the file {name!r} for its numbers, which is not one below its folder")
            for name in ("", "..", "../secret", "sub/../../secret", "/etc/passwd", "sub//x", "./x", "a\\b", "C:x", "\n")
        ),
        (beside("x" * 2000), f"names the file '{'x' * 100}' for its numbers, which is not one below its folder"),
        (beside("out"), "the file out for its numbers is a link out of its folder"),
        (beside("up/secret"), "the file up/secret for its numbers is a link out of its folder"),
        (beside("none"), "the file none with its numbers is missing"),
        (beside("numbers.data", 8), "the numbers of 'a' lie outside numbers.data"),
        (beside("numbers.data", 2**63), "the numbers of 'a' lie outside numbers.data"),
        (beside("numbers.data", 0, 12), "'a' should have 8 bytes but 12 are claimed in numbers.data"),
        (beside("numbers.data", -1), "'a' has a damaged description of where its numbers are"),
        (beside("numbers.data", "9" * 30), "'a' has a damaged description of where its numbers are"),
        (beside("numbers.data", "٣"), "'a' has a damaged description of where its numbers are"),
    ],
)
def test_files_of_numbers_that_are_not_below_the_model(models, raw, problem):
    assert refused(models, raw) == problem


def test_a_link_that_leads_to_itself_and_a_folder(models):
    for name in ("loop", "sub"):
        with pytest.raises(ContainerError):
            opened(models, beside(name))


def test_one_stretch_of_a_file_used_over_and_over(models):
    (models / "big.data").write_bytes(bytes(1 << 20))
    entry = field(13, field(1, "location") + field(2, "big.data")) + field(14, 1)
    big = [onnx_tensor(f"t{k}", PAIR, dims=[1 << 18], numbers=entry) for k in range(200)]
    assert refused(models, onnx_model(onnx_graph(big))) == "describes far more numbers than it holds"


@pytest.mark.slow
def test_exports_of_one_real_model_hold_the_same_weights():
    """As initialisers, as Constant nodes in the branches of an If, and beside those for another sampling rate."""
    folder = "silero_vad/silero_vad/data"
    names = (
        "silero_vad_16k_op15.onnx",
        "silero_vad.onnx",
        "silero_vad_op18_ifless.onnx",
        "silero_vad_openvino_16k.onnx",
    )
    held = []
    for name in names:
        model = read_tensors(strategies.real_file(f"{folder}/{name}"))
        floats = [model.array(n).tobytes() for n in model if model.dtype(n) == "float32" and len(model.shape(n))]
        held.append(set(floats))
    assert len(held[0]) == 15
    assert all(held[0] <= others for others in held[1:])
