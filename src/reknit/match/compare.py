"""``compare``: how alike two networks are: their answers, what they represent on the way, and their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reknit import __version__
from reknit.errors import InputError
from reknit.match.agreement import TensorAgreement, agreement
from reknit.match.clock import Clock
from reknit.match.finding import AlignOptions, found_symmetry
from reknit.match.methods import find_method
from reknit.match.pairs import Pair, check_free, open_networks

if TYPE_CHECKING:
    from reknit.match.answers_apart import AnswersApart
    from reknit.match.estimates import Estimate
    from reknit.match.samples import Samples
    from reknit.match.site_by_site import SiteBySite

Tensors = Mapping[str, np.ndarray]
PROVED = 64
"""Rows on which the aligned network is held against what it was."""
NO_INPUTS = "there are no inputs; give some with --data"


@dataclass(frozen=True, eq=False)
class Comparison:
    """How alike two networks are.

    Attributes:
        answers: as functions, on data, a tensor of answers each; empty where there are no inputs.
        estimate: the same distance from stored numbers alone; None where there is none (``no_estimate``).
        no_estimate: why, in a sentence.
        representations: site by site; None where there are none (``no_representations``).
        no_representations: why, in a sentence.
        before: agreement of weights, tensor by tensor, as they are.
        after: with the second network aligned; empty where it is not.
        rows: of data.
        notes: what is to be known of the whole, in sentences.
        seconds: per stage.
        run: options and version.
    """

    answers: tuple[AnswersApart, ...]
    estimate: Estimate | None
    no_estimate: str
    representations: SiteBySite | None
    no_representations: str
    before: tuple[TensorAgreement, ...]
    after: tuple[TensorAgreement, ...]
    rows: int
    notes: tuple[str, ...]
    seconds: Mapping[str, float]
    run: Mapping[str, Any]

    @property
    def true(self) -> float | None:
        """The distance on data that the estimate stands for."""
        first = self.answers[0].distance if self.answers else None
        return None if first is None else first.value

    @property
    def distance(self) -> tuple[float, float | None]:
        """Of the weights, before and after: root mean square over tensors of the relative distance."""
        return _distance(self.before), _distance(self.after) if self.after else None

    @property
    def directions(self) -> tuple[float | None, float | None]:
        """Mean agreement of leading singular directions of the weights, before and after."""
        return _directions(self.before), _directions(self.after)

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        after = {each.slot: each for each in self.after}
        tensors = [
            {
                "slot": old.slot,
                "distance": [old.distance, getattr(after.get(old.slot), "distance", None)],
                "directions": [old.directions, getattr(after.get(old.slot), "directions", None)],
            }
            for old in self.before
        ]
        return {
            "answers": [each.as_json() for each in self.answers],
            "estimate": None if self.estimate is None else self.estimate.as_json(self.true),
            "no_estimate": self.no_estimate,
            "representations": None if self.representations is None else self.representations.as_json(),
            "no_representations": self.no_representations,
            "weights": {
                "distance": dict(zip(("before", "after"), self.distance, strict=True)),
                "directions": dict(zip(("before", "after"), self.directions, strict=True)),
                "tensors": tensors,
            },
            "rows": self.rows,
            "notes": list(self.notes),
            "seconds": dict(self.seconds),
            **self.run,
        }

    def report(self, path: str | Path, *, force: bool = False) -> None:
        """Draw it as one self-contained HTML page.

        Raises:
            OutputError: something is there and ``force`` is off, or it cannot be written.
        """
        from reknit.match.compare_page import write_page

        write_page(self, Path(path), force=force)


def _distance(found: tuple[TensorAgreement, ...]) -> float:
    return float(np.sqrt(np.mean([each.distance**2 for each in found]))) if found else 0.0


def _directions(found: tuple[TensorAgreement, ...]) -> float | None:
    known = [each.directions for each in found if each.directions is not None]
    return float(np.mean(known)) if known else None


def compare(
    first: str | Path,
    second: str | Path,
    *,
    like: str,
    data: str | Path | None = None,
    store: str | Path | None = None,
    method: str = "weights",
    input: str | None = None,  # noqa: A002  the word of the command line
    answers: str | None = None,
    seed: int = 0,
    report: str | Path | None = None,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """How alike two networks of one architecture are.

    Args:
        first: a checkpoint.
        second: another one.
        like: the skeleton of both (see ``reknit.assemble``).
        data: an npz file with ``inputs``; without it weights alone are compared, and functions by what ``store`` holds.
        store: a file of what LAFTR keeps of the first network, one number a unit: read if it is there, else written.
        method: how the second is aligned for what needs one basis (see ``align``), or ``none``.
        input: the shape of an example input for the skeleton.
        answers: read as ``classes`` or ``numbers``; None: by the targets, or else by their shape.
        seed: of everything that is drawn.
        report: where to draw it as an HTML page.
        force: replace what is there, of the page and of what is stored.
        progress: told what is being done.

    Raises:
        InputError: a file, the data or an option cannot be used.
        OutputError: an answer cannot be written where it is wanted.
    """
    for out in (each for each in (report, store) if each is not None):
        written = out is report or not Path(out).exists()
        check_free(out, (first, second, data, like, store if out is report else report), force=force or not written)
    options = None if method == "none" else AlignOptions(like, method, input, seed=seed)
    told, clock = progress or (lambda _: None), Clock()
    told("reading")
    pair = open_networks((first, second), like, input)
    asked = None if options is None else find_method(options.method)
    wanted, trains = asked is not None and asked.wants_inputs, asked is not None and asked.wants_targets
    samples = pair.samples(data, wanted=wanted, seed=seed, trains="--method" if trains else "")
    given = None if data is None else samples
    clock.stop("read")
    told("matching")
    aligned, notes = _aligned(pair, options, samples)
    if given is not None and given.repeated:
        notes += (f"{given.repeated} of {len(given)} rows are repeated: intervals take them for new ones",)
    clock.stop("match")
    told("answers")
    parts: dict[str, Any] = _functions(pair, aligned, given, store, answers, force=force)
    clock.stop("answers")
    told("representations")
    parts |= _representations(pair, aligned, given, seed)
    clock.stop("representations")
    a, b = (network.tensors for network in pair.networks)
    before = agreement(pair.skeleton, a, b)
    after = () if aligned is None else agreement(pair.skeleton, a, aligned)
    clock.stop("weights")
    run = {"first": str(first), "second": str(second), "like": like, "method": method, "seed": seed}
    run["version"] = __version__
    rows = 0 if given is None else len(given)
    found = Comparison(**parts, before=before, after=after, rows=rows, notes=notes, seconds=clock.seconds, run=run)
    if report is not None:
        found.report(report, force=force)
    return found


def _aligned(pair: Pair, options: AlignOptions | None, samples: Samples) -> tuple[Tensors | None, tuple[str, ...]]:
    """The second network in the first one's basis, where it computes there what it computed."""
    if options is None:
        return None, ()
    from reknit.match.computing import same_function

    second = pair.networks[1].tensors
    aligned = found_symmetry(pair, options, samples)[0].apply(dict(second))
    same = same_function(pair.computer, second, aligned, samples.some(slice(PROVED)))
    if same.holds:
        return aligned, ()
    off = f"{same.largest:.3g} off where {same.tolerance:.3g} is rounding"
    return None, (f"aligned, the second network computes something else ({off}); nothing is said of it aligned",)


def _functions(
    pair: Pair,
    aligned: Tensors | None,
    samples: Samples | None,
    store: str | Path | None,
    reading: str | None,
    *,
    force: bool,
) -> dict[str, Any]:
    """Answers on data, and the estimate without; a refusal of the estimate is an error only where it was asked for."""
    from reknit.match.answers_apart import answers_apart
    from reknit.match.estimates import estimate

    a, b = (network.tensors for network in pair.networks)
    answers = () if samples is None else answers_apart(pair.computer, a, b, samples, reading)
    try:
        found, why = estimate(pair, aligned, samples, store, force=force), ""
    except InputError as error:
        if store is not None:
            raise
        found, why = None, str(error)
    if found is None and not why:
        why = f"{NO_INPUTS}, or what was stored of some with --store."
    return {"answers": answers, "estimate": found, "no_estimate": why}


def _representations(pair: Pair, aligned: Tensors | None, samples: Samples | None, seed: int) -> dict[str, Any]:
    from reknit.match.site_by_site import site_by_site

    if samples is None or len(samples) < 2:
        why = f"{NO_INPUTS}." if samples is None else "one row tells of no variation; give more with --data."
        return {"representations": None, "no_representations": why}
    a, b = (network.tensors for network in pair.networks)
    found = site_by_site(pair.computer, a, b, aligned, samples, seed=seed)
    return {"representations": found, "no_representations": ""}
