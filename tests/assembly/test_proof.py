"""The proof: no move is rejected that a full and exact test would not reject, and the level is what it says."""

from dataclasses import replace

import numpy as np
import pytest
from proofs import noisy, reference, setting
from scipy.stats import norm as gaussian

from nets import identity, no_steps, random_net
from reknit.assembly.floor import Steps
from reknit.assembly.moves import Rearrangement, all_moves
from reknit.assembly.problem import mean_square
from reknit.assembly.proof import (
    SWEEP_ROWS,
    _Sums,
    _Tester,
    first_order_effects,
    prove,
    rejection_level,
    score_exactly,
)

CASES = [
    # act, norm, outputs, noise in deviations of the smallest effects' size
    ("relu", "none", 1),
    ("gelu", "layer", 1),
    ("tanh", "rms", 4),
    ("silu", "none", 3),
]


@pytest.mark.parametrize(("act", "normed", "outputs"), CASES)
@pytest.mark.parametrize("noise", [0.003, 0.03, 0.3, 1.0])
@pytest.mark.parametrize("pulls", [False, True])
def test_what_the_full_test_leaves_open_the_quick_one_does_too(act, normed, outputs, noise, pulls):
    checked = 0
    for seed in range(3):
        net = random_net(seed, act=act, normed=normed, final=normed, outputs=outputs, rows=1200, blocks=7)
        y = noisy(net.y, noise, seed)
        error, floor = setting(net.stack, net.x, y, net.truth, no_steps(net, noise))
        proof = prove(net.stack, net.x, error, net.truth, floor, pulls=pulls)
        z = {move: z for move, (z, _, _) in reference(net.stack, net.x, error, net.truth, floor).items()}
        open_moves = {move for move, value in z.items() if value < proof.level}
        found = {t.move: t.z for t in proof.undecided}
        assert open_moves <= set(found), {m: z[m] for m in open_moves - set(found)}
        assert {m for m in found if z[m] >= proof.level} == set()  # what is left is tested exactly on all rows
        for move, value in found.items():
            assert value == pytest.approx(z[move], abs=0.02)
        assert sum(proof.counts.values()) == len(z)
        checked += len(open_moves)
    assert checked or noise < 1  # the noise is large enough for the test to mean something


@pytest.mark.parametrize(("act", "normed", "outputs"), CASES)
def test_the_first_order_screen_alone_never_rejects_too_much(act, normed, outputs):
    wrong, screened = [], 0
    for seed in range(4):
        for noise in (0.01, 0.05, 0.2):
            net = random_net(seed, act=act, normed=normed, outputs=outputs, rows=800, size=1.0)
            y = noisy(net.y, noise, seed)
            error, floor = setting(net.stack, net.x, y, net.truth, no_steps(net, noise))
            moves = all_moves(6)
            level = rejection_level(len(moves))
            tester = _Tester(net.stack, net.x, error, net.truth, floor, level)
            tester.sweep(moves, SWEEP_ROWS)
            z = {move: z for move, (z, _, _) in reference(net.stack, net.x, error, net.truth, floor).items()}
            left = set(tester.screen(moves))
            screened += len(moves) - len(left)
            wrong += [(move, z[move]) for move in moves if move not in left and z[move] < level]
    assert wrong == []
    assert screened  # it does reject some, else it would be of no use


def test_a_wrong_arrangement_is_told_by_the_move_that_rights_it():
    net = random_net(1, rows=1000)
    for move in (Rearrangement("swap", 2, 3), Rearrangement("insertion", 0, 3), Rearrangement("exchange", 1, 4)):
        wrong = move.apply(net.truth)
        error, floor = setting(net.stack, net.x, net.y, wrong, no_steps(net))
        proof = prove(net.stack, net.x, error, wrong, floor)
        back = [t for t in proof.undecided if t.move.apply(wrong) == net.truth]
        assert len(back) == 1
        assert back[0].pull == pytest.approx(1, abs=1e-3)
        assert back[0].change == pytest.approx(-mean_square(error), rel=1e-3)


def test_pieces_rounded_together_widen_every_standard_error():
    net = random_net(2, rows=600, size=1.0)
    weights = {"in_weight": np.full(net.stack.in_weight.shape, 0.02)}
    plain = no_steps(net, 1e-3)
    rounded = Steps(weights, plain.inputs, plain.outputs, plain.noise)
    error, narrow = setting(net.stack, net.x, noisy(net.y, 1e-3), net.truth, plain)
    _, wide = setting(net.stack, net.x, noisy(net.y, 1e-3), net.truth, rounded)
    assert len(wide.draws)
    sharp, blurred = (prove(net.stack, net.x, error, net.truth, floor) for floor in (narrow, wide))
    assert min(sharp.rejected_z.values()) > max(blurred.rejected_z.values(), default=0)


def test_the_level_is_the_bonferroni_bound():
    for moves in (1, 40, 3337):
        assert moves * gaussian.sf(rejection_level(moves)) == pytest.approx(1e-6)
    assert rejection_level(0) == rejection_level(1)


@pytest.mark.parametrize("kind", ["swap", "insertion", "exchange"])
def test_under_the_null_z_is_a_standard_normal_or_smaller(kind):
    """Data made by the moved arrangement: how often its z comes out large, over 4000 draws of the noise."""
    net = random_net(3, rows=400)
    move = next(m for m in all_moves(6) if m.kind == kind)
    wide, x = net.stack.to(np.float64), net.x.astype(np.float64)
    own, moved = (wide.forward(x, a) for a in (net.truth, move.apply(net.truth)))
    delta = moved - own
    noise = float(np.linalg.norm(delta)) / 3  # no test could tell for sure
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(4000):
        error = delta + noise * generator.standard_normal(delta.shape)
        sums = _Sums.of(delta[None], error, np.zeros((0, *error.shape)))
        sigma2 = max(mean_square(error), noise**2)
        drawn.append(float(sums.z(sigma2)[0]))
    z = np.array(drawn)
    assert abs(z.mean()) < 0.06
    for level in (1.0, 2.0, 3.0):
        expected = gaussian.sf(level)
        assert (z > level).mean() <= expected + 4 * (expected / len(z)) ** 0.5
    assert (z > rejection_level(40)).sum() == 0


def test_under_the_null_z_stays_below_the_level_when_common_errors_dominate():
    """The same with errors that all rows share, whose size is known from eight simulations only."""
    generator = np.random.default_rng(0)

    def normal(*shape):
        return generator.standard_normal(shape)

    delta, causes = normal(60), 10 * normal(3, 60)
    level, trials = rejection_level(40, draws=8), 20_000
    common, draws = normal(trials, 3) @ causes, normal(trials, 8, 3) @ causes
    error = delta + common + normal(trials, 60)
    above = 0
    for k in range(trials):
        above += float(_Sums.of(delta[None, :, None], error[k][:, None], draws[k][:, :, None]).z(1.0)[0]) > level
    assert above <= 1  # expected: 0.0005; by the normal distribution's level, 5


def test_first_order_effects_are_the_leading_part_of_every_move():
    """Halving all branches quarters the effect of an order; the part that is left out falls faster."""
    for act, normed in (("tanh", "none"), ("gelu", "layer"), ("silu", "rms")):
        net = random_net(4, act=act, normed=normed, rows=50)
        missed = {}
        for share in (0.02, 0.01):
            stack = replace(net.stack, out_weight=share * net.stack.out_weight, out_bias=share * net.stack.out_bias).to(
                np.float64
            )
            x, direction = net.x.astype(np.float64), np.ones((50, 1))
            moves = all_moves(6)
            guess = first_order_effects(stack, x, direction, net.truth, moves)
            own = stack.forward(x, net.truth)
            for move, value in zip(moves, guess, strict=True):
                truth = (stack.forward(x, move.apply(net.truth)) - own)[:, 0]
                missed[move, share] = float(np.linalg.norm(value - truth) / np.linalg.norm(truth))
        for move in moves:
            assert missed[move, 0.02] < 0.1
            assert missed[move, 0.01] < 0.6 * missed[move, 0.02]


def test_without_rows_or_moves_there_is_nothing_to_reject():
    net = random_net(blocks=1)
    error, floor = setting(net.stack, net.x, net.y, identity(1), no_steps(net))
    proof = prove(net.stack, net.x, error, identity(1), floor)
    assert (proof.counts, proof.undecided, proof.rejected_z) == ({}, (), {})


@pytest.mark.parametrize("coarse", [0.0, 1e-3])
@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("outlying", [False, True])
def test_arrangements_further_off_are_scored_by_the_same_rules(coarse, noise, outlying):
    """On moves, where the plain loop is an oracle; with the simulated errors of coarse weights, too."""
    net = random_net(6, blocks=4, rows=60, outputs=2)
    weights = {"in_weight": np.full_like(net.stack.in_weight, coarse)} if coarse else {}
    x = net.x * np.geomspace(0.1, 100, 60, dtype=np.float32)[:, None] if outlying else net.x
    y = noisy(net.stack.forward(x, net.truth), noise)
    error, floor = setting(net.stack, x, y, net.truth, replace(no_steps(net, noise), weights=weights))
    expected = reference(net.stack, x, error, net.truth, floor)
    found = score_exactly(net.stack, x, error, net.truth, floor, [move.apply(net.truth) for move in expected])
    for (z, change), (expected_z, _, expected_change) in zip(found, expected.values(), strict=True):
        assert z == pytest.approx(expected_z, rel=1e-6)
        assert change == pytest.approx(expected_change, rel=1e-6)
