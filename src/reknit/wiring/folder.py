"""A wired network in a folder: ``model.safetensors``, ``config.json``, ``assembly.json``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from reknit.containers.write import staged_folder
from reknit.plain import dumps

ARCHITECTURE = "wired"
MODEL_FILE, CONFIG_FILE, ASSEMBLY_FILE = "model.safetensors", "config.json", "assembly.json"


def save_wiring(
    tensors: Mapping[str, np.ndarray],
    like: str,
    content: Mapping[str, Any],
    folder: Path,
    *,
    input_shape: str | None = None,
    force: bool = False,
    expendable: Collection[str] = (),
) -> None:
    """Write a wiring into a folder of its own, whole or not at all.

    Args:
        tensors: slot -> numbers.
        like: what the skeleton was made from, for ``config.json``.
        content: what ``--json`` prints, and what a report needs.
        folder: where to.
        input_shape: of an example input, where it was told.
        force: replace an existing folder that holds an assembly and nothing else.
        expendable: names of files that may be lost with the old folder.

    Raises:
        OutputError: the folder is there already and ``force`` is false, or it cannot be written.
    """
    with staged_folder(folder, force=force, expendable=expendable) as staged:
        save_file({key: np.asarray(tensor, order="C") for key, tensor in tensors.items()}, staged / MODEL_FILE)
        config = {"architecture": ARCHITECTURE, "like": like, "version": content["version"]}
        if input_shape is not None:
            config["input"] = input_shape
        (staged / CONFIG_FILE).write_text(dumps(config, indent=2) + "\n", encoding="utf-8")
        (staged / ASSEMBLY_FILE).write_text(dumps(content, indent=1) + "\n", encoding="utf-8")
