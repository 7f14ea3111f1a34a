"""``path``: loss and accuracy along the line between two networks, before and after alignment, whole and by layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import numpy as np

from reknit import __version__
from reknit.errors import UsageError
from reknit.match.averages import average
from reknit.match.finding import AlignOptions, found_symmetry
from reknit.match.mend_rules import USUAL, Rule, find_rule
from reknit.match.pairs import Pair, check_free, open_networks

if TYPE_CHECKING:
    from reknit.match.judging import Curve, Interval
    from reknit.match.samples import Samples

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class LayerBarrier:
    """What happens if one layer alone goes half the way.

    Attributes:
        layer: the slots' common prefix.
        naive: excess loss of the first network with this layer averaged, not aligned.
        aligned: the same after alignment.
    """

    layer: str
    naive: Interval
    aligned: Interval


@dataclass(frozen=True, eq=False)
class Path:
    """The line between two networks.

    Attributes:
        curves: name -> losses along the line: ``naive``, ``naive, mended``, ``aligned``, ``aligned, mended``.
        layers: layer by layer at the midpoint; empty where it was not asked for.
        mended: what was set right after averaging, in words.
        rows: how many rows were judged.
        run: options and version.
    """

    curves: Mapping[str, Curve]
    layers: tuple[LayerBarrier, ...]
    mended: str
    rows: int
    run: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "curves": {name: curve.as_json() for name, curve in self.curves.items()},
            "layers": [
                {"layer": each.layer, "naive": each.naive.as_json(), "aligned": each.aligned.as_json()}
                for each in self.layers
            ],
            "mended": self.mended,
            "rows": self.rows,
            **self.run,
        }

    def report(self, path: str | FilePath, *, force: bool = False) -> None:
        """Draw it as one self-contained HTML page.

        Raises:
            OutputError: something is there and ``force`` is off, or it cannot be written.
        """
        from reknit.match.path_page import write_page

        write_page(self, FilePath(path), force=force)


def path(
    first: str | FilePath,
    second: str | FilePath,
    *,
    like: str,
    data: str | FilePath,
    method: str = "weights",
    input: str | None = None,  # noqa: A002  the word of the command line
    places: int = 11,
    layers: bool = False,
    mend: str | bool = True,
    seed: int = 0,
    report: str | FilePath | None = None,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Loss and accuracy along the line between two networks, before and after alignment.

    The first half of the rows, in an order drawn by the seed, is for what looks at data (activations, statistics); all
    curves are judged on the other half.

    Args:
        first: a checkpoint.
        second: another one of the same architecture.
        like: the skeleton of both.
        data: an npz file with ``inputs`` and ``targets``.
        method: how they are aligned (see ``align``).
        input: the shape of an example input for the skeleton.
        places: on the line, ends included; an odd number has the midpoint among them.
        layers: whether each layer is averaged on its own too.
        mend: by which rule statistics are set right: ``parents``, ``batch`` or ``none``; True: ``parents``.
        seed: of everything that is drawn.
        report: where to draw it as an HTML page.
        force: replace what is there.
        progress: told what is being done.

    Raises:
        InputError: a file, the data or an option cannot be used.
        OutputError: the page cannot be written where it is wanted.
    """
    if report is not None:
        check_free(report, (first, second, data, like), force=force)
    if places < 2:
        raise UsageError(f"a line has two ends, not {places}", "--places", "Give at least 2")
    told, rule = progress or (lambda _: None), find_rule(mend)
    options = AlignOptions(like, method, input, seed=seed)
    told("reading")
    pair = open_networks((first, second), like, input)
    known, kept = split(pair, data, seed)
    told("matching")
    a, b = (network.tensors for network in pair.networks)
    aligned = found_symmetry(pair, options, known)[0].apply(dict(b))
    told("walking")
    curves = walk(pair, a, {"naive": b, "aligned": aligned}, places, known, kept, rule)
    from reknit.match.mending import what_is_mended

    found = Path(
        curves,
        tuple(_by_layers(pair, a, b, aligned, kept)) if layers else (),
        "nothing" if rule is None else what_is_mended(pair.computer, rule=rule),
        len(kept),
        {"like": like, "method": method, "mend": rule or "none", "seed": seed, "version": __version__},
    )
    if report is not None:
        found.report(report, force=force)
    return found


def split(pair: Pair, data: str | FilePath, seed: int) -> tuple[Samples, Samples]:
    """Rows to look at and rows to judge by."""
    import torch

    from reknit.match.samples import read_samples

    samples = read_samples(data, targets=True)
    pair.computer.check(samples, str(data))
    if len(samples) < 2:
        raise UsageError("one row cannot be looked at and judged by", "--data", "Give at least 2")
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed))
    half = len(samples) // 2
    return samples.some(order[:half]), samples.some(order[half:])


def walk(
    pair: Pair,
    first: Tensors,
    others: Mapping[str, Tensors],
    places: int,
    known: Samples,
    kept: Samples,
    rule: Rule | None = USUAL,
) -> dict[str, Curve]:
    """Curves to every other network, plain and, by a rule, mended."""
    from reknit.match.judging import judged
    from reknit.match.mending import mended, what_is_mended

    steps = np.linspace(0, 1, places).tolist()
    curves = {}
    for name, other in others.items():
        line = [average([first, other], [1 - t, t]) for t in steps]
        curves[name] = judged(pair.computer, line, steps, kept)
        if rule is not None and what_is_mended(pair.computer, rule=rule) != "nothing":
            set_right = [
                mended(pair.computer, net, [first, other], [1 - t, t], known, rule=rule) if 0 < t < 1 else net
                for t, net in zip(steps, line, strict=True)
            ]
            curves[f"{name}, mended"] = judged(pair.computer, set_right, steps, kept)
    return curves


def _by_layers(pair: Pair, first: Tensors, naive: Tensors, aligned: Tensors, kept: Samples) -> Sequence[LayerBarrier]:
    """The first network with one layer half way to the other's (Adilova et al. 2023, arXiv 2307.06966)."""
    from reknit.match.judging import bootstrapped, judged

    layers: dict[str, list[str]] = {}
    for slot in first:
        layers.setdefault(slot.rpartition(".")[0] or slot, []).append(slot)
    base = judged(pair.computer, [first], [0.0], kept).loss[0]

    def barrier(other: Tensors, slots: Sequence[str]) -> Interval:
        half = {**first, **average([{s: first[s] for s in slots}, {s: other[s] for s in slots}], [0.5, 0.5])}
        return bootstrapped(judged(pair.computer, [half], [0.5], kept).loss - base)

    return [LayerBarrier(layer, barrier(naive, slots), barrier(aligned, slots)) for layer, slots in layers.items()]
