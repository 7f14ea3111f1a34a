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
from reknit.match.losses import row_losses
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


@pytest.mark.parametrize("change", [lambda t: t - 1, lambda t: nn.functional.one_hot(t, 4)])
def test_with_targets_that_do_not_fit_nothing_is_said_to_work_unless_the_reading_is_told(biased, change):
    """Classes that start at -1, and several labels a row, where answers are no classes."""
    runner, _, parents, asked = biased
    wrong = replace(asked, targets=change(asked.targets))
    assert preflight(runner, parents[0], parents, HALF, replace(asked, targets=None)).outlook == "should work"
    found = preflight(runner, parents[0], parents, HALF, wrong)
    assert (found.outlook, found.measured) == ("cannot say", None)
    assert "not measured with the targets" in found.reason
    assert found.reason.endswith("; so it is doubtful that the answers are classes, which --answers can tell")
    assert preflight(runner, parents[0], parents, HALF, wrong, answers="classes").outlook == "should work"


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


def test_a_class_that_is_ruled_out_costs_nothing_and_one_that_a_parent_rules_out_alone_is_not_foreseen(biased):
    runner, merged, parents, _ = biased
    middle, ends = _answers(biased)
    out = torch.full_like(middle[:, :1], -torch.inf)
    masked = [torch.cat([each, out], 1) for each in (middle, *ends)]
    assert expected(masked[0], masked[1:], HALF, "classes") == pytest.approx(expected(middle, ends, HALF, "classes"))
    asked = samples(MLP, 40)
    undefined = {**merged, "layers.2.bias": np.full_like(merged["layers.2.bias"], np.nan)}
    found = preflight(runner, undefined, parents, HALF, Samples(asked.inputs))
    assert (found.outlook, found.barrier) == ("cannot say", None)
    assert "of 40 of 40 rows is undefined or infinite" in found.reason


def test_rows_that_are_repeated_are_no_evidence(biased):
    runner, merged, parents, asked = biased
    same = Samples(tuple(each[:1].repeat(60, 1) for each in asked.inputs))
    found = preflight(runner, parents[0], parents, HALF, same)
    assert found.outlook == "cannot say"
    assert found.reason == "60 rows, 1 of them different, foresee nothing; give at least 20"
    some = asked.some(slice(30))
    often = Samples(some.inputs[0].repeat(9, 1).split(270), some.targets.repeat(9))
    once, again = (preflight(runner, merged, parents, HALF, each) for each in (some, often))
    for a, b in ((once.barrier, again.barrier), (once.measured, again.measured)):
        assert b.as_json() == pytest.approx(a.as_json())
    assert "on 270 rows, 30 of them different, with their targets" in again.reason


@given(seed=seeds, rows=st.integers(1, 40))
def test_halves_share_no_input_and_leave_none_out(seed, rows):
    drawn = torch.randint(12, (rows, 1), generator=torch.Generator().manual_seed(seed)).float()
    whole = Samples((drawn,), torch.arange(rows))
    halves = whole.halves(seed)
    assert sorted(torch.cat([each.targets for each in halves]).tolist()) == list(range(rows))
    first, second = ({float(x) for x in each.inputs[0]} for each in halves)
    assert not first & second
    assert len(first) == (rows - whole.repeated) // 2


def test_an_interval_over_many_rows_is_drawn_in_parts(monkeypatch):
    excess = np.random.default_rng(0).normal(size=(2, 50))
    whole = bootstrapped(excess)
    monkeypatch.setattr("reknit.match.judging.AT_ONCE", 120)
    assert bootstrapped(excess).as_json() == pytest.approx(whole.as_json())
    many = np.random.default_rng(1).normal(2, 3, size=(1, 5000))
    many[0].sort()
    monkeypatch.setattr("reknit.match.judging.BLOCKS", 1000)
    monkeypatch.setattr("reknit.match.judging.AT_ONCE", 2**22)
    sizes = []
    rng = np.random.default_rng

    class Counted:
        def __init__(self, seed):
            self.permutation, self.own = rng(seed).permutation, rng(seed)

        def multinomial(self, count, shares, size):
            sizes.append(count)
            return self.own.multinomial(count, shares, size)

    monkeypatch.setattr(np.random, "default_rng", Counted)
    found = bootstrapped(many)
    assert set(sizes) == {1000}
    half = 1.96 * many.std() / np.sqrt(5000)
    assert (found.value, found.high - found.low) == (pytest.approx(many.mean()), pytest.approx(2 * half, rel=0.15))


def test_masks_are_foreseen_by_the_classes_that_the_convolution_writes():
    runner = computer("match.odd_modules:masks")
    merged, *parents = (random_tensors(runner.skeleton, seed) for seed in range(3))
    asked = Samples((torch.randn(30, 2, 5, 4, generator=torch.Generator().manual_seed(0)),))
    middle, *ends = (runner.answers(each, asked)[0].double().movedim(1, -1) for each in (merged, *parents))
    assert foreseen_excess(runner, merged, parents, HALF, asked)[0] == pytest.approx(
        expected(middle, ends, HALF, "classes")
    )
    targets = ends[0].argmax(-1)
    found = preflight(runner, merged, parents, HALF, Samples(asked.inputs, targets))
    assert found.measured == bootstrapped(by_labels(middle, ends, HALF, "classes", targets)[None])


def test_an_answer_that_is_no_number_is_not_right():
    answer = torch.tensor([[torch.nan, 0.0], [1.0, 0.0]])
    found = row_losses(answer, torch.tensor([0, 0]))
    assert found.right.tolist() == [0, 1]
    assert found.loss.isnan().tolist() == [True, False]
