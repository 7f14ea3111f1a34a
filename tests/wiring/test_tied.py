"""Piles with both keys of a tied tensor: the copy is left out and named; what differs is refused."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import reknit
from reknit.errors import PileError
from reknit.skeleton.skeleton import Skeleton, Slot
from reknit.wiring.tied import tied_copies
from reknit.wiring.turned import Turned, turned
from wired_nets import write_wired

TABLE, OTHER = Slot("wte", (4, 3), "float32", "wte", aliases=("head",)), Slot("wpe", (4, 3), "float32", "wpe")


def copies(arrays, *slots):
    arrays = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    dtypes = dict.fromkeys(arrays, "float32")
    return tied_copies(Skeleton("net", slots), shapes, dtypes, arrays.__getitem__, "the pile")


A, B, C = (np.full((4, 3), number) for number in (1.0, 2.0, 3.0))


def test_a_copy_of_equal_bits_is_left_out():
    assert copies({"a": A, "b": B, "c": A}, TABLE, OTHER) == {"c": "a"}


def test_nothing_is_left_out_where_counts_agree_even_if_two_are_equal():
    assert copies({"a": A, "c": A}, TABLE, OTHER) == {}


def test_of_three_equal_tensors_as_many_are_left_out_as_are_over():
    assert copies({"a": A, "b": A, "c": A}, TABLE, OTHER) == {"c": "a"}


def test_what_is_not_tied_is_not_touched():
    assert copies({"a": A, "b": A}, OTHER) == {}
    assert copies({"a": A, "b": A, "c": A}, TABLE) == {}  # one copy more than there are keys: the counts are refused


@pytest.mark.parametrize(
    ("arrays", "problem", "remedy"),
    [
        (
            {"a": A, "b": B, "c": C},
            "'wte' and 'head' are one tensor in this network, but of the 3 tensors of that shape no two are equal",
            "Leave out what does not belong, or give a skeleton that does not tie them",
        ),
        (
            {"a": A, "b": B, "c": A, "d": B},
            "'wte' and 'head' are one tensor in this network, and of 2 sets of equal tensors any may be its copies",
            "Leave the copy out",
        ),
    ],
)
def test_what_differs_or_cannot_be_told_is_refused(arrays, problem, remedy):
    slots = (TABLE, OTHER) if len(arrays) == 3 else (TABLE, OTHER, Slot("more", (4, 3), "float32", "more"))
    with pytest.raises(PileError) as caught:
        copies(arrays, *slots)
    assert (caught.value.where, caught.value.problem, caught.value.remedy) == ("the pile", problem, remedy)


def test_only_some_equal_where_more_are_over_is_refused():
    twice = Slot("wte", (4, 3), "float32", "wte", aliases=("head", "foot"))
    with pytest.raises(PileError, match="only 2 are equal to another"):
        copies({"a": A, "b": B, "c": A}, twice)


def test_copies_that_may_be_over_do_not_hide_how_matrices_are_kept():
    shapes = [(3, 4), (3, 4), (5, 3)]
    assert turned(shapes, [(4, 3), (3, 5)]) == Turned()
    assert turned(shapes, [(4, 3), (3, 5)], [(4, 3)]) == Turned(matrices=True)
    assert turned([(4, 3), (4, 3)], [(4, 3)], [(4, 3)]) == Turned()


def test_a_pile_with_both_keys_is_solved_and_says_what_was_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wired = write_wired(tmp_path, "tied")
    both = sorted(piece for piece, key in wired.truth.items() if key in ("table.weight", "head.weight"))
    wiring = reknit.assemble(wired.pile, wired.record, like=wired.like)
    assert wiring.verdict == "exact"
    said = f"{both[1]} holds the same bits as {both[0]}; the network keeps one tensor for both, so it was left out"
    assert wiring.notes == (said,)
    assert wiring.as_json()["notes"] == [said]
    assert wiring.placement["table.weight"] == both[0]
    assert both[1] not in wiring.placement.values()


def test_both_keys_with_other_numbers_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wired = write_wired(tmp_path, "tied")
    piece = next(piece for piece, key in wired.truth.items() if key == "head.weight")
    tensors = load_file(wired.pile)
    tensors[piece] = np.nextafter(tensors[piece], np.float32(9.0))
    save_file(tensors, wired.pile)
    with pytest.raises(PileError, match=r"'table.weight' and 'head.weight' are one tensor.*no two are equal"):
        reknit.assemble(wired.pile, like=wired.like)
