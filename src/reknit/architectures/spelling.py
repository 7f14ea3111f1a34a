"""A config as one line, and back: ``bert:layers=12,width=256,heads=4,hidden=512,vocab=591``.

What is left away has its default. Several values are joined by ``-``: ``mlp:sizes=784-512-10``. A stage is spelled
``BLOCKSxWIDTH`` and, where they differ from the default, ``k`` and its kernel, ``s`` and its stride, ``d`` and its
dilation, ``e`` and its expansion: ``preact-resnet:stages=4x32k11-4x32k11d4``. A head of BERT is ``name:size``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from reknit.architectures.registry import ARCHITECTURES, Config, architecture_of, find_architecture
from reknit.errors import InputError, UsageError

LETTERS = {"kernel": "k", "stride": "s", "dilation": "d", "expansion": "e"}
"""How a field of a stage is spelled."""


def read_config(text: str) -> Config:
    """The config that a line spells.

    Raises:
        UsageError: there is no such architecture, field or value; the sentence names it.

    >>> read_config("mlp:sizes=784-512-10,activation=gelu").sizes
    (784, 512, 10)
    """
    name, _, rest = text.partition(":")
    architecture = find_architecture(name)
    types = get_type_hints(architecture.config)
    values: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        field, equals, spelled = part.partition("=")
        if field not in types:
            raise UsageError(f"{name} has no {field!r}", "--like", f"Choose of {', '.join(types)}")
        if not equals:
            raise UsageError(f"{field} of {name} has no value", "--like", f"Write {field}=...")
        values[field] = _read(types[field], spelled, f"{field} of {name}")
    return architecture.config(**values)


def spell_config(config: Config) -> str:
    """The line that spells a config: the inverse of ``read_config``.

    >>> spell_config(read_config("preact-resnet:bias=true,stages=4x32k11-4x32k11d4"))
    'preact-resnet:stages=4x32k11-4x32k11d4,bias=true'
    """
    spelled = [
        f"{field.name}={spell_value(getattr(config, field.name))}"
        for field in fields(config)
        if getattr(config, field.name) != field.default
    ]
    name = architecture_of(config).name
    return f"{name}:{','.join(spelled)}" if spelled else name


def as_json(config: Config) -> dict[str, Any]:
    """What a ``config.json`` holds: everything, defaults too."""
    return {"architecture": architecture_of(config).name, **asdict(config)}


def from_json(values: Mapping[str, Any], where: str = "") -> Config:
    """The inverse of ``as_json``; keys that are no field are left aside.

    Raises:
        InputError: the architecture is unknown, or a value is of another type than its field.
    """
    name = values.get("architecture")
    if name not in ARCHITECTURES:
        known = f"reknit knows {', '.join(ARCHITECTURES)}"
        raise InputError(f"the architecture is {name!r}", where, known)
    kind = ARCHITECTURES[name].config
    types = get_type_hints(kind)
    given = {key: _plain(types[key], values[key], f"{key} of {name}", where) for key in types if key in values}
    return kind(**given)


def _read(kind: Any, text: str, what: str) -> Any:
    """The value of a field's type that a word spells."""
    readers: dict[Any, tuple[Callable[[str], Any], str]] = {
        int: (int, "a whole number"),
        float: (float, "a number"),
        bool: ({"true": True, "false": False}.__getitem__, "true or false"),
        str: (str, "a word"),
    }
    if get_origin(kind) is tuple:
        item, *more = get_args(kind)
        if more and more[0] is not Ellipsis:  # a name and a size
            return tuple(_read(each, part, what) for each, part in zip(get_args(kind), _two(text, what), strict=True))
        return tuple(_read(item, part, what) for part in text.split("-") if part)
    if is_dataclass(kind):
        return _read_stage(kind, text, what)
    reader, expected = readers[kind]
    try:
        return reader(text)
    except (ValueError, KeyError):
        raise UsageError(f"{what} is {text!r}", "--like", f"Give {expected}") from None


def _two(text: str, what: str) -> list[str]:
    parts = text.split(":")
    if len(parts) != 2:
        raise UsageError(f"{what} has a part {text!r}", "--like", "Write a name, a colon and a size")
    return parts


def _read_stage(kind: Any, text: str, what: str) -> Any:
    letters = {LETTERS[field.name]: field.name for field in fields(kind) if field.name in LETTERS}
    match = re.fullmatch(rf"(\d+)x(\d+)((?:[{''.join(letters)}]\d+)*)", text)
    if not match:
        rest = ", ".join(f"{letter} and its {name}" for letter, name in letters.items())
        raise UsageError(f"{what} has a stage {text!r}", "--like", f"Write blocks, x, width, then perhaps {rest}")
    more = {letters[letter]: int(size) for letter, size in re.findall(r"([a-z])(\d+)", match[3])}
    return kind(int(match[1]), int(match[2]), **more)


def spell_value(value: Any) -> str:
    """A value of a config as ``--like`` takes it.

    >>> spell_value((784, 512, 10)), spell_value(True)
    ('784-512-10', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        if value and isinstance(value[0], str):
            return ":".join(map(str, value))
        return "-".join(map(spell_value, value))
    if is_dataclass(value):
        sizes = {field.name: (getattr(value, field.name), field.default) for field in fields(value)}
        more = (f"{LETTERS[name]}{size}" for name, (size, usual) in sizes.items() if name in LETTERS and size != usual)
        return f"{sizes['blocks'][0]}x{sizes['width'][0]}{''.join(more)}"
    return str(value)


def _plain(kind: Any, value: Any, what: str, where: str) -> Any:
    """A value out of JSON as the field's type."""
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        item, *more = get_args(kind)
        kinds = [item] * len(value) if more == [Ellipsis] else get_args(kind)
        if len(kinds) == len(value):
            return tuple(_plain(each, part, what, where) for each, part in zip(kinds, value, strict=True))
    elif is_dataclass(kind) and isinstance(value, Mapping):
        types = get_type_hints(kind)
        known = {key: _plain(types[key], part, what, where) for key, part in value.items() if key in types}
        if {"blocks", "width"} <= known.keys():
            make: Any = kind
            return make(**known)
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif type(value) is kind:
        return value
    raise InputError(f"{what} is {value!r}", where, "Correct the value, or leave it away for the default")
