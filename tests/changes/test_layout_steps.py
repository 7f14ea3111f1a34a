"""Order, names, axes, fusing and cutting: every number comes back by the key, bit by bit, whatever held it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from changes.laundered_nets import LIKE, checkpoint, tensors
from reknit import launder
from reknit.changes.laundering.undoing import laid_back, undone
from reknit.errors import InputError, UsageError
from strategies import SAFETENSORS_DTYPES, keys
from strategies import tensors as any_tensors


def known(tensor):
    """Numbers, with one for all that are none."""
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    return tensor.double().nan_to_num(0.5) if tensor.is_floating_point() else tensor


@settings(max_examples=20)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_any_file_comes_back_by_the_key(tmp_path_factory, data, seed):
    folder = tmp_path_factory.mktemp("any")
    held = data.draw(st.dictionaries(keys, any_tensors(SAFETENSORS_DTYPES), min_size=1, max_size=5))
    how = data.draw(st.sampled_from(["shuffle", "rename", "rename:consistent", "shuffle,rename", "rename,shuffle"]))
    save_file(held, folder / "a.safetensors")
    found = launder(folder / "a.safetensors", how, seed=seed, out=folder / "b.safetensors", key=folder / "k.json")
    assert found.verdict == "exact"
    after = load_file(folder / "b.safetensors")
    for key, tensor in held.items():
        # a tensor that is alone in its file is called by the file's stem
        ((name,),) = (found.key.names.get(key) or found.key.names["a"],)
        assert torch.equal(known(after[name]), known(tensor))
        assert after[name].dtype == tensor.dtype


@pytest.fixture
def parts(tmp_path):
    """A file with one attention layer in parts, and what it holds."""
    rng = np.random.default_rng(0)
    shapes = {f"a.{n}_proj.weight": (rows, 6) for n, rows in (("q", 6), ("k", 4), ("v", 4))}
    shapes |= {f"a.{n}_proj.bias": (rows,) for n, rows in (("q", 6), ("k", 4), ("v", 4))}
    shapes |= {"a.o_proj.weight": (6, 6), "conv": (5, 4, 3, 2)}
    held = {key: torch.from_numpy(rng.normal(size=shape).astype(np.float32)) for key, shape in shapes.items()}
    save_file(held, tmp_path / "a.safetensors")
    return tmp_path, held


def test_query_key_and_value_become_one_tensor(parts):
    folder, held = parts
    found = launder(folder / "a.safetensors", "fuse", out=folder / "b.safetensors")
    after = load_file(folder / "b.safetensors")
    meant = torch.cat([held[f"a.{n}_proj.weight"] for n in "qkv"])
    assert torch.equal(after["a.qkv_proj.weight"], meant)
    assert torch.equal(after["a.qkv_proj.bias"], torch.cat([held[f"a.{n}_proj.bias"] for n in "qkv"]))
    assert after.keys() == {"a.qkv_proj.weight", "a.qkv_proj.bias", "a.o_proj.weight", "conv"}
    back = laid_back(found.key, {key: value.numpy() for key, value in after.items()})
    assert all(np.array_equal(back[key], value.numpy()) for key, value in held.items())


def test_axes_are_as_other_frameworks_have_them(parts):
    folder, held = parts
    found = launder(folder / "a.safetensors", "transpose:all,fuse")
    assert np.array_equal(found.tensors["a.o_proj.weight"], held["a.o_proj.weight"].T)
    assert np.array_equal(found.tensors["conv"], held["conv"].permute(2, 3, 1, 0))  # rows, columns, in, out
    assert found.tensors["a.qkv_proj.weight"].shape == (6, 14)
    assert launder(folder / "a.safetensors", "transpose").tensors["conv"].shape == (5, 4, 3, 2)


@settings(max_examples=15)
@given(how=st.lists(st.sampled_from(["shuffle", "rename", "transpose:all", "fuse"]), unique=True, min_size=1))
def test_layout_steps_and_others_may_be_told_in_any_order(tmp_path_factory, how):
    folder = tmp_path_factory.mktemp("order")
    shapes = {f"{n}.weight": (6, 6) for n in "qkvo"}
    rng = np.random.default_rng(1)
    held = {key: torch.from_numpy(rng.normal(size=shape).astype(np.float32)) for key, shape in shapes.items()}
    save_file(held, folder / "a.safetensors")
    first = launder(folder / "a.safetensors", ["round:3:row", *how])
    second = launder(folder / "a.safetensors", [*how, "round:3:row"])
    meant = launder(folder / "a.safetensors", "round:3:row").tensors
    for found in (first, second):
        back = laid_back(found.key, found.tensors)
        assert all(np.array_equal(back[key], meant[key]) for key in held)


def test_a_fused_matrix_is_cut_and_comes_back(tmp_path):
    found = launder(checkpoint(tmp_path, "gpt2"), "split", like=LIKE["gpt2"])
    original = tensors("gpt2")
    weight = original["transformer.h.0.attn.c_attn.weight"]
    for k, letter in enumerate("qkv"):
        cut = found.tensors[f"transformer.h.0.attn.c_attn_{letter}.weight"]
        assert np.array_equal(cut, weight[:, 12 * k : 12 * k + 12])
    back = undone(found.key, found.tensors)
    assert all(np.array_equal(back[key], value) for key, value in original.items())
    with pytest.raises(UsageError, match="query, key and value are one tensor already"):
        launder(tmp_path / "gpt2-0.safetensors", "fuse", like=LIKE["gpt2"])


def test_names_tell_what_is_fused_and_shapes_how(tmp_path):
    rng = np.random.default_rng(0)
    shapes = {"a.qkv.weight": (12, 4), "a.qkv.bias": (12,), "b.c_attn.weight": (4, 12), "c.in_proj_weight": (12, 4)}
    # keys and values shared by several queries: where the parts begin is not known
    shapes |= {"d.qkv.weight": (18, 12), "d.qkv.bias": (18,)}
    held = {key: torch.from_numpy(rng.normal(size=shape).astype(np.float32)) for key, shape in shapes.items()}
    save_file(held, tmp_path / "a.safetensors")
    found = launder(tmp_path / "a.safetensors", "split").tensors
    assert np.array_equal(found["a.k.weight"], held["a.qkv.weight"][4:8])
    assert np.array_equal(found["a.v.bias"], held["a.qkv.bias"][8:])
    assert np.array_equal(found["b.c_attn_q.weight"], held["b.c_attn.weight"][:, :4])
    assert np.array_equal(found["c.v_proj_weight"], held["c.in_proj_weight"][8:])
    assert {"d.qkv.weight", "d.qkv.bias"} < found.keys()


def test_the_skeleton_says_along_which_axis_outputs_lie(tmp_path):
    # square matrices that are stored (in, out): names alone would put them one below the other
    like = "gpt2:layers=1,width=12,heads=3,hidden=20,vocab=15,positions=16,fused=false,transposed=true"
    from match.matched_nets import random_tensors, save
    from reknit.changes.laundering.setting import open_setting

    held = random_tensors(open_setting(like).skeleton, 0)
    file = save(tmp_path / "a.safetensors", held)
    named = [key for key in held if "attn.q" in key and key.endswith("weight")]
    fused = launder(file, "fuse", like=like).tensors
    (name,) = (key for key in fused if "qkv" in key and key.endswith("weight"))
    assert fused[name].shape == (12, 36)
    assert np.array_equal(fused[name][:, :12], held[named[0]])
    assert launder(file, "fuse").tensors[name].shape == (36, 12)


def test_tables_stay_where_a_skeleton_says_what_they_are(tmp_path):
    file = checkpoint(tmp_path, "llama")
    with_skeleton = launder(file, "transpose", like=LIKE["llama"]).tensors
    without = launder(file, "transpose").tensors
    assert with_skeleton["model.embed_tokens.weight"].shape == (15, 16)
    assert without["model.embed_tokens.weight"].shape == (16, 15)
    assert with_skeleton["lm_head.weight"].shape == without["lm_head.weight"].shape == (16, 15)


def test_what_fits_no_step_is_refused_in_words(tmp_path):
    save_file({"w": torch.zeros(3)}, tmp_path / "a.safetensors")
    for how, words in (
        ("transpose", "there is no matrix to transpose"),
        ("fuse", "no query, key and value matrices of one input"),
        ("split", "no query, key and value matrices are known"),
    ):
        with pytest.raises(UsageError, match=words):
            launder(tmp_path / "a.safetensors", how)
    save_file({f"{n}.w": torch.randn(4, 4) for n in "qkv"}, tmp_path / "q.safetensors")
    with pytest.raises(UsageError, match="they have scales of their own"):
        launder(tmp_path / "q.safetensors", "round:4:codes,fuse")
    mixed = {"q.w": torch.randn(4, 4), "k.w": torch.randn(4, 4).bfloat16(), "v.w": torch.randn(4, 4)}
    save_file(mixed, tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="different dtypes and cannot be one tensor"):
        launder(tmp_path / "m.safetensors", "fuse")


def test_codes_are_stored_as_onnx_runtime_names_them_and_come_back(tmp_path):
    held = {"a.weight": torch.randn(4, 6, generator=torch.Generator().manual_seed(0)), "a.bias": torch.ones(4)}
    save_file(held, tmp_path / "a.safetensors")
    found = launder(
        tmp_path / "a.safetensors", "round:4:row:asymmetric:codes,transpose", out=tmp_path / "b.safetensors"
    )
    plain = launder(tmp_path / "a.safetensors", "round:4:row:asymmetric").tensors["a.weight"]
    after = load_file(tmp_path / "b.safetensors")
    assert after.keys() == {"a.weight_quantized", "a.weight_scale", "a.weight_zero_point", "a.bias"}
    assert after["a.weight_quantized"].dtype == torch.uint8
    assert after["a.weight_quantized"].shape == (6, 4)
    numbers = (after["a.weight_quantized"].int() - after["a.weight_zero_point"].int()).float() * after["a.weight_scale"]
    assert np.array_equal(numbers.T.numpy(), plain)
    assert np.array_equal(laid_back(found.key, {k: v.numpy() for k, v in after.items()})["a.weight"], plain)


def test_what_is_stored_twice_stays_so(tmp_path):
    table = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    held = {"embed.weight": table, "head.weight": table.clone(), "zero": torch.zeros(2, 2), "nil": torch.zeros(2, 2)}
    save_file(held, tmp_path / "a.safetensors")
    found = launder(tmp_path / "a.safetensors", "noise:0.5,shuffle")
    assert np.array_equal(found.tensors["embed.weight"], found.tensors["head.weight"])
    assert not np.array_equal(found.tensors["embed.weight"], table)
    assert found.key.copies == {"head.weight": "embed.weight"}
    assert set(found.key.names["embed.weight"]) == {"embed.weight", "head.weight"}


def test_the_order_of_the_file_is_the_one_in_the_key(tmp_path):
    save_file({f"w{k}": torch.full((k + 1, 2), float(k)) for k in range(12)}, tmp_path / "a.safetensors")
    found = launder(tmp_path / "a.safetensors", "shuffle", seed=5, out=tmp_path / "b.safetensors")
    order = found.key.steps[0].facts["order"]
    with safe_open(tmp_path / "b.safetensors", "np") as file:
        assert list(file.offset_keys()) == [f"w{k}" for k in order]
    assert not np.array_equal(order, np.arange(12))
