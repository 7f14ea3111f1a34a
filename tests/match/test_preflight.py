"""What is foreseen and measured of a merge, and the margin that ``should work`` keeps."""

import json
from dataclasses import replace
from importlib.resources import files as resources

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from match.matched_nets import computer, random_tensors, samples, save
from reknit import merge
from reknit.match.excess import by_labels, expected
from reknit.match.foresight_margin import from_json, learned_margin, outlook_of
from reknit.match.judging import Interval, bootstrapped
from reknit.match.preflight import foreseen_excess, preflight
from reknit.match.samples import Samples
from strategies import seeds

MLP, ROWS = "mlp:sizes=12-30-20-4", 400
HALF = (0.5, 0.5)
intervals = st.tuples(*[st.floats(-1, 3)] * 3).map(sorted).map(lambda ends: Interval(ends[1], ends[0], ends[2]))
factors = st.floats(1, 10)


@given(barrier=intervals, bearable=st.floats(0.001, 1), pair=st.tuples(factors, factors).map(sorted))
def test_a_larger_factor_only_turns_should_work_into_cannot_say(barrier, bearable, pair):
    smaller, larger = (outlook_of(barrier, bearable, factor) for factor in pair)
    plain = outlook_of(barrier, bearable)
    assert (smaller == "should not work") == (larger == "should not work") == (barrier.low > bearable)
    if larger == "should work":
        assert smaller == plain == "should work"
        assert barrier.high <= bearable
    if plain != "should work":
        assert smaller == larger == plain


def test_the_margin_that_comes_with_reknit_says_what_it_was_learned_from():
    margin = learned_margin()
    stored = json.loads(resources("reknit.match").joinpath("foresight_margin.json").read_text())
    assert from_json(stored) == margin
    assert margin.foreseen >= 1
    assert margin.measured >= 1
    assert (margin.risk, margin.confidence) == (0.05, 0.95)
    assert sum(margin.source.values()) >= 59  # fewer show no share below 5 %, not even if none is wrong
    assert not {"mlp-64", "mlp-128", "mlp-256", "resnet-8", "resnet-16", "resnet-32"} & set(margin.source)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, positions=st.integers(1, 4), reading=st.sampled_from(["classes", "numbers"]))
def test_positions_of_a_row_that_say_the_same_make_no_interval_narrower(seed, positions, reading):
    generator = torch.Generator().manual_seed(seed)
    middle, *ends = torch.randn(3, 40, 1, 5, generator=generator, dtype=torch.float64)
    targets = torch.randint(5, (40, 1), generator=generator)
    if reading == "numbers":
        targets = torch.randn(40, 1, 5, generator=generator, dtype=torch.float64)

    def longer(each):
        return each.repeat_interleave(positions, dim=1)

    for found in (
        lambda change: expected(change(middle), [change(end) for end in ends], HALF, reading),
        lambda change: by_labels(change(middle), [change(end) for end in ends], HALF, reading, change(targets)),
    ):
        one, many = (bootstrapped(found(change)[None]) for change in (lambda each: each, longer))
        assert many.as_json() == pytest.approx(one.as_json())


def test_with_labels_the_excess_loss_is_torchs():
    generator = torch.Generator().manual_seed(0)
    middle, *ends = torch.randn(3, 30, 6, 5, generator=generator, dtype=torch.float64)
    targets = torch.randint(5, (30, 6), generator=generator)
    targets[0] = -100
    targets[1, :5] = -100

    def loss(each):
        own = nn.functional.cross_entropy(each.movedim(-1, 1), targets, reduction="none", ignore_index=-100)
        return own.sum(1)[1:] / (targets != -100).sum(1)[1:]

    found = by_labels(middle, ends, (0.3, 0.7), "classes", targets)
    assert found.shape == (29,)
    np.testing.assert_allclose(found, loss(middle) - 0.3 * loss(ends[0]) - 0.7 * loss(ends[1]))


@pytest.fixture(scope="module")
def biased():
    """Two networks that err together and are sure of it: foreseen is less than bearable, what happens is more."""
    runner = computer(MLP)
    one = random_tensors(runner.skeleton, 0)
    one["layers.2.weight"] *= 6
    asked = Samples(samples(MLP, ROWS).inputs)
    rng = np.random.default_rng(1)
    noise = {key: rng.normal(size=value.shape).astype(np.float32) * np.std(value) for key, value in one.items()}

    def changed(size):
        return {key: value + np.float32(size) * noise[key] for key, value in one.items()}

    parents = one, changed(0.01)

    def foreseen(size):
        return foreseen_excess(runner, changed(size), parents, HALF, asked)[0].mean()

    merged = changed(next(size for size in np.geomspace(0.05, 1, 60) if foreseen(size) > 0.07))
    answers = [runner.answers(each, asked)[0].double().log_softmax(1) for each in (merged, *parents)]
    excess = (answers[1] + answers[2]) / 2 - answers[0]
    # the label of every third row is the one for which merging costs most
    agreed = (answers[1] + answers[2]).argmax(1)
    targets = torch.where(torch.arange(ROWS) % 3 == 0, excess.argmax(1), agreed)
    return runner, merged, parents, Samples(asked.inputs, targets)


def test_a_network_whose_foresight_is_too_low_is_no_longer_said_to_work(biased, monkeypatch):
    runner, merged, parents, asked = biased
    alone = replace(asked, targets=None)
    found = preflight(runner, merged, parents, HALF, alone)
    assert found.barrier.high <= 0.1
    assert found.outlook == "cannot say"
    assert "is below 0.1, but not by the factor" in found.reason
    assert found.measured is None
    assert found.as_json()["measured"] is None
    truth = by_labels(*_answers(biased), HALF, "classes", asked.targets)
    assert bootstrapped(truth[None]).low > 0.1
    sure = replace(learned_margin(), foreseen=1.0)
    monkeypatch.setattr("reknit.match.preflight.learned_margin", lambda: sure)
    assert preflight(runner, merged, parents, HALF, alone).outlook == "should work"


def _answers(biased):
    runner, merged, parents, asked = biased
    middle, *ends = (runner.answers(each, asked)[0].double() for each in (merged, *parents))
    return middle, ends


def test_labels_decide_where_there_are_any(biased):
    runner, merged, parents, asked = biased
    found = preflight(runner, merged, parents, HALF, asked)
    assert found.outlook == "should not work"
    assert found.measured == bootstrapped(by_labels(*_answers(biased), HALF, "classes", asked.targets)[None])
    assert found.reason.startswith(f"the measured excess loss, {found.measured.value:.3g} (")
    assert "without them" in found.reason
    assert found.barrier == preflight(runner, merged, parents, HALF, replace(asked, targets=None)).barrier
    middle, ends = _answers(biased)
    easy = Samples(asked.inputs, (middle.log_softmax(1) - sum(end.log_softmax(1) for end in ends) / 2).argmax(1))
    assert preflight(runner, merged, parents, HALF, easy).outlook == "should work"


@pytest.mark.parametrize(
    ("change", "unusable", "words"),
    [
        (lambda t: t, "they were trained on", "they were trained on"),
        (lambda t: torch.where(torch.arange(ROWS) < 19, t, -100), "", "19 rows have a label, fewer than 20"),
        (lambda t: t + 4, "", "a class is not among the 4 that are answered"),
        (lambda t: t[:, None].repeat(1, 9), "", "they have the shape"),
    ],
)
def test_labels_that_cannot_be_used_leave_what_is_foreseen(biased, change, unusable, words):
    runner, merged, parents, asked = biased
    found = preflight(runner, merged, parents, HALF, replace(asked, targets=change(asked.targets)), unusable=unusable)
    alone = preflight(runner, merged, parents, HALF, replace(asked, targets=None))
    assert (found.outlook, found.barrier, found.measured) == (alone.outlook, alone.barrier, None)
    assert found.reason.startswith(f"{alone.reason}; not measured with the targets: {words}")


def test_targets_are_measured_on_rows_that_the_mending_has_not_seen(tmp_path):
    one = random_tensors(computer(MLP).skeleton, 0)
    nets = [save(tmp_path / "a.safetensors", one)]
    nets.append(save(tmp_path / "b.safetensors", {key: value * np.float32(1.01) for key, value in one.items()}))
    asked = Samples(samples(MLP, 60).inputs)
    targets = computer(MLP).answers(one, asked)[0].argmax(1)

    def merged(rows, labels=True, **options):
        arrays = {"inputs": asked.inputs[0][:rows].numpy()} | ({"targets": targets[:rows].numpy()} if labels else {})
        np.savez(tmp_path / "x.npz", **arrays)
        return merge(nets, like=MLP, data=tmp_path / "x.npz", **options)

    found = merged(60)
    assert "on 30 rows with their targets" in found.reason
    assert found.as_json()["preflight"]["measured"]["value"] == found.preflight.measured.value
    alone = merged(60, labels=False)
    assert alone.preflight.barrier == found.preflight.barrier
    assert all(np.array_equal(alone.tensors[key], value) for key, value in found.tensors.items())
    assert "not measured with the targets: all rows were mended on" in merged(30).reason
    assert "on 30 rows with their targets" in merged(30, mend=False).reason
    assert "not measured with the targets: they were trained on" in merged(60, star=1).reason
    for numbers in (True, False):
        np.savez(tmp_path / "y.npz", inputs=asked.inputs[0].numpy(), targets=targets.numpy() * (1.0 if numbers else 1))
        answers = "classes" if numbers else "numbers"
        found = merge(nets, like=MLP, data=tmp_path / "y.npz", answers=answers)
        assert f"the answers read as {answers}" in found.reason
