"""``lineage``: which files share an initialisation or descend from each other, pair by pair, with p-values."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reknit import __version__
from reknit.errors import UsageError
from reknit.kinship import units_by_shape, units_by_skeleton
from reknit.kinship.concluding import Sides, concluded
from reknit.kinship.direction import direction
from reknit.kinship.named import State, in_common, in_slots, read_state
from reknit.kinship.panel import placed
from reknit.kinship.relating import Exact, exact_evidence
from reknit.kinship.relation import Relation, Void
from reknit.kinship.sweeps import Sweeps, sweeps
from reknit.kinship.unused_tokens import Unused, unused_tables


@dataclass(frozen=True)
class Lineage:
    """What is said of files, pair by pair.

    Attributes:
        files: as they were given.
        relations: of every pair, in the order of the files.
        seconds: in all.
        run: options and version.
    """

    files: tuple[Path, ...]
    relations: tuple[Relation, ...]
    seconds: float
    run: Mapping[str, Any] = field(repr=False)

    @property
    def related(self) -> tuple[Relation, ...]:
        """The pairs whose relation is settled."""
        return tuple(each for each in self.relations if each.related)

    @property
    def decided(self) -> bool:
        """Whether any relation is settled."""
        return bool(self.related)

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "files": [str(each) for each in self.files],
            "relations": [each.as_json() for each in self.relations],
            "seconds": self.seconds,
            **self.run,
        }


@dataclass(frozen=True, eq=False)
class Kin:
    """What all pairs share.

    Attributes:
        plan: of the skeleton of all files; None: names and shapes have to tell.
        panel: independent networks, by slot.
        unused: rows that were never trained.
        seed: of the coins.
        alpha: below which p a relation is settled.
        pairs: how many are looked at.
    """

    plan: units_by_skeleton.Plan | None = None
    panel: tuple[State, ...] = ()
    unused: tuple[Unused, ...] = ()
    seed: int = 0
    alpha: float = 0.001
    pairs: int = 1


def lineage(
    files: Sequence[str | Path],
    *,
    like: str | None = None,
    input: str | None = None,  # noqa: A002  the word of the command line
    panel: Sequence[str | Path] = (),
    unused: Sequence[str] = (),
    vocab: str | Path | None = None,
    alpha: float = 0.001,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Lineage:
    """Test every pair of files for a shared initialisation or descent.

    Args:
        files: two or more checkpoints.
        like: the skeleton of all (see ``reknit.assemble``): it says which axes are units. Without it names and shapes
            have to tell, and the answer says what was assumed.
        input: the shape of an example input for the skeleton.
        panel: checkpoints of independent networks of this architecture and training, for evidence that is calibrated
            rather than exact; needs ``like``.
        unused: rows that were never trained, as ``TENSOR:FIRST-LAST`` or ``TENSOR:ROW``.
        vocab: a vocab.txt whose lines ``[unused0]``, ``[unused1]``, ... name such rows.
        alpha: a relation is settled by exact evidence below this p, corrected for the number of pairs.
        seed: of the relabellings that are drawn, together with the numbers in the files.
        progress: told what is being done.

    Raises:
        ContainerError: a file cannot be read.
        InputError: a file or the skeleton cannot be used.
        UsageError: options do not go together.
    """
    paths = tuple(map(Path, files))
    _check(paths, tuple(map(Path, panel)), like, alpha)
    told, began = progress or (lambda _: None), time.perf_counter()
    told("reading")
    plan = _planned(like, input)
    states = [read_state(path) for path in paths]
    pool = tuple(in_slots(read_state(path), plan.skeleton, path) for path in panel) if plan is not None else ()
    pairs = list(itertools.combinations(range(len(paths)), 2))
    kin = Kin(plan, pool, unused_tables(unused, vocab), seed, alpha, len(pairs))
    relations = []
    for number, (i, j) in enumerate(pairs):
        told(f"pair {number + 1} of {len(pairs)}")
        relations.append(related((paths[i], paths[j]), (states[i], states[j]), kin))
    run = {"like": like, "panel": [str(each) for each in panel], "alpha": alpha, "seed": seed, "version": __version__}
    return Lineage(paths, tuple(relations), time.perf_counter() - began, run)


def related(paths: tuple[Path, Path], states: tuple[State, State], kin: Kin) -> Relation:
    """The relation of two files that have been read.

    Raises:
        InputError: one of them does not fit the skeleton, or rows named as unused are not there.
    """
    if kin.plan is not None:
        a, b = (in_slots(state, kin.plan.skeleton, path) for state, path in zip(states, paths, strict=True))
    else:
        a, b = in_common(*states)
    exact, voids = evidence(a, b, kin)
    sides = _beside_panel(a, b, kin.plan, kin) if kin.plan is not None and kin.panel else None
    return concluded(
        paths,
        exact,
        voids,
        direction(*paths, a, b),
        by_skeleton=kin.plan is not None,
        panel=sides,
        pairs=kin.pairs,
        alpha=kin.alpha,
    )


def evidence(a: State, b: State, kin: Kin) -> tuple[Exact, tuple[Void, ...]]:
    """The exact evidence on two networks under common names, and what could not be tested."""
    if kin.plan is not None:
        tables, voids = units_by_skeleton.tables(kin.plan, a, b)
    else:
        tables, voids = units_by_shape.tables(a, b)
    rows = {name: each for unused in kin.unused for name, each in unused.among(a, b).items()}
    found = exact_evidence(
        tables,
        independent=kin.plan is not None,
        unused=rows,
        seed=kin.seed,
    )
    return found, voids


def _beside_panel(a: State, b: State, plan: units_by_skeleton.Plan, kin: Kin) -> Sides:
    """The agreement of two networks among those of each with the panel."""

    def swept(first: State, second: State) -> Sweeps:
        return sweeps(plan, first, second, np.random.default_rng(kin.seed))

    own = swept(a, b)
    first, second = (placed(own.statistic, [swept(x, each).statistic for each in kin.panel]) for x in (a, b))
    return Sides(first, second, own.share)


def _planned(like: str | None, input_shape: str | None) -> units_by_skeleton.Plan | None:
    if like is None:
        return None
    from reknit.skeleton.like import resolve
    from reknit.skeleton.trace import trace

    resolved = resolve(like, input_shape)
    return units_by_skeleton.planned(trace(resolved.module, resolved.inputs, name=resolved.name))


def _check(paths: Sequence[Path], panel: Sequence[Path], like: str | None, alpha: float) -> None:
    """Refuse what says nothing.

    Raises:
        UsageError: fewer than two files, a file twice, one of them in the panel, a panel without a skeleton, or a p
            that is none.
    """
    if len(paths) < 2:
        raise UsageError("one file has no relations", "FILES", "Name two or more")
    whole = [path.resolve() for path in (*paths, *panel)]
    if len(set(whole)) < len(whole):
        twice = next(path for path, full in zip((*paths, *panel), whole, strict=True) if whole.count(full) > 1)
        raise UsageError(
            "it is named twice", twice, "Name every file once; those of the panel are not among the others"
        )
    if panel and like is None:
        raise UsageError("a panel is compared unit by unit", "--panel", "Name the skeleton of all files with --like")
    if not 0 < alpha < 1:
        raise UsageError(f"{alpha:g} is no level of a test", "--alpha", "Choose one between 0 and 1")
