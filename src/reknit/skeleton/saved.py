"""A skeleton as JSON and back: it is traced once, with torch, and read wherever there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reknit.errors import InputError
from reknit.plain import dumps
from reknit.skeleton.skeleton import Group, Link, Meeting, Member, Refusal, Skeleton, Slot, Use

REMEDY = "Give a file that reknit couple --json has written"


def as_json(skeleton: Skeleton) -> dict[str, Any]:
    """All fields by their names; tuples become lists when it is written."""
    return asdict(skeleton)


def from_json(found: Mapping[str, Any], where: str | Path = "") -> Skeleton:
    """A skeleton from what ``as_json`` gave, or from what JSON made of it.

    Raises:
        InputError: a field is missing, unknown or of another type.
    """
    try:
        return Skeleton(
            str(found["name"]),
            tuple(Slot(**_tuples(slot)) for slot in found["slots"]),
            tuple(_group(group) for group in found["groups"]),
            tuple(_use(use) for use in found["uses"]),
            tuple(Refusal(**_tuples(refusal)) for refusal in found["refusals"]),
            tuple(_meeting(meeting) for meeting in found["meetings"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"it holds no skeleton: {error}", where, REMEDY) from None


def save(skeleton: Skeleton, path: str | Path) -> None:
    """Write ``skeleton.json``."""
    Path(path).write_text(dumps(as_json(skeleton), indent=1) + "\n", encoding="utf-8")


def load(path: str | Path) -> Skeleton:
    """Read ``skeleton.json``.

    Raises:
        InputError: the file cannot be read or holds no skeleton.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"it cannot be read: {error}", path, REMEDY) from None
    if not isinstance(found, dict):
        raise InputError("it holds no skeleton", path, REMEDY)
    return from_json(found, path)


def _group(found: Mapping[str, Any]) -> Group:
    parts = {
        "members": tuple(Member(**member) for member in found["members"]),
        "links": tuple(Link(**link) for link in found["links"]),
    }
    return Group(**{**found, **parts})


def _use(found: Mapping[str, Any]) -> Use:
    details = found["details"]
    return Use(**{**_tuples(found), "details": None if details is None else _tuples(details)})


def _tuples(found: Mapping[str, Any]) -> dict[str, Any]:
    """Lists, which JSON knows, as tuples, which can be compared and hashed."""
    return {key: tuple(item) if isinstance(item, list) else item for key, item in found.items()}


def _meeting(found: Mapping[str, Any]) -> Meeting:
    operands = {name: tuple(steps) for name, steps in found["operands"].items()}
    return Meeting(found["operation"], operands, tuple(found["bent"]))
