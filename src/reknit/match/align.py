"""``align``: a network brought into the basis of another, without changing what it computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from reknit import __version__
from reknit.errors import OutputError
from reknit.match.agreement import TensorAgreement, agreement
from reknit.match.clock import Clock
from reknit.match.finding import AlignOptions, Basis, found_symmetry
from reknit.match.methods import find_method
from reknit.match.networks import Network, write_network
from reknit.match.pairs import Pair, check_free, open_networks
from reknit.match.unfinished_files import claim_checkpoint, forget
from reknit.skeleton.symmetry import Symmetry

if TYPE_CHECKING:
    from reknit.match.checkpoint import Checkpoint
    from reknit.match.computing import SameFunction
    from reknit.match.samples import Samples

Verdict = Literal["exact", "failed"]
HALVES = ("float16", "bfloat16")
"""Dtypes of few digits: factors are powers of two there, which cost none."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """A network in the basis of another.

    Attributes:
        verdict: ``exact`` if the aligned network computes what it computed before, to rounding; else ``failed``. It
            says nothing of how near the two networks are: that is ``after``.
        reason: one sentence.
        symmetry: what was applied.
        same: the proof.
        before: agreement with the first network, tensor by tensor, before.
        after: and after.
        objective: what the method reached, in its own units.
        seconds: per stage.
        run: options and version.
        tensors: slot -> numbers of the aligned network.
    """

    verdict: Verdict
    reason: str
    symmetry: Basis
    same: SameFunction
    before: tuple[TensorAgreement, ...]
    after: tuple[TensorAgreement, ...]
    objective: float
    seconds: Mapping[str, float]
    run: Mapping[str, Any]
    tensors: Mapping[str, np.ndarray] = field(repr=False)
    source: Network = field(repr=False)

    @property
    def distance(self) -> tuple[float, float]:
        """Root mean square over all tensors of the relative distance, before and after."""
        return _overall(self.before), _overall(self.after)

    @property
    def directions(self) -> tuple[float, float]:
        """Mean agreement of leading singular directions, before and after."""
        return _directions(self.before), _directions(self.after)

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "function": {
                "largest_difference": self.same.largest,
                "tolerance": self.same.tolerance,
                "numbers": self.same.answers,
                "inputs": "drawn" if self.same.drawn else "given",
            },
            "distance": dict(zip(("before", "after"), self.distance, strict=True)),
            "directions": dict(zip(("before", "after"), self.directions, strict=True)),
            "objective": self.objective,
            "tensors": [
                {
                    "slot": old.slot,
                    "distance": [old.distance, new.distance],
                    "directions": [old.directions, new.directions],
                }
                for old, new in zip(self.before, self.after, strict=True)
            ],
            "groups": [
                {
                    "group": each.group,
                    "moved": int((each.order != np.arange(each.order.shape[1])).sum()),
                    "units": each.order.size,
                }
                for each in self.symmetry.permutations
            ],
            "seconds": dict(self.seconds),
            **self.run,
        }

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the aligned network as safetensors, under the keys and in the dtypes of its file.

        Raises:
            OutputError: the function changed, something is there and ``force`` is off, or it cannot be written.
        """
        if self.verdict != "exact":
            raise OutputError("is not written: the aligned network would compute something else", path, self.reason)
        write_network(path, self.tensors, self.source, force=force)


def _overall(found: tuple[TensorAgreement, ...]) -> float:
    known = [each.distance for each in found]
    return float(np.sqrt(np.mean(np.square(known)))) if known else 0.0


def _directions(found: tuple[TensorAgreement, ...]) -> float:
    known = [each.directions for each in found if each.directions is not None]
    return float(np.mean(known)) if known else 1.0


def align(
    first: str | Path,
    second: str | Path,
    *,
    like: str,
    method: str = "weights",
    data: str | Path | None = None,
    input: str | None = None,  # noqa: A002  the word of the command line
    weighing: str = "standardised",
    scales: bool = False,
    seed: int = 0,
    polar: str = "svd",
    polar_steps: int = 10,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Alignment:
    """Bring the second network into the basis of the first, and prove that it computes what it computed.

    Args:
        first: a checkpoint; it stays as it is.
        second: another one of the same architecture.
        like: the skeleton of both (see ``reknit.assemble``).
        method: ``weights``, ``activations``, ``rotation``, ``straight-through`` or ``sinkhorn`` (docs/merging.md says
            which when).
        data: an npz file with ``inputs``; the proof uses them, and methods that look at activations need them. Methods
            that train need ``targets`` too.
        input: the shape of an example input for the skeleton.
        weighing: ``standardised`` or ``plain`` (the published objective), for the method ``weights``.
        scales: look for factors and signs on units too, where they leave the function as it is; the module is asked
            which do.
        seed: of everything that is drawn.
        polar: how the method ``rotation`` computes polar factors (``reknit.solvers.polar``).
        polar_steps: of an inexact one, which is no rotation: the proof tells by how much the function changes.
        out: where to write the aligned network (safetensors); nothing is written if the proof fails. Methods that train
            keep a checkpoint beside it until it is written.
        resume: go on from that checkpoint, to the same bytes.
        force: replace what is there.
        progress: told what is being done.

    Raises:
        InputError: a file, the data or an option cannot be used.
        OutputError: the answer cannot be written where it is wanted; found out before the search.
    """
    options = AlignOptions(like, method, input, weighing, scales, seed, polar, polar_steps)
    if out is not None:
        check_free(out, (first, second, data, like), force=force)
    asked = find_method(method)
    kept = claim_checkpoint(out, trains=asked.wants_targets, resume=resume, force=force)
    told = progress or (lambda _: None)
    clock = Clock()
    told("reading")
    pair = open_networks((first, second), options.like, options.input_shape)
    samples = pair.samples(data, wanted=asked.wants_inputs, seed=seed, trains="--method" if asked.wants_targets else "")
    clock.stop("read")
    told("matching")
    symmetry, objective = found_symmetry(
        pair, options, samples, _checkpoint(kept, pair, samples, options, resume), told
    )
    clock.stop("match")
    told("proving")
    if isinstance(symmetry, Symmetry) and any(dtype in HALVES for dtype in pair.networks[1].dtypes.values()):
        symmetry = symmetry.in_powers_of_two()
    aligned = symmetry.apply(dict(pair.networks[1].tensors))
    from reknit.match.computing import same_function

    same = same_function(pair.computer, pair.networks[1].tensors, aligned, samples)
    clock.stop("prove")
    found = _written_up(pair, options, symmetry, objective, same, aligned, clock.seconds)
    if out is not None:
        found.save(out, force=force)
        forget(out)
    return found


def _checkpoint(
    path: Path | None, pair: Pair, samples: Samples, options: AlignOptions, resume: bool
) -> Checkpoint | None:
    if path is None:
        return None
    from reknit.match.checkpoint import Checkpoint, fingerprint_of_run

    return Checkpoint(path, fingerprint_of_run(pair, samples, ("align", options)), resume)


def _written_up(
    pair: Pair,
    options: AlignOptions,
    symmetry: Basis,
    objective: float,
    same: SameFunction,
    aligned: Mapping[str, np.ndarray],
    seconds: Mapping[str, float],
) -> Alignment:
    inputs = f"{'drawn' if same.drawn else 'given'} inputs"
    off = f"at most {same.largest:.3g} off where {same.tolerance:.3g} is rounding, on {inputs}"
    run: dict[str, Any] = {
        "like": options.like,
        "method": options.method,
        "weighing": options.weighing,
        "scales": options.scales,
        "seed": options.seed,
    }
    source = pair.networks[1]
    from reknit.match.turned_basis import TurnedBasis

    if isinstance(symmetry, TurnedBasis):
        run |= {"polar": options.polar, "polar_steps": options.polar_steps, "rotation": symmetry.as_json()}
        source = source.in_single()
    return Alignment(
        "exact" if same.holds else "failed",
        f"the aligned network computes what it computed before: {off}"
        if same.holds
        else f"the aligned network computes something else: {off}",
        symmetry,
        same,
        agreement(pair.skeleton, pair.networks[0].tensors, pair.networks[1].tensors),
        agreement(pair.skeleton, pair.networks[0].tensors, aligned),
        objective,
        seconds,
        {**run, "version": __version__},
        aligned,
        source,
    )
