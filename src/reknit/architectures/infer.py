"""Which built-in architectures have exactly these tensors, told from shapes alone. No torch, no numbers.

Each architecture proposes configs from how often each shape occurs; a proposal counts if every tensor has a slot and
every slot a tensor. What shapes do not tell (how many heads, which activation) is said with what else would fit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from reknit.architectures.configs.gpt2 import Gpt2Config
from reknit.architectures.configs.slots import Shape
from reknit.architectures.fit import INPUTS_FIRST, Fit, fit
from reknit.architectures.proposals.bert import propose_bert
from reknit.architectures.proposals.bottleneck_resnet import propose_bottleneck_resnet
from reknit.architectures.proposals.chains import propose_conv_chain, propose_mlp, propose_residual_mlp
from reknit.architectures.proposals.gpt2 import propose_gpt2
from reknit.architectures.proposals.llama import propose_llama
from reknit.architectures.proposals.mbconv import propose_mbconv
from reknit.architectures.proposals.preact_resnet import propose_preact_resnet
from reknit.architectures.registry import Config, architecture_of
from reknit.architectures.shape_pile import Pile, pile_of
from reknit.architectures.spelling import spell_config, spell_value
from reknit.architectures.undecided import Undecided, undecided

PROPOSALS: tuple[Callable[[Pile], Iterator[Config]], ...] = (
    propose_bert,
    propose_gpt2,
    propose_llama,
    propose_residual_mlp,
    propose_preact_resnet,
    propose_bottleneck_resnet,
    propose_mbconv,
    propose_mlp,
    propose_conv_chain,
)
"""The most telling first: a plain chain fits whatever can be walked."""
BOOKKEEPING = re.compile(r"u?int(16|32|64)|bool")
"""Dtypes that no weight has."""
SIZES = ("layers", "width", "hidden", "vocab", "positions", "token_types")
SILENT = ("heads", "kv_heads", "head_size", "activation", "eps", "rope_theta", "tied", "transposed")
"""Fields that a checkpoint's config tells, and shapes do or do not."""
KERNELS_FIRST, POSITIONS_FIRST = "outputs x inputs x positions", "positions x inputs x outputs"


@dataclass(frozen=True)
class Inference:
    """A built-in architecture that has exactly these tensors.

    Attributes:
        architecture: its name.
        config: what it was told, with the usual value for what shapes do not tell.
        layouts: how the matrices of linear layers may be kept: ``outputs x inputs``, ``inputs x outputs``; both where
            shapes do not tell, none where some are kept one way and some the other.
        kernels: how kernels of convolutions are kept; empty where there are none.
        read_from: which tensors are what, in words.
        undecided: what shapes do not tell.
        extras: what the pile holds beside the tensors that are needed: second keys of tied tensors, counters.
    """

    architecture: str
    config: Config
    layouts: tuple[str, ...]
    kernels: str
    read_from: tuple[str, ...]
    undecided: tuple[Undecided, ...]
    extras: tuple[str, ...]

    @property
    def like(self) -> str:
        """What ``--like`` is told to get it."""
        return spell_config(self.config)


def infer(shapes: Sequence[Shape], dtypes: Sequence[str] | None = None) -> list[Inference]:
    """Every built-in config that has exactly these tensors, the most telling first; their order does not matter.

    Args:
        shapes: of all tensors.
        dtypes: of all tensors, by name; whole numbers and truth values can then be nothing but bookkeeping.

    >>> [found.like for found in infer([(512, 784), (512,), (10, 512), (10,)])]
    ['mlp:sizes=784-512-10']
    """
    own = [tuple(shape) for shape in shapes]
    found: dict[Config, Inference] = {}
    for kernels, turned in _turns(own):
        pile = pile_of(turned)
        for propose in PROPOSALS:
            for config in propose(pile):
                if config in found:
                    continue
                fitting = fit(config, turned, pile)
                if fitting is not None and _keeps_numbers_apart(fitting, own, dtypes):
                    found[config] = _inference(config, fitting, kernels)
    return list(found.values())


def agreeing(config: Config, shapes: Sequence[Shape], dtypes: Sequence[str] | None = None) -> Config | None:
    """The config that has exactly these tensors, with the sizes of this one; None if there is none.

    What has tensors (heads on top, biases, tied tables that are kept twice) is read from them, all else is this one's:
    it settles what shapes leave open.
    """
    told = {field.name: getattr(config, field.name) for field in fields(config)}
    sizes = {name: value for name, value in told.items() if name in SIZES}
    silent = {name: value for name, value in told.items() if name in SILENT}
    for found in infer(shapes, dtypes):
        if type(found.config) is type(config) and all(getattr(found.config, name) == sizes[name] for name in sizes):
            return replace(found.config, **silent)
    return None


def _turns(shapes: list[Shape]) -> Iterator[tuple[str, list[Shape]]]:
    """The shapes as torch keeps kernels, and as TensorFlow does: with and without depthwise convolutions."""
    if not any(len(shape) > 2 for shape in shapes):
        yield "", shapes
        return
    yield KERNELS_FIRST, shapes
    turned = [(shape[-1], shape[-2], *shape[:-2]) if len(shape) > 2 else shape for shape in shapes]
    if turned != shapes:
        yield POSITIONS_FIRST, turned
    depthwise = [(shape[1], 1, *shape[2:]) if len(shape) == 4 and shape[0] == 1 else shape for shape in turned]
    if depthwise != turned:
        yield POSITIONS_FIRST, depthwise


def _keeps_numbers_apart(fitting: Fit, shapes: list[Shape], dtypes: Sequence[str] | None) -> bool:
    """Tensors of whole numbers and truth values take only slots that nothing is computed with."""
    if dtypes is None:
        return True
    whole = Counter(shape for shape, dtype in zip(shapes, dtypes, strict=True) if BOOKKEEPING.fullmatch(dtype))
    return whole <= Counter(slot.shape for slot in fitting.slots if slot.kind == "other")


def _inference(config: Config, fitting: Fit, kernels: str) -> Inference:
    if isinstance(config, Gpt2Config):  # usual where shapes do not tell
        config = replace(config, transposed=INPUTS_FIRST in fitting.layouts)
    return Inference(
        architecture_of(config).name,
        config,
        fitting.layouts,
        kernels,
        tuple(_read_from(fitting)),
        undecided(config, fitting),
        fitting.extras,
    )


def _read_from(fitting: Fit) -> Iterator[str]:
    """Which tensors are what, in the order of the network."""
    for (what, shape), number in Counter((slot.what, slot.shape) for slot in fitting.slots).items():
        yield f"{number} of {spell_shape(shape)}: {what}"


def spell_shape(shape: Shape) -> str:
    """As a person writes it.

    >>> spell_shape((512, 784))
    '512 x 784'
    """
    return " x ".join(map(str, shape)) if shape else "one number"


def as_json(found: Inference) -> dict[str, Any]:
    """An inference out of JSON's own types, for ``--json``."""
    return {
        "architecture": found.architecture,
        "like": found.like,
        "layouts": found.layouts,
        "kernels": found.kernels,
        "read_from": found.read_from,
        "extras": found.extras,
        "undecided": [
            {
                "field": each.field,
                "taken": _json_value(each.taken),
                "others": [_json_value(other) for other in each.others],
                "because": each.because,
            }
            for each in found.undecided
        ],
    }


def _json_value(value: Any) -> Any:
    """Numbers and words as they are; stages and heads as ``--like`` takes them."""
    return spell_value(value) if isinstance(value, tuple) else value
