import torch
from hypothesis import given
from hypothesis import strategies as st

from reknit.wiring.exchanges import exchange_effects, exchanged, promising, rung_exchanges
from strategies import seeds


@given(seeds, st.integers(2, 6))
def test_an_exchange_does_what_its_two_moves_do(seed, size):
    generator = torch.Generator().manual_seed(seed % 2**31)
    effects = torch.randn(7, size, size, generator=generator)
    held = torch.randperm(size, generator=generator).tolist()
    changes = exchange_effects(effects, held)

    def answers(columns):
        return sum(effects[:, slot, column] for slot, column in enumerate(columns))

    for first in range(size):
        for second in range(size):
            moved = list(held)
            moved[first], moved[second] = held[second], held[first]
            wanted = answers(moved) - answers(held)
            torch.testing.assert_close(changes[:, first, second], wanted, rtol=1e-4, atol=1e-4)


@given(seeds, st.integers(2, 6))
def test_the_exchange_that_was_made_is_the_most_promising(seed, size):
    generator = torch.Generator().manual_seed(seed % 2**31)
    effects = torch.randn(40, size, size, generator=generator)
    changes = exchange_effects(effects, list(range(size)))
    first, second = sorted(torch.randperm(size, generator=generator)[:2].tolist())
    best = promising(changes, changes[:, first, second], 3)
    assert best[0][1:] == (first, second)
    assert abs(best[0][0]) < 1e-4
    assert [left for left, _, _ in best] == sorted(left for left, _, _ in best)


def test_exchanged_is_its_own_inverse():
    placement = {"a": "x", "b": "y", "c": "z"}
    moved = exchanged(placement, [("a", "c")])
    assert moved == {"a": "z", "b": "y", "c": "x"}
    assert exchanged(moved, [("a", "c")]) == placement


def test_rungs_are_exchanged_where_all_their_slots_are_free():
    ladder = [["q0", "k0"], ["q1", "k1"], ["q2", "k2"]]
    assert rung_exchanges([ladder], {"q0", "k0", "q2", "k2", "q1"}) == [(("q0", "q2"), ("k0", "k2"))]
    assert len(rung_exchanges([ladder], {slot for rung in ladder for slot in rung})) == 3
