"""Scaled dot-product attention."""

from __future__ import annotations

from collections.abc import Hashable

from reknit.skeleton.calls import Call
from reknit.skeleton.rules.registry import rule
from reknit.skeleton.value import Value


@rule("scaled_dot_product_attention")
def attention(call: Call) -> Value:
    """``softmax(q k^T + mask) v``: heads run beside each other; with fewer heads in k and v, each serves several."""
    query, key, value = call.value("query"), call.value("key"), call.value("value")
    stack: list[Hashable] = list(range(query.rank - 2))
    queries: list[Hashable] = [*stack]
    if call.get("enable_gqa", False) and query.shape[-3] != key.shape[-3]:
        heads = key.shape[-3]
        query = call.split_axis(query, query.rank - 3, [heads, query.shape[-3] // heads])
        queries.append("shared")
    mask = call.optional("attn_mask")
    scores: list[Hashable] = [*queries, "to", "from"]
    found = call.joint(
        [
            (query, [*queries, "to", "query-key"]),
            (key, [*stack, "from", "query-key"]),
            (value, [*stack, "from", "value"]),
            (mask, [*stack, "to", "from"][-mask.rank :] if mask is not None else []),
        ],
        [*queries, "to", "value"],
        because="attention",
        within=[scores, [*queries, "to"]],
    )
    if call.get("is_causal", False):
        for each in (query, key):
            call.fix(each.dims[-2], "position: causal mask")
    if stack:
        call.word(found.get(stack[-1]), "groups of heads" if "shared" in queries else "heads")
    call.word(found.get("shared"), "heads")
    call.word(query.dims[-1], "query-key")
    call.word(found.get("value"), "value")
    dims = [found.get(label) for label in queries]
    if "shared" in queries:
        dims[-2:] = [call.merged(dims[-2:], query.shape[len(stack) - 1 : len(stack) + 1])]
    return call.result([*dims, found.get("to"), found.get("value")])
