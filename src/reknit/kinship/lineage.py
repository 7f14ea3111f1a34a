"""``lineage``: which files share an initialisation or descend from each other, pair by pair, with p-values."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reknit import __version__
from reknit.errors import UsageError
from reknit.kinship import units_by_skeleton
from reknit.kinship.candidates import NEAREST
from reknit.kinship.comparing import DRAWN, Kin, compared
from reknit.kinship.gathering import gather
from reknit.kinship.named import State, in_slots, read_state
from reknit.kinship.relation import Relation
from reknit.kinship.store import Store
from reknit.kinship.tree import Family, Link, family_trees
from reknit.kinship.unused_tokens import unused_tables
from reknit.match.pairs import check_free


@dataclass(frozen=True)
class Lineage:
    """What is said of files, pair by pair.

    Attributes:
        files: as they were given; with a database all that it knows, in the order in which they came.
        relations: of every pair that was compared in full, now or before, in the order of the files.
        families: files whose relations are settled, and their trees; files are numbered as in ``files``.
        compared: how many pairs were compared in full now.
        possible: how many pairs there are: what p-values are corrected for.
        left_out: files that could not be read or do not fit the skeleton -> why, in one sentence.
        seconds: in all.
        run: options and version.
    """

    files: tuple[Path, ...]
    relations: tuple[Relation, ...]
    families: tuple[Family, ...]
    compared: int
    possible: int
    left_out: Mapping[Path, str]
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
            "families": [each.as_json() for each in self.families],
            "compared": self.compared,
            "possible": self.possible,
            "left_out": {str(path): reason for path, reason in self.left_out.items()},
            "relations": [each.as_json() for each in self.relations],
            "seconds": self.seconds,
            **self.run,
        }

    def report(self, path: str | Path, *, force: bool = False) -> None:
        """Draw it as one HTML page.

        Raises:
            OutputError: something is there and ``force`` is off, or it cannot be written.
        """
        from reknit.kinship.page import write_page

        write_page(self, Path(path), force=force)


def lineage(
    files: Sequence[str | Path],
    *,
    like: str | None = None,
    input: str | None = None,  # noqa: A002  the word of the command line
    panel: Sequence[str | Path] = (),
    unused: Sequence[str] = (),
    vocab: str | Path | None = None,
    alpha: float = 0.001,
    db: str | Path | None = None,
    nearest: int = NEAREST,
    seed: int = 0,
    report: str | Path | None = None,
    force: bool = False,
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
        db: a DuckDB file that keeps sketches and what was found: of files that it knows already only new ones are
            compared with. One file is enough then.
        nearest: full comparisons that a file asks for: with those whose sketches are most like its own. With no more
            files than this every pair is compared.
        seed: of sketches, and of the relabellings that are drawn, together with the numbers in the files.
        report: where to draw it, as one HTML page.
        force: replace what is there.
        progress: told what is being done.

    Raises:
        InputError: the skeleton cannot be used, or no two files can be compared; of many, those that cannot be are
            left out.
        UsageError: options do not go together.
    """
    paths = tuple(map(Path, files))
    _check(paths, tuple(map(Path, panel)), like, alpha, fewest=2 if db is None else 1)
    if nearest < 1:
        raise UsageError(f"{nearest} comparisons find nothing", "--nearest", "Give 1 or more")
    if report is not None:
        check_free(report, (*files, *panel, db, vocab), force=force)
    told, began = progress or (lambda _: None), time.perf_counter()
    told("reading")
    plan = _planned(like, input)
    pool = tuple(in_slots(read_state(path), plan.skeleton, path) for path in panel) if plan is not None else ()
    with Store(db, seed) as store:
        most = len(paths) + len(store.files())
        kin = Kin(plan, pool, unused_tables(unused, vocab), seed, alpha, most * (most - 1) // 2)
        options = _in_words(kin, like, input, [*map(str, unused), str(vocab)])
        compare = functools.partial(compared, kin=kin)
        found = gather(paths, store, compare, read_state, options=options, nearest=nearest, seed=seed, told=told)
    possible = len(found.files) * (len(found.files) - 1) // 2
    relations = {
        pair: each.concluded((found.files[pair[0]], found.files[pair[1]]), pairs=max(possible, 1), alpha=alpha)
        for pair, each in found.pairs.items()
    }
    run = {
        "like": like,
        "panel": [str(each) for each in panel],
        "alpha": alpha,
        "db": None if db is None else str(db),
        "nearest": nearest,
        "seed": seed,
        "version": __version__,
    }
    whole = Lineage(
        found.files,
        tuple(relations.values()),
        family_trees(len(found.files), [_link(pair, each) for pair, each in relations.items() if each.related]),
        found.compared,
        possible,
        {path: str(error) for path, error in found.left_out.items()},
        time.perf_counter() - began,
        run,
    )
    if report is not None:
        whole.report(report, force=force)
    return whole


def _link(pair: tuple[int, int], relation: Relation) -> Link:
    first, second = pair
    parent = None
    if relation.direction.label == "decided":
        parent = first if relation.direction.parent == relation.first else second
    return Link(first, second, relation.distance, parent, relation.moved, max(relation.numbers, 1))


def _in_words(kin: Kin, like: str | None, input_shape: str | None, unused: Sequence[str]) -> str:
    """All that the evidence on a pair depends on besides its files."""
    skeleton = "" if kin.plan is None else kin.plan.skeleton.name
    panel = hashlib.sha256(b"".join(_bytes(state) for state in kin.panel)).hexdigest() if kin.panel else ""
    drawn = kin.pairs <= DRAWN
    return "\n".join((__version__, str(like), str(input_shape), skeleton, panel, *unused, f"{kin.seed} {drawn}"))


def _bytes(state: State) -> bytes:
    return b"".join(name.encode() + value.tobytes() for name, value in sorted(state.items()))


def _planned(like: str | None, input_shape: str | None) -> units_by_skeleton.Plan | None:
    if like is None:
        return None
    from reknit.skeleton.like import resolve
    from reknit.skeleton.trace import trace

    resolved = resolve(like, input_shape)
    return units_by_skeleton.planned(trace(resolved.module, resolved.inputs, name=resolved.name))


def _check(paths: Sequence[Path], panel: Sequence[Path], like: str | None, alpha: float, *, fewest: int) -> None:
    """Refuse what says nothing.

    Raises:
        UsageError: fewer than two files, a file twice, one of them in the panel, a panel without a skeleton, or a p
            that is none.
    """
    if len(paths) < fewest:
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
