"""Numbers with the marks that training leaves: readers read what the block before wrote, partners share a diagonal."""

from __future__ import annotations

import numpy as np
from traced_nets import numbers

from reknit.skeleton.skeleton import Skeleton
from reknit.wiring.faces import find_faces

HAND = {
    "gram in>out -1": 1.0,
    "gram attention out>in +1": 1.0,
    **{f"gram {pair} +1": 1.0 for pair in ("out>query", "out>value")},
    **{f"trace {pair}": 2.0 for pair in ("in>out", "value>attention out", "query>key")},
}
"""Weights by hand: the chain from block to block, and the traces within."""


def planted(skeleton: Skeleton, seed: int = 0) -> dict[str, np.ndarray]:
    """Untrained numbers, changed in the order of the forward pass; every face is a whole matrix.

    Of query and key the query alone reads what was written, or nothing would tell them apart.
    """
    rng = np.random.default_rng(seed)
    tensors = {key: tensor.astype(np.float64) for key, tensor in numbers(skeleton, seed).items()}
    written: dict[int, np.ndarray] = {}  # depth -> stream x hidden, what was written there
    met: dict[str, np.ndarray] = {}  # units -> hidden x stream, who reads for them
    for face in find_faces(skeleton):
        if face.kind in ("source", "end"):
            continue
        tensor = tensors[face.slot]
        if face.reads and face.kind != "key" and face.depth - 1 in written:
            before = written[face.depth - 1]
            mixed = rng.normal(size=(len(tensor), before.shape[1])) @ before.T
            tensor = 0.3 * tensor + mixed / np.linalg.norm(mixed) * np.linalg.norm(tensor)
        if not face.reads:
            tensor = tensor - 0.7 * met[face.units].T
            written[face.depth] = tensor
        elif face.units in met:
            tensor = tensor + 0.7 * met[face.units]
        else:
            met[face.units] = tensor
        tensors[face.slot] = tensor
    return {key: tensor.astype(np.float32) for key, tensor in tensors.items()}


PLANTED = (
    "bert:layers=3,width=24,heads=3,hidden=40,vocab=30,positions=8,pooler=false",
    "residual-mlp:blocks=5,width=24,hidden=20,outputs=1",
)


def place_of(slot: str) -> str:
    """The slot, or the one it cannot be told from: before the first query and key nothing was written in the pools."""
    return slot.replace("encoder.layer.0.attention.self.key", "encoder.layer.0.attention.self.query")
