"""Records: npz and safetensors, one array or several, in natural order; what is missing or uneven is refused."""

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from reknit.errors import ContainerError, TableError
from reknit.wiring.recorded import read_recorded


def rows(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def written(path, **arrays):
    """A record in the format that the name ends with."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    return path


@pytest.mark.parametrize("name", ["record.npz", "record.safetensors"])
def test_inputs_and_outputs_come_back_as_they_were(tmp_path, name):
    x, y = rows(0, 5, 3), rows(1, 5, 2)
    record = read_recorded(written(tmp_path / name, inputs=x, outputs=y))
    assert [tensor.dtype for tensor in (*record.inputs, *record.outputs)] == [torch.float32] * 2
    np.testing.assert_array_equal(record.inputs[0].numpy(), x)
    np.testing.assert_array_equal(record.outputs[0].numpy(), y)


@pytest.mark.parametrize("name", ["record.npz", "record.safetensors"])
def test_several_arrays_come_in_the_order_of_their_numbers(tmp_path, name):
    inputs = {f"input_{k}": np.full((2, 3), k, dtype=np.int64) for k in reversed(range(11))}
    outputs = {"output_1": rows(1, 2, 4), "output_0": rows(0, 2)}
    record = read_recorded(written(tmp_path / name, **inputs, **outputs))
    assert [int(tensor[0, 0]) for tensor in record.inputs] == list(range(11))
    assert {tensor.dtype for tensor in record.inputs} == {torch.int64}
    assert [tuple(tensor.shape) for tensor in record.outputs] == [(2,), (2, 4)]


def test_other_arrays_are_left_alone(tmp_path):
    arrays = {"inputs": rows(0, 4, 3), "outputs": rows(1, 4, 1), "labels": rows(2, 9), "output_names": rows(3, 7)}
    record = read_recorded(written(tmp_path / "record.npz", **arrays))
    assert (len(record.inputs), len(record.outputs)) == (1, 1)


def test_missing_inputs_are_named(tmp_path):
    path = written(tmp_path / "record.npz", outputs=rows(0, 4, 3))
    with pytest.raises(TableError) as caught:
        read_recorded(path)
    remedy = "Write an npz file with the arrays inputs and, if they are known, outputs"
    assert str(caught.value) == f"{path}: has no array inputs (nor input_0, input_1, ...). {remedy}."


def test_outputs_may_be_missing(tmp_path):
    record = read_recorded(written(tmp_path / "record.npz", inputs=rows(0, 4, 3)))
    assert (len(record.inputs), record.outputs) == (1, ())


@pytest.mark.parametrize(
    "arrays",
    [
        {"inputs": rows(0, 4, 3), "outputs": rows(1, 5, 3)},
        {"input_0": rows(0, 4, 3), "input_1": rows(1, 3, 3), "outputs": rows(2, 4)},
        {"inputs": rows(0, 4, 3), "outputs": np.float32(1)},
    ],
    ids=["outputs longer", "second input shorter", "one number"],
)
def test_rows_have_to_be_as_many_everywhere(tmp_path, arrays):
    path = written(tmp_path / "record.npz", **arrays)
    with pytest.raises(TableError) as caught:
        read_recorded(path)
    problem = "the first axes of inputs and outputs are not equally long"
    assert str(caught.value) == f"{path}: {problem}. Record one row an input."


@pytest.mark.parametrize("outputs", [0, 4])
def test_what_is_empty_is_said_to_be(tmp_path, outputs):
    path = written(tmp_path / "record.npz", inputs=rows(0, 0, 3), outputs=rows(1, outputs, 3))
    with pytest.raises(TableError) as caught:
        read_recorded(path)
    assert str(caught.value) == f"{path}: inputs or outputs are empty. Record one row an input, and at least one."


def test_a_file_that_is_none_is_a_container_error(tmp_path):
    path = tmp_path / "record.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(ContainerError):
        read_recorded(path)
