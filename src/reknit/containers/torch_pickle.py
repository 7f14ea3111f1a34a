"""Reads the pickle inside a torch file without running anything it asks for.

Not ``pickle.Unpickler``: even with ``find_class`` closed it allocates whatever a memo index or a length claims. This
is a small machine that knows only the instructions state dicts are made of, answers the few globals they name with
inert stand-ins, and refuses everything else by name. It works in time and memory linear in the length of the pickle.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from reknit.containers.container import DAMAGED
from reknit.containers.torch_standins import (
    DType,
    Function,
    Record,
    ScriptClass,
    Storage,
    StridedTensor,
    find_global,
    is_plain_key,
)
from reknit.errors import ContainerError

_MAX_INSTRUCTIONS = 4_000_000
_MAX_NAME = 1024
_MARK = object()
_REMEDY = "Save the state dict instead: torch.save(model.state_dict(), ...)"


class PickleMachine:
    """Runs one pickle over stand-ins.

    Args:
        data: the bytes the pickle is in.
        at: where it begins; after ``run``, where it ended.
        folder: stands before the keys of its storages, to tell apart those of several pickles.

    Attributes:
        storages: the storages it referred to, by key.
        path: the file, for the sentences of its errors.
    """

    def __init__(self, data: bytes, path: Path, at: int = 0, *, folder: str = "") -> None:
        """Begin at a position."""
        self.data, self.path, self.at, self.folder = data, path, at, folder
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def run(self) -> object:
        """What the pickle describes.

        Returns:
            dicts, lists, tuples, numbers, texts, ``StridedTensor``, ``Record`` and other stand-ins; possibly shared.

        Raises:
            ContainerError: it asks for anything but tensors, is damaged, or too long.
        """
        try:
            return self._run()
        except (IndexError, KeyError, ValueError):
            self._refuse("holds a damaged pickle")

    def _run(self) -> object:
        for _ in range(_MAX_INSTRUCTIONS):
            code = self.data[self.at]
            self.at += 1
            if code == 0x2E:  # STOP
                return self.stack.pop()
            instruction = _INSTRUCTIONS.get(code)
            if instruction is None:
                self._refuse(f"uses the pickle instruction 0x{code:02x}, which tensors do not need", _REMEDY)
            instruction(self)
        return self._refuse(f"holds a pickle of more than {_MAX_INSTRUCTIONS:,} instructions")

    def _refuse(self, problem: str, remedy: str = DAMAGED) -> NoReturn:
        raise ContainerError(problem, self.path, remedy)

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if size < 0 or end > len(self.data):
            raise IndexError
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def _line(self) -> str:
        end = self.data.index(b"\n", self.at, self.at + _MAX_NAME)
        return self._take(end + 1 - self.at)[:-1].decode()

    def _pop_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:  # each item is passed once, for what is above a mark leaves the stack
            at -= 1
            if at < 0:
                raise IndexError
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _pop(self) -> Any:
        item = self.stack.pop()
        if item is _MARK:
            raise IndexError
        return item

    def _resolve(self, module: object, name: object) -> None:
        known = find_global(module, name) if isinstance(module, str) and isinstance(name, str) else None
        if known is None:
            asked = (
                f"{module}.{name}"[:100] if isinstance(module, str) and isinstance(name, str) else "a nameless object"
            )
            asked = asked if asked.isprintable() else repr(asked)
            self._refuse(f"asks for {asked}, which is no tensor; nothing was executed", _REMEDY)
        self.stack.append(known)

    def _global(self) -> None:
        self._resolve(self._line(), self._line())

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._resolve(module, name)

    def _reduce(self) -> None:
        args, function = self._pop(), self._pop()
        if not isinstance(function, Function) or not isinstance(args, tuple):
            self._refuse("calls something that cannot be called")
        made = function.make(args)
        if made is None:
            self._refuse(f"calls {function.name} with arguments that reknit does not read", _REMEDY)
        self.stack.append(made)

    def _new_object(self) -> None:
        args, made = self._pop(), self._pop()
        if not isinstance(made, ScriptClass) or args != ():
            self._refuse("makes an object that is no tensor", _REMEDY)
        self.stack.append(Record())

    def _build(self) -> None:
        state = self._pop()
        target = self.stack[-1]
        if isinstance(target, Record):
            self._fill(target, state)
        elif not isinstance(target, dict | StridedTensor):
            self._refuse("sets the attributes of an object that is no tensor", _REMEDY)
        # else: the attributes of an OrderedDict (_metadata) or a parameter say nothing about its numbers

    def _fill(self, record: Record, state: object) -> None:
        """Give a TorchScript object its attributes; what a class of its own saved is numbered."""
        if isinstance(state, dict):
            record.update((str(key), value) for key, value in state.items())
        elif isinstance(state, list | tuple):
            record.update((str(at), value) for at, value in enumerate(state))
        else:
            record["state"] = state

    def _persistent(self) -> None:
        match self._pop():
            case ("storage", DType(name), str(key), str(), int(count), *rest) if rest in ([], [None]) and count >= 0:
                self.storages[key] = Storage(self.folder + key, name, count)
                self.stack.append(self.storages[key])
            case _:
                self._refuse("refers to something that is no storage of numbers", _REMEDY)

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise IndexError
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not is_plain_key(key):
                self._refuse("has a dict whose key is neither a text nor a number", _REMEDY)
            target[key] = value

    def _append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise IndexError
        self.stack[-1].extend(items)

    def _set_one(self) -> None:
        value, key = self._pop(), self._pop()
        self._set_items([key, value])

    def _dict(self) -> None:
        items = self._pop_mark()
        self.stack.append({})
        self._set_items(items)

    def _unsigned(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def _text(self, size: int) -> None:
        self.stack.append(self._take(self._unsigned(size)).decode())

    def _bytes(self, size: int) -> None:
        self.stack.append(self._take(self._unsigned(size)))

    def _float(self) -> None:
        self.stack.extend(struct.unpack(">d", self._take(8)))

    def _integer(self, size: int, *, signed: bool) -> None:
        self.stack.append(int.from_bytes(self._take(size), "little", signed=signed))

    def _tuple(self, size: int) -> None:
        items = [self._pop() for _ in range(size)]
        self.stack.append(tuple(items[::-1]))

    def _put(self, index: int) -> None:
        if self.stack[-1] is _MARK:
            raise IndexError
        self.memo[index] = self.stack[-1]


_M = PickleMachine
_INSTRUCTIONS: dict[int, Callable[[PickleMachine], object]] = {
    0x80: lambda m: m._take(1),  # PROTO
    0x95: lambda m: m._take(8),  # FRAME
    ord("("): lambda m: m.stack.append(_MARK),
    ord("N"): lambda m: m.stack.append(None),
    0x88: lambda m: m.stack.append(True),
    0x89: lambda m: m.stack.append(False),
    ord("K"): lambda m: m._integer(1, signed=False),
    ord("M"): lambda m: m._integer(2, signed=False),
    ord("J"): lambda m: m._integer(4, signed=True),
    0x8A: lambda m: m._integer(m._unsigned(1), signed=True),  # LONG1
    ord("G"): _M._float,
    ord("X"): lambda m: m._text(4),
    0x8C: lambda m: m._text(1),
    0x8D: lambda m: m._text(8),
    ord("U"): lambda m: m._text(1),  # a text of Python 2
    ord("T"): lambda m: m._text(4),
    ord("B"): lambda m: m._bytes(4),
    ord("C"): lambda m: m._bytes(1),
    0x8E: lambda m: m._bytes(8),
    ord("}"): lambda m: m.stack.append({}),
    ord("]"): lambda m: m.stack.append([]),
    ord(")"): lambda m: m.stack.append(()),
    ord("t"): lambda m: m.stack.append(tuple(m._pop_mark())),
    0x85: lambda m: m._tuple(1),
    0x86: lambda m: m._tuple(2),
    0x87: lambda m: m._tuple(3),
    ord("l"): lambda m: m.stack.append(m._pop_mark()),
    ord("a"): lambda m: m._append([m._pop()]),
    ord("e"): lambda m: m._append(m._pop_mark()),
    ord("d"): _M._dict,
    ord("s"): _M._set_one,
    ord("u"): lambda m: m._set_items(m._pop_mark()),
    ord("q"): lambda m: m._put(m._unsigned(1)),
    ord("r"): lambda m: m._put(m._unsigned(4)),
    0x94: lambda m: m._put(len(m.memo)),  # MEMOIZE
    ord("h"): lambda m: m.stack.append(m.memo[m._unsigned(1)]),
    ord("j"): lambda m: m.stack.append(m.memo[m._unsigned(4)]),
    ord("c"): _M._global,
    0x93: _M._stack_global,
    ord("R"): _M._reduce,
    ord("b"): _M._build,
    0x81: _M._new_object,
    ord("Q"): _M._persistent,
}
"""What protocols 2 to 5 use for dicts, lists, tuples, numbers, texts, references and plain objects (pickletools)."""
