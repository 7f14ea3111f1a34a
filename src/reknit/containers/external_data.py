"""Numbers that a model keeps in other files beside it; a name may never lead out of the model's folder."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

from reknit.containers.container import DAMAGED, is_printable
from reknit.containers.file_bytes import FileBytes, unreadable
from reknit.errors import ContainerError

_MAX_NAME = 1024


def find_external(
    model: FileBytes, key: str, claim: Mapping[str, str], size: int, opened: MutableMapping[str, FileBytes]
) -> tuple[FileBytes, int]:
    """The file with the numbers of one tensor, and where in it they begin.

    Args:
        model: the file that names the other.
        key: the tensor.
        claim: ONNX's ``location`` (a path below the model's folder), ``offset`` and ``length`` in bytes, as texts.
        size: how many bytes the tensor needs.
        opened: the files met before, by location; a new one is added.

    Raises:
        ContainerError: the path leads elsewhere (also through a link), there is no such file, or it is too short.
    """
    location = claim.get("location", "")
    if location not in opened:
        opened[location] = _open(model, location)
    source = opened[location]
    start, length = (
        _number(model, key, claim.get(name, str(usual))) for name, usual in (("offset", 0), ("length", size))
    )
    if length != size:
        problem = f"{key!r} should have {size:,} bytes but {length:,} are claimed in {location}"
        raise ContainerError(problem, model.path, DAMAGED)
    if start + size > source.size:
        raise ContainerError(f"the numbers of {key!r} lie outside {location}", model.path, DAMAGED)
    return source, start


def _open(model: FileBytes, location: str) -> FileBytes:
    parts = location.split("/")
    plain = location and len(location) <= _MAX_NAME and is_printable(location) and not set(location) & set("\\:")
    if not plain or any(part in ("", ".", "..") for part in parts):
        problem = f"names the file {location[:100]!a} for its numbers, which is not one below its folder"
        raise ContainerError(problem, model.path)
    path = model.path.parent.joinpath(*parts)
    try:
        inside = path.resolve().is_relative_to(model.path.parent.resolve())
        exists = path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links is a RuntimeError before Python 3.13
        raise unreadable(path, error if isinstance(error, OSError | ValueError) else ValueError(str(error))) from None
    if not inside:
        problem = f"the file {location} for its numbers is a link out of its folder"
        raise ContainerError(problem, model.path, "Put the file itself beside the model")
    if not exists:
        raise ContainerError(f"the file {location} with its numbers is missing", model.path, "Put it beside the model")
    return FileBytes(path)


def _number(model: FileBytes, key: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise ContainerError(f"{key!r} has a damaged description of where its numbers are", model.path, DAMAGED)
    return int(text)
