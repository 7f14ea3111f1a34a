"""Statistics set right after averaging: the rules ``parents`` and ``batch``."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from match.matched_nets import LIKES, computer, largest_difference, random_tensors, samples, save
from reknit import merge, path
from reknit.cli import main
from reknit.errors import TableError, UsageError
from reknit.match.averages import average
from reknit.match.mend_rules import find_rule
from reknit.match.mending import mended, what_is_mended
from reknit.match.parents_moments import MOST, as_parents_have, behind, moments, set_right, summands
from reknit.match.samples import Samples
from reknit.match.statistics import NormCall, estimated_again
from strategies import seeds

OWN = {name: f"match.normed_modules:{name}" for name in ("usual", "no_affine", "no_bias", "twice")}
SHARES = (0.3, 0.7)


def of_all(_):
    return SHARES


def far_off(like, rows, seed):
    """Inputs as no network was trained on: large, and around another mean."""
    return Samples(tuple(5 * x + 3 if x.is_floating_point() else x for x in samples(like, rows, seed).inputs))


def module_of(runner, tensors):
    """The module itself, holding a network."""
    module = runner.like.fillable().eval()
    module.load_state_dict(runner.state(tensors), strict=False, assign=True)
    return module


@settings(max_examples=8, deadline=None)
@given(name=st.sampled_from([*OWN, "preact-resnet", "mbconv"]), seed=seeds, rows=st.integers(2, 9))
def test_a_network_mended_with_itself_stays_as_it_is(name, seed, rows):
    like = OWN.get(name) or LIKES[name]
    runner = computer(like)
    net = random_tensors(runner.skeleton, seed)
    for key in net:  # one channel is dead, one has no gain, one has a negative one
        if "norm" in key and key.endswith("weight"):
            net[key][:2] = 0, -0.5
    asked = far_off(like, rows, seed % 1000)
    again = mended(runner, net, (net, net, net), (0.2, 0.5, 0.3), asked, rule="parents")
    before, after = (runner.answers(each, asked)[0] for each in (net, again))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))
    if name in OWN:
        other = estimated_again(runner, net, asked)
        assert largest_difference(other, net) > 0.1 > largest_difference(again, net)


def test_batches_leave_it_as_it_is_too():
    runner = computer(OWN["usual"])
    net = random_tensors(runner.skeleton, 0)
    again = as_parents_have(runner, net, (net, net), of_all, far_off(OWN["usual"], 50, 0), batch=16)
    assert largest_difference(again, net) < 1e-5


@pytest.mark.parametrize("name", ["usual", "no_affine", "no_bias"])
def test_channels_have_the_moments_of_their_parents(name):
    """Seen by torch's own hooks on torch's own layers, in the network that comes out."""
    runner, asked = computer(OWN[name]), far_off(OWN[name], 40, 0)
    parents = [random_tensors(runner.skeleton, seed) for seed in (0, 1)]
    parents = [{key: np.abs(v) if "norms" in key else v for key, v in net.items()} for net in parents]
    found = as_parents_have(runner, average(parents, SHARES), parents, of_all, asked)

    def seen(net):
        module, kept = module_of(runner, net), {}
        for key, layer in module.named_modules():
            if isinstance(layer, nn.BatchNorm1d | nn.Conv1d):
                layer.register_forward_hook(lambda _, __, out, key=key: kept.update({key: out.detach()}))
        module(*asked.inputs)
        return {key: (out.mean((0, 2)), out.std((0, 2), correction=0)) for key, out in kept.items()}

    one, other, now = (seen(net) for net in (*parents, found))
    assert set(now) == {"stem", "norms.0", "norms.1", "convs.0", "convs.1"}
    for key, (mean, deviation) in now.items():
        wanted = [0.3 * one[key][k] + 0.7 * other[key][k] for k in range(2)]
        torch.testing.assert_close(deviation, wanted[1], rtol=1e-3, atol=1e-3)
        if "norms" in key or name != "no_bias":
            torch.testing.assert_close(mean, wanted[0], rtol=1e-3, atol=2e-3)
    unmoved = ("head.weight", "head.bias")
    assert all(np.array_equal(found[key], average(parents, SHARES)[key]) for key in unmoved)


def test_on_samples_like_those_of_the_training_both_rules_agree():
    like = OWN["usual"]
    runner, asked = computer(like), samples(like, 200)
    nets = [random_tensors(runner.skeleton, seed) for seed in (0, 1)]
    nets = [{key: np.abs(v) if "norms" in key else v for key, v in net.items()} for net in nets]
    parents = [estimated_again(runner, net, asked) for net in nets]
    merged = average(parents, SHARES)
    one = estimated_again(runner, merged, asked)
    other = as_parents_have(runner, merged, parents, of_all, asked, streams=False)
    for key in one:
        np.testing.assert_allclose(one[key], other[key], rtol=5e-3, atol=2e-3)


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_statistics_stay_finite_and_variances_positive(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(6, 5, 4, generator=generator)
    x[:, 0] = 2.0  # dead before
    gain, bias = torch.randn(5, generator=generator), torch.randn(5, generator=generator)
    gain[1], gain[3:] = 0, gain[3:].abs() + 0.1
    call = NormCall(x, torch.randn(5, generator=generator), torch.rand(5, generator=generator), gain, bias, 1e-5)
    before = moments(call.channels)
    then, means = behind(call, before), torch.randn(5, generator=generator).double()
    wanted = torch.stack([then[1][0], then[1][1], then[1][2] * 0, 5000 * then[1][3], 2 * then[1][4]])
    mean, variance = set_right(call, before, (means, wanted))
    assert bool(mean.isfinite().all())
    assert bool((variance >= 0).all())
    assert float(variance[0]) == float(call.variance[0])
    assert (float(mean[1]), float(variance[1])) == (float(call.mean[1]), float(call.variance[1]))
    now = behind(NormCall(x, mean, variance, gain, bias, 1e-5), before)
    rest = [0, 2, 3, 4]
    torch.testing.assert_close(now[0][rest], means[rest], rtol=1e-3, atol=1e-3)
    assert float(now[1][2]) == pytest.approx(float(then[1][2]) / MOST, rel=1e-3)
    for k, factor in ((3, MOST), (4, 2.0)):  # as far as the epsilon lets it
        most = float(gain[k].abs() * before[1][k]) / 1e-5**0.5
        assert float(now[1][k]) == pytest.approx(min(factor * float(then[1][k]), most), rel=1e-3)


def test_layers_that_are_summands_of_a_stream():
    assert summands(computer(OWN["usual"]).skeleton) == {
        "stem.weight": "stem.bias",
        "convs.0.weight": "convs.0.bias",
        "convs.1.weight": "convs.1.bias",
    }
    assert (
        what_is_mended(computer(OWN["usual"]))
        == "BatchNorm statistics (as behind the parents') and channels of 3 layers"
    )
    assert what_is_mended(computer(OWN["usual"]), rule="batch") == "BatchNorm statistics (of the batch)"


def test_shares_by_layer_that_are_one_network_leave_it_as_it_is():
    runner = computer(OWN["usual"])
    one, other = (random_tensors(runner.skeleton, seed) for seed in (0, 1))
    found = mended(runner, one, (one, other), (0.5, 0.5), far_off(OWN["usual"], 9, 0), by_slot={"*": [1.0, 0.0]})
    assert largest_difference(found, one) < 1e-5


def test_words_for_the_rules():
    assert [find_rule(word) for word in (True, False, "parents", "batch", "none")] == [
        "parents",
        None,
        "parents",
        "batch",
        None,
    ]
    with pytest.raises(UsageError, match=r"not set right by 'mean'.*Choose one of parents, batch, none"):
        find_rule("mean")


def test_the_commands_take_the_rule(tmp_path, capsys):
    like = OWN["usual"]
    runner = computer(like)
    files = [str(save(tmp_path / f"{k}.safetensors", random_tensors(runner.skeleton, k))) for k in range(2)]
    asked = far_off(like, 60, 0)
    np.savez(tmp_path / "x.npz", inputs=asked.inputs[0].numpy(), targets=np.zeros(60, np.int64))
    usual = ["merge", *files, "--like", like, "--data", str(tmp_path / "x.npz"), "--anyway", "--force", "--json"]
    found, out = {}, tmp_path / "m.safetensors"
    for flags in ((), ("--mend", "parents"), ("--mend", "batch"), ("--mend", "none"), ("--no-mend",)):
        assert main([*usual, *flags, "-o", str(out)]) in (0, 3, 4)
        found[flags] = json.loads(capsys.readouterr().out)["mended"], load_file(out)["norms.0.running_var"]
    assert found[()][0] == "BatchNorm statistics (as behind the parents') and channels of 3 layers"
    assert torch.equal(found[()][1], found["--mend", "parents"][1])
    assert found["--mend", "none"][0] == found["--no-mend",][0] == "nothing"
    assert torch.equal(found["--mend", "none"][1], found["--no-mend",][1])
    assert not torch.equal(found["--mend", "batch"][1], found[()][1])
    assert main([*usual, "--mend", "mean"]) == 2
    assert "Choose one of parents, batch, none" in capsys.readouterr().out
    curves = path(*files, like=like, data=tmp_path / "x.npz", places=3, mend="none").curves
    assert set(curves) == {"naive", "aligned"}
    np.savez(tmp_path / "one.npz", inputs=np.zeros((1, 3, 9), np.float32))
    merge(files, like=like, data=tmp_path / "one.npz")  # nine positions have a variance
    np.savez(tmp_path / "point.npz", inputs=np.zeros((1, 3, 1), np.float32))
    with pytest.raises(TableError, match="one row has no variance"):
        merge(files, like=like, data=tmp_path / "point.npz")
