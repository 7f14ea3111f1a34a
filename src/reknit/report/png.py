"""A picture of at most 256 colours as a ``data:`` address, so that the page needs no other file."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray


def png(pixels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """An indexed PNG (RFC 2083): ``pixels`` (rows, columns) are indices into ``palette`` (colours, 3)."""
    rows, columns = pixels.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    unfiltered = np.zeros((rows, columns + 1), dtype=np.uint8)  # each row opens with its filter: 0, none
    unfiltered[:, 1:] = pixels
    chunks = ((b"IHDR", header), (b"PLTE", palette.tobytes()), (b"IDAT", zlib.compress(unfiltered.tobytes(), 9)))
    body = b"".join(_chunk(kind, data) for kind, data in (*chunks, (b"IEND", b"")))
    return b"\x89PNG\r\n\x1a\n" + body


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def data_address(pixels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> str:
    """The picture as an address that needs no network."""
    return "data:image/png;base64," + base64.b64encode(png(pixels, palette)).decode("ascii")
