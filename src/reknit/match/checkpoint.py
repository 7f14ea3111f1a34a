"""The checkpoint of a training: a safetensors file beside the answer, from which a killed run goes on.

It goes on to the same bytes. The file holds what is trained, Adam's moments, the state of the generator, the symmetries
found so far and the step, and the fingerprint of all that decides the answer. What can be computed again from the
inputs (the start, the loss of the ends) is not kept. It is written every ``EVERY`` steps, in one piece, and removed
when the answer has been written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reknit import __version__
from reknit.containers.opening import open_container
from reknit.containers.safetensors_file import SafetensorsFile
from reknit.containers.unfinished import check_belongs, nothing_believed
from reknit.containers.write import write_file
from reknit.match.pairs import Pair
from reknit.match.samples import Samples
from reknit.skeleton.computed import fingerprint_of
from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.symmetry import Permutation, Symmetry

EVERY = 20
"""Steps from one checkpoint to the next."""


@dataclass(frozen=True, eq=False)
class Descent:
    """What changes while a network or a basis is trained.

    Attributes:
        trained: name -> numbers, changed in place.
        optimiser: of exactly these, in their order.
        generator: what everything is drawn from.
    """

    trained: Mapping[str, Tensor]
    optimiser: torch.optim.Optimizer
    generator: torch.Generator


@dataclass(frozen=True)
class Reached:
    """How far a descent had come.

    Attributes:
        step: the last one that was taken; 0: none.
        symmetries: name -> what was found.
        numbers: name -> value.
    """

    step: int = 0
    symmetries: Mapping[str, Symmetry] | None = None
    numbers: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Checkpoint:
    """Where one descent keeps its state.

    Attributes:
        path: the file; None: nothing is kept.
        fingerprint: of all that decides the answer.
        resume: whether to go on from what is there.
    """

    path: Path | None = None
    fingerprint: str = ""
    resume: bool = False

    def part(self, name: object) -> Checkpoint:
        """The checkpoint of one descent of several."""
        if self.path is None:
            return self
        return Checkpoint(part_of(self.path, name), f"{self.fingerprint} {name}", self.resume)

    def load(self, descent: Descent, skeleton: Skeleton) -> Reached:
        """Bring a descent to where it had come; step 0 and no change if nothing is there.

        Raises:
            InputError: the checkpoint is damaged.
            UsageError: it belongs to other networks, data or options.
        """
        if self.path is None or not self.resume or not self.path.exists():
            return Reached()
        with nothing_believed(self.path):
            stored = open_container(self.path)
            if not isinstance(stored, SafetensorsFile):
                raise ValueError("not a safetensors file")
            known = json.loads(stored.metadata["state"])
            check_belongs(known["fingerprint"], self.fingerprint, self.path, to="networks, data or options")
            tensors = {key: stored.read(key) for key in stored.tensors}
            symmetries = {
                name: _symmetry(skeleton, [(group, tensors[f"symmetry/{name}/{group}"]) for group in groups])
                for name, groups in known["symmetries"].items()
            }
            _restore(descent, tensors)
            numbers = {str(name): float(value) for name, value in known["numbers"].items()}
            return Reached(int(known["step"]), symmetries, numbers)

    def save(self, descent: Descent, reached: Reached) -> bool:
        """Write the state, if it is time; the old checkpoint is replaced in one step. Whether it was written."""
        if self.path is None or reached.step % EVERY:
            return False
        from safetensors.torch import save

        symmetries = reached.symmetries or {}
        state = {
            "fingerprint": self.fingerprint,
            "step": reached.step,
            "symmetries": {name: [each.group for each in one.permutations] for name, one in symmetries.items()},
            "numbers": dict(reached.numbers or {}),
        }
        orders = {
            f"symmetry/{name}/{each.group}": torch.from_numpy(each.order.copy())
            for name, one in symmetries.items()
            for each in one.permutations
        }
        kept = {key: value.detach().contiguous() for key, value in _state_of(descent).items()}
        write_file(self.path, save({**kept, **orders}, {"state": json.dumps(state)}), force=True)
        return True


def fingerprint_of_run(pair: Pair, samples: Samples, deciding: object) -> str:
    """A hash of the networks, the module, the data and the options that decide what a training comes to."""
    whole = hashlib.sha256(repr((fingerprint_of(pair.computer.like, pair.skeleton), deciding, __version__)).encode())
    named = [(k, slot, value) for k, each in enumerate(pair.networks) for slot, value in each.tensors.items()]
    targets = () if samples.targets is None else (samples.targets,)
    named += [(-1, str(k), each.numpy()) for k, each in enumerate((*samples.inputs, *targets))]
    for k, name, value in named:
        numbers = hashlib.sha256(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data).hexdigest()
        whole.update(f"{k} {name} {value.dtype} {value.shape} {numbers}\n".encode())
    return whole.hexdigest()


def part_of(path: Path, name: object) -> Path:
    """The checkpoint of one descent of several."""
    return path.with_name(f"{path.name}-{name}")


def _state_of(descent: Descent) -> dict[str, Tensor]:
    """All numbers of a descent, by names of their own."""
    found = {f"trained/{name}": value for name, value in descent.trained.items()}
    for k, moments in descent.optimiser.state_dict()["state"].items():
        found |= {f"moments/{k}/{name}": value for name, value in moments.items()}
    return {**found, "generator": descent.generator.get_state()}


def _restore(descent: Descent, tensors: Mapping[str, np.ndarray]) -> None:
    """Put numbers back; nothing is changed unless all are of the right sizes."""
    found = {key: torch.from_numpy(np.array(value, order="C")) for key, value in tensors.items()}
    values = [found[f"trained/{name}"] for name in descent.trained]
    if any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip(values, descent.trained.values(), strict=True)):
        raise ValueError("trained numbers of another network")
    moments: dict[int, dict[str, Any]] = {}
    for k, value in enumerate(values):
        moments[k] = {name: found[f"moments/{k}/{name}"] for name in ("step", "exp_avg", "exp_avg_sq")}
        if any(moments[k][name].shape != value.shape for name in ("exp_avg", "exp_avg_sq")):
            raise ValueError("moments of another network")
    if found["generator"].shape != descent.generator.get_state().shape or found["generator"].dtype != torch.uint8:
        raise ValueError("not the state of a generator")
    descent.generator.set_state(found["generator"])
    with torch.no_grad():
        for value, target in zip(values, descent.trained.values(), strict=True):
            target.copy_(value)
    groups = descent.optimiser.state_dict()["param_groups"]
    descent.optimiser.load_state_dict({"state": moments, "param_groups": groups})


def _symmetry(skeleton: Skeleton, orders: list[tuple[str, np.ndarray]]) -> Symmetry:
    return Symmetry(skeleton, tuple(Permutation(group, order) for group, order in orders))
