"""Placement by weights alone: planted piles are found, untrained nets give nothing certain, lone slots need nothing."""

import math

import numpy as np
import pytest
from planted_nets import HAND, PLANTED, place_of, planted
from traced_nets import BERT, GPT2, LLAMA, RESIDUAL_MLP, built_in, kernels, numbers, pools_of

from reknit.wiring.designs import design_of
from reknit.wiring.learned import Learned, learned
from reknit.wiring.pools import Pool
from reknit.wiring.weights_placement import CERTAIN, LIKELY_MARGIN, certain_by, place_by_weights

BY_HAND = Learned(HAND, (HAND,), ("by hand",))


def placed(skeleton, tensors, evidence, **options):
    """The placement of a pile whose tensors are called ``of <slot>``."""
    pools = options.pop("pools", None) or pools_of(skeleton)

    def array(name):
        return tensors[name.removeprefix("of ")]

    return place_by_weights(skeleton, pools, array, evidence, **{"starts": 2, **options})


def finite(result):
    return [margin for margin in result.margins.values() if math.isfinite(margin)]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("like", [BERT, GPT2, LLAMA, RESIDUAL_MLP, *PLANTED])
def test_an_untrained_net_gives_nothing_certain_with_the_weights_that_reknit_comes_with(like, seed):
    skeleton = built_in(like)
    result = placed(skeleton, numbers(skeleton, seed), learned(), seed=seed)
    lone = {pool.slots[0] for pool in pools_of(skeleton) if len(pool.slots) == 1}
    assert result.certain == lone
    assert max(finite(result)) < CERTAIN / 2


def test_random_kernels_give_nothing_certain():
    skeleton = kernels()
    result = placed(skeleton, numbers(skeleton), learned())
    assert max(finite(result)) < CERTAIN / 2


@pytest.mark.parametrize("like", PLANTED)
@pytest.mark.parametrize("seed", [0, 5])
def test_a_planted_pile_is_found_by_its_marks(like, seed):
    skeleton = built_in(like)
    result = placed(skeleton, planted(skeleton, seed), BY_HAND, seed=seed, starts=8)
    matrices = [pool for pool in pools_of(skeleton) if len(skeleton[pool.slots[0]].shape) > 1]
    for pool in matrices:
        for slot in pool.slots:
            assert place_of(result.placement[slot]) == f"of {place_of(slot)}"
            alike = place_of(slot) in {place_of(other) for other in pool.slots if other != slot}
            assert (result.margins[slot] == 0) if alike else (result.margins[slot] > 0)
    assert result.climbs[0] == 8
    assert 1 <= result.climbs[1] <= 8


def test_the_names_of_a_planted_pile_and_their_order_do_not_count():
    skeleton = built_in(PLANTED[1])
    tensors = planted(skeleton, 2)
    rng = np.random.default_rng(0)
    mixed = [Pool(pool.slots, tuple(rng.permutation(pool.tensors).tolist())) for pool in pools_of(skeleton)]
    plain, other = placed(skeleton, tensors, BY_HAND), placed(skeleton, tensors, BY_HAND, pools=mixed, seed=4)
    for slot in skeleton.slots:
        if len(slot.shape) > 1:
            assert other.placement[slot.key] == plain.placement[slot.key]
            assert other.margins[slot.key] > 0


def test_every_tensor_is_placed_once_in_a_slot_of_its_shape_and_again_by_the_same_seed():
    skeleton = built_in(BERT)
    result = placed(skeleton, numbers(skeleton), learned(), seed=3)
    assert result == placed(skeleton, numbers(skeleton), learned(), seed=3)
    assert result.placement.keys() == result.margins.keys() == {slot.key for slot in skeleton.slots}
    for pool in pools_of(skeleton):
        assert sorted(result.placement[slot] for slot in pool.slots) == sorted(pool.tensors)


def test_lone_slots_are_certain_and_vectors_never_are():
    skeleton = built_in(RESIDUAL_MLP)
    result = placed(skeleton, numbers(skeleton), learned())
    assert result.margins["head.weight"] == math.inf
    vectors = {f"blocks.{k}.in.bias" for k in range(3)}
    assert vectors <= result.beliefs.keys()
    assert not vectors & result.certain
    assert {result.placement[slot] for slot in vectors} == {f"of {slot}" for slot in vectors}


def test_without_weights_nothing_is_told_apart():
    skeleton = built_in(PLANTED[1])
    nothing = Learned({}, (), ())
    result = placed(skeleton, planted(skeleton), nothing)
    matrices = [slot.key for slot in skeleton.slots if len(slot.shape) > 1]
    assert {result.margins[key] for key in matrices} <= {0.0, math.inf}


@pytest.mark.parametrize("seed", range(3))
def test_where_nothing_is_told_apart_the_true_order_of_a_pile_is_no_help(seed):
    skeleton = built_in(PLANTED[1])
    result = placed(skeleton, planted(skeleton), Learned({}, (), ()), seed=seed)
    for part in ("in", "out"):
        slots = [f"blocks.{k}.{part}.weight" for k in range(5)]
        assert [result.placement[slot] for slot in slots] != [f"of {slot}" for slot in slots]


def test_a_slot_that_no_evidence_speaks_of_has_no_margin_though_its_rivals_are_told_apart():
    skeleton = built_in(PLANTED[1])
    chain = {"gram in>out -1": 1.0, "gram out>out +1": 1.0}  # before the first in there is no out
    result = placed(skeleton, planted(skeleton), Learned(chain, (chain,), ()))
    first, *told = (f"blocks.{k}.{part}.weight" for part in ("in", "out") for k in range(5))
    assert result.margins[first] == 0
    assert min(result.margins[slot] for slot in told) > 0


def test_a_member_of_the_committee_that_is_not_sure_takes_the_margin_down():
    skeleton = built_in(PLANTED[1])
    tensors = planted(skeleton, 1)
    half = {key: weight / 2 for key, weight in HAND.items()}
    sure, less = (placed(skeleton, tensors, Learned(HAND, (member,), ())) for member in (HAND, half))
    slots = [slot.key for slot in skeleton.slots if sure.margins[slot.key] not in (0.0, math.inf)]
    assert slots
    for slot in slots:
        assert less.margins[slot] == pytest.approx(sure.margins[slot] / 2)
    against = placed(skeleton, tensors, Learned(HAND, ({key: -weight for key, weight in HAND.items()},), ()))
    assert all(against.margins[slot] < 0 for slot in slots)


def test_a_pile_of_lone_slots_needs_no_search():
    skeleton = built_in("mlp:sizes=6-5-4-2")
    result = placed(skeleton, numbers(skeleton), learned())
    assert result.climbs == (0, 0)
    assert result.certain == {slot.key for slot in skeleton.slots}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("aim", [(CERTAIN + LIKELY_MARGIN) / 2, 2 * CERTAIN])
def test_matrices_are_certain_or_likely_only_in_blocks_of_a_design_that_evidence_was_learned_from(known, aim):
    skeleton = built_in(PLANTED[1])
    tensors = planted(skeleton, 1)
    plain = [margin for margin in placed(skeleton, tensors, BY_HAND).margins.values() if 0 < margin < math.inf]
    scaled = {key: weight * aim / float(np.median(plain)) for key, weight in HAND.items()}
    designs = frozenset({design_of(skeleton)} if known else {("another",)})
    result = placed(skeleton, tensors, Learned(scaled, (scaled,), (), designs))
    sure = {slot for slot, margin in result.margins.items() if aim * 0.99 < margin < math.inf}
    assert sure
    if aim > CERTAIN:
        assert sure <= result.certain if known else not sure & result.settled
    else:
        nearly = {slot for slot in sure if result.margins[slot] < CERTAIN}
        assert nearly
        assert nearly <= result.likely if known else not result.likely


def test_a_lone_matrix_holds_the_end_of_the_chain():
    """Turned over, the chain fits as well, but for the head that reads what the last block writes."""
    skeleton = built_in(RESIDUAL_MLP)
    rng = np.random.default_rng(0)
    tensors = numbers(skeleton)
    last = tensors["blocks.2.out.weight"]
    tensors["head.weight"] = (rng.normal(size=(1, last.shape[1])) @ last.T).astype(np.float32)
    chain = {"gram end>out -1": 1.0}
    result = placed(skeleton, tensors, Learned(chain, (chain,), ()), seed=1)
    assert result.margins["head.weight"] == math.inf
    joint_margins = [result.margins[f"blocks.{k}.out.weight"] for k in range(3)]
    assert result.placement["blocks.2.out.weight"] == "of blocks.2.out.weight"
    assert joint_margins[2] > 0


def test_certain_from_the_bound_on():
    margins = {"a": CERTAIN, "b": CERTAIN - 1e-9, "c": math.inf, "d": -1.0, "e": 2 * CERTAIN}
    assert certain_by(margins, {"e"}) == {"a", "c"}
    assert certain_by(margins, {"e"}, LIKELY_MARGIN) == {"a", "b", "c"}
