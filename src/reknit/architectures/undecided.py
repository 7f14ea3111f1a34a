"""What the shapes of a network's tensors do not tell of its config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reknit.architectures.configs.bert import BertConfig
from reknit.architectures.configs.bottleneck_resnet import BottleneckResnetConfig
from reknit.architectures.configs.conv_chain import ConvChainConfig
from reknit.architectures.configs.gpt2 import Gpt2Config
from reknit.architectures.configs.llama import LlamaConfig
from reknit.architectures.configs.mbconv import MbconvConfig
from reknit.architectures.configs.preact_resnet import PreactResnetConfig
from reknit.architectures.configs.residual_mlp import ResidualMlpConfig
from reknit.architectures.fit import Fit
from reknit.architectures.proposals.transformers import divisors
from reknit.architectures.registry import Config
from reknit.network.activations import ACTIVATIONS

NO_TENSOR = "it has no tensor"
NO_ORDER = "blocks of one shape have no order, strides and dilations no tensor"


@dataclass(frozen=True)
class Undecided:
    """A field of a config that shapes do not tell.

    Attributes:
        field: its name, or several that are told or not told together.
        taken: what the config has.
        others: what else would fit; empty where there is no end of it.
        because: why shapes do not tell.
    """

    field: str
    taken: Any
    others: tuple[Any, ...]
    because: str


def undecided(config: Config, found: Fit) -> tuple[Undecided, ...]:
    """What the shapes leave open, the weightiest first."""
    open_fields = [*_of_architecture(config, found)]
    activations = tuple(ACTIVATIONS) + (("relu6",) if isinstance(config, MbconvConfig) else ())
    open_fields.append(_one_of(config, "activation", activations, NO_TENSOR))
    return (*open_fields, _any(config, "eps", NO_TENSOR))


def _any(config: Config, field: str, because: str) -> Undecided:
    return Undecided(field, getattr(config, field), (), because)


def _one_of(config: Config, field: str, choices: tuple[Any, ...], because: str) -> Undecided:
    taken = getattr(config, field)
    return Undecided(field, taken, tuple(choice for choice in choices if choice != taken), because)


def _of_architecture(config: Config, found: Fit) -> list[Undecided]:
    rules: dict[type[Config], Callable[[Any, Fit], list[Undecided]]] = {
        BertConfig: _of_bert,
        Gpt2Config: _of_gpt2,
        LlamaConfig: _of_llama,
        PreactResnetConfig: _of_preact_resnet,
        BottleneckResnetConfig: _of_bottleneck_resnet,
        MbconvConfig: _of_mbconv,
        ConvChainConfig: lambda config, _: [_any(config, "strides", NO_TENSOR)],
        ResidualMlpConfig: _of_residual_mlp,
    }
    return rules[type(config)](config, found) if type(config) in rules else []


def _of_preact_resnet(config: PreactResnetConfig, _: Fit) -> list[Undecided]:
    return [
        _any(config, "stages", NO_ORDER),
        _any(config, "crop", NO_TENSOR),
        _one_of(config, "softmax", (True, False), NO_TENSOR),
    ]


def _of_bottleneck_resnet(config: BottleneckResnetConfig, _: Fit) -> list[Undecided]:
    flags = [_one_of(config, field, (True, False), NO_TENSOR) for field in ("stem_pool", "stride_first")]
    return [_any(config, "stages", NO_ORDER), _any(config, "stem_stride", NO_TENSOR), *flags]


def _of_mbconv(config: MbconvConfig, _: Fit) -> list[Undecided]:
    return [_any(config, "stages", NO_ORDER), _one_of(config, "as_tensorflow", (True, False), NO_TENSOR)]


def _heads(width: int, heads: int) -> Undecided:
    others = tuple(number for number in divisors(width) if number != heads)
    return Undecided("heads", heads, others, "heads are parts of one axis; every divisor of the width would do")


def _tied(config: BertConfig | Gpt2Config | LlamaConfig, found: Fit) -> list[Undecided]:
    if "second key of the token embedding" not in found.extras:
        return []
    return [Undecided("tied", config.tied, (not config.tied,), "only the numbers say whether both tables are one")]


def _of_bert(config: BertConfig, found: Fit) -> list[Undecided]:
    fields = [_heads(config.width, config.heads)]
    if config.pooled_heads or config.classes:
        taken = config.pooled_heads or config.classes
        fields.append(Undecided("pooled_heads and classes", taken, (), "what a head is called has no tensor"))
    return fields + _tied(config, found)


def _of_gpt2(config: Gpt2Config, found: Fit) -> list[Undecided]:
    fields = [_heads(config.width, config.heads)]
    if len(found.layouts) != 1:
        because = "every matrix that is not square has a twin of the other shape"
        fields.append(Undecided("transposed", config.transposed, (not config.transposed,), because))
    if config.fused:
        because = "the three parts of the fused matrix have one shape"
        fields.append(Undecided("order of query, key and value", "query, key, value", (), because))
    return fields + _head(config, found)


def _head(config: Gpt2Config | LlamaConfig, found: Fit) -> list[Undecided]:
    """A head that is tied and kept once cannot be told from no head."""
    if config.tied and "second key of the token embedding" not in found.extras:
        because = "a head that is tied to the embedding leaves no tensor of its own"
        return [Undecided("lm_head", config.lm_head, (not config.lm_head,), because)]
    return _tied(config, found)


def _of_llama(config: LlamaConfig, found: Fit) -> list[Undecided]:
    fields = []
    if not config.qk_norm and not config.frequencies:
        asking, asked = config.heads * config.size_of_head, config.kv_heads * config.size_of_head
        sizes = [size for size in divisors(asked) if size % 2 == 0 and asking % size == 0]
        others = tuple((asking // size, asked // size, size) for size in sizes if size != config.size_of_head)
        taken = (config.heads, config.kv_heads, config.size_of_head)
        because = "heads are parts of one axis; every even common divisor of both would do"
        fields.append(Undecided("heads, kv_heads and head_size", taken, others, because))
    fields.append(_any(config, "rope_theta", NO_TENSOR))
    return fields + _head(config, found)


def _of_residual_mlp(config: ResidualMlpConfig, _: Fit) -> list[Undecided]:
    """Norms without parameters leave no tensors; with parameters in one of the two norms both would have some."""
    affine = {config.norm, config.final_norm} & {"layer", "rms"}
    return [
        Undecided(field, "none", ("layer", "rms"), "a norm without parameters has no tensor")
        for field in ("norm", "final_norm")
        if getattr(config, field) == "none" and not affine
    ]
