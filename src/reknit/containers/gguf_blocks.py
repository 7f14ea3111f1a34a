"""The types of tensors in GGUF files, and the numbers of the two block formats that are read.

A block holds 32 neighbouring numbers of a row and one scale d, a float16 (ggml, ggml-common.h and ggml-quants.c):

- Q8_0, 34 bytes: d, then 32 int8; a number is ``d q``
- Q4_0, 18 bytes: d, then 16 bytes; the low halves are numbers 0 to 15, the high halves 16 to 31: ``d (q - 8)``
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

TYPES = dict(
    enumerate(
        (
            *(
                "F32",
                "F16",
                "Q4_0",
                "Q4_1",
                "Q4_2",
                "Q4_3",
                "Q5_0",
                "Q5_1",
                "Q8_0",
                "Q8_1",
                "Q2_K",
                "Q3_K",
                "Q4_K",
                "Q5_K",
            ),
            *(
                "Q6_K",
                "Q8_K",
                "IQ2_XXS",
                "IQ2_XS",
                "IQ3_XXS",
                "IQ1_S",
                "IQ4_NL",
                "IQ3_S",
                "IQ2_S",
                "IQ4_XS",
                "I8",
                "I16",
            ),
            *("I32", "I64", "F64", "IQ1_M", "BF16", "Q4_0_4_4", "Q4_0_4_8", "Q4_0_8_8", "TQ1_0", "TQ2_0"),
        )
    )
) | {39: "MXFP4", 40: "NVFP4", 41: "Q1_0"}
"""The names of ``ggml_type`` by its numbers."""

PLAIN = {0: "float32", 1: "float16", 24: "int8", 25: "int16", 26: "int32", 27: "int64", 28: "float64", 30: "bfloat16"}
"""The types that are numbers of their own, and their dtypes."""

BLOCK = 32
_Q4_0, _Q8_0 = 2, 8
BLOCK_BYTES = {_Q4_0: 18, _Q8_0: 34}
"""The block formats that are read, and the bytes of one block."""


def unpack(raw: UInt8[np.ndarray, " bytes"], kind: int) -> Float[np.ndarray, " numbers"]:
    """The numbers of whole blocks, float32: products of two float32, as ggml computes them.

    >>> unpack(np.array([0, 60, *range(32)], np.uint8), 8)[:4].tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    blocks = raw.reshape(-1, BLOCK_BYTES[kind])
    stored = blocks[:, 2:]
    if kind == _Q8_0:
        q = stored.view(np.int8).astype(np.float32)
    else:
        q = np.concatenate([stored & 15, stored >> 4], axis=1).astype(np.float32)
        q -= 8
    with np.errstate(invalid="ignore"):  # a scale that is not finite is told by whoever needs it to be
        q *= np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)
    return q.reshape(-1)
