import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reknit.wiring.links import LINKS, find_link
from strategies import seeds


@given(seeds, st.sampled_from(sorted(LINKS)), st.integers(2, 6))
def test_the_record_of_an_answer_is_found_where_it_is_compared(seed, name, width):
    link = LINKS[name]
    answer = 2 * torch.randn(3, width, generator=torch.Generator().manual_seed(seed % 2**31))
    record = link.recorded(answer)
    known = link.known(record)
    assert known.all()
    torch.testing.assert_close(link.target(record), link.compared(answer, known), rtol=1e-4, atol=1e-4)
    assert find_link(answer, record) == name


@pytest.mark.parametrize("name", sorted(LINKS))
def test_numbers_that_are_rounded_away_count_for_nothing(name):
    link = LINKS[name]
    answer = torch.tensor([[90.0, 0.0, -200.0], [0.5, -0.25, 1.0]])
    record = link.recorded(answer)
    known = link.known(record)
    assert known.tolist()[1] == [True] * 3
    assert bool(known.all()) == (name == "identity")
    target = link.target(record)
    assert target.isfinite().all()
    assert (target[~known] == 0).all()
    torch.testing.assert_close(target[known], link.compared(answer, known)[known], rtol=1e-3, atol=1e-3)


def test_a_constant_that_softmax_loses_is_taken_off():
    answer = torch.randn(2, 5)
    known = torch.ones(2, 5, dtype=torch.bool)
    link = LINKS["softmax"]
    torch.testing.assert_close(link.compared(answer + 3, known), link.compared(answer, known))


def test_a_module_that_ends_in_softmax_is_compared_as_it_is():
    probabilities = torch.randn(4, 3).softmax(1)
    assert find_link(probabilities, probabilities.flip(0)) == "identity"


def test_compared_where_it_was_recorded():
    answer = torch.randn(2, 3)
    link = LINKS["softmax"].as_recorded
    record = link.recorded(answer)
    torch.testing.assert_close(link.compared(answer, link.known(record)), record)
