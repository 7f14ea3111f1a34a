"""Numbers that a module holds and no checkpoint does: buffers that are not persistent, such as positions 0, 1, 2, ...

On the meta device they have no values, and a forward pass would compute with whatever lies in memory. So they are made
once more, off the meta device, by the code that made the module.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from reknit.errors import InputError


def constants_of(module: nn.Module) -> dict[str, Tensor]:
    """The buffers that are in no state dict, by name."""
    kept = module.state_dict(keep_vars=True).keys()
    return {name: buffer for name, buffer in module.named_buffers() if name not in kept}


def with_constants(
    module: nn.Module, known: Mapping[str, Tensor], rebuild: Callable[[], nn.Module] | None, name: str
) -> nn.Module:
    """A copy of a module on the meta device whose constants have their values.

    Args:
        module: on the meta device; its parameters and persistent buffers stay there.
        known: constants whose values are known.
        rebuild: makes the module off the meta device; asked only for constants that are not known. None: it cannot be.
        name: of the module, for an error.

    Raises:
        InputError: a constant cannot be had.
    """
    made = copy.deepcopy(module)
    wanted = constants_of(made)
    values = {key: known[key] for key in wanted if key in known}
    if len(values) < len(wanted) and rebuild is not None:
        values |= constants_of(rebuild())
    for key in wanted:
        if key not in values or values[key].is_meta:
            raise InputError(f"its buffer {key!r} is in no checkpoint and has no values", name, "Make it persistent")
        place, _, leaf = key.rpartition(".")
        made.get_submodule(place).register_buffer(leaf, values[key].clone(), persistent=False)
    return made
