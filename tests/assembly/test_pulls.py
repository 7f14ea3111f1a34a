"""A residual small enough for its known causes that still speaks for a move: no verdict but failed, and the move named.

The data lie between two arrangements, so that neither made them: both can be rejected.
"""

import numpy as np
import pytest
from proofs import noisy, reference, setting

from nets import names_of, no_steps, random_net
from reknit.assembly.judge import judge
from reknit.assembly.moves import Rearrangement, all_moves
from reknit.assembly.problem import mean_square
from reknit.assembly.proof import prove

MOVES = [Rearrangement("swap", 2, 3), Rearrangement("insertion", 0, 2), Rearrangement("exchange", 1, 5)]


def effect(net, move):
    """What a move adds to the answers, and the root of its mean square."""
    own, moved = (net.stack.to(np.float64).forward(net.x, a) for a in (net.truth, move.apply(net.truth)))
    return moved - own, mean_square(moved - own) ** 0.5


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("seed", range(2))
def test_a_residual_that_correlates_with_a_move_fails_and_the_move_is_named(move, seed):
    net = random_net(seed, rows=2000)
    noise = min(effect(net, other)[1] for other in all_moves(6))  # every move is rejected
    delta, size = effect(net, move)
    steps = no_steps(net, noise)
    for pull, verdict in ((0.35, "failed"), (0.0, "consistent")):
        y = noisy(net.y + pull * noise / size * delta, noise, seed)
        found = judge(net.stack, net.x.astype(np.float64), y, net.truth, steps, names_of(net.stack, net.truth))
        assert found.verdict == verdict, found.reason
        assert found.residual.mse <= found.floor.highest
        assert found.undecided == ()
        said = f"it still correlates with {'a' if move.kind == 'swap' else 'an'} {move.kind} of positions "
        assert (f"{said}{move.first} and {move.second} (z " in found.reason) == (pull > 0)


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize(("share", "noise"), [(0.3, 1.5), (0.1, 0.3)])
@pytest.mark.parametrize("outputs", [1, 3])
def test_the_strongest_pull_is_that_of_the_plain_loop(move, share, noise, outputs):
    """Of exchanges that the first round rejects (little noise), too: asked on some rows, the suspects on all."""
    net = random_net(4, rows=4000, size=0.02, outputs=outputs)
    delta, size = effect(net, move)
    y = noisy(net.y + share * delta, noise * size)
    error, floor = setting(net.stack, net.x, y, net.truth, no_steps(net, noise * size))
    found = prove(net.stack, net.x, error, net.truth, floor, pulls=True).strongest_pull
    expected = reference(net.stack, net.x, error, net.truth, floor)
    assert found.move == move == max(expected, key=lambda m: expected[m][1])
    # of three outputs only one direction is looked at
    assert found.pull_z == pytest.approx(expected[move][1], rel=0.02 if outputs == 1 else 0.5)
    assert prove(net.stack, net.x, error, net.truth, floor).strongest_pull is None
