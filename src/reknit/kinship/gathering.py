"""Many files: sketched, the likely pairs compared in full, and everything kept in a store for the next time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reknit.containers.tensors import Tensors, read_tensors
from reknit.errors import InputError
from reknit.kinship.candidates import likely_pairs
from reknit.kinship.named import State
from reknit.kinship.pair_evidence import PairEvidence, from_json
from reknit.kinship.sketches import sketch
from reknit.kinship.store import Store

Compare = Callable[[tuple[Path, Path], tuple[State, State]], PairEvidence]
Pair = tuple[int, int]
HELD = 64
"""Files whose numbers are held in memory at most."""


@dataclass(frozen=True)
class Gathered:
    """Files and what pairs of them tell.

    Attributes:
        files: all that are known, in the order in which they came.
        pairs: pairs of places in ``files`` -> evidence, of all that were compared in full now or before.
        compared: how many were compared in full now.
    """

    files: tuple[Path, ...]
    pairs: Mapping[Pair, PairEvidence]
    compared: int


def gather(
    files: Sequence[Path],
    store: Store,
    compare: Compare,
    read: Callable[[Path], State],
    *,
    options: str,
    nearest: int,
    seed: int = 0,
    told: Callable[[str], None] = lambda _: None,
) -> Gathered:
    """Compare the likely pairs among files, and those of files with all that the store knows.

    Args:
        files: that ask; others that the store knows are asked about.
        store: what is known.
        compare: paths and numbers of two files -> what they tell.
        read: a path -> its numbers.
        options: in words, all that ``compare`` depends on: what was found with others is not believed.
        nearest: full comparisons that each file asks for.
        seed: of the sketches.
        told: what is being done.

    Raises:
        ContainerError: a file cannot be read.
        InputError: a file that is to be compared is not where it was.
    """
    new = []
    for number, path in enumerate(files):
        told(f"sketch {number + 1} of {len(files)}")
        stored = read_tensors(path)
        digest = stored.sha256
        known = store.find(digest, path)
        new.append(store.add(digest, path, sketch(_named(stored), seed) if known is None else ()))
    known_files, sketches = store.files(), store.sketches()
    places = {number: place for place, number in enumerate(known_files)}
    paths = [Path(each) for each in known_files.values()]
    wanted = likely_pairs(list(sketches.values()), nearest=nearest, new=[places[number] for number in new])
    numbers = list(known_files)
    found = {(places[a], places[b]): kept for (a, b), kept in store.relations(options).items()}
    missing = [pair for pair in wanted if pair not in found]
    numbers_of = _Held(read, paths)
    for count, (a, b) in enumerate(missing):
        told(f"pair {count + 1} of {len(missing)}")
        both = (paths[a], paths[b])
        kept = compare(both, (numbers_of(a), numbers_of(b))).as_json(both)
        store.keep((numbers[a], numbers[b]), options, kept)
        found[a, b] = kept
    pairs = {(a, b): from_json(found[a, b], (paths[a], paths[b])) for a, b in sorted(found)}
    return Gathered(tuple(paths), pairs, len(missing))


def _named(stored: Tensors) -> Iterator[tuple[str, np.ndarray]]:
    return ((name, stored.array(name)) for name in stored.names)


class _Held:
    """The numbers of files, read when asked for, and the last few held."""

    def __init__(self, read: Callable[[Path], State], paths: Sequence[Path]) -> None:
        self._read, self._paths = read, paths
        self._held: OrderedDict[int, State] = OrderedDict()

    def __call__(self, place: int) -> State:
        if place in self._held:
            self._held.move_to_end(place)
            return self._held[place]
        path = self._paths[place]
        if not path.exists():
            raise InputError("was sketched and is gone", path, "Bring it back, or begin another --db without it")
        if len(self._held) >= HELD:
            self._held.popitem(last=False)
        return self._held.setdefault(place, self._read(path))
