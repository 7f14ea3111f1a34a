from types import SimpleNamespace

import pytest
import torch
from recorded_nets import bert_scene, mlp_scene

from reknit.errors import PileError
from reknit.wiring import output_placement, output_search
from reknit.wiring.exchanges import exchanged
from reknit.wiring.output_placement import place
from reknit.wiring.pools import Pool
from reknit.wiring.rivals import moved


def wrong(scene, found):
    """Slots that hold another tensor than in truth, and that the proof does not list as free."""
    free = {slot for group in found.proof.free for slot in group}
    return [slot for slot, name in scene.truth.items() if found.placement[slot] != name and slot not in free]


@pytest.mark.parametrize("seed", range(4))
def test_vectors_of_a_residual_mlp(seed):
    scene = mlp_scene(seed)
    found = place(*scene.arguments(), seed=seed)
    assert found.placement == scene.truth
    assert found.proof.verdict == "exact"
    assert found.stages[0].name == "given"


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), 2])  # 1: the first attempt fails
def test_vectors_of_a_transformer_but_for_the_biases_of_keys(seed):
    scene = bert_scene(seed)
    found = place(*scene.arguments(), seed=seed)
    assert wrong(scene, found) == []
    assert found.proof.verdict == "ambiguous"
    (free,) = found.proof.free
    assert free == tuple(f"encoder.layer.{k}.attention.self.key.bias" for k in range(3))
    assert all(one.leaves_function for one in found.proof.undecided)
    assert "3 slots (encoder.layer.*.attention.self.key.bias) leave the function as it is" in found.proof.reason


def test_few_arrangements_are_all_tried_and_more_are_searched():
    for blocks, tried in ((2, True), (3, False)):
        scene = mlp_scene(0, blocks=blocks)
        found = place(*scene.arguments())
        assert found.placement == scene.truth
        assert ("all arrangements" in {stage.name for stage in found.stages}) == tried


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_a_record_behind_a_link(link):
    scene = mlp_scene(3)
    scene.outputs = scene.outputs.softmax(1) if link == "softmax" else scene.outputs.sigmoid()
    found = place(*scene.arguments())
    if link == "softmax":  # what the last bias adds to all answers alike is lost, but nothing else
        assert found.proof.verdict == "exact"
    assert found.placement == scene.truth


def test_a_module_on_the_meta_device_finds_all_its_tensors_in_the_pile():
    scene = mlp_scene(1)
    for key, value in scene.module.state_dict().items():
        if key not in scene.truth:
            name = f"matrix of {key}"
            scene.tensors[name] = value.clone()
            scene.placement[key] = name
    found = place(scene.module.to("meta"), *scene.arguments()[1:])
    assert {slot: found.placement[slot] for slot in scene.truth} == scene.truth


def test_what_is_certain_is_not_touched_while_the_rest_may_be_wrong(monkeypatch):
    monkeypatch.setattr("reknit.wiring.output_placement.CERTAIN_SHARE", 1.0)
    scene = mlp_scene(0)
    kept = next(slot for slot in scene.truth if scene.truth[slot] != scene.placement[slot])
    scene.certain = {kept}
    found = place(*scene.arguments(), budget=0)
    assert found.placement[kept] == scene.placement[kept]
    assert found.proof.verdict == "failed"


def test_what_is_certain_and_wrong_is_opened_again():
    scene = mlp_scene(0)
    scene.certain = {next(slot for slot in scene.truth if scene.truth[slot] != scene.placement[slot])}
    found = place(*scene.arguments())
    assert found.placement == scene.truth
    assert found.proof.verdict == "exact"


def test_a_rival_placement_takes_its_vectors_along(monkeypatch):
    scene = mlp_scene(0, most_axes=2)
    ways = [[f"blocks.{k}.{part}" for part in ("inp.weight", "inp.bias", "out.weight", "out.bias")] for k in range(3)]
    move = exchanged({slot: slot for k in (0, 2) for slot in ways[k]}, zip(ways[0], ways[2], strict=True))
    scene.placement = moved(scene.truth, move)
    scene.certain = set()
    believed = {slot: {name: 1.0} for slot, name in scene.placement.items()}  # all of it belongs together, elsewhere
    monkeypatch.setattr("reknit.wiring.output_search.ATTEMPTS", ((64, True),))
    found = place(*scene.arguments(), beliefs=believed, rivals=[move])
    assert "rival" in [stage.name for stage in found.stages]
    assert found.placement == scene.truth


def test_beliefs_are_asked_again_around_other_matrices():
    scene = mlp_scene(1, most_axes=2)
    pair = ("blocks.0.inp.weight", "blocks.1.inp.weight")
    scene.placement = exchanged(scene.truth, [pair])
    asked = []

    def around(held):
        asked.append(dict(held))
        return {slot: {name: 1.0} for slot, name in scene.truth.items()}

    found = place(*scene.arguments(), rivals=[dict(zip(pair, pair[::-1], strict=True))], around=around)
    assert found.placement == scene.truth
    assert all(held.keys() == scene.truth.keys() for held in asked)


def test_right_placements_are_left_alone():
    scene = mlp_scene(0)
    scene.placement = dict(scene.truth)
    found = place(*scene.arguments())
    assert [stage.name for stage in found.stages] == ["given"]
    assert found.placement == scene.truth


def test_a_nearly_right_placement_is_where_the_search_starts(monkeypatch):
    monkeypatch.setattr("reknit.wiring.output_search.ATTEMPTS", ((300, True),))
    monkeypatch.setattr("reknit.wiring.output_rounds.FIRST_NOISE", 1e12)  # rounds that learn nothing
    scene = bert_scene(0)
    scene.placement = exchanged(scene.truth, [[f"encoder.layer.{k}.output.dense.bias" for k in (0, 1)]])
    given, *rest = place(*scene.arguments()).stages
    assert given.error < 0.1
    assert all(stage.error <= given.error for stage in rest)


def test_beliefs_are_a_start_and_may_be_wrong():
    scene = mlp_scene(2)
    sure = {slot: {name: 1.0} for slot, name in scene.truth.items()}
    by_pool = scene.pools[0].slots[:2]
    sure[by_pool[0]], sure[by_pool[1]] = sure[by_pool[1]], sure[by_pool[0]]
    doubt = {
        slot: {name: 0.5 + 0.5 * weights.get(name, 0.0) for name in scene.tensors} for slot, weights in sure.items()
    }
    found = place(*scene.arguments(), beliefs=doubt)
    assert found.placement == scene.truth


def test_matrices_that_were_exchanged_are_put_back():
    scene = mlp_scene(0, most_axes=2)
    ladders = [[[f"blocks.{k}.inp.weight", f"blocks.{k}.out.weight"] for k in range(3)]]
    scene.placement = exchanged(scene.truth, zip(*(ladders[0][k] for k in (0, 2)), strict=True))
    scene.certain = {slot for slot in scene.truth if not slot.endswith(("inp.weight", "out.weight"))}
    found = place(*scene.arguments(), ladders=ladders)
    assert found.placement == scene.truth
    assert found.proof.verdict == "exact"


def test_large_matrices_are_exchanged_while_vectors_are_mixed(monkeypatch):
    monkeypatch.setattr("reknit.wiring.output_placement.MIXABLE", 100)
    scene = mlp_scene(1, most_axes=2)
    matrices = {slot: name for slot, name in scene.truth.items() if slot.endswith(("inp.weight", "out.weight"))}
    scene.placement.update(exchanged(matrices, [("blocks.0.inp.weight", "blocks.1.inp.weight")]))
    found = place(*scene.arguments())
    assert found.placement == scene.truth
    assert "exchange" in [stage.name for stage in found.stages]


def test_outputs_of_another_network_fail():
    scene = mlp_scene(0)
    scene.outputs = scene.outputs.flip(0)
    found = place(*scene.arguments(), budget=0.5)
    assert found.proof.verdict == "failed"
    assert "times what rounding explains" in found.proof.reason


@pytest.mark.parametrize("seed", [2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (0, 1, 3))])
def test_labels_find_the_placement_and_claim_no_more_than_labels(seed):
    scene = mlp_scene(seed, inputs=200)
    scene.outputs = scene.outputs.argmax(1)
    found = place(*scene.arguments(), seed=seed)
    assert found.placement == scene.truth
    assert found.proof.verdict == "consistent"
    assert "all 200 recorded labels are reproduced" in found.proof.reason
    assert "numbers behind them were not recorded" in found.proof.reason


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s.pools.append(Pool(("blocks.0.norm.bias",), ())), "1 slots but 0 tensors"),
        (lambda s: s.placement.pop("blocks.0.norm.bias"), "blocks.0.norm.bias holds no tensor"),
        (lambda s: s.placement.update({"blocks.0.norm.bias": "other"}), "does not use every tensor of the pool once"),
        (lambda s: s.tensors.update({s.pools[0].tensors[0]: torch.zeros(3)}), r"several shapes: \[\(3,\), \(12,\)\]"),
    ],
)
def test_pools_that_do_not_fit_are_refused(change, sentence):
    scene = mlp_scene(0)
    change(scene)
    with pytest.raises(PileError, match=sentence):
        place(*scene.arguments())


@pytest.mark.parametrize(("errors", "kept"), [((0.2, 0.5), "first"), ((0.5, 0.2), "second")])
def test_of_two_searches_that_both_fail_the_better_end_is_kept(monkeypatch, errors, kept):
    ends = dict(zip(("first", "second"), errors, strict=True))
    first, second = (SimpleNamespace(stages=[name], placement=name, error=ends.__getitem__) for name in ends)
    monkeypatch.setattr(output_placement, "run", lambda _: False)
    assert output_placement._opened(first, second).placement == kept
    assert second.stages == ["first"]
    monkeypatch.setattr(output_placement, "run", lambda _: True)  # what was found stays
    second.placement = "second"
    assert output_placement._opened(first, second).placement == "second"


def test_a_mixture_that_leaves_the_answer_undefined_is_no_start():
    for mixed, start in ((float("inf"), 2.0), (1.5, 1.5)):
        recording = SimpleNamespace(error=lambda _, mixed=mixed: mixed)
        search = SimpleNamespace(priors=[], mixed=[], recording=recording, filled=lambda _: {})
        assert output_search._start(search, 2.0).error == start


@pytest.mark.parametrize("most", [2000, 0])
def test_whole_numbers_are_exchanged_and_never_mixed(monkeypatch, most):
    monkeypatch.setattr(output_search, "MOST", most)  # 0: searched, not enumerated

    class Indexed(torch.nn.Module):
        """A network whose inputs and answers are put in other orders."""

        def __init__(self, module):
            super().__init__()
            self.whole = module
            for name in ("first", "second"):
                self.register_buffer(name, torch.arange(12))

        def forward(self, x):
            return self.whole(x[:, self.first] + 2 * x[:, self.second])

    scene = mlp_scene(0, blocks=2)
    module = Indexed(scene.module).eval()
    tensors = {"a": torch.arange(12).flip(0), "b": torch.arange(12).roll(3)}
    tensors |= {"c": torch.full((12,), 0.5), "d": torch.linspace(0, 1, 12)}
    slots = ("whole.blocks.0.norm.bias", "whole.blocks.1.norm.bias")
    truth = {"first": "a", "second": "b", slots[0]: "c", slots[1]: "d"}
    pools = [Pool(("first", "second"), ("a", "b")), Pool(slots, ("c", "d"))]
    values = {slot: tensors[name] for slot, name in truth.items()}
    outputs = torch.func.functional_call(module, {**module.state_dict(), **values}, scene.inputs)
    wrong_way = {"first": "b", "second": "a", slots[0]: "d", slots[1]: "c"}
    found = place(module, pools, tensors, wrong_way, set(), scene.inputs, outputs)
    assert (found.placement, found.proof.verdict) == (truth, "exact")
