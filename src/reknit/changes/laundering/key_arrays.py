"""The arrays of a key: taken out of its JSON, packed as npz, put in again."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from reknit.containers.container import Container


def without_arrays(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The same with every array put among the others, and its name in its place."""
    if isinstance(value, np.ndarray):
        name = f"a{len(arrays)}"
        arrays[name] = value
        return {"array": name, "shape": list(value.shape)}
    if isinstance(value, Mapping):
        return {key: without_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_arrays(item, arrays) for item in value]
    return value


def with_arrays(value: Any, arrays: Container | None) -> Any:
    """The same with every array in the place of its name.

    Raises:
        KeyError: one is missing.
        ValueError: one has another shape.
    """
    if isinstance(value, Mapping):
        if value.keys() == {"array", "shape"} and arrays is not None:
            array = arrays.read(value["array"])
            if list(array.shape) != value["shape"]:
                raise ValueError(f"the array {value['array']} is {array.shape}, not {value['shape']}")
            return array
        return {key: with_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [with_arrays(item, arrays) for item in value]
    return value


def packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An npz file, of the same bytes for the same arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
