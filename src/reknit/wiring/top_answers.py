"""Answers of which only the order was recorded: the ids of the top classes, or whether a number is above its threshold.

A record of the top k answers states inequalities: a[y1] >= a[y2] >= ... >= a[yk] >= all others. A number behind a
threshold is a choice between two classes, the threshold itself and the number. ``leads`` tells by how much each
inequality holds: there the proof compares. ``losses`` is smooth, and there the search compares: the negative
log-likelihood of the order under the Plackett-Luce model, with the answers divided by a temperature,

    loss_i = log sum over the classes not among y1 ... y(i-1) of exp(a / T)  -  a[yi] / T.

The temperature is the one of the highest likelihood, so that answers count by what they order and not by their size:
equal answers are never good, and where all labels are reproduced T and all losses tend to 0. What is right is still
for ``leads`` to say: the true network may prefer its first answer by little.

Sources: Plackett, "The analysis of permutations" (1975), doi 10.2307/2346567; for the temperature, Guo et al., "On
calibration of modern neural networks" (2017), arXiv 1706.04599. Cost: some thirty softmaxes of the answers an error.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

Classes = Float[Tensor, "*positions classes"]
Ids = Int[Tensor, "*positions k"]
Labels = Float[Tensor, "*positions labels"]

COLDEST, HOTTEST = 1e-4, 1e3
"""Temperatures that are tried, in units of the spread of the answers."""
STEPS = 14
"""Of a golden section on the logarithm of the temperature: it is found to one percent of that range."""
POSITIONS = 2048
"""Positions from which the temperature is found at most."""
LARGEST = 1e30
"""Answers divided by the temperature are kept below this: a masked answer is minus infinity."""


def against_threshold(answer: Float[Tensor, "*positions"], threshold: float) -> Float[Tensor, "*positions 2"]:
    """A number as a choice between two classes: 0, the threshold, and 1, the number."""
    return torch.stack([torch.full_like(answer, threshold), answer], -1)


def leads(answer: Classes, ids: Ids) -> Labels:
    """By how much each recorded class leads the next one, and the last of them the best of all others.

    Negative: the order is another. With all classes recorded there is one number less. Two answers that are infinite
    alike are equal; NaN stays.

    >>> leads(torch.tensor([3.0, 1.0, 0.0, 2.5]), torch.tensor([0, 1]))
    tensor([ 2.0000, -1.5000])
    """
    chosen = answer.gather(-1, ids)
    if ids.shape[-1] < answer.shape[-1]:
        rest = answer.scatter(-1, ids, -torch.inf).amax(-1, keepdim=True)
        chosen = torch.cat([chosen, rest], -1)
    better, worse = chosen[..., :-1], chosen[..., 1:]
    return torch.where(better == worse, 0.0, better - worse)


def losses(answer: Classes, ids: Ids, temperature: float) -> Labels:
    """Negative log-likelihood of each recorded label, those before it being known."""
    answer = (answer / temperature).clamp(-LARGEST, LARGEST)
    chosen = answer.gather(-1, ids)
    if ids.shape[-1] < answer.shape[-1]:
        rest = answer.scatter(-1, ids, -torch.inf).logsumexp(-1, keepdim=True)
        chosen = torch.cat([chosen, rest], -1)
    left = chosen.flip(-1).logcumsumexp(-1).flip(-1)
    return (left - chosen)[..., :-1].clamp(min=0.0)


def chance_losses(classes: int, k: int) -> Float[Tensor, " labels"]:
    """The losses of equal answers: log of how many classes there are to choose from.

    >>> chance_losses(4, 4).exp()
    tensor([4., 3., 2.])
    """
    return torch.tensor([math.log(classes - i) for i in range(min(k, classes - 1))])


def best_temperature(answer: Classes, ids: Ids) -> float:
    """The temperature of the highest likelihood, by golden section; the loss is convex in its inverse."""
    answer, ids = answer.detach().reshape(-1, answer.shape[-1]), ids.reshape(-1, ids.shape[-1])
    step = -(-len(ids) // POSITIONS)
    answer, ids = answer[::step], ids[::step]
    finite = answer[answer.isfinite()]
    spread = float(finite.std(correction=0)) if len(finite) else 0.0
    if not math.isfinite(spread) or spread == 0:
        return 1.0

    def loss(log: float) -> float:
        return float(losses(answer, ids, spread * math.exp(log)).mean())

    ratio = (math.sqrt(5) - 1) / 2
    low, high = math.log(COLDEST), math.log(HOTTEST)
    first, second = high - ratio * (high - low), low + ratio * (high - low)
    at_first, at_second = loss(first), loss(second)
    for _ in range(STEPS):
        if at_first <= at_second:
            high, second, at_second = second, first, at_first
            first = high - ratio * (high - low)
            at_first = loss(first)
        else:
            low, first, at_first = first, second, at_second
            second = low + ratio * (high - low)
            at_second = loss(second)
    return spread * math.exp((low + high) / 2)


def agreeing(answer: Classes, ids: Ids) -> float:
    """Share of the recorded labels that these answers have in the same place."""
    k = min(ids.shape[-1], answer.shape[-1] - 1)
    return float((answer.topk(k).indices == ids[..., :k]).double().mean())


def entropy(ids: Ids) -> float:
    """Bits in the labels, at most: the entropy of their frequencies, place by place.

    >>> entropy(torch.tensor([[0], [1], [0], [1]]))
    4.0
    """
    total = 0.0
    for column in ids.reshape(-1, ids.shape[-1]).unbind(-1):
        counts = column.bincount().double()
        counts = counts[counts > 0]
        total -= float((counts * (counts / counts.sum()).log2()).sum())
    return total
