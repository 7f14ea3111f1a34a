"""A skeleton from any ``nn.Module``: follow its forward pass and note which axes run over the same units."""

from __future__ import annotations

import functools
import operator
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from reknit.skeleton.calls import Call, Ledger
from reknit.skeleton.graph import Inputs, export, module_path, placeholders, shapes, tied, varies, without_mutation
from reknit.skeleton.groups import find_groups
from reknit.skeleton.rules import LAYOUT, RULES
from reknit.skeleton.rules.elementwise import elementwise
from reknit.skeleton.skeleton import Refusal, Skeleton, Use
from reknit.skeleton.slots import find_slots
from reknit.skeleton.units import Key, MisfitError, Units
from reknit.skeleton.value import Value

PASSES = 8
"""Traces until the axes that are taken apart by position are known; two are the rule."""


def trace(module: nn.Module, inputs: Inputs, *, name: str = "") -> Skeleton:
    """Which axes of its tensors run over the same units, and through what.

    The forward pass is followed in evaluation mode and for inputs of these shapes; the module is left as it was, and
    no number of it is read but the constants it holds outside its state dict.

    Args:
        module: any module that ``torch.export`` can follow, on the meta device or another.
        inputs: example arguments, by place or by name; two or more rows, so that no axis is taken for one of size 1.
        name: what the skeleton is called; empty: by the class of the module.

    Raises:
        InputError: ``torch.export`` cannot follow the forward pass.
    """
    program = export(module, inputs)
    slots = find_slots(module)
    try:
        ledger = _settled(program, module)
    except _MutatedError:
        # tensors are written in place where a view of them may be read later: let torch make copies of them first
        ledger = _settled(without_mutation(program), module)
    groups = find_groups(slots, ledger)
    refusals = tuple(
        Refusal(
            operation,
            where,
            tuple(group.name for group in groups if f"not understood: {operation}" in group.fixed.split("; ")),
        )
        for operation, where in ledger.refusals
    )
    return Skeleton(name or type(module).__name__, slots, groups, tuple(ledger.uses), refusals)


class _MutatedError(Exception):
    """A tensor is changed in place in a way that the rules do not follow."""


def _settled(program: ExportedProgram, module: nn.Module) -> Ledger:
    """Trace until no more axes turn out to be taken apart by position."""
    marks: dict[Key, tuple[int, ...]] = {}
    for _ in range(PASSES):
        ledger = _Tracer(program, module, marks).run()
        found = ledger.units.marks()
        if all(marks.get(key) == cuts for key, cuts in found.items()):
            break
        marks |= found
    return ledger


class _Tracer:
    """One pass over the graph."""

    def __init__(self, program: ExportedProgram, module: nn.Module, marks: dict[Key, tuple[int, ...]]) -> None:
        self._program = program
        self._aliases = {alias: key for key, aliases in tied(module).items() for alias in aliases}
        self._ledger = Ledger(Units(marks))
        self._before: dict[Node, int] = {}  # operation -> bits of it and of all it was computed from

    def run(self) -> Ledger:
        """Follow the graph from its inputs to its outputs."""
        kinds = placeholders(self._program)
        graph = self._program.graph_module
        given = [self._given(node, *kinds[node.name]) for node in graph.graph.nodes if node.op == "placeholder"]
        for value in _flat(self._follow(graph, given)):
            for node in value.nodes:
                self._ledger.units.fix(node, "output")
        return self._ledger

    def _given(self, node: Node, kind: str, held: Any) -> Any:
        """What a placeholder stands for, as a value."""
        found = shapes(node)
        if found is None:
            return node.meta.get("val")
        shape, units = found[0], self._ledger.units
        if kind == "slot":
            key = self._aliases[held]
            if key not in self._ledger.slots:
                dims = tuple(units.leaf(size) if size != 1 else None for size in shape)
                self._ledger.slots[key] = Value(shape, dims, slot=key, of_slots=True)
            return self._ledger.slots[key]
        differs = varies(held, shape) if kind == "constant" else [True] * len(shape)
        fixed = tuple(
            units.leaf(size, kind) if size != 1 and along else None for size, along in zip(shape, differs, strict=True)
        )
        return Value(shape, fixed, of_input=kind == "input")

    def _follow(self, graph: GraphModule, given: list[Any]) -> Any:
        """What a graph returns for these arguments."""
        known: dict[Node, Any] = {}
        rest = given[::-1]
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                known[node] = rest.pop()
            elif node.op == "get_attr":
                known[node] = getattr(graph, str(node.target))
            elif node.op == "call_function":
                known[node] = self._call(node, known)
                self._note_residual(node, known)
            elif node.op == "output":
                return torch.fx.node.map_arg(node.args[0], known.__getitem__)
        raise AssertionError("a graph without an output")

    def _call(self, node: Node, known: dict[Node, Any]) -> Any:
        args: Any = torch.fx.node.map_arg(node.args, known.__getitem__)
        kwargs: Any = torch.fx.node.map_arg(node.kwargs, known.__getitem__)
        if node.target is operator.getitem:
            return args[0][args[1]]
        graphs = [each for each in args if isinstance(each, GraphModule)]
        if len(graphs) == 1 and "set_grad_enabled" in str(node.target):
            return self._follow(graphs[0], list(args[list(args).index(graphs[0]) + 1 :]))
        made = shapes(node)
        if made is None:
            return None
        call = self._as_call(node, args, kwargs, made)
        several = isinstance(node.meta["val"], tuple | list)
        results = self._apply(call, node)
        return results if several else results[0]

    def _note_residual(self, node: Node, known: dict[Node, Any]) -> None:
        """Remember the axes of ``x + f(x)``: the stream of a residual network runs along one of them."""
        operands = [each for each in node.all_input_nodes if isinstance(known[each], Value)]
        self._before[node] = (1 << len(self._before)) | functools.reduce(
            operator.or_, (self._before.get(each, 0) for each in node.all_input_nodes), 0
        )
        made = known[node]
        if len(operands) == 2 and isinstance(made, Value) and _name(node) == "add":
            first, second = (self._before.get(each, 0) for each in operands)
            if first & second in {first, second} and all(known[each].of_slots for each in operands):
                self._ledger.residuals += made.nodes

    def _as_call(self, node: Node, args: Any, kwargs: Any, made: list[tuple[int, ...]]) -> Call:
        schema = getattr(node.target, "_schema", None)
        names = (
            [argument.name for argument in schema.arguments] if schema else [f"argument{k}" for k in range(len(args))]
        )
        arguments = {**dict(zip(names, args, strict=False)), **kwargs}
        listed = {key: list(item) if isinstance(item, tuple | list) else item for key, item in arguments.items()}
        taken: list[Any] = [user.args[1] for user in node.users if user.target is operator.getitem and user.users]
        return Call(_name(node), node.name, listed, made, module_path(node), self._ledger, frozenset(taken))

    def _apply(self, call: Call, node: Node) -> list[Value]:
        """The results of one operation, by its rule; one without a rule fixes what it touches."""
        rule = RULES.get(call.name)
        if rule is None and torch.Tag.pointwise in getattr(node.target, "tags", ()):
            rule = elementwise
        self._check_in_place(call, node)
        depends = any(value.of_slots for value in call.values)
        try:
            if rule is None:
                raise MisfitError("no rule")
            made = rule(call)
        except MisfitError:
            made = self._refused(call) if depends else self._not_traced(call)
        results = made if isinstance(made, list) else [made]
        if [value.shape for value in results] != call.shapes:
            raise AssertionError(f"the rule of {call.name} made {[value.shape for value in results]}")
        layout = call.name in LAYOUT
        slots = _slots(call)
        sources = frozenset[int]().union(*(value.sources for value in call.values))
        if slots and not layout:
            self._note_use(call, slots, sources)
            sources = frozenset({len(self._ledger.uses) - 1})
        slot = call.values[0].slot if layout and call.values else None
        return [call.traced(value, sources, slot) for value in results]

    def _note_use(self, call: Call, slots: dict[str, str], sources: frozenset[int]) -> None:
        details = {key: item for key, item in call.arguments.items() if _is_detail(item) and key not in _IDLE}
        plain = {key: tuple(item) if isinstance(item, list) else item for key, item in details.items()}
        step = len(self._ledger.uses)
        self._ledger.uses.append(Use(step, call.name, slots, tuple(sorted(sources)), plain))

    def _refused(self, call: Call) -> list[Value]:
        reason = f"not understood: {call.name}"
        if (call.name, call.where) not in self._ledger.refusals:
            self._ledger.refusals.append((call.name, call.where))
        for value in call.values:
            for node in value.nodes:
                call.fix(node, reason)
        return [call.result([call.fresh(size, reason) for size in shape], shape) for shape in call.shapes]

    @staticmethod
    def _not_traced(call: Call) -> list[Value]:
        """Masks and positions: no slot has a part in them, so nothing of theirs can move."""
        reason = "input" if any(value.of_input for value in call.values) else "constant"
        return [call.result([call.fresh(size, reason) for size in shape], shape) for shape in call.shapes]

    @staticmethod
    def _check_in_place(call: Call, node: Node) -> None:
        """Stop where writing in place may reach what another name still reads as it was."""
        schema = getattr(node.target, "_schema", None)
        if schema is None or not schema.is_mutable or call.name == "dropout":
            return
        target, value = node.args[0], call.values[0]
        made_by = getattr(getattr(target, "target", None), "_schema", None)
        is_view = made_by is not None and any(item.alias_info is not None for item in made_by.returns)
        if made_by is not None and made_by.is_mutable:
            is_view = False
        same = all(dim is not None or size == 1 for dim, size in zip(value.dims, value.shape, strict=True))
        if is_view or not same or torch.Tag.pointwise not in getattr(node.target, "tags", ()):
            raise _MutatedError


_IDLE = {"cudnn_enable", "cudnn_enabled", "momentum", "training", "normalized_shape", "dtype", "device", "layout"}


def _is_detail(item: Any) -> bool:
    if isinstance(item, list):
        return bool(item) and all(type(each) is int for each in item)
    return isinstance(item, int | float | str)


def _slots(call: Call) -> dict[str, str]:
    """Argument -> slot, of those arguments that are slots."""
    found = {}
    for name, item in call.arguments.items():
        for k, each in enumerate(item if isinstance(item, list) else [item]):
            if isinstance(each, Value) and each.slot is not None:
                found[f"{name}.{k}" if isinstance(item, list) else name] = each.slot
    return found


def _name(node: Node) -> str:
    """``relu`` for ``aten.relu_.default``."""
    target = node.target
    packet = getattr(target, "overloadpacket", None)
    name = str(packet if packet is not None else getattr(target, "__name__", target))
    name = name.removeprefix("aten.")
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


def _flat(made: Any) -> list[Value]:
    if isinstance(made, Value):
        return [made]
    if isinstance(made, tuple | list):
        return [value for each in made for value in _flat(each)]
    return []
