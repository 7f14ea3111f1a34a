"""``merge``: networks of one architecture, brought into one basis, averaged and mended; and what is foreseen of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from reknit import __version__
from reknit.errors import OutputError, UsageError
from reknit.match.averages import average
from reknit.match.finding import AlignOptions, Basis, found_symmetry
from reknit.match.many import match_many
from reknit.match.mend_rules import find_rule
from reknit.match.methods import find_method
from reknit.match.networks import Network, write_network
from reknit.match.pairs import Pair, check_free, open_networks
from reknit.skeleton.symmetry import Symmetry

if TYPE_CHECKING:
    from reknit.match.computing import SameFunction
    from reknit.match.foresight_margin import Outlook
    from reknit.match.preflight import Preflight
    from reknit.match.samples import Samples

Verdict = Literal["consistent", "ambiguous", "failed"]
NO_METHOD = "none"
VERDICTS: Mapping[Outlook, Verdict] = {
    "should work": "consistent",
    "should not work": "failed",
    "cannot say": "ambiguous",
}


@dataclass(frozen=True, eq=False)
class Merge:
    """A merged network, and what is foreseen of it.

    Attributes:
        verdict: ``consistent`` if it should work, ``failed`` if it should not, or if an aligned parent changed its
            function; ``ambiguous`` if nothing can be said.
        reason: one sentence.
        preflight: the foreseen barrier, the measured one where there are targets, the layers that conflict.
        same: of every network but the first, the proof that alignment left its function as it was.
        mended: what was set right after averaging, in words.
        notes: what the user should know of, in sentences.
        run: options and version.
        tensors: slot -> numbers of the merged network.
        source: whose keys and dtypes it is written with.
    """

    verdict: Verdict
    reason: str
    preflight: Preflight
    same: tuple[SameFunction, ...]
    mended: str
    notes: tuple[str, ...]
    run: Mapping[str, Any]
    tensors: Mapping[str, np.ndarray] = field(repr=False)
    source: Network = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "preflight": self.preflight.as_json(),
            "aligned": [{"largest_difference": each.largest, "tolerance": each.tolerance} for each in self.same],
            "mended": self.mended,
            "notes": list(self.notes),
            **self.run,
        }

    def save(self, path: str | Path, *, force: bool = False, anyway: bool = False) -> None:
        """Write it as safetensors, under the keys and in the dtypes of the first network.

        Raises:
            OutputError: it should not work and ``anyway`` is off, something is there and ``force`` is off, or it
                cannot be written.
        """
        if self.verdict == "failed" and not anyway:
            raise OutputError("is not written", path, f"{self.reason[0].upper()}{self.reason[1:]}; --anyway writes it")
        write_network(path, self.tensors, self.source, force=force)


def merge(
    networks: Sequence[str | Path],
    *,
    like: str,
    data: str | Path | None = None,
    method: str = "weights",
    weights: Sequence[float] | None = None,
    by_slot: Mapping[str, Sequence[float]] | None = None,
    decay: str | None = None,
    steps: Sequence[int] | None = None,
    mend: str | bool = True,
    answers: str | None = None,
    star: int | None = None,
    input: str | None = None,  # noqa: A002  the word of the command line
    seed: int = 0,
    plan: bool = False,
    out: str | Path | None = None,
    anyway: bool = False,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Merge:
    """Merge networks into one: look ahead, align, average, set statistics right.

    Args:
        networks: checkpoints of one architecture, two or more; they stay as they are. The first one's basis is used.
        like: the skeleton of all.
        data: an npz file with ``inputs`` from where the network is to work; foresight, statistics and the method
            ``activations`` need them. ``targets`` beside them are trained on by ``straight-through``, ``sinkhorn`` and
            the star; otherwise the loss is measured with them, on rows that statistics were not set right on.
        method: how they are aligned (see ``align``), or ``none``.
        weights: share of each network; None: equal.
        by_slot: pattern of slots -> other shares.
        decay: the networks are checkpoints of one run, in their order, and are averaged as if the learning rate had
            decayed so (``match.wsm``): ``linear``, ``cosine``, ``1-sqrt`` or ``inverse-sqrt``. Nothing is aligned.
        steps: at which steps the checkpoints were taken; None: evenly spaced.
        mend: by which rule statistics are set right where there are inputs (``match.mend_rules``): ``parents``,
            ``batch`` or ``none``; True: ``parents``, False: ``none``.
        answers: ``classes`` or ``numbers``: how answers are read for what is foreseen; None: by the shape, and the
            reason says how.
        star: train a star model in so many steps (``match.star``) instead of averaging; None: average.
        input: the shape of an example input for the skeleton.
        seed: of everything that is drawn.
        plan: stop before anything is written.
        out: where to write the merged network (safetensors).
        anyway: write it although it should not work.
        force: replace what is there.
        progress: told what is being done.

    Raises:
        InputError: a file, the data or an option cannot be used.
        OutputError: the answer cannot be written where it is wanted, or should not work.
    """
    if len(networks) < 2:
        raise UsageError("one network cannot be merged", "", "Give two or more")
    if answers not in (None, "classes", "numbers"):
        raise UsageError(f"answers are not read as {answers!r}", "--answers", "Choose one of classes, numbers")
    rule = find_rule(mend)
    if star is not None:
        _check_star(method, weights, by_slot)
    if decay is not None or steps is not None:
        method, weights = NO_METHOD, _decaying(decay, steps, len(networks), weights, star)
    options = AlignOptions(like, "weights" if method == NO_METHOD else method, input, seed=seed)
    if out is not None and not plan:
        check_free(out, (*networks, data, like), force=force)
    told = progress or (lambda _: None)
    told("reading")
    pair = open_networks(networks, like, input)
    asked = None if method == NO_METHOD else find_method(method)
    trains = "--star" if star is not None else "--method" if asked and asked.wants_targets else ""
    samples = pair.samples(data, wanted=bool(asked and asked.wants_inputs), seed=seed, trains=trains)
    shares = tuple([1 / len(networks)] * len(networks) if weights is None else weights)
    run = {
        "like": like,
        "method": method,
        "weights": list(shares),
        "by_slot": {pattern: list(each) for pattern, each in (by_slot or {}).items()},
        "star": star,
        "answers": answers,
        "mend": rule or "none",
        "seed": seed,
        "version": __version__,
    }
    told("matching")
    tensors: Mapping[str, np.ndarray]
    if star is None:
        parents = _aligned(pair, options if asked else None, samples)
        told("merging")
        tensors = average(parents, shares, by_slot)
    else:
        parents, tensors = _star(pair, samples, star, seed, told)
    merged = _looked_at(pair, parents, tensors, samples, run, trained_on=bool(trains))
    if out is not None and not plan:
        merged.save(out, force=force, anyway=anyway)
    return merged


def _decaying(
    decay: str | None, steps: Sequence[int] | None, count: int, weights: Sequence[float] | None, star: int | None
) -> list[float]:
    """The shares of checkpoints that emulate a decay."""
    from reknit.match.wsm import averaging_weights

    if decay is None:
        raise UsageError("they are the steps of a decay", "--steps", "Name it with --decay")
    if weights is not None or star is not None:
        raise UsageError("the decay says what the shares are", "--decay", "Leave --weights and --star away")
    if steps is None and decay == "inverse-sqrt":
        raise UsageError("it depends on the steps themselves", "--decay", "Give them with --steps")
    if steps is not None and len(steps) != count:
        raise UsageError(f"there are {len(steps)} steps for {count} networks", "--steps", "Give one for each")
    return [float(share) for share in averaging_weights(decay, steps or range(1, count + 1))]


def _symmetries(pair: Pair, options: AlignOptions, samples: Samples) -> list[Basis]:
    """Into the first network's basis, so that all pairs agree."""
    if options.method == "weights":
        return list(match_many(pair.skeleton, [each.tensors for each in pair.networks], seed=options.seed))
    found: list[Basis] = [Symmetry(pair.skeleton, ())]
    for network in pair.networks[1:]:
        two = Pair(pair.skeleton, (pair.networks[0], network), pair.computer)
        found.append(found_symmetry(two, options, samples)[0])
    return found


def _check_star(method: str, weights: Sequence[float] | None, by_slot: Mapping[str, Sequence[float]] | None) -> None:
    if weights or by_slot:
        raise UsageError("a star has no shares", "--star", "Leave the weights out")
    if method != "weights":
        raise UsageError(f"a star is aligned by weights, not by {method}", "--star", "Leave the method out")


def _star(
    pair: Pair, samples: Samples, steps: int, seed: int, told: Callable[[str], None]
) -> tuple[list[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]:
    """The networks in the basis of a star model, and the star."""
    from reknit.match.star import StarTraining, train_star

    settings = StarTraining(steps=steps, seed=seed)
    star = train_star(pair.computer, [each.tensors for each in pair.networks], samples, settings, told)
    return list(star.networks), star.tensors


def _aligned(pair: Pair, options: AlignOptions | None, samples: Samples) -> list[Mapping[str, np.ndarray]]:
    if options is None:
        return [each.tensors for each in pair.networks]
    symmetries = _symmetries(pair, options, samples)
    return [symmetry.apply(dict(each.tensors)) for symmetry, each in zip(symmetries, pair.networks, strict=True)]


def _looked_at(
    pair: Pair,
    parents: Sequence[Mapping[str, np.ndarray]],
    tensors: Mapping[str, np.ndarray],
    samples: Samples,
    run: Mapping[str, Any],
    *,
    trained_on: bool,
) -> Merge:
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
    verdict, reason = VERDICTS[ahead.outlook], ahead.reason
    if not all(each.holds for each in same):
        verdict, reason = "failed", "a network would compute something else after alignment"
    return Merge(verdict, reason, ahead, same, said, _notes(parents), run, tensors, pair.networks[0])


def _halves(samples: Samples, seed: int) -> tuple[Samples, Samples]:
    """Rows to set statistics right on, and rows to foresee by; few rows serve for both."""
    import torch

    from reknit.match.preflight import FEWEST

    if len(samples) < 2 * FEWEST:
        return samples, samples
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed))
    return samples.some(order[: len(order) // 2]), samples.some(order[len(order) // 2 :])


def _all_equal(parents: Sequence[Mapping[str, np.ndarray]]) -> bool:
    first, *others = parents
    return all(np.array_equal(first[slot], each[slot]) for each in others for slot in first if slot in each)


def _notes(parents: Sequence[Mapping[str, np.ndarray]]) -> tuple[str, ...]:
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
