"""A residual MLP in a folder: ``model.safetensors`` and ``config.json``, written by ``assemble`` and read back.

Nothing in the folder is believed: every key and shape must fit the configuration before a module is built.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file

from reknit.containers.dtypes import is_float
from reknit.containers.file_bytes import FileBytes
from reknit.containers.safetensors_file import SafetensorsFile
from reknit.errors import ContainerError, InputError
from reknit.network.activations import ACTIVATIONS
from reknit.network.norms import NORMS
from reknit.network.spec import ResidualSpec
from reknit.plain import dumps

if TYPE_CHECKING:
    from reknit.network.residual_mlp import ResidualMLP

MODEL_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
ARCHITECTURE = "residual-mlp"
REMEDY = "Give a folder that reknit assemble --out has written"


def save_model(folder: Path, spec: ResidualSpec, tensors: Mapping[str, np.ndarray], version: str) -> None:
    """Write the two files into an existing folder, over what is there; staging is the caller's business."""
    save_file({key: np.ascontiguousarray(tensor) for key, tensor in tensors.items()}, folder / MODEL_FILE)
    config = {**spec.as_config(), "version": version}
    (folder / CONFIG_FILE).write_text(dumps(config, indent=2) + "\n", encoding="utf-8")


def load_model(folder: str | Path) -> ResidualMLP:
    """Read a network back, in the dtype it was written in, in eval mode and without gradients.

    Raises:
        InputError: a file is missing, unreadable or damaged, or the tensors do not fit the configuration.
    """
    from safetensors.torch import load_file  # torch is loaded for a module alone

    from reknit.network.residual_mlp import ResidualMLP

    folder = Path(folder)
    spec = load_spec(folder)
    check_tensors(spec, load_tensors(folder), folder / MODEL_FILE)
    return ResidualMLP.from_tensors(spec, load_file(folder / MODEL_FILE)).eval()


def load_spec(folder: Path) -> ResidualSpec:
    """The architecture in ``config.json``.

    Raises:
        InputError: the file is missing, is not JSON, or describes no network that reknit knows.
    """
    path = folder / CONFIG_FILE
    config = read_json(path)
    if config.get("architecture") != ARCHITECTURE:
        raise InputError(f"the architecture is {config.get('architecture')!r}, not {ARCHITECTURE!r}", path, REMEDY)
    for key in ("blocks", "width", "hidden", "outputs"):
        value = config.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"{key!r} is {value!r}, not a positive whole number", path, REMEDY)
    for key, known in (("activation", ACTIVATIONS), ("norm", NORMS), ("final_norm", NORMS)):
        if not isinstance(config.get(key), str) or config[key] not in known:
            raise InputError(f"{key!r} is {config.get(key)!r}, not one of {', '.join(known)}", path, REMEDY)
    eps = config.get("norm_eps")
    if eps is not None and (not isinstance(eps, int | float) or not 0 <= eps < 1):
        raise InputError(f"'norm_eps' is {eps!r}, not a number from 0 to 1", path, REMEDY)
    return ResidualSpec.from_config(config)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        InputError: the file is missing, cannot be read, or holds anything else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the file cannot be read ({error.strerror})", path, REMEDY) from error
    except (ValueError, RecursionError) as error:
        raise InputError("the file is not JSON", path, REMEDY) from error
    if not isinstance(value, dict):
        raise InputError("the file does not hold a JSON object", path, REMEDY)
    return value


def load_tensors(folder: Path) -> dict[str, np.ndarray]:
    """The tensors in ``model.safetensors``, as they are.

    Raises:
        ContainerError: the file is missing, cannot be read, or is damaged.
    """
    path = folder / MODEL_FILE
    try:
        path.open("rb").close()
    except OSError as error:
        raise ContainerError(f"the file cannot be read ({error.strerror})", path, REMEDY) from error
    try:
        stored = SafetensorsFile(FileBytes(path))
        return {key: stored.read(key) for key in stored.tensors}
    except ContainerError as error:
        raise ContainerError("the file is not a readable safetensors file", path, "Write or copy it again") from error


def check_tensors(spec: ResidualSpec, tensors: Mapping[str, np.ndarray], where: Path) -> None:
    """Hold every key, shape and dtype against the architecture.

    Raises:
        ContainerError: names the first tensor that is missing, foreign, of another shape or not of real numbers.
    """
    layers = 2 * spec.blocks + 1
    weights = sum(key.endswith(".weight") for key in tensors)
    if weights != layers:  # before anything is laid out by a number that config.json made up
        raise ContainerError(f"it holds {weights} weights where {spec.blocks} blocks and a head have {layers}", where)
    shapes = _shapes(spec)
    for key, shape in shapes.items():
        if key not in tensors and key.endswith(".weight"):
            raise ContainerError(f"there is no tensor {key!r}", where)
        if key in tensors and tuple(tensors[key].shape) != shape:
            raise ContainerError(f"{key!r} has shape {tuple(tensors[key].shape)}, not {shape}", where)
    for key, tensor in tensors.items():
        if key not in shapes:
            raise ContainerError(f"there is no place for tensor {key!r}", where)
        if not is_float(tensor.dtype.name):
            raise ContainerError(f"{key!r} holds {tensor.dtype}, not real numbers", where)
    if len({tensor.dtype for tensor in tensors.values()}) > 1:
        raise ContainerError("the tensors are of several dtypes", where, "Convert them to one")


def _shapes(spec: ResidualSpec) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for k in range(spec.blocks):
        shapes[f"blocks.{k}.in.weight"] = (spec.hidden, spec.width)
        shapes[f"blocks.{k}.in.bias"] = (spec.hidden,)
        shapes[f"blocks.{k}.out.weight"] = (spec.width, spec.hidden)
        shapes[f"blocks.{k}.out.bias"] = (spec.width,)
    return shapes | {"head.weight": (spec.outputs, spec.width), "head.bias": (spec.outputs,)}
