"""``assemble`` for a skeleton: anonymous tensors and perhaps recorded outputs in, the network and a verdict out."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reknit import __version__
from reknit.containers.tensors import read_tensors
from reknit.errors import TableError
from reknit.wiring.checkpoint import load_checkpoint, save_checkpoint
from reknit.wiring.learned import Learned, learned
from reknit.wiring.matching import match_shapes
from reknit.wiring.options import WiringOptions
from reknit.wiring.pile import Pile, check_numbers, judged
from reknit.wiring.recorded import Recorded, read_recorded
from reknit.wiring.result import Wiring
from reknit.wiring.weights_placement import WeightsPlacement, place_by_weights
from reknit.wiring.write_up import write_up

if TYPE_CHECKING:
    from reknit.skeleton.like import Like
    from reknit.wiring.input_placement import InputPlacement
    from reknit.wiring.output_placement import OutputPlacement

INPUTS_SHARE = 0.15
"""Of the time, for what the inputs alone tell, where there are outputs as well."""


def wire(
    pieces: str | Path,
    data: str | Path | None,
    options: WiringOptions,
    *,
    evidence: Learned | None = None,
    progress: Callable[[str], None] | None = None,
) -> Wiring:
    """Put a network back together from its tensors; the arguments are those of ``Run`` and ``Run.wiring``.

    Raises:
        InputError: pieces, data or options cannot be used.
    """
    return Run(pieces, data, options, progress=progress).wiring(evidence=evidence)


class Run:
    """One run: files read and the skeleton traced, then, if wanted, solved.

    Args:
        pieces: a folder of tensors, or one file that holds them all.
        data: recorded inputs, with outputs or without (``recorded``); None: the weights alone.
        options: what was asked for.
        progress: told what is being done.

    Raises:
        InputError: pieces, data or options cannot be used.
    """

    def __init__(
        self,
        pieces: str | Path,
        data: str | Path | None,
        options: WiringOptions,
        *,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._tell = progress or (lambda _: None)
        self._clock = _Clock()
        self.data, self.options = data, options
        self._tell("reading")
        tensors = read_tensors(pieces)
        self.record = None if data is None else read_recorded(data)
        self._clock.stop("read")
        self._tell("tracing the skeleton")
        self.pile = Pile(tensors, options)
        self.pools = match_shapes(self.pile.skeleton, self.pile.shapes, self.pile.dtypes, str(pieces))
        check_numbers(self.pile)
        self._clock.stop("trace")

    def described(self) -> dict[str, Any]:
        """What was read, and what tells this run from another."""
        tensors = self.pile.tensors
        content = {"path": str(tensors.path), "count": len(tensors), "sha256": tensors.sha256}
        data = None
        if self.data is not None and self.record is not None:
            rows = len(self.record.inputs[0])
            data = {"path": str(self.data), "rows": rows, "sha256": read_tensors(self.data).sha256}
        from reknit.skeleton.computed import fingerprint_of

        shape = fingerprint_of(self.pile.like, self.pile.skeleton)
        parts = (content["sha256"], data and data["sha256"], shape, self.options.deciding(), __version__)
        fingerprint = hashlib.sha256(repr(parts).encode()).hexdigest()
        return {"pieces": content, "data": data, "skeleton": shape, "fingerprint": fingerprint}

    def wiring(self, *, evidence: Learned | None = None, out: Path | None = None, resume: bool = False) -> Wiring:
        """Solve it.

        Args:
            evidence: what each kind of evidence weighs; None: what reknit comes with.
            out: where the checkpoint goes; None: nowhere.
            resume: go on from the checkpoint there, if there is one.
        """
        described = self.described()
        fingerprint = str(described["fingerprint"])
        skeleton, pools, array = self.pile.skeleton, self.pools, self.pile.array
        weights = load_checkpoint(out, fingerprint, skeleton, pools, array) if out is not None and resume else None
        self._clock.stop("read", more=True)
        if weights is None:
            if out is not None:
                save_checkpoint(out, fingerprint)
            self._tell("placing by weights")
            options = self.options
            weights = place_by_weights(
                skeleton, pools, array, evidence or learned(), seed=options.seed, starts=options.starts
            )
            if out is not None:
                save_checkpoint(out, fingerprint, weights)
        self._clock.stop("weights")
        proved = given = None
        if self.record is not None:
            check_inputs(self.pile.like, self.record)
            self._tell("placing by recorded inputs")
            given = self._by_inputs(weights, self.record)
            weights = given.weights
            self._clock.stop("inputs")
        if self.record is not None and self.record.outputs:
            self._tell("placing by recorded outputs")
            proved = self._by_outputs(weights, self.record)
            self._clock.stop("outputs")
        run = self._run(weights) | described
        return write_up(self.pile, pools, weights, proved, self._clock.seconds, run, given=given)

    def _by_inputs(self, weights: WeightsPlacement, record: Recorded) -> InputPlacement:
        from reknit.wiring.input_placement import place_by_inputs

        pile, budget = self.pile, self.options.budget
        share = INPUTS_SHARE if record.outputs else 1.0
        return place_by_inputs(
            pile.like.fillable(),
            pile.skeleton,
            self.pools,
            pile.torch_tensors(),
            weights,
            record.inputs,
            budget=None if budget is None else share * budget,
        )

    def _by_outputs(self, weights: WeightsPlacement, record: Recorded) -> OutputPlacement:
        from reknit.wiring.output_placement import place

        pile, options = self.pile, self.options
        return place(
            pile.like.fillable(),  # a copy: a module that holds another one twice is left damaged by functional calls
            judged(pile.skeleton, self.pools, pile.array),
            pile.torch_tensors(),
            weights.placement,
            weights.settled,
            record.inputs,
            record.outputs,
            link=options.known_links,
            beliefs=weights.beliefs,
            ladders=weights.ladders,
            rivals=weights.rivals,
            around=weights.beliefs_around,
            noise=options.noise or 0.0,
            budget=options.budget,
            seed=options.seed,
        )

    def _run(self, weights: WeightsPlacement) -> dict[str, Any]:
        import torch

        options, threads = self.options, torch.get_num_threads()
        data = None if self.data is None else str(self.data)
        libraries = {name: version(name) for name in ("numpy", "scipy", "torch")}
        return {
            "command": options.command(str(self.pile.tensors.path), data, threads),
            "version": __version__,
            "like": options.like,
            "input": options.input_shape,
            "link": options.link,
            "noise": options.noise,
            "budget": options.budget,
            "seed": options.seed,
            "threads": threads,
            "climbs": weights.climbs,
            "software": {"python": platform.python_version(), **libraries},
        }


class _Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stop(self, stage: str, *, more: bool = False) -> None:
        """End a stage, or a part of one that was counted before."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._last + (self.seconds[stage] if more else 0.0)
        self._last = now


def check_inputs(like: Like, record: Recorded) -> None:
    """Whether the module takes the recorded inputs.

    Raises:
        TableError: it does not.
    """
    from reknit.skeleton.guess_inputs import on_meta, refusal

    reason = refusal(like.module, on_meta(record.inputs))
    if reason:
        problem = f"{like.name} does not take the recorded inputs: {reason}"
        raise TableError(problem, "inputs", "Record the arguments of the module, in their order")
