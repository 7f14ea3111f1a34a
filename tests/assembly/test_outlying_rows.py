"""Rows of unlike sizes: which come first, what each counts for, and what an outlying one may not bring about."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from proofs import noisy, setting, sigma2_of

from nets import identity, no_steps, random_net
from reknit.assembly.moves import Rearrangement, all_moves
from reknit.assembly.proof import prove, row_weights, score_exactly
from reknit.network.activations import activation
from reknit.network.norms import norm
from reknit.network.stack import Stack

TRUTH = identity(4)


def commuting_pair(seed, share=0.0):
    """Four blocks, the middle two of which read one half of the stream and write the other: their order is open.

    With a share, the second of the two reads a little of what the first writes.
    """
    rng = np.random.default_rng(seed)
    n, width, hidden = 4, 8, 16
    inner, outer = rng.standard_normal((n, hidden, width)) / width**0.5, rng.standard_normal((n, width, hidden)) / 8
    in_bias, out_bias = 0.3 * rng.standard_normal((n, hidden)), 0.1 * rng.standard_normal((n, width))
    for k in (1, 2):
        inner[k][:, 4:] *= share * (k == 2)
        outer[k][:4] = 0
        out_bias[k][:4] = 0
    layers = (inner, in_bias, outer, out_bias, rng.standard_normal((1, width)), rng.standard_normal(1))
    functions = (activation("relu"), norm("none"), norm("none"))
    return Stack(*(np.asarray(a, np.float32) for a in layers), *functions), rng


def recorded_elsewhere(stack, x, rng, arrangement=TRUTH):
    """The answers in float32 by other sums: the stream's axes and the hidden units in another order."""
    axes, units = rng.permutation(stack.width), rng.permutation(stack.hidden)
    other = replace(
        stack,
        in_weight=np.ascontiguousarray(stack.in_weight[:, units][:, :, axes]),
        in_bias=stack.in_bias[:, units],
        out_weight=np.ascontiguousarray(stack.out_weight[:, axes][:, :, units]),
        out_bias=stack.out_bias[:, axes],
        head_weight=stack.head_weight[:, axes],
    )
    return other.forward(np.ascontiguousarray(x[:, axes]), arrangement).astype(np.float64)


OUTLYING = {
    "normal": lambda x, _: x,
    "two rows tenfold": lambda x, _: np.concatenate([10 * x[:2], x[2:]]),
    "one row thirtyfold": lambda x, _: np.concatenate([30 * x[:1], x[1:]]),
    "lognormal sizes": lambda x, rng: x * np.exp(rng.standard_normal((len(x), 1))),
    "heavy tails": lambda x, rng: rng.standard_t(2, x.shape),
}


@pytest.mark.parametrize("kind", OUTLYING)
def test_a_move_without_effect_is_not_rejected_for_the_rounding_of_an_outlying_row(kind):
    for seed in range(40):
        stack, rng = commuting_pair(seed)
        x = OUTLYING[kind](rng.standard_normal((600, 8)), rng).astype(np.float32)
        y = recorded_elsewhere(stack, x, rng)
        error, floor = setting(stack, x, y, TRUTH, no_steps(stack))
        proof = prove(stack, x, error, TRUTH, floor)
        open_moves = {(t.move.kind, t.move.first, t.move.second) for t in proof.undecided}
        assert ("swap", 1, 2) in open_moves, seed


def test_what_made_the_data_is_within_a_few_standard_errors_though_one_row_is_outlying():
    """Two blocks nearly commute, and the outlying row tells most of their order, but rounded as coarsely as it is."""
    swapped = Rearrangement("swap", 1, 2).apply(TRUTH)
    for share in (1e-6, 3e-6, 1e-5):
        for seed in range(40):
            stack, rng = commuting_pair(seed, share)
            x = rng.standard_normal((600, 8)).astype(np.float32)
            x[0] *= 100
            y = recorded_elsewhere(stack, x, rng, swapped)
            error, floor = setting(stack, x, y, TRUTH, no_steps(stack))
            ((z, _),) = score_exactly(stack, x, error, TRUTH, floor, [swapped])
            assert z < 4, (share, seed)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("pulls", [False, True])
def test_the_order_of_the_rows_does_not_matter(outputs, pulls):
    """The sweep sees two rows only, and they bear witness for all: the same two whatever comes first in the table."""
    rng, noise = np.random.default_rng(0), 1.0
    net = random_net(5, rows=701, outputs=outputs, act="tanh", size=1.0)  # an odd number: no two are equally ordinary
    x = net.x * np.exp(rng.standard_normal((701, 1))).astype(np.float32)
    y = noisy(net.stack.forward(x, net.truth), noise, seed=1)
    sizes = np.linalg.norm(x, axis=1)
    proofs = []
    for order in (np.arange(701), np.argsort(sizes), np.argsort(-sizes), rng.permutation(701)):
        error, floor = setting(net.stack, x[order], y[order], net.truth, no_steps(net, noise))
        proofs.append(prove(net.stack, x[order], error, net.truth, floor, pulls=pulls))
    first, *others = proofs
    assert first.rejected_z
    assert first.undecided
    for other in others:
        assert other.rejected_z == pytest.approx(first.rejected_z, rel=1e-6)
        assert [t.move for t in other.undecided] == [t.move for t in first.undecided]
        assert (first.strongest_pull is None) == (not pulls)
        if pulls:
            assert other.strongest_pull.move == first.strongest_pull.move
            assert other.strongest_pull.pull_z == pytest.approx(first.strongest_pull.pull_z, rel=1e-6)


def test_the_first_rows_looked_at_are_those_of_median_size():
    """Rejections in the first round rest on two rows; without noise there is no other round."""
    rng = np.random.default_rng(0)
    net = random_net(5, rows=301)
    x = net.x * np.exp(rng.standard_normal((301, 1))).astype(np.float32)
    error, floor = setting(net.stack, x, net.stack.forward(x, net.truth), net.truth, no_steps(net))
    sizes = np.linalg.norm(x, axis=1)
    two = np.argsort(np.abs(sizes - np.median(sizes)))[:2]
    wide, ordinary = net.stack.to(np.float64), x[two].astype(np.float64)
    own = wide.forward(ordinary, net.truth)
    weakest = {}
    for move in all_moves(6):
        effect = float(np.linalg.norm(wide.forward(ordinary, move.apply(net.truth)) - own))
        weakest[move.kind] = min(weakest.get(move.kind, np.inf), effect / sigma2_of(x, error, floor) ** 0.5)
    proof = prove(net.stack, x, error, net.truth, floor)
    assert not proof.undecided
    assert proof.rejected_z == pytest.approx(weakest, rel=1e-3)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_a_weight_takes_the_norm_down_to_three_times_the_median_and_no_further(norms):
    norms = np.array(norms)
    most, weights = 3 * np.median(norms), row_weights(norms)
    np.testing.assert_array_equal(weights[norms <= most], 1)
    if most > 1e-200:
        np.testing.assert_allclose(weights * norms, np.minimum(norms, most), rtol=1e-12)
    assert ((weights > 0) & (weights <= 1)).all()
