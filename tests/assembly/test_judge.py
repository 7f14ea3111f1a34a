"""The verdict: it may say exact or consistent only of what is so. Most of these are attempts to make it lie."""

from dataclasses import replace
from itertools import permutations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from proofs import noisy

from nets import identity, names_of, no_steps, random_net, trained_net
from reknit.assembly.floor import Steps
from reknit.assembly.judge import judge
from reknit.assembly.moves import Rearrangement, all_moves
from reknit.assembly.problem import mean_square
from reknit.network.stack import Arrangement

NORMED = [("relu", "none"), ("gelu", "layer"), ("tanh", "rms"), ("silu", "none")]


def verdict_of(stack, x, y, arrangement, steps=None, **options):
    steps = no_steps(stack) if steps is None else steps
    return judge(
        stack, x.astype(np.float64), y.astype(np.float64), arrangement, steps, names_of(stack, arrangement), **options
    )


# what is right


@pytest.mark.parametrize(("act", "normed"), NORMED)
@pytest.mark.parametrize("outputs", [1, 3])
def test_the_right_arrangement_of_recorded_float32_answers_is_exact(act, normed, outputs):
    net = random_net(1, act=act, normed=normed, final=normed, outputs=outputs)
    found = verdict_of(net.stack, net.x, net.y, net.truth)
    assert found.verdict == "exact", found.reason
    assert found.undecided == ()
    assert found.residual.rows == len(net.x)
    assert found.residual.max_abs <= found.residual.tolerance
    assert found.proof.counts == {"swap": 5, "insertion": 20, "exchange": 15}
    assert min(found.proof.rejected_z.values()) >= found.proof.level


def test_the_right_arrangement_of_a_trained_network_is_exact():
    for options in ({"data": "digits"}, {"data": "diabetes", "width": 10}, {"activation": "gelu", "norm": "layer"}):
        net = trained_net(**options)
        assert verdict_of(net.stack, net.x, net.y, net.truth).verdict == "exact"


def test_one_block_is_exact():
    net = random_net(blocks=1)
    assert verdict_of(net.stack, net.x, net.y, net.truth).verdict == "exact"


# what is wrong


@pytest.mark.parametrize(("act", "normed"), NORMED)
@pytest.mark.parametrize("noise", [0.0, 1e-4])
def test_no_single_move_away_from_the_truth_is_exact_or_consistent(act, normed, noise):
    net = random_net(2, act=act, normed=normed, blocks=5)
    recorded = noisy(net.y, noise)
    for move in all_moves(5):
        wrong = move.apply(net.truth)
        found = verdict_of(net.stack, net.x, recorded, wrong, no_steps(net, noise))
        assert found.verdict == "failed", (move, found.reason)


@pytest.mark.parametrize("seed", range(3))
def test_of_all_arrangements_of_four_blocks_only_the_right_one_is_exact(seed):
    net = random_net(seed, blocks=4, width=6, hidden=8)
    for ins in permutations(range(4)):
        for outs in permutations(range(4)):
            arrangement = Arrangement(ins, outs)
            found = verdict_of(net.stack, net.x, net.y, arrangement)
            assert (found.verdict == "exact") == (arrangement == net.truth)


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 40), st.integers(1, 3), st.sampled_from([0.02, 0.5]))
def test_exact_means_that_no_other_arrangement_fits_as_well(seed, blocks, rows, outputs, size):
    net = random_net(seed, blocks=blocks, width=5, hidden=6, rows=rows, outputs=outputs, size=size)
    found = verdict_of(net.stack, net.x, net.y, net.truth)
    if found.verdict != "exact":
        return
    wide, x = net.stack.to(np.float64), net.x.astype(np.float64)
    for ins in permutations(range(blocks)):
        for outs in permutations(range(blocks)):
            if (ins, outs) != (net.truth.ins, net.truth.outs):
                error = np.abs(wide.forward(x, Arrangement(ins, outs)) - net.y).max()
                assert error > found.residual.tolerance


@pytest.mark.parametrize("kind", ["swap", "insertion", "exchange"])
def test_a_failed_verdict_says_how_much_is_left(kind):
    net = random_net(3)
    move = {"swap": Rearrangement("swap", 2, 3), "insertion": Rearrangement("insertion", 0, 4)}
    wrong = move.get(kind, Rearrangement("exchange", 1, 5)).apply(net.truth)
    found = verdict_of(net.stack, net.x, net.y, wrong)
    assert found.verdict == "failed"
    assert found.reason.startswith("the best arrangement leaves a mean squared error of ")
    assert "more than float32 rounding explains" in found.reason


def test_shuffled_outputs_fail():
    net = random_net(4)
    shuffled = net.y[np.random.default_rng(0).permutation(len(net.y))]
    assert verdict_of(net.stack, net.x, shuffled, net.truth).verdict == "failed"


def test_one_wrong_row_of_many_fails():
    net = random_net(4)
    spoilt = net.y.copy()
    spoilt[-1] += 0.01
    assert verdict_of(net.stack, net.x, spoilt, net.truth).verdict == "failed"


# what cannot be known


def with_layers(stack, **changes):
    """A stack some of whose layers are replaced: ``in_weight={2: tensor}``."""
    arrays = {}
    for name, by_number in changes.items():
        arrays[name] = getattr(stack, name).copy()
        for number, value in by_number.items():
            arrays[name][number] = value
    return replace(stack, **arrays)


def test_identical_blocks_are_ambiguous_though_the_error_is_nothing():
    stack = random_net(5).stack
    twin = with_layers(
        stack,
        in_weight={3: stack.in_weight[1]},
        in_bias={3: stack.in_bias[1]},
        out_weight={3: stack.out_weight[1]},
        out_bias={3: stack.out_bias[1]},
    )
    x = random_net(5).x
    found = verdict_of(twin, x, twin.forward(x, identity(6)), identity(6))
    assert found.verdict == "ambiguous"
    assert found.residual.max_abs <= found.residual.tolerance
    listed = [move.pieces for move in found.undecided]
    assert ("in1", "in3") in listed
    assert ("out1", "out3") in listed


@pytest.mark.parametrize("side", ["in", "out"])
def test_identical_single_pieces_are_ambiguous(side):
    net = random_net(6)
    stack = net.stack
    twin = with_layers(
        stack,
        **{f"{side}_{part}": {4: getattr(stack, f"{side}_{part}")[2]} for part in ("weight", "bias")},
    )
    found = verdict_of(twin, net.x, twin.forward(net.x, identity(6)), identity(6))
    assert found.verdict == "ambiguous"
    assert next(m.pieces for m in found.undecided if m.kind == "exchange" and m.z == 0) == (f"{side}2", f"{side}4")


def test_nearly_identical_in_layers_are_ambiguous():
    net = random_net(30)
    stack = net.stack
    twin = with_layers(stack, in_weight={4: stack.in_weight[2] * (1 + 1e-7)}, in_bias={4: stack.in_bias[2]})
    recorded = twin.forward(net.x, identity(6))
    exchanged = Arrangement((0, 1, 4, 3, 2, 5), tuple(range(6)))
    verdicts = {verdict_of(twin, net.x, recorded, a).verdict for a in (identity(6), exchanged)}
    assert verdicts == {"ambiguous"}


@pytest.mark.parametrize("disguise", ["hidden units in another order", "rescaled"])
def test_blocks_of_one_function_and_other_numbers_are_ambiguous(disguise):
    net = random_net(31)
    stack = net.stack
    order = np.random.default_rng(0).permutation(stack.hidden)
    scale = 2.0 if disguise == "rescaled" else 1.0
    twin = with_layers(
        stack,
        in_weight={4: scale * stack.in_weight[1][order]},
        in_bias={4: scale * stack.in_bias[1][order]},
        out_weight={4: stack.out_weight[1][:, order] / scale},
        out_bias={4: stack.out_bias[1]},
    )
    recorded = twin.forward(net.x, identity(6))
    exchanged = identity(6).reordered([0, 4, 2, 3, 1, 5])
    for arrangement in (identity(6), exchanged):
        found = verdict_of(twin, net.x, recorded, arrangement)
        assert found.verdict == "ambiguous"
        assert any(len(move.pieces) == 4 and move.kind == "exchange" for move in found.undecided)


@pytest.mark.parametrize("rows", [300, 4000])
@pytest.mark.parametrize("seed", range(3))
def test_an_exchange_of_nearly_identical_out_layers_is_never_exact(rows, seed):
    # the exchange changes answers by a fifth of their float32 rounding: in float32, rounding would pass for its effect
    net = random_net(30 + seed, rows=rows)
    stack = net.stack
    twin = with_layers(stack, out_weight={4: stack.out_weight[2] * (1 + 1e-7)}, out_bias={4: stack.out_bias[2]})
    recorded = twin.forward(net.x, identity(6))
    wrong = verdict_of(twin, net.x, recorded, Rearrangement("exchange", 2, 4).apply(identity(6)))
    assert wrong.verdict == "ambiguous"
    assert [move.pieces for move in wrong.undecided] == [("out4", "out2")]
    # the truth is at best just told from it
    assert verdict_of(twin, net.x, recorded, identity(6)).verdict in ("exact", "ambiguous")


def test_a_square_piece_that_is_both_in_and_out_layer_is_ambiguous():
    net = random_net(7, width=8, hidden=8)
    stack = net.stack
    twin = with_layers(stack, out_weight={4: stack.in_weight[1]}, out_bias={4: stack.in_bias[1]})
    found = verdict_of(twin, net.x, twin.forward(net.x, identity(6)), identity(6), pooled=True)
    assert found.verdict == "ambiguous", found.reason
    assert [m.pieces for m in found.undecided] == [("in1", "out4")]


def test_blocks_on_separate_coordinates_commute_and_are_ambiguous():
    net = random_net(8, width=10)
    changes = {name: getattr(net.stack, name).copy() for name in ("in_weight", "out_weight", "out_bias")}
    for block, away in ((2, slice(0, 5)), (3, slice(5, 10))):
        changes["in_weight"][block][:, away] = 0
        changes["out_weight"][block][away] = 0
        changes["out_bias"][block][away] = 0
    stack = replace(net.stack, **changes)
    found = verdict_of(stack, net.x, stack.forward(net.x, identity(6)), identity(6))
    assert found.verdict == "ambiguous"
    assert ("in2", "out2", "in3", "out3") in [move.pieces for move in found.undecided if move.kind == "swap"]
    assert len(found.undecided) == 1
    assert abs(found.undecided[0].change) < 1e-12


def test_a_block_that_adds_nothing_can_stand_anywhere():
    net = random_net(9)
    stack = with_layers(net.stack, out_weight={2: 0.0}, out_bias={2: 0.0})
    found = verdict_of(stack, net.x, stack.forward(net.x, identity(6)), identity(6))
    assert found.verdict == "ambiguous"
    # two neighbour swaps, and three more places to insert it at
    assert sorted(move.kind for move in found.undecided) == ["insertion"] * 3 + ["swap"] * 2


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("size", [0.02, 0.3])
def test_few_rows_are_never_exact(rows, size):
    net = random_net(10, blocks=16, rows=rows, size=size)
    found = verdict_of(net.stack, net.x, net.y, net.truth)
    assert found.verdict == "ambiguous", found.reason


def test_one_row_is_never_exact_whatever_it_holds():
    for blocks in (2, 4, 6):
        for outputs in (1, 5):
            net = random_net(11, blocks=blocks, rows=1, outputs=outputs)
            assert verdict_of(net.stack, net.x, net.y, net.truth).verdict == "ambiguous"


def test_too_few_bits_are_named():
    net = random_net(10, blocks=16, rows=3)
    reason = verdict_of(net.stack, net.x, net.y, net.truth).reason
    assert "3 rows carry about" in reason or "do not decide" in reason


@pytest.mark.parametrize("blocks", [1, 6])
def test_constant_outputs_are_never_exact(blocks):
    net = random_net(12, blocks=blocks)
    stack = replace(net.stack, head_weight=np.zeros_like(net.stack.head_weight))
    found = verdict_of(stack, net.x, stack.forward(net.x, identity(blocks)), identity(blocks))
    assert found.verdict in ("ambiguous", "failed")


def test_outputs_that_saturate_are_never_exact():
    # a constant column of records made by a network whose answers vary
    net = random_net(12)
    assert verdict_of(net.stack, net.x, np.full_like(net.y, 0.5), net.truth).verdict == "failed"


# what is known of the error


@pytest.mark.parametrize("noise", [1e-3, 1e-2, 0.1])
def test_stated_noise_makes_the_truth_consistent_and_unstated_noise_makes_it_fail(noise):
    net = random_net(13, rows=2000, size=1.0)
    recorded = noisy(net.y, noise)
    assert verdict_of(net.stack, net.x, recorded, net.truth).verdict == "failed"
    found = verdict_of(net.stack, net.x, recorded, net.truth, no_steps(net, noise))
    assert found.verdict == ("consistent" if noise < 0.1 else found.verdict), found.reason
    assert found.verdict in ("consistent", "ambiguous")
    assert found.residual.mse == pytest.approx(noise**2, rel=0.2)


def test_noise_understated_fails():
    net = random_net(13, rows=2000, size=1.0)
    assert verdict_of(net.stack, net.x, noisy(net.y, 1e-2), net.truth, no_steps(net, 3e-3)).verdict == "failed"


def near_commuting(net, share=1e-3):
    """Blocks 2 and 3 on separate coordinates but for a small share."""
    changes = {name: getattr(net.stack, name).copy() for name in ("in_weight", "out_weight", "out_bias")}
    for block, away in ((2, slice(0, 5)), (3, slice(5, 10))):
        changes["in_weight"][block][:, away] *= share
        changes["out_weight"][block][away] *= share
        changes["out_bias"][block][away] *= share
    return replace(net.stack, **changes)


def test_large_stated_noise_and_blocks_that_nearly_commute_are_ambiguous():
    net = random_net(14, rows=2000, size=1.0)
    stack = near_commuting(net)
    y = stack.forward(net.x, identity(6))
    assert verdict_of(stack, net.x, y, identity(6)).verdict == "exact"
    found = verdict_of(stack, net.x, noisy(y, 0.01), identity(6), no_steps(stack, 0.01))
    assert found.verdict == "ambiguous"
    assert [move.pieces for move in found.undecided] == [("in2", "out2", "in3", "out3")]


@pytest.mark.parametrize("seed", range(10))
def test_a_wrong_arrangement_under_noise_stated_too_large_is_not_consistent(seed):
    net = random_net(15 + seed, rows=2000, size=1.0)
    wrong = all_moves(6)[(7 * seed) % 40].apply(net.truth)
    error = mean_square(net.stack.forward(net.x, wrong) - net.y) ** 0.5
    for stated in (0.7 * error, 1.05 * error, 1.5 * error, 3 * error):
        for recorded in (net.y.astype(np.float64), noisy(net.y, 0.1 * error)):
            found = verdict_of(net.stack, net.x, recorded, wrong, no_steps(net, stated))
            assert found.verdict in ("failed", "ambiguous"), (stated / error, found.reason)


def test_a_residual_that_speaks_for_a_move_is_named():
    net = random_net(16, rows=4000, size=1.0)
    wrong = Rearrangement("swap", 2, 3).apply(net.truth)
    error = mean_square(net.stack.forward(net.x, wrong) - net.y) ** 0.5
    found = verdict_of(net.stack, net.x, net.y, wrong, no_steps(net, 1.2 * error))
    assert found.verdict == "ambiguous" or "still correlates with" in found.reason


STORED = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}


def rounded_stack(net, dtype):
    """Every weight and bias as stored in another dtype, with the steps of that rounding."""
    names = ("in_weight", "in_bias", "out_weight", "out_bias", "head_weight", "head_bias")
    arrays, steps = {}, {}
    for name in names:
        array = getattr(net.stack, name)
        if dtype == "int8":
            step = np.abs(array).max() / 127
            arrays[name] = np.round(array / step) * step
            steps[name] = np.full(array.shape, step, np.float64)
        else:
            arrays[name] = array.astype(STORED[dtype]).astype(np.float32)
            digits = 8 if dtype == "bfloat16" else 11
            exponent = np.floor(np.log2(np.abs(arrays[name]).clip(2.0**-14)))
            steps[name] = 2.0 ** (exponent.astype(np.float64) - digits + 1)
    stack = replace(net.stack, **arrays)
    return stack, Steps(steps, np.zeros(stack.width), np.zeros(stack.outputs))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
@pytest.mark.parametrize("seed", range(4))
def test_pieces_stored_coarsely_are_consistent_or_ambiguous_and_never_exact(dtype, seed):
    net = random_net(17 + seed, rows=1000, size=1.0, outputs=3)
    stack, steps = rounded_stack(net, dtype)
    found = verdict_of(stack, net.x, net.y, net.truth, steps)
    assert found.verdict in ("consistent", "ambiguous"), found.reason
    assert found.residual.max_abs > found.residual.tolerance
    assert verdict_of(stack, net.x, net.y, net.truth).verdict == "failed"  # not known to be rounded
    for move in all_moves(6)[::5]:
        wrong = verdict_of(stack, net.x, net.y, move.apply(net.truth), steps)
        assert wrong.verdict in ("failed", "ambiguous"), (move, wrong.reason)


def test_float16_pieces_are_consistent():
    net = random_net(17, rows=1000, size=1.0, outputs=3)
    stack, steps = rounded_stack(net, "float16")
    found = verdict_of(stack, net.x, net.y, net.truth, steps)
    assert found.verdict == "consistent", found.reason
    assert "dtype of the pieces" in found.reason


@pytest.mark.parametrize("what", ["outputs", "inputs", "both"])
def test_three_decimals_are_consistent(what):
    net = random_net(18, rows=1000, size=1.0)
    x, y = net.x.astype(np.float64), net.y.astype(np.float64)
    steps = no_steps(net)
    if what != "outputs":
        x = (x * 1000).round() / 1000
        steps = replace(steps, inputs=np.full(10, 1e-3))
    if what != "inputs":
        y = (y * 1000).round() / 1000
        steps = replace(steps, outputs=np.full(1, 1e-3))
    found = verdict_of(net.stack, x, y, net.truth, steps)
    assert found.verdict == "consistent", found.reason
    assert f"decimals of the {'outputs' if what == 'both' else what}" in found.reason
    for move in all_moves(6)[::3]:
        assert verdict_of(net.stack, x, y, move.apply(net.truth), steps).verdict in ("failed", "ambiguous")
