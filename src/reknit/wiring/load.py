"""What ``assemble`` wrote into a folder, read back: as a module (``load``), or as the whole answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reknit.errors import InputError
from reknit.network.saved import CONFIG_FILE, REMEDY, load_model, load_tensors, read_json
from reknit.wiring.folder import ARCHITECTURE, ASSEMBLY_FILE
from reknit.wiring.result import ExchangeTests, Inferred, Placed, Step, Wiring, WiringEvidence

if TYPE_CHECKING:
    from torch import nn

    from reknit.skeleton.like import Like


def load(folder: str | Path) -> nn.Module:
    """A network that ``reknit assemble --out`` wrote, in eval mode and without gradients.

    Args:
        folder: a residual MLP, or any network wired into a skeleton. The skeleton is made as when it was wired: if it
            was the user's own code, that code has to be importable from here.

    Raises:
        InputError: a file is missing, unreadable or damaged, or the tensors do not fit the skeleton.
        UsageError: the skeleton is not there.
    """
    folder = Path(folder)
    if not is_wired(folder):
        return load_model(folder)
    return _held(like_of(folder), load_tensors(folder))


def is_wired(folder: Path) -> bool:
    """Whether a folder holds a network wired into a skeleton, and no residual MLP.

    Raises:
        InputError: there is no ``config.json`` that can be read.
    """
    return read_json(folder / CONFIG_FILE).get("architecture") == ARCHITECTURE


def like_of(folder: Path) -> Like:
    """The skeleton of a wired network, as when it was wired.

    Raises:
        InputError: ``config.json`` does not name one.
        UsageError: it is not there.
    """
    from reknit.skeleton.like import resolve  # and torch with it: loaded for a module alone

    config = read_json(folder / CONFIG_FILE)
    like = config.get("like")
    if not isinstance(like, str):
        raise InputError(f"'like' is {like!r}, not the name of a skeleton", folder / CONFIG_FILE, REMEDY)
    return resolve(like, config.get("input"))


def _held(like: Like, tensors: Mapping[str, np.ndarray]) -> nn.Module:
    import torch

    from reknit.architectures.load import hold

    return hold(like.fillable(), {key: torch.from_numpy(tensor) for key, tensor in tensors.items()}).eval()


def load_wiring(folder: Path) -> Wiring:
    """Read an answer back, to report again what was found.

    Raises:
        InputError: a file is missing or damaged, or the files do not belong together.
    """
    path, tensors = folder / ASSEMBLY_FILE, load_tensors(folder)
    content = read_json(path)
    try:
        slots = tuple(Placed(s["slot"], s["piece"], _number(s["margin"]), s["certain"]) for s in content["slots"])
        place = {placed.piece: placed.slot for placed in slots}
        if {placed.slot for placed in slots} != tensors.keys() or len(place) != len(slots):
            raise ValueError("other slots than tensors")
        found = content["architecture"]
        return Wiring(
            verdict=content["verdict"],
            reason=content["reason"],
            slots=slots,
            undecided=_tuples(content["undecided"]),
            residual=_residual(content["residual"]),
            skeleton=Inferred(found["like"], tuple(found["inferred_from"]), tuple(found["alternatives"])),
            seconds={stage: float(seconds) for stage, seconds in content["seconds"].items()},
            run=content["run"],
            array=lambda piece: tensors[place[piece]],
            build=lambda state: _held(like_of(folder), state),
            identical=_tuples(content["identical"]),
            notes=tuple(content["notes"]),
            evidence=_evidence(content["evidence"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            "the file does not hold the answer of a wiring", path, "Assemble again with --force"
        ) from error


def _evidence(content: Mapping[str, Any]) -> WiringEvidence:
    tests = content["tests"]
    return WiringEvidence(
        families={slot: (family, tuple(index)) for slot, (family, index) in content["families"].items()},
        likely=frozenset(content["likely"]),
        by_weights=dict(content["by_weights"]),
        steps=tuple(Step(s["stage"], _number(s["error"]), s["certain"], s["seconds"]) for s in content["steps"]),
        tests=tests and ExchangeTests(**tests | {"weakest": _number(tests["weakest"])}),
    )


def _residual(content: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if content is None:
        return None
    errors = {key: [_number(value) for value in content[key]] for key in ("mse", "max_abs", "tolerance")}
    return errors | {"numbers": content["numbers"], "contradicted": content["contradicted"]}


def _tuples(sets: list[list[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(slots) for slots in sets)


def _number(value: float | None) -> float:
    """Infinities are null in JSON."""
    return math.inf if value is None else float(value)
