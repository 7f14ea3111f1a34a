"""The built-in architectures by name. Nothing here loads torch until a module is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from reknit.architectures.configs.bert import BertConfig
from reknit.architectures.configs.bottleneck_resnet import BottleneckResnetConfig
from reknit.architectures.configs.conv_chain import ConvChainConfig
from reknit.architectures.configs.gpt2 import Gpt2Config
from reknit.architectures.configs.llama import LlamaConfig
from reknit.architectures.configs.mbconv import MbconvConfig
from reknit.architectures.configs.mlp import MlpConfig
from reknit.architectures.configs.preact_resnet import PreactResnetConfig
from reknit.architectures.configs.residual_mlp import ResidualMlpConfig
from reknit.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

Config = (
    BertConfig
    | BottleneckResnetConfig
    | ConvChainConfig
    | Gpt2Config
    | LlamaConfig
    | MbconvConfig
    | MlpConfig
    | PreactResnetConfig
    | ResidualMlpConfig
)
"""The config of any built-in architecture."""


@dataclass(frozen=True)
class Architecture:
    """One built-in architecture.

    Attributes:
        name: as ``--like`` takes it.
        config: the class of its configs.
        summary: what it is, in one line.
    """

    name: str
    config: type[Config]
    summary: str

    def build(self, config: Config) -> nn.Module:
        """The module of a config, in eval mode, on the device that torch stands at."""
        module: nn.Module = getattr(self._file, self._function)(config)
        return module

    def example_inputs(self, config: Config) -> tuple[Tensor, ...]:
        """What one forward pass takes."""
        inputs: tuple[Tensor, ...] = self._file.example_inputs(config)
        return inputs

    @property
    def _function(self) -> str:
        return self.name.replace("-", "_")

    @property
    def _file(self) -> ModuleType:
        return import_module(f"reknit.architectures.{self._function}")


ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        Architecture("residual-mlp", ResidualMlpConfig, "x + out(act(in(norm(x)))), with a stem and a head"),
        Architecture("gpt2", Gpt2Config, "decoder with LayerNorm before each branch and learned positions"),
        Architecture("bert", BertConfig, "encoder with LayerNorm behind each sum"),
        Architecture("llama", LlamaConfig, "decoder with RMSNorm, rotary positions, grouped queries and a gated MLP"),
        Architecture("preact-resnet", PreactResnetConfig, "residual conv net, BatchNorm before each convolution"),
        Architecture("bottleneck-resnet", BottleneckResnetConfig, "residual conv net of bottlenecks, as ResNet-50"),
        Architecture("mbconv", MbconvConfig, "conv net of inverted bottlenecks, as EfficientNet-Lite"),
        Architecture("mlp", MlpConfig, "linear layers in a row"),
        Architecture("conv-chain", ConvChainConfig, "convolutions in a row"),
    )
}


def architecture_of(config: Config) -> Architecture:
    """The architecture that a config belongs to."""
    return next(each for each in ARCHITECTURES.values() if each.config is type(config))


def find_architecture(name: str) -> Architecture:
    """Look a built-in architecture up; an unknown name lists the choices."""
    try:
        return ARCHITECTURES[name]
    except KeyError:
        choices = f"Choose one of {', '.join(ARCHITECTURES)}"
        raise UsageError(f"there is no built-in architecture {name!r}", "--like", choices) from None
