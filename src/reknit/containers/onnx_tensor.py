"""One tensor of an ONNX file, a ``TensorProto``: what it claims, and where its numbers are.

Field numbers and dtypes are those of onnx.proto (IR version 13). The numbers lie in ``raw_data``, in a field for their
type, or in a file of their own (``external_data``); ``onnx_numbers`` knows how they are packed there.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field, replace

from reknit.containers.container import DAMAGED, TensorInfo, tensor_info
from reknit.containers.external_data import find_external
from reknit.containers.file_bytes import FileBytes
from reknit.containers.onnx_numbers import DTYPES, RAW, TYPED, Place, fits, raw_size
from reknit.containers.protobuf import BYTES, VARINT, Field, Wire
from reknit.errors import ContainerError

_EXTERNAL = 1
_MAX_AXES = 64
_MAX_ENTRIES = 64


@dataclass
class Claim:
    """What a ``TensorProto`` says; nothing in it is checked yet but its wire types."""

    name: str = ""
    dtype: int = 0
    dims: list[int] = field(default_factory=list)
    numbers: list[Field] = field(default_factory=list)
    location: int = 0
    external: dict[str, str] = field(default_factory=dict)
    is_segment: bool = False


def parse_tensor(wire: Wire, begin: int, end: int) -> Claim:
    """The ``TensorProto`` between two positions.

    Raises:
        ContainerError: it is damaged.
    """
    claim = Claim()
    for part in wire.fields(begin, end):
        if part.number == 1:
            claim.dims += wire.integers(part, _MAX_AXES)
        elif part.number in (2, 14) and part.kind != VARINT:
            wire.refuse()
        elif part.number == 2:
            claim.dtype = part.value
        elif part.number == 14:
            claim.location = part.value
        elif part.number == 3:
            claim.is_segment = True
        elif part.number == 8:
            claim.name = wire.text(part)
        elif part.number in (RAW, *TYPED):
            claim.numbers = [*claim.numbers[:1], part]  # one is right, and two are as wrong as a million
        elif part.number == 13 and part.kind == BYTES:
            entry = {p.number: wire.text(p) for p in wire.fields(part.begin, part.end) if p.number in (1, 2)}
            claim.external[entry.get(1, "")] = entry.get(2, "")
        if len(claim.dims) > _MAX_AXES or len(claim.external) > _MAX_ENTRIES:
            wire.refuse()
    return claim


def place_tensor(wire: Wire, key: str, claim: Claim, opened: MutableMapping[str, FileBytes]) -> Place:
    """Check a claim, and find its numbers; nothing is read.

    Args:
        wire: the model.
        key: what the tensor is called.
        claim: what the model says of it.
        opened: the other files with numbers, by the name the model gives them; a new one is added.

    Raises:
        ContainerError: no tensor could be so, or its numbers are not where the model says.
    """
    path = wire.source.path
    dtype = DTYPES[claim.dtype] if claim.dtype < len(DTYPES) else f"number {claim.dtype}"
    info = tensor_info(key, dtype, tuple(claim.dims), path)
    if claim.is_segment:
        raise ContainerError(f"{key!r} is a segment of a tensor, which is not supported", path)
    if claim.location == _EXTERNAL:
        source, start = find_external(wire.source, key, claim.external, raw_size(info), opened)
        return Place(replace(info, file=source.path), source, RAW, start, raw_size(info))
    return _inline(wire, info, [part for part in claim.numbers if part.kind != BYTES or part.end > part.begin])


def _inline(wire: Wire, info: TensorInfo, found: list[Field]) -> Place:
    """The place of numbers that lie in the model itself."""
    path = wire.source.path
    if not found:
        if info.nbytes:
            raise ContainerError(f"the numbers of {info.key!r} are missing", path, DAMAGED)
        return Place(info, wire.source, RAW, 0, 0)
    part = found[0]
    if len(found) > 1 or part.kind != BYTES:
        raise ContainerError(f"{info.key!r} keeps its numbers scattered, not in one stretch", path, "Save it again")
    size = part.end - part.begin
    if not fits(info, part.number, size):
        problem = f"{info.key!r} should have {raw_size(info):,} bytes but holds {size:,}, or numbers of another kind"
        raise ContainerError(problem, path, DAMAGED)
    return Place(info, wire.source, part.number, part.begin, size)
