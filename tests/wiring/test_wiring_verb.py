"""``assemble`` with a skeleton, end to end: by weights alone, with recorded outputs, the user's own code, refusals."""

import hashlib
import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from counted_nets import PREACT, counted, like_training
from safetensors.numpy import load_file, save_file
from traced_nets import built_in, numbers

import reknit
from own_code import BLOCK
from reknit.errors import OutputError, PileError, TableError, UsageError
from reknit.wiring.options import WiringOptions
from reknit.wiring.output_placement import place
from reknit.wiring.verb import Run
from reknit.wiring.weights_placement import WeightsPlacement, place_by_weights

BERT = "bert:layers=2,width=12,heads=3,hidden=20,vocab=30,positions=8,eps=1e-12"
CODE = f"""{BLOCK}
def net():
    return nn.Sequential(Block(), Block(), nn.Linear(6, 2))

def tied_net():
    first, other, last = (nn.Linear(6, 6) for _ in range(3))
    last.weight = first.weight
    return nn.Sequential(first, nn.Tanh(), other, nn.Tanh(), last, nn.Linear(6, 2))

def lone():
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))

def twice():
    both = nn.Linear(6, 6)
    return nn.Sequential(both, nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), both, nn.Linear(6, 2))
"""


def own_net(name="net"):
    """What the code above builds, with numbers of its own."""
    scope: dict[str, object] = {}
    exec(CODE, scope)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return scope[name]().eval().requires_grad_(False)


def pile(folder, state, seed=0):
    """One file with all tensors under anonymous names; the true name of each."""
    order = np.random.default_rng(seed).permutation(len(state))
    truth = {f"t_{k:02d}": list(state)[place] for k, place in enumerate(order)}
    path = folder / "pile.safetensors"
    save_file({name: np.asarray(state[key], order="C") for name, key in truth.items()}, path)
    return path, truth


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The user's code where it can be imported, its tensors in a pile, what was recorded of it."""
    name = "nets_of_wiring"
    (tmp_path / f"{name}.py").write_text(CODE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    module = own_net()
    path, truth = pile(tmp_path, {key: value.numpy() for key, value in module.state_dict().items()})
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(2))
    np.savez(tmp_path / "record.npz", inputs=x.numpy(), outputs=module(x).numpy())
    yield f"{name}:net", path, truth, tmp_path / "record.npz", module
    sys.modules.pop(name, None)


def test_by_weights_alone_an_untrained_net_is_ambiguous(own):
    like, path, truth, _, _ = own
    wiring = reknit.assemble(path, like=like)
    assert wiring.verdict == "ambiguous"
    assert wiring.residual is None
    assert wiring.reason.endswith("recorded outputs would decide")
    assert sorted(wiring.placement.values()) == sorted(truth)
    lone = {"2.weight", "2.bias"}
    assert {placed.slot for placed in wiring.slots if placed.certain} == lone
    assert all(truth[wiring.placement[slot]] == slot for slot in lone)
    assert {slot for slots in wiring.undecided for slot in slots} == set(wiring.placement) - lone


@pytest.mark.parametrize("seed", range(4))
def test_with_recorded_outputs_the_model_answers_as_it_was_recorded(own, seed):
    like, path, truth, record, module = own
    wiring = reknit.assemble(path, record, like=like, seed=seed)
    assert wiring.verdict == "exact"
    assert {slot: truth[piece] for slot, piece in wiring.placement.items()} == {key: key for key in module.state_dict()}
    stored = np.load(record)
    with torch.no_grad():
        answered = wiring.model(torch.from_numpy(stored["inputs"])).numpy()
    np.testing.assert_allclose(answered, stored["outputs"], rtol=1e-5, atol=1e-6)
    assert max(wiring.residual["max_abs"]) <= max(wiring.residual["tolerance"])
    assert all(placed.certain for placed in wiring.slots)
    assert not wiring.model.training


def test_a_record_of_another_network_fails(own):
    like, path, _, record, _ = own
    stored = dict(np.load(record))
    rng = np.random.default_rng(0)
    np.savez(record, inputs=stored["inputs"], outputs=rng.normal(size=stored["outputs"].shape).astype(np.float32))
    wiring = reknit.assemble(path, record, like=like, budget=5)
    assert wiring.verdict == "failed"
    assert not any(placed.certain for placed in wiring.slots)


@pytest.mark.parametrize(("noise", "verdict"), [(0.01, "consistent"), (None, "failed")])
def test_noise_on_a_record_is_no_failure_where_it_is_told(own, noise, verdict):
    like, path, truth, record, _ = own
    stored = dict(np.load(record))
    stored["outputs"] += 0.01 * np.random.default_rng(0).standard_normal(stored["outputs"].shape).astype(np.float32)
    np.savez(record, **stored)
    wiring = reknit.assemble(path, record, like=like, noise=noise, budget=5)
    assert wiring.verdict == verdict
    assert all(truth[piece] == slot for slot, piece in wiring.placement.items())


def test_the_search_by_outputs_is_told_which_slots_of_a_block_belong_together(own, monkeypatch):
    like, path, _, record, _ = own
    heard = []

    def listening(*arguments, **told):
        heard.append(told["ladders"])
        return place(*arguments, **told)

    monkeypatch.setattr("reknit.wiring.output_placement.place", listening)
    reknit.assemble(path, record, like=like)
    block = [{f"{k}.inp.weight", f"{k}.out.weight"} for k in range(2)]
    assert [[set(rung) for rung in ladder] for ladder in heard[0]] == [block]


def test_what_is_tied_in_the_users_code_holds_one_tensor_under_both_names(own):
    like, *_, record, _ = own
    module = own_net("tied_net")
    state = {key: value.numpy() for key, value in module.state_dict().items() if key != "4.weight"}
    path, _ = pile(record.parent, state)
    stored = np.load(record)["inputs"]
    np.savez(record, inputs=stored, outputs=module(torch.from_numpy(stored)).numpy())
    wiring = reknit.assemble(path, record, like=like.replace(":net", ":tied_net"))
    assert wiring.verdict == "exact"
    assert wiring.placement.keys() == state.keys()
    for key, value in module.state_dict().items():
        assert torch.equal(wiring.model.state_dict()[key], value)


def test_inputs_are_never_touched_and_the_json_is_complete(own, tmp_path):
    like, path, _, record, _ = own
    before = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (path, record)]
    wiring = reknit.assemble(path, like=like, seed=3, out=tmp_path / "made")
    assert before == [hashlib.sha256(file.read_bytes()).hexdigest() for file in (path, record)]
    content = json.loads((tmp_path / "made" / "assembly.json").read_text(encoding="utf-8"))
    assert content.keys() == {
        *("verdict", "reason", "architecture", "slots", "undecided", "residual", "seconds", "seed", "version"),
        *("identical", "notes", "run", "evidence"),
    }
    assert content["architecture"] == {"like": like, "inferred_from": [], "alternatives": []}
    assert (content["seed"], content["version"]) == (3, reknit.__version__)
    assert content["seconds"].keys() == {"read", "trace", "weights"}
    assert [slot["slot"] for slot in content["slots"]] == [placed.slot for placed in wiring.slots]
    assert all(slot.keys() == {"slot", "piece", "margin", "certain"} for slot in content["slots"])


@pytest.mark.parametrize("like", [None, BERT])
def test_a_bert_is_wired_by_its_name_or_inferred_from_its_shapes(tmp_path, like):
    skeleton = built_in(BERT)
    path, _ = pile(tmp_path, numbers(skeleton))
    wiring = reknit.assemble(path, like=like)
    assert wiring.verdict == "ambiguous"
    assert wiring.placement.keys() == {slot.key for slot in skeleton.slots}
    assert wiring.skeleton.like.startswith("bert:")
    assert bool(wiring.skeleton.read_from) == (like is None)
    assert bool(wiring.skeleton.alternatives) == (like is None)
    with torch.no_grad():
        answer = wiring.model(torch.zeros(1, 5, dtype=torch.int64))
    first = (
        answer
        if isinstance(answer, torch.Tensor)
        else next(iter(answer.values() if isinstance(answer, dict) else answer))
    )
    assert torch.isfinite(first).all()


def test_tensors_of_keras_are_turned(own, tmp_path):
    like, _, _, record, module = own
    turned = {key: value.numpy().T for key, value in module.state_dict().items()}
    path, truth = pile(tmp_path, turned, seed=5)
    wiring = reknit.assemble(path, record, like=like, seed=1)
    assert wiring.verdict == "exact"
    assert all(truth[piece] == slot for slot, piece in wiring.placement.items())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("target", "y"),
        ("inputs", "x_*"),
        ("activation", "relu"),
        ("norm", "none"),
        ("rows", 5),
    ],
)
def test_options_of_the_residual_mlp_are_refused_by_name(tmp_path, option, value):
    with pytest.raises(UsageError) as caught:
        reknit.assemble(tmp_path, like="bert", **{option: value})
    assert caught.value.where == f"--{option}"
    assert caught.value.problem == "it goes with a residual MLP and its data table, not with a skeleton"


@pytest.mark.parametrize(("option", "value"), [("input", "1x3"), ("link", "softmax")])
def test_options_of_a_skeleton_are_refused_without_one(tmp_path, option, value):
    with pytest.raises(UsageError, match="it goes with a skeleton") as caught:
        reknit.assemble(tmp_path, tmp_path / "data.csv", **{option: value})
    assert caught.value.where == f"--{option}"


@pytest.mark.parametrize(
    ("options", "where", "problem"),
    [
        ({"link": "logit"}, "--link", "there is no link 'logit'"),
        ({"link": "top-k,logit"}, "--link", "there is no link 'top-k,logit'"),
        ({"link": ""}, "--link", "there is no link ''"),
        ({"noise": -1.0}, "--noise", "noise is a standard deviation, not -1.0"),
        ({"noise": float("nan")}, "--noise", "noise is a standard deviation, not nan"),
        ({"noise": float("inf")}, "--noise", "noise is a standard deviation, not inf"),
    ],
)
def test_values_that_cannot_be_are_refused(options, where, problem):
    with pytest.raises(UsageError) as caught:
        WiringOptions(**options)
    assert (caught.value.where, caught.value.problem) == (where, problem)


@pytest.mark.parametrize(
    ("like", "error", "words"),
    [
        ("no such thing", UsageError, "is no folder, no built-in architecture and no callable"),
        ("no_such_module:net", UsageError, "there is no Python module 'no_such_module'"),
        ("bert:layers=1,width=12,heads=3,hidden=20,vocab=30,positions=8", PileError, "slots of shape"),
    ],
)
def test_a_skeleton_that_is_not_there_or_does_not_fit_is_refused(own, like, error, words):
    with pytest.raises(error, match=words):
        reknit.assemble(own[1], like=like)


def test_tensors_of_no_built_in_architecture_need_a_skeleton(tmp_path):
    path, _ = pile(tmp_path, {"a": np.zeros((3, 5, 7), np.float32), "b": np.zeros((2, 9), np.float32)})
    with pytest.raises(PileError, match="no built-in architecture has exactly these 2 tensors") as caught:
        reknit.assemble(path)
    assert caught.value.remedy == "Name the skeleton with --like"


def test_a_record_the_module_does_not_take_is_refused(own):
    like, path, _, record, _ = own
    np.savez(record, inputs=np.zeros((4, 5), np.float32), outputs=np.zeros((4, 2), np.float32))
    with pytest.raises(TableError, match=f"inputs: {like} does not take the recorded inputs: ") as caught:
        reknit.assemble(path, record, like=like)
    assert caught.value.remedy == "Record the arguments of the module, in their order"


def test_a_folder_that_is_taken_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="is not empty"):
        reknit.assemble(tmp_path / "no pile", like="bert", out=tmp_path / "taken", force=True)


@pytest.mark.parametrize("name", ["lone", "twice"])
def test_nothing_to_exchange_and_a_module_that_is_there_twice(own, tmp_path, name):
    like = own[0].replace(":net", f":{name}")
    module = own_net(name)
    keys = [key for key in module.state_dict() if name == "lone" or not key.startswith("4.")]
    path, truth = pile(tmp_path, {key: module.state_dict()[key].numpy() for key in keys})
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(2))
    np.savez(tmp_path / "other.npz", inputs=x.numpy(), outputs=module(x).numpy())
    wiring = reknit.assemble(path, tmp_path / "other.npz", like=like)
    assert wiring.verdict == "exact"
    assert {slot: truth[piece] for slot, piece in wiring.placement.items()} == {key: key for key in keys}
    np.testing.assert_allclose(wiring.model(x).detach().numpy(), module(x).numpy(), rtol=1e-4, atol=1e-5)
    wiring.save(tmp_path / "made")
    loaded = reknit.load(tmp_path / "made")
    assert not loaded.training
    torch.testing.assert_close(loaded(x), wiring.model(x).detach())


@pytest.mark.parametrize("option", [{"seed": -1}, {"seed": 2**70}, {"budget": 0}, {"budget": float("nan")}])
def test_numbers_out_of_range_are_refused(option):
    with pytest.raises(UsageError, match=f"the {next(iter(option))} is"):
        WiringOptions(**option)


def test_a_tensor_with_undefined_numbers_is_named(own, tmp_path):
    like, _, _, _, module = own
    state = {key: value.numpy().copy() for key, value in module.state_dict().items()}
    state["1.inp.weight"][0, 0] = np.nan
    path, truth = pile(tmp_path, state)
    name = next(name for name, key in truth.items() if key == "1.inp.weight")
    with pytest.raises(PileError, match="infinite or undefined") as caught:
        reknit.assemble(path, like=like)
    assert name in str(caught.value)


FEW = """
import torch
from torch import nn

class Four(nn.Module):
    def __init__(self):
        super().__init__()
        self.p = nn.ParameterList(nn.Parameter(torch.zeros(1)) for _ in range(4))
        self.t = nn.Parameter(torch.zeros(()))
        self.n = nn.BatchNorm1d(2, affine=False)
        self.m = nn.BatchNorm1d(2, affine=False)

    def forward(self, x):
        for p in self.p:
            x = (x * p).tanh() + x
        return self.m(self.n(x)) * self.t

def net():
    return Four()
"""


def test_too_few_bits_make_no_slot_certain_and_counters_are_not_judged(tmp_path, monkeypatch):
    (tmp_path / "net_of_bits.py").write_text(FEW, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    scope: dict[str, object] = {}
    exec(FEW, scope)
    module = scope["net"]().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(5)
    state = {}
    for k, (key, value) in enumerate(module.state_dict().items()):
        state[key] = (
            torch.rand(value.shape, generator=generator) + 0.3 if value.is_floating_point() else torch.tensor(k)
        )
    module.load_state_dict(state)
    path, _ = pile(tmp_path, {key: value.numpy() for key, value in state.items()})
    x = torch.randn(200, 2, generator=generator)
    np.savez(tmp_path / "record.npz", inputs=x.numpy(), outputs=module(x).numpy())
    for sure in (True, False):
        if not sure:
            monkeypatch.setattr("reknit.wiring.output_proof.SPARE_BITS", 1e6)
        wiring = reknit.assemble(path, tmp_path / "record.npz", like="net_of_bits:net", input="4x2", budget=5)
        certain = {placed.slot for placed in wiring.slots if placed.certain}
        counters = {placed.slot for placed in wiring.slots if placed.slot.endswith("num_batches_tracked")}
        assert len(counters) == 2
        assert not counters & certain
        undecided = {slot for slots in wiring.undecided for slot in slots}
        if sure:
            assert wiring.verdict == "exact"
            assert certain == {placed.slot for placed in wiring.slots} - counters
            assert undecided == set()
        else:
            assert wiring.verdict == "ambiguous"
            assert certain <= {"t"}
            assert undecided >= {f"p.{k}" for k in range(4)}
    wiring.save(tmp_path / "made")
    assert wiring.model.t.shape == ()
    assert load_file(tmp_path / "made" / "model.safetensors")["t"].shape == ()
    assert reknit.load(tmp_path / "made").t.shape == ()  # the shape of an input is remembered
    sys.modules.pop("net_of_bits", None)


def test_what_is_likely_is_left_alone_at_first(own, monkeypatch):
    like, path, _, record, _ = own
    seen = []

    def likely(*arguments, **options):
        return replace(place_by_weights(*arguments, **options), likely=frozenset({"0.inp.bias"}))

    def listening(*arguments, **options):
        seen.append(arguments[4])
        return place(*arguments, **options)

    monkeypatch.setattr("reknit.wiring.verb.place_by_weights", likely)
    monkeypatch.setattr("reknit.wiring.output_placement.place", listening)
    reknit.assemble(path, record, like=like)
    assert "0.inp.bias" in seen[0]


def test_inputs_alone_mend_what_the_weights_leave_wrong_and_prove_nothing(tmp_path, monkeypatch):
    net = counted(PREACT)
    path, truth = pile(tmp_path, {key: value.numpy() for key, value in net.state.items()})
    held = {slot: name for name, slot in truth.items()}
    for end in ("running_var", "weight"):
        one, other = (f"stages.0.{block}.bn2.{end}" for block in (0, 2))
        held[one], held[other] = held[other], held[one]
    given = WeightsPlacement(held, dict.fromkeys(held, 0.0), frozenset(), (0, 0))
    monkeypatch.setattr("reknit.wiring.verb.place_by_weights", lambda *_, **__: given)
    np.savez(tmp_path / "record.npz", inputs=like_training(PREACT, 256, 7).numpy())
    wiring = reknit.assemble(path, tmp_path / "record.npz", like=PREACT)
    assert all(truth[placed.piece] == placed.slot for placed in wiring.slots)
    assert (wiring.verdict, wiring.residual) == ("ambiguous", None)
    assert not any(placed.certain for placed in wiring.slots)
    words = r"the weights and what the recorded inputs cause \(they moved 4 tensors\) leave \d+ of \d+ slots uncertain"
    assert re.fullmatch(words + "; recorded outputs would decide", wiring.reason)


def test_inputs_alone_are_left_out_where_no_norm_keeps_statistics(tmp_path):
    path, _ = pile(tmp_path, numbers(built_in(BERT)))
    record = tmp_path / "record.npz"
    tokens = np.zeros((2, 4), np.int64)
    np.savez(record, input_0=tokens, input_1=tokens)
    alone, given = (reknit.assemble(path, data, like=BERT) for data in (None, record))
    assert given.placement == alone.placement
    assert given.reason.startswith(
        "the recorded inputs were left out, as there is no BatchNorm whose statistics they could be held against; "
        "the weights alone leave "
    )


def test_inputs_alone_have_to_be_taken_by_the_module(tmp_path):
    net = counted(PREACT)
    path, _ = pile(tmp_path, {key: value.numpy() for key, value in net.state.items()})
    np.savez(tmp_path / "record.npz", inputs=np.zeros((4, 5), np.float32))
    with pytest.raises(TableError, match="does not take the recorded inputs: "):
        reknit.assemble(path, tmp_path / "record.npz", like=PREACT)


def test_a_number_in_the_code_makes_another_fingerprint(tmp_path, monkeypatch):
    """The skeleton has the same slots and uses, but computes something else."""
    monkeypatch.chdir(tmp_path)
    for name, scale, table in (("one", 1.0, 3), ("again", 1.0, 3), ("two", 2.0, 3), ("other", 1.0, 4)):
        (tmp_path / f"scaled_by_{name}.py").write_text(
            "import torch\n"
            "class Scaled(torch.nn.Linear):\n"
            "    def forward(self, x):\n"
            f"        return super().forward(x) * {scale} + torch.arange(3.0, device=x.device) * {table}\n"
            "def net(): return Scaled(3, 3), (torch.zeros(2, 3),)\n"
        )
    pile = tmp_path / "pile.safetensors"
    save_file({"a": np.ones((3, 3), np.float32), "b": np.ones(3, np.float32)}, pile)
    found = []
    for name in ("one", "again", "two", "other"):
        run = Run(pile, None, WiringOptions(like=f"scaled_by_{name}:net"))
        found.append(run.described()["skeleton"])
    assert found[0] == found[1]
    assert len(set(found)) == 3
