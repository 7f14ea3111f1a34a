"""Small transformers trained on text that ships with Python, for the benches and for learning what evidence weighs.

    python -m bench.text_nets NAME...      trains those that do not lie in bench/out/nets

NAME is ARCHITECTURE-LAYERS-SEED, with -wWIDTH and -sSTEPS behind it where these are not 96 and 800: ``bert-4-7-w144``,
``gpt2-6-8-s80``; -s0 is untrained.

Bytes of the topics of ``pydoc`` (0.7 MB of English). gpt2 and llama name the next byte, bert a masked one.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bench.common import OUT
from reknit.architectures.bert import bert
from reknit.architectures.configs.bert import BertConfig
from reknit.architectures.configs.gpt2 import Gpt2Config
from reknit.architectures.configs.llama import LlamaConfig
from reknit.architectures.gpt2 import gpt2
from reknit.architectures.llama import llama

LENGTH, BATCH, STEPS, VOCAB, MASK = 64, 16, 800, 128, 127
MAKERS: dict[str, Any] = {"bert": bert, "gpt2": gpt2, "llama": llama}


def config(architecture: str, layers: int = 6, width: int = 96) -> Any:
    """The config of a small net of this architecture."""
    sizes: dict[str, Any] = {"layers": layers, "width": width, "vocab": VOCAB, "heads": 6}
    if architecture == "bert":
        return BertConfig(hidden=3 * width, positions=LENGTH, token_types=0, pooler=False, mlm_head=True, **sizes)
    if architecture == "gpt2":
        return Gpt2Config(hidden=3 * width, positions=LENGTH, **sizes)
    return LlamaConfig(hidden=2 * width, kv_heads=3, **sizes)


def text() -> torch.Tensor:
    """The bytes below 128."""
    from pydoc_data.topics import topics

    joined = "\n".join(topics[key] for key in sorted(topics)).encode("ascii", "ignore")
    return torch.from_numpy(np.frombuffer(joined, dtype=np.uint8).astype(np.int64))


@dataclass(frozen=True)
class TextNet:
    """What a name says."""

    architecture: str
    layers: int
    seed: int
    width: int = 96
    steps: int = STEPS

    @classmethod
    def of(cls, name: str) -> TextNet:
        """Parse a name."""
        architecture, layers, seed, *rest = name.split("-")
        more = {"w": "width", "s": "steps"}
        return cls(architecture, int(layers), int(seed), **{more[part[0]]: int(part[1:]) for part in rest})

    @property
    def config(self) -> Any:
        """Of the architecture."""
        return config(self.architecture, self.layers, self.width)


def trained(name: str) -> tuple[nn.Module, Any]:
    """A trained net and its config, from the cache or trained now (one to two minutes)."""
    asked = TextNet.of(name)
    path = OUT / "nets" / f"{name}.safetensors"
    torch.manual_seed(asked.seed)
    net = MAKERS[asked.architecture](asked.config)
    if path.exists():
        net.load_state_dict(load_file(path), strict=False)
    else:
        started = time.perf_counter()
        loss = train(net, asked.architecture, asked.seed, asked.steps)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: tensor.contiguous() for key, tensor in untied(net).items()}, path)
        seconds = time.perf_counter() - started
        print(f"{name}: loss {loss:.3f} after {asked.steps} steps, {seconds:.0f} s", flush=True)
        print(f"   {asdict(asked.config)}", flush=True)
    return net.eval(), asked.config


def untied(net: nn.Module) -> dict[str, torch.Tensor]:
    """The state dict with every tied tensor once."""
    kept: dict[int, str] = {}
    state = net.state_dict()
    return {key: tensor for key, tensor in state.items() if kept.setdefault(tensor.data_ptr(), key) == key}


def train(net: nn.Module, architecture: str, seed: int, steps: int = STEPS) -> float:
    """AdamW with warm-up and cosine decay; the mean loss of the last 50 steps, in nats a byte, NaN of none."""
    data = text()
    generator = torch.Generator().manual_seed(seed)
    initialise(net, generator)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05, betas=(0.9, 0.98))
    losses: list[float] = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min((step + 1) / 50, 0.5 * (1 + np.cos(np.pi * step / steps)) + 0.02)
        starts = torch.randint(len(data) - LENGTH - 1, (BATCH,), generator=generator)
        rows = torch.stack([data[s : s + LENGTH + 1] for s in starts])
        loss = loss_of(net, architecture, rows, generator)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    return float(np.mean(losses[-50:])) if losses else float("nan")


def initialise(net: nn.Module, generator: torch.Generator) -> None:
    """Embeddings and matrices from N(0, 0.02), as the papers do."""
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.02, generator=generator)


def loss_of(net: nn.Module, architecture: str, rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Cross-entropy of the next byte, or of 15 % masked bytes."""
    if architecture == "bert":
        tokens = rows[:, :-1]
        masked = torch.rand(tokens.shape, generator=generator) < 0.15
        logits = net(torch.where(masked, MASK, tokens)).tokens
        return nn.functional.cross_entropy(logits[masked], tokens[masked])
    logits = net(rows[:, :-1])
    return nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())


def main(argv: list[str]) -> None:
    """Train these nets."""
    for name in argv:
        trained(name)


if __name__ == "__main__":
    main(sys.argv[1:])
