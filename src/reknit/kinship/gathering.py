"""Many files: sketched, the likely pairs compared in full, and everything kept in a store for the next time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
        left_out: files that could not be read or compared -> why.
    """

    files: tuple[Path, ...]
    pairs: Mapping[Pair, PairEvidence]
    compared: int
    left_out: Mapping[Path, InputError] = field(default_factory=dict)


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
        InputError: nothing can be compared, because of the first file that cannot be read, does not fit or is not
            where it was. Where others can be, such files are left out.
    """
    new = []
    left_out: dict[Path, InputError] = {}
    for number, path in enumerate(files):
        told(f"sketch {number + 1} of {len(files)}")
        try:
            new.append(_known(store, path, seed))
        except InputError as error:
            left_out[path] = error
    known_files, sketches = store.files(), store.sketches()
    places = {number: place for place, number in enumerate(known_files)}
    paths = [Path(each) for each in known_files.values()]
    wanted = likely_pairs(list(sketches.values()), nearest=nearest, new=[places[number] for number in new])
    numbers = list(known_files)
    found = {(places[a], places[b]): kept for (a, b), kept in store.relations(options).items()}
    missing = [pair for pair in wanted if pair not in found]
    numbers_of = _Held(read, paths)
    done = 0
    for count, (a, b) in enumerate(missing):
        told(f"pair {count + 1} of {len(missing)}")
        both = (paths[a], paths[b])
        if not left_out.keys().isdisjoint(both):
            continue
        try:
            kept = compare(both, (numbers_of(a), numbers_of(b))).as_json(both)
        except InputError as error:
            left_out[_blamed(error, both)] = error
            continue
        store.keep((numbers[a], numbers[b]), options, kept)
        found[a, b] = kept
        done += 1
    if left_out and not found:
        raise next(iter(left_out.values()))
    pairs = {(a, b): from_json(found[a, b], (paths[a], paths[b])) for a, b in sorted(found)}
    return Gathered(tuple(paths), pairs, done, left_out)


def _known(store: Store, path: Path, seed: int) -> int:
    """The number of a file in the store, with its sketch there.

    Raises:
        ContainerError: it cannot be read.
    """
    stored = read_tensors(path)
    digest = stored.sha256
    known = store.find(digest, path)
    return store.add(digest, path, sketch(_named(stored), seed) if known is None else ())


def _blamed(error: InputError, both: tuple[Path, Path]) -> Path:
    """The file that an error speaks of.

    Raises:
        InputError: it speaks of neither: an option is wrong.
    """
    for path in both:
        if error.where == str(path):
            return path
    raise error


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
