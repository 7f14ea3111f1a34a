"""Scatter a trained network: anonymous pieces, the table of its answers and, apart from them, the key."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

from reknit.containers.write import staged_folder, write_file

if TYPE_CHECKING:
    from reknit.network.spec import ResidualSpec
    from reknit.puzzle.train import Trained


def key_path(folder: Path) -> Path:
    """Where the answer to ``folder`` goes: beside it, never inside."""
    return folder.with_name(f"{folder.name}.key.json")


def layer_keys(spec: ResidualSpec) -> tuple[str, ...]:
    """The state-dict prefixes of a network's linear layers: in, out, in, out, ..., head."""
    blocks = (f"blocks.{k}.{layer}" for k in range(spec.blocks) for layer in ("in", "out"))
    return (*blocks, "head")


def piece_names(spec: ResidualSpec, seed: int) -> tuple[str, ...]:
    """The name of each layer's piece, in the order of ``layer_keys``: a permutation drawn from the seed."""
    layers = len(layer_keys(spec))
    # a stream of its own: generate_state(3) of the same seed is taken by training
    numbers = np.random.default_rng([seed, 1]).permutation(layers)
    return tuple(f"piece_{number}" for number in numbers)


def scatter(trained: Trained, folder: Path, *, version: str, force: bool) -> tuple[str, ...]:
    """Write ``folder`` and the key beside it.

    Returns:
        The names of the pieces: in, out, in, out, ..., head.

    Raises:
        OutputError: something is there already and ``force`` is false, or it cannot be written.
    """
    order = piece_names(trained.spec, trained.seed)
    tensors = trained.model.state_dict()
    with staged_folder(folder, force=force) as staged:
        (staged / "pieces").mkdir()
        for name, key in zip(order, layer_keys(trained.spec), strict=True):
            piece = {part: tensors[f"{key}.{part}"].clone() for part in ("weight", "bias")}
            (staged / "pieces" / f"{name}.pth").write_bytes(_torch_bytes(piece))
        table(trained).write_csv(staged / "data.csv")
        write_file(key_path(folder), json.dumps(answer(trained, order, version), indent=1), force=force)
    return order


def _torch_bytes(piece: dict[str, torch.Tensor]) -> bytes:
    # through memory, because torch.save writes the name of the file it is given into the archive
    buffer = io.BytesIO()
    torch.save(piece, buffer)
    return buffer.getvalue()


def table(trained: Trained) -> pl.DataFrame:
    """The recorded data: ``input_0..``, ``pred`` (or ``pred_0..`` when there are several outputs) and ``true``.

    Inputs and answers are float32, and are printed with as many digits as tell them apart.
    """
    inputs, outputs = trained.inputs.numpy(), trained.outputs.numpy()
    columns = {f"input_{j}": inputs[:, j] for j in range(inputs.shape[1])}
    if outputs.shape[1] == 1:
        columns["pred"] = outputs[:, 0]
    else:
        columns |= {f"pred_{j}": outputs[:, j] for j in range(outputs.shape[1])}
    return pl.DataFrame(columns | {"true": trained.truth.numpy()})


def answer(trained: Trained, order: tuple[str, ...], version: str) -> dict[str, Any]:
    """What the key file holds: the order, and how the stream was made from the raw features."""
    dataset = trained.dataset
    return {
        "order": list(order),
        "spec": trained.spec.as_config(),
        "data": dataset.name,
        "epochs": trained.epochs,
        "seed": trained.seed,
        "loss": {"before": trained.loss_before, "after": trained.loss_after},
        "version": version,
        "feature_mean": dataset.mean.tolist(),
        "feature_scale": dataset.scale.tolist(),
        "projection": trained.projection.tolist(),
    }
