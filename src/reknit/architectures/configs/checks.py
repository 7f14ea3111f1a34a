"""What every config checks before anything is built from it: sizes, and that one divides another."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from reknit.errors import UsageError
from reknit.network.activations import activation

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def check_sizes(
    config: DataclassInstance,
    name: str,
    *,
    may_be_zero: frozenset[str] = frozenset(),
    activations: tuple[str, ...] = (),
) -> None:
    """Every whole number of a config is positive, or at least not negative where 0 means "none"; its activation exists.

    Args:
        config: any config.
        name: of the architecture, for the error.
        may_be_zero: the fields where 0 means "none".
        activations: those of this architecture alone, beside ``reknit.network.activations``.

    Raises:
        UsageError: one is not; it is named.
    """
    for field in fields(config):
        value = getattr(config, field.name)
        least = 0 if field.name in may_be_zero else 1
        if isinstance(value, int) and not isinstance(value, bool) and value < least:
            raise UsageError(f"{field.name} is {value}", name, f"Give {least} or more")
        if field.name == "activation" and value not in activations:
            activation(value)


def check_divides(name: str, divisor: str, by: int, total: str, size: int) -> None:
    """``by`` divides ``size``.

    Raises:
        UsageError: it does not.
    """
    if size % by:
        raise UsageError(f"{total} is {size}, which {divisor} {by} does not divide", name, f"Choose another {divisor}")


def check_choice(name: str, field: str, value: str, choices: tuple[str, ...]) -> None:
    """A field has one of its values.

    Raises:
        UsageError: it has not.
    """
    if value not in choices:
        raise UsageError(f"{field} is {value!r}", name, f"Choose one of {', '.join(choices)}")


def check_chain(name: str, field: str, sizes: tuple[int, ...]) -> None:
    """At least two positive sizes: one that is read and one that is answered.

    Raises:
        UsageError: there are not.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise UsageError(f"{field} are {sizes}", name, "Give at least two positive sizes: input and answer")
