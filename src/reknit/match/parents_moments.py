"""Every channel behind a BatchNorm, and of what is added to a stream beside one, gets its parents' mean and deviation.

Jordan, Sedghi, Saukh, Entezari, Neyshabur, "REPAIR: REnormalizing Permuted Activations for Interpolation Repair" (2022,
arXiv 2211.08403): their rule for channels without a norm, applied where norms are. With m_k and s_k the mean and
deviation of a channel over the samples in network k of share c_k,

    M = sum_k c_k m_k,    S = sum_k c_k s_k        what is wanted of the merged network's channel

A BatchNorm with gain g and bias b, whose input has mean m and deviation s in the merged network, gets

    variance = (g s / S)^2 - eps,    mean = m - (M - b) sqrt(variance + eps) / g

and a layer that is a summand of a stream is scaled by f = S / s, its bias b becomes M + f (b - m); without a bias it is
scaled alone. On samples like those of the training M is near b and S near \\|g\\|, and a BatchNorm gets what
``statistics.estimated_again`` gives it. On others that makes the samples' statistics the network's own, where here a
network mended with itself stays as it is.

One pass: every channel is set right when the forward pass of the merged network comes to it, behind those before it.
More than 256 rows go in batches, and what is set is averaged over batches, as over the calls of what is called twice.

Left alone are deviations of channels that are dead before or in the parents, and BatchNorms without a gain. A deviation
is never changed more than a thousandfold, and a variance never falls below zero: where it would, the channel varies
less than its parents' do, and its mean is theirs all the same.

Known flaw: where parents' gains differ in sign their mean is near zero, and what is left of the channel is scaled up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reknit.match.activations import CONVOLUTIONS
from reknit.match.computing import Computer
from reknit.match.samples import Samples
from reknit.match.statistics import BATCH, EveryBatchNorm, NormCall, batches, slots_in_memory
from reknit.skeleton.skeleton import Skeleton

LEAST = 1e-4
"""Share of the wanted deviation below which a channel is dead."""
MOST = 1e3
"""A channel's deviation is never changed by a larger factor."""
TINY = 1e-12
Moments = tuple[Tensor, Tensor]


def summands(skeleton: Skeleton) -> dict[str, str | None]:
    """Linear layers and convolutions whose results are summed with others: slot of the weight -> slot of the bias."""
    steps = {step for use in skeleton.uses if len(use.sources) > 1 for step in use.sources}
    return {
        use.slots["weight"]: use.slots.get("bias")
        for use in skeleton.uses
        if use.step in steps and use.operation.startswith(("linear", "conv")) and "weight" in use.slots
    }


def as_parents_have(
    computer: Computer,
    merged: Mapping[str, np.ndarray],
    parents: Sequence[Mapping[str, np.ndarray]],
    shares: Callable[[str], Sequence[float]],
    samples: Samples,
    *,
    streams: bool = True,
    batch: int = BATCH,
) -> dict[str, np.ndarray]:
    """The merged network with its parents' moments behind BatchNorms and in what is added to streams.

    Args:
        computer: runs the module.
        merged: slot -> numbers; not changed.
        parents: the networks it was made from, in one basis.
        shares: of each parent, by slot: of a running variance, or of a weight.
        samples: real inputs, if not necessarily like those of the training.
        streams: whether layers that are summands of a stream are set right too, or BatchNorms alone.
        batch: rows that moments are taken over together.

    Raises:
        TableError: there is one value for each channel.
    """
    layers = summands(computer.skeleton) if streams else {}
    states = [computer.state(each) for each in (merged, *parents)]
    found: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for part in batches(samples, batch):
            seen = []
            for state in states[1:]:
                with _Seen(computer, state, layers) as mode:
                    computer.call(state, part.inputs)
                seen.append(mode.seen)
            with _SetRight(computer, states[0], layers, seen, shares, found):
                computer.call(states[0], part.inputs)
    again = {key: torch.stack(values).double().mean(0).numpy() for key, values in found.items()}
    return {key: again[key].astype(value.dtype) if key in again else value for key, value in merged.items()}


class _Seen(EveryBatchNorm):
    """Leaves everything as it is, and keeps the mean and deviation of every channel that counts, in order."""

    def __init__(self, computer: Computer, state: Mapping[str, Tensor], layers: Mapping[str, str | None]) -> None:
        super().__init__()
        self.slot_of, self.state, self.layers = slots_in_memory(computer, state), state, layers
        self.seen: list[Moments] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = super().__torch_function__(func, types, args, kwargs)
        name = getattr(func, "__name__", "")
        if name != "linear" and name not in CONVOLUTIONS:
            return out
        weight = args[1] if len(args) > 1 else (kwargs or {})["weight"]
        slot = self.slot_of.get(weight.data_ptr())
        if slot is None or slot not in self.layers or not _is_whole(weight, self.state[slot]):
            return out
        return self.written(slot, out, 1 if name in CONVOLUTIONS else -1)

    def answer(self, call: NormCall) -> Tensor:
        """A BatchNorm's, as it is."""
        self.seen.append(behind(call, moments(call.channels)))
        return call.normed(call.mean, call.variance)

    def written(self, slot: str, out: Tensor, axis: int) -> Tensor:
        """A layer's, as it is."""
        del slot
        self.seen.append(moments(out.movedim(axis, 0).flatten(1)))
        return out


class _SetRight(_Seen):
    """Sets every channel right before it goes on, and adds what it set to what was found."""

    def __init__(
        self,
        computer: Computer,
        state: Mapping[str, Tensor],
        layers: Mapping[str, str | None],
        seen: Sequence[Sequence[Moments]],
        shares: Callable[[str], Sequence[float]],
        found: dict[str, list[Tensor]],
    ) -> None:
        super().__init__(computer, state, layers)
        self.shares, self.found = shares, found
        self.of_parents = zip(*seen, strict=True)

    def answer(self, call: NormCall) -> Tensor:
        """A BatchNorm's, with other statistics."""
        of_parents = next(self.of_parents)
        mean_slot, variance_slot = (self.slot_of.get(each.data_ptr()) for each in (call.mean, call.variance))
        if mean_slot is None or variance_slot is None:  # computed on the way, and not to be set
            return call.normed(call.mean, call.variance)
        wanted = self._mixed(variance_slot, of_parents)
        mean, variance = (each.to(call.mean.dtype) for each in set_right(call, moments(call.channels), wanted))
        self._keep(mean_slot, mean)
        self._keep(variance_slot, variance)
        return call.normed(mean, variance)

    def written(self, slot: str, out: Tensor, axis: int) -> Tensor:
        """A layer's, scaled and, where it has a bias, moved."""
        wanted, now = self._mixed(slot, next(self.of_parents)), moments(out.movedim(axis, 0).flatten(1))
        factor = changed_by(now[1], wanted[1])
        weight = self.state[slot].double()
        self._keep(slot, weight * factor.reshape(-1, *[1] * (weight.ndim - 1)))
        shift, bias = torch.zeros_like(factor), self.layers[slot]
        if bias is not None:
            shift = wanted[0] - factor * now[0]
            self._keep(bias, factor * self.state[bias].double() + shift)
        along = [1] * out.ndim
        along[axis] = -1
        return out * factor.to(out.dtype).reshape(along) + shift.to(out.dtype).reshape(along)

    def _keep(self, slot: str, value: Tensor) -> None:
        self.found.setdefault(slot, []).append(value)

    def _mixed(self, slot: str, of_parents: Sequence[Moments]) -> Moments:
        """What is wanted of a channel."""
        shares = torch.tensor(self.shares(slot), dtype=torch.float64)
        mean, deviation = (torch.tensordot(shares, torch.stack(each), 1) for each in zip(*of_parents, strict=True))
        return mean, deviation


def _is_whole(tensor: Tensor, slot: Tensor) -> bool:
    """Whether it is all of a slot as it lies there: a part of one, or one that is turned, is no layer of its own."""
    return tensor.shape == slot.shape and tensor.stride() == slot.stride()


def moments(channels: Tensor) -> Moments:
    """Mean and deviation of each channel, in float64; channels x values."""
    variance, mean = torch.var_mean(channels, 1, correction=0)
    return mean.double(), variance.double().sqrt()


def changed_by(now: Tensor, wanted: Tensor) -> Tensor:
    """The factor from one deviation to another, of each channel; one where it is dead."""
    alive = now > LEAST * wanted.clamp(min=TINY)
    return torch.where(alive, wanted / now.clamp(min=TINY), 1.0).clamp(1 / MOST, MOST)


def behind(call: NormCall, before: Moments) -> Moments:
    """Mean and deviation of what comes out of a BatchNorm, by those of what goes in."""
    gain, bias = _affine(call)
    scale = gain / (call.variance.double() + call.eps).sqrt()
    return scale * (before[0] - call.mean.double()) + bias, scale.abs() * before[1]


def set_right(call: NormCall, before: Moments, wanted: Moments) -> Moments:
    """Running mean and variance by which what comes out has the wanted mean and deviation, in float64.

    Args:
        call: of the BatchNorm as it is.
        before: mean and deviation of what goes in.
        wanted: of what comes out.
    """
    gain, bias = _affine(call)
    variance, has_gain = call.variance.double(), gain.abs() > TINY
    square = torch.where(has_gain, changed_by(behind(call, before)[1], wanted[1]), 1.0).square()
    # (variance + eps) / square - eps, so that a factor of one changes no digit
    variance = (variance / square + call.eps * (1 / square - 1)).clamp(min=0)
    shift = (wanted[0] - bias) * (variance + call.eps).sqrt() / torch.where(has_gain, gain, 1.0)
    return torch.where(has_gain, before[0] - shift, call.mean.double()), variance


def _affine(call: NormCall) -> Moments:
    usual = torch.ones_like(call.mean), torch.zeros_like(call.mean)
    gain, bias = (one if given is None else given for given, one in zip((call.weight, call.bias), usual, strict=True))
    return gain.double(), bias.double()
