"""A plain chain of linear layers with a ReLU between, told from a skeleton: what LAFTR can estimate distances of.

Affine maps with nothing but each other between them are one layer: linear layers, and BatchNorms, which map every unit
by itself when a network is not being trained. Whatever else a module holds is refused by name. A skeleton does not tell
everything (a factor, a clamp, a softmax behind the last layer), so a chain is held against the module's own answers
before its numbers are used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from reknit.errors import InputError
from reknit.match.computing import Computer
from reknit.match.laftr import Layers, outputs
from reknit.match.samples import Samples
from reknit.skeleton.skeleton import Skeleton, Use

PLAIN = "LAFTR is for plain chains of linear layers with ReLU"
FAR = (1.0, 100.0)
"""Times the inputs at which a chain is held against the module: what bends far out is seen there."""


@dataclass(frozen=True)
class Chain:
    """The layers of a network that is a plain chain.

    Attributes:
        layers: the uses that make up each layer, in order; between two layers is a ReLU.
        turned: weights whose rows are what is read, as (inputs, outputs).
    """

    layers: tuple[tuple[Use, ...], ...]
    turned: frozenset[str]

    def __call__(self, tensors: Mapping[str, np.ndarray]) -> Layers:
        """Weight (out x in) and bias of every layer, in float64."""
        return [self._composed(uses, tensors) for uses in self.layers]

    def fingerprint(self, tensors: Mapping[str, np.ndarray]) -> bytes:
        """A hash of the numbers of the chain."""
        slots = dict.fromkeys(slot for uses in self.layers for use in uses for slot in use.slots.values())
        whole = hashlib.sha256()
        for slot in slots:
            whole.update(np.ascontiguousarray(tensors[slot], dtype=np.float64).tobytes())
        return whole.digest()

    def _composed(self, uses: Sequence[Use], tensors: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        weight, bias = self._affine(uses[0], tensors)
        for use in uses[1:]:
            outer, shift = self._affine(use, tensors)
            weight, bias = outer @ weight, outer @ bias + shift
        return weight, bias

    def _affine(self, use: Use, tensors: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        numbers = {name: np.asarray(tensors[slot], dtype=np.float64) for name, slot in use.slots.items()}
        if use.operation == "linear":
            weight = numbers["weight"].T if use.slots["weight"] in self.turned else numbers["weight"]
            return weight, numbers.get("bias", np.zeros(len(weight)))
        told = (use.details or {}).get("eps")
        variance = numbers["running_var"] + (told if isinstance(told, int | float) else 0.0)
        factor = numbers.get("weight", np.ones(len(variance))) / np.sqrt(variance)
        shift = numbers.get("bias", np.zeros(len(factor))) - factor * numbers["running_mean"]
        return np.diag(factor), shift


def relu_chain(skeleton: Skeleton) -> Chain:
    """The chain that a skeleton is.

    Raises:
        InputError: it is none; the sentence names what is not plain.
    """

    def refused(problem: str) -> InputError:
        return InputError(problem, skeleton.name, PLAIN)

    if not skeleton.uses:
        raise refused("it has no layers")
    if skeleton.refusals:
        raise refused(f"{skeleton.refusals[0].operation} is not understood")
    layers: list[list[Use]] = []
    seen: set[str] = set()
    for use in skeleton.uses:
        name = next(iter(use.slots.values())).rpartition(".")[0] or next(iter(use.slots.values()))
        _check_affine(skeleton, use, name)
        if seen & set(use.slots.values()):
            raise refused(f"{name} is used twice")
        seen |= set(use.slots.values())
        before = () if not use.step else (use.step - 1,)
        if use.sources != before:
            raise refused(f"{name} takes what several layers wrote" if len(use.sources) > 1 else "it has branches")
        if set(use.bent) - {"relu"} or (use.bent and not use.step):
            raise refused(f"{' and '.join(use.bent)} stands before {name}")
        if use.bent or not layers:
            layers.append([])
        layers[-1].append(use)
    if skeleton.meetings:
        raise refused(f"values of several layers meet in {skeleton.meetings[0].operation}")
    turned = {
        member.slot
        for group in skeleton.groups
        for member in group.members
        if (member.role, member.axis) in (("writes", 1), ("reads", 0))
    }
    return Chain(tuple(map(tuple, layers)), frozenset(turned))


def _check_affine(skeleton: Skeleton, use: Use, name: str) -> None:
    """Whether a use is a linear layer, or a BatchNorm with statistics.

    Raises:
        InputError: it is neither.
    """
    linear = use.operation == "linear" and "weight" in use.slots and len(skeleton[use.slots["weight"]].shape) == 2
    if not linear and not (use.operation == "batch_norm" and "running_var" in use.slots):
        raise InputError(f"{name} is {use.operation}", skeleton.name, PLAIN)


def chain_inputs(samples: Samples, name: str) -> Float[np.ndarray, "rows inputs"]:
    """One vector a row, in float64.

    Raises:
        InputError: the module takes something else.
    """
    if len(samples.inputs) != 1 or not samples.inputs[0].is_floating_point():
        raise InputError("its input is not one vector of numbers a row", name, PLAIN)
    return np.asarray(samples.inputs[0].flatten(1).double().numpy())


def check_chain(chain: Chain, computer: Computer, tensors: Mapping[str, np.ndarray], samples: Samples) -> None:
    """Hold a chain against the module's own answers, near and far.

    Raises:
        InputError: they are not the same.
    """
    name = computer.skeleton.name
    x = chain_inputs(samples, name)
    layers = chain(tensors)
    for factor in FAR:
        asked = Samples(tuple(each * factor for each in samples.inputs))
        answers = computer.answers(tensors, asked, torch.float64)
        if len(answers) != 1 or not answers[0].is_floating_point() or len(answers[0]) != len(x):
            raise InputError("it does not answer one tensor of numbers, row by row", name, PLAIN)
        theirs = answers[0].flatten(1).numpy() if answers[0].ndim > 1 else answers[0].numpy()[:, None]
        if x.shape[1] != layers[0][0].shape[1] or theirs.shape[1] != len(layers[-1][0]):
            raise InputError("it does more to its inputs or answers than its layers do", name, PLAIN)
        ours = outputs(layers, x * factor)
        if not np.abs(ours - theirs).max(initial=0.0) <= 1e-6 * max(float(np.abs(ours).max(initial=0.0)), 1e-300):
            raise InputError("its answers are not those of its layers with ReLU between", name, PLAIN)
