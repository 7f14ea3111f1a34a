"""Inert stand-ins for the few globals that the pickle of a state dict or a TorchScript module names.

Calling one describes a tensor; it runs no code of torch and touches no storage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DType:
    """A torch dtype, or the storage class that implies it; None for untyped bytes."""

    name: str | None


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers kept elsewhere in the file: their key, dtype (None: bytes) and count."""

    key: str
    dtype: str | None
    count: int


@dataclass(frozen=True, slots=True)
class StridedTensor:
    """A view of a storage; offset and strides in items of its dtype. Nothing in it is checked yet."""

    storage: Storage
    dtype: str | None
    offset: Any
    shape: Any
    strides: Any


@dataclass(frozen=True, slots=True)
class Function:
    """A stand-in for a callable: what is made of its arguments, or None when they are not what it takes."""

    name: str
    make: Callable[[tuple[Any, ...]], object]


@dataclass(frozen=True, slots=True)
class ScriptClass:
    """A class of a TorchScript file (``__torch__.*``), whose code stays unread."""

    name: str


class Record(dict[str, Any]):
    """The attributes of an object of such a class."""


@dataclass(frozen=True, slots=True)
class Inert:
    """A value that matters to torch and not to us, such as a device."""

    name: str


def _tensor(args: tuple[Any, ...]) -> StridedTensor | None:
    if len(args) < 4 or not isinstance(args[0], Storage):
        return None
    metadata = args[6] if len(args) > 6 else None
    if metadata:  # the conj and neg bits would change the numbers
        return None
    return StridedTensor(args[0], args[0].dtype, *args[1:4])


def _typed_tensor(args: tuple[Any, ...]) -> StridedTensor | None:
    plain = _tensor((*args[:6], *args[7:]))
    if plain is None or len(args) < 7 or not isinstance(args[6], DType):
        return None
    return StridedTensor(plain.storage, args[6].name, plain.offset, plain.shape, plain.strides)


def _parameter(args: tuple[Any, ...]) -> StridedTensor | None:
    return args[0] if args and isinstance(args[0], StridedTensor) else None


def _subclass(args: tuple[Any, ...]) -> object:
    if len(args) == 4 and isinstance(args[0], Function) and isinstance(args[1], Inert) and isinstance(args[2], tuple):
        return args[0].make(args[2]) if args[0].make in (_tensor, _typed_tensor, _parameter) else None
    return None


def _ordered_dict(args: tuple[Any, ...]) -> dict[Any, Any] | None:
    pairs = args[0] if args else []
    if len(args) > 1 or not isinstance(pairs, list | tuple):
        return None
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 and is_plain_key(pair[0]) for pair in pairs):
        return None
    return {key: value for key, value in pairs}  # noqa: C416  the checker cannot see that each pair has two items


def is_plain_key(key: object) -> bool:
    """Whether a dict may have it as a key: a tuple of tuples could take for ever to hash."""
    return key is None or isinstance(key, str | int | float)


def _tagged(args: tuple[Any, ...]) -> object:
    """A list or dict of TorchScript, whose element type stands beside it."""
    return args[0] if args and isinstance(args[0], list | dict) else None


def find_global(module: str, name: str) -> object | None:
    """The stand-in for a global; None if nothing in a file of tensors has to ask for it."""
    if module == "__torch__" or module.startswith("__torch__."):
        return ScriptClass(f"{module}.{name}")
    return GLOBALS.get((module, name))


def _globals() -> dict[tuple[str, str], object]:
    known: dict[tuple[str, str], object] = {
        ("collections", "OrderedDict"): Function("OrderedDict", _ordered_dict),
        ("torch._utils", "_rebuild_tensor"): Function("_rebuild_tensor", _tensor),
        ("torch._utils", "_rebuild_tensor_v2"): Function("_rebuild_tensor_v2", _tensor),
        ("torch._utils", "_rebuild_tensor_v3"): Function("_rebuild_tensor_v3", _typed_tensor),
        ("torch._utils", "_rebuild_parameter"): Function("_rebuild_parameter", _parameter),
        ("torch._utils", "_rebuild_parameter_with_state"): Function("_rebuild_parameter_with_state", _parameter),
        ("torch._tensor", "_rebuild_from_type_v2"): Function("_rebuild_from_type_v2", _subclass),
        ("torch", "Tensor"): Inert("Tensor"),
        ("torch.nn.parameter", "Parameter"): Inert("Parameter"),
        ("torch", "Size"): Function("Size", lambda args: args[0] if args and isinstance(args[0], tuple) else None),
        ("torch", "device"): Function("device", lambda _: Inert("device")),
        ("torch.jit._pickle", "restore_type_tag"): Function("restore_type_tag", _tagged),
        ("torch.storage", "UntypedStorage"): DType(None),
        ("torch", "UntypedStorage"): DType(None),
    }
    storages = {
        "Double": "float64",
        "Float": "float32",
        "Half": "float16",
        "BFloat16": "bfloat16",
        "ComplexDouble": "complex128",
        "ComplexFloat": "complex64",
        "Long": "int64",
        "Int": "int32",
        "Short": "int16",
        "Char": "int8",
        "Byte": "uint8",
        "Bool": "bool",
    }
    for kind in ("int", "double", "bool", "tensor"):
        known["torch.jit._pickle", f"build_{kind}list"] = Function(f"build_{kind}list", _tagged)
    for prefix, dtype in storages.items():
        known["torch", f"{prefix}Storage"] = known["torch.cuda", f"{prefix}Storage"] = DType(dtype)
        known["torch", dtype] = DType(dtype)
    others = ("uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
    for dtype in (*others, "float8_e8m0fnu"):
        known["torch", dtype] = DType(dtype)
    return known


GLOBALS = _globals()
"""Everything a pickle may ask for but classes of TorchScript, by module and name; all else is refused."""
