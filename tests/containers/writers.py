"""Small writers of the formats for which the tests have no library: ONNX (protobuf) and GGUF."""

import struct

import numpy as np

ONNX_DTYPES = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "uint16": 4,
    "int16": 5,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "float16": 10,
    "float64": 11,
    "uint32": 12,
    "uint64": 13,
    "complex64": 14,
    "complex128": 15,
    "bfloat16": 16,
    "float8_e4m3fn": 17,
    "float8_e4m3fnuz": 18,
    "float8_e5m2": 19,
    "float8_e5m2fnuz": 20,
    "uint4": 21,
    "int4": 22,
    "float4_e2m1fn": 23,
    "float8_e8m0fnu": 24,
    "uint2": 25,
    "int2": 26,
}
BITS = {"uint4": 4, "int4": 4, "float4_e2m1fn": 4, "uint2": 2, "int2": 2}


def varint(value):
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def field(number, value):
    """One protobuf field: an int as a varint, bytes and texts with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def packed_bytes(array):
    """The bytes of ``raw_data``: numbers of less than a byte share one, the first in the lowest bits."""
    bits = BITS.get(array.dtype.name, 8)
    raw = array.reshape(-1).view(np.uint8)
    if bits == 8:
        return raw.tobytes()
    flags = np.unpackbits(raw[:, None], axis=1, bitorder="little")[:, :bits]
    return np.packbits(flags.reshape(-1), bitorder="little").tobytes()


def onnx_tensor(name, array, *, typed=False, **changes):
    """A TensorProto; ``changes`` replace its fields: ``dims``, ``dtype``, ``numbers`` (fields, encoded)."""
    dtype = array.dtype.name
    dims = changes.get("dims", array.shape)
    numbers = changes.get("numbers")
    if numbers is None:
        numbers = onnx_typed(array) if typed else field(9, packed_bytes(array))
    kind = changes.get("dtype", ONNX_DTYPES[dtype])
    return b"".join(field(1, int(size)) for size in dims) + field(2, kind) + field(8, name) + numbers


def onnx_typed(array):
    """The numbers in the field for their type."""
    dtype, flat = array.dtype.name, array.reshape(-1)
    if dtype in ("float32", "complex64"):
        return field(4, flat.tobytes())
    if dtype in ("float64", "complex128"):
        return field(10, flat.tobytes())
    if dtype in ("int64", "uint32", "uint64"):
        return field(7 if dtype == "int64" else 11, b"".join(varint(int(v)) for v in flat))
    if dtype in BITS:
        flat = np.frombuffer(packed_bytes(array), np.uint8)
    elif "float" in dtype:
        flat = flat.view(f"u{flat.dtype.itemsize}")
    return field(5, b"".join(varint(int(v)) for v in flat))


def onnx_constant(output, tensor):
    return field(2, output) + field(4, "Constant") + field(5, field(1, "value") + field(5, tensor))


def onnx_graph(initializers=(), nodes=()):
    return b"".join(field(1, node) for node in nodes) + b"".join(field(5, tensor) for tensor in initializers)


def onnx_model(graph=b"", *, more=b""):
    return field(1, 8) + field(2, "tests") + field(7, graph) + more + field(8, field(2, 17))


def onnx_file(state, *, typed=False):
    """A model whose initialisers are these arrays."""
    return onnx_model(onnx_graph([onnx_tensor(name, np.asarray(v), typed=typed) for name, v in state.items()]))


GGUF_TYPES = {
    "float32": 0,
    "float16": 1,
    "int8": 24,
    "int16": 25,
    "int32": 26,
    "int64": 27,
    "float64": 28,
    "bfloat16": 30,
    "Q4_0": 2,
    "Q8_0": 8,
}


def gguf_text(value):
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def gguf_fact(name, kind, raw):
    """A name, the number of a type, and the encoded value."""
    return gguf_text(name) + struct.pack("<L", kind) + raw


def gguf_tensor(name, kind, sizes, offset):
    return gguf_text(name) + struct.pack(f"<L{len(sizes)}QLQ", len(sizes), *sizes, kind, offset)


def gguf_header(tensors=(), facts=(), *, version=3, counts=None):
    counts = counts or (len(tensors), len(facts))
    return b"GGUF" + struct.pack("<LQQ", version, *counts) + b"".join(facts) + b"".join(tensors)


def gguf_blocks(kind, shape, seed):
    """Random blocks of 32 numbers, for a tensor of that shape: their bytes."""
    rng = np.random.default_rng(seed)
    scales = rng.normal(size=int(np.prod(shape)) // 32).astype("<f2").view(np.uint8).reshape(-1, 2)
    return np.hstack([scales, rng.integers(0, 256, (len(scales), {"Q4_0": 16, "Q8_0": 32}[kind]), np.uint8)]).tobytes()


def gguf_file(state, *, facts=(), alignment=32):
    """A file with these arrays; a value may also be a block format, a shape and its bytes."""
    tensors, data = [], b""
    for name, value in state.items():
        kind, shape, raw = value if isinstance(value, tuple) else (value.dtype.name, value.shape, value.tobytes())
        data += bytes(-len(data) % alignment)
        tensors.append(gguf_tensor(name, GGUF_TYPES[kind], shape[::-1], len(data)))
        data += raw
    header = gguf_header(tensors, facts)
    return header + bytes(-len(header) % alignment) + data
