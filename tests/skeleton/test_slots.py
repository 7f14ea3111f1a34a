"""Slots and families: what repeats across depth gets one name, what is another kind does not."""

from torch import nn

from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.slots import find_slots


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.layers = nn.LayerNorm(4), nn.ModuleList([nn.Linear(4, 4, bias=False) for _ in range(2)])


def families(module):
    return {
        family: [slot.index for slot in slots] for family, slots in Skeleton("", find_slots(module)).families.items()
    }


def test_numbers_of_repeated_modules_are_replaced():
    net = nn.Module()
    net.blocks = nn.ModuleList([Block() for _ in range(11)])
    assert families(net) == {
        "blocks.*.norm.weight": [(k,) for k in range(11)],
        "blocks.*.norm.bias": [(k,) for k in range(11)],
        "blocks.*.layers.*.weight": [(k, j) for k in range(11) for j in range(2)],
    }


def test_other_kinds_under_the_same_keys_are_no_family():
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4))
    assert list(families(net)) == list(net.state_dict())
    mixed = nn.Sequential(Block(), Block(), nn.Linear(4, 2))  # the last has keys of its own
    assert "*.norm.weight" in families(mixed)
    assert "2.weight" in families(mixed)


def test_slots_are_in_the_order_of_the_state_dict_and_tell_buffers():
    net = nn.BatchNorm1d(3)
    slots = find_slots(net)
    assert [slot.key for slot in slots] == list(net.state_dict())
    assert {slot.key: (slot.is_buffer, slot.dtype, slot.shape) for slot in slots}["num_batches_tracked"] == (
        True,
        "int64",
        (),
    )
    assert not slots[0].is_buffer
