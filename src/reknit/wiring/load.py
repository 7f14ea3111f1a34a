"""``load``: what ``assemble`` wrote into a folder, as a module again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reknit.errors import InputError
from reknit.network.saved import CONFIG_FILE, REMEDY, load_model, load_tensors, read_json
from reknit.wiring.folder import ARCHITECTURE

if TYPE_CHECKING:
    from torch import nn


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
    config = read_json(folder / CONFIG_FILE)
    if config.get("architecture") != ARCHITECTURE:
        return load_model(folder)
    like = config.get("like")
    if not isinstance(like, str):
        raise InputError(f"'like' is {like!r}, not the name of a skeleton", folder / CONFIG_FILE, REMEDY)
    import torch  # and what is imported with it: loaded for a module alone

    from reknit.architectures.load import hold
    from reknit.skeleton.like import resolve

    tensors = {key: torch.from_numpy(tensor) for key, tensor in load_tensors(folder).items()}
    return hold(resolve(like, config.get("input")).fillable(), tensors).eval()
