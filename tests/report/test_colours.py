"""The palette keeps its contrast and the ramp its even steps."""

from itertools import pairwise

import numpy as np
import pytest

from reknit.report.colours import _DARK, _LIGHT, PALETTE, oklab_path, ramp


def luminance(colour):
    """Relative luminance (WCAG 2.2)."""
    channels = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_knows_black_on_white():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("ground", ["paper", "surface", "band"])
@pytest.mark.parametrize("words", ["ink", "muted", "accent", "second", "exact", "consistent", "ambiguous", "failed"])
def test_every_text_colour_reads_on_every_ground(theme, ground, words):
    assert contrast(PALETTE[words][theme], PALETTE[ground][theme]) >= 4.5


@pytest.mark.parametrize("anchors", [_LIGHT, _DARK])
def test_the_ramp_has_even_steps_and_falls_or_rises_throughout(anchors):
    path = oklab_path(anchors, 64)
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    assert steps.max() < 1.05 * steps.min()
    lightness = np.diff(path[:, 0])
    assert (lightness < 0).all() or (lightness > 0).all()


@pytest.mark.parametrize("theme", [0, 1])
def test_the_ramp_keeps_its_order_without_colour(theme):
    grey = [luminance("#" + bytes(colour).hex()) for colour in ramp(theme)[:255]]
    differences = [b - a for a, b in pairwise(grey)]
    if theme == 0:
        differences = [-d for d in differences]
    assert min(differences) > -0.002
    assert abs(grey[-1] - grey[0]) > 0.6
    assert ramp(theme).shape == (256, 3)


def test_light_and_dark_are_chosen_apart():
    assert all(light != dark for light, dark in PALETTE.values())
