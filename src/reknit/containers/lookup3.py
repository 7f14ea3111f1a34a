"""The checksum of HDF5's newer records: lookup3 ("hashlittle") of Bob Jenkins, 2006, public domain, with seed 0."""

from __future__ import annotations

_MASK = 0xFFFFFFFF
_MIX = (4, 6, 8, 16, 19, 4)
_FINAL = (14, 11, 25, 16, 4, 14, 24)


def lookup3(data: bytes) -> int:
    """The checksum of some bytes, an unsigned number of 32 bits.

    >>> hex(lookup3(b"Four score and seven years ago"))
    '0x17770551'
    """
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    whole = max(0, (len(data) - 1) // 12) * 12  # the last block, even a full one, is mixed in another way
    for at in range(0, whole, 12):
        a, b, c = (_plus(word, data[at + 4 * k : at + 4 * k + 4]) for k, word in enumerate((a, b, c)))
        for shift in _MIX:
            a = ((a - c) & _MASK) ^ _turn(c, shift)
            c = (c + b) & _MASK
            a, b, c = b, c, a  # the words take turns
    if not data:
        return c
    a, b, c = (_plus(word, data[whole + 4 * k : whole + 4 * k + 4]) for k, word in enumerate((a, b, c)))
    for shift in _FINAL:
        c = ((c ^ b) - _turn(b, shift)) & _MASK
        a, b, c = b, c, a
    return b  # the word that was changed last


def _plus(word: int, raw: bytes) -> int:
    return (word + int.from_bytes(raw, "little")) & _MASK


def _turn(word: int, shift: int) -> int:
    return (word << shift | word >> (32 - shift)) & _MASK
