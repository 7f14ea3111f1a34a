"""Why the members of a group belong together: the shortest way between their axes through the operations.

Of an axis that was taken apart, all values along which it ran share the parts: the way begins where a part of it went
on by itself, and leaves out what was done to the whole before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from reknit.skeleton.skeleton import Link, Member
from reknit.skeleton.units import Units

State = tuple[int, int]  # an axis, and the position of the group's first unit on it


class Links:
    """The edges of a trace, both ways.

    Args:
        units: the axes.
        dims: slot -> its axes.
        shapes: slot -> its shape.
    """

    def __init__(
        self,
        units: Units,
        dims: Mapping[str, Sequence[int | None]],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self._units, self._dims, self._shapes = units, dims, shapes
        self._beside: dict[int, list[tuple[int, str]]] = {}
        for first, second, because in units.edges:
            self._beside.setdefault(first, []).append((second, because))
            self._beside.setdefault(second, []).append((first, because))
        self._outside: dict[int, list[tuple[int, int]]] = {}
        for number, node in enumerate(units.nodes):
            for place, part in enumerate(node.parts):
                self._outside.setdefault(part, []).append((number, place))
        self._leaves: dict[int, frozenset[int]] = {}

    def of(self, leaf: int, members: Sequence[Member], size: int) -> tuple[Link, ...]:
        """One link for every member but the first, to a member on the way from the first to it."""
        labels: dict[State, str] = {}
        for member in members:
            node = self._dims[member.slot][member.axis]
            if node is not None:
                labels.setdefault((node, member.start), self._label(member, size))
        (start, label), *_ = labels.items()
        came: dict[State, tuple[str, tuple[str, ...]]] = {start: (label, ())}
        links: list[Link] = []
        queue = deque([start])
        while queue and len(links) < len(labels) - 1:
            state = queue.popleft()
            last, way = came[state]
            for following, because in self._steps(state, leaf):
                if following in came:
                    continue
                further = (*way, because) if because and way[-1:] != (because,) else way
                if following in labels:
                    links.append(Link(last, labels[following], ", ".join(step.partition("@")[0] for step in further)))
                    came[following] = (labels[following], ())
                else:
                    came[following] = (last, further)
                queue.append(following)
        return tuple(links)

    def _label(self, member: Member, size: int) -> str:
        stop = member.start + member.outer * (size * member.inner + member.gap) - member.gap
        whole = (member.start, stop) == (0, self._shapes[member.slot][member.axis])
        return f"{member.slot}[{member.axis}]" if whole else f"{member.slot}[{member.axis}, {member.start}:{stop}]"

    def _steps(self, state: State, leaf: int) -> Iterator[tuple[State, str]]:
        """Where one edge leads, or a step into a part of the axis, or out of it."""
        node, position = state
        for other, because in self._beside.get(node, ()):
            yield (other, position), because
        for outer, place in self._outside.get(node, ()):
            yield (outer, self._lifted(outer, place, position)), ""
        for place, part in enumerate(self._units.nodes[node].parts):
            lowered = self._lowered(node, place, position)
            if lowered is not None and leaf in self._inside(part):
                yield (part, lowered), ""

    def _inside(self, node: int) -> frozenset[int]:
        root = self._units.find(node)
        if root not in self._leaves:
            self._leaves[root] = frozenset(self._units.leaves(root))
        return self._leaves[root]

    def _sizes(self, node: int) -> list[int]:
        return [self._units.size(part) for part in self._units.nodes[node].parts]

    def _lifted(self, outer: int, place: int, position: int) -> int:
        """A position on a part, as a position on the whole."""
        kind, sizes = self._units.nodes[outer].kind, self._sizes(outer)
        if kind == "sum":
            return sum(sizes[:place]) + position
        if kind == "vary":
            return position
        for size in sizes[place + 1 :]:
            position *= size
        return position

    def _lowered(self, node: int, place: int, position: int) -> int | None:
        """A position on the whole, as one on a part; None if it lies on another part."""
        kind, sizes = self._units.nodes[node].kind, self._sizes(node)
        if kind == "sum":
            position -= sum(sizes[:place])
            return position if 0 <= position < sizes[place] else None
        if kind == "product":
            for size in sizes[place + 1 :]:
                position //= size
            position %= sizes[place]
        return position
