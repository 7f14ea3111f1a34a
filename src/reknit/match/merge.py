"""``merge``: networks of one architecture, brought into one basis, averaged and mended; and what is foreseen of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from reknit.errors import OutputError
from reknit.match.merge_options import MergeOptions
from reknit.match.merging import Merged, merged
from reknit.match.networks import Network, write_network
from reknit.match.unfinished_files import forget

if TYPE_CHECKING:
    from reknit.match.computing import SameFunction
    from reknit.match.foresight_margin import Outlook
    from reknit.match.preflight import Preflight

Verdict = Literal["consistent", "ambiguous", "failed"]
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
        tensors: slot -> numbers of the merged network; averaged from the files when asked for, where nothing was
            aligned.
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
        forget(path)


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
    resume: bool = False,
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
        out: where to write the merged network (safetensors). What trains keeps a checkpoint beside it until then.
        anyway: write it although it should not work.
        resume: go on from the checkpoint that a killed run left beside ``out``, to the same bytes, where something is
            trained.
        force: replace what is there.
        progress: told what is being done.

    Raises:
        InputError: a file, the data or an option cannot be used.
        OutputError: the answer cannot be written where it is wanted, or should not work.
    """
    options = MergeOptions(like, data, method, weights, by_slot or {}, decay, steps, mend, answers, star, input, seed)
    place = None if plan else out
    found = judged(merged(networks, options, out=place, resume=resume, force=force, progress=progress))
    if place is not None:
        found.save(place, force=force, anyway=anyway)
    return found


def judged(found: Merged) -> Merge:
    """A merge with the verdict on it: by what is foreseen, and by whether aligned parents compute what they did."""
    verdict, reason = VERDICTS[found.preflight.outlook], found.preflight.reason
    if not all(each.holds for each in found.same):
        verdict, reason = "failed", "a network would compute something else after alignment"
    told = (found.preflight, found.same, found.mended, found.notes, found.run)
    return Merge(verdict, reason, *told, found.tensors, found.source)
