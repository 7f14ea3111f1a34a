"""What LAFTR keeps of a network's data, in a file: estimates without the data, on another day, by somebody else.

A safetensors file: ``active.K`` for each hidden layer, ``mean`` and ``covariance`` of the inputs; further ``spread``,
the mean squared distance of the network's answers from their mean, which distances are read beside; ``rows``; and
``fingerprint``, a hash of the network's numbers, as the shares are of its units in their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reknit.containers.tensors import Tensors, read_tensors
from reknit.containers.write import write_file
from reknit.errors import InputError
from reknit.match.laftr import Layers, Stored, outputs, store

REMEDY = "Name a file that reknit compare --store wrote"


@dataclass(frozen=True, eq=False)
class StoredGates:
    """Statistics, and whose they are.

    Attributes:
        stored: of the units and the inputs.
        spread: mean squared distance of the answers from their mean.
        rows: that they were taken over.
        fingerprint: of the network.
    """

    stored: Stored
    spread: float
    rows: int
    fingerprint: bytes

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write them.

        Raises:
            OutputError: something is there and ``force`` is off, or it cannot be written.
        """
        from safetensors.numpy import save

        named = {f"active.{k}": each for k, each in enumerate(self.stored.active)}
        named |= {"mean": self.stored.mean, "covariance": self.stored.covariance}
        named |= {"spread": np.array([self.spread]), "rows": np.array([self.rows])}
        named |= {"fingerprint": np.frombuffer(self.fingerprint, dtype=np.uint8)}
        write_file(path, save({key: np.ascontiguousarray(value) for key, value in named.items()}), force=force)


def gates_of(layers: Layers, x: np.ndarray, fingerprint: bytes) -> StoredGates:
    """The statistics of a network on its data, rows x inputs."""
    answers = outputs(layers, x)
    spread = float(np.square(answers - answers.mean(0)).sum(1).mean())
    return StoredGates(store(layers, x), spread, len(x), fingerprint)


def read_gates(path: str | Path, layers: Layers, fingerprint: bytes) -> StoredGates:
    """Statistics from a file.

    Args:
        path: the file.
        layers: of the network they should be of.
        fingerprint: of it.

    Raises:
        ContainerError: the file cannot be read.
        InputError: it holds something else, or another network's statistics.
    """
    found = read_tensors(path)
    shapes: dict[str, tuple[int, ...]] = {f"active.{k}": (len(bias),) for k, (_, bias) in enumerate(layers[:-1])}
    inputs = layers[0][0].shape[1]
    shapes |= {"mean": (inputs,), "covariance": (inputs, inputs), "spread": (1,), "rows": (1,), "fingerprint": (32,)}
    named = {found.info(name).key: name for name in found.names}
    if "fingerprint" not in named:
        raise InputError("holds no statistics of a network's units", path, REMEDY)
    if bytes(found.array(named["fingerprint"]).astype(np.uint8).tobytes()) != fingerprint:
        problem = "holds the statistics of another network"
        raise InputError(problem, path, "Give the network they were stored for first, as it was")
    if named.keys() != shapes.keys() or any(found.shape(named[key]) != shape for key, shape in shapes.items()):
        raise InputError("does not hold one share for each unit", path, REMEDY)
    return _checked(found, named, len(layers) - 1, fingerprint)


def _checked(found: Tensors, named: dict[str, str], hidden: int, fingerprint: bytes) -> StoredGates:
    numbers = {key: np.asarray(found.array(name), dtype=np.float64) for key, name in named.items()}
    active = tuple(numbers[f"active.{k}"] for k in range(hidden))
    shares = all(((each >= 0) & (each <= 1)).all() for each in active)
    if not shares or not all(np.isfinite(each).all() for each in numbers.values()):
        raise InputError("holds shares outside 0 to 1, or numbers that are not finite", found.path, REMEDY)
    stored = Stored(active, numbers["mean"], numbers["covariance"])
    return StoredGates(stored, float(numbers["spread"][0]), int(numbers["rows"][0]), fingerprint)
