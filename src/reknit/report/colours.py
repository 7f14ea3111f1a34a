"""Every colour of the page, once for light and once for dark, and the ramp of the heat map.

The ramp runs through OKLab (Ottosson 2020, https://bottosson.github.io/posts/oklab/), where equal distances look
equal: a path of falling lightness, resampled to equal steps. Lightness alone orders it: it reads without colour.
The signal colours come as a blue, an orange and a green-blue that keep apart under the common colour blindnesses, and
none of them stands alone: each comes with a word or a shape.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PALETTE: dict[str, tuple[str, str]] = {
    "paper": ("#f6f7f8", "#121518"),
    "surface": ("#ffffff", "#1a1e22"),
    "ink": ("#1a2027", "#e7eaed"),
    "muted": ("#56606b", "#9ea8b3"),
    "hairline": ("#dfe3e7", "#2e353c"),
    "grid": ("#e9ecef", "#282e34"),
    "band": ("#f3f5f7", "#1f2429"),
    "hover": ("#1a20270f", "#ffffff14"),
    "accent": ("#2a5fa8", "#82b4f2"),
    "accent-soft": ("#c6d8ef", "#2c4a6e"),
    "second": ("#a6520a", "#eda05a"),
    "exact": ("#0a6b54", "#5fcaa6"),
    "consistent": ("#2a5fa8", "#82b4f2"),
    "ambiguous": ("#8a5600", "#e6b454"),
    "failed": ("#a93420", "#f39380"),
}
"""Name to (light, dark); CSS reads each as ``var(--name)``."""

LEVELS = 255
"""Colours of the ramp; palette index 255 is left for a value that is not there."""

MISSING_COLOUR = ((0x9A, 0xA2, 0xAA), (0x5A, 0x62, 0x6A))

# lightness, chroma and hue along the ramp, low to high: pale ice to indigo on white, near-black to pale mint on black
_LIGHT = ((0.985, 0.004, 215.0), (0.80, 0.085, 225.0), (0.56, 0.135, 255.0), (0.30, 0.125, 275.0))
_DARK = ((0.235, 0.012, 260.0), (0.42, 0.100, 265.0), (0.66, 0.115, 230.0), (0.94, 0.055, 185.0))

_TO_LMS = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]]
)
_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def css_variables(theme: int) -> str:
    """The palette's declarations: 0 for light, 1 for dark."""
    return "".join(f"--{name}:{colours[theme]};" for name, colours in PALETTE.items())


def oklab_path(anchors: Sequence[tuple[float, float, float]], levels: int = LEVELS) -> NDArray[np.float64]:
    """Points of OKLab at equal distances along the smooth path through the anchors."""
    lightness, chroma, hue = np.array(anchors).T
    knots, fine = np.linspace(0, 1, len(anchors)), np.linspace(0, 1, 4096)
    angle = np.deg2rad(np.interp(fine, knots, hue))
    radius = np.interp(fine, knots, chroma)
    path = np.stack([np.interp(fine, knots, lightness), radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    walked = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    even = np.linspace(0, walked[-1], levels)
    return np.stack([np.interp(even, walked, column) for column in path.T], axis=1)


def to_rgb(lab: NDArray[np.float64]) -> NDArray[np.uint8]:
    """OKLab to sRGB bytes; what lies outside the screen's colours is clipped."""
    linear = ((lab @ _TO_LMS.T) ** 3 @ _TO_RGB.T).clip(0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    colours: NDArray[np.uint8] = np.rint(curved * 255).astype(np.uint8)
    return colours


def ramp(theme: int) -> NDArray[np.uint8]:
    """256 sRGB colours: the ramp low to high, then the colour of a missing value."""
    colours = to_rgb(oklab_path((_LIGHT, _DARK)[theme]))
    return np.concatenate([colours, np.array([MISSING_COLOUR[theme]], dtype=np.uint8)])
