"""Which columns of a table are inputs and which are outputs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from reknit.errors import TableError


def choose(
    names: Sequence[str], groups: Mapping[str, Sequence[str]], target: str | None, inputs: str | None, path: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The input and output columns; see ``read_table`` for the rules.

    Args:
        names: all columns, in the order of the file.
        groups: names that stand for several columns (the two-axis arrays of an npz).
        target: what the user asked for; None for the default.
        inputs: what the user asked for; None for the default.
        path: the file, for the sentences of the errors.

    Raises:
        TableError: there is no such column, no input is left, or a column would be both.
    """
    if target is None:
        outputs = _expand("pred", names, groups) or _expand("pred_*", names, groups)
        if not outputs:
            remedy = f"Name the recorded outputs with --target; {_listed(names)}"
            raise TableError("has no column 'pred' and none named 'pred_*'", path, remedy)
    else:
        outputs = _pick(target, names, groups, option="--target", path=path)
    if inputs is None:
        chosen = tuple(n for n in names if n not in outputs and not n.startswith(("pred", "true")))
    else:
        chosen = _pick(inputs, names, groups, option="--inputs", path=path, never=outputs)
    if not chosen:
        raise TableError("has no column left to be an input", path, f"Name them with --inputs; {_listed(names)}")
    return chosen, outputs


def _expand(pattern: str, names: Sequence[str], groups: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The columns of one name or glob; a name is tried first, for it may contain ``[``."""
    if pattern in names:
        return (pattern,)
    if pattern in groups:
        return tuple(groups[pattern])
    return tuple(name for name in names if fnmatchcase(name, pattern))


def _pick(
    request: str,
    names: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    *,
    option: str,
    path: Path,
    never: Sequence[str] = (),
) -> tuple[str, ...]:
    """The columns of a list of names and globs, each once."""
    patterns = [request] if request in names else [part.strip() for part in request.split(",")]
    picked: dict[str, None] = {}
    for pattern in patterns:
        found = _expand(pattern, names, groups)
        if not found:
            near = difflib.get_close_matches(pattern, names, 3)
            remedy = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"For {option}, {_listed(names)}"
            raise TableError(f"has no column {pattern!r}", path, remedy.removesuffix("?"))
        if pattern in never:
            raise TableError(f"{pattern!r} is asked for as input and as target", path, f"Take it out of {option}")
        picked.update(dict.fromkeys(name for name in found if name not in never))
    return tuple(picked)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in names[:6])
    return f"the columns are {shown}" + (f" and {len(names) - 6} more" if len(names) > 6 else "")
