"""A chain of steps, done one after the other, with a record and a proof of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from reknit.changes.laundering.key import Record
from reknit.changes.laundering.layout import Stored, first_layout
from reknit.changes.laundering.proving import ALL, Proof, prove
from reknit.changes.laundering.registry import LAYOUT_ORDER, Told
from reknit.changes.laundering.state import State
from reknit.changes.laundering.step import Facts, Given, LayoutStep, NumberStep, relative

if TYPE_CHECKING:
    from reknit.match.samples import Samples


@dataclass(frozen=True, eq=False)
class Ran:
    """What a chain led to.

    Attributes:
        state: the numbers.
        stored: how they lie in the file.
        records: of every step, in the order in which they were told.
        proofs: of every step that changes numbers, and of all of them together.
    """

    state: State
    stored: tuple[Stored, ...]
    records: tuple[Record, ...]
    proofs: tuple[Proof, ...]


def run_chain(
    start: State,
    chain: Sequence[Told],
    *,
    seed: int,
    samples: Samples | None,
    progress: Callable[[str], None],
) -> Ran:
    """Do all steps: those that change numbers as they were told, then those that say where tensors lie.

    Raises:
        InputError: a step cannot be done.
    """
    records: dict[int, Record] = {}
    proofs = []
    state = start
    numbers = [(k, told) for k, told in enumerate(chain) if isinstance(told.step, NumberStep)]
    for k, told in numbers:
        progress(told.said)
        before = state
        if isinstance(told.step, NumberStep):
            state, facts = told.step.run(state, _given(seed, k, samples))
            records[k] = _record(told, facts, changed_keys(before, state))
        proofs.append(prove(told.said, before, state, samples, same=told.step.keeps_function))
    if len(numbers) == 1:
        proofs.append(replace(proofs[0], of=ALL))
    elif numbers:
        same = all(told.step.keeps_function for _, told in numbers)
        proofs.append(prove(ALL, start, state, samples, same=same))
    stored = first_layout(state)
    layout = [(k, told) for k, told in enumerate(chain) if isinstance(told.step, LayoutStep)]
    for k, told in sorted(layout, key=lambda each: LAYOUT_ORDER.index(type(each[1].step))):
        if isinstance(told.step, LayoutStep):
            stored, facts = told.step.lay(stored, state, _given(seed, k, samples))
            records[k] = _record(told, facts, {})
    return Ran(state, tuple(stored), tuple(records[k] for k in sorted(records)), tuple(proofs))


def _given(seed: int, place: int, samples: Samples | None) -> Given:
    return Given(np.random.default_rng((seed, place)), samples)


def _record(told: Told, facts: Facts, changed: Mapping[str, float]) -> Record:
    return Record(told.said, told.step.name, told.step.keeps_function, dict(told.step.parameters), facts, changed)


def changed_keys(before: State, after: State) -> dict[str, float]:
    """The keys whose numbers or dtypes are others, and by how much they moved beside their size."""
    found = {}
    for key, value in after.tensors.items():
        old = before.tensors[key]
        same = value is old or np.array_equal(value, old)
        if not same or before.dtypes[key] != after.dtypes[key]:
            found[key] = 0.0 if same else relative(value, old)
    return found
