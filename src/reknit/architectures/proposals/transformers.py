"""GPT-2-like, BERT-like and Llama-like nets that the shapes of a pile suggest.

The stream's width is the length of most vectors; a layer is taken out of the pile as often as it will go, and what is
left has to be embeddings and heads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import permutations, product
from math import gcd

from reknit.architectures.configs.bert import BertConfig
from reknit.architectures.configs.gpt2 import Gpt2Config
from reknit.architectures.configs.llama import LlamaConfig
from reknit.architectures.shape_pile import (
    Pile,
    Shape,
    entry,
    kernels,
    matrices,
    partners,
    repeated,
    take,
    vectors,
    widths,
)

HEAD_SIZES = (64, 128, 32, 96, 80, 48, 16)
"""What is taken for the size of a head where nothing says it: the first that fits."""


def divisors(number: int) -> list[int]:
    """All, rising.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    return [each for each in range(1, number + 1) if number % each == 0]


def usual_heads(width: int) -> int:
    """The number of heads that is taken where nothing says it."""
    return next((width // size for size in HEAD_SIZES if width % size == 0), 1)


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
        tables = _tables(left, int(known["width"]))
        for vocab, heads, others in _bert_heads(tables, vectors(left), bool(known["mlm_head"])):
            if heads and not known["pooler"]:
                continue
            named = _named_heads(heads, bool(known["mlm_head"]))
            for sizes in _embedding_sizes(vocab, others):
                if positions in {None, sizes["positions"]}:
                    yield BertConfig(**known, **sizes, **named, position_ids=positions is not None)  # type: ignore[arg-type]


def _tables(pile: Pile, width: int) -> Counter[int]:
    """Number of rows -> how many matrices of that many rows read or write the stream."""
    found: Counter[int] = Counter()
    for shape, number in matrices(pile).items():
        found[shape[1] if shape[0] == width else shape[0]] += number
    return found


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
    return sorted(found, key=_unusual)


def _unusual(sizes: dict[str, int]) -> tuple[bool, bool, int, int]:
    """Few token types, positions a power of two, a large vocabulary: small for what is usual."""
    positions, types = sizes["positions"], sizes.get("token_types", 0)
    is_power = positions >= 16 and positions & (positions - 1) == 0
    return types > 4, not is_power, -sizes["vocab"], positions


def propose_gpt2(pile: Pile) -> Iterator[Gpt2Config]:
    """GPT-2-like decoders; matrices are taken for outputs x inputs, which the fit puts right."""
    masks = {shape[2] for shape in kernels(pile) if len(shape) == 4 and shape[:2] == (1, 1) and shape[2] == shape[3]}
    if len(masks) != len(kernels(pile)) or len(masks) > 1:
        return
    for width, fused, bias in product(widths(pile, 3), (True, False), (True, False)):
        for hidden in partners(pile, width):
            layer: Counter[Shape] = Counter({(width, width): 1 if fused else 4, (width,): 6 if bias else 2})
            layer[entry((hidden, width))] += 2
            if fused:
                layer[entry((3 * width, width))] += 1
            if bias:
                layer.update({(hidden,): 1})
                layer.update({(3 * width,): 1} if fused else {(width,): 3})
            for mask in masks:
                layer.update({(1, 1, mask, mask): 1, (): 1})
            for layers, left in repeated(pile, layer):
                rest = take(left, {(width,): 2 if bias else 1})
                if rest is None or vectors(rest) or any(width not in shape for shape in matrices(rest)):
                    continue
                for vocab, positions in _decoder_tables(_tables(rest, width), masks):
                    yield Gpt2Config(
                        layers=layers,
                        width=width,
                        heads=usual_heads(width),
                        hidden=hidden,
                        vocab=vocab,
                        positions=positions,
                        fused=fused,
                        transposed=False,
                        bias=bias,
                        masks=bool(masks),
                    )


def _decoder_tables(tables: Counter[int], masks: set[int]) -> list[tuple[int, int]]:
    """(vocabulary, positions) of a decoder whose head may be a second table of the vocabulary."""
    rows = sorted(tables.elements())
    if not 2 <= len(rows) <= 3:
        return []
    pairs = {(vocab, positions) for vocab, positions in permutations(rows, 2)}
    if len(rows) == 3:
        pairs = {(vocab, positions) for vocab, positions in pairs if Counter((vocab, vocab, positions)) == tables}
    if masks:
        pairs = {(vocab, positions) for vocab, positions in pairs if positions in masks}
    return sorted(pairs, key=lambda pair: _unusual({"vocab": pair[0], "positions": pair[1]}))


def propose_llama(pile: Pile) -> Iterator[LlamaConfig]:
    """Llama-like decoders."""
    if kernels(pile):
        return
    for width in widths(pile, 3):
        for asking, asked, hidden in product(partners(pile, width), repeat=3):
            if asking % asked == 0:
                yield from _llamas(pile, width, asking, asked, hidden)


def _llamas(pile: Pile, width: int, asking: int, asked: int, hidden: int) -> Iterator[LlamaConfig]:
    lengths = sorted(vectors(pile))
    common = gcd(asking, asked)
    sizes = [size for size in divisors(common) if size % 2 == 0]
    for qkv_bias, out_bias, mlp_bias in product((False, True), repeat=3):
        base: Counter[Shape] = Counter({(width,): 2 + out_bias + mlp_bias})
        for size, number in ((asking, 2), (asked, 2), (hidden, 3)):
            base[entry((size, width))] += number
        if qkv_bias:
            base.update({(asking,): 1})
            base.update({(asked,): 2})
        if mlp_bias:
            base.update({(hidden,): 2})
        for normed, turned in product(
            [0, *(s for s in sizes if s in lengths)], [0, *(s for s in sizes if s // 2 in lengths)]
        ):
            if normed and turned and normed != turned:
                continue
            layer = base.copy()
            if normed:
                layer.update({(normed,): 2})
            if turned:
                layer.update({(turned // 2,): 1})
            size = normed or turned or usual_head_size(sizes)
            if not size:
                continue
            for layers, left in repeated(pile, layer):
                rest = take(left, {(width,): 1})
                if rest is None or vectors(rest) or any(width not in shape for shape in matrices(rest)):
                    continue
                tables = _tables(rest, width)
                if len(tables) == 1 and tables.total() <= 2:
                    yield LlamaConfig(
                        layers=layers,
                        width=width,
                        heads=asking // size,
                        kv_heads=asked // size,
                        head_size=0 if asking == width else size,
                        hidden=hidden,
                        vocab=next(iter(tables)),
                        qkv_bias=qkv_bias,
                        out_bias=out_bias,
                        mlp_bias=mlp_bias,
                        qk_norm=bool(normed),
                        tied=True,
                        frequencies=bool(turned),
                    )


def usual_head_size(sizes: list[int]) -> int:
    """The size of a head that is taken where nothing says it; 0 where there is none."""
    return next((size for size in (128, *HEAD_SIZES) if size in sizes), max(sizes, default=0))
