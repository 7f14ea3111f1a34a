"""What may lie between a module's answer and the numbers recorded of it: nothing, softmax or sigmoid.

A link shows an answer in two ways. ``recorded`` is what the record holds: there the proof compares. ``compared`` is
where answers are nearly linear in the tensors, and there the search compares: the logarithm for softmax, up to the
constant that it loses, and the log-odds for sigmoid. Numbers which the record has rounded away (probabilities of zero,
or of almost one) count for nothing there. For records of the order of the answers
alone see ``top_answers``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

NumberLink = Literal["identity", "softmax", "sigmoid"]
LinkName = Literal["identity", "softmax", "sigmoid", "top-k", "binary"]
Numbers = Float[Tensor, "*shape"]
Known = Bool[Tensor, "*shape"]

SMALLEST = 1e-30
"""Probabilities below count as rounded to zero."""
NEAR_ONE = 1e-4
"""A float32 probability this near to one has lost the digits of its log-odds."""


@dataclass(frozen=True)
class Link:
    """A function of the answer, elementwise or over its last axis.

    Attributes:
        name: as the user names it.
        recorded: answer -> what the record holds.
        compared: (answer, known) -> what is compared with the target.
        undone: record -> answer, up to what ``compared`` takes off.
        known: record -> which of its numbers can be undone.
    """

    name: NumberLink
    recorded: Callable[[Numbers], Numbers]
    compared: Callable[[Numbers, Known], Numbers]
    undone: Callable[[Numbers], Numbers]
    known: Callable[[Numbers], Known]

    def target(self, record: Numbers) -> Numbers:
        """The record where the search compares it; zero where it is not known."""
        known = self.known(record)
        undone = self.undone(torch.where(known, record, 0.5))
        return torch.where(known, self.compared(torch.where(known, undone, 0.0), known), 0.0)

    @property
    def as_recorded(self) -> Link:
        """The link that compares where the record was made."""
        return replace(self, compared=lambda answer, _: self.recorded(answer))


def _plain(answer: Numbers, _: Known) -> Numbers:
    return answer


def _centred(answer: Numbers, known: Known) -> Numbers:
    count = known.sum(-1, keepdim=True).clamp(min=1)
    return answer - torch.where(known, answer, 0.0).sum(-1, keepdim=True) / count


LINKS: dict[NumberLink, Link] = {
    "identity": Link("identity", lambda a: a, _plain, lambda r: r, torch.isfinite),
    "softmax": Link("softmax", lambda a: a.softmax(-1), _centred, torch.log, lambda r: r > SMALLEST),
    "sigmoid": Link("sigmoid", torch.sigmoid, _plain, torch.logit, lambda r: (r > SMALLEST) & (r < 1 - NEAR_ONE)),
}


def find_link(answer: Tensor, record: Tensor) -> NumberLink:
    """Which link lies between an answer of the module, of whatever placement, and the record, of the same shape.

    >>> find_link(torch.randn(3, 4), torch.randn(3, 4).softmax(1))
    'softmax'
    """
    if _sums_to_one(record) and not _sums_to_one(answer):
        return "softmax"
    if _within(record) and not _within(answer):
        return "sigmoid"
    return "identity"


def _within(numbers: Tensor) -> bool:
    return bool(((numbers >= 0) & (numbers <= 1)).all())


def _sums_to_one(numbers: Tensor) -> bool:
    return (
        numbers.ndim > 0
        and numbers.shape[-1] > 1
        and _within(numbers)
        and bool(((numbers.double().sum(-1) - 1).abs() < 1e-2).all())
    )
