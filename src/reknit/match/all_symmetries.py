"""Weight matching modulo everything that a unit may do: be permuted, scaled by a positive factor, turned in sign.

Both networks are balanced (``gauges``), then matched; where signs are free, once as they are and once by magnitudes,
which no sign can change; signs are found for either, the matching is refined behind them, and the nearer one is kept.
That starts anew from what was found until nothing gains, so that matching what was matched leaves it as it is.
What is returned takes the right network into the left one's basis and scales.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reknit.match.asking import answers_to_noise
from reknit.match.computing import Computer
from reknit.match.gauges import balanced, nearest_signs
from reknit.match.unit_similarity import Weighing
from reknit.match.weight_matching import WeightMatching, as_it_came, gains, match_weights
from reknit.skeleton.scaling import ScaleClass, find_scale_classes
from reknit.skeleton.symmetry import Symmetry

ROUNDS = 20


def scale_classes(computer: Computer, seed: int = 0) -> tuple[ScaleClass, ...]:
    """What may be scaled with what in the module of a skeleton, asked with noise for inputs."""
    return find_scale_classes(computer.skeleton, answers_to_noise(computer, seed), seed=seed)


def match_all(
    computer: Computer,
    left: Mapping[str, np.ndarray],
    right: Mapping[str, np.ndarray],
    *,
    weighing: Weighing = "standardised",
    seed: int = 0,
) -> WeightMatching:
    """Bring the right network into the left one's basis, by permutations, factors and signs.

    Args:
        computer: of the module of both; it is asked which factors leave its function as it is.
        left: slot -> numbers; stays as it is.
        right: slot -> numbers.
        weighing: in which units tensors are compared.
        seed: see ``match_weights``.
    """
    skeleton = computer.skeleton
    classes = scale_classes(computer)
    gauges = [balanced(skeleton, classes, each) for each in (left, right)]
    first, second = (gauge.apply(_doubled(each)) for gauge, each in zip(gauges, (left, right), strict=True))
    if any(each.factors == "sign" for each in classes):
        best = _signs_again(computer, classes, first, second, weighing, seed)
    else:
        best = match_weights(skeleton, first, second, weighing=weighing, seed=seed)
    return replace(best, symmetry=gauges[1].then(best.symmetry).then(gauges[0].inverse()))


def _signs_again(
    computer: Computer,
    classes: Sequence[ScaleClass],
    left: Mapping[str, np.ndarray],
    right: Mapping[str, np.ndarray],
    weighing: Weighing,
    seed: int,
) -> WeightMatching:
    """Permutations and signs of balanced networks, from what was found as long as that gains."""
    skeleton = computer.skeleton
    best = as_it_came(skeleton, left, right, weighing)
    for _ in range(ROUNDS):
        moved = best.symmetry.apply(dict(right))
        tried = [
            match_weights(skeleton, left, moved, weighing=weighing, seed=seed),
            match_weights(skeleton, _magnitudes(left), _magnitudes(moved), seed=seed),
        ]
        ends = [_with_signs(computer, classes, left, moved, each, weighing, seed) for each in tried]
        found = max(ends, key=lambda each: each.objective)
        if not gains(found.objective, best.objective):
            break
        best = replace(found, symmetry=best.symmetry.then(found.symmetry))
    return best


def _with_signs(
    computer: Computer,
    classes: Sequence[ScaleClass],
    left: Mapping[str, np.ndarray],
    right: Mapping[str, np.ndarray],
    found: WeightMatching,
    weighing: Weighing,
    seed: int,
) -> WeightMatching:
    """The signs behind a matching, and the matching refined behind the signs."""
    moved = found.symmetry.apply(dict(right))
    turned = found.symmetry.then(nearest_signs(computer.skeleton, classes, left, moved))
    start = Symmetry(computer.skeleton, ())
    refined = match_weights(
        computer.skeleton, left, turned.apply(dict(right)), weighing=weighing, start=start, seed=seed
    )
    return replace(refined, symmetry=turned.then(refined.symmetry))


def _doubled(tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {key: value.astype(np.float64) if value.dtype.kind == "f" else value for key, value in tensors.items()}


def _magnitudes(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Absolute numbers less their mean, so that their differences count."""
    found = {}
    for key, value in tensors.items():
        size = np.abs(value)
        found[key] = size - size.mean() if size.size > 1 else size
    return found
