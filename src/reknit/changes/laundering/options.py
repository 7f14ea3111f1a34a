"""What was asked of a laundering, checked, and opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reknit.changes.laundering.key import beside_of
from reknit.changes.laundering.registry import KINDS, Told
from reknit.errors import UsageError

if TYPE_CHECKING:
    from reknit.changes.laundering.setting import Setting
    from reknit.match.samples import Samples


def check_options(
    chain: Sequence[Told],
    like: str | None,
    data: str | Path | None,
    seed: int,
    out: str | Path | None,
    key: str | Path | None,
) -> None:
    """Refuse options that contradict each other or the chain.

    Raises:
        UsageError: they do.
    """
    if not 0 <= seed < 2**32:
        raise UsageError(f"the seed is {seed}", "--seed", "Give a whole number from 0 to 4294967295")
    for each in chain:
        if like is None and KINDS[each.step.name].wants_skeleton:
            raise UsageError(f"{each.step.name} needs the skeleton", "--how", "Name it with --like")
        if data is None and each.step.trains:
            raise UsageError(f"{each.step.name} trains", "--how", "Give inputs and targets with --data")
    if data is not None and like is None:
        raise UsageError("inputs are for the skeleton's module", "--data", "Name the skeleton with --like")
    if key is not None:
        if out is None:
            raise UsageError("a key belongs to a file", "--key", "Write the checkpoint with --out")
        if Path(out).resolve() in (Path(key).resolve(), beside_of(Path(key)).resolve()):
            raise UsageError("the key would take the place of the checkpoint", "--key", "Choose another name")


def setting_for(like: str | None, input_shape: str | None) -> Setting | None:
    """The skeleton; None where none was named.

    Raises:
        InputError: it cannot be used.
    """
    if like is None:
        if input_shape is not None:
            raise UsageError("it is the input of a skeleton", "--input", "Name the skeleton with --like")
        return None
    from reknit.changes.laundering.setting import open_setting

    return open_setting(like, input_shape)


def samples_for(setting: Setting | None, data: str | Path | None, chain: Sequence[Told], seed: int) -> Samples | None:
    """What the module is asked: the inputs of a file, or noise; None without a skeleton.

    Raises:
        InputError: the file cannot be used.
    """
    if setting is None:
        return None
    import torch

    from reknit.match.samples import draw_samples, read_samples

    if data is None:
        return draw_samples(setting.computer.like, setting.skeleton, torch.Generator().manual_seed(seed))
    samples = read_samples(data, targets=any(each.step.trains for each in chain))
    setting.computer.check(samples, str(data))
    return samples
