"""What the tests of laundering share: small checkpoints of built-in architectures, and states of loose tensors."""

from __future__ import annotations

import numpy as np
import torch

from match.matched_nets import LIKES, random_tensors, save
from reknit.changes.laundering.setting import open_setting
from reknit.changes.laundering.state import State
from reknit.match.computing import Computer
from reknit.match.samples import draw_samples

LIKE = {name: LIKES[name] for name in ("mlp", "gpt2", "gpt2-apart", "llama")}


def setting(name):
    """The skeleton, traced once."""
    return open_setting(LIKE[name])


def tensors(name, seed=0):
    """Random numbers for every slot."""
    return random_tensors(setting(name).skeleton, seed)


def checkpoint(folder, name, seed=0):
    """A file."""
    return save(folder / f"{name}-{seed}.safetensors", tensors(name, seed))


def data(folder, name, rows=32, seed=0):
    """Inputs with targets that are near the answers."""
    at = setting(name)
    samples = draw_samples(at.computer.like, at.skeleton, torch.Generator().manual_seed(seed), rows)
    targets = 0.9 * answers(name, tensors(name), samples)[0]
    np.savez(folder / f"{name}.npz", inputs=samples.inputs[0].numpy(), targets=targets.numpy().astype(np.float32))
    return folder / f"{name}.npz"


def answers(name, held, samples=None):
    """What a network answers, in float64, by a module of its own."""
    at = setting(name)
    asked = samples or draw_samples(at.computer.like, at.skeleton, torch.Generator().manual_seed(99), 8)
    return Computer(at.computer.like, at.skeleton).answers(held, asked, torch.float64)


def off(name, first, second):
    """The largest difference of an answer beside the largest answer."""
    pairs = zip(answers(name, first), answers(name, second), strict=True)
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)


def loose(seed=0, dtype="float32", **shapes):
    """Tensors without a skeleton, by key and shape."""
    rng = np.random.default_rng(seed)
    held = {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}
    return State(held, dict.fromkeys(held, dtype), tuple(held))
