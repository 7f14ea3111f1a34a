"""What a recorded tensor is: the numbers of the answer, its top classes, or on which side of a threshold each lies.

Whole numbers may be class ids (``top-k``: of the shape of the answer without its last axis, or with the best k along
it) or sides of a threshold (``binary``: 0 and 1, of the shape of the answer). What can be read in two ways is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from reknit.errors import TableError
from reknit.wiring.links import LINKS, LinkName, NumberLink, find_link
from reknit.wiring.masks import masked
from reknit.wiring.observed import Observed, ObservedNumbers, ObservedOrder

PROBABLE, POSITIVE = 0.5, 0.0
"""The threshold of answers that are probabilities, and of all others."""


def check_rows(inputs: Sequence[Any], records: Sequence[Tensor]) -> None:
    """Whether anything was recorded.

    Raises:
        TableError: a tensor holds no numbers.
    """
    for where, tensors in (("inputs", inputs), ("outputs", records)):
        if any(isinstance(tensor, Tensor) and not tensor.numel() for tensor in tensors):
            raise TableError("they are empty", where, "Record one row an input, and at least one")


def check_answers(answers: Sequence[Tensor]) -> None:
    """Whether the module answers with numbers that can be nearer to a record or farther from it.

    Raises:
        TableError: it answers class ids or truth values.
    """
    for answer in answers:
        if not answer.is_floating_point():
            dtype = str(answer.dtype).removeprefix("torch.")
            problem = f"the module answers whole numbers or truth values ({dtype}), of which nothing can be searched"
            raise TableError(problem, "outputs", "Let it answer the numbers they are made from")


def observe(answer: Tensor, record: Tensor, link: LinkName | None, *, bounded: bool) -> Observed:
    """A recorded tensor, read as it was said to be, or as it can only be.

    Args:
        answer: of the module, with whatever in its slots.
        record: what was recorded.
        link: what lies between them; None: found out.
        bounded: whether the module answers with numbers from 0 to 1, whatever is in its slots.

    Raises:
        TableError: it cannot be read so, or in two ways.
    """
    link = link or _found(answer, record)
    if link == "top-k":
        ids = _class_ids(answer, record)
        if ids is None:
            raise TableError(_no_ids(answer, record), "outputs", "Record the class ids, best first, or the numbers")
        return ObservedOrder(ids, answer.shape[-1])
    if link == "binary":
        if not _fits_binary(answer, record):
            problem = f"not 0 or 1 for every number of the answer, which has the shape {tuple(answer.shape)}"
            raise TableError(problem, "outputs", "Record for each number whether it is above the threshold")
        ids = record.reshape(answer.shape).long().unsqueeze(-1)
        return ObservedOrder(ids, 2, PROBABLE if bounded else POSITIVE)
    return _numbers(answer, record, link)


def _numbers(answer: Tensor, record: Tensor, link: NumberLink) -> ObservedNumbers:
    if record.shape != answer.shape:
        shapes = f"{tuple(record.shape)}, the module answers {tuple(answer.shape)}"
        raise TableError(f"recorded in the shape {shapes}", "outputs", "Record what the module answers")
    if not record.is_floating_point():
        raise TableError("whole numbers are no answers of this module", "outputs", "Record the numbers themselves")
    if bool(record.isnan().any()):
        raise TableError("they hold numbers that are undefined", "outputs", "Leave out the inputs with such answers")
    finite = record.isfinite()
    if link != "identity" and not bool(finite.all()):
        problem = f"they hold infinite numbers, which do not come from a {link}"
        raise TableError(problem, "outputs", "Say --link identity, or leave such rows out")
    return ObservedNumbers(LINKS[link], record, finite & ~masked(record))


def _found(answer: Tensor, record: Tensor) -> LinkName:
    """The one reading of a record.

    Raises:
        TableError: there are two, or none.
    """
    names: list[LinkName] = []
    if record.is_floating_point() and record.shape == answer.shape:
        names.append(find_link(answer, record))
    if _is_whole(record) and record.numel():
        names += ["top-k"] * (_class_ids(answer, record) is not None)
        names += ["binary"] * _fits_binary(answer, record)
    if len(names) > 1:
        ways = " or ".join(f"--link {name}" for name in names)
        raise TableError(f"they can be read as {' and as '.join(names)}", "outputs", f"Say {ways}")
    if names == ["binary"] and _is_one_hot(record):
        problem = "each row holds a single 1, as of the best class or of numbers above a threshold"
        raise TableError(problem, "outputs", "Record the class ids, or say --link binary")
    if names:
        return names[0]
    if record.is_floating_point() and not _is_whole(record):
        return "identity"  # refused for its shape
    raise TableError(_no_ids(answer, record), "outputs", "Record the class ids, best first, or the numbers")


def _no_ids(answer: Tensor, record: Tensor) -> str:
    shapes = f"{tuple(record.shape)}, the module answers {tuple(answer.shape)}"
    return f"neither the answers nor their class ids, best first: recorded in the shape {shapes}"


def _is_whole(record: Tensor) -> bool:
    return not record.is_floating_point() or bool((record.isfinite() & (record == record.round())).all())


def _class_ids(answer: Tensor, record: Tensor) -> Tensor | None:
    """The ids of the top classes along a last axis; None if it is something else."""
    if answer.ndim < 2 or answer.shape[-1] < 2 or not _is_whole(record):
        return None
    ids = record.unsqueeze(-1) if record.shape == answer.shape[:-1] else record
    if ids.ndim != answer.ndim or ids.shape[:-1] != answer.shape[:-1] or not 1 <= ids.shape[-1] <= answer.shape[-1]:
        return None
    ids = ids.long()
    if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= answer.shape[-1]):
        return None
    in_order = ids.sort(-1).values
    return None if bool((in_order[..., 1:] == in_order[..., :-1]).any()) else ids


def _fits_binary(answer: Tensor, record: Tensor) -> bool:
    same = record.shape == answer.shape or (answer.shape[-1:] == (1,) and record.shape == answer.shape[:-1])
    return same and _is_whole(record) and bool(((record == 0) | (record == 1)).all())


def _is_one_hot(record: Tensor) -> bool:
    return record.ndim > 1 and record.shape[-1] > 1 and bool((record.long().sum(-1) == 1).all())
