"""Somebody else's modules for ``--like``, small and without weights."""


def distilbert():
    """A classifier of texts as transformers has it."""
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(vocab_size=40, max_position_embeddings=16, n_layers=2, n_heads=3, dim=24, hidden_dim=20)
    return DistilBertForSequenceClassification(config)


def vit():
    """A classifier of images as transformers has it."""
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20}
    return ViTForImageClassification(ViTConfig(**sizes, image_size=8, patch_size=4, num_channels=1))
