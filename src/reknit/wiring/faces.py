"""Faces: where a matrix touches a stream, as a reader or a writer, at which depth, and who shares its hidden units.

A face is an axis of a slot that runs over a stream, with the part of the other axis that makes one use of it: a fused
q, k, v matrix has three. Its kind is read off the skeleton's groups, never off a name:

    out         what writes to the stream, and reads hidden units
    value       a reader whose units an out reads, in heads
    in          a reader whose units an out reads, without heads; of two that are multiplied, the one that is gated
    gate        the one of the two that goes through the activation
    query, key  readers that share their innermost units with each other and with no out; attention says which is which
    source      what else writes: embeddings, stems
    end         what else reads: poolers, heads; and an embedding that is tied to the output, where it reads
    pooled      the other side of an end, where matrices read what it makes of the stream
    head        what reads that; the units between the two are a stream of their own

The depth counts sub-blocks: how many writers have added to the stream on the longest way to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reknit.skeleton.skeleton import Group, Member, Skeleton, Use

KINDS = ("query", "key", "value", "attention out", "in", "gate", "out", "source", "end", "pooled", "head")


@dataclass(frozen=True)
class Face:
    """One side of a slot that touches a stream.

    Attributes:
        slot: the key.
        kind: one of ``KINDS``.
        stream: the group it touches.
        reads: whether it reads it; else it writes it.
        depth: number of the sub-block; -1 for what writes before the first.
        axis: which axis of the slot runs over the stream.
        rest: the axis on which its hidden units lie; -1 where there is none.
        part: first and last-but-one position on that axis.
        units: the group that runs over single positions of the part; empty where there is none.
        heads: the group of the heads the units lie in; empty where there is none.
    """

    slot: str
    kind: str
    stream: str
    reads: bool
    depth: int
    axis: int
    rest: int = -1
    part: tuple[int, int] = (0, 0)
    units: str = ""
    heads: str = ""


def find_faces(skeleton: Skeleton) -> tuple[Face, ...]:
    """All faces of a skeleton's matrices and kernels, in the order of the forward pass."""
    depths = _depths(skeleton)
    members = _members(skeleton)
    faces = []
    for group in _streams(skeleton):
        for member in group.members:
            slot = skeleton[member.slot]
            if len(slot.shape) < 2 or member.role not in ("reads", "writes") or not _is_whole(member):
                continue
            rest = 1 - member.axis if member.axis < 2 else -1
            reads = member.role == "reads"
            kind = "end" if reads else "source"
            draft = Face(slot.key, kind, group.name, reads, depths[slot.key], member.axis, rest)
            found = members[slot.key, rest]
            for part in _parts(found, slot.shape[rest]):
                units, heads = _units(found, part)
                faces.append(replace(draft, part=part, units=units, heads=heads))
    faces.sort(key=_in_passing)
    faces = _named(faces, _players(skeleton))
    more = [*_tied(skeleton, faces), *_behind_ends(skeleton, faces, depths)]
    return tuple(sorted([*faces, *more], key=_in_passing))


def _in_passing(face: Face) -> tuple[int, bool]:
    return face.depth, not face.reads


def _tied(skeleton: Skeleton, faces: Sequence[Face]) -> list[Face]:
    """Embeddings where a later product with them reads the stream."""
    found = []
    steps = _depths_of_steps(skeleton)
    for face in faces:
        uses = [use for use in skeleton.uses if face.slot in use.slots.values()]
        if face.kind == "source" and face.axis == 1 and uses[0].operation == "embedding":
            reading = [use for use in uses if use.operation == "linear" and use.slots.get("weight") == face.slot]
            found += [replace(face, kind="end", reads=True, depth=steps[use.step]) for use in reading[:1]]
    return found


def _behind_ends(skeleton: Skeleton, faces: Sequence[Face], depths: Mapping[str, int]) -> list[Face]:
    """The other sides of ends, and the matrices that read there."""
    found = []
    streams = {group.name for group in _streams(skeleton)}
    groups = {group.name: group for group in skeleton.groups}
    for face in faces:
        if face.kind != "end" or not face.units or face.units in streams or face.axis > 1:
            continue
        readers = [member for member in groups[face.units].members if member.role == "reads" and _is_whole(member)]
        readers = [member for member in readers if len(skeleton[member.slot].shape) == 2]
        if readers and face.part == (0, skeleton[face.slot].shape[face.rest]):
            sides = [(face.slot, "pooled", False, face.rest)]
            sides += [(member.slot, "head", True, member.axis) for member in readers]
            found += [
                Face(slot, kind, face.units, reads, depths[slot], axis, 1 - axis, (0, skeleton[slot].shape[1 - axis]))
                for slot, kind, reads, axis in sides
            ]
    return found


def _is_whole(member: Member) -> bool:
    return (member.start, member.outer, member.inner, member.gap) == (0, 1, 1, 0)


def _streams(skeleton: Skeleton) -> list[Group]:
    return [group for group in skeleton.groups if group.name.split(" ")[0].rstrip("0123456789") == "stream"]


def _members(skeleton: Skeleton) -> dict[tuple[str, int], list[tuple[str, int, Member]]]:
    """(slot, axis) -> the groups on it, with their sizes and members."""
    found: dict[tuple[str, int], list[tuple[str, int, Member]]] = defaultdict(list)
    for group in skeleton.groups:
        for member in group.members:
            found[member.slot, member.axis].append((group.name, group.size, member))
    return found


def _extent(size: int, member: Member) -> tuple[int, int]:
    return member.start, member.start + member.outer * (size * member.inner + member.gap) - member.gap


def _parts(found: Sequence[tuple[str, int, Member]], length: int) -> list[tuple[int, int]]:
    """The stretches of an axis that share no group with each other: three of a fused matrix."""
    parts: list[tuple[int, int]] = []
    for start, stop in sorted(_extent(size, member) for _, size, member in found):
        if parts and start < parts[-1][1]:
            parts[-1] = (parts[-1][0], max(stop, parts[-1][1]))
        else:
            parts.append((start, stop))
    return parts or [(0, length)]


def _units(found: Sequence[tuple[str, int, Member]], part: tuple[int, int]) -> tuple[str, str]:
    """The innermost group of a part, and the one outside it."""
    inside = [(member.inner, name) for name, size, member in found if part[0] <= _extent(size, member)[0] < part[1]]
    inside.sort()
    units = inside[0][1] if inside and inside[0][0] == 1 else ""
    return units, inside[-1][1] if len(inside) > 1 else ""


def _depths(skeleton: Skeleton) -> dict[str, int]:
    """Slot -> how many writers have added to a stream before its first use."""
    steps = _depths_of_steps(skeleton)
    found: dict[str, int] = {}
    for use in skeleton.uses:
        for key in use.slots.values():
            found.setdefault(key, steps[use.step])
    return {slot.key: found.get(slot.key, -1) for slot in skeleton.slots}


def _depths_of_steps(skeleton: Skeleton) -> dict[int, int]:
    """The same for every use."""
    streams = {group.name for group in _streams(skeleton)}
    writes = {
        member.slot
        for group in skeleton.groups
        if group.name in streams
        for member in group.members
        if member.role == "writes" and len(skeleton[member.slot].shape) > 1
    }
    depth: dict[int, int] = {}
    for use in skeleton.uses:
        before = [depth[step] + _adds(skeleton.uses[step], writes) for step in use.sources]
        depth[use.step] = max(before, default=-1)
    return depth


def _adds(use: Use, writes: set[str]) -> int:
    return int(any(key in writes for key in use.slots.values()))


def _players(skeleton: Skeleton) -> dict[str, set[str]]:
    """Slot -> the parts its result plays where it meets others: ``key``, ``gate``."""
    steps: dict[int, set[str]] = defaultdict(set)
    for meeting in skeleton.meetings:
        for name, sources in meeting.operands.items():
            if meeting.operation == "mul" and len(meeting.bent) == 1 and len(meeting.operands) == 2:
                part = "gate" if name in meeting.bent else "up"
            elif meeting.operation in ("matmul", "bmm") and not meeting.bent:
                part = "key" if name == "second" else "query"
            else:
                part = name
            for step in sources:
                steps[step].add(part)
    found: dict[str, set[str]] = defaultdict(set)
    for use in skeleton.uses:
        for key in use.slots.values():
            found[key] |= steps[use.step]
    return found


def _named(faces: list[Face], players: dict[str, set[str]]) -> list[Face]:
    """The faces with their kinds."""
    by_units: dict[tuple[str, int], list[int]] = defaultdict(list)
    for k, face in enumerate(faces):
        if face.units and face.units != face.stream:
            by_units[face.units, face.depth].append(k)
    named = list(faces)
    for places in by_units.values():
        outs = [k for k in places if not faces[k].reads]
        readers = [k for k in places if faces[k].reads]
        in_heads = all(faces[k].heads for k in places)
        if outs and readers:
            for k in outs:
                named[k] = replace(faces[k], kind="attention out" if in_heads else "out")
            for k in readers:
                gate = len(readers) == 2 and "gate" in players[faces[k].slot]
                named[k] = replace(faces[k], kind="value" if in_heads else "gate" if gate else "in")
        elif len(readers) == 2 and in_heads:
            first, second = readers
            if "key" in players[faces[first].slot] - players[faces[second].slot]:
                first, second = second, first
            named[first] = replace(faces[first], kind="query")
            named[second] = replace(faces[second], kind="key")
    return named
