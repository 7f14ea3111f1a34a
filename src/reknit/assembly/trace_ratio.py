"""How strongly an in-layer and an out-layer look made for each other: the trace ratio of their product.

Source: Park, "I Dropped a Neural Net" (2026), arXiv:2602.19845, equation 1 (there: diagonal dominance ratio).
``d(i, j) = |tr(B_j A_i)| / ||B_j A_i||_F`` for the in-weight ``A_i`` [h, d] and the out-weight ``B_j`` [d, h].

| paper            | here                |
|------------------|---------------------|
| W_in of block i  | ``stack.in_weight[i]``  |
| W_out of block j | ``stack.out_weight[j]`` |
| d(i, j)          | ``trace_ratio(stack)[i, j]`` |

Where we depart: the n^2 products are never formed. Both parts are inner products of matrices of which there are only n:
``tr(B A) = <B^T, A>`` and ``||B A||_F^2 = <A A^T, B^T B>``.
Cost: 4 n h^2 d + 2 n^2 (h d + h^2) flops in float64, and 2 n h^2 numbers; on the puzzle 10 ms.
Known flaws: it sees only what survives as a multiple of the identity. Blocks trained little, or on narrow regression,
leave 1 to 18 of 24 pairs to it; hidden units permuted on one side only leave none.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from reknit.network.stack import Stack


def trace_ratio(stack: Stack) -> Float[np.ndarray, "blocks blocks"]:
    """The trace ratio of every in-layer (rows) with every out-layer (columns); 0 where the product vanishes.

    Between 0 and sqrt(d), the value of a multiple of the identity; about 1 at most for a pair of strangers.

    Use the scores of ``reknit.assemble`` when data are at hand or the network is not a deep, well-trained one.
    """
    inner = stack.in_weight.astype(np.float64)
    outer = stack.out_weight.astype(np.float64)
    n = len(inner)
    traces = inner.reshape(n, -1) @ outer.transpose(0, 2, 1).reshape(n, -1).T
    read = np.matmul(inner, inner.transpose(0, 2, 1)).reshape(n, -1)
    write = np.matmul(outer.transpose(0, 2, 1), outer).reshape(n, -1)
    norms = np.sqrt(np.maximum(read @ write.T, 0.0))
    return np.asarray(np.abs(traces) / np.where(norms > 0, norms, np.inf), dtype=np.float64)
