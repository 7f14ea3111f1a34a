"""Mantel's test on the Grams of one axis: evidence that laundering of the other axis cannot touch.

Rows of A (h units x p features) are brought to length 1; G = A A^T holds the cosines of the units among themselves. G
is the same however the features are permuted, given signs, or rotated; and those of the columns, the same for
whatever is done so to the rows. The statistic is the correlation of the entries of G_A and G_B off the diagonal;
under the assumptions of ``fixed_points`` relabelling the units of A changes nothing in law, so

    T_pi = corr of G_A[pi(i), pi(j)] and G_B[i, j],  i != j

(Mantel, "The detection of disease clustering and a generalized regression approach" (1967), PMID 6018555) gives an
exact p by ``monte_carlo``, floor 1 / (draws + 1). Tested against all h! relabellings for small h.

Of more than ``MOST`` units as many are drawn (``some``), the same labels in A and B: relabelling those alone is as
exact. Cost: draws x MOST^2 gathers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from reknit.kinship.monte_carlo import Drawn, monte_carlo

Gram = Float[np.ndarray, "units units"]
MOST = 128


def gram(*tables: Float[np.ndarray, "units features"]) -> Gram:
    """Cosines of the rows among themselves, of tables that stand side by side."""
    products = sum(rows @ rows.T for rows in tables)
    lengths = np.sqrt(np.diag(products))
    safe = np.where(lengths > 0, lengths, 1.0)
    return np.asarray(products / safe / safe[:, None])


def some(size: int, rng: np.random.Generator) -> Int[np.ndarray, " kept"]:
    """Units that are compared: all, or ``MOST`` drawn ones in rising order."""
    return np.arange(size) if size <= MOST else np.sort(rng.choice(size, MOST, replace=False))


def mantel(grams: Sequence[tuple[Gram, Gram]], draws: int, rng: np.random.Generator) -> Drawn:
    """The mean correlation of pairs of Grams off the diagonal, and those under relabellings of the first of each pair.

    Args:
        grams: of A and B, symmetric; the diagonal is not looked at. At least 3 units, the same in all. Several pairs
            (raw and balanced weights) are moved by the same relabelling: one test.
        draws: N.
        rng: draws the relabellings.

    >>> g = gram(np.random.default_rng(0).normal(size=(30, 8)))
    >>> found = mantel([(g, g)], 99, np.random.default_rng(1))
    >>> round(found.statistic, 6), found.log10_p
    (1.0, -2.0)
    """
    size = len(grams[0][0])
    pairs = [(_standardised(a), _standardised(b)) for a, b in grams]

    def statistics(orders: Int[np.ndarray, "draws units"]) -> Float[np.ndarray, " draws"]:
        places = orders[:, :, None] * size + orders[:, None, :]
        return np.asarray(
            sum(a.reshape(-1)[places].reshape(len(orders), -1) @ b.reshape(-1) for a, b in pairs) / len(pairs)
        )

    return monte_carlo(statistics, size, draws, rng)


def _standardised(g: Gram) -> Gram:
    """Entries off the diagonal with mean 0 and square sum 1; the diagonal 0. Constant ones become 0."""
    off = ~np.eye(len(g), dtype=bool)
    centred = np.where(off, g - g[off].mean(), 0.0)
    norm = float(np.linalg.norm(centred))
    return np.asarray(centred / norm if norm > 1e-12 * len(g) else np.zeros_like(centred))
