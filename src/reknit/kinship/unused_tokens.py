"""Which rows of which tables were never trained: as the user names them, or as a vocabulary does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reknit.errors import InputError, UsageError
from reknit.kinship.unit_tables import Both

UNUSED = re.compile(r"^(\[unused\d+\]|<unused\d+>|<\|reserved_special_token_\d+\|>|<extra_id_\d+>)$")
FORM = "Write TENSOR:ROW or TENSOR:FIRST-LAST, as in embeddings.weight:1-10"


@dataclass(frozen=True)
class Unused:
    """Rows that were never trained.

    Attributes:
        rows: their numbers.
        tensor: the name of the table; empty: every table with as many rows as the vocabulary.
        size: of the vocabulary; 0 where a table is named.
    """

    rows: tuple[int, ...]
    tensor: str
    size: int = 0

    def among(self, a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> dict[str, tuple[Both, Sequence[int]]]:
        """Name -> the tables of both networks, and the rows.

        Raises:
            InputError: there is no such table.
        """
        names = [
            name
            for name, x in a.items()
            if name in b and x.ndim == 2 and b[name].shape == x.shape and (name == self.tensor or len(x) == self.size)
        ]
        if not names:
            what = self.tensor or f"a table of {self.size} rows"
            raise InputError("is not in both files, in one shape", what, "See reknit inspect")
        first = names[:1]  # tied and copied tables would be one test done twice
        return {name: ((_wide(a[name]), _wide(b[name])), self.rows) for name in first}


def unused_tables(named: Sequence[str], vocab: str | Path | None) -> tuple[Unused, ...]:
    """What ``--unused`` and ``--vocab`` say.

    Raises:
        UsageError: it cannot be read as tensor and rows.
        InputError: the vocabulary cannot be read or names no such rows.
    """
    by_tensor: dict[str, list[int]] = {}
    for each in named:
        tensor, _, rows = each.rpartition(":")
        read = re.fullmatch(r"(\d+)(?:-(\d+))?", rows)
        if not tensor or read is None:
            raise UsageError(f"{each!r} names no rows of a table", "--unused", FORM)
        low = int(read[1])
        high = int(read[2] or low)
        if high - low > 10**7:
            raise UsageError(f"{each!r} names too many rows", "--unused", FORM)
        by_tensor.setdefault(tensor, []).extend(range(low, high + 1))
    found = [Unused(tuple(rows), tensor) for tensor, rows in by_tensor.items()]
    if vocab is not None:
        found.append(_from_vocab(Path(vocab)))
    return tuple(found)


def _from_vocab(path: Path) -> Unused:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        raise InputError("cannot be read as a vocabulary", path, "Give a text file with one token a line") from None
    tokens = lines[:-1] if lines and not lines[-1] else lines
    rows = tuple(k for k, token in enumerate(tokens) if UNUSED.match(token.strip()))
    if len(rows) < 2:
        raise InputError("names no two unused tokens", path, "Name rows with --unused TENSOR:FIRST-LAST")
    return Unused(rows, "", len(tokens))


def _wide(table: np.ndarray) -> np.ndarray:
    return np.asarray(table, dtype=np.float64)
