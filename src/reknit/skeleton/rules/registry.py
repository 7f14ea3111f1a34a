"""The rules by the names of the operations they are for."""

from __future__ import annotations

from collections.abc import Callable

from reknit.skeleton.calls import Call
from reknit.skeleton.value import Value

Rule = Callable[[Call], Value | list[Value]]

RULES: dict[str, Rule] = {}
LAYOUT: set[str] = set()
"""Operations that only lay a tensor out in another way: a slot stays a slot."""


def rule(*names: str, layout: bool = False) -> Callable[[Rule], Rule]:
    """Register a function as the rule of these operations: names of torch's without overload and underscore."""

    def register(function: Rule) -> Rule:
        for name in names:
            if name in RULES:
                raise ValueError(f"{name} has two rules")
            RULES[name] = function
        if layout:
            LAYOUT.update(names)
        return function

    return register
