"""What each kind of evidence weighs: learned from solved piles, kept in ``learned.json`` beside this file.

Besides the weights from all piles there is a committee: weights from all piles but one. Where the members disagree, the
weights were not sure, and no more is certain than the least sure of them says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from reknit.wiring.designs import Design


@dataclass(frozen=True)
class Learned:
    """Weights by the keys of relations.

    Attributes:
        weights: from all piles.
        committee: from all piles but one each.
        source: the names of the piles.
        designs: of the blocks of these piles (``designs``); margins are calibrated for no others.
    """

    weights: Mapping[str, float]
    committee: tuple[Mapping[str, float], ...]
    source: tuple[str, ...]
    designs: frozenset[Design] = frozenset()


@cache
def learned() -> Learned:
    """The weights that reknit comes with."""
    return from_json(json.loads(files("reknit.wiring").joinpath("learned.json").read_text(encoding="utf-8")))


def from_json(content: Mapping[str, object]) -> Learned:
    """The inverse of ``as_json``."""
    keys, source, rows, designs = (content[name] for name in ("keys", "learned from", "rows", "designs"))
    if not (
        isinstance(keys, list) and isinstance(source, list) and isinstance(rows, list) and isinstance(designs, list)
    ):
        raise TypeError("learned.json is damaged")
    tables = [dict(zip(keys, row, strict=True)) for row in rows]
    return Learned(tables[0], tuple(tables[1:]), tuple(source), frozenset(map(tuple, designs)))


def as_json(learned: Learned) -> dict[str, object]:
    """One list of keys, and a row of weights for all piles and for each member of the committee."""
    tables = [learned.weights, *learned.committee]
    keys = sorted({key for table in tables for key in table})
    return {
        "learned from": list(learned.source),
        "designs": sorted(map(list, learned.designs)),
        "keys": keys,
        "rows": [[round(table.get(key, 0.0), 4) for key in keys] for table in tables],
    }
