"""What each vector of a skeleton is: a bias of which matrix, a gain or shift of a norm, and which matrices are near it.

All of it is read off the traced skeleton, never off a name. Kinds are those of the faces beside the vector (``faces``):

    query bias, attention out bias, query+key+value bias     beside its own matrix
    gain before attention, shift before mlp, gain before end    of a norm, by what reads its result
    post shift before attention                                 of a norm whose result the stream goes on with
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from reknit.skeleton.skeleton import Skeleton, Use
from reknit.wiring.faces import Face, find_faces

NORMS = ("layer_norm", "rms_norm", "group_norm")


@dataclass(frozen=True)
class Side:
    """A matrix beside a vector, and which of its axes the vector runs along.

    Attributes:
        slot: of the matrix.
        axis: of the matrix.
    """

    slot: str
    axis: int


@dataclass(frozen=True)
class VectorSlot:
    """A slot with one axis, and what is known of it.

    Attributes:
        slot: the key.
        kind: as above.
        depth: number of the sub-block; that of its matrix, or of the matrices that read its norm.
        groups: the groups whose single units it runs over.
        own: the matrix it is the bias of.
        readers: matrices that read what it was added to or scaled, directly or through a norm.
        writers: matrices that wrote what its norm takes, the last one alone.
        before: vectors that shift what its own matrix reads.
    """

    slot: str
    kind: str
    depth: int
    groups: frozenset[str]
    own: Side | None
    readers: tuple[Side, ...]
    writers: tuple[Side, ...]
    before: tuple[str, ...]

    @property
    def part(self) -> str:
        """``gain``, ``shift`` or ``bias``."""
        return next(part for part in ("gain", "shift", "bias") if part in self.kind.split())


def find_vectors(skeleton: Skeleton) -> tuple[VectorSlot, ...]:
    """The biases of matrices and the gains and shifts of norms, in the order of the forward pass."""
    around = _Surroundings(skeleton)
    found: dict[str, VectorSlot] = {}
    for use in skeleton.uses:
        for argument, key in use.slots.items():
            if len(skeleton[key].shape) != 1 or key in found or argument not in ("weight", "bias"):
                continue
            if use.operation in NORMS:
                found[key] = around.of_norm(use, argument)
            elif argument == "bias" and "weight" in use.slots and len(skeleton[use.slots["weight"]].shape) > 1:
                found[key] = around.of_matrix(use)
    return tuple(found.values())


class _Surroundings:
    """What the skeleton says of the neighbours of every use."""

    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton
        self.uses = {use.step: use for use in skeleton.uses}
        self.after: dict[int, list[Use]] = defaultdict(list)
        for use in skeleton.uses:
            for step in use.sources:
                self.after[step].append(use)
        self.kinds: dict[str, list[str]] = defaultdict(list)
        self.depths: dict[str, int] = {}
        faces: dict[tuple[str, int, tuple[int, int]], Face] = {}
        for face in find_faces(skeleton):
            if face.kind not in ("pooled", "head"):
                faces.setdefault((face.slot, face.axis, face.part), face)  # of a tied embedding, where it writes
        for face in sorted(faces.values(), key=lambda face: face.part):
            self.kinds[face.slot].append(face.kind)
            self.depths[face.slot] = face.depth
        self.groups: dict[tuple[str, int], frozenset[str]] = defaultdict(frozenset)
        self.roles: dict[tuple[str, int], set[str]] = defaultdict(set)
        for group in skeleton.groups:
            for member in group.members:
                self.roles[member.slot, member.axis].add(member.role)
                if member.inner == 1:
                    self.groups[member.slot, member.axis] |= {group.name}

    def of_norm(self, use: Use, argument: str) -> VectorSlot:
        """The gain or shift of a norm."""
        key = use.slots[argument]
        size = self.skeleton[key].shape[0]
        readers = self._sides([each for each in self.after[use.step] if each.operation not in NORMS], size, "reads")
        written = [self.uses[step] for step in use.sources if self.uses[step].operation not in NORMS]
        writers = self._sides(written[-1:], size, "writes")
        read_by = {kind for side in readers for kind in self.kinds[side.slot]}
        after = "attention" if "value" in read_by else "mlp" if "in" in read_by else "end"
        post = "post " * any(each.operation in NORMS for each in self.after[use.step])
        kind = f"{post}{'gain' if argument == 'weight' else 'shift'} before {after}"
        depth = max((self.depths.get(side.slot, -1) for side in writers), default=-1) + 1
        return VectorSlot(key, kind, depth, self.groups[key, 0], None, readers, writers, ())

    def of_matrix(self, use: Use) -> VectorSlot:
        """The bias of a matrix."""
        key, matrix = use.slots["bias"], use.slots["weight"]
        size = self.skeleton[key].shape[0]
        norms = [each for each in self.after[use.step] if each.operation in NORMS]
        next_ = [each for norm in norms[:1] for each in self.after[norm.step] if each.operation not in NORMS]
        own = self._side(matrix, size, "writes")
        return VectorSlot(
            slot=key,
            kind=f"{'+'.join(self.kinds[matrix]) or 'inner'} bias",
            depth=self.depths.get(matrix, -1),
            groups=self.groups[key, 0],
            own=own,
            readers=self._sides(next_, size, "reads"),
            writers=(),
            before=self._before(use, own),
        )

    def _before(self, use: Use, own: Side | None) -> tuple[str, ...]:
        """The biases that shift what a matrix reads: of the same units, and as many."""
        shape = self.skeleton[use.slots["weight"]].shape
        if own is None or len(shape) != 2:
            return ()
        read = self.groups[own.slot, 1 - own.axis]
        biases = [self.uses[step].slots.get("bias", "") for step in use.sources]
        size = (shape[1 - own.axis],)
        return tuple(b for b in biases if b and self.skeleton[b].shape == size and self.groups[b, 0] & read)

    def _side(self, matrix: str, size: int, role: str) -> Side | None:
        """The axis of a matrix that a vector of this size runs along; its role decides where several would do."""
        shape = self.skeleton[matrix].shape
        axes = [axis for axis, length in enumerate(shape) if length == size] if len(shape) > 1 else []
        axes.sort(key=lambda axis: role not in self.roles[matrix, axis])
        return Side(matrix, axes[0]) if axes else None

    def _sides(self, uses: Sequence[Use], size: int, role: str) -> tuple[Side, ...]:
        sides = [self._side(use.slots["weight"], size, role) for use in uses if "weight" in use.slots]
        return tuple(side for side in sides if side)
