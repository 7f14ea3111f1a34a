"""Damage of every kind to one file among good ones: one clear sentence, or the truth; never anything else.

Torch and npz files keep checksums, so damage is refused or harmless: the numbers are exactly those written.
All other formats keep none; there a changed number is a number, but the rest stays sound.
"""

import io
import time
import tracemalloc
import warnings
import zipfile

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from writers import gguf_fact, gguf_file, gguf_text, onnx_file

import strategies
from reknit.containers import read_pile
from reknit.containers.inspect import inspect
from reknit.containers.table import read_table
from reknit.errors import PileError, ReknitError

RNG = np.random.default_rng(0)
LAYERS = {f"piece_{k}": (RNG.normal(size=(4, 3)).astype("f4"), RNG.normal(size=4).astype("f4")) for k in range(3)}
MAX_BYTES = 32 << 20
MAX_SECONDS = 10.0


def buffered(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def scripted(tensors):
    """A layer as torch.jit.save writes it; a module without code is all that is needed."""
    layer = torch.nn.Module()
    for name, tensor in tensors.items():
        layer.register_parameter(name, torch.nn.Parameter(tensor))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return buffered(lambda f: torch.jit.save(torch.jit.script(layer), f))


def h5(state, libver="earliest", **packing):
    def write(buffer):
        with h5py.File(buffer, "w", libver=libver) as file:
            for name, array in state.items():
                file.create_dataset(name, data=array, **packing)

    return buffered(write)


def packed(format_, weight, bias):
    state = {"weight": weight, "bias": bias}
    tensors = {key: torch.from_numpy(value) for key, value in state.items()}
    return {
        "torch": lambda: buffered(lambda f: torch.save(tensors, f)),
        "legacy": lambda: buffered(lambda f: torch.save(tensors, f, _use_new_zipfile_serialization=False)),
        "torchscript": lambda: scripted(tensors),
        "safetensors": lambda: save(state),
        "npz": lambda: buffered(lambda f: np.savez(f, **state)),
        "packed-npz": lambda: buffered(lambda f: np.savez_compressed(f, **state)),
        "npy": lambda: buffered(lambda f: np.save(f, weight)),
        "onnx": lambda: onnx_file(state),
        "hdf5": lambda: h5(state),
        "packed-hdf5": lambda: h5(state, chunks=True, compression="gzip", shuffle=True, fletcher32=True),
        "newer-hdf5": lambda: h5(state, "latest"),
        "gguf": lambda: gguf_file(state, facts=[gguf_fact("general.architecture", 8, gguf_text("mlp"))]),
        "typed-onnx": lambda: onnx_file(state, typed=True),
    }[format_]()


FORMATS = ["torch", "torchscript", "legacy", "safetensors", "npz", "packed-npz", "npy"]
FORMATS += ["onnx", "typed-onnx", "gguf", "hdf5", "packed-hdf5", "newer-hdf5"]
CHECKED = {"torch", "torchscript", "npz", "packed-npz"}
VICTIMS = {format_: packed(format_, *LAYERS["piece_1"]) for format_ in FORMATS}


@pytest.fixture(scope="module")
def pile(tmp_path_factory):
    """A folder with two good pieces, and room for a third."""
    folder = tmp_path_factory.mktemp("pile")
    for name in ("piece_0", "piece_2"):
        (folder / name).write_bytes(packed("torch", *LAYERS[name]))
    return folder


def bounded(read):
    """What ``read`` returns or the ReknitError it raises, within bounds of memory and time."""
    tracemalloc.start()
    start = time.monotonic()
    try:
        return read()
    except ReknitError as error:
        return error
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MAX_BYTES
        assert time.monotonic() - start < MAX_SECONDS


def same(piece, name):
    weight, bias = LAYERS[name]
    return np.array_equal(piece.weight, weight) and (piece.bias is None or np.array_equal(piece.bias, bias))


def check(pile, format_, raw):
    """Read the pile with these bytes as its third piece; whether they were read."""
    victim = pile / "piece_1"
    victim.write_bytes(raw)
    result = bounded(lambda: read_pile(pile))
    if isinstance(result, ReknitError):
        told = str(result)
        assert str(victim) in told
        assert told.endswith(".")
        assert told.isprintable()
        return False
    assert same(result["piece_0"], "piece_0")
    assert same(result["piece_2"], "piece_2")
    piece = result["piece_1"]
    if format_ in CHECKED:
        assert same(piece, "piece_1")
    for values in (piece.weight, piece.bias):
        assert values is None or np.isfinite(values).all()
    return True


@pytest.mark.parametrize("format_", FORMATS)
def test_the_undamaged_file_is_read(pile, format_):
    assert check(pile, format_, VICTIMS[format_])


@pytest.mark.parametrize("format_", FORMATS)
def test_every_truncation(pile, format_):
    raw = VICTIMS[format_]
    step = max(1, len(raw) // 60)
    assert not any(check(pile, format_, raw[:size]) for size in {*range(0, len(raw), step), len(raw) - 1})


@pytest.mark.parametrize("format_", FORMATS)
@settings(max_examples=60)
@given(st.data())
def test_every_damage(pile, format_, data):
    check(pile, format_, data.draw(strategies.damaged(VICTIMS[format_])))


@pytest.mark.slow
@pytest.mark.parametrize("format_", FORMATS)
@settings(max_examples=500)
@given(st.data())
def test_every_damage_at_length(pile, format_, data):
    check(pile, format_, data.draw(strategies.damaged(VICTIMS[format_])))


@pytest.mark.parametrize("format_", ["torch", "npz"])
def test_a_flip_of_any_bit_of_the_numbers_is_noticed(pile, format_):
    raw = VICTIMS[format_]
    numbers = LAYERS["piece_1"][0].tobytes()
    begin = raw.find(numbers)
    for at in range(begin, begin + len(numbers), 5):
        assert not check(pile, format_, raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1 :])


@pytest.mark.parametrize("format_", ["safetensors", "npy", "legacy", "onnx", "gguf", "hdf5"])
def test_without_a_checksum_a_flip_changes_one_number(pile, format_):
    """The control of the control: these formats cannot notice, and we do not pretend."""
    raw = VICTIMS[format_]
    at = raw.find(LAYERS["piece_1"][0].tobytes())
    assert check(pile, format_, raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
    assert not same(read_pile(pile)["piece_1"], "piece_1")


LEADS = [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."]
LEADS += [b"\x08\x08\x3a", b"GGUF\x03\0\0\0", b"\x89HDF\r\n\x1a\n"]


@given(st.binary(max_size=200), st.sampled_from(LEADS))
def test_noise(pile, noise, lead):
    assert not check(pile, "noise", lead + noise)


@given(st.data(), st.sampled_from(FORMATS))
def test_inspect_tells_damaged_files_apart_too(pile, data, format_):
    victim = pile / "piece_1"
    victim.write_bytes(data.draw(strategies.damaged(VICTIMS[format_])))
    seen = bounded(lambda: inspect(pile, hash=True))
    assert len(seen.containers) + len(seen.others) == 3
    assert {str(error.where) for error in seen.others} <= {str(victim)}


PICKLE = zipfile.ZipFile(io.BytesIO(VICTIMS["torch"])).read("archive/data.pkl")


def repacked(pickle, format_="torch"):
    """A torch file around another pickle, every checksum right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(VICTIMS[format_])) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, pickle if name == "archive/data.pkl" else old.read(name))
    return buffer.getvalue()


@settings(max_examples=60)
@given(strategies.damaged(PICKLE))
def test_a_damaged_pickle_under_a_sound_checksum(pile, pickle):
    check(pile, "pickle", repacked(pickle))


SCRIPT = zipfile.ZipFile(io.BytesIO(VICTIMS["torchscript"])).read("archive/data.pkl")


@settings(max_examples=60)
@given(strategies.damaged(SCRIPT))
def test_a_damaged_module_under_a_sound_checksum(pile, pickle):
    check(pile, "pickle", repacked(pickle, "torchscript"))


def test_the_undamaged_pickle_repacked_is_read(pile):
    assert check(pile, "torch", repacked(PICKLE))
    assert check(pile, "torchscript", repacked(SCRIPT, "torchscript"))


def test_values_that_are_not_finite_among_good_pieces(pile):
    for format_ in FORMATS:
        for bad in (np.nan, np.inf, -np.inf):
            weight = LAYERS["piece_1"][0].copy()
            weight[2, 1] = bad
            (pile / "piece_1").write_bytes(packed(format_, weight, LAYERS["piece_1"][1]))
            with pytest.raises(PileError, match=r"piece 'piece_1': '.*' holds 1 non-finite values of 12"):
                read_pile(pile)


TABLE = b"x_0,x_1,pred,true\n" + b"".join(b"%d.25,-0.5,1e-3,%d\n" % (k, k) for k in range(20))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strategies.damaged(TABLE))
def test_damaged_tables(tmp_path_factory, raw):
    path = tmp_path_factory.getbasetemp() / "damaged.csv"
    path.write_bytes(raw)
    result = bounded(lambda: read_table(path))
    if isinstance(result, ReknitError):
        assert str(path) in str(result)
        return
    assert np.isfinite(result.inputs).all()
    assert np.isfinite(result.outputs).all()
    assert len(result.inputs) == len(result.outputs) == result.rows >= 1


@given(st.text(st.sampled_from(list('01,.-e"\n\r \tnaNA;')), max_size=60))
def test_tables_of_nonsense_agree_with_the_csv_module(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "nonsense.csv"
    path.write_bytes(b"a,pred\n" + text.encode())
    result = bounded(lambda: read_table(path))
    if isinstance(result, ReknitError):
        assert str(path) in str(result)
        return
    lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip(" \t")]
    if '"' not in text:
        assert result.rows + result.dropped == len(lines)
        rows = [[float(v) if v.strip() not in ("", "NA", "na") else np.nan for v in line.split(",")] for line in lines]
        kept = [row for row in rows if np.isfinite(row).all()]
        np.testing.assert_array_equal(np.hstack([result.inputs, result.outputs]), kept)


@settings(max_examples=8)
@given(st.data())
def test_damaged_parquet(tmp_path_factory, data):
    import polars as pl

    good = buffered(lambda f: pl.DataFrame({"x": RNG.normal(size=9), "pred": RNG.normal(size=9)}).write_parquet(f))
    path = tmp_path_factory.getbasetemp() / "damaged.parquet"
    path.write_bytes(data.draw(strategies.damaged(good)))
    result = bounded(lambda: read_table(path))
    assert str(path) in str(result) if isinstance(result, ReknitError) else result.rows >= 1


def test_a_parquet_footer_that_aborts_the_decoder(tmp_path, monkeypatch):
    """Found by fuzzing: the decoder claims exabytes and aborts; it takes its own process with it, not ours."""
    import reknit.containers.column_files as module

    child = tmp_path / "child.py"
    child.write_text("import os; os.abort()")
    monkeypatch.setattr(module, "_CHILD", child)
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(20) + b"PAR1")
    result = bounded(lambda: read_table(tmp_path / "a.parquet"))
    assert str(result).endswith(
        "a.parquet: is a damaged Parquet file. The file is cut short or damaged; write it again."
    )
    child.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(module, "_SECONDS", 0.5)
    result = bounded(lambda: read_table(tmp_path / "a.parquet"))
    assert "takes more than 1 s to read" in str(result) or "takes more than 0 s to read" in str(result)
