"""A laundered file taken back by its key: the layout bit by bit, symmetries to rounding; losses cannot be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reknit.changes.laundering.key import Key
from reknit.changes.laundering.layout import taken_back
from reknit.changes.laundering.registry import KINDS
from reknit.changes.laundering.setting import Setting
from reknit.changes.laundering.state import State
from reknit.changes.laundering.step import BasisStep, NumberStep
from reknit.changes.laundering.words import Words
from reknit.errors import UsageError


def laid_back(key: Key, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of B under the keys of A and in its axes; their numbers are those of B.

    Args:
        key: of the laundering.
        arrays: name in B -> numbers.

    Raises:
        InputError: a tensor is missing, or has another shape.
    """
    return taken_back(arrays, key.stored, key.forms)


def undone(key: Key, arrays: Mapping[str, np.ndarray], setting: Setting | None = None) -> dict[str, np.ndarray]:
    """The tensors of A from those of B: permutations bit by bit, factors and rotations to rounding.

    Args:
        key: of the laundering.
        arrays: name in B -> numbers.
        setting: the skeleton; needed where the chain changed the basis.

    Raises:
        UsageError: a step cannot be taken back, or needs the skeleton.
        InputError: a tensor is missing, or has another shape.
    """
    dtypes = {name: stored for name, (_, stored) in key.dtypes.items()}
    state = State(laid_back(key, arrays), dtypes, tuple(key.forms), {}, key.slots, setting)
    for record in reversed(key.steps):
        kind = KINDS[record.step]
        if not issubclass(kind.step, NumberStep):
            continue
        step = kind.step.read(Words(record.said, record.said.partition("@")[0].split(":")[1:], kind.form), "*")
        if not isinstance(step, BasisStep):
            raise UsageError(f"{record.said} cannot be taken back: it loses numbers", "", "Keep A")
        state = step.undo(state, record.facts)
    return dict(state.tensors)
