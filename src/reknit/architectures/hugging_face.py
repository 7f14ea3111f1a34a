"""The ``config.json`` of a Hugging Face checkpoint as the config of a built-in architecture.

Only what it says of the architecture is read; nothing is imported or downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reknit.architectures.configs.bert import BertConfig
from reknit.architectures.configs.gpt2 import Gpt2Config
from reknit.architectures.configs.llama import LlamaConfig
from reknit.architectures.registry import Config
from reknit.errors import InputError

_ACTIVATIONS = {
    **dict.fromkeys(("gelu_new", "gelu_pytorch_tanh", "gelu_fast"), "gelu-tanh"),
    **{name: name for name in ("gelu", "relu", "silu", "tanh")},
    "swish": "silu",
}


def from_hugging_face(values: Mapping[str, Any], where: str = "") -> Config:
    """The config of a built-in architecture that computes what this checkpoint computes.

    Args:
        values: what ``config.json`` holds.
        where: its path, for errors.

    Raises:
        InputError: its type is not built in, or it uses something that the built-in architecture lacks.
    """
    kind = model_type(values)
    if kind not in READERS:
        known = f"Built in are {', '.join(READERS)}; or give your own module as package.module:callable"
        raise InputError(f"the model type is {kind!r}", where, known)
    try:
        return READERS[kind](values, where)
    except KeyError as missing:
        raise InputError(
            f"a {kind} needs {missing}", where, "Add it, or spell the architecture out in --like"
        ) from None


def model_type(values: Mapping[str, Any]) -> str | None:
    """Its type; files from before 2020 do not say it, and those with segments and a post-norm are BERT's."""
    kind = values.get("model_type")
    if kind is None and {"type_vocab_size", "layer_norm_eps", "intermediate_size"} <= values.keys():
        return "bert"
    return kind


def _activation(values: Mapping[str, Any], key: str, default: str, where: str) -> str:
    name = values.get(key, default)
    if name not in _ACTIVATIONS:
        remedy = f"Built in are {', '.join(_ACTIVATIONS)}"
        raise InputError(f"the activation is {name!r}", where, remedy)
    return _ACTIVATIONS[name]


def _refuse(values: Mapping[str, Any], usual: Mapping[str, tuple[Any, ...]], where: str) -> None:
    """Nothing may be asked for that the built-in architecture would silently leave away."""
    for key, allowed in usual.items():
        if key in values and values[key] not in allowed:
            remedy = "Give your own module as package.module:callable, or install transformers"
            raise InputError(f"{key} is {values[key]!r}, which is not built in", where, remedy)


def _head(values: Mapping[str, Any], built_in: tuple[str, ...], where: str) -> str:
    """What stands on top, by the class that wrote the checkpoint; the first is taken where it is not said."""
    head: str = (values.get("architectures") or built_in)[0]
    if head not in built_in:
        raise InputError(f"{head} is not built in", where, f"Built in are {', '.join(built_in)}")
    return head


def _bert(values: Mapping[str, Any], where: str) -> BertConfig:
    _refuse(values, {"position_embedding_type": (None, "absolute"), "is_decoder": (None, False)}, where)
    heads = ("BertModel", "BertForMaskedLM", "BertForPreTraining", "BertForSequenceClassification")
    head = _head(values, heads, where)
    labels = values.get("num_labels", len(values.get("id2label") or (0, 1)))
    return BertConfig(
        layers=values["num_hidden_layers"],
        width=values["hidden_size"],
        heads=values["num_attention_heads"],
        hidden=values["intermediate_size"],
        vocab=values["vocab_size"],
        positions=values["max_position_embeddings"],
        token_types=values.get("type_vocab_size", 2),
        activation=_activation(values, "hidden_act", "gelu", where),
        eps=values.get("layer_norm_eps", 1e-12),
        pooler=head != "BertForMaskedLM",
        mlm_head=head in {"BertForMaskedLM", "BertForPreTraining"},
        tied=values.get("tie_word_embeddings", True),
        pooled_heads=(("seq_relationship", 2),) if head == "BertForPreTraining" else (),
        classes=labels if head == "BertForSequenceClassification" else 0,
    )


def _gpt2(values: Mapping[str, Any], where: str) -> Gpt2Config:
    usual = {"scale_attn_weights": (None, True), "add_cross_attention": (None, False)}
    _refuse(values, {**usual, "scale_attn_by_inverse_layer_idx": (None, False)}, where)
    head = _head(values, ("GPT2LMHeadModel", "GPT2Model"), where)
    return Gpt2Config(
        layers=values["n_layer"],
        width=values["n_embd"],
        heads=values["n_head"],
        hidden=values.get("n_inner") or 4 * values["n_embd"],
        vocab=values["vocab_size"],
        positions=values.get("n_positions") or values["n_ctx"],
        activation=_activation(values, "activation_function", "gelu_new", where),
        eps=values.get("layer_norm_epsilon", 1e-5),
        lm_head=head != "GPT2Model",
        tied=values.get("tie_word_embeddings", True),
    )


def _llama(values: Mapping[str, Any], where: str) -> LlamaConfig:
    kind = values["model_type"]
    rope = values.get("rope_scaling") or values.get("rope_parameters") or {}
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    _refuse({"rope_type": rope_type}, {"rope_type": ("default",)}, where)
    if values.get("use_sliding_window", kind == "mistral"):
        _refuse(values, {"sliding_window": (None,)}, where)
    name = {"llama": "Llama", "mistral": "Mistral"}.get(kind, kind.capitalize())
    head = _head(values, (f"{name}ForCausalLM", f"{name}Model"), where)
    bias = values.get("attention_bias", False)
    size = values.get("head_dim") or (128 if kind == "qwen3" else 0)
    heads, width = values["num_attention_heads"], values["hidden_size"]
    return LlamaConfig(
        layers=values["num_hidden_layers"],
        width=width,
        heads=heads,
        kv_heads=values.get("num_key_value_heads") or heads,
        head_size=0 if size * heads == width else size,
        hidden=values["intermediate_size"],
        vocab=values["vocab_size"],
        activation=_activation(values, "hidden_act", "silu", where),
        eps=values.get("rms_norm_eps", 1e-6),
        rope_theta=float(values.get("rope_theta") or rope.get("rope_theta") or 10000.0),
        qkv_bias=bias or kind == "qwen2",
        out_bias=bias and kind != "qwen2",
        mlp_bias=values.get("mlp_bias", False),
        qk_norm=kind == "qwen3",
        lm_head=head.endswith("ForCausalLM"),
        tied=values.get("tie_word_embeddings", False),
    )


READERS: dict[str, Callable[[Mapping[str, Any], str], Config]] = {
    "bert": _bert,
    "gpt2": _gpt2,
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), _llama),
}
"""Model type -> how its config is read."""
