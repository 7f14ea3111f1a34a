"""What ``diff`` found: a line a layer, one sentence for the whole, and the numbers behind both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from reknit.changes.naming.change import Change

Verdict = Literal["exact", "consistent", "cannot say"]


@dataclass(frozen=True)
class TensorChange:
    """One tensor of B against what of A it answers to.

    Attributes:
        first: its name, or names, in A; empty if there is none.
        second: its name in B; empty if there is none.
        shape: in B (in A, where there is none).
        how: they were found to belong together by ``name``, ``content``, ``likeness`` or ``blocks``; empty if alone.
        view: how A's numbers were read: ``transposed``, ``3 tensors in one``; empty as they stand.
        changes: what was done, in its order.
        named: whether all that was done is named.
        left: what is not accounted for by equality, relative.
        margin: of an assignment by likeness.
    """

    first: str
    second: str
    shape: tuple[int, ...]
    how: str
    view: str
    changes: tuple[Change, ...]
    named: bool
    left: float
    margin: float = float("inf")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of change, in their order."""
        return tuple(each.kind for each in self.changes)

    @property
    def layer(self) -> str:
        """The name that weight and bias share; B's, or A's where B has none."""
        name = self.second or self.first
        return name.rpartition(".")[0] or name

    @property
    def words(self) -> str:
        """``permuted ..., rounded to 4 bits per row``."""
        return ", ".join(each.words for each in self.changes) or "cannot say"

    def as_json(self) -> dict[str, Any]:
        """The part of the object that ``--json`` prints."""
        return {
            "a": self.first,
            "b": self.second,
            "shape": list(self.shape),
            "paired_by": self.how,
            "read": self.view,
            "changes": [each.as_json() for each in self.changes],
            "named": self.named,
            "left": self.left,
            "margin": self.margin,
        }


@dataclass(frozen=True)
class Layer:
    """Weight, bias and what else shares a name.

    Attributes:
        name: in B; in A where B has none.
        tensors: of it.
    """

    name: str
    tensors: tuple[TensorChange, ...]

    @property
    def words(self) -> str:
        """What was done, once where all of its tensors say the same; which tensor of A it is, where names differ."""
        said: dict[str, list[str]] = {}
        largest = max(self.tensors, key=lambda each: len(each.shape) * (1 << 40) + _size(each))
        said[largest.words] = []
        for each in self.tensors:
            if set(each.kinds) - {"identical"} <= set(largest.kinds) and each.kinds != ("identical",):
                continue
            if each.words != largest.words:
                said.setdefault(each.words, []).append((each.second or each.first).rpartition(".")[2])
        done = "; ".join(f"{', '.join(names)}: {words}" if names else words for words, names in said.items())
        read = f", {largest.view}" if largest.view else ""
        other = largest.first and largest.second and not _alike(largest.first, largest.second)
        return f"{largest.first}{read}: {done}" if other or read else done


def _alike(first: str, second: str) -> bool:
    """Whether one name ends in the other."""
    return first.endswith(second) or second.endswith(first)


def _size(each: TensorChange) -> int:
    total = 1
    for size in each.shape:
        total *= size
    return total


@dataclass(frozen=True, eq=False)
class Diff:
    """What makes one checkpoint of another.

    Attributes:
        verdict: ``exact``: every change is named and holds of every number by equality; ``consistent``: every change is
            named, some by their size alone; ``cannot say``: something is left that no name was found for.
        sentence: the whole in one.
        tensors: one entry for every tensor of either file.
        groups: how many sets of units stand in another order.
        notes: what else is to know.
        aside: names of what is no weight: counters, indices, constants; A's, B's.
        seconds: per stage.
        run: options and version.
    """

    verdict: Verdict
    sentence: str
    tensors: tuple[TensorChange, ...] = field(repr=False)
    groups: int
    notes: tuple[str, ...]
    aside: tuple[tuple[str, ...], tuple[str, ...]] = field(repr=False)
    seconds: Mapping[str, float]
    run: Mapping[str, Any]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The tensors by layer, in the order of B."""
        found: dict[str, list[TensorChange]] = {}
        for each in self.tensors:
            found.setdefault(each.layer, []).append(each)
        return tuple(Layer(name, tuple(tensors)) for name, tensors in found.items())

    @property
    def kinds(self) -> dict[str, int]:
        """Kind of change -> tensors that underwent it."""
        found: dict[str, int] = {}
        for each in self.tensors:
            for kind in dict.fromkeys(each.kinds):
                found[kind] = found.get(kind, 0) + 1
        return found

    def __str__(self) -> str:
        return self.sentence

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "kinds": self.kinds,
            "groups_permuted": self.groups,
            "layers": [{"layer": each.name, "words": each.words} for each in self.layers],
            "tensors": [each.as_json() for each in self.tensors],
            "notes": list(self.notes),
            "left_aside": {"a": list(self.aside[0]), "b": list(self.aside[1])},
            "seconds": dict(self.seconds),
            **self.run,
        }

    def report(self, path: str | Path, *, force: bool = False) -> None:
        """Write it as one self-contained HTML page.

        Raises:
            OutputError: something is there already and ``force`` is off, or it cannot be written.
        """
        from reknit.changes.diff_page import write_page

        write_page(self, Path(path), force=force)
