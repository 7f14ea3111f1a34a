import pytest
import torch

from reknit.errors import TableError
from reknit.wiring.observed import ObservedNumbers, ObservedOrder
from reknit.wiring.readings import observe

ANSWER = torch.tensor([[0.3, -1.0, 2.0], [1.5, 0.4, 0.2]])
ONE = torch.tensor([[0.3], [-1.0]])


def read(answer, record, link=None, *, bounded=False):
    return observe(answer, torch.as_tensor(record), link, bounded=bounded)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.float32, torch.float16])
def test_labels_of_any_type_are_class_ids(dtype):
    found = read(ANSWER, torch.tensor([2, 0]).to(dtype))
    assert isinstance(found, ObservedOrder)
    assert (found.ids.tolist(), found.classes, found.threshold) == ([[2], [0]], 3, None)


def test_the_best_k_lie_along_the_last_axis():
    found = read(ANSWER, [[2, 0], [0, 1]])
    assert isinstance(found, ObservedOrder)
    assert found.ids.tolist() == [[2, 0], [0, 1]]
    assert found.labels == 4
    assert read(ANSWER, [[2, 0, 1], [0, 1, 2]]).labels == 4  # the last of all is no choice


@pytest.mark.parametrize("record", [[[1], [0]], [1, 0], [[True], [False]], [True, False]])
@pytest.mark.parametrize(("bounded", "threshold"), [(True, 0.5), (False, 0.0)])
def test_a_single_number_is_above_zero_or_is_a_probability_above_one_half(record, bounded, threshold):
    found = read(ONE, record, bounded=bounded)
    assert isinstance(found, ObservedOrder)
    assert (found.ids.tolist(), found.classes, found.threshold) == ([[[1]], [[0]]], 2, threshold)


def test_several_numbers_may_each_be_above_zero():
    found = read(ANSWER, [[1, 0, 1], [1, 1, 1]])
    assert isinstance(found, ObservedOrder)
    assert found.labels == 6


def test_numbers_stay_numbers():
    assert isinstance(read(ANSWER, ANSWER), ObservedNumbers)
    assert isinstance(read(ANSWER, torch.tensor([[3.0, 7.0, 7.0]] * 2)), ObservedNumbers)


@pytest.mark.parametrize(
    ("answer", "record", "link", "sentence"),
    [
        (ANSWER[:, :2], [[0, 1], [1, 0]], None, "read as top-k and as binary.*--link top-k or --link binary"),
        (ANSWER, [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]], None, "read as sigmoid and as binary"),
        (ANSWER, [[2.0, 1.0, 0.0], [1.0, 0.0, 2.0]], None, "read as identity and as top-k"),
        (ANSWER, [[0, 0, 1], [1, 0, 0]], None, "each row holds a single 1.*--link binary"),
        (ANSWER, [[3, 7, 7], [1, 1, 1]], None, "neither the answers nor their class ids"),
        (ANSWER, [3, 0], None, "neither the answers nor their class ids"),
        (ANSWER, [-1, 0], "top-k", "neither the answers nor their class ids"),
        (ANSWER, [[0, 0], [0, 1]], "top-k", "neither the answers nor their class ids"),
        (ANSWER, [[0.5, 1.0, 0.0]] * 2, "binary", r"not 0 or 1 for every number of the answer.*\(2, 3\)"),
        (ANSWER, [2, 0], "identity", r"recorded in the shape \(2,\), the module answers \(2, 3\)"),
        (ANSWER, [[1, 0, 1]] * 2, "identity", "whole numbers are no answers"),
        (ANSWER, [[0.1, torch.nan, 1.0]] * 2, None, "undefined"),
        (ANSWER, [[0.1, torch.inf, 1.0]] * 2, "softmax", "infinite numbers, which do not come from a softmax"),
    ],
)
def test_what_cannot_be_read_or_in_two_ways_is_refused(answer, record, link, sentence):
    with pytest.raises(TableError, match=sentence):
        read(answer, record, link)


def test_what_can_be_read_in_two_ways_is_read_as_it_is_said():
    record = [[0, 1], [1, 0]]
    ranked, sides = (read(ANSWER[:, :2], record, link) for link in ("top-k", "binary"))
    assert (ranked.labels, sides.labels) == (2, 4)
