"""Tensors in safetensors files, alone or sharded with an index.

Layout (huggingface/safetensors, README): 8 bytes little-endian N, N bytes of JSON ``{name: {"dtype", "shape",
"data_offsets": [begin, end]}}`` with an optional ``__metadata__`` of texts, then the numbers, little-endian, in C
order; they lie without holes and without overlap. A header is at most 100 MB. The format has no checksums.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from reknit.containers.container import DAMAGED, Container, TensorInfo, check_key, tensor_info
from reknit.containers.dtypes import NUMPY_DTYPES
from reknit.containers.file_bytes import FileBytes
from reknit.errors import ContainerError

_MAX_HEADER = 100_000_000
DTYPE_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "C64": "complex64",
    "BOOL": "bool",
} | {f"{letter}{bits}": f"{kind}{bits}" for letter, kind in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)}
"""The format's own name of a dtype -> ours."""
INDEX_SUFFIX = ".safetensors.index.json"


class SafetensorsFile(Container):
    """One safetensors file."""

    format = "safetensors"

    def __init__(self, source: FileBytes) -> None:
        """Read and check the header."""
        self.path = source.path
        self._source = source
        if source.size < 8:
            raise ContainerError(f"is a safetensors file of only {source.size} bytes", source.path, DAMAGED)
        size = int.from_bytes(source.read(0, 8), "little")
        if size > source.size - 8:
            problem = f"claims a header of {size:,} bytes but only {source.size - 8:,} follow"
            raise ContainerError(problem, source.path, DAMAGED)
        if size > _MAX_HEADER:
            raise ContainerError(f"has a header of {size:,} bytes; {_MAX_HEADER:,} are allowed", source.path)
        self._data = 8 + size
        header = parse_json(bytes(source.read(8, size)), source.path, "header")
        self.metadata = _metadata(header.pop("__metadata__", {}), source.path)
        self._starts: dict[str, int] = {}
        self.tensors = {key: self._parse(key, claim) for key, claim in header.items()}
        if not self.tensors:
            raise ContainerError("is a safetensors file without a tensor", source.path)
        self._check_layout()

    def read(self, key: str) -> np.ndarray:
        """See ``Container.read``."""
        info = self.tensors[key]
        raw = self._source.read(self._data + self._starts[key], info.nbytes)
        array = np.frombuffer(raw, NUMPY_DTYPES[info.dtype]).reshape(info.shape)
        return array if array.flags.writeable else array.copy()

    def _parse(self, key: str, claim: Any) -> TensorInfo:
        match claim:
            case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]} if len(claim) == 3:
                pass
            case _:
                raise ContainerError(f"has a damaged description of {check_key(key, self.path)!r}", self.path, DAMAGED)
        info = tensor_info(key, DTYPE_NAMES.get(dtype, dtype[:40]), tuple(shape), self.path)
        if isinstance(begin, bool) or isinstance(end, bool) or not 0 <= begin <= end <= self._source.size - self._data:
            raise ContainerError(f"the numbers of {key!r} lie outside the file", self.path, DAMAGED)
        if end - begin != info.nbytes:
            problem = f"{key!r} should have {info.nbytes:,} bytes but its header claims {end - begin:,}"
            raise ContainerError(problem, self.path, DAMAGED)
        self._starts[key] = begin
        return info

    def _check_layout(self) -> None:
        """As the format demands: every byte belongs to exactly one tensor."""
        at = 0
        for begin, size, key in sorted((self._starts[key], info.nbytes, key) for key, info in self.tensors.items()):
            if begin != at:
                kind = "overlaps another tensor" if begin < at else f"leaves a hole of {begin - at:,} bytes before it"
                raise ContainerError(f"{key!r} {kind}", self.path, DAMAGED)
            at = begin + size
        left = self._source.size - self._data - at
        if left:
            raise ContainerError(f"holds {left:,} bytes that belong to no tensor", self.path, DAMAGED)


class ShardedSafetensors(Container):
    """Safetensors files in one folder, with an index that says which tensor is in which."""

    format = "safetensors"

    def __init__(self, index: Path) -> None:
        """Read the index and the header of every shard."""
        self.path = index.parent
        self.index = index
        self.stem = index.name.removesuffix(INDEX_SUFFIX)
        weight_map = self._read_index()
        self._shards = {
            name: SafetensorsFile(FileBytes(self._shard(name))) for name in dict.fromkeys(weight_map.values())
        }
        self.tensors = {}
        for key, name in weight_map.items():
            if key not in self._shards[name].tensors:
                raise ContainerError(f"the index promises {key!r} in {name}, which lacks it", index)
            self.tensors[key] = self._shards[name].tensors[key]
        for name, shard in self._shards.items():
            for key in shard.tensors:
                if weight_map.get(key) != name:
                    raise ContainerError(f"the shard {name} holds {key!r}, which the index does not place there", index)
        self._files = {key: self._shards[name] for key, name in weight_map.items()}
        if not self.tensors:
            raise ContainerError("is an index without a tensor", index)

    @property
    def files(self) -> frozenset[Path]:
        """The shards."""
        return frozenset(shard.path for shard in self._shards.values())

    def read(self, key: str) -> np.ndarray:
        """See ``Container.read``."""
        return self._files[key].read(key)

    def _read_index(self) -> dict[str, str]:
        source = FileBytes(self.index)
        if source.size > _MAX_HEADER:
            raise ContainerError(f"is an index of {source.size:,} bytes; {_MAX_HEADER:,} are allowed", self.index)
        weight_map = parse_json(bytes(source.read(0, source.size)), self.index, "index").get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
            raise ContainerError("is an index without a weight_map of names", self.index)
        return {check_key(key, self.index): name for key, name in weight_map.items()}

    def _shard(self, name: str) -> Path:
        plain = name and name not in (".", "..") and not set(name) & set("/\\:\0")
        if not plain:
            raise ContainerError(f"the index names the shard {name[:100]!r}, which is not a file beside it", self.index)
        path = self.path / check_key(name, self.index)
        if not path.exists():
            raise ContainerError(f"the shard {name} is missing", self.index, "Put it beside the index")
        return path


def parse_json(raw: bytes, path: Path, what: str) -> dict[str, Any]:
    """A JSON object, in which no name comes twice.

    Raises:
        ContainerError: it is not one.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice = next(key for n, (key, _) in enumerate(pairs) if key in dict(pairs[:n]))
            raise ContainerError(f"names {twice[:100]!r} twice in its {what}", path)
        return found

    try:
        found = json.loads(raw, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise ContainerError(f"has a damaged {what}: not JSON", path, DAMAGED) from None
    if not isinstance(found, dict):
        raise ContainerError(f"has a damaged {what}: not a JSON object", path, DAMAGED)
    return found


def _metadata(claim: Any, path: Path) -> dict[str, str]:
    if not isinstance(claim, dict) or not all(isinstance(value, str) for value in claim.values()):
        raise ContainerError("has a __metadata__ that is not a map of texts", path, DAMAGED)
    return claim
