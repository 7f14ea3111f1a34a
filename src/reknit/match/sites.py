"""Where a network's representations can be seen, in the order of the forward pass, and what is there, row by row.

A site is what a layer writes, or what one reads where that is neither the module's input nor seen already: an
activation behind a norm or a ReLU. Which positions of it belong to which row is asked, not assumed: rows are given in
another order, and the layout is the one in which the values follow. Sites at which none does (statistics over a batch)
and those that are the same for every row (a table of positions) are left out, and counted.

Everything is run in float64, so that directions that hardly vary are not drowned by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from reknit.match.activations import PickUp, Place
from reknit.match.computing import Computer
from reknit.match.samples import Samples
from reknit.skeleton.skeleton import Skeleton

POSITIONS = 4096
"""Rows and positions that are looked at."""
HELD = 2**25
"""Numbers of one network that are held at a time; where there are more, the network is run again."""
PROBED = 3
"""Rows that tell the layouts."""


@dataclass(frozen=True)
class Site:
    """One representation.

    Attributes:
        place: the slot, the axis of its units, and whether it is read or written there.
        call: how often the slot was used before, in one pass.
        width: units.
        outer: positions before the rows' axis, in the layout of the values.
        inner: positions behind it.
    """

    place: Place
    call: int
    width: int
    outer: int
    inner: int

    @property
    def positions(self) -> int:
        """Of one row."""
        return self.outer * self.inner

    @property
    def name(self) -> str:
        """For people: ``layers.0 writes``."""
        layer, _, last = self.place.slot.rpartition(".")
        name = layer if layer and last == "weight" else self.place.slot
        again = f" (use {self.call + 1})" if self.call else ""
        return f"{name}{again} {'writes' if self.place.written else 'reads'}"


@dataclass(frozen=True)
class Sites:
    """What can be looked at.

    Attributes:
        found: in the order of the forward pass.
        constant: how many sites are the same in whatever order rows are given.
        mixed: how many have no layout in which rows can be told apart.
    """

    found: tuple[Site, ...]
    constant: int = 0
    mixed: int = 0


Key = tuple[Place, int]


def find_sites(computer: Computer, networks: Sequence[Mapping[str, Any]], samples: Samples) -> Sites:
    """Every site that all networks have.

    Args:
        computer: runs the module.
        networks: of the skeleton.
        samples: 2 rows or more.
    """
    rows = min(PROBED, len(samples))
    asked = samples.some(slice(rows))
    moved = asked.some(torch.arange(rows).roll(-1))
    probes = [(_probe(computer, net, asked), _probe(computer, net, moved)) for net in networks]
    found: list[tuple[Site, list[Tensor]]] = []
    constant = mixed = 0
    for key in probes[0][0]:
        if any(key not in seen for pair in probes for seen in pair) or _reads_input(computer.skeleton, *key):
            continue
        values = [(first[key], second[key]) for first, second in probes]
        if all(_same(*pair) for pair in values):
            constant += 1
            continue
        layout = _layout(values, rows)
        if layout is None:
            mixed += 1
            continue
        firsts = [pair[0] for pair in values]
        known = not key[0].written and any(all(map(_equal, firsts, others)) for _, others in found)
        if not known:
            found.append((Site(*key, len(firsts[0]), *layout), firsts))
    return Sites(tuple(site for site, _ in found), constant, mixed)


def _probe(computer: Computer, tensors: Mapping[str, Any], samples: Samples) -> dict[Key, Tensor]:
    """Channels x values of every place, use by use."""
    found: dict[Key, Tensor] = {}
    _run(computer, tensors, samples, lambda key, values: found.update({key: values.flatten(1).clone()}), len(samples))
    return found


def _run(
    computer: Computer, tensors: Mapping[str, Any], samples: Samples, show: Callable[[Key, Tensor], None], batch: int
) -> None:
    """Run a network in float64 and show what is at every place; the uses of a place are counted in each batch."""
    state = computer.state(tensors, torch.float64)
    calls: dict[Place, int] = {}

    def told(place: Place, values: Tensor) -> None:
        calls[place] = calls.get(place, -1) + 1
        if values.is_floating_point() and values.ndim > 1:
            show((place, calls[place]), values)

    with torch.no_grad(), PickUp(state, [slot.key for slot in computer.skeleton.slots], told):
        for k in range(0, len(samples), batch):
            calls.clear()
            computer.call(state, samples.some(slice(k, k + batch)).inputs)


def _reads_input(skeleton: Skeleton, place: Place, call: int) -> bool:
    """Whether a layer reads what the module was given, which says nothing of the network."""
    uses = [use for use in skeleton.uses if place.slot in use.slots.values()]
    return not place.written and call < len(uses) and not uses[call].sources


def _layout(pairs: Sequence[tuple[Tensor, Tensor]], rows: int) -> tuple[int, int] | None:
    """Positions before and behind the axis of the rows: where the values follow the rows when these are moved."""
    total = pairs[0][0].shape[1]
    if total % rows or any(each.shape != pairs[0][0].shape for pair in pairs for each in pair):
        return None
    each = total // rows
    for outer in (k for k in range(1, each + 1) if each % k == 0):
        shape = (-1, outer, rows, each // outer)
        if all(_same(a.reshape(shape).roll(-1, 2), b.reshape(shape)) for a, b in pairs):
            return outer, each // outer
    return None


def _same(a: Tensor, b: Tensor) -> bool:
    scale = float(a.abs().max()) if a.numel() else 0.0
    return a.shape == b.shape and bool(((a - b).abs() <= 1e-5 * scale).all())


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)


def parts(sites: Sequence[Site], rows: int) -> Iterator[list[Site]]:
    """The sites in portions that can be held at a time."""
    part: list[Site] = []
    held = 0
    for site in sites:
        size = rows * kept_positions(site, rows) * site.width
        if part and held + size > HELD:
            yield part
            part, held = [], 0
        part.append(site)
        held += size
    if part:
        yield part


def kept_positions(site: Site, rows: int) -> int:
    """How many positions of a row are looked at."""
    return min(site.positions, max(1, POSITIONS // rows))


def look(
    computer: Computer, tensors: Mapping[str, Any], samples: Samples, sites: Sequence[Site], *, batch: int = 32
) -> dict[Site, Float[np.ndarray, "rows positions units"]]:
    """What is at some sites, for every row; the positions are drawn, the same ones for every network and site.

    Args:
        computer: runs the module.
        tensors: slot -> numbers.
        samples: what is asked; at most ``POSITIONS`` rows.
        sites: of ``find_sites``.
        batch: rows in one forward pass.

    Returns:
        float64; without the sites whose values turn out to be of other positions, or infinite, for some rows.
    """
    known = {(site.place, site.call): site for site in sites}
    drawn = {site.positions: _drawn(site, len(samples)) for site in sites}
    found: dict[Site, list[Tensor]] = {site: [] for site in sites}

    def show(key: Key, values: Tensor) -> None:
        site = known.get(key)
        if site is None or values.numel() % (site.width * site.positions):
            return
        start = sum(len(part) for part in found[site])
        by_row = values.reshape(site.width, site.outer, -1, site.inner).permute(2, 1, 3, 0).flatten(1, 2)
        chosen = drawn[site.positions][start : start + len(by_row)]
        if len(chosen) < len(by_row):
            return
        found[site].append(by_row.gather(1, chosen[:, :, None].expand(-1, -1, site.width)).double())

    _run(computer, tensors, samples, show, batch)
    whole = {site: torch.cat(rows) for site, rows in found.items() if sum(map(len, rows)) == len(samples)}
    return {site: values.numpy() for site, values in whole.items() if bool(values.isfinite().all())}


def _drawn(site: Site, rows: int) -> Tensor:
    """Rows x positions: for each row other positions, without repetition; all of them, in order, where they fit."""
    kept = kept_positions(site, rows)
    if kept == site.positions:
        return torch.arange(kept).expand(rows, kept)
    generator = torch.Generator().manual_seed(site.positions)
    return torch.rand(rows, site.positions, generator=generator).argsort(1)[:, :kept]
