"""The rules by which statistics are set right after averaging, by name.

    parents    every channel behind a BatchNorm, and of a layer that is added to a stream beside one, gets the mean and
               deviation that its parents have there                                                (parents_moments.py)
    batch      BatchNorms get the statistics of the samples, as at the end of training                   (statistics.py)
    none       nothing is set right

By either rule channels without a BatchNorm that go through an activation get their parents' mean and deviation
(repair.py). On samples like those of the training both rules agree. On others ``batch`` makes the samples' statistics
the network's own, and does harm; ``parents`` leaves a network that is mended with itself as it is.
"""

from __future__ import annotations

from typing import Literal, get_args

from reknit.errors import UsageError

Rule = Literal["parents", "batch"]
RULES: tuple[Rule, ...] = get_args(Rule)
USUAL: Rule = "parents"


def find_rule(mend: str | bool) -> Rule | None:
    """The rule of a word; None for ``none``. True is the usual rule, False none.

    Raises:
        UsageError: there is no such rule.
    """
    if isinstance(mend, bool):
        return USUAL if mend else None
    if mend != "none" and mend not in RULES:
        raise UsageError(f"statistics are not set right by {mend!r}", "--mend", "Choose one of parents, batch, none")
    return next((rule for rule in RULES if rule == mend), None)
