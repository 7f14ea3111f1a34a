"""The own writer of safetensors files: the library reads what it wrote, in the order that was wanted."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load

from reknit.containers.dtypes import NUMPY_DTYPES
from reknit.containers.file_bytes import FileBytes
from reknit.containers.safetensors_bytes import Named, safetensors_bytes
from reknit.containers.safetensors_file import DTYPE_NAMES, SafetensorsFile
from reknit.errors import OutputError
from strategies import arrays, bits, keys, torch_bits

HELD = [name for name in DTYPE_NAMES.values() if NUMPY_DTYPES[name].kind in "fiubc" and "float8" not in name]


@given(held=st.dictionaries(keys, arrays(HELD), min_size=1, max_size=6), data=st.data())
def test_the_library_reads_every_tensor(tmp_path_factory, held, data):
    names = data.draw(st.permutations(list(held)))
    content = safetensors_bytes([Named(name, held[name], held[name].dtype.name) for name in names])
    found = load(content)
    for name, array in held.items():
        assert torch_bits(found[name]) == torch_bits(torch.from_numpy(array))
    path = tmp_path_factory.mktemp("bytes") / "a.safetensors"
    path.write_bytes(content)
    own = SafetensorsFile(FileBytes(path))
    assert list(own.tensors) == names
    assert all(bits(own.read(name)) == bits(held[name]) for name in names)


def test_tensors_begin_at_multiples_of_their_items(tmp_path):
    held = [
        Named("odd", np.zeros(3, np.int8), "int8"),
        Named("wide", np.arange(2, dtype=np.float64), "float64"),
        Named("half", np.ones(1, np.float32), "bfloat16"),
        Named("single", np.ones(5, np.float32), "float32"),
    ]
    (tmp_path / "a.safetensors").write_bytes(safetensors_bytes(held))
    with safe_open(tmp_path / "a.safetensors", "pt") as file:  # mapped into memory
        assert torch.equal(file.get_tensor("wide"), torch.arange(2, dtype=torch.float64))
        assert file.get_tensor("half").dtype == torch.bfloat16
        assert torch.equal(file.get_tensor("single"), torch.ones(5))


def test_what_the_format_has_not_is_refused():
    with pytest.raises(OutputError, match="has no dtype complex128"):
        safetensors_bytes([Named("w", np.zeros(2, np.complex128), "complex128")])
    with pytest.raises(OutputError, match="two tensors would have one name"):
        safetensors_bytes([Named("w", np.zeros(2), "float64"), Named("w", np.zeros(2), "float64")])
