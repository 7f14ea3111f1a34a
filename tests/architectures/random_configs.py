"""Hypothesis strategies: any config of each built-in architecture, small."""

from hypothesis import strategies as st

from reknit.architectures.configs.bert import BertConfig
from reknit.architectures.configs.bottleneck_resnet import BottleneckResnetConfig
from reknit.architectures.configs.conv_chain import ConvChainConfig
from reknit.architectures.configs.gpt2 import Gpt2Config
from reknit.architectures.configs.llama import LlamaConfig
from reknit.architectures.configs.mbconv import MbconvConfig, MbconvStage
from reknit.architectures.configs.mlp import MlpConfig
from reknit.architectures.configs.preact_resnet import PreactResnetConfig
from reknit.architectures.configs.residual_mlp import NORMS, ResidualMlpConfig
from reknit.architectures.configs.stage import Stage
from reknit.network.activations import ACTIVATIONS

size = st.integers(2, 12)
layers = st.integers(1, 4)
kernel = st.sampled_from([1, 3, 5])
activation = st.sampled_from(sorted(ACTIVATIONS))
eps = st.sampled_from([1e-12, 1e-6, 1e-5, 1e-3])
stages = st.lists(
    st.builds(Stage, layers, size, kernel, st.integers(1, 2), st.integers(1, 3)), min_size=1, max_size=3
).map(tuple)


@st.composite
def berts(draw):
    heads = draw(st.sampled_from([1, 2, 4]))
    pooler = draw(st.booleans())
    names = draw(st.lists(st.sampled_from(["species", "chain", "seq_relationship"]), unique=True, max_size=2))
    return BertConfig(
        layers=draw(layers),
        width=heads * draw(st.sampled_from([2, 3, 4])),
        heads=heads,
        hidden=draw(size),
        vocab=draw(size),
        positions=draw(size),
        token_types=draw(st.integers(0, 3)),
        activation=draw(activation),
        eps=draw(eps),
        pooler=pooler,
        mlm_head=draw(st.booleans()),
        tied=draw(st.booleans()),
        pooled_heads=tuple((name, draw(size)) for name in names) if pooler else (),
        classes=draw(st.integers(0, 4)) if pooler else 0,
        position_ids=draw(st.booleans()),
    )


@st.composite
def gpt2s(draw):
    heads = draw(st.sampled_from([1, 2, 4]))
    fused, transposed, bias, lm_head, tied, masks = (draw(st.booleans()) for _ in range(6))
    width = heads * draw(st.sampled_from([2, 3, 4]))
    sizes = (draw(layers), width, heads, draw(size), draw(size), draw(size))
    return Gpt2Config(*sizes, draw(activation), draw(eps), fused, transposed, bias, lm_head, tied, masks)


@st.composite
def llamas(draw):
    kv_heads, shared = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1, 2]))
    head_size = draw(st.sampled_from([2, 4, 6]))
    flags = [draw(st.booleans()) for _ in range(7)]
    heads = kv_heads * shared
    free = draw(st.booleans())
    sizes = (
        draw(size) if free else heads * head_size,
        heads,
        kv_heads,
        head_size if free else 0,
        draw(size),
        draw(size),
    )
    return LlamaConfig(draw(layers), *sizes, draw(activation), draw(eps), 10000.0, *flags)


@st.composite
def preact_resnets(draw):
    skips = draw(st.booleans())
    stem = draw(size)
    own = draw(stages)
    return PreactResnetConfig(
        inputs=draw(size),
        stem=stem,
        stages=tuple(Stage(each.blocks, stem, each.kernel, 1, each.dilation) for each in own) if skips else own,
        outputs=draw(size),
        dimensions=draw(st.integers(1, 2)),
        stem_kernel=draw(kernel),
        skips=skips,
        final_norm=draw(st.booleans()),
        per_position=draw(st.booleans()),
        crop=draw(st.integers(0, 3)),
        softmax=draw(st.booleans()),
        bias=draw(st.booleans()),
        activation=draw(activation),
        eps=draw(eps),
    )


bottleneck_resnets = st.builds(
    BottleneckResnetConfig,
    inputs=size,
    stem=size,
    stages=stages,
    outputs=size,
    dimensions=st.integers(1, 2),
    stem_kernel=kernel,
    stem_stride=st.integers(1, 2),
    stem_pool=st.booleans(),
    expansion=st.integers(1, 4),
    stride_first=st.booleans(),
    bias=st.booleans(),
    activation=activation,
    eps=eps,
)
mbconvs = st.builds(
    MbconvConfig,
    inputs=size,
    stem=size,
    stages=st.lists(
        st.builds(MbconvStage, layers, size, st.sampled_from([3, 5]), st.integers(1, 2), st.sampled_from([1, 3, 4, 6])),
        min_size=1,
        max_size=3,
    ).map(tuple),
    head=size,
    outputs=size,
    stem_kernel=kernel,
    as_tensorflow=st.booleans(),
    activation=activation | st.just("relu6"),
    eps=eps,
)
mlps = st.builds(
    MlpConfig, st.lists(size, min_size=2, max_size=5).map(tuple), st.booleans(), st.booleans(), activation, eps
)
conv_chains = st.lists(size, min_size=2, max_size=5).flatmap(
    lambda channels: st.builds(
        ConvChainConfig,
        channels=st.just(tuple(channels)),
        kernels=st.lists(kernel, min_size=len(channels) - 1, max_size=len(channels) - 1).map(tuple),
        strides=st.integers(1, 2).map(lambda stride: (stride,)),
        outputs=st.integers(0, 4),
        dimensions=st.integers(1, 2),
        batch_norm=st.booleans(),
        bias=st.booleans(),
        activation=activation,
        eps=eps,
    )
)
residual_mlps = st.builds(
    ResidualMlpConfig,
    blocks=layers,
    width=size,
    hidden=size,
    outputs=size,
    inputs=st.integers(0, 6),
    activation=activation,
    norm=st.sampled_from(NORMS),
    final_norm=st.sampled_from(NORMS),
    affine=st.booleans(),
    bias=st.booleans(),
    eps=eps,
)

CONFIGS = {
    "residual-mlp": residual_mlps,
    "gpt2": gpt2s(),
    "bert": berts(),
    "llama": llamas(),
    "preact-resnet": preact_resnets(),
    "bottleneck-resnet": bottleneck_resnets,
    "mbconv": mbconvs,
    "mlp": mlps,
    "conv-chain": conv_chains,
}
"""Name of an architecture -> its configs."""
