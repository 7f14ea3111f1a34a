"""A skeleton from any ``nn.Module``: follow its forward pass and note which axes run over the same units."""

from __future__ import annotations

from torch import nn
from torch.export import ExportedProgram

from reknit.errors import InputError
from reknit.skeleton.calls import Ledger
from reknit.skeleton.classes import Key
from reknit.skeleton.graph import Inputs, export, without_mutation
from reknit.skeleton.groups import find_groups
from reknit.skeleton.skeleton import Group, Refusal, Skeleton
from reknit.skeleton.slots import find_slots
from reknit.skeleton.tracer import NOT_UNDERSTOOD, MutatedError, Tracer

PASSES = 8
"""Traces until the axes that are taken apart by position are known; two are the rule."""


def trace(module: nn.Module, inputs: Inputs, *, name: str = "") -> Skeleton:
    """Which axes of its tensors run over the same units, and through what.

    The forward pass is followed in evaluation mode and for inputs of these shapes; the module is left as it was, and
    no number of it is read but the constants it holds outside its state dict.

    Args:
        module: any module that ``torch.export`` can follow, on the meta device or another.
        inputs: example arguments, by place or by name.
        name: what the skeleton is called; empty: by the class of the module.

    Raises:
        InputError: ``torch.export`` cannot follow the forward pass, or shapes in it depend on data.
    """
    program = export(module, inputs)
    slots = find_slots(module)
    try:
        ledger = _settled(program, module)
    except MutatedError:
        # tensors are written in place where a view of them may be read later: let torch make copies of them first
        try:
            ledger = _settled(without_mutation(program), module)
        except MutatedError as error:
            raise InputError(
                f"{error} writes into a tensor in a way that cannot be followed",
                type(module).__name__,
                "Rewrite it without writing in place",
            ) from None
    groups = find_groups(slots, ledger)
    refusals = tuple(Refusal(what, where, _touched(groups, what)) for what, where in ledger.refusals)
    return Skeleton(name or type(module).__name__, slots, groups, tuple(ledger.uses), refusals, tuple(ledger.meetings))


def _touched(groups: tuple[Group, ...], operation: str) -> tuple[str, ...]:
    reason = NOT_UNDERSTOOD + operation
    return tuple(group.name for group in groups if reason in group.fixed.split("; "))


def _settled(program: ExportedProgram, module: nn.Module) -> Ledger:
    """Trace until no more axes turn out to be taken apart by position."""
    marks: dict[Key, tuple[int, ...]] = {}
    for _ in range(PASSES):
        ledger = Tracer(program, module, marks).run()
        found = ledger.units.marks()
        if all(marks.get(key) == cuts for key, cuts in found.items()):
            break
        marks |= found
    return ledger
