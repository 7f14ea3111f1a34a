"""The skeleton that some steps need, its module, and what the module was asked: traced and asked once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from reknit.architectures.registry import ARCHITECTURES
from reknit.match.all_symmetries import scale_classes
from reknit.match.asking import answers_to_noise
from reknit.match.computing import Computer
from reknit.skeleton.like import resolve
from reknit.skeleton.rotation_classes import RotationClass, find_rotation_classes
from reknit.skeleton.scaling import ScaleClass
from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.trace import trace

if TYPE_CHECKING:
    from reknit.skeleton.rotation_classes import Answer


@dataclass(frozen=True, eq=False)
class Setting:
    """A skeleton and its module.

    Attributes:
        said: as ``--like`` had it.
        skeleton: traced.
        computer: runs the module.
    """

    said: str
    skeleton: Skeleton
    computer: Computer

    @cached_property
    def scale_classes(self) -> tuple[ScaleClass, ...]:
        """What may be scaled or turned in sign."""
        return scale_classes(self.computer)

    @cached_property
    def answer(self) -> Answer:
        """What the module answers to noise."""
        return answers_to_noise(self.computer)

    @cached_property
    def rotations(self) -> tuple[tuple[RotationClass, ...], dict[str, str]]:
        """What may be turned by rotations, and for every other group why not."""
        return find_rotation_classes(self.skeleton, self.answer)


def open_setting(like: str, input_shape: str | None = None) -> Setting:
    """Trace a skeleton; one of a built-in architecture is kept, as nothing else decides what it is.

    Raises:
        InputError: it cannot be used.
    """
    name, _, rest = like.partition(":")
    if name in ARCHITECTURES and (not rest or "=" in rest):
        return _kept(like, input_shape)
    return _opened(like, input_shape)


def _opened(like: str, input_shape: str | None) -> Setting:
    resolved = resolve(like, input_shape)
    skeleton = trace(resolved.module, resolved.inputs, name=resolved.name)
    return Setting(like, skeleton, Computer(resolved, skeleton))


_kept = lru_cache(maxsize=8)(_opened)
