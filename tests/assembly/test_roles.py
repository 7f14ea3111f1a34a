"""Which piece is what, and the sentence when it cannot be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reknit.assembly.roles import candidate_roles, stack_of, steps_of
from reknit.containers.pieces import Piece
from reknit.containers.pile import Pile
from reknit.containers.table import Table
from reknit.errors import PileError


def piece(name, rows, columns, *, dtype="float32", bias=True, weight=True):
    rng = np.random.default_rng(len(name) + rows)
    values = rng.standard_normal((rows, columns)).astype(np.float32) if weight else None
    return Piece(
        name, values, np.ones(rows, np.float32) if bias else None, dtype, "float32" if bias else None, Path(name)
    )


def table(inputs, outputs):
    return Table(
        Path("data.csv"),
        np.zeros((3, inputs)),
        np.zeros((3, outputs)),
        tuple(f"x{k}" for k in range(inputs)),
        tuple(f"y{k}" for k in range(outputs)),
        np.zeros(inputs),
        np.zeros(outputs),
        0,
        (),
    )


def pile(*pieces):
    return Pile(Path("pile"), pieces)


def blocks(count, width, hidden):
    layers = []
    for k in range(count):
        layers += [piece(f"in{k}", hidden, width), piece(f"out{k}", width, hidden)]
    return layers


def test_shapes_tell_the_roles():
    (roles,) = candidate_roles(pile(*blocks(3, 5, 7), piece("head", 2, 5)), table(5, 2))
    assert [p.name for p in roles.ins] == ["in0", "in1", "in2"]
    assert [p.name for p in roles.outs] == ["out0", "out1", "out2"]
    assert (roles.head.name, roles.pooled, roles.blocks) == ("head", False, 3)


def test_a_hidden_layer_narrower_than_the_stream():
    (roles,) = candidate_roles(pile(*blocks(2, 5, 3), piece("head", 2, 5)), table(5, 2))
    assert [p.shape for p in roles.ins] == [(3, 5), (3, 5)]


def test_square_layers_are_one_pool():
    (roles,) = candidate_roles(pile(*blocks(3, 5, 5), piece("head", 1, 5)), table(5, 1))
    assert roles.pooled
    assert roles.ins == roles.outs
    assert (len(roles.ins), roles.blocks) == (6, 3)


def test_a_head_shaped_like_the_in_layers_has_as_many_candidates():
    found = candidate_roles(pile(*blocks(3, 5, 7), piece("head", 7, 5)), table(5, 7))
    assert [roles.head.name for roles in found] == ["in0", "in1", "in2", "head"]
    assert all((len(roles.ins), len(roles.outs), roles.pooled) == (3, 3, False) for roles in found)


def test_a_head_as_square_as_everything_else():
    found = candidate_roles(pile(*blocks(2, 5, 5), piece("head", 5, 5)), table(5, 5))
    assert len(found) == 5
    assert all(roles.pooled and roles.blocks == 2 for roles in found)


def test_a_network_of_a_head_alone():
    (roles,) = candidate_roles(pile(piece("head", 2, 5)), table(5, 2))
    assert roles.blocks == 0


def test_a_loose_bias_goes_to_the_one_weight_that_lacks_one():
    whole = blocks(2, 5, 7)
    bare = replace(whole[1], bias=None, bias_dtype=None)
    loose = replace(whole[1], name="loose", weight=None)
    (roles,) = candidate_roles(pile(whole[0], bare, *whole[2:], loose, piece("head", 2, 5)), table(5, 2))
    placed = {p.name: p for p in (*roles.ins, *roles.outs)}
    assert set(placed) == {p.name for p in whole}
    assert placed[bare.name].bias is whole[1].bias


@pytest.mark.parametrize(
    ("pieces", "data", "sentence"),
    [
        (
            (*blocks(3, 5, 7)[1:], piece("head", 2, 5)),
            (5, 2),
            "pile: 2 in-layers (7 x 5) but 3 out-layers (5 x 7). "
            "Look for a missing or a foreign piece with reknit inspect.",
        ),
        (
            (*blocks(3, 5, 5)[1:], piece("head", 2, 5)),
            (5, 2),
            "pile: 5 square pieces cannot be halved into in- and out-layers. "
            "Look for a missing or a foreign piece with reknit inspect.",
        ),
        (
            (*blocks(3, 5, 7), piece("head", 2, 5), piece("stray", 4, 6)),
            (5, 2),
            "stray: is 4 x 6, but the table has 5 inputs: one side has to be 5. "
            "Take the piece out of the pile, or choose the input columns with --inputs.",
        ),
        (
            (*blocks(3, 5, 7), piece("head", 2, 5), piece("stray", 4, 5)),
            (5, 2),
            "pile: stray is 4 x 5, which fits neither the head nor blocks of 7 hidden units. "
            "Look for a missing or a foreign piece with reknit inspect.",
        ),
        (
            blocks(2, 5, 7),
            (5, 2),
            "pile: no piece is 2 x 5, the head for 2 recorded outputs (there are 2 of 7 x 5, 2 of 5 x 7). "
            "Choose the output columns with --target.",
        ),
        (
            (*blocks(2, 5, 7), piece("head", 2, 5), piece("loose", 5, 1, weight=False)),
            (5, 2),
            "loose: is a bias without a weight, and there is no weight of 5 rows without one. "
            "Take the piece out of the pile.",
        ),
        (
            (
                *blocks(2, 5, 7),
                piece("bare", 7, 5, bias=False),
                piece("bare2", 7, 5, bias=False),
                piece("loose", 7, 1, weight=False),
                piece("head", 2, 5),
            ),
            (5, 2),
            "loose: is a bias without a weight, and with 1 bias and 2 weights of 7 rows left over "
            "it cannot be told whose it is. Put the bias into the file of its weight.",
        ),
        (
            (*blocks(2, 5, 7), piece("head", 2, 5)),
            (4, 2),
            "in0: is 7 x 5, but the table has 4 inputs: one side has to be 4. "
            "Take the piece out of the pile, or choose the input columns with --inputs.",
        ),
        (
            (*blocks(2, 5, 7), piece("head", 2, 5), piece("head2", 2, 5)),
            (5, 2),
            "pile: head2 is 2 x 5, which fits neither the head nor blocks of 7 hidden units. "
            "Look for a missing or a foreign piece with reknit inspect.",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(pieces, data, sentence):
    with pytest.raises(PileError) as caught:
        candidate_roles(pile(*pieces), table(*data))
    assert str(caught.value) == sentence


def test_the_layers_are_stacked_in_order_and_missing_biases_are_zero():
    layers = [*blocks(2, 5, 7), piece("head", 2, 5, bias=False)]
    layers[2] = piece("in1", 7, 5, bias=False)
    (roles,) = candidate_roles(pile(*layers), table(5, 2))
    stack = stack_of(roles, 5, "relu", "none", "rms")
    for k, layer in enumerate(roles.ins):
        np.testing.assert_array_equal(stack.in_weight[k], layer.weight)
    assert stack.in_bias.tolist() == [[1.0] * 7, [0.0] * 7]
    assert stack.out_bias.tolist() == [[1.0] * 5] * 2
    assert stack.head_bias.tolist() == [0.0, 0.0]
    assert (stack.activation.name, stack.norm.name, stack.final_norm.name) == ("relu", "none", "rms")


def test_only_coarse_dtypes_have_steps():
    layers = [*blocks(2, 5, 7), piece("head", 2, 5)]
    (roles,) = candidate_roles(pile(*layers), table(5, 2))
    assert not steps_of(roles, table(5, 2), 0.0).known
    assert steps_of(roles, table(5, 2), 0.1).known
    layers[1] = piece("out0", 5, 7, dtype="bfloat16")
    (roles,) = candidate_roles(pile(*layers), table(5, 2))
    steps = steps_of(roles, table(5, 2), 0.0)
    assert set(steps.weights) == {"out_weight"}
    assert (steps.weights["out_weight"][0] > 0).all()  # the rounded one
    assert not steps.weights["out_weight"][1].any()  # its neighbour is not
    np.testing.assert_array_equal(steps.weights["out_weight"][0], layers[1].weight_step())
