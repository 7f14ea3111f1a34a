"""Representations of two networks, site by site, and each beside those at other depths: one CKA alone says little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from reknit.match.computing import Computer
from reknit.match.judging import Interval
from reknit.match.likeness import Cca, Leading, Representation, cca_between, cka_between, leading_between
from reknit.match.samples import Samples
from reknit.match.sites import POSITIONS, Site, find_sites, look, parts

MOST_SITES = 64
"""Sites in the matrix; of more, some evenly spaced ones."""
Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class SiteLikeness:
    """One site of both networks.

    Attributes:
        name: ``layers.0 writes``.
        units: how many.
        constant: of these, how many do not vary in the first and the second network.
        positions: of one row.
        cka: linear, unbiased, with a 95 % interval over rows; None where it cannot be said.
        cca: canonical correlations.
        leading: leading principal directions; None where a network does not vary there.
    """

    name: str
    units: int
    constant: tuple[int, int]
    positions: int
    cka: Interval | None
    cca: Cca
    leading: Leading | None

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "site": self.name,
            "units": self.units,
            "constant_units": list(self.constant),
            "positions": self.positions,
            "cka": None if self.cka is None else self.cka.as_json(),
            "cca": self.cca.as_json(),
            "leading": None if self.leading is None else self.leading.as_json(),
        }


@dataclass(frozen=True, eq=False)
class CkaMatrix:
    """CKA of every site of the first network with every one of the second; NaN where positions are not the same.

    Attributes:
        names: of the sites.
        values: first network by second network.
    """

    names: tuple[str, ...]
    values: Float[np.ndarray, "sites sites"]

    @property
    def margins(self) -> Float[np.ndarray, " sites"]:
        """Of each site: CKA with its counterpart less the best with another, in its row or column; NaN if alone."""
        others = np.where(np.eye(len(self.values), dtype=bool), np.nan, self.values)
        rivals = np.fmax(
            np.fmax.reduce(others, axis=1, initial=-np.inf), np.fmax.reduce(others, axis=0, initial=-np.inf)
        )
        return np.where(np.isfinite(rivals), np.diag(self.values) - rivals, np.nan)

    @property
    def found(self) -> tuple[int, int]:
        """How many sites are most like their own counterpart, and of how many that can be asked."""
        margins = self.margins
        return int((margins > 0).sum()), int(np.isfinite(margins).sum())

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {"sites": list(self.names), "cka": self.values.tolist(), "margins": self.margins.tolist()}


@dataclass(frozen=True, eq=False)
class SiteBySite:
    """Representations of two networks.

    Attributes:
        sites: in the order of the forward pass.
        matrix: each with those at other depths.
        rows: that were looked at.
        notes: what was left out, in sentences.
    """

    sites: tuple[SiteLikeness, ...]
    matrix: CkaMatrix
    rows: int
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "rows": self.rows,
            "sites": [each.as_json() for each in self.sites],
            "matrix": self.matrix.as_json(),
            "notes": list(self.notes),
        }


def site_by_site(
    computer: Computer,
    first: Tensors,
    second: Tensors,
    aligned: Tensors | None,
    samples: Samples,
    *,
    seed: int = 0,
) -> SiteBySite:
    """Compare two networks wherever a representation can be seen.

    Args:
        computer: runs the module.
        first: slot -> numbers.
        second: slot -> numbers.
        aligned: the second one in the first one's basis; None: it is not aligned.
        samples: real inputs, 2 rows or more.
        seed: of the rows that are drawn where there are more than 4096, and of bootstraps.
    """
    if len(samples) > POSITIONS:
        order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed))
        samples = samples.some(order[:POSITIONS].sort().values)
    sites = find_sites(computer, (first, second), samples)
    shown = _spaced(sites.found)
    found: list[SiteLikeness] = []
    kernels: tuple[dict[Site, np.ndarray], dict[Site, np.ndarray]] = ({}, {})
    lost = 0
    for part in parts(sites.found, len(samples)):
        seen = [look(computer, net, samples, part) for net in (first, second)]
        moved = {} if aligned is None else look(computer, aligned, samples, part)
        for site in part:
            if any(site not in each for each in seen):
                lost += 1
                continue
            a, b = (Representation(each.pop(site)) for each in seen)
            c = Representation(moved.pop(site)) if site in moved else None
            found.append(_likeness(site, a, b, c, seed))
            for kept, each in zip(kernels, (a, b), strict=True):
                if site in shown and each.kernel is not None:
                    kept[site] = _packed(each.kernel)
    notes = _notes(sites.constant, sites.mixed, lost, len(sites.found) - len(shown), not sites.found)
    return SiteBySite(tuple(found), _matrix(shown, *kernels), len(samples), notes)


def _likeness(
    site: Site, a: Representation, b: Representation, aligned: Representation | None, seed: int
) -> SiteLikeness:
    constant = tuple(int((~each.varies).sum()) for each in (a, b))
    return SiteLikeness(
        site.name,
        site.width,
        (constant[0], constant[1]),
        site.positions,
        cka_between(a, b),
        cca_between(a, b, seed),
        leading_between(a, b, aligned, seed),
    )


def _spaced(sites: Sequence[Site]) -> list[Site]:
    if len(sites) <= MOST_SITES:
        return list(sites)
    return [sites[k] for k in np.linspace(0, len(sites) - 1, MOST_SITES).round().astype(int)]


def _packed(kernel: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " pairs"]:
    """Half of a kernel of norm 1, such that products are halves of CKAs."""
    return np.asarray(kernel[np.triu_indices(len(kernel), 1)], dtype=np.float32)


def _matrix(sites: Sequence[Site], first: Mapping[Site, np.ndarray], second: Mapping[Site, np.ndarray]) -> CkaMatrix:
    values = np.full((len(sites), len(sites)), np.nan)
    for i, one in enumerate(sites):
        for j, other in enumerate(sites):
            if one in first and other in second and one.positions == other.positions:
                values[i, j] = 2 * float(first[one] @ second[other])
    return CkaMatrix(tuple(site.name for site in sites), values)


def _notes(constant: int, mixed: int, lost: int, thinned: int, nothing: bool) -> tuple[str, ...]:
    notes = []
    if nothing:
        notes.append("no operation on a slot was seen in the forward pass")
    if constant:
        notes.append(f"{_sites(constant)} the same whatever the rows, as a table of positions, and left out")
    if mixed:
        notes.append(f"at {mixed} more no row can be told from another, as over a batch; left out")
    if lost:
        notes.append(f"{_sites(lost)} infinite, or elsewhere, for some rows, and left out")
    if thinned:
        notes.append(f"the matrix shows {MOST_SITES} sites, evenly spaced")
    return tuple(notes)


def _sites(count: int) -> str:
    return "1 site is" if count == 1 else f"{count} sites are"
