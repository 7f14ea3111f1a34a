"""What a dataset of an HDF5 file is made of: its dtype, its shape, and what stands where nothing was written.

HDF5 File Format Specification 3.0, IV.A.2: dataspace, datatype and fill value messages.
"""

from __future__ import annotations

from reknit.containers.hdf5_bytes import Record
from reknit.errors import ContainerError

# size, bits of the exponent's place and size, of the mantissa's place and size, bias, place of the sign
_FLOATS: dict[tuple[int, ...], str] = {
    (2, 10, 5, 0, 10, 15, 15): "float16",
    (2, 7, 8, 0, 7, 127, 15): "bfloat16",
    (4, 23, 8, 0, 23, 127, 31): "float32",
    (8, 52, 11, 0, 52, 1023, 63): "float64",
}
_OTHERS = {2: "times", 3: "texts", 4: "bit fields", 5: "opaque bytes", 6: "records of several fields", 7: "references"}
_OTHERS |= {9: "lists or texts of varying length", 10: "arrays in arrays", 11: "complex numbers"}
_INTEGER, _FLOAT, _ENUM = 0, 1, 8


def parse_type(data: Record, what: str) -> tuple[str, bool]:
    """A dtype, and whether it is big-endian; an enum of FALSE and TRUE is bool, any other its integers.

    Args:
        data: the datatype message.
        what: the dataset, for the sentences of the errors.

    Raises:
        ContainerError: it is damaged, or no plain numbers.
    """
    lead, bits, size = data.integer(1), data.integer(3), data.integer(4)
    kind, version = lead & 15, lead >> 4
    name = None
    if kind == _INTEGER:
        offset, precision = data.integer(2), data.integer(2)
        if size in (1, 2, 4, 8) and (offset, precision) == (0, 8 * size):
            name = f"{'int' if bits & 8 else 'uint'}{8 * size}"
    elif kind == _FLOAT:
        offset, precision = data.integer(2), data.integer(2)
        places = (size, *(data.integer(1) for _ in range(4)), data.integer(4), bits >> 8 & 0xFF)
        implied = bits >> 4 & 3 == 2  # the first bit of the mantissa is not stored
        if (offset, precision) == (0, 8 * size) and implied and not bits & 64:
            name = _FLOATS.get(places)
    elif kind == _ENUM:
        return _parse_enum(data, bits & 0xFFFF, version, what)
    if name is None:
        held = _OTHERS.get(kind, "numbers of an unusual format")
        raise ContainerError(f"{what!r:.100} holds {held}, which are not supported", data.file.source.path)
    return name, bool(bits & 1)


def parse_space(data: Record, what: str) -> tuple[int, ...]:
    """The shape.

    Raises:
        ContainerError: it is damaged, or empty by design (a null space).
    """
    version, rank, flags, kind = (data.integer(1) for _ in range(4))
    if version not in (1, 2) or flags > 3:
        data.file.refuse()
    if version == 1:
        data.take(4)
        kind = 1
    if kind == 2:
        raise ContainerError(f"{what!r:.100} is of no shape (a null dataspace)", data.file.source.path)
    return tuple(data.length() for _ in range(rank))


def parse_fill(data: Record) -> bytes:
    """The bytes of the fill value message; empty for zeros."""
    version = data.integer(1)
    if version == 3:
        defined = data.integer(1) & 32
    elif version in (1, 2):
        data.take(2)
        defined = data.integer(1)
    else:
        data.file.refuse()
    return data.take(data.integer(4)) if defined and data.left else b""


def _parse_enum(data: Record, members: int, version: int, what: str) -> tuple[str, bool]:
    base, big_endian = parse_type(data, what)
    names = []
    for _ in range(members):
        end = data.data.find(b"\0", data.at)
        if end < 0:
            data.file.refuse()
        names.append(data.take(end - data.at))
        data.take(1)
        if version < 3:  # padded to a multiple of eight bytes
            data.take(-(len(names[-1]) + 1) % 8)
    is_bool = base in ("int8", "uint8") and names == [b"FALSE", b"TRUE"] and data.take(2) == b"\0\1"
    return ("bool", False) if is_bool else (base, big_endian)
