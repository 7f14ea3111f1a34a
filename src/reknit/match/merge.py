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
from reknit.match.methods import find_method
from reknit.match.networks import Network, write_network
from reknit.match.pairs import Pair, check_free, open_networks
from reknit.skeleton.symmetry import Symmetry

if TYPE_CHECKING:
    from reknit.match.computing import SameFunction
    from reknit.match.preflight import Outlook, Preflight
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
        preflight: the foreseen barrier and the layers that conflict.
        same: of every network but the first, the proof that alignment left its function as it was.
        mended: what was set right after averaging, in words.
        run: options and version.
        tensors: slot -> numbers of the merged network.
        source: whose keys and dtypes it is written with.
    """

    verdict: Verdict
    reason: str
    preflight: Preflight
    same: tuple[SameFunction, ...]
    mended: str
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
    mend: bool = True,
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
            ``activations`` need them. Targets are not looked at.
        method: how they are aligned (see ``align``), or ``none``.
        weights: share of each network; None: equal.
        by_slot: pattern of slots -> other shares.
        mend: whether statistics are set right, where there are inputs.
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
    options = AlignOptions(like, "weights" if method == NO_METHOD else method, input, seed=seed)
    if out is not None and not plan:
        check_free(Path(out), tuple(map(Path, networks)), force=force)
    told = progress or (lambda _: None)
    told("reading")
    pair = open_networks(networks, like, input)
    wanted = method != NO_METHOD and find_method(method).wants_inputs
    samples = pair.samples(data, wanted=wanted, seed=seed)
    shares = tuple(weights or [1 / len(networks)] * len(networks))
    told("matching")
    symmetries = [] if method == NO_METHOD else _symmetries(pair, options, samples)
    parents = _aligned(pair, symmetries)
    told("merging")
    tensors = average(parents, shares, by_slot)
    run = {"like": like, "method": method, "weights": list(shares), "seed": seed, "version": __version__}
    merged = _looked_at(pair, parents, tensors, samples, run, mend=mend)
    if out is not None and not plan:
        merged.save(out, force=force, anyway=anyway)
    return merged


def _symmetries(pair: Pair, options: AlignOptions, samples: Samples) -> list[Basis]:
    """Into the first network's basis, so that all pairs agree."""
    if options.method == "weights":
        return list(match_many(pair.skeleton, [each.tensors for each in pair.networks], seed=options.seed))
    found: list[Basis] = [Symmetry(pair.skeleton, ())]
    for network in pair.networks[1:]:
        two = Pair(pair.skeleton, (pair.networks[0], network), pair.computer)
        found.append(found_symmetry(two, options, samples)[0])
    return found


def _aligned(pair: Pair, symmetries: Sequence[Basis]) -> list[Mapping[str, np.ndarray]]:
    if not symmetries:
        return [each.tensors for each in pair.networks]
    return [symmetry.apply(dict(each.tensors)) for symmetry, each in zip(symmetries, pair.networks, strict=True)]


def _looked_at(
    pair: Pair,
    parents: Sequence[Mapping[str, np.ndarray]],
    tensors: Mapping[str, np.ndarray],
    samples: Samples,
    run: Mapping[str, Any],
    *,
    mend: bool,
) -> Merge:
    """The average, mended where there are inputs, with what is foreseen of it and the proofs."""
    from reknit.match.computing import compare
    from reknit.match.mending import mended, what_is_mended
    from reknit.match.preflight import preflight

    said, shares = "nothing", run["weights"]
    if mend and not samples.drawn:
        tensors, said = mended(pair.computer, tensors, parents, shares, samples), what_is_mended(pair.computer)
    ahead = preflight(pair.computer, tensors, parents, shares, samples)
    moved = [(each.tensors, parent) for each, parent in zip(pair.networks, parents, strict=True)][1:]
    same = tuple(compare(pair.computer, *each, samples) for each in moved if each[0] is not each[1])
    verdict, reason = VERDICTS[ahead.outlook], ahead.reason
    if not all(each.holds for each in same):
        verdict, reason = "failed", "a network would compute something else after alignment"
    return Merge(verdict, reason, ahead, same, said, run, tensors, pair.networks[0])
