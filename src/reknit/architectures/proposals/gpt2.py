"""GPT-2-like decoders that the shapes of a pile suggest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import permutations, product

from reknit.architectures.configs.gpt2 import Gpt2Config
from reknit.architectures.proposals.transformers import tables_of, unusual, usual_heads
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
                for vocab, positions in _decoder_tables(tables_of(rest, width), masks):
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
    return sorted(pairs, key=lambda pair: unusual({"vocab": pair[0], "positions": pair[1]}))
