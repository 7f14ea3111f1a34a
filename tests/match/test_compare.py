"""``compare``: copies in any basis are the same, what should be symmetric is, what was stored is enough, and words."""

import json
import re

import numpy as np
import pytest
import torch

from match.matched_nets import LIKES, computer, random_tensors, samples, save, traced
from reknit import compare
from reknit.cli import main
from reknit.errors import ContainerError, InputError, OutputError, TableError, UsageError
from reknit.match.answers_apart import answers_apart
from reknit.match.laftr import outputs
from reknit.match.relu_chain import relu_chain
from reknit.match.samples import Samples
from reknit.match.site_by_site import CkaMatrix, site_by_site
from reknit.skeleton.symmetry import Symmetry

MLP = LIKES["mlp"]


@pytest.fixture
def nets(tmp_path):
    """Two random MLPs, the first in another basis, and data."""
    _, skeleton = traced(MLP)
    one, other = random_tensors(skeleton, 0), random_tensors(skeleton, 1)
    moved = Symmetry.random(skeleton, np.random.default_rng(2)).apply(one)
    np.savez(tmp_path / "data.npz", inputs=samples(MLP, 200).inputs[0].numpy())
    files = {"one": one, "moved": moved, "other": other}
    return {name: save(tmp_path / f"{name}.safetensors", each) for name, each in files.items()}, tmp_path / "data.npz"


@pytest.mark.parametrize("name", ["one", "moved"])
def test_a_copy_in_any_basis_is_the_same(nets, name):
    files, data = nets
    found = compare(files["one"], files[name], like=MLP, data=data)
    assert found.answers[0].distance.value == found.answers[0].distance.high == 0
    assert found.answers[0].same.value == 1
    assert found.as_json()["estimate"]["estimate_over_true"]["before"] is None
    assert found.answers[0].divergence.value == pytest.approx(0, abs=1e-12)
    assert found.estimate.after == pytest.approx(0, abs=1e-9)
    for site in found.representations.sites:
        assert (site.cka.value, site.cka.low) == pytest.approx((1, 1))
        assert site.cca.value == pytest.approx(1)
        assert site.leading.agreement == pytest.approx(1)
        assert site.leading.after == pytest.approx(0, abs=1e-6)
        assert site.leading.radius is None if site.units == 4 else site.leading.radius > 0
    assert found.representations.matrix.found == (5, 5)
    assert (found.distance[1], found.directions[1]) == pytest.approx((0, 1))
    as_it_is = (
        found.distance[0],
        found.directions[0],
        found.estimate.before,
        found.representations.sites[0].leading.before,
    )
    if name == "one":
        assert as_it_is == pytest.approx((0, 1, 0, 0), abs=1e-6)
    else:
        assert as_it_is[0] > 1
        assert as_it_is[1] < 0.5
        assert min(as_it_is[2:]) > 0.5


def test_nothing_but_the_estimate_and_the_regions_depends_on_which_is_first(nets):
    files, data = nets
    here, there = (
        compare(*pair, like=MLP, data=data) for pair in ([files["one"], files["other"]], [files["other"], files["one"]])
    )
    assert here.answers == there.answers
    for a, b in zip(here.representations.sites, there.representations.sites, strict=True):
        assert (a.cka.value, a.cka.low, a.cka.high) == pytest.approx((b.cka.value, b.cka.low, b.cka.high))
        assert (a.cca.value, a.leading.agreement) == pytest.approx((b.cca.value, b.leading.agreement))
        assert a.leading.before == pytest.approx(b.leading.before)
    np.testing.assert_allclose(here.representations.matrix.values, there.representations.matrix.values.T, atol=1e-6)
    assert [each.distance for each in here.before] == pytest.approx([each.distance for each in there.before])


def test_the_diagonal_of_the_matrix_is_the_cka_of_counterparts(nets):
    files, data = nets
    found = compare(files["one"], files["other"], like=MLP, data=data, method="none").representations
    assert np.diag(found.matrix.values) == pytest.approx([site.cka.value for site in found.sites], abs=1e-5)
    assert found.matrix.names == tuple(site.name for site in found.sites)


def test_margins_are_over_the_best_of_row_and_column():
    matrix = CkaMatrix(("a", "b", "c"), np.array([[0.9, 0.2, np.nan], [0.5, 0.4, np.nan], [np.nan, np.nan, 0.3]]))
    np.testing.assert_allclose(matrix.margins, [0.4, -0.1, np.nan])
    assert matrix.found == (1, 2)


def test_the_distance_is_that_of_answers_and_the_estimate_that_of_stored_numbers(nets, tmp_path):
    files, data = nets
    kept = tmp_path / "gates.safetensors"
    found = compare(files["one"], files["other"], like=MLP, data=data, store=kept)
    chain = relu_chain(traced(MLP)[1])
    x = np.load(data)["inputs"]
    layers = [chain(random_tensors(traced(MLP)[1], seed)) for seed in (0, 1)]
    squares = np.square(outputs(layers[0], x) - outputs(layers[1], x)).sum(1)
    distance = found.answers[0].distance
    assert distance.value == found.true == pytest.approx(squares.mean())
    assert distance.low < squares.mean() < distance.high
    assert distance.high - distance.low == pytest.approx(2 * 1.96 * squares.std() / np.sqrt(len(x)), rel=0.15)
    assert found.answers[0].share == pytest.approx(
        squares.mean() / sum(outputs(each, x).var(0).sum() for each in layers)
    )
    assert found.estimate.written
    later = compare(files["one"], files["other"], like=MLP, store=kept)
    assert not later.answers
    assert later.representations is None
    assert (later.estimate.before, later.estimate.after) == (found.estimate.before, found.estimate.after)
    assert later.estimate.numbers == 50
    assert later.estimate.spread == pytest.approx(outputs(layers[0], x).var(0).sum())
    assert found.as_json()["estimate"]["estimate_over_true"]["after"] == found.estimate.after / found.true
    assert later.as_json()["estimate"]["estimate_over_true"]["after"] is None


def test_what_is_stored_is_read_where_it_is_there_and_replaced_by_force(nets, tmp_path):
    files, data = nets
    kept = tmp_path / "gates.safetensors"
    compare(files["one"], files["other"], like=MLP, data=data, store=kept, method="none")
    np.savez(tmp_path / "more.npz", inputs=samples(MLP, 30).inputs[0].numpy())
    again = compare(files["one"], files["other"], like=MLP, data=tmp_path / "more.npz", store=kept, method="none")
    assert (again.estimate.rows, again.rows, again.estimate.written) == (200, 30, False)
    forced = compare(
        files["one"], files["other"], like=MLP, data=tmp_path / "more.npz", store=kept, method="none", force=True
    )
    assert (forced.estimate.rows, forced.estimate.written) == (30, True)
    with pytest.raises(InputError, match="holds the statistics of another network"):
        compare(files["moved"], files["other"], like=MLP, store=kept)
    with pytest.raises(UsageError, match=r"there is nothing stored yet\. Give the first network's inputs with --data"):
        compare(files["one"], files["other"], like=MLP, store=tmp_path / "none")
    with pytest.raises(InputError, match="holds no statistics of a network's units"):
        compare(files["one"], files["other"], like=MLP, store=save(tmp_path / "x", {"a": np.zeros(3)}))
    (tmp_path / "y").write_bytes(b"no container")
    with pytest.raises(ContainerError):
        compare(files["one"], files["other"], like=MLP, store=tmp_path / "y")
    with pytest.raises(UsageError, match="one of the inputs"):
        compare(files["one"], files["other"], like=MLP, data=data, store=files["one"], force=True)


def test_a_decoder_has_no_estimate_and_says_why(tmp_path):
    like = LIKES["gpt2"]
    _, skeleton = traced(like)
    files = [save(tmp_path / f"{seed}.safetensors", random_tensors(skeleton, seed)) for seed in (0, 1)]
    np.savez(tmp_path / "data.npz", inputs=samples(like, 25).inputs[0].numpy())
    found = compare(*files, like=like, data=tmp_path / "data.npz", method="none")
    assert found.estimate is None
    assert found.no_estimate.endswith("wte is embedding. LAFTR is for plain chains of linear layers with ReLU.")
    assert found.after == ()
    assert found.answers[0].same.value < 0.5
    assert all(site.positions > 1 for site in found.representations.sites)
    assert found.representations.notes == (
        "1 site is the same whatever the rows, as a table of positions, and left out",
    )
    with pytest.raises(InputError, match="wte is embedding"):
        compare(*files, like=like, data=tmp_path / "data.npz", store=tmp_path / "gates")


def odd(name, tmp_path, rows=30, **options):
    like = f"match.odd_modules:{name}"
    _, skeleton = traced(like)
    files = [save(tmp_path / f"{seed}.safetensors", random_tensors(skeleton, seed)) for seed in (0, 1)]
    np.savez(tmp_path / "data.npz", inputs=np.random.default_rng(0).normal(size=(rows, 8)).astype(np.float32))
    return compare(*files, like=like, data=tmp_path / "data.npz", method="none", **options)


def test_several_answers_are_compared_one_by_one(tmp_path):
    found = odd("two", tmp_path)
    assert [each.name for each in found.answers] == ["answer 1", "answer 2"]
    assert found.answers[1].distance.value == 0
    assert found.answers[1].share is None
    assert "does not answer one tensor of numbers" in found.no_estimate


def test_masks_say_nothing_and_whole_numbers_are_equal_or_not(tmp_path):
    plain, masked, ids = (odd(name, tmp_path).answers[0] for name in ("plain", "infinite", "ids"))
    assert masked.distance == plain.distance
    assert masked.divergence == plain.divergence
    assert ids.distance is None
    assert ids.same.value == plain.same.value


def test_answers_are_read_as_they_are_told(tmp_path):
    assert odd("one_output", tmp_path).answers[0].same is None
    assert odd("plain", tmp_path, answers="numbers").answers[0].same is None
    with pytest.raises(UsageError, match=r"answers are not read as 'words'\. Choose one of classes, numbers"):
        odd("plain", tmp_path, answers="words")


def test_divergence_does_not_see_what_all_logits_have_in_common():
    runner = computer(MLP)
    one = random_tensors(runner.skeleton, 0)
    other = {**one, "layers.2.bias": one["layers.2.bias"] + 3}
    found = answers_apart(runner, one, other, samples(MLP, 30))[0]
    assert found.divergence.value == pytest.approx(0, abs=1e-12)
    assert found.distance.value == pytest.approx(9 * 4, rel=1e-5)
    far = answers_apart(runner, one, {**one, "layers.2.bias": np.float32([1e4, 0, 0, 0])}, samples(MLP, 30))[0]
    assert far.divergence.value <= np.log(2)


def test_modules_that_cannot_be_compared_are_refused_in_words(tmp_path):
    with pytest.raises(InputError, match=r"answers the same inputs differently\. Switch off dropout"):
        odd("dropout", tmp_path)
    with pytest.raises(TableError, match="answers one number for all rows"):
        odd("scalar", tmp_path)


def test_one_row_and_few_rows(tmp_path):
    one = odd("plain", tmp_path, rows=1)
    assert one.no_representations == "one row tells of no variation; give more with --data."
    assert np.isnan(one.answers[0].distance.low)
    few = odd("plain", tmp_path, rows=3).representations.sites[0]
    assert few.cka is None
    assert few.cca.value is None
    assert json.loads(json.dumps(odd("plain", tmp_path, rows=12).representations.sites[0].cca.as_json()))["reason"]


def test_repeated_rows_are_told(nets, tmp_path):
    files, data = nets
    x = np.load(data)["inputs"]
    np.savez(tmp_path / "twice.npz", inputs=np.concatenate([x[:30], x[:20]]))
    found = compare(files["one"], files["other"], like=MLP, data=tmp_path / "twice.npz", method="none")
    assert found.notes == ("20 of 50 rows are repeated: intervals take them for new ones",)
    assert compare(files["one"], files["other"], like=MLP, data=data, method="none").notes == ()


def test_rows_are_what_intervals_are_over_not_positions():
    """A sequence repeated four times tells no more than once."""
    runner = computer("match.odd_modules:rows_first")
    first, second = (random_tensors(runner.skeleton, seed) for seed in (0, 1))
    x = torch.randn(40, 4, 3, generator=torch.Generator().manual_seed(0))
    once, again = (site_by_site(runner, first, second, None, Samples((x.repeat(1, k, 1),))) for k in (1, 4))
    for a, b in zip(once.sites, again.sites, strict=True):
        assert b.positions == 4 * a.positions
        assert b.cka.value == pytest.approx(a.cka.value, abs=0.02)
        assert b.cka.high - b.cka.low == pytest.approx(a.cka.high - a.cka.low, rel=0.1)
        assert b.leading.radius == pytest.approx(a.leading.radius)
    distances = [answers_apart(runner, first, second, Samples((x.repeat(1, k, 1),)))[0] for k in (1, 4)]
    assert distances[1].distance.value == pytest.approx(4 * distances[0].distance.value)
    assert distances[1].same == distances[0].same


def test_the_command_prints_draws_and_keeps(nets, tmp_path, capsys):
    files, data = nets
    options = ["compare", str(files["one"]), str(files["moved"]), "--like", MLP, "--data", str(data)]
    page = tmp_path / "page.html"
    assert main([*options, "--report", str(page)]) == 0
    out = capsys.readouterr().out
    assert "5 of 5 are most like their own counterpart by CKA" in out
    assert re.search(r"^weights +distance 1\.\d+, aligned 0 ", out, re.MULTILINE)
    assert "from 50 stored numbers" in out
    drawn = page.read_text(encoding="utf-8")
    assert "How alike two networks are" in drawn
    assert "its own counterpart" in drawn
    assert "within the region, aligned" in drawn
    assert main([*options, "--report", str(page)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["representations"]["matrix"]["cka"][0][0] == pytest.approx(1)
    assert found["weights"]["tensors"][0]["distance"][1] == 0
    assert (
        main(["compare", str(files["one"]), str(files["other"]), "--like", MLP, "--report", str(tmp_path / "w.html")])
        == 0
    )
    out = capsys.readouterr().out
    assert "not compared: there are no inputs" in out
    assert "give some with --data" in (tmp_path / "w.html").read_text(encoding="utf-8")
    assert main(["compare", str(files["one"]), str(files["other"]), "--like", MLP, "--method", "guess"]) == 2


def test_a_page_is_not_written_over_an_input(nets):
    files, data = nets
    with pytest.raises(OutputError, match="exists already"):
        compare(files["one"], files["other"], like=MLP, data=data, report=__file__)
    with pytest.raises(UsageError, match="never changed"):
        compare(files["one"], files["other"], like=MLP, data=data, report=data, force=True)
