"""When a place in a chain of units may be called certain.

A margin in nats takes the channels for independent and their errors for normal; neither is so, and a margin of many
channels is too large by their number. So a margin counts by the channel, and only where the statistics of the whole
chain agree with the weights; a chain with one piece that is not its own has an error that shows, and the places next to
it may look well:

    margin >= max(LEAST, PER_CHANNEL * channels)    and    every squared error of the chain <= ERROR

Calibrated on networks whose truth is known and on statistics dealt out anew (docs/evidence.md). Only for chains whose
norms came as pieces: with loose vectors, margins far above these were seen at wrong places. It says nothing of
rearrangements that were not tried, and nothing against statistics exchanged between norms whose gammas and betas are
all alike.
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
    errors: Float[np.ndarray, " entries"],
) -> Bool[np.ndarray, "*places"]:
    """Whether each place is certain.

    Args:
        margins: in nats, by how much the best neighbour with something else there is worse.
        channels: of the tensor that stands there.
        errors: the squared errors of the chain's entries, in running variances.

    >>> certain(np.array([40.0, 40.0, 9.0]), np.array([32, 96, 8]), np.array([0.01, 0.02])).tolist()
    [True, False, False]
    >>> certain(np.array([40.0]), np.array([32]), np.array([0.01, 0.3])).tolist()
    [False]
    """
    agree = bool(errors.max(initial=0.0) <= ERROR)
    return np.asarray(agree & (margins >= np.maximum(LEAST, PER_CHANNEL * channels)))
