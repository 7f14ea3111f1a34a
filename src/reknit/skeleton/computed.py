"""A fingerprint of what a module computes: its slots and operations, and the constants in its code."""

from __future__ import annotations

import hashlib

from torch import Tensor

from reknit.skeleton.graph import export
from reknit.skeleton.like import Like
from reknit.skeleton.skeleton import Skeleton


def fingerprint_of(like: Like, skeleton: Skeleton) -> str:
    """A hash that differs where the traced module does, also in numbers of its code or in constants that it holds."""
    program = export(like.module, like.inputs)
    held = {**program.constants, **like.constants}
    known = {key: held[key] for key in sorted(held) if isinstance(held[key], Tensor) and not held[key].is_meta}
    hashes = [f"{key} {hashlib.sha256(repr(value.tolist()).encode()).hexdigest()}" for key, value in known.items()]
    traced = (skeleton.slots, skeleton.uses, skeleton.meetings, (str(program.graph), tuple(hashes)))
    return hashlib.sha256(repr(traced).encode()).hexdigest()
