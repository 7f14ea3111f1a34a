"""When a place in a chain of units may be called certain.

A margin in nats takes the channels for independent and their errors for normal; neither is so, and a margin of many
channels is too large by their number. So a margin counts by the channel, and only where the statistics agree:

    margin >= max(LEAST, PER_CHANNEL * channels)    and    squared error of every entry of the unit <= ERROR

Calibrated on networks whose truth is known and on statistics dealt out anew (docs/evidence.md). It says nothing of
rearrangements that were not tried: two seats of different pools at once, for instance.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

LEAST = 10.0
PER_CHANNEL = 0.5
ERROR = 0.2


def certain(
    margins: Float[np.ndarray, "*places"],
    channels: Float[np.ndarray, "*places"],
    errors: Float[np.ndarray, "*places"],
) -> Bool[np.ndarray, "*places"]:
    """Whether each place is certain.

    Args:
        margins: in nats, by how much the best neighbour with something else there is worse.
        channels: of the tensor that stands there.
        errors: the largest squared error among the entries of its unit, in running variances.

    >>> certain(np.array([40.0, 40.0, 9.0]), np.array([32, 96, 8]), np.array([0.01, 0.01, 0.01])).tolist()
    [True, False, False]
    """
    return np.asarray((margins >= np.maximum(LEAST, PER_CHANNEL * channels)) & (errors <= ERROR))
