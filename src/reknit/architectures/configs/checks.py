"""What every config checks before anything is built from it: sizes, and that one divides another."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from reknit.errors import UsageError
from reknit.network.activations import activation

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def check_sizes(config: DataclassInstance, name: str, *, may_be_zero: frozenset[str] = frozenset()) -> None:
    """Every whole number of a config is positive, or at least not negative where 0 means "none"; its activation exists.

    Raises:
        UsageError: one is not; it is named.
    """
    for field in fields(config):
        value = getattr(config, field.name)
        least = 0 if field.name in may_be_zero else 1
        if isinstance(value, int) and not isinstance(value, bool) and value < least:
            raise UsageError(f"{field.name} is {value}", name, f"Give {least} or more")
        if field.name == "activation":
            activation(value)


def check_divides(name: str, divisor: str, by: int, total: str, size: int) -> None:
    """``by`` divides ``size``.

    Raises:
        UsageError: it does not.
    """
    if size % by:
        raise UsageError(f"{total} is {size}, which {divisor} {by} does not divide", name, f"Choose another {divisor}")
