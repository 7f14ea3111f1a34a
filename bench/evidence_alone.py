"""How often each kind of evidence is right on its own, with the places of all else known.

    python -m bench.evidence_alone NAME...

For transformers, a row for every kind and relation: the tensors of the right-hand slots are taken out and matched to
their left-hand partners by this score alone (linear assignment). With n slots at hand a matching drawn at random has
one right on average, whatever n. Where only one or two slots take part (ends), the column *first of the pool* counts
instead how often the true tensor scores highest among all tensors of its shape. For nets with BatchNorm see
``bench.evidence_alone_norms``. Names as in ``bench.solved_piles``; nets are added up.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.common import show
from bench.evidence_alone_norms import norm_counts
from bench.learn_evidence import joint
from bench.learn_vectors import pools
from bench.solved_piles import solved
from reknit.skeleton.skeleton import Skeleton
from reknit.solvers.assignment import best_matching
from reknit.wiring.joint import Joint, Relation
from reknit.wiring.vector_evidence import VectorScores, vector_scores

MATRICES: Mapping[str, tuple[str, ...]] = {
    "stream Grams, attention to the MLP behind it": ("gram attention out>in +1", "gram attention out>gate +1"),
    "stream Grams, MLP to the value behind it": ("gram out>value +1",),
    "stream Grams, MLP to the query behind it": ("gram out>query +1",),
    "stream Grams, likeness of values": ("gram value>value +2",),
    "stream Grams, likeness of MLP readers": ("gram in>in +2",),
    "stream Grams, likeness of MLP writers": ("gram out>out +2",),
    "stream Grams, last MLP to an end": ("gram end>out -1",),
    "stream Grams, an end to the tied embedding": ("gram end>source -1",),
    "stream Grams, an end to the heads behind it": ("gram head>pooled +0",),
    "product traces, in with out": ("trace in>out",),
    "product traces, gate with out": ("trace gate>out",),
    "product traces, value with attention out": ("trace value>attention out",),
    "product traces, query with key": ("trace query>key",),
    "unit Grams, in with out": ("unit gram in>out",),
    "unit Grams, gate with in": ("unit gram gate>in",),
    "unit Grams, value with attention out": ("unit gram value>attention out",),
    "unit Grams, query with key": ("unit gram query>key",),
    "unit norms, in with out": ("norms in>out",),
    "unit norms, gate with in": ("norms gate>in",),
    "unit norms, value with attention out": ("norms value>attention out",),
    "unit norms, query with key": ("norms query>key",),
}
VECTORS: Mapping[str, tuple[str, str, int]] = {
    "amplified directions, bias of in": ("amplified own", "in bias", 1),
    "amplified directions, bias of out": ("amplified own", "out bias", 1),
    "amplified directions, bias of value": ("amplified own", "value bias", 1),
    "amplified directions, bias of query": ("amplified own", "query bias", 1),
    "amplified directions, bias of key": ("amplified own", "key bias", 1),
    "amplified directions, shift before an MLP": ("amplified readers", "shift before mlp", 1),
    "amplified directions, shift before attention": ("amplified readers", "shift before attention", 1),
    "vector strengths, bias of in": ("strengths own", "in bias", 1),
    "vector strengths, gain before an MLP": ("signed strengths readers", "gain before mlp", 1),
    "vector strengths, gain before attention": ("signed strengths readers", "gain before attention", 1),
    "vector sums, shift before an MLP": ("sums readers", "shift before mlp", -1),
    "vector sums, shift before attention": ("sums readers", "shift before attention", -1),
    "vector values, lean of gains": ("lean", "gain", 1),
    "vector values, smallness of key biases": ("size", "key bias", -1),
}


@dataclass
class Count:
    """How many were right, of how many, and what chance gives."""

    right: int = 0
    slots: int = 0
    chance: float = 0.0
    first: int = 0
    ranked: int = 0
    among: int = 0

    def add(self, right: int, slots: int) -> None:
        """One matching."""
        self.right, self.slots, self.chance = self.right + right, self.slots + slots, self.chance + 1


def matched(scores: np.ndarray, rng: np.random.Generator) -> int:
    """How many of the diagonal a matching takes, with ties broken by chance."""
    order = rng.permutation(len(scores))
    return int((order[best_matching(scores[:, order])] == np.arange(len(scores))).sum())


def of_relation(pile: Joint, relation: Relation, count: Count, rng: np.random.Generator) -> None:
    """Partners matched among themselves, and the true one's rank in its pool."""
    spots = pile.problem({}).spots
    left, right = np.array(relation.pairs).T
    table = relation.scores[np.ix_(spots[left], spots[right])].copy()
    table[left[:, None] == right[None, :]] = -np.inf  # a tensor is not its own neighbour
    if len(set(left)) == len(set(right)) == len(left) > 1:
        count.add(matched(np.where(np.isfinite(table), table, -1e3), rng), len(left))
    whole = relation.scores[:, spots[right]]
    for k in range(len(left)):
        column, own = whole[:, k], whole[spots[left[k]], k]
        above, same = int((column > own).sum()), int((column == own).sum())
        count.first += int(above == 0 and rng.integers(same) == 0)
        count.ranked, count.among = count.ranked + 1, count.among + len(column)


def of_vectors(skeleton: Skeleton, tensors: Mapping[str, np.ndarray], counts: Mapping[str, Count], seed: int) -> None:
    """Vectors of one kind matched to their slots; values tell a kind from the rest of its pool."""
    rng = np.random.default_rng(seed)
    for pool in pools(skeleton, tensors):
        scores = vector_scores(
            skeleton, pool.slots, np.stack([tensors[key] for key in pool.tensors]), tensors.__getitem__
        )
        spot = {slot: k for k, slot in enumerate(pool.slots)}
        for label, (measure, kind, sign) in VECTORS.items():
            if measure in ("lean", "size"):
                of_values(scores, spot, counts[label], (measure, kind, sign), rng)
                continue
            slots = [s for s, said in scores.items() if said.slot.kind.removeprefix("post ") == kind]
            rows = [scores[s].scores.get(f"{measure}, {kind}") for s in slots]
            if len(slots) > 1 and all(row is not None for row in rows):
                table = sign * np.stack([row for row in rows if row is not None])[:, [spot[s] for s in slots]]
                counts[label].add(matched(table, rng), len(slots))


def of_values(
    scores: Mapping[str, VectorScores],
    spot: Mapping[str, int],
    count: Count,
    asked: tuple[str, str, int],
    rng: np.random.Generator,
) -> None:
    """How many tensors of a part are among the first of their pool, as many as there are."""
    measure, kind, sign = asked
    slots = [s for s, said in scores.items() if kind in (said.slot.kind, said.slot.part)]
    if not slots or len(slots) == len(spot):
        return
    row = sign * scores[slots[0]].scores[f"{measure}, {kind}"]
    top = np.lexsort((rng.random(len(row)), -row))[: len(slots)]
    count.right += len({spot[s] for s in slots} & set(top.tolist()))
    count.slots += len(slots)
    count.chance += len(slots) ** 2 / len(spot)


def counts_of(names: Sequence[str]) -> dict[str, Count]:
    """All counts, over these nets."""
    counts = {label: Count() for label in (*MATRICES, *VECTORS)}
    for k, name in enumerate(names):
        pile = joint(name)
        for relation in pile.relations:
            for label, keys in MATRICES.items():
                if relation.key in keys:
                    of_relation(pile, relation, counts[label], np.random.default_rng([k, len(relation.pairs)]))
        of_vectors(*solved(name), counts, k)
    return counts


def main(names: Sequence[str]) -> None:
    """The table."""
    with_norms = [name for name in names if name.split("-")[0] in ("spliceai", "efficientnet", "preact")]
    counts = counts_of([name for name in names if name not in with_norms])
    head = ("evidence", "matched", "by chance", "first of the pool", "by chance ")
    rows = [
        [
            label,
            f"{count.right} of {count.slots}" if count.slots else None,
            f"{count.chance:.1f}" if count.slots else None,
            f"{count.first} of {count.ranked}" if count.ranked else None,
            f"{count.ranked**2 / count.among:.1f}" if count.ranked else None,
        ]
        for label, count in counts.items()
        if count.slots or count.ranked
    ]
    if rows:
        show(" ".join(name for name in names if name not in with_norms), head, rows)
    if with_norms:
        show(" ".join(with_norms), ("evidence", "matched", "by chance"), norm_counts(with_norms))


if __name__ == "__main__":
    main(sys.argv[1:])
