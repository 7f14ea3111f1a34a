"""What a user writes to name somebody else's module to ``--like``: two lines each, no word of reknit in them."""

from __future__ import annotations

from torch import nn


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
