"""What a checkpoint folder says of its architecture: ``config.json``, and the shapes of the tensors beside it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reknit.architectures.hugging_face import from_hugging_face, model_type
from reknit.architectures.infer import agreeing
from reknit.architectures.registry import Config
from reknit.architectures.spelling import from_json
from reknit.containers.opening import open_container
from reknit.errors import ContainerError, InputError
from reknit.network.spec import ResidualSpec

CONFIG_FILE = "config.json"
TENSOR_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
FORMS = "Give package.module:callable, a folder with config.json, or a built-in architecture such as bert:layers=6"


def read_folder(folder: Path, device: str = "meta") -> Config | ResidualSpec | nn.Module:
    """A built-in config, the spec of a network that ``assemble`` wrote, or transformers' own module.

    Args:
        folder: of the checkpoint.
        device: where transformers' own module is made.

    Raises:
        InputError: there is no ``config.json``, or it describes nothing that is known.
    """
    path = folder / CONFIG_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no {CONFIG_FILE}", folder, FORMS) from None
    except (OSError, ValueError) as error:
        raise InputError(f"it cannot be read: {error}", path, "Give a checkpoint's own file") from None
    if not isinstance(values, dict):
        raise InputError("it holds no object", path, "Give a checkpoint's own file")
    if "norm_eps" in values and values.get("architecture") == "residual-mlp":
        return ResidualSpec.from_config(values)
    if "architecture" in values:
        return from_json(values, str(path))
    try:
        return _with_heads(folder, values) or from_hugging_face(values, str(path))
    except InputError:
        module = _of_transformers(folder, values, device)
        if module is None:
            raise
    return module


def _with_heads(folder: Path, values: Mapping[str, Any]) -> Config | None:
    """The config with the heads that the tensors have, unless they belong to a head of transformers' own.

    Files from before 2020 do not say which heads they have, and the heads of others have no name that is known.
    """
    head = (values.get("architectures") or [""])[0]
    kind = model_type(values) or ""
    try:
        config = from_hugging_face({**values, "architectures": None}, str(folder))
        if head.lower().startswith(kind):
            from_hugging_face(values, str(folder))
    except InputError:
        return None
    for name in TENSOR_FILES:
        if (folder / name).is_file():
            try:
                infos = open_container(folder / name).tensors.values()
            except ContainerError:
                return None
            return agreeing(config, [info.shape for info in infos], [info.dtype for info in infos])
    return None


def _of_transformers(folder: Path, values: Mapping[str, Any], device: str) -> nn.Module | None:
    """transformers' own module, if it is installed and knows the type; code that comes with a checkpoint never runs."""
    if not model_type(values) or importlib.util.find_spec("transformers") is None:
        return None
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        kind = getattr(transformers, (values.get("architectures") or [""])[0], None)
        with torch.device(device):
            if kind is not None and issubclass(kind, transformers.PreTrainedModel):
                module: nn.Module = kind(config)
            else:
                make: Any = transformers.AutoModel.from_config
                module = make(config, trust_remote_code=False)
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return None
    return module
