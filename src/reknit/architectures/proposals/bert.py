"""BERT-like encoders that the shapes of a pile suggest.

The stream's width is the length of most vectors; a layer is taken out of the pile as often as it will go, and what is
left has to be embeddings and heads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import permutations, product

from reknit.architectures.configs.bert import BertConfig
from reknit.architectures.proposals.transformers import tables_of, unusual, usual_heads
from reknit.architectures.shape_pile import Pile, entry, kernels, matrices, partners, repeated, take, vectors, widths


def propose_bert(pile: Pile) -> Iterator[BertConfig]:
    """BERT-like encoders."""
    if kernels(pile):
        return
    for width in widths(pile, 11):
        square, vector = (width, width), (width,)
        for hidden in partners(pile, width):
            layer = Counter({square: 4, vector: 9}) + Counter({entry((hidden, width)): 2}) + Counter({(hidden,): 1})
            for layers, left in repeated(pile, layer):
                sizes = {"layers": layers, "width": width, "heads": usual_heads(width), "hidden": hidden}
                for pooler, mlm_head in product((True, False), repeat=2):
                    dense = pooler + mlm_head
                    rest = take(left, Counter({square: dense, vector: 2 + dense + 2 * mlm_head}))
                    if rest is not None:
                        yield from _bert_tops(rest, sizes | {"pooler": pooler, "mlm_head": mlm_head})


def _bert_tops(rest: Pile, known: dict[str, int | bool]) -> Iterator[BertConfig]:
    """Embeddings and heads out of what the layers left."""
    numbered = [None, *(shape[1] for shape in matrices(rest) if shape[0] == 1)]
    for positions in numbered:
        left = rest if positions is None else take(rest, {(1, positions): 1})
        if left is None or any(known["width"] not in shape for shape in matrices(left)):
            continue
        tables = tables_of(left, int(known["width"]))
        for vocab, heads, others in _bert_heads(tables, vectors(left), bool(known["mlm_head"])):
            if heads and not known["pooler"]:
                continue
            named = _named_heads(heads, bool(known["mlm_head"]))
            for sizes in _embedding_sizes(vocab, others):
                if positions in {None, sizes["positions"]}:
                    yield BertConfig(**known, **sizes, **named, position_ids=positions is not None)  # type: ignore[arg-type]


def _bert_heads(
    tables: Counter[int], biases: Counter[int], mlm_head: bool
) -> Iterator[tuple[int | None, list[int], list[int]]]:
    """(vocabulary if the masked-token head tells it, sizes of the heads, rows of the other embeddings)."""
    if not mlm_head:
        if not biases - tables:
            yield None, sorted(biases.elements()), sorted((tables - biases).elements())
        return
    for vocab in sorted((size for size in tables if biases[size]), reverse=True):
        for decoders, keys in product((1, 0), (2, 1)):  # the usual first: large vocabularies, few other heads
            if tables[vocab] <= decoders or biases[vocab] < keys:
                continue
            own, left = biases - Counter({vocab: keys}), tables - Counter({vocab: 1 + decoders})
            if not own - left:
                yield vocab, sorted(own.elements()), sorted((left - own).elements())


def _named_heads(sizes: list[int], mlm_head: bool) -> dict[str, object]:
    """Heads on the pooled token by the names they usually have; shapes tell none."""
    if not mlm_head and len(sizes) == 1:
        return {"classes": sizes[0]}
    if mlm_head and sizes == [2]:
        return {"pooled_heads": (("seq_relationship", 2),)}
    return {"pooled_heads": tuple((f"head_{number}", size) for number, size in enumerate(sizes, 1))}


def _embedding_sizes(vocab: int | None, rows: list[int]) -> list[dict[str, int]]:
    """Which embedding has which number of rows, the usual first: shapes do not tell."""
    names = ("positions", "token_types") if vocab is not None else ("vocab", "positions", "token_types")
    known = {} if vocab is None else {"vocab": vocab}
    if not len(names) - 1 <= len(rows) <= len(names):
        return []
    found = [known | {"token_types": 0} | dict(zip(names, order, strict=False)) for order in set(permutations(rows))]
    return sorted(found, key=unusual)
