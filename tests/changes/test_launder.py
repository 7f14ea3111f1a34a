"""``launder``: the verb, what it writes, its key, its command."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from changes.laundered_nets import LIKE, checkpoint, data, tensors
from reknit import launder
from reknit.changes.laundering.key import read_key
from reknit.changes.laundering.registry import KINDS
from reknit.changes.laundering.setting import open_setting
from reknit.changes.laundering.undoing import laid_back, undone
from reknit.cli import main
from reknit.containers.tensors import read_tensors
from reknit.errors import InputError, OutputError, ReknitError, UsageError

CHAIN = "permute,scale,sign,round:4:row,prune:0.5,low-rank:2:0.1,finetune:3,noise:0.1,cast:bf16,shuffle,rename,split"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("launder")
    return {"a": checkpoint(folder, "gpt2"), "data": data(folder, "gpt2")}


def test_every_step_in_one_chain_and_the_same_seed_the_same_bytes(files, tmp_path):
    before = files["a"].read_bytes()
    written = []
    for k in (1, 2):
        folder = tmp_path / str(k)
        found = launder(
            files["a"],
            CHAIN,
            like=LIKE["gpt2"],
            data=files["data"],
            seed=7,
            out=folder / "b.safetensors",
            key=folder / "key.json",
        )
        assert found.verdict == "consistent"
        assert "answers differ by" in found.reason
        written.append([(folder / name).read_bytes() for name in ("b.safetensors", "key.json", "key.npz")])
    assert written[0] == written[1]
    assert files["a"].read_bytes() == before
    assert {each.said: each.holds for each in found.proofs}
    other = launder(files["a"], CHAIN, like=LIKE["gpt2"], data=files["data"], seed=8)
    assert any(not np.array_equal(other.tensors[name], found.tensors[name]) for name in found.tensors)


def test_each_step_is_proven_by_what_it_may_claim(files):
    found = launder(files["a"], "permute,round:4,transpose", like=LIKE["gpt2"])
    kinds = [(each.of, each.kind, each.holds) for each in found.proofs]
    assert kinds == [
        ("permute", "function", True),
        ("round:4", "answers", None),
        ("all", "answers", None),
        ("layout", "layout", True),
    ]
    assert found.proofs[1].difference == pytest.approx(found.proofs[2].difference, rel=1e-6)
    assert 0.001 < found.proofs[1].difference < 1
    without = launder(files["a"], "round:4")
    assert (without.verdict, without.proofs[0].kind) == ("consistent", "numbers")
    assert 0.01 < without.proofs[0].difference < 0.5


def test_training_goes_down_and_says_how_far_everything_moved(files):
    found = launder(files["a"], "finetune:15:0.003", like=LIKE["gpt2"], data=files["data"])
    (record,) = found.key.steps
    first, last = record.facts["loss"]
    assert last < 0.9 * first
    original = tensors("gpt2")
    for key, told in record.facts["tensors"].items():
        moved = np.linalg.norm(found.tensors[key].astype(np.float64) - original[key]) / np.linalg.norm(original[key])
        assert told["drift"] == pytest.approx(moved)
    # keys have no part in a softmax but through queries: all matrices move
    assert all(told["drift"] > 0 for key, told in record.facts["tensors"].items() if key.endswith("weight"))


def test_only_what_a_pattern_names_is_trained(files):
    found = launder(files["a"], "finetune:2:sgd@*.mlp.*", like=LIKE["gpt2"], data=files["data"])
    moved = {key for key, value in tensors("gpt2").items() if not np.array_equal(value, found.tensors[key])}
    assert moved == {key for key in tensors("gpt2") if ".mlp." in key}


def test_a_key_is_read_as_it_was_written(files, tmp_path):
    found = launder(
        files["a"],
        "rotate,permute,cast:fp16:kept,rename,split",
        like=LIKE["gpt2"],
        out=tmp_path / "b.safetensors",
        key=tmp_path / "key.json",
    )
    key = read_key(tmp_path / "key.json")
    assert key.files(tmp_path / "key.json") == found.key.files(tmp_path / "key.json")
    assert (key.stored, key.forms, key.dtypes, key.slots) == (
        found.key.stored,
        dict(found.key.forms),
        found.key.dtypes,
        dict(found.key.slots),
    )
    assert key.sha256 == read_tensors(files["a"]).sha256
    assert [each.step for each in key.steps] == ["rotate", "permute", "cast", "rename", "split"]
    matrix = key.steps[0].facts["groups"][0]["matrix"]
    assert np.allclose(matrix @ matrix.mT, np.eye(matrix.shape[-1]), atol=1e-12)
    assert key.changes["transformer.h.0.attn.c_proj.weight"] == ("rotate", "permute", "cast")
    # the head is tied to the embedding, so the last gain cannot be folded and the stream stays
    assert "tied to another use" in key.steps[0].left["stream"]
    stored = read_tensors(tmp_path / "b.safetensors")
    arrays = {name: stored.array(name) for name in stored.names}
    assert laid_back(key, arrays).keys() == tensors("gpt2").keys()
    with pytest.raises(UsageError, match="cast:fp16:kept cannot be taken back"):
        undone(key, arrays, open_setting(LIKE["gpt2"]))


def test_a_key_that_was_tampered_with_is_refused(files, tmp_path):
    launder(files["a"], "permute", like=LIKE["gpt2"], out=tmp_path / "b.safetensors", key=tmp_path / "key.json")
    text = (tmp_path / "key.json").read_text()
    npz = (tmp_path / "key.npz").read_bytes()
    (tmp_path / "key.npz").write_bytes(npz[:-1])
    with pytest.raises(InputError, match="holds other arrays than those that were written with the key"):
        read_key(tmp_path / "key.json")
    (tmp_path / "key.npz").unlink()
    with pytest.raises(InputError, match=r"its arrays are missing: key.npz"):
        read_key(tmp_path / "key.json")
    for changed, words in (
        ("{}", "is no key of a laundering"),
        ('{"format": "reknit laundering key 1", "arrays": null}', "is a damaged key"),
        (text[:200], "damaged key: not JSON"),
    ):
        (tmp_path / "key.json").write_text(changed)
        with pytest.raises(InputError, match=words):
            read_key(tmp_path / "key.json")


def test_halves_stay_halves_or_say_that_they_do_not(tmp_path):
    held = {key: torch.from_numpy(value).bfloat16() for key, value in tensors("llama").items()}
    save_file(held, tmp_path / "a.safetensors")
    for how, dtype in (("permute", torch.bfloat16), ("scale", torch.bfloat16), ("rotate", torch.float32)):
        found = launder(tmp_path / "a.safetensors", how, like=LIKE["llama"], out=tmp_path / "b.safetensors", force=True)
        assert found.verdict == "exact"
        key = "model.layers.0.self_attn.v_proj.weight"
        assert load_file(tmp_path / "b.safetensors")[key].dtype == dtype
        assert found.key.dtypes[key] == ("bfloat16", str(dtype).removeprefix("torch."))


def test_what_contradicts_itself_is_refused_and_nothing_is_written(files, tmp_path):
    a, like = files["a"], LIKE["gpt2"]
    out, key = tmp_path / "b.safetensors", tmp_path / "b.json"
    for options, words in (
        ({"how": "permute"}, "permute needs the skeleton. Name it with --like"),
        ({"how": "finetune:3", "like": like}, "finetune trains. Give inputs and targets with --data"),
        ({"how": "shuffle", "data": files["data"]}, "inputs are for the skeleton's module"),
        ({"how": "shuffle", "input": "int:1x4"}, "it is the input of a skeleton"),
        ({"how": "shuffle", "key": key, "out": None}, "a key belongs to a file"),
        ({"how": "shuffle", "key": out}, "the key would take the place of the checkpoint"),
        ({"how": "shuffle", "seed": -1}, "the seed is -1"),
        ({"how": "shuffle", "out": a, "force": True}, "which are never changed"),
        ({"how": "round:4,cast:bf16,nothing"}, "there is no step 'nothing'"),
        ({"how": "round:4:codes,noise"}, "is kept as codes, which another step would change"),
    ):
        told = {"out": out, **options}
        with pytest.raises(ReknitError, match=words):
            launder(a, told.pop("how"), **told)
    key.write_text("")
    with pytest.raises(OutputError, match=r"b.json: exists already"):
        launder(a, "shuffle", out=out, key=key)
    assert {file.name for file in tmp_path.iterdir()} == {"b.json"}


def test_a_file_that_reads_back_otherwise_is_not_kept(files, tmp_path, monkeypatch):
    from reknit.changes import launder as module

    whole = module.safetensors_bytes
    monkeypatch.setattr(module, "safetensors_bytes", lambda named: whole(named)[:-1] + b"\x7f")
    with pytest.raises(OutputError, match="reads back other than it was meant"):
        launder(files["a"], "shuffle", out=tmp_path / "b.safetensors", key=tmp_path / "k.json")
    assert not list(tmp_path.iterdir())


def test_every_step_says_in_one_line_what_it_does():
    for name, kind in KINDS.items():
        assert kind.name == name
        assert 10 < len(kind.summary) < 90
        assert kind.form.startswith(name)
    keeping = {name for name, kind in KINDS.items() if kind.keeps_function}
    assert keeping == {
        "permute", "scale", "sign", "rotate", "shuffle", "rename", "transpose", "fuse", "split",
    }  # fmt: skip
    wanting = {name for name, kind in KINDS.items() if kind.wants_skeleton}
    assert wanting == {"permute", "scale", "sign", "rotate", "finetune"}


def test_the_command(files, tmp_path, capsys):
    a, out, key = str(files["a"]), str(tmp_path / "b.safetensors"), str(tmp_path / "key.json")
    command = ["launder", a, "--how", "permute,round:4:row", "--like", LIKE["gpt2"], "-o", out, "--key", key]
    assert main([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["verdict"] == "consistent"
    assert [each["keeps_function"] for each in answer["steps"]] == [True, False]
    assert [each["kind"] for each in answer["proofs"]] == ["function", "answers", "answers", "layout"]
    assert load_file(out).keys() == load_file(a).keys()
    assert read_key(key).names["transformer.wte.weight"] == ("transformer.wte.weight",)
    assert main(command) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*command, "--force", "--how", "permute"]) == 0
    said = capsys.readouterr().out
    assert "exact" in said
    assert "B computes what A computes" in said
    assert main(["launder", a, "--how", "sign", "--like", LIKE["mlp"]]) == 2
    assert main(["launder", a, "--how", "melt"]) == 2
    assert "Choose from permute" in capsys.readouterr().err
