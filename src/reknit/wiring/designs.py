"""The design of a skeleton's blocks: what its repeated matrices do, and from where they take it.

Margins are calibrated on nets whose designs were among those that the weights of evidence were learned from. How
readers and writers of neighbouring blocks resemble each other differs from design to design, so of any other design
nothing is known to be certain. A design is told by a set of lines, one for each way a matrix is used in the blocks:

    linear in bias < layer_norm that the stream goes on with
    linear gate < rms_norm
    query+key turned                   one group of pairs runs through all blocks: rotary positions

Sizes, names, activations and the number of blocks do not count, nor what stands outside of the blocks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from reknit.skeleton.skeleton import Skeleton, Use
from reknit.wiring.faces import Face, find_faces
from reknit.wiring.vector_slots import NORMS

Design = tuple[str, ...]


def design_of(skeleton: Skeleton) -> Design:
    """The lines, sorted."""
    uses = {use.step: use for use in skeleton.uses}
    kinds: dict[str, list[str]] = defaultdict(list)
    faces = find_faces(skeleton)
    for face in sorted(faces, key=lambda face: face.part):
        kinds[face.slot].append(face.kind)
    on_stream = {step for use in skeleton.uses if use.operation in NORMS for step in use.sources}
    lines = {
        _line(use, [uses[step] for step in use.sources], kinds, on_stream)
        for use in skeleton.uses
        if skeleton[use.slots.get("weight", next(iter(use.slots.values())))].index and use.operation not in NORMS
    }
    return tuple(sorted(lines | _turned(skeleton, faces)))


def _line(use: Use, sources: Sequence[Use], kinds: dict[str, list[str]], on_stream: set[int]) -> str:
    parts = "+".join(kinds[use.slots["weight"]]) if "weight" in use.slots else ""
    before = sorted({_label(each, kinds, on_stream) for each in sources})
    bias = " bias" if "bias" in use.slots else ""
    return f"{use.operation} {parts}{bias} < {', '.join(before)}"


def _label(use: Use, kinds: dict[str, list[str]], on_stream: set[int]) -> str:
    if use.operation in NORMS:
        return f"{use.operation}{' that the stream goes on with' if use.step in on_stream else ''}"
    weight = use.slots.get("weight", "")
    return "+".join(kinds[weight]) or use.operation


def _turned(skeleton: Skeleton, faces: Sequence[Face]) -> set[str]:
    """Whether the units of queries and keys are tied to each other through all blocks."""
    depths: dict[str, set[int]] = defaultdict(set)
    for face in faces:
        if face.kind in ("query", "key") and skeleton[face.slot].index:
            depths[face.units].add(face.depth)
    return {"query+key turned"} if any(len(found) > 1 for found in depths.values()) else set()
