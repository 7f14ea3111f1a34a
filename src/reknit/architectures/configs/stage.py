"""One stage of a residual conv net: blocks of one width in a row."""

from __future__ import annotations

from dataclasses import dataclass

from reknit.architectures.configs.checks import check_sizes
from reknit.errors import UsageError


@dataclass(frozen=True)
class Stage:
    """Blocks of one width in a row.

    Attributes:
        blocks: how many.
        width: channels; in a bottleneck, those of the narrow part.
        kernel: size of the convolutions that look around, an odd number.
        stride: of the first block.
        dilation: of the convolutions that look around.
    """

    blocks: int
    width: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1

    def __post_init__(self) -> None:
        check_sizes(self, "stage")
        check_odd("stage", "kernel", self.kernel)


def check_odd(name: str, field: str, size: int) -> None:
    """A kernel has a middle.

    Raises:
        UsageError: it has none.
    """
    if size % 2 == 0:
        raise UsageError(f"{field} is {size}", name, "Give an odd size: it has a middle")


def check_stages(name: str, dimensions: int, stages: tuple[Stage, ...]) -> None:
    """There is a stage, and one or two dimensions.

    Raises:
        UsageError: there are not.
    """
    if dimensions not in {1, 2}:
        raise UsageError(f"dimensions is {dimensions}", name, "Give 1 or 2")
    if not stages:
        raise UsageError("there are no stages", name, "Give at least one")
