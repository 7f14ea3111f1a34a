"""Averages of networks as they are: made and written tensor by tensor, equal to the plain mean, whole or not at all."""

import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from match.matched_nets import LIKES, random_tensors, samples, save, traced
from reknit import merge
from reknit.containers.tensors import Tensors, read_tensors
from reknit.containers.write_safetensors import write_safetensors
from reknit.errors import InputError, OutputError
from strategies import SAFETENSORS_DTYPES, seeds, tensors, torch_bits


@settings(max_examples=6)
@given(
    name=st.sampled_from(["mlp", "residual-mlp"]),
    dtype=st.sampled_from(["float32", "bfloat16", "float16", "float64"]),
    count=st.integers(2, 5),
    seed=seeds,
)
def test_the_average_is_the_plain_mean_in_the_dtype_of_the_files(tmp_path_factory, name, dtype, count, seed):
    folder, skeleton = tmp_path_factory.mktemp("mean"), traced(LIKES[name])[1]
    shares = np.random.default_rng(seed).dirichlet(np.ones(count)).tolist()
    states = []
    for k in range(count):
        state = {key: torch.from_numpy(each) for key, each in random_tensors(skeleton, seed + k).items()}
        states.append({k: v.to(getattr(torch, dtype)) if v.is_floating_point() else v for k, v in state.items()})
        save_file(states[-1], folder / f"{k}.safetensors")
    files = [folder / f"{k}.safetensors" for k in range(count)]
    merge(files, like=LIKES[name], method="none", weights=shares, out=folder / "m.safetensors")
    written = load_file(folder / "m.safetensors")
    assert written.keys() == states[0].keys()
    for key, value in states[0].items():
        mean = sum(share * state[key].double() for share, state in zip(shares, states, strict=True))
        short = mean.float() if dtype.endswith("16") and dtype[0] == "b" else mean
        expected = short.to(value.dtype) if value.is_floating_point() else value
        assert torch_bits(written[key]) == torch_bits(expected)


def alive(monkeypatch):
    """How many bytes of tensors that were read are held by anybody, at most, as long as this is watched."""
    handed, most = [], [0]
    read = Tensors.array

    def watched(self, name):
        array = read(self, name)
        handed.append(weakref.ref(array))
        handed[:] = [each for each in handed if each() is not None]
        most[0] = max(most[0], sum(each().nbytes for each in handed))
        return array

    monkeypatch.setattr(Tensors, "array", watched)
    return most


@pytest.mark.parametrize("more", [{"method": "none"}, {"decay": "linear"}])
def test_no_network_is_in_memory_as_a_whole(tmp_path, monkeypatch, more):
    like = "mlp:sizes=40-40-40-40-40-40-40"
    nets = [random_tensors(traced(like)[1], seed) for seed in range(6)]
    files = [save(tmp_path / f"{k}.safetensors", each) for k, each in enumerate(nets)]
    whole = sum(value.nbytes for value in nets[0].values())
    most = alive(monkeypatch)
    merge(files, like=like, out=tmp_path / "m.safetensors", **more)
    assert 0 < most[0] < whole / 2
    most[0] = 0
    merge(files, like=like, out=tmp_path / "n.safetensors", method="weights")  # aligned networks are held
    assert most[0] >= 5 * whole


def test_statistics_and_foresight_are_the_same_as_of_networks_in_memory(tmp_path, monkeypatch):
    like = LIKES["preact-resnet"]
    files = [save(tmp_path / f"{k}.safetensors", random_tensors(traced(like)[1], k)) for k in range(3)]
    np.savez(tmp_path / "d.npz", inputs=samples(like, 48).inputs[0].numpy())
    asked = {"like": like, "method": "none", "data": tmp_path / "d.npz", "anyway": True}
    streamed = merge(files, **asked, out=tmp_path / "s.safetensors")
    from reknit.match import merging

    opened = merging.open_networks
    monkeypatch.setattr(merging, "open_networks", lambda *given, held: opened(*given, held=True))
    held = merge(files, **asked, out=tmp_path / "h.safetensors")
    assert streamed.mended == held.mended != "nothing"
    assert streamed.preflight == held.preflight
    assert (tmp_path / "s.safetensors").read_bytes() == (tmp_path / "h.safetensors").read_bytes()


def test_a_file_that_spoils_on_the_way_leaves_nothing(tmp_path):
    like = "mlp:sizes=300-300-4"  # files of this size are not kept in memory
    files = [save(tmp_path / f"{k}.safetensors", random_tensors(traced(like)[1], k)) for k in range(2)]
    found = merge(files, like=like, method="none")
    spoilt = random_tensors(traced(like)[1], 1)
    spoilt["layers.0.bias"][0] = np.nan
    save(files[1], spoilt)
    with pytest.raises(InputError, match="infinite or undefined"):
        found.save(tmp_path / "m.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.safetensors", "1.safetensors"]


@settings(max_examples=25)
@given(given_tensors=st.lists(tensors(SAFETENSORS_DTYPES), min_size=1, max_size=5))
def test_what_is_written_in_parts_is_read_by_others(tmp_path_factory, given_tensors):
    path = tmp_path_factory.mktemp("parts") / "t.safetensors"
    held = {f"tensor.{k}.é": each for k, each in enumerate(given_tensors)}
    described = {key: (str(each.dtype).removeprefix("torch."), tuple(each.shape)) for key, each in held.items()}
    write_safetensors(path, described, lambda key: memoryview(torch_bits(held[key])[2]))
    by_torch = load_file(path)
    assert {key: torch_bits(each) for key, each in by_torch.items()} == {k: torch_bits(v) for k, v in held.items()}
    assert set(read_tensors(path).names) == held.keys() if len(held) > 1 else True


def test_what_cannot_be_written_in_parts_is_said(tmp_path):
    with pytest.raises(OutputError, match="has no dtype complex128, which 'c' has"):
        write_safetensors(tmp_path / "t", {"c": ("complex128", (1,))}, lambda _: memoryview(bytes(16)))
    with pytest.raises(ValueError, match="c has 3 bytes, not 4"):
        write_safetensors(tmp_path / "t", {"c": ("float32", (1,))}, lambda _: memoryview(bytes(3)))
    assert list(tmp_path.iterdir()) == []
