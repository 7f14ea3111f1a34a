"""Tensors of equal bits in a network: named once, ambiguous as in the first release, unless they are all one buffer."""

import pytest

import reknit
from wired_nets import write_wired


@pytest.fixture
def wired(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *args, **options: write_wired(tmp_path, *args, **options)


def alike(state):
    """Two biases of one shape, of four that have it, become one."""
    state["1.out.bias"].copy_(state["0.out.bias"])


def test_copies_are_named_once_and_make_it_ambiguous_though_the_network_is_right(wired, tmp_path):
    found = wired(change=alike)
    wiring = reknit.assemble(found.pile, found.record, like=found.like, out=tmp_path / "made")
    copies = ("0.out.bias", "1.out.bias")
    assert wiring.verdict == "ambiguous"
    assert wiring.reason == (
        "2 slots (0.out.bias, 1.out.bias) hold identical copies, which nothing tells apart: the network is the same "
        "whichever is where, and every other exchange is rejected"
    )
    assert wiring.undecided == wiring.identical == (copies,)
    assert wiring.as_json()["identical"] == [list(copies)]
    assert {placed.slot for placed in wiring.slots if not placed.certain} == set(copies)
    for slot, key in ((placed.slot, found.truth[placed.piece]) for placed in wiring.slots):
        assert slot == key or {slot, key} == set(copies)
    again = reknit.verify(tmp_path / "made", found.record)
    assert (again.verdict, again.reason, again.undecided) == (wiring.verdict, wiring.reason, wiring.undecided)


def test_a_mask_that_is_stored_several_times_is_one_thing(wired, tmp_path):
    found = wired("masked")
    wiring = reknit.assemble(found.pile, found.record, like=found.like, out=tmp_path / "made")
    assert wiring.verdict == "exact"
    assert wiring.identical == (("first", "second"),)
    assert all(placed.certain for placed in wiring.slots)
    assert reknit.verify(tmp_path / "made", found.record).verdict == "exact"


def test_by_weights_alone_a_copy_is_no_rival_and_still_not_certain(wired):
    def same(state):
        state["1.out.bias"].copy_(state["0.out.bias"])
        state["1.inp.bias"].copy_(state["0.inp.bias"])

    wiring = reknit.assemble((found := wired(change=same)).pile, like=found.like)
    told = {placed.slot: placed for placed in wiring.slots}
    assert wiring.identical == (("0.inp.bias", "1.inp.bias"), ("0.out.bias", "1.out.bias"))
    assert told["0.inp.bias"].margin == float("inf")  # there is nothing else of its shape
    assert not told["0.inp.bias"].certain
