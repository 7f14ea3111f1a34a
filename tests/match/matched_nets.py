"""What the tests of matching share: traced skeletons, random networks in them, and checkpoints on disk."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from safetensors.numpy import save_file

from reknit.match.computing import Computer
from reknit.match.samples import draw_samples
from reknit.skeleton.like import resolve
from reknit.skeleton.trace import trace

LIKES = {
    "gpt2": "gpt2:layers=2,width=12,heads=3,hidden=20,vocab=15,positions=16",
    "gpt2-apart": "gpt2:layers=2,width=12,heads=3,hidden=20,vocab=15,positions=16,fused=false,transposed=false",
    "llama": "llama:layers=2,width=16,heads=4,kv_heads=2,hidden=14,vocab=15",
    "bert": "bert:layers=2,width=12,heads=3,hidden=20,vocab=15,positions=16,mlm_head=true",
    "preact-resnet": "preact-resnet:inputs=3,stem=6,stages=2x6-1x8s2,outputs=5",
    "bottleneck-resnet": "bottleneck-resnet:inputs=3,stem=6,stages=1x4-2x5s2,outputs=5",
    "mbconv": "mbconv:stem=6,stages=1x6e1-2x8s2e2,head=9,outputs=4",
    "residual-mlp": "residual-mlp:blocks=3,width=9,hidden=13,outputs=2",
    "mlp": "mlp:sizes=12-30-20-4",
    "conv-chain": "conv-chain",
}


@cache
def traced(like):
    """The module and its skeleton."""
    resolved = resolve(like)
    return resolved, trace(resolved.module, resolved.inputs, name=like)


def random_tensors(skeleton, seed, dtype=np.float32):
    """Numbers of a size that keeps signals going; variances are positive."""
    rng = np.random.default_rng(seed)
    variances = {use.slots.get("running_var") for use in skeleton.uses}
    found = {}
    for slot in skeleton.slots:
        if slot.dtype.startswith("int"):
            found[slot.key] = np.zeros(slot.shape, dtype=np.int64)
            continue
        drawn = rng.normal(size=slot.shape)
        if len(slot.shape) > 1:
            drawn /= np.sqrt(max(np.prod(slot.shape[1:]), 1))
        else:
            drawn = drawn * 0.3 + 0.5
        found[slot.key] = (np.abs(drawn) + 0.5 if slot.key in variances else drawn).astype(dtype)
    return found


def computer(like):
    """Runs the module of a skeleton."""
    return Computer(*traced(like))


def samples(like, rows=32, seed=0):
    """Noise."""
    return draw_samples(*traced(like), torch.Generator().manual_seed(seed), rows)


def save(path, tensors):
    """A checkpoint."""
    save_file({key: np.asarray(value, order="C") for key, value in tensors.items()}, path)
    return path


def largest_difference(first, second):
    """Over all tensors."""
    return max(float(np.abs(first[key].astype(np.float64) - second[key]).max(initial=0.0)) for key in first)
