"""One objective over all matrices on a stream: who fits where, given where all others are.

Every pair of faces at depths p and q, of kinds K and L, adds ``weight[evidence, K, L, q - p] * score(a, b)`` for the
tensors a and b placed there. The weights were learned from solved piles (``learned.json``; ``bench/learn_evidence.py``
says from which); the scores are those of ``reknit.evidence``, standardised within the pile.
"""

from __future__ import annotations

import itertools
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from reknit.evidence.product_traces import excess, trace_ratios
from reknit.evidence.standardise import standardised
from reknit.evidence.stream_grams import gram_correlations, gram_direction, noise
from reknit.evidence.unit_grams import unit_gram_scores
from reknit.evidence.unit_norms import strength_correlations, unit_strengths
from reknit.skeleton.skeleton import Skeleton
from reknit.solvers.quadratic_assignment import Ladder, Problem, Term
from reknit.wiring.faces import Face, find_faces
from reknit.wiring.layout import Layout, gathered, layout_of, shared_labels

Weights = Mapping[str, float]
LAGS = 6  # sub-blocks apart at most


@dataclass(frozen=True)
class Relation:
    """Pairs of places that one kind of evidence speaks about, and the scores of all pairs of tensors for them.

    Attributes:
        key: what the weight is looked up by: ``gram query>value +2``.
        pairs: (place, place).
        scores: tensors of the first place's pool x tensors of the second's.
    """

    key: str
    pairs: tuple[tuple[int, int], ...]
    scores: Float[np.ndarray, "left right"]


class Joint:
    """The objective of one pile.

    Args:
        skeleton: what is to be filled.
        keys: the slots that are placed here, all with two axes or more.
        tensors: as many; tensor k has the shape of slot k.
    """

    def __init__(self, skeleton: Skeleton, keys: Sequence[str], tensors: Sequence[Float[np.ndarray, ...]]) -> None:
        self.skeleton = skeleton
        self.keys = tuple(keys)
        self.tensors = tuple(np.asarray(tensor, dtype=np.float32) for tensor in tensors)
        self.place = {key: k for k, key in enumerate(self.keys)}
        self.faces = tuple(face for face in find_faces(skeleton) if face.slot in self.place)
        shapes = {shape: k for k, shape in enumerate(dict.fromkeys(tensor.shape for tensor in self.tensors))}
        self.pool = np.array([shapes[tensor.shape] for tensor in self.tensors])
        self._grams: dict[tuple[int, Layout, bool], Float[np.ndarray, " entries"]] = {}

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        """All evidence there is, kind by kind."""
        return (*self._stream_relations(), *self._unit_relations())

    def problem(self, weights: Weights) -> Problem:
        """The quadratic assignment with these weights; relations without a weight count for nothing."""
        grouped: dict[tuple[int, int, int], list[tuple[float, Relation]]] = defaultdict(list)
        for relation in self.relations:
            weight = weights.get(relation.key, 0.0)
            if weight:
                first, second = relation.pairs[0]
                grouped[id(relation.scores), int(self.pool[first]), int(self.pool[second])].append((weight, relation))
        return Problem(self.pool, tuple(self._term(found) for found in grouped.values()), ladders=self.ladders)

    def _term(self, found: Sequence[tuple[float, Relation]]) -> Term:
        pairs = [(s, t, weight) for weight, relation in found for s, t in relation.pairs]
        rows = sorted({s for s, _, _ in pairs})
        columns = sorted({t for _, t, _ in pairs})
        table = np.zeros((len(rows), len(columns)))
        row, column = {s: k for k, s in enumerate(rows)}, {t: k for k, t in enumerate(columns)}
        for s, t, weight in pairs:
            table[row[s], column[t]] += weight
        return Term(np.array(rows), np.array(columns), table, found[0][1].scores)

    def _members(self, place: int) -> Int[np.ndarray, " members"]:
        return np.flatnonzero(self.pool == self.pool[place])

    def _gram(self, item: int, layout: Layout, *, scrambled: bool = False) -> Float[np.ndarray, " entries"]:
        if (item, layout, scrambled) not in self._grams:
            matrix = layout.by_stream(self.tensors[item])
            if scrambled:
                matrix = matrix[np.random.default_rng(_seed(self.tensors[item])).permutation(len(matrix))]
            self._grams[item, layout, scrambled] = gram_direction(matrix)
        return self._grams[item, layout, scrambled]

    def _stream_relations(self) -> list[Relation]:
        """Gram chain and likeness in depth: every pair of faces on one stream, not too far apart."""
        scores: dict[tuple[Layout, Layout], Float[np.ndarray, "left right"]] = {}
        pairs: dict[tuple[str, Layout, Layout], list[tuple[int, int]]] = defaultdict(list)
        for first, second in itertools.combinations(self.faces, 2):
            lag = second.depth - first.depth
            if first.slot == second.slot or first.stream != second.stream or abs(lag) > LAGS:
                continue
            left, right = layout_of(self.skeleton, first), layout_of(self.skeleton, second)
            pairs[_gram_key(first, second), left, right].append((self.place[first.slot], self.place[second.slot]))
        for _, left, right in pairs:
            if (left, right) not in scores:
                scores[left, right] = self._gram_scores(left, right)
        return [Relation(key, tuple(found), scores[left, right]) for (key, left, right), found in pairs.items()]

    def _gram_scores(self, left: Layout, right: Layout) -> Float[np.ndarray, "left right"]:
        items = [[k for k, tensor in enumerate(self.tensors) if tensor.shape == side.shape] for side in (left, right)]
        first, second = ([self._gram(k, side) for k in item] for side, item in zip((left, right), items, strict=True))
        chance = noise(first, [self._gram(k, right, scrambled=True) for k in items[1]])
        return standardised(gram_correlations(first, second), chance, same=left.shape == right.shape)

    def _unit_relations(self) -> list[Relation]:
        """Product traces, unit norms and unit Grams: pairs of faces of one depth that share their innermost units."""
        found: dict[tuple[str, str, Layout, Layout], list[tuple[int, int]]] = defaultdict(list)
        parts: dict[tuple[str, str, Layout, Layout], tuple[Face, Face]] = {}
        for first, second in itertools.combinations(self.faces, 2):
            if not first.units or (first.units, first.depth) != (second.units, second.depth):
                continue
            if first.slot == second.slot or {first.kind, second.kind} & {"end", "source"}:
                continue
            left, right = layout_of(self.skeleton, first), layout_of(self.skeleton, second)
            case = (first.kind, second.kind, left, right)
            parts.setdefault(case, (first, second))
            found[case].append((self.place[first.slot], self.place[second.slot]))
        relations = []
        for case, places in found.items():
            first, second = parts[case]
            kinds = f"{first.kind}>{second.kind}"
            relations += [
                Relation(f"{name} {kinds}", tuple(places), scores) for name, scores in self._unit_scores(first, second)
            ]
        return relations

    def _unit_scores(self, first: Face, second: Face) -> list[tuple[str, Float[np.ndarray, "left right"]]]:
        left, right = layout_of(self.skeleton, first), layout_of(self.skeleton, second)
        labels = shared_labels(self.skeleton, first, second)
        sides = []
        seeds: list[int] = []
        for side, label, flipped in ((left, labels[0], False), (right, labels[1], first.reads != second.reads)):
            items = [tensor for tensor in self.tensors if tensor.shape == side.shape]
            sides.append([gathered(side.by_unit(tensor, flipped), label) for tensor in items])
            seeds = [_seed(tensor) for tensor in items]
        same = left.shape == right.shape
        strengths = [[unit_strengths(matrix) for matrix in side] for side in sides]
        chance = 1.0 / np.sqrt(max(len(strengths[0][0]) - 1, 1))  # of a correlation over so many units
        scores = [("norms", standardised(strength_correlations(*strengths), chance, same))]
        scores.append(("unit gram", unit_gram_scores(sides[0], sides[1], same, seeds)))
        if sides[0][0].shape == sides[1][0].shape:
            scores.append(("trace", excess(trace_ratios(*sides), same)))
        return scores

    @property
    def ladders(self) -> tuple[Ladder, ...]:
        """Blocks, sub-blocks and pairs of matrices that share units: what repeats in depth may move as a whole."""
        repeated = [slot for slot in map(self.skeleton.__getitem__, self.keys) if slot.index]
        blocks: dict[tuple[int, ...], dict[str, int]] = defaultdict(dict)
        for slot in repeated:
            blocks[slot.index][slot.family] = self.place[slot.key]
        depth_of = {face.slot: face.depth for face in self.faces}
        sets: set[frozenset[str]] = set()
        for places in blocks.values():
            keys = {family: self.keys[place] for family, place in places.items()}
            sets.add(frozenset(keys))
            for depth in {depth_of.get(key) for key in keys.values()}:
                sets.add(frozenset(family for family, key in keys.items() if depth_of.get(key) == depth))
            for units in {face.units for face in self.faces if face.slot in keys.values()}:
                inside = {face.slot for face in self.faces if face.units == units}
                sets.add(frozenset(family for family, key in keys.items() if key in inside))
        ladders = []
        for families in sorted(sets, key=sorted):
            rungs: dict[tuple[int, ...], list[list[int]]] = defaultdict(list)
            for _, places in sorted(blocks.items()):
                if families and families <= places.keys():
                    rung = [places[family] for family in sorted(families)]
                    rungs[tuple(int(self.pool[k]) for k in rung)].append(rung)
            ladders += [Ladder(np.array(rung)) for rung in rungs.values() if len(rung) > 1 and len(rung[0]) > 1]
        return tuple(ladders)


def _seed(tensor: Float[np.ndarray, ...]) -> int:
    """For shuffling its rows: neither the order of the pile nor sizes may matter."""
    return zlib.crc32((tensor > 0).tobytes())


def _gram_key(first: Face, second: Face) -> str:
    lag = second.depth - first.depth
    if first.kind > second.kind:
        first, second, lag = second, first, -lag
    if first.kind == second.kind:
        lag = abs(lag)
    return f"gram {first.kind}>{second.kind} {lag:+d}"
