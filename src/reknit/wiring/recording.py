"""A module, its inputs and the outputs recorded of it: how far a choice of tensors is from them.

The module may be anything that ``torch.func.functional_call`` can run, on the meta device or not: what stands in the
slots is handed in at every call. Its answer may be a tensor or any nest of tuples, lists, mappings and None.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from reknit.errors import TableError
from reknit.skeleton.answers import tensors_in
from reknit.skeleton.guess_inputs import first_line
from reknit.skeleton.written_out_norms import WrittenOutNorms
from reknit.wiring.links import LinkName
from reknit.wiring.masks import masked
from reknit.wiring.observed import Observed, ObservedNumbers, ObservedOrder
from reknit.wiring.readings import check_answers, check_rows, observe

Values = Mapping[str, Tensor]
Rows = Float[Tensor, "rows outputs"]


def single(value: Any) -> Any:
    """Numbers in float32; everything else as it is."""
    return value.detach().float() if isinstance(value, Tensor) and value.is_floating_point() else value


@dataclass(frozen=True)
class Recording:
    """Inputs and recorded outputs, flattened to one row an input, scaled so that the mean answer has error 1.

    Attributes:
        module: in eval mode.
        own: what the module holds itself, in float32.
        inputs: positional arguments; the first axis of every tensor runs over the inputs, if rows are independent.
        observed: what was recorded, per tensor of the answer.
        target: the record where the search compares it.
        weight: what differences are multiplied with; 0 where the record is not known.
        independent: whether the answer to an input does not depend on the others.
    """

    module: nn.Module
    own: Values
    inputs: tuple[Any, ...]
    observed: tuple[Observed, ...]
    target: Rows
    weight: Rows
    independent: bool

    @classmethod
    def of(
        cls,
        module: nn.Module,
        values: Values,
        inputs: Sequence[Any],
        outputs: Any,
        link: LinkName | Sequence[LinkName] | None = None,
    ) -> Recording:
        """A recording; ``values`` are tensors for all slots, however placed; ``link``: of all outputs, or of each.

        Raises:
            TableError: the outputs are not what the module answers, nor the order of it, or they are undefined.
        """
        own = {key: single(value) for key, value in module.state_dict().items() if not value.is_meta}
        inputs = tuple(single(x) for x in inputs)
        values = {**own, **{key: single(value) for key, value in values.items()}}
        records = [record.detach() for record in tensors_in(outputs)]
        check_rows(inputs, records)
        try:
            with torch.no_grad():
                answers = tensors_in(functional_call(module, dict(values), inputs))
                check_answers(answers)
                independent = _independent(module, values, inputs, answers)
                bounded = _bounded(module, values, inputs, answers)
        except (RuntimeError, TypeError, IndexError) as error:
            problem = f"the module fails on them: {first_line(error)}"
            raise TableError(problem, "inputs", "Record the arguments of the module, in their order") from error
        if len(answers) != len(records):
            problem = f"{len(records)} recorded tensors, but the module answers with {len(answers)}"
            raise TableError(problem, "outputs", "Record all of its answer, or wrap the module")
        links = [link] * len(answers) if link is None or isinstance(link, str) else list(link)
        if len(links) == 1:
            links *= len(answers)
        if len(links) != len(answers):
            problem = f"{len(links)} links, but the module answers with {len(answers)} tensors"
            raise TableError(problem, "--link", "Name one for all of them, or one for each")
        each = zip(answers, records, links, bounded, strict=True)
        observed = tuple(observe(answer, record, name, bounded=within) for answer, record, name, within in each)
        total = max(sum(int(part.known.sum()) for part in observed), 1)
        weights = [part.known / (part.scale * total**0.5) for part in observed]
        target = _flat([part.target for part in observed], independent)
        return cls(module, own, inputs, observed, target, _flat(weights, independent), independent)

    def __len__(self) -> int:
        """How many rows: one an input, or one in all where inputs depend on each other."""
        return len(self.target)

    def some(self, rows: Int[Tensor, " rows"]) -> Recording:
        """The same of some of the inputs."""
        if not self.independent:
            return self
        return replace(
            self,
            inputs=tuple(x[rows] if isinstance(x, Tensor) else x for x in self.inputs),
            observed=tuple(part.some(rows) for part in self.observed),
            target=self.target[rows],
            weight=self.weight[rows],
        )

    def tuned(self, values: Values) -> Recording:
        """The same, with the temperatures of recorded orders fixed as they are for these tensors."""
        if not self.has_orders:
            return self
        with torch.no_grad():
            answers = tensors_in(functional_call(self.module, {**self.own, **values}, self.inputs))
        return replace(self, observed=tuple(p.tuned(a) for p, a in zip(self.observed, answers, strict=True)))

    @property
    def has_orders(self) -> bool:
        """Whether of some tensor of the answer only the order was recorded."""
        return any(isinstance(part, ObservedOrder) for part in self.observed)

    @property
    def label_noise(self) -> float | None:
        """The squared deviance of one label, in units of the error, where nothing but orders was recorded.

        That is the noise of a deviance: the likelihood has its own, which is one.
        """
        if not all(isinstance(part, ObservedOrder) for part in self.observed):
            return None
        return float(self.weight.double().square().mean())

    def as_recorded(self, scales: Sequence[float]) -> Recording:
        """The same, compared where the record was made, in units of a scale for each tensor; orders do not count."""
        observed, targets, weights = [], [], []
        for part, scale in zip(self.observed, scales, strict=True):
            observed.append(replace(part, link=part.link.as_recorded) if isinstance(part, ObservedNumbers) else part)
            targets.append(part.numbers.float() if isinstance(part, ObservedNumbers) else part.target)
            weights.append(part.finite / scale if isinstance(part, ObservedNumbers) else torch.zeros_like(part.target))
        return replace(
            self,
            observed=tuple(observed),
            target=_flat(targets, self.independent),
            weight=_flat(weights, self.independent),
        )

    def answers(self, values: Values) -> Rows:
        """The module's answers where they are compared, times the weights."""
        answers = tensors_in(functional_call(self.module, {**self.own, **values}, self.inputs))
        compared = [part.compared(answer) for part, answer in zip(self.observed, answers, strict=True)]
        return self.weighted(_flat(compared, self.independent))

    def residual(self, values: Values) -> Rows:
        """Recorded minus answered, weighted."""
        with torch.no_grad():
            return self.weighted(self.target) - self.answers(values)

    def weighted(self, rows: Rows) -> Rows:
        """Rows times the weights; what does not count is 0, whatever it is."""
        return torch.where(self.weight == 0, 0.0, rows) * self.weight

    def error(self, values: Values) -> float:
        """Mean squared error in units of the recorded variance; infinite where an answer is not finite."""
        total = float(self.residual(values).double().square().sum())
        return float("inf") if math.isnan(total) else total

    def graph(self, values: Values) -> Rows:
        """As ``answers``, with attention and BatchNorms written out: fused, they lack some derivatives."""
        with sdpa_kernel(SDPBackend.MATH), WrittenOutNorms():
            return self.answers(values)

    def groups(self, most: int, numbers: int, generator: torch.Generator) -> Iterator[Recording]:
        """At most so many disjoint sets of inputs, drawn at random, that together hold at least so many numbers."""
        if not self.independent:
            yield self
            return
        each = max(int((self.weight != 0).sum()) // len(self), 1)
        used = min(len(self), max(-(-numbers // each), min(most, len(self))))
        drawn = torch.randperm(len(self), generator=generator)[:used]
        for part in drawn.tensor_split(min(most, used)):
            yield self.some(part)


def _flat(tensors: Sequence[Tensor], independent: bool) -> Rows:
    rows = [tensor.reshape(len(tensor) if independent else 1, -1) for tensor in tensors]
    return torch.cat(rows, 1)


def _independent(module: nn.Module, values: Values, inputs: tuple[Any, ...], answers: Sequence[Tensor]) -> bool:
    """Whether the first input and the last get the answers alone that they get among the others."""
    batches = {len(x) if x.ndim else 0 for x in inputs if isinstance(x, Tensor)}
    if len(batches) != 1 or batches <= {0, 1} or any(a.ndim == 0 or len(a) not in batches for a in answers):
        return False
    for row in (slice(0, 1), slice(-1, None)):
        part = tuple(x[row] if isinstance(x, Tensor) else x for x in inputs)
        alone = tensors_in(functional_call(module, dict(values), part))
        for one, among in zip(alone, (answer[row] for answer in answers), strict=True):
            if one.shape != among.shape or not torch.allclose(
                one, among, rtol=1e-3, atol=_slack(among), equal_nan=True
            ):
                return False
    return True


def _bounded(module: nn.Module, values: Values, inputs: tuple[Any, ...], answers: Sequence[Tensor]) -> list[bool]:
    """Which tensors of the answer lie from 0 to 1, and still do with tensors three times as large and of other sign."""
    if not any(_within(answer) for answer in answers):
        return [False] * len(answers)
    others = {key: -3 * value if value.is_floating_point() else value for key, value in values.items()}
    again = tensors_in(functional_call(module, others, inputs))
    return [_within(answer) and _within(other) for answer, other in zip(answers, again, strict=True)]


def _within(answer: Tensor) -> bool:
    """From 0 to 1, as far as it is defined."""
    return not bool(((answer < 0) | (answer > 1)).any())


def _slack(answer: Tensor) -> float:
    """By how much two passes may differ: a share of the largest number that is one, and no mask."""
    sizes = answer.abs()[answer.isfinite() & ~masked(answer)]
    return 1e-4 * float(sizes.max()) if len(sizes) else 0.0
