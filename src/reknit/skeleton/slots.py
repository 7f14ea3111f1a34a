"""The slots of a module, and the families they make across depth."""

from __future__ import annotations

from torch import Tensor, nn

from reknit.skeleton.graph import tied
from reknit.skeleton.skeleton import Slot


def find_slots(module: nn.Module) -> tuple[Slot, ...]:
    """Every tensor of the state dict, in its order, tied ones once."""
    state = {key: item for key, item in module.state_dict(keep_vars=True).items() if isinstance(item, Tensor)}
    repeated = _repeated(module)
    slots = []
    for key, names in tied(module).items():
        tensor = state[key]
        family, index = _family(key, repeated)
        dtype = str(tensor.dtype).removeprefix("torch.")
        is_buffer = not isinstance(tensor, nn.Parameter)
        slots.append(Slot(key, tuple(tensor.shape), dtype, family, index, tuple(names[1:]), is_buffer))
    return tuple(slots)


def _family(key: str, repeated: set[str]) -> tuple[str, tuple[int, ...]]:
    """``h.3.attn.weight`` -> ``h.*.attn.weight`` and (3,), where the children of ``h`` repeat each other."""
    words = key.split(".")
    at = [k for k, word in enumerate(words) if word.isdigit() and ".".join(words[: k + 1]) in repeated]
    return ".".join("*" if k in at else word for k, word in enumerate(words)), tuple(int(words[k]) for k in at)


def _repeated(module: nn.Module) -> set[str]:
    """Paths of numbered children that repeat a sibling: the same class, and no other class uses the same keys.

    The layers of ``Sequential(Linear, BatchNorm, Linear, BatchNorm)`` are no family: ``*.weight`` would mix two kinds.
    """
    found = set()
    for path, parent in module.named_modules():
        prefix = f"{path}." if path else ""
        if isinstance(parent, nn.ParameterList):
            found |= {f"{prefix}{k}" for k in range(len(parent))}
            continue
        children = {name: child for name, child in parent.named_children() if name.isdigit()}
        keys = {name: set(child.state_dict(keep_vars=True)) for name, child in children.items()}
        for name, child in children.items():
            others = [other for other in children if other != name]
            alike = any(type(children[other]) is type(child) for other in others)
            mixed = any(type(children[other]) is not type(child) and keys[other] & keys[name] for other in others)
            if alike and not mixed:
                found.add(f"{prefix}{name}")
    return found
