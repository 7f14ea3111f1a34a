"""Llama-like decoders that the shapes of a pile suggest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from math import gcd

from reknit.architectures.configs.llama import LlamaConfig
from reknit.architectures.proposals.transformers import divisors, tables_of, usual_head_size
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
                tables = tables_of(rest, width)
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
