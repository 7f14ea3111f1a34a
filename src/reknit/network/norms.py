"""Parameter-free norms over the last axis: value and vector-Jacobian product.

``none``: x. ``layer``: (x - mean) / sqrt(var + eps), the biased variance, as ``torch.nn.LayerNorm`` without affine
parameters. ``rms``: x / sqrt(mean(x^2) + eps), as ``torch.nn.RMSNorm`` without affine parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from reknit.errors import UsageError

Rows = Float[np.ndarray, "*rows width"]
Means = Float[np.ndarray, "*rows 1"]


@dataclass(frozen=True)
class Norm:
    """One parameter-free norm.

    Attributes:
        name: the name used in the command line and in ``config.json``.
        eps: what is added under the root; torch's default for that norm in float32.
        value: (x, eps) -> N(x), over the last axis.
        pullback: (x, eps, g) -> g times the Jacobian of N at x.
    """

    name: str
    eps: float
    value: Callable[[Rows, float], Rows]
    pullback: Callable[[Rows, float, Rows], Rows]


def _mean_square(x: Rows) -> Means:
    return np.asarray(np.einsum("...i,...i->...", x, x)[..., None] / x.shape[-1])


def _centred(x: Rows) -> Rows:
    centred = x - x.mean(-1, keepdims=True)
    centred -= centred.mean(-1, keepdims=True)  # what rounding left of a mean that is large beside the deviations
    return np.asarray(centred)


def _layer(x: Rows, eps: float) -> Rows:
    centred = _centred(x)
    centred /= np.sqrt(_mean_square(centred) + eps)
    return centred


def _layer_pullback(x: Rows, eps: float, g: Rows) -> Rows:
    centred = _centred(x)
    scale = 1 / np.sqrt(_mean_square(centred) + eps)
    normed = centred * scale
    return np.asarray(scale * (g - g.mean(-1, keepdims=True) - normed * (g * normed).mean(-1, keepdims=True)))


def _rms(x: Rows, eps: float) -> Rows:
    return np.asarray(x / np.sqrt(_mean_square(x) + eps))


def _rms_pullback(x: Rows, eps: float, g: Rows) -> Rows:
    scale = 1 / np.sqrt(_mean_square(x) + eps)
    normed = x * scale
    return np.asarray(scale * (g - normed * (g * normed).mean(-1, keepdims=True)))


NORMS: dict[str, Norm] = {
    n.name: n
    for n in (
        Norm("none", 0.0, lambda x, _: x, lambda _x, _eps, g: g),
        Norm("layer", 1e-5, _layer, _layer_pullback),
        Norm("rms", float(np.finfo(np.float32).eps), _rms, _rms_pullback),
    )
}


def norm(name: str) -> Norm:
    """Look a norm up by name; an unknown name lists the choices."""
    try:
        return NORMS[name]
    except KeyError:
        raise UsageError(f"there is no norm {name!r}", "--norm", f"Choose one of {', '.join(NORMS)}") from None
