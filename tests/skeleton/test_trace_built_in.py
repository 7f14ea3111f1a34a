"""Every built-in architecture, small: the groups are as by hand, and a random symmetry leaves the function alone."""

import numpy as np
import pytest
import torch

from modules import Subject
from reknit.architectures.registry import ARCHITECTURES, architecture_of
from reknit.skeleton.like import resolve
from reknit.skeleton.symmetry import Symmetry
from reknit.skeleton.trace import trace

# spelled as for --like -> the sizes of the groups that may be permuted
NETS = {
    "residual-mlp:blocks=2,width=6,hidden=5,inputs=4": [6, 5, 5],
    # stream, heads, query-key, value, hidden
    "gpt2:layers=1,width=6,heads=3,hidden=5,vocab=11,positions=8": [6, 3, 2, 2, 5],
    "gpt2:layers=1,width=6,heads=3,hidden=5,vocab=11,positions=8,fused=false,transposed=false": [6, 3, 2, 2, 5],
    # the words are returned, not the states; the table of words ties the layer before it to the stream
    "bert:layers=1,width=6,heads=3,hidden=5,vocab=11,positions=8,pooler=false,mlm_head=true": [6, 3, 2, 2, 5],
    # stream, groups of heads, heads in each, value, hidden
    "llama:layers=1,width=8,heads=4,kv_heads=2,hidden=5,vocab=11": [8, 2, 2, 2, 5],
    # two streams, and what is between the two convolutions of a block
    "preact-resnet:stem=4,stages=1x4-1x6s2,outputs=3": [4, 4, 6, 6],
    # stem, two streams of twice the width, two bottlenecks of two layers
    "bottleneck-resnet:stem=4,stages=1x3-1x4s2,outputs=3,expansion=2": [4, 6, 3, 3, 8, 4, 4],
    # two streams, three blocks six times as wide, the head
    "mbconv:stem=4,stages=1x4-2x3,head=5,outputs=3": [4, 24, 3, 24, 18, 5],
    "mlp:sizes=4-6-5-3,batch_norm=true": [6, 5],
    "conv-chain:channels=3-4-5,outputs=3": [4, 5],
}
QUICK = ("mlp", "conv-chain", "residual-mlp")


def subject_of(like):
    found = resolve(like)
    generator = torch.Generator().manual_seed(0)
    inputs = tuple(
        torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        if tensor.is_floating_point()
        else torch.randint(0, 2, tensor.shape, generator=generator)
        for tensor in found.inputs
    )
    skeleton = trace(found.module, found.inputs, name=found.name)
    return Subject(architecture_of(found.config).build(found.config), inputs, skeleton)


def test_none_is_left_out():
    assert {like.partition(":")[0] for like in NETS} == set(ARCHITECTURES)


@pytest.mark.parametrize(
    "like", [like if like.startswith(QUICK) else pytest.param(like, marks=pytest.mark.slow) for like in NETS]
)
def test_a_built_in_architecture(like):
    subject = subject_of(like)
    assert not subject.skeleton.refusals
    assert sorted(group.size for group in subject.free()) == sorted(NETS[like])
    rounding = 2e-6 if like.startswith("llama") else 1e-12  # its norms compute in float32 whatever they get
    assert subject.under(Symmetry.random(subject.skeleton, np.random.default_rng(0))) < rounding
