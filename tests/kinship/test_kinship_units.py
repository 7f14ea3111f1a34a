"""Which units are tested: jointly uniform by a skeleton, nothing that may be an input or output without one, voids."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from match.matched_nets import random_tensors, traced
from reknit.kinship import units_by_shape, units_by_skeleton
from reknit.kinship.fixed_points import fixed_points
from reknit.kinship.relation import Void
from reknit.kinship.unit_tables import UnitTable, balanced
from reknit.kinship.voids import (
    FOLLOWING,
    NEIGHBOURS,
    from_name,
    in_sequence,
    near_identity,
    same_units_twice,
    units_sorted,
    written_table,
)
from reknit.skeleton.symmetry import Permutation, Symmetry
from reknit.skeleton.trace import trace
from strategies import seeds


class Mixed(nn.Module):
    """A stream that is mixed with itself: rows and columns of ``mix`` run over the same units."""

    def __init__(self):
        super().__init__()
        self.inp, self.mix, self.out = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        h = self.inp(x)
        return self.out(torch.relu(h + self.mix(h)))


def tables_of(like, a, b):
    skeleton = traced(like)[1]
    return parted(units_by_skeleton.tables(units_by_skeleton.planned(skeleton), a, b))


def parted(found):
    """Tables, and what was left out."""
    found = list(found)
    return [x for x in found if isinstance(x, UnitTable)], [x for x in found if isinstance(x, Void)]


def test_the_matchings_of_all_groups_are_jointly_uniform():
    """All 3! x 3! relabellings of the hidden units of A lead to all 3! x 3! pairs of matchings, each once."""
    like = "mlp:sizes=4-3-3-2"
    skeleton = traced(like)[1]
    a, b = (random_tensors(skeleton, seed) for seed in (1, 2))
    rng = np.random.default_rng(0)
    seen = []
    for orders in itertools.product(itertools.permutations(range(3)), repeat=2):
        moves = [Permutation(f"layers.{k}", np.array(order)) for k, order in enumerate(orders)]
        moved = Symmetry(skeleton, tuple(moves)).apply(a)
        found, _ = tables_of(like, moved, b)
        seen.append(tuple(tuple(fixed_points(*table.matched, rng).matching) for table in found))
    assert len(seen) == len(set(seen)) == 36


@pytest.mark.parametrize("like", ["llama", "bert", "preact-resnet", "mlp"])
def test_every_matching_looks_at_groups_that_come_before_it_alone(like):
    like = {"mlp": "mlp:sizes=4-3-3-2"}.get(like, like)
    from match.matched_nets import LIKES

    skeleton = traced(LIKES.get(like, like))[1]
    plan = units_by_skeleton.planned(skeleton)
    tested = [group.name for group in plan.groups]
    assert any(plan.matched[name] for name in tested)
    for k, group in enumerate(plan.groups):
        assert not group.fixed
        assert group.within is None
        slots = {member.slot for member in plan.matched[group.name]}
        for other in plan.groups[k + 1 :]:
            assert not slots & {member.slot for member in other.members}


def test_a_matrix_both_of_whose_axes_are_one_group_is_not_matched():
    skeleton = trace(Mixed(), (torch.zeros(2, 4),), name="mixed")
    plan = units_by_skeleton.planned(skeleton)
    (group,) = plan.groups
    assert {m.slot for m in group.members} >= {"inp.weight", "mix.weight", "out.weight"}
    assert [m.slot for m in plan.matched[group.name]] == ["inp.weight"]


def test_heads_rotary_pairs_inputs_and_outputs_are_named_as_void():
    from match.matched_nets import LIKES

    reasons = {void.reason for void in units_by_skeleton.planned(traced(LIKES["llama"])[1]).voids}
    assert {"looked up by the input", "output", "constant", "heads, with units of their own inside"} <= reasons
    assert "lies within heads or groups" in reasons


@settings(max_examples=20)
@given(seeds, st.integers(2, 8), st.integers(2, 8))
def test_balanced_tables_do_not_see_positive_factors(seed, rows, columns):
    rng = np.random.default_rng(seed)
    table = rng.uniform(0.2, 1, size=(rows, columns)) * rng.choice([-1, 1], size=(rows, columns))
    factors = rng.uniform(0.5, 2, size=(rows, 1)) * rng.uniform(0.5, 2, size=columns)
    assert balanced(table * factors) == pytest.approx(balanced(table), abs=0.02)
    assert np.linalg.norm(balanced(table), axis=1) == pytest.approx(np.ones(rows))


def drawn(shapes, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def by_shape(shapes):
    tables, voids = parted(units_by_shape.tables(drawn(shapes, 1), drawn(shapes, 2)))
    return {table.name for table in tables}, {void.where: void.reason for void in voids}


def test_without_a_skeleton_inputs_outputs_and_heads_are_left_out():
    found, voids = by_shape(
        {"fc1.weight": (20, 7), "fc2.weight": (20, 20), "query.weight": (20, 20), "out.weight": (5, 20)}
    )
    assert found == {
        "rows of fc1.weight",
        "rows of fc2.weight",
        "columns of fc2.weight",
        "columns of query.weight",
        "columns of out.weight",
    }
    assert voids == {
        "columns of fc1.weight": "may be the network's input, or grouped channels",
        "rows of query.weight": "lies in heads that no skeleton names",
        "rows of out.weight": "may be the network's output",
    }


def test_an_autoencoder_hides_its_ends_and_is_not_tested():
    found, voids = by_shape({"enc.weight": (20, 9), "dec.weight": (9, 20)})
    assert found == set()
    assert voids["rows of dec.weight"].startswith(
        "the network's output cannot be told from shapes; a skeleton (--like)"
    )
    assert voids["columns of enc.weight"].startswith("the network's input cannot be told from shapes")


def test_tables_are_tested_by_their_columns():
    found, voids = by_shape({"embed.weight": (30, 12), "up.weight": (24, 12), "down.weight": (12, 24)})
    assert "columns of embed.weight" in found
    assert voids["rows of embed.weight"] == "a table that is looked up"


def test_ten_answers_are_an_output_though_another_size_is_a_multiple():
    found, voids = by_shape({"fc1.weight": (640, 7), "fc2.weight": (640, 640), "fc3.weight": (10, 640)})
    assert voids["rows of fc3.weight"] == "may be the network's output"
    assert "rows of fc1.weight" in found


def test_written_tables_are_told():
    places = np.arange(40)[:, None] / 10000 ** (np.arange(8) // 2 / 4)
    sines = np.where(np.arange(8) % 2, np.cos(places), np.sin(places))
    rng = np.random.default_rng(0)
    assert written_table(np.eye(9)[rng.permutation(9)]) == "one-hot rows"
    assert written_table(sines) == "sines of positions"
    assert written_table(sines + 0.02 * rng.normal(size=sines.shape)) == ""
    assert written_table(rng.normal(size=(40, 8))) == ""


def test_matrices_drawn_around_an_identity_are_left_out_and_tie_their_groups():
    """Nets that start from identities resemble each other in place without kinship."""
    like = "mlp:sizes=4-30-30-2"
    skeleton = traced(like)[1]
    states = [random_tensors(skeleton, seed) for seed in (1, 2)]
    for state in states:
        state["layers.1.weight"] = 0.1 * state["layers.1.weight"] + np.eye(30, dtype=np.float32)
    found, voids = tables_of(like, *states)
    assert ("layers.1.weight", "its diagonal stands out, as if drawn around an identity") in {
        (void.where, void.reason) for void in voids
    }
    assert {table.name: table.matched is None for table in found} == {"layers.0": False, "layers.1": True}
    one_alone, voids = tables_of(like, states[0], random_tensors(skeleton, 3))
    assert "layers.1.weight" not in {void.where for void in voids}
    assert all(table.matched is not None for table in one_alone)


def test_taps_around_an_identity_stand_out():
    kernel = np.random.default_rng(0).normal(size=(24, 16, 3))
    assert near_identity(kernel) == ""
    kernel[:, :, 1] += 5 * np.eye(24, 16)
    assert "drawn around an identity" in near_identity(kernel)


def test_a_diagonal_or_a_symmetric_matrix_stands_out():
    drawn = np.random.default_rng(0).normal(size=(40, 40))
    assert same_units_twice(drawn) == ""
    assert "its diagonal stands out" in same_units_twice(drawn + 5 * np.eye(40))
    assert "resembles its transpose" in same_units_twice(drawn + 0.5 * drawn.T)


@given(seeds)
def test_units_are_called_sorted_if_those_of_both_networks_are(seed):
    rng = np.random.default_rng(seed)
    mark, other = rng.normal(size=(2, 64))
    assert units_sorted([("bias", np.sort(mark), np.sort(other))]) == "units sorted by bias"
    assert units_sorted([("bias", np.sort(mark), other)]) == ""
    assert units_sorted([("bias", np.sort(mark), other), ("gain", mark, -np.sort(other))]).startswith("units sorted by")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("wte.weight", "a table that is looked up"),
        ("layers.0.self_attn.k_proj.weight", "lies in heads that no skeleton names"),
        ("rnn.weight_hh_l0", "lies in gates of a recurrent cell that no skeleton names"),
        ("layers.0.mlp.gate_proj.weight", ""),
    ],
)
def test_names_tell_what_is_not_free(name, reason):
    assert from_name(name) == reason


def shifted(rng):
    return np.roll(np.eye(64), 1, axis=1) + 0.01 * rng.normal(size=(64, 64))


def oblong(rng):
    return np.eye(64, 48) + 0.01 * rng.normal(size=(64, 48))


def in_blocks(rng):
    """Gates, candidates and outputs in one matrix, each about a mean of its own."""
    return np.repeat([0.1, 0, -0.1], 64)[:, None] + rng.normal(size=(192, 64)) / 8


def waves(rng):
    return np.sin(np.outer(np.arange(64), 1 / 10 ** np.linspace(0, 4, 32))) + 0.02 * rng.normal(size=(64, 32))


@pytest.mark.parametrize("drawn_by", [shifted, oblong, in_blocks, waves])
def test_rows_whose_order_means_something_are_left_out(drawn_by):
    a, b = ({"w": drawn_by(rng), "last": rng.normal(size=(10, 64))} for rng in map(np.random.default_rng, (0, 1)))
    a, b = ({**net, "next": np.random.default_rng(k).normal(size=(64, len(net["w"])))} for k, net in enumerate((a, b)))
    tested, left_out = parted(units_by_shape.tables(a, b))
    assert "rows of w" in {void.where for void in left_out}
    assert "rows of w" not in {table.name for table in tested}


@settings(max_examples=20)
@given(seeds, st.integers(2, 80), st.integers(2, 40))
def test_drawn_rows_are_in_no_sequence(seed, rows, columns):
    assert in_sequence(np.random.default_rng(seed).standard_t(3, size=(rows, columns))) == ""


def test_a_skeleton_leaves_out_units_in_sequence():
    like = "mlp:sizes=48-64-10"
    a, b = (random_tensors(traced(like)[1], seed) for seed in (0, 1))
    key = next(key for key, value in a.items() if value.shape == (64, 48))
    band = np.exp(-((np.linspace(0, 47, 64)[:, None] - (np.arange(48) + 5) % 48) ** 2) / 8)
    drawn = [net[key] / net[key].std() + 4 * band for net in (a, b)]
    alike = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in drawn]
    a, b = ({**net, key: each.astype(np.float32)} for net, each in zip((a, b), alike, strict=True))
    tested, left_out = tables_of(like, a, b)
    assert not tested
    assert {NEIGHBOURS, FOLLOWING} & {void.reason for void in left_out}
