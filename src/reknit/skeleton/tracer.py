"""One pass over the graph of a module: every operation by its rule, in the order of the forward pass."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from reknit.skeleton.calls import Call, Ledger
from reknit.skeleton.classes import Key, MisfitError
from reknit.skeleton.graph import module_path, placeholders, shapes, tied, varies
from reknit.skeleton.rules import LAYOUT, RULES
from reknit.skeleton.rules.elementwise import elementwise
from reknit.skeleton.skeleton import Meeting
from reknit.skeleton.units import Units
from reknit.skeleton.uses import as_use, slots_among
from reknit.skeleton.value import Value
from reknit.skeleton.written_norms import operation, rms_eps

NOT_UNDERSTOOD = "not understood: "


ATTENTION = "scaled_dot_product_attention"
MEETINGS = {
    ATTENTION: {"query": "query", "key": "key", "value": "value"},
    "matmul": {"self": "first", "other": "second"},
    "bmm": {"self": "first", "mat2": "second"},
    "mul": {"self": "first", "other": "second"},
}
"""Operations whose operands have parts of their own to play: torch's argument -> what it is called."""
NONLINEAR = frozenset(
    {
        "relu",
        "gelu",
        "silu",
        "sigmoid",
        "tanh",
        "hardtanh",
        "leaky_relu",
        "elu",
        "softplus",
        "mish",
        "hardswish",
        "relu6",
        "softmax",
    }
)


def _bends(call: Call) -> tuple[str, ...]:
    """The nonlinear functions behind the last use: those of the operands, each once, and the operation's own."""
    name = call.name
    if name == "hardtanh" and (call.arguments.get("min_val"), call.arguments.get("max_val")) == (0, 6):
        name = "relu6"
    own = (name,) if call.name in NONLINEAR else ()
    return tuple(dict.fromkeys((*(bend for value in call.values for bend in value.bent), *own)))


class MutatedError(Exception):
    """A tensor is changed in place in a way that the rules do not follow."""


class Tracer:
    """One pass over the graph.

    Args:
        program: the exported module.
        module: for which of its tensors are tied.
        marks: what a former pass found out; see ``Units``.
    """

    def __init__(self, program: ExportedProgram, module: nn.Module, marks: dict[Key, tuple[int, ...]]) -> None:
        self._program = program
        self._aliases = {alias: key for key, aliases in tied(module).items() for alias in aliases}
        self._ledger = Ledger(Units(marks))
        self._before: dict[Node, int] = {}  # operation -> bits of it and of all it was computed from

    def run(self) -> Ledger:
        """Follow the graph from its inputs to its outputs.

        Raises:
            MutatedError: a tensor is changed in place in a way that the rules do not follow.
        """
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
        graphs = [place for place, each in enumerate(args) if isinstance(each, GraphModule)]
        if len(graphs) == 1 and str(node.target).startswith("wrap_with_"):  # without gradients, with automatic casts
            return self._follow(args[graphs[0]], list(args[graphs[0] + 1 :]))
        made = shapes(node)
        if made is None:
            if getattr(getattr(node.target, "_schema", None), "is_mutable", False):
                raise MutatedError(operation(node))
            return None
        call = self._as_call(node, args, kwargs, made)
        results = self._apply(call, node)
        return results if isinstance(node.meta["val"], tuple | list) else results[0]

    def _note_residual(self, node: Node, known: dict[Node, Any]) -> None:
        """Remember the axes of ``x + f(x)``, f with slots: the stream of a residual network runs along one of them."""
        above = (self._before.get(each, 0) for each in node.all_input_nodes)
        self._before[node] = functools.reduce(operator.or_, above, 1 << len(self._before))
        made, operands = known[node], [each for each in node.all_input_nodes if isinstance(known[each], Value)]
        if len(operands) == 2 and isinstance(made, Value) and operation(node) == "add":
            first, second = (self._before.get(each, 0) for each in operands)
            x, f = (known[each] for each in (operands if first & second == first else operands[::-1]))
            if first & second in {first, second} and x.of_slots and f.sources - x.sources:
                self._ledger.residuals += made.nodes

    def _as_call(self, node: Node, args: Any, kwargs: Any, made: list[tuple[int, ...]]) -> Call:
        schema = getattr(node.target, "_schema", None)
        declared = schema.arguments if schema else []
        names = [each.name for each in declared] or [f"argument{k}" for k in range(len(args))]
        defaults = {each.name: each.default_value for each in declared if each.has_default_value()}
        arguments = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
        listed = {key: list(item) if isinstance(item, tuple | list) else item for key, item in arguments.items()}
        taken: list[Any] = [user.args[1] for user in node.users if user.target is operator.getitem and user.users]
        return Call(operation(node), node.name, listed, made, module_path(node), self._ledger, frozenset(taken))

    def _apply(self, call: Call, node: Node) -> list[Value]:
        """The results of one operation, by its rule; one without a rule fixes what it touches."""
        if getattr(getattr(node.target, "_schema", None), "is_mutable", False):
            _check_in_place(call, node)
        results = self._by_rule(call, node)
        if results is None:
            results = self._refused(call) if any(value.of_slots for value in call.values) else _not_traced(call)
        layout = call.name in LAYOUT
        slots = slots_among(call.arguments)
        sources = frozenset[int]().union(*(value.sources for value in call.values))
        if slots and not layout:
            shaped = {key: self._ledger.slots[key].shape for key in slots.values()}
            use = as_use(len(self._ledger.uses), call, slots, shaped, sources, _bends(call), rms_eps(node))
            self._ledger.uses.append(use)
            sources = frozenset({use.step})
        bent = () if slots else _bends(call)
        if not slots:
            self._note_meeting(call)
        slot = call.values[0].slot if layout and call.values else None
        return [call.traced(value, sources, slot, bent) for value in results]

    def _note_meeting(self, call: Call) -> None:
        """Where values of different uses are multiplied: who is who."""
        names = MEETINGS.get(call.name)
        if names is None:
            return
        operands = {name: call.arguments.get(argument) for argument, name in names.items()}
        computed = {name: value for name, value in operands.items() if isinstance(value, Value) and value.sources}
        if len({value.sources for value in computed.values()}) > 1 or call.name == ATTENTION:
            steps = {name: tuple(sorted(value.sources)) for name, value in computed.items()}
            bent = tuple(name for name, value in computed.items() if value.bent)
            self._ledger.meetings.append(Meeting(call.name, steps, bent))

    @staticmethod
    def _by_rule(call: Call, node: Node) -> list[Value] | None:
        """The results, if there is a rule and it fits: its results have to have the shapes that torch gives them."""
        rule = RULES.get(call.name)
        if rule is None and torch.Tag.pointwise in getattr(node.target, "tags", ()):
            rule = elementwise
        if rule is None:
            return None
        for value in call.values:  # axes may have been joined since it was made
            call.settled(value)
        try:
            made = rule(call)
        except (MisfitError, LookupError):  # LookupError: an overload with other arguments than the rule knows
            return None
        results = made if isinstance(made, list) else [made]
        return results if [value.shape for value in results] == call.shapes else None

    def _refused(self, call: Call) -> list[Value]:
        """Fix all that an operation touches, and say which it is."""
        reason = NOT_UNDERSTOOD + call.name
        if (call.name, call.where) not in self._ledger.refusals:
            self._ledger.refusals.append((call.name, call.where))
        for value in call.values:
            for node in value.nodes:
                call.fix(node, reason)
        return [call.result([call.fresh(size, reason) for size in shape], shape) for shape in call.shapes]


def _not_traced(call: Call) -> list[Value]:
    """Masks and positions: no slot has a part in them, so nothing of theirs can move."""
    reason = "input" if any(value.of_input for value in call.values) else "constant"
    return [call.result([call.fresh(size, reason) for size in shape], shape) for shape in call.shapes]


def _check_in_place(call: Call, node: Node) -> None:
    """Stop where writing in place may reach what another name still reads as it was.

    Entry by entry into a whole tensor is harmless: its axes stay what they were. Into a view, or where nothing varied
    along an axis before, it is not.
    """
    target, value = node.args[0], call.values[0]
    made_by = getattr(getattr(target, "target", None), "_schema", None)
    is_view = made_by is not None and not made_by.is_mutable and any(item.alias_info for item in made_by.returns)
    same = all(dim is not None or size == 1 for dim, size in zip(value.dims, value.shape, strict=True))
    pointwise = torch.Tag.pointwise in getattr(node.target, "tags", ()) or call.name == "dropout"
    if is_view or not same or not pointwise:
        raise MutatedError(call.name)


def _flat(made: Any) -> Iterator[Value]:
    if isinstance(made, Value):
        yield made
    elif isinstance(made, tuple | list):
        for each in made:
            yield from _flat(each)
