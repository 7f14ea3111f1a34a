"""Strict JSON: results as text that any parser reads, whatever numbers they hold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """The same value out of JSON's own types; infinities and NaN become None.

    Mappings, sequences, numpy arrays and scalars, and paths are converted; keys become strings.

    Raises:
        TypeError: a value of another type.

    >>> plain({1: (0.5, float("nan")), "at": Path("x")})
    {'1': [0.5, None], 'at': 'x'}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def dumps(value: Any, *, indent: int | None = None) -> str:
    """The value as strict JSON text, in ASCII: the name of a file may be no text in any encoding.

    >>> dumps({"mse": float("inf")})
    '{"mse": null}'
    """
    return json.dumps(plain(value), indent=indent, allow_nan=False)
