"""What a user writes to name somebody else's module to ``--like``: two lines each, no word of reknit in them."""

from __future__ import annotations

from torch import Tensor, nn


def minilm() -> nn.Module:
    """The sentence encoder MiniLM-L6 as transformers has it."""
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig(hidden_size=384, num_hidden_layers=6, intermediate_size=1536))


def rxnfp() -> nn.Module:
    """A BERT of chemical reactions with the heads of its pretraining, as transformers has it."""
    from transformers import BertConfig, BertForPreTraining

    config = BertConfig(
        vocab_size=591, hidden_size=256, num_hidden_layers=12, num_attention_heads=4, intermediate_size=512
    )
    return BertForPreTraining(config)


def rxnfp_2019() -> nn.Module:
    """The same as the package pytorch-pretrained-bert of 2019 has it, with its own LayerNorm and GELU."""
    from pytorch_pretrained_bert import BertConfig, BertForPreTraining

    sizes = {"hidden_size": 256, "num_hidden_layers": 12, "num_attention_heads": 4, "intermediate_size": 512}
    module: nn.Module = BertForPreTraining(BertConfig(591, **sizes))
    return module


def efficientnet_lite0() -> nn.Module:
    """The module of the package efficientnet-lite-pytorch."""
    from efficientnet_lite_pytorch import EfficientNet

    module: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    return module


class Autoencoder(nn.Module):
    """SemiBin's network: 136 shares of words of four letters, to a code of 100 numbers, and back."""

    def __init__(self, features: int = 136, hidden: int = 512, code: int = 100) -> None:
        super().__init__()

        def half(inputs: int, outputs: int) -> list[nn.Module]:
            layers: list[nn.Module] = []
            for size in (inputs, hidden):
                layers += [nn.Linear(size, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(), nn.Dropout(0.2)]
            return [*layers, nn.Linear(hidden, outputs)]

        self.encoder1 = nn.Sequential(*half(features, code))
        self.decoder1 = nn.Sequential(*half(code, features), nn.Softmax(dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """The shares again."""
        shares: Tensor = self.decoder1(self.encoder1(x))
        return shares


def semibin() -> nn.Module:
    """The module of the package SemiBin, under its keys."""
    return Autoencoder()
