"""Activations by name: value and derivative, elementwise.

An activation is a pair of functions over arrays of any shape. The derivative takes the pre-activation and the value,
because for some (tanh) the value alone gives it and for others (relu) it is cheaper from the pre-activation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from reknit.errors import UsageError

Array = Float[np.ndarray, "*shape"]


@dataclass(frozen=True)
class Activation:
    """One elementwise function.

    Attributes:
        name: the name used in the command line and in ``config.json``.
        value: z -> act(z).
        slope: (z, act(z)) -> act'(z); at a kink, the value torch's autograd uses.
    """

    name: str
    value: Callable[[Array], Array]
    slope: Callable[[Array, Array], Array]

    def pull(self, gradient: Array, z: Array, value: Array) -> Array:
        """The gradient times the slope; relu's mask is multiplied as it is, without a slope in floating point."""
        if self.name == "relu":
            return np.asarray(np.multiply(gradient, value > 0))
        return np.asarray(gradient * self.slope(z, value))

    def into(self, z: Array, out: Array) -> Array:
        """act(z) written into ``out``, which may be z itself; returns ``out``."""
        if self.name == "relu":
            np.maximum(z, _zeros(z.shape, z.dtype), out=out)
        elif self.name == "tanh":
            np.tanh(z, out=out)
        else:
            out[...] = self.value(z)
        return out


@lru_cache(maxsize=4)
def _zeros(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Zeros to hold an array against: numpy compares two arrays three times as fast as an array and a number."""
    zeros = np.zeros(shape, dtype)
    zeros.flags.writeable = False
    return zeros


def _sigmoid(z: Array) -> Array:
    with np.errstate(over="ignore"):  # far below zero the exponential is infinite and the quotient zero, as it should
        return np.asarray(1 / (1 + np.exp(-z)))


_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
"""Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), formula 7.1.26: erf to 1.5e-7."""


def _normal_share(z: Array) -> Array:
    """The share of a standard normal below z: exact in float64, to the rounding of float32 in float32.

    scipy takes as long in float32 as in float64, three times as long as this and longer than the products around it.
    """
    if z.dtype == np.float64:
        from scipy.special import ndtr  # loads scipy, which only the proof of a network with gelu needs

        return np.asarray(ndtr(z))
    t = np.abs(z)
    t *= 0.3275911 * math.sqrt(0.5)
    t += 1
    np.reciprocal(t, out=t)
    tail = t * _ERF[-1]
    for coefficient in _ERF[-2::-1]:
        tail += coefficient
        tail *= t
    np.multiply(z, z, out=t)
    t *= -0.5
    tail *= np.exp(t, out=t)
    tail *= -0.5
    tail += 0.5
    np.copysign(tail, z, out=tail)
    tail += 0.5
    return np.asarray(tail)


def _gelu(z: Array) -> Array:
    return np.asarray(z * _normal_share(z))


def _gelu_slope(z: Array, value: Array) -> Array:
    share = np.full_like(z, 0.5)
    np.divide(value, z, out=share, where=z != 0)  # a share anew would take three times as long
    density = np.exp(-0.5 * z * z)
    density *= z
    density /= math.sqrt(2 * math.pi)
    share += density
    return share


_SCALE, _CUBIC = math.sqrt(2 / math.pi), 0.044715


def _gelu_tanh(z: Array) -> Array:
    return np.asarray(0.5 * z * (1 + np.tanh(_SCALE * z * (1 + _CUBIC * z * z))))


def _gelu_tanh_slope(z: Array, _value: Array) -> Array:
    t = np.tanh(_SCALE * z * (1 + _CUBIC * z * z))
    return np.asarray(0.5 * (1 + t) + 0.5 * z * (1 - t * t) * _SCALE * (1 + 3 * _CUBIC * z * z))


def _silu_slope(z: Array, _value: Array) -> Array:
    gate = _sigmoid(z)
    return np.asarray(gate * (1 + z * (1 - gate)))


def _leaky_relu_slope(z: Array, _value: Array) -> Array:
    return np.asarray(np.where(z > 0, z.dtype.type(1), z.dtype.type(0.01)))


ACTIVATIONS: dict[str, Activation] = {
    a.name: a
    for a in (
        Activation("relu", lambda z: np.maximum(z, 0), lambda z, _: (z > 0).astype(z.dtype)),
        Activation("gelu", _gelu, _gelu_slope),
        Activation("silu", lambda z: z * _sigmoid(z), _silu_slope),
        Activation("tanh", np.tanh, lambda _, value: 1 - value * value),
        Activation("gelu-tanh", _gelu_tanh, _gelu_tanh_slope),
        Activation("leaky-relu", lambda z: np.maximum(z, 0.01 * z), _leaky_relu_slope),
        Activation("elu", lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))), lambda _, v: np.minimum(v, 0) + 1),
        Activation("sigmoid", _sigmoid, lambda _, value: value * (1 - value)),
    )
}


def activation(name: str) -> Activation:
    """Look an activation up by name; an unknown name lists the choices."""
    try:
        return ACTIVATIONS[name]
    except KeyError:
        choices = f"Choose one of {', '.join(ACTIVATIONS)}"
        raise UsageError(f"there is no activation {name!r}", "--activation", choices) from None
