"""Every move against applying it and running the whole network, in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nets import identity, random_net
from reknit.assembly.moves import Rearrangement, all_moves, exchange_answers, insertion_answers, move_effects
from reknit.network.activations import ACTIVATIONS
from reknit.network.norms import NORMS
from reknit.network.stack import Arrangement


def brute_force(stack, x, arrangement, moves):
    own = stack.forward(x, arrangement)
    return np.stack([stack.forward(x, move.apply(arrangement)) - own for move in moves])


@given(
    st.integers(0, 1000),
    st.integers(2, 6),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from(sorted(ACTIVATIONS)),
    st.sampled_from(sorted(NORMS)),
    st.data(),
)
def test_effects_are_those_of_applying_each_move(seed, blocks, outputs, rows, act, normed, data):
    net = random_net(seed, blocks=blocks, outputs=outputs, rows=rows, act=act, normed=normed, final=normed, size=2.0)
    stack, x = net.stack.to(np.float64), net.x.astype(np.float64)
    ins, outs = (data.draw(st.permutations(range(blocks))) for _ in range(2))
    arrangement = Arrangement(tuple(ins), tuple(outs))
    moves = data.draw(st.lists(st.sampled_from(all_moves(blocks)), min_size=1))
    found = move_effects(stack, x, arrangement, moves)
    np.testing.assert_allclose(found, brute_force(stack, x, arrangement, moves), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("blocks", [1, 2, 3, 7])
def test_all_moves_at_once_and_the_diagonal(blocks):
    net = random_net(1, blocks=blocks, rows=5, outputs=2)
    stack, x = net.stack.to(np.float64), net.x.astype(np.float64)
    own = stack.forward(x, net.truth)
    orders, pairs = insertion_answers(stack, x, net.truth), exchange_answers(stack, x, net.truth)
    for i in range(blocks):
        for q in range(blocks):
            insertion = Rearrangement("insertion", i, q).apply(net.truth)
            np.testing.assert_allclose(orders[i, q], stack.forward(x, insertion), rtol=1e-9, atol=1e-11)
            exchanged = Rearrangement("exchange", i, q).apply(net.truth) if i < q else net.truth
            np.testing.assert_allclose(pairs[i, q], stack.forward(x, exchanged), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(orders[i, i], own, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("blocks", range(1, 9))
def test_every_rearrangement_is_listed_once(blocks):
    moves, start = all_moves(blocks), identity(blocks)
    results = [move.apply(start) for move in moves]
    assert len(set(moves)) == len(moves)
    assert start not in results
    assert len(set(results)) == len(results)
    kinds = [move.kind for move in moves]
    pairs = blocks * (blocks - 1) // 2
    assert kinds.count("swap") == blocks - 1
    assert kinds.count("exchange") == pairs
    # every single insertion, of which the neighbour swaps are counted twice over
    assert kinds.count("insertion") + kinds.count("swap") == (blocks - 1) ** 2
    insertions = set()
    for i in range(blocks):
        for q in range(blocks):
            rest = [k for k in range(blocks) if k != i]
            insertions.add(start.reordered([*rest[:q], i, *rest[q:]]))
    assert {r for r, k in zip(results, kinds, strict=True) if k != "exchange"} == insertions - {start}


@given(st.integers(2, 8).flatmap(lambda n: st.tuples(st.permutations(range(n)), st.sampled_from(all_moves(n)))))
def test_every_move_has_an_inverse(case):
    order, move = case
    start = Arrangement(tuple(order), tuple(order[::-1]))
    moved = move.apply(start)
    assert sorted(moved.ins) == sorted(moved.outs) == list(range(len(order)))
    back = move if move.kind == "exchange" else Rearrangement("insertion", move.second, move.first)
    assert back.apply(moved) == start
    if move.kind == "exchange":
        assert moved.ins == start.ins
    else:
        assert set(zip(moved.ins, moved.outs, strict=True)) == set(zip(start.ins, start.outs, strict=True))
    if move.kind == "swap":
        assert move.second == move.first + 1
        assert move.apply(moved) == start
