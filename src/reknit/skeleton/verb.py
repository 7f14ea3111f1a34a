"""The verb ``couple``: which axes of a network's tensors run over the same units, and through what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reknit.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    from torch import nn

    from reknit.skeleton.graph import Inputs


def couple(model: str | nn.Module, inputs: Inputs | None = None, *, input_shape: str | None = None) -> Skeleton:
    """Trace a network and return its skeleton.

    Args:
        model: a module, or what names one: ``package.module:callable``, a folder with ``config.json``, or a built-in
            architecture (``bert:layers=6``).
        inputs: example arguments of a module, by place or by name; on the meta device, if the module is.
        input_shape: instead of them, for what is named: ``1x3x224x224``, ``int:1x16``.

    Raises:
        UsageError: the name means nothing, or a module came without inputs.
        InputError: ``torch.export`` cannot follow the forward pass.
    """
    from reknit.errors import UsageError
    from reknit.skeleton.trace import trace

    if isinstance(model, str):
        from reknit.skeleton.like import resolve

        like = resolve(model, input_shape)
        return trace(like.module, like.inputs, name=like.name)
    if inputs is None:
        raise UsageError("a module needs example inputs", "inputs", "Give the arguments of one forward pass")
    return trace(model, inputs)
