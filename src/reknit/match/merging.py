"""How a merge is made: networks opened, brought into one basis, averaged or trained to a star, mended, looked at.

Networks that are averaged as they are stay on disk: every tensor of the average is made from one tensor of each file
when it is asked for. Where they are aligned or a star is trained, all are held: matching compares them whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reknit.errors import UsageError
from reknit.match.averages import Averages
from reknit.match.finding import Basis, found_symmetry
from reknit.match.many import match_many
from reknit.match.mend_rules import find_rule
from reknit.match.merge_options import MergeOptions
from reknit.match.networks import Network
from reknit.match.pairs import Pair, check_free, open_networks
from reknit.match.unfinished_files import claim_checkpoint
from reknit.skeleton.symmetry import Symmetry

if TYPE_CHECKING:
    from reknit.match.checkpoint import Checkpoint
    from reknit.match.computing import SameFunction
    from reknit.match.preflight import Preflight
    from reknit.match.samples import Samples

Told = Callable[[str], None]
Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Merged:
    """Networks made one.

    Attributes:
        tensors: slot -> numbers of the merged network.
        source: whose keys and dtypes it is written with.
        preflight: what is foreseen of it.
        same: of every network that was aligned, the proof that its function is as it was.
        mended: what was set right after averaging, in words.
        notes: what the user should know of, in sentences.
        run: options and version.
    """

    tensors: Tensors
    source: Network
    preflight: Preflight
    same: tuple[SameFunction, ...]
    mended: str
    notes: tuple[str, ...]
    run: Mapping[str, Any]


def merged(
    networks: Sequence[str | Path],
    options: MergeOptions,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Told | None = None,
) -> Merged:
    """Make networks one; the arguments are those of ``reknit.merge``. Of ``out`` only checkpoints are written.

    Raises:
        InputError: a file, the data or an option cannot be used.
        OutputError: ``out`` is taken.
    """
    if len(networks) < 2:
        raise UsageError("one network cannot be merged", "", "Give two or more")
    if out is not None:
        check_free(out, (*networks, options.data, options.like), force=force)
    kept = claim_checkpoint(out, trains=bool(options.trains), resume=resume, force=force)
    run, told = options.as_json(len(networks)), progress or (lambda _: None)
    told("reading")
    pair = open_networks(networks, options.like, options.input_shape, held=not options.streams)
    wanted = bool(options.aligned and options.aligned.wants_inputs)
    samples = pair.samples(options.data, wanted=wanted, seed=options.seed, trains=options.trains)
    checkpoint = None if kept is None else _checkpoint(kept, pair, samples, options, resume=resume)
    told("matching")
    tensors: Tensors
    if options.star is not None:
        parents, tensors = _star(pair, samples, options, told, checkpoint)
    else:
        parents = _aligned(pair, options, samples, told, checkpoint)
        told("merging")
        tensors = Averages(parents, run["weights"], options.by_slot)
    return _looked_at(pair, parents, tensors, samples, run, trained_on=bool(options.trains))


def _checkpoint(path: Path, pair: Pair, samples: Samples, options: MergeOptions, *, resume: bool) -> Checkpoint:
    from reknit.match.checkpoint import Checkpoint, fingerprint_of_run

    deciding = ("merge", options.align, options.star)
    return Checkpoint(path, fingerprint_of_run(pair, samples, deciding), resume)


def _aligned(
    pair: Pair, options: MergeOptions, samples: Samples, told: Told, checkpoint: Checkpoint | None
) -> list[Tensors]:
    if options.aligned is None:
        return [each.tensors for each in pair.networks]
    bases = _bases(pair, options, samples, told, checkpoint)
    return [basis.apply(dict(each.tensors)) for basis, each in zip(bases, pair.networks, strict=True)]


def _bases(
    pair: Pair, options: MergeOptions, samples: Samples, told: Told, checkpoint: Checkpoint | None
) -> list[Basis]:
    """Into the first network's basis, so that all pairs agree."""
    if options.method == "weights":
        return list(match_many(pair.skeleton, [each.tensors for each in pair.networks], seed=options.seed))
    found: list[Basis] = [Symmetry(pair.skeleton, ())]
    for k, network in enumerate(pair.networks[1:], 1):
        two = Pair(pair.skeleton, (pair.networks[0], network), pair.computer)
        own = None if checkpoint is None else checkpoint.part(k)
        found.append(found_symmetry(two, options.align, samples, own, told)[0])
    return found


def _star(
    pair: Pair, samples: Samples, options: MergeOptions, told: Told, checkpoint: Checkpoint | None
) -> tuple[list[Tensors], Tensors]:
    """The networks in the basis of a star model, and the star."""
    from reknit.match.star import StarTraining, train_star

    settings = StarTraining(steps=options.star or 0, seed=options.seed)
    star = train_star(pair.computer, [each.tensors for each in pair.networks], samples, settings, told, checkpoint)
    return list(star.networks), star.tensors


def _looked_at(
    pair: Pair,
    parents: Sequence[Tensors],
    tensors: Tensors,
    samples: Samples,
    run: Mapping[str, Any],
    *,
    trained_on: bool,
) -> Merged:
    """The average, mended where there are inputs (a star is as it was trained), what is foreseen of it, the proofs.

    With ``trained_on`` the method has seen the targets, and nothing is measured with them.
    """
    from reknit.match.computing import same_function
    from reknit.match.mending import mended, what_is_mended
    from reknit.match.preflight import preflight
    from reknit.match.statistics import has_statistics

    trained, same_weights = run["star"] is not None, _all_equal(parents)
    known, kept = samples, samples
    said = "BatchNorm statistics" if trained and has_statistics(pair.computer) else "nothing"
    rule = None if samples.drawn or trained or same_weights else find_rule(run["mend"])
    if rule is not None:
        known, kept = _halves(samples, run["seed"])
        by_slot = run["by_slot"]
        tensors = mended(pair.computer, tensors, parents, run["weights"], known, by_slot=by_slot, rule=rule)
        said = what_is_mended(pair.computer, channels=not by_slot, rule=rule)
    seen = "they were trained on" if trained_on else "all rows were mended on" if rule and known is kept else ""
    ahead = preflight(pair.computer, tensors, parents, run["weights"], kept, answers=run["answers"], unusable=seen)
    moved = [(each.tensors, parent) for each, parent in zip(pair.networks, parents, strict=True)][0 if trained else 1 :]
    same = tuple(same_function(pair.computer, *each, samples) for each in moved if each[0] is not each[1])
    return Merged(tensors, pair.networks[0], ahead, same, said, _notes(parents), run)


def _halves(samples: Samples, seed: int) -> tuple[Samples, Samples]:
    """Rows to set statistics right on, and rows to foresee by; few rows serve for both."""
    import torch

    from reknit.match.preflight import FEWEST

    if len(samples) < 2 * FEWEST:
        return samples, samples
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed))
    return samples.some(order[: len(order) // 2]), samples.some(order[len(order) // 2 :])


def _all_equal(parents: Sequence[Tensors]) -> bool:
    first, *others = parents
    return all(np.array_equal(first[slot], each[slot]) for each in others for slot in first if slot in each)


def _notes(parents: Sequence[Tensors]) -> tuple[str, ...]:
    """Whole numbers that differ: they cannot be averaged."""
    first, *others = parents
    kept = [
        slot
        for slot, value in first.items()
        if value.dtype.kind != "f"
        and value.ndim
        and any(slot in each and not np.array_equal(value, each[slot]) for each in others)
    ]
    return tuple(f"{slot} holds whole numbers that differ; it is the first network's" for slot in kept)
