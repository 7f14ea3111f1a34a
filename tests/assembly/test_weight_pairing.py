"""Evidence for pairs from weights, against naive loops; right where a network is trained, modest where it is not."""

import numpy as np
import pytest

from nets import random_net, relabelled, trained_net
from reknit.assembly.weight_pairing import (
    gram_scores,
    pair_by_weights,
    pair_margins,
    product_norms,
    template_scores,
    trace_products,
)
from reknit.network.stack import Stack


def pooled_stack(stack, order):
    """In- and out-layers of square blocks in one pool, in this order."""
    weight, bias = (
        np.concatenate([stack.in_weight, stack.out_weight])[order],
        np.concatenate([stack.in_bias, stack.out_bias])[order],
    )
    rest = (stack.head_weight, stack.head_bias, stack.activation, stack.norm, stack.final_norm)
    return Stack(weight, bias, weight, bias, *rest)


@pytest.fixture
def stack():
    return random_net(1, blocks=4, width=5, hidden=7).stack


def products(stack):
    return [[stack.out_weight[j] @ stack.in_weight[i] for j in range(4)] for i in range(4)]


def test_traces_and_norms_of_all_products(stack):
    made = products(stack)
    traces, norms = trace_products(stack), product_norms(stack)
    for i in range(4):
        for j in range(4):
            assert float(traces[i, j]) == pytest.approx(float(made[i][j].trace()), abs=1e-6)
            assert float(norms[i, j]) == pytest.approx(float(np.linalg.norm(made[i][j])), rel=1e-4)


def test_grams_are_correlations_of_entries(stack):
    off, sizes = gram_scores(stack)
    pick = [(a, b) for a in range(7) for b in range(a + 1, 7)]
    for i in range(4):
        reader = stack.in_weight[i] @ stack.in_weight[i].T
        for j in range(4):
            writer = stack.out_weight[j].T @ stack.out_weight[j]
            expected = np.corrcoef([reader[p] for p in pick], [writer[p] for p in pick])[0, 1]
            assert off[i, j] == pytest.approx(expected, abs=1e-5)
            expected = np.corrcoef(np.log(reader.diagonal()), np.log(writer.diagonal()))[0, 1]
            assert sizes[i, j] == pytest.approx(expected, abs=1e-5)


def test_the_template_leaves_a_pairs_own_product_out(stack):
    pairs = [(0, 2), (1, 0), (2, 1), (3, 3)]
    made = products(stack)
    units = {pair: made[pair[0]][pair[1]] / np.linalg.norm(made[pair[0]][pair[1]]) for pair in pairs}
    found = template_scores(stack, product_norms(stack), pairs, False)
    for i in range(4):
        for j in range(4):
            template = sum(unit for pair, unit in units.items() if pair != (i, j))
            expected = float((made[i][j] * template).sum() / np.linalg.norm(made[i][j]))
            assert found[i, j] == pytest.approx(expected, abs=1e-4)


def test_the_template_of_a_pool_leaves_it_out_both_ways_round():
    square = random_net(2, blocks=3, width=5, hidden=5).stack
    pool = pooled_stack(square, np.arange(6))
    pairs = [(0, 3), (4, 1), (2, 5)]
    weight = pool.in_weight
    units = {(a, b): weight[b] @ weight[a] / np.linalg.norm(weight[b] @ weight[a]) for a, b in pairs}
    found = template_scores(pool, product_norms(pool), pairs, True)
    for a in range(6):
        for b in range(6):
            if a != b:
                template = sum(unit for pair, unit in units.items() if set(pair) != {a, b})
                product = weight[b] @ weight[a]
                assert found[a, b] == pytest.approx(
                    float((product * template).sum() / np.linalg.norm(product)), abs=1e-4
                )


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 4},
        {"epochs": 8, "seed": 1},
        {"epochs": 8, "activation": "gelu", "norm": "layer"},
        {"epochs": 8, "blocks": 8, "width": 16},
    ],
)
def test_trained_networks_are_paired_by_their_weights(options):
    stack = trained_net(**options).stack
    assert pair_by_weights(stack).pairs == tuple((k, k) for k in range(stack.blocks))


def test_training_makes_the_products_coherent():
    trained, untrained = (
        [pair_by_weights(trained_net(epochs=epochs, seed=seed).stack).coherence for seed in range(5)]
        for epochs in (4, 0)
    )
    assert np.median(trained) > 3
    assert np.median(untrained) < 2.3


def test_a_pool_of_trained_square_layers_is_paired_and_directed():
    stack = trained_net(width=16, hidden=16, epochs=8).stack
    n = stack.blocks
    order = np.random.default_rng(3).permutation(2 * n)
    found = pair_by_weights(pooled_stack(stack, order), pooled=True)
    truth = sorted(tuple(int(np.flatnonzero(order == m)[0]) for m in (k, n + k)) for k in range(n))
    assert list(found.pairs) == truth


@pytest.mark.parametrize("seed", range(5))
def test_untrained_networks_are_not_trusted(seed):
    found = pair_by_weights(trained_net(epochs=0, seed=seed).stack)
    assert found.coherence < 3


def test_what_the_layers_are_called_does_not_matter():
    stack = trained_net().stack
    plain = pair_by_weights(stack)
    generator = np.random.default_rng(0)
    ins, outs = (generator.permutation(6).tolist() for _ in range(2))
    renamed = pair_by_weights(relabelled(stack, ins, outs))
    assert sorted((ins[i], outs[j]) for i, j in renamed.pairs) == list(plain.pairs)
    np.testing.assert_allclose(renamed.scores, plain.scores[np.ix_(ins, outs)], atol=1e-3)
    assert renamed.coherence == pytest.approx(plain.coherence, abs=1e-3)


def test_margins_are_against_the_best_rival():
    scores = np.array([[5.0, 4.0, 0.0], [1.0, 3.0, 2.5], [0.0, 0.0, 1.0]])
    assert pair_margins(scores, [(0, 0), (1, 1), (2, 2)], False) == (1.0, -1.0, -1.5)


def test_margins_follow_the_order_of_the_pairs():
    scores = np.array([[5.0, 4.0, 0.0], [1.0, 3.0, 2.5], [0.0, 0.0, 1.0]])
    assert pair_margins(scores, [(2, 2), (0, 0), (1, 1)], False) == (-1.5, 1.0, -1.0)


def test_margins_of_a_pool_count_every_other_use_of_either_layer():
    scores = np.zeros((4, 4))
    scores[0, 1], scores[1, 0], scores[0, 3], scores[2, 3] = 5.0, 2.0, 4.0, 6.0
    assert pair_margins(scores, [(0, 1), (2, 3)], True) == (1.0, 2.0)


@pytest.mark.parametrize("blocks", [1, 2])
def test_very_few_blocks(blocks):
    found = pair_by_weights(random_net(blocks=blocks).stack)
    assert sorted(i for i, _ in found.pairs) == sorted(j for _, j in found.pairs) == list(range(blocks))
    assert found.coherence < 3
