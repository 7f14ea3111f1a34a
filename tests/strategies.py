"""What several parts of the tests share: strategies for tensors, arrays and damage to files, and real checkpoints."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from reknit.containers.dtypes import NUMPY_DTYPES

BELOW_A_BYTE = {"int4", "uint4", "float4_e2m1fn", "int2", "uint2"}  # torch knows their names and nothing more
TORCH_DTYPES = {n: getattr(torch, n) for n in NUMPY_DTYPES if hasattr(torch, n) and n not in BELOW_A_BYTE}
SAFETENSORS_DTYPES = {name: dtype for name, dtype in TORCH_DTYPES.items() if name != "complex128"}
NUMPY_OWN_DTYPES = [name for name, dtype in NUMPY_DTYPES.items() if dtype.kind in "fiubc" and "float8" not in name]

shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
seeds = st.integers(0, 2**32 - 1)
keys = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=12).filter(
    lambda key: ".." not in key and not set(key) & set("/\\") and not key.startswith(".")
)


def bits(array: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    """Dtype, shape and raw bytes: what two arrays have to share to be the same, NaN included."""
    return array.dtype.name, array.shape, np.ascontiguousarray(array).tobytes()


def torch_bits(tensor: torch.Tensor) -> tuple[str, tuple[int, ...], bytes]:
    """The same of a torch tensor, by way of its bytes, which every dtype has."""
    tensor = tensor.detach().contiguous()
    raw = tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    return str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), raw


@st.composite
def tensors(draw: st.DrawFn, dtypes: dict[str, torch.dtype] = TORCH_DTYPES) -> torch.Tensor:
    """A tensor of any dtype with random bits, in C order."""
    dtype = dtypes[draw(st.sampled_from(sorted(dtypes)))]
    shape = draw(shapes)
    raw = np.random.default_rng(draw(seeds)).integers(0, 256, 16 * int(np.prod(shape)), dtype=np.uint8)
    if dtype is torch.bool:
        raw &= 1
    flat = torch.from_numpy(raw).view(dtype) if raw.size else torch.empty(0, dtype=dtype)
    return flat[: int(np.prod(shape))].reshape(shape).clone()


@st.composite
def arrays(draw: st.DrawFn, names: list[str]) -> np.ndarray:
    """An array of one of these dtypes with random bits, in C order."""
    dtype = NUMPY_DTYPES[draw(st.sampled_from(names))]
    shape = draw(shapes)
    rng = np.random.default_rng(draw(seeds))
    if dtype.name in BELOW_A_BYTE:
        return rng.integers(-2 if dtype.name[0] == "i" else 0, 2 if "2" in dtype.name else 8, shape).astype(dtype)
    raw = rng.integers(0, 2 if dtype.kind == "b" else 256, dtype.itemsize * int(np.prod(shape)), dtype=np.uint8)
    return raw.view(dtype).reshape(shape)


@st.composite
def views(draw: st.DrawFn) -> torch.Tensor:
    """A tensor that is a transposed, strided, offset or expanded view of a larger storage."""
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    base = torch.randn(rows + 2, columns + 3, generator=torch.Generator().manual_seed(draw(seeds) % 2**31))
    kind = draw(st.sampled_from(["transposed", "strided", "offset", "expanded", "diagonal"]))
    return {
        "transposed": base.T,
        "strided": base[::2, ::3],
        "offset": base[1:, 2:],
        "expanded": base[:1].expand(4, -1),
        "diagonal": base.diagonal(),
    }[kind]


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """A file after an accident: cut short, bytes changed, a stretch zeroed, doubled or taken out."""
    kind = draw(st.sampled_from(["cut", "flip", "flip", "several", "zeros", "removed", "doubled", "appended"]))
    at = draw(st.integers(0, len(good) - 1))
    length = draw(st.integers(1, 64))
    if kind == "cut":
        return good[:at]
    if kind == "flip":
        return good[:at] + bytes([good[at] ^ (1 << draw(st.integers(0, 7)))]) + good[at + 1 :]
    if kind == "zeros":
        return good[:at] + bytes(min(length, len(good) - at)) + good[at + length :]
    if kind == "removed":
        return good[:at] + good[at + length :]
    if kind == "doubled":
        return good[: at + length] + good[at:]
    if kind == "appended":
        return good + draw(st.binary(min_size=1, max_size=64))
    changed = bytearray(good)
    for place, value in draw(
        st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), min_size=1, max_size=8)
    ):
        changed[place] = value
    return bytes(changed)


def real_file(name: str) -> Path:
    """A published checkpoint below the folder that REKNIT_CHECKPOINTS names; the test is skipped without it."""
    folder = os.environ.get("REKNIT_CHECKPOINTS")
    if not folder:
        pytest.skip("REKNIT_CHECKPOINTS does not name the folder with the unpacked packages")
    path = Path(folder) / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path
