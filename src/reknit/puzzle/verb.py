"""The verb ``drop``: train a network and scatter it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reknit import __version__
from reknit.errors import OutputError
from reknit.puzzle.scatter import key_path, scatter
from reknit.puzzle.train import EpochHook, train_network

if TYPE_CHECKING:
    from reknit.network.spec import ResidualSpec


@dataclass(frozen=True)
class Dropped:
    """A network that was trained and scattered.

    Attributes:
        folder: holds ``pieces/`` and ``data.csv``.
        key: the file with the answer, beside the folder.
        spec: the architecture.
        order: the names of the pieces: in, out, in, out, ..., head.
        data: the data set it was trained on.
        rows: rows of the table.
        epochs: passes over the data.
        seed: what everything random was drawn from.
        loss_before: mean loss over all rows before training; cross entropy in nats, or mean squared error.
        loss_after: the same after.
    """

    folder: Path
    key: Path
    spec: ResidualSpec
    order: tuple[str, ...]
    data: str
    rows: int
    epochs: int
    seed: int
    loss_before: float
    loss_after: float

    @property
    def pieces(self) -> Path:
        """The folder of anonymous layers."""
        return self.folder / "pieces"

    @property
    def table(self) -> Path:
        """The recorded inputs, answers and truth."""
        return self.folder / "data.csv"

    def as_json(self) -> dict[str, Any]:
        """What ``drop --json`` prints; the order stays in the key file."""
        return {
            "folder": str(self.folder),
            "pieces": str(self.pieces),
            "data": str(self.table),
            "key": str(self.key),
            "spec": self.spec.as_config(),
            "trained_on": self.data,
            "rows": self.rows,
            "epochs": self.epochs,
            "seed": self.seed,
            "loss": {"before": self.loss_before, "after": self.loss_after},
            "version": __version__,
        }


def drop(
    out: str | Path,
    *,
    blocks: int = 24,
    width: int = 64,
    hidden: int = 128,
    activation: str = "relu",
    norm: str = "none",
    data: str = "digits",
    epochs: int = 20,
    seed: int = 0,
    force: bool = False,
    on_epoch: EpochHook | None = None,
) -> Dropped:
    """Train a residual MLP and scatter it into ``out``: ``pieces/``, ``data.csv`` and, beside it, ``out.key.json``.

    Args:
        out: the folder to write.
        blocks: residual blocks.
        width: size of the stream; the features of the data are projected to it.
        hidden: size inside a block.
        activation: ``relu``, ``gelu``, ``silu``, ``tanh``, or another name in ``ACTIVATIONS``.
        norm: ``none``, ``layer`` or ``rms``, before each block and before the head.
        data: ``digits``, ``diabetes`` or ``friedman``.
        epochs: passes over the data; 0 leaves the network untrained.
        seed: the same seed and threads give the same bytes.
        force: replace what is there.
        on_epoch: called with the number of epochs done and the mean loss of the last.

    Raises:
        UsageError: an option has no such value, or training diverged.
        OutputError: something is there already and ``force`` is false, or it cannot be written.
    """
    folder = Path(out)
    if not force:  # before the training, not after it
        for path in (folder, key_path(folder)):
            _refuse_existing(path)
    trained = train_network(
        blocks=blocks,
        width=width,
        hidden=hidden,
        activation=activation,
        norm=norm,
        data=data,
        epochs=epochs,
        seed=seed,
        on_epoch=on_epoch,
    )
    order = scatter(trained, folder, version=__version__, force=force)
    return Dropped(
        folder=folder,
        key=key_path(folder),
        spec=trained.spec,
        order=order,
        data=data,
        rows=len(trained.inputs),
        epochs=epochs,
        seed=seed,
        loss_before=trained.loss_before,
        loss_after=trained.loss_after,
    )


def _refuse_existing(path: Path) -> None:
    empty = path.is_dir() and not any(path.iterdir())
    if path.exists() and not empty:
        raise OutputError("exists already", path, "Choose another name, or replace it with --force")
