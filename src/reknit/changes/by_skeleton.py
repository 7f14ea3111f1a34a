"""A brought into B's basis by the skeleton of both: one permutation, or one rotation, for all axes of a group.

Weight matching first (``match.weight_matching``); where its end is far from B, once more modulo factors and signs
(``match.all_symmetries``), of which the permutations are taken: factors are told tensor by tensor, exactly. Where that
is far too, rotations (``match.rotation_matching``). What comes out are candidates; that one of them is what was done is
decided by equality (``relate``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reknit.changes.counterparts import Counterpart
from reknit.changes.naming.change import Change
from reknit.changes.naming.rotation import OFF, rotation_change
from reknit.changes.related import Moved
from reknit.changes.views import View
from reknit.changes.weights import Weights
from reknit.errors import InputError, UsageError
from reknit.match.networks import Network
from reknit.match.pairs import open_networks
from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.symmetry import Symmetry

if TYPE_CHECKING:
    from reknit.match.computing import Computer

NEAR = 0.2
"""Root mean square of the relative distances, up to which nothing farther is tried."""
Tensors = dict[str, np.ndarray]


def moved_by_skeleton(
    weights: tuple[Weights, Weights], pairs: Sequence[Counterpart], like: str, input_shape: str | None, seed: int
) -> tuple[Mapping[str, Sequence[Moved]], list[str]]:
    """Name in B -> A's numbers in B's basis, in B's layout; and what is to be said about it.

    Raises:
        InputError: the skeleton cannot be used, or A's keys are not its own.
    """
    pair = open_networks((weights[0].tensors.path,), like, input_shape)
    ours = pair.networks[0]
    theirs = _in_layout_of_a(weights[1], pairs, ours)
    if isinstance(theirs, str):
        return {}, [f"the skeleton was not used: {theirs}"]
    left, right = theirs, dict(ours.tensors)
    found: list[tuple[Tensors, Mapping[str, Change], float]] = []
    notes: list[str] = []
    distance = _distance(left, right)
    if distance > 0:
        moved, changes = _permuted(pair.skeleton, left, right, seed)
        found.append((moved, changes, 0.0))
        if _distance(left, moved) > NEAR:
            found += _beyond(pair.computer, left, right, seed, notes)
    by_name: dict[str, list[Moved]] = {}
    for tensors, changes, off in found:
        for each in pairs:
            made = _as_b(each, ours, tensors, changes, off)
            if made is not None and each.second is not None:
                by_name.setdefault(each.second.name, []).append(made)
    return by_name, notes


def _permuted(skeleton: Skeleton, left: Tensors, right: Tensors, seed: int) -> tuple[Tensors, Mapping[str, Change]]:
    from reknit.match.weight_matching import match_weights

    found = match_weights(skeleton, left, right, seed=seed).symmetry
    return found.apply(right), permutations_in_words(found)


def _beyond(
    computer: Computer, left: Tensors, right: Tensors, seed: int, notes: list[str]
) -> list[tuple[Tensors, Mapping[str, Change], float]]:
    """Permutations modulo factors and signs, and rotations."""
    from reknit.match.all_symmetries import match_all
    from reknit.match.rotation_matching import match_rotations

    whole = match_all(computer, left, right, seed=seed).symmetry
    order = Symmetry(computer.skeleton, whole.permutations)
    found: list[tuple[Tensors, Mapping[str, Change], float]] = []
    found.append((order.apply(right), permutations_in_words(order), 0.0))
    if _distance(left, whole.apply(right)) <= NEAR:
        return found
    try:
        basis = match_rotations(computer, left, right, seed=seed).basis
    except (UsageError, InputError) as error:
        notes.append(f"no rotation was tried: {error}")
        return found
    turned = set(basis.turned)
    slots = {m.slot for group in computer.skeleton.groups if group.name in turned for m in group.members}
    changes = {slot: rotation_change([g for g in basis.turned if _lies(computer.skeleton, g, slot)]) for slot in slots}
    found.append((basis.apply(right), changes, OFF))
    return found


def _lies(skeleton: Skeleton, name: str, slot: str) -> bool:
    return any(m.slot == slot for group in skeleton.groups if group.name == name for m in group.members)


def permutations_in_words(symmetry: Symmetry) -> dict[str, Change]:
    """Slot -> what a symmetry does to it."""
    moved = {p.group: int((p.order != np.arange(p.order.shape[1])).sum()) for p in symmetry.permutations}
    found: dict[str, dict[str, int]] = {}
    for group in symmetry.skeleton.groups:
        if moved.get(group.name):
            for member in group.members:
                found.setdefault(member.slot, {})[group.name] = moved[group.name]
    return {
        slot: Change(
            "permutation",
            "permuted: " + ", ".join(f"{count} units of {name}" for name, count in groups.items()),
            True,
            {"groups": list(groups), "moved": groups},
        )
        for slot, groups in found.items()
    }


def _in_layout_of_a(second: Weights, pairs: Sequence[Counterpart], ours: Network) -> Tensors | str:
    """Slot -> B's numbers as A keeps them; a sentence, where some are missing."""
    by_name: Tensors = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for pair in pairs:
        if pair.second is None or not pair.views:
            continue
        view = pair.views[0]
        numbers = second.read(pair.second)[0]
        if numbers.size != sum(part.size for part in view.parts) and view.rows is None:
            return f"{pair.second.name} has another shape than in A"
        turned = _turned_back(numbers, view)
        if view.rows is not None:
            part = view.parts[0]
            whole = by_name.setdefault(part.name, np.zeros(part.shape, numbers.dtype))
            whole[view.rows[0] : view.rows[1]] = turned
            continue
        at = 0
        for part in view.parts:
            by_name[part.name] = turned[at : at + part.shape[0]].reshape(part.shape) if part.shape else turned
            shapes[part.name] = part.shape
            at += part.shape[0] if part.shape else 0
    found: Tensors = {}
    for slot, keys in ours.keys.items():
        name = next((key for key in keys if key in by_name), None)
        if name is not None:
            found[slot] = by_name[name]
        elif ours.tensors[slot].dtype.kind == "f" and ours.tensors[slot].size:
            return f"B has nothing for {slot}"
        else:
            found[slot] = ours.tensors[slot]
    return found


def _turned_back(numbers: np.ndarray, view: View) -> np.ndarray:
    """B's numbers with A's order of axes."""
    first = view.parts[0].shape
    rows = sum(part.shape[0] for part in view.parts) if view.rows is None else view.rows[1] - view.rows[0]
    whole = (rows, *first[1:])
    return np.asarray(numbers.reshape([whole[k] for k in view.axes]).transpose(np.argsort(view.axes)))


def _as_b(
    pair: Counterpart, ours: Network, tensors: Tensors, changes: Mapping[str, Change], off: float
) -> Moved | None:
    """A's moved numbers in the layout of a tensor of B, with what was done to them."""
    if pair.second is None or not pair.views:
        return None
    slots = {key: slot for slot, keys in ours.keys.items() for key in keys}
    view = pair.views[0]
    names = [slots.get(part.name) for part in view.parts]
    if any(name is None or name not in tensors for name in names):
        return None
    done = [changes[name] for name in names if name is not None and name in changes]
    numbers = view.of([tensors[name] for name in names if name is not None])
    return Moved(numbers, done[0], off) if done else None


def _distance(left: Tensors, right: Tensors) -> float:
    """Root mean square over all tensors of the relative distance."""
    found = []
    for slot, a in left.items():
        size = float(np.linalg.norm(a.astype(np.float64)))
        if a.dtype.kind == "f" and size > 0 and np.isfinite(size):
            found.append(float(np.linalg.norm(a.astype(np.float64) - right[slot])) / size)
    return float(np.sqrt(np.mean(np.square(found)))) if found else 0.0
