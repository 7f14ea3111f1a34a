"""A face's numbers as a matrix: the stream along one axis, the hidden units and taps along the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from reknit.skeleton.skeleton import Skeleton
from reknit.wiring.faces import Face


@dataclass(frozen=True)
class Layout:
    """How a tensor of some shape is read as one face; faces of one family share it.

    Attributes:
        shape: of the tensor.
        axis: the axis of the stream.
        rest: the axis of the hidden units; -1 where there is none.
        part: first and last-but-one hidden unit.
    """

    shape: tuple[int, ...]
    axis: int
    rest: int
    part: tuple[int, int]

    def by_stream(self, tensor: Float[np.ndarray, ...]) -> Float[np.ndarray, "stream rest"]:
        """One row for every coordinate of the stream."""
        return np.moveaxis(self._cut(tensor), self.axis, 0).reshape(self.shape[self.axis], -1)

    def by_unit(
        self, tensor: Float[np.ndarray, ...], flipped: bool = False
    ) -> Float[np.ndarray, "units stream_and_taps"]:
        """One row for every hidden unit; the taps of a kernel backwards, if asked, as a product of kernels has them."""
        laid = np.moveaxis(self._cut(tensor), (self.rest, self.axis), (0, 1))
        if flipped and laid.ndim > 2:
            laid = np.flip(laid, tuple(range(2, laid.ndim)))
        return laid.reshape(laid.shape[0], -1)

    def _cut(self, tensor: Float[np.ndarray, ...]) -> Float[np.ndarray, ...]:
        if self.rest < 0:
            return tensor
        cut: Float[np.ndarray, ...] = np.take(tensor, np.arange(*self.part), axis=self.rest)
        return cut


def layout_of(skeleton: Skeleton, face: Face) -> Layout:
    """The layout of a face."""
    return Layout(skeleton[face.slot].shape, face.axis, face.rest, face.part)


def shared_labels(skeleton: Skeleton, first: Face, second: Face) -> tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"]]:
    """A number for every hidden unit of two faces, equal where the groups they share say it is the same unit.

    With grouped queries several units of the one meet one unit of the other; where no group is shared, all are alike.
    """
    shared = _groups(skeleton, first).keys() & _groups(skeleton, second).keys()
    names = sorted(shared)
    labels = []
    for face in (first, second):
        groups = _groups(skeleton, face)
        label = np.zeros(face.part[1] - face.part[0], dtype=np.int64)
        for name in names:
            size = next(group.size for group in skeleton.groups if group.name == name)
            label = label * (size + 1) + groups[name] + 1
        labels.append(label)
    return labels[0], labels[1]


def _groups(skeleton: Skeleton, face: Face) -> dict[str, Int[np.ndarray, " units"]]:
    """Group -> the unit of it at every position of the face's part; -1 where it does not run."""
    found: dict[str, Int[np.ndarray, " units"]] = {}
    start, stop = face.part
    for group in skeleton.groups:
        for member in group.members:
            if (member.slot, member.axis) != (face.slot, face.rest) or not start <= member.start < stop:
                continue
            places = np.arange(stop - start) - (member.start - start)
            period = group.size * member.inner + member.gap
            inside = places % period
            runs = (places >= 0) & (places // period < member.outer) & (inside < group.size * member.inner)
            units = np.where(runs, inside // member.inner, -1)
            found[group.name] = np.maximum(found.get(group.name, np.full_like(units, -1)), units)
    return found


def gathered(
    rows: Float[np.ndarray, "units rest"], labels: Int[np.ndarray, " units"]
) -> Float[np.ndarray, "sums rest"]:
    """Rows of one label summed up, in the order of the labels."""
    known, place = np.unique(labels, return_inverse=True)
    if len(known) == len(labels):
        return rows[np.argsort(labels, kind="stable")]
    sums = np.zeros((len(known), rows.shape[1]), dtype=rows.dtype)
    np.add.at(sums, place, rows)
    return sums
