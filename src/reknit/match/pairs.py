"""Networks of one skeleton, read from checkpoints, and what runs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reknit.errors import InputError, OutputError, UsageError
from reknit.match.networks import Network, read_network
from reknit.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    from reknit.match.computing import Computer
    from reknit.match.samples import Samples


@dataclass(frozen=True, eq=False)
class Pair:
    """Networks of one skeleton, two or more.

    Attributes:
        skeleton: of all.
        networks: in the order they were given.
        computer: runs any of them.
    """

    skeleton: Skeleton
    networks: tuple[Network, ...]
    computer: Computer

    def samples(self, data: str | Path | None, *, wanted: bool, seed: int, trains: str = "") -> Samples:
        """The inputs of a file, or noise where none is given and noise will do.

        Args:
            data: the file.
            wanted: whether noise will not do.
            seed: of the noise.
            trains: the option that asks for training, and so for targets too; empty: none does.

        Raises:
            UsageError: inputs are wanted and not given.
            TableError: they cannot be used.
        """
        import torch

        from reknit.match.samples import draw_samples, read_samples

        if data is None and trains:
            raise UsageError("it trains", trains, "Give inputs and targets with --data")
        if data is None and wanted:
            raise UsageError("it looks at activations", "--method", "Give inputs with --data")
        if data is None:
            return draw_samples(self.computer.like, self.skeleton, torch.Generator().manual_seed(seed))
        samples = read_samples(data, targets=bool(trains))
        self.computer.check(samples, str(data))
        return samples


def open_networks(paths: Sequence[str | Path], like: str, input_shape: str | None, *, held: bool = True) -> Pair:
    """Trace the skeleton and read the networks; unless they are to be held in memory, each tensor when it is asked for.

    Raises:
        InputError: the skeleton or a file cannot be used, or the networks do not hold the same slots.
    """
    from reknit.match.computing import Computer
    from reknit.skeleton.like import resolve
    from reknit.skeleton.trace import trace

    resolved = resolve(like, input_shape)
    skeleton = trace(resolved.module, resolved.inputs, name=resolved.name)
    networks = tuple(read_network(path, skeleton, held=held) for path in paths)
    used = {key for use in skeleton.uses for key in use.slots.values()}
    for path, network in zip(paths, networks, strict=True):
        for slot in (networks[0].tensors.keys() ^ network.tensors.keys()) & used:
            raise InputError(f"it and {paths[0]} do not both hold {slot}", path, "Give networks of one form")
    return Pair(skeleton, networks, Computer(resolved, skeleton))


def check_free(out: str | Path, inputs: Sequence[str | Path | None], *, force: bool) -> None:
    """Whether an answer may be written there.

    Raises:
        UsageError: it is one of the inputs, or lies in a folder that is.
        OutputError: something is there already and ``force`` is off.
    """
    out = Path(out)
    for path in (Path(each) for each in inputs if each is not None):
        if path.exists() and out.resolve().is_relative_to(path.resolve()):
            raise UsageError("it is one of the inputs, which are never changed", out, "Choose another name")
    if out.is_dir():
        raise OutputError("is a folder, not a file", out, "Choose another name")
    if out.exists() and not force:
        raise OutputError("exists already", out, "Choose another name, or replace it with --force")
