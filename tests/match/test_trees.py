"""Ensembles of soft trees: symmetries leave the function alone; planted ones are undone; brute force as oracle."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.errors import InputError, UsageError
from reknit.match.trees.ensemble import TreeEnsemble, average
from reknit.match.trees.matching import match_activations, match_order, match_weights
from reknit.match.trees.symmetry import TreeSymmetry


def ensemble(seed, trees=3, depth=2, inputs=3, outputs=2, oblivious=False):
    rng = np.random.default_rng(seed)
    nodes = depth if oblivious else 2**depth - 1
    shapes = (trees, nodes, inputs), (trees, nodes), (trees, 2**depth, outputs)
    return TreeEnsemble(*(rng.normal(size=shape) for shape in shapes), oblivious=oblivious)


sizes = {"trees": st.integers(0, 4), "inputs": st.integers(1, 3), "outputs": st.integers(1, 2)}
kinds = {"seed": st.integers(0, 10**6), "oblivious": st.booleans()}
ensembles = st.builds(ensemble, depth=st.integers(0, 3), **sizes, **kinds)
splitting = st.builds(ensemble, depth=st.integers(1, 3), **sizes, **kinds)
seeds = st.integers(0, 10**6)
X = np.random.default_rng(0).normal(size=(20, 3))


def parameters(trees):
    return np.concatenate([part.ravel() for part in trees.parts])


def same(first, second, atol=0.0):
    return all(np.allclose(a, b, rtol=0, atol=atol) for a, b in zip(first.parts, second.parts, strict=True))


@given(trees=ensembles)
def test_the_shares_of_a_tree_sum_to_one(trees):
    shares = trees.shares(X[:, : trees.weights.shape[2]])
    assert shares.shape == (len(X), trees.trees, 2**trees.depth)
    np.testing.assert_allclose(shares.sum(-1), 1, atol=1e-12)


@pytest.mark.parametrize("oblivious", [False, True])
def test_shares_are_the_product_along_the_path(oblivious):
    trees = ensemble(1, depth=3, oblivious=oblivious)
    for leaf, sides in enumerate(product((0, 1), repeat=3)):
        node, share = 0, np.ones((len(X), 3))
        for depth, side in enumerate(sides):
            split = depth if oblivious else node
            score = X @ trees.weights[:, split].T + trees.biases[:, split]
            share = share / (1 + np.exp(score if side else -score))
            node = 2 * node + 1 + side
        np.testing.assert_allclose(trees.shares(X)[:, :, leaf], share, atol=1e-12)


def test_splits_far_from_a_sample_neither_overflow_nor_round_to_nothing():
    trees = TreeEnsemble(np.full((1, 1, 3), 1e5), np.zeros((1, 1)), np.array([[[1.0], [2.0]]]))
    assert set(trees(X).round(9).ravel()) <= {1.0, 2.0}


@given(trees=ensembles, seed=seeds)
def test_a_symmetry_leaves_the_function_as_it_is(trees, seed):
    x = X[:, : trees.weights.shape[2]]
    changed = TreeSymmetry.drawn(trees, np.random.default_rng(seed)).apply(trees)
    np.testing.assert_allclose(changed(x), trees(x), atol=1e-12)


@given(trees=ensembles, seed=seeds)
def test_the_inverse_undoes_it_bit_for_bit(trees, seed):
    symmetry = TreeSymmetry.drawn(trees, np.random.default_rng(seed))
    assert same(symmetry.inverse().apply(symmetry.apply(trees)), trees)
    assert same(symmetry.apply(symmetry.inverse().apply(trees)), trees)


@given(trees=ensembles, seed=seeds)
def test_a_planted_symmetry_is_undone_exactly(trees, seed):
    planted = TreeSymmetry.drawn(trees, np.random.default_rng(seed)).apply(trees)
    x = X[:, : trees.weights.shape[2]]
    for found in (match_weights(trees, planted), match_activations(trees, planted, x)):
        aligned = found.apply(planted)
        np.testing.assert_allclose(aligned(x), trees(x), atol=1e-12)
        assert same(aligned, trees) or trees.depth == 0  # trees of one leaf are constants: nothing tells them apart


@given(first=splitting, seed=seeds)
def test_aligning_twice_is_aligning_once(first, seed):
    second = ensemble(seed, first.trees, first.depth, first.weights.shape[2], first.leaves.shape[2], first.oblivious)
    once = match_weights(first, second).apply(second)
    assert same(match_weights(first, once).apply(once), once)


@given(first=splitting, seed=seeds, constants=st.floats(-3, 3))
def test_constants_moved_between_trees_do_not_count(first, seed, constants):
    second = ensemble(seed, first.trees, first.depth, first.weights.shape[2], first.leaves.shape[2], first.oblivious)
    moved = second.leaves + constants * np.arange(first.trees)[:, None, None]
    shifted = TreeEnsemble(second.weights, second.biases, moved, second.oblivious)
    one, other = match_weights(first, second), match_weights(first, shifted)
    assert (one.order == other.order).all()
    assert (one.flips == other.flips).all()


def every_change(trees):
    """Every element of the group of an ensemble of two trees."""
    count, nodes = trees.biases.shape
    depths = list(permutations(range(nodes))) if trees.oblivious else [()]
    each = [(np.array(f), np.array(d, dtype=int)) for f in product((False, True), repeat=nodes) for d in depths]
    for order in permutations(range(count)):
        for chosen in product(each, repeat=count):
            yield TreeSymmetry(np.array(order), np.array([c[0] for c in chosen]), np.array([c[1] for c in chosen]))


def similarity(first, second):
    """The weighted inner product, written out."""
    below = np.full(2, 4.0) if first.oblivious else np.array([4.0, 2.0, 2.0])
    total = np.einsum("n,mni,mni->", below, first.weights, second.weights)
    total += np.einsum("n,mn,mn->", below, first.biases, second.biases)
    leaves = [trees.leaves - trees.leaves.mean(1, keepdims=True) for trees in (first, second)]
    return total + (leaves[0] * leaves[1]).sum()


@pytest.mark.parametrize("oblivious", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_match_by_weights_is_the_best_of_the_whole_group(oblivious, seed):
    first, second = (ensemble([seed, k], trees=2, oblivious=oblivious) for k in range(2))
    found = similarity(first, match_weights(first, second).apply(second))
    best = max(similarity(first, change.apply(second)) for change in every_change(second))
    assert found == pytest.approx(best)
    assert best > similarity(first, match_order(first, second).apply(second))


def test_by_activations_the_trees_are_told_by_their_answers_alone():
    trees = ensemble(3, trees=4)
    noise = TreeEnsemble(trees.weights, trees.biases + 1e-3, trees.leaves)
    order = np.array([2, 0, 3, 1])
    plain = TreeSymmetry.identity(trees)
    moved = TreeSymmetry(order, plain.flips, plain.depths).apply(noise)
    assert match_activations(trees, moved, X).order.tolist() == np.argsort(order).tolist()


def test_reordering_alone_does_not_undo_flips():
    trees = ensemble(4, trees=4)
    flips = np.ones_like(TreeSymmetry.identity(trees).flips)
    planted = TreeSymmetry(np.arange(4), flips, np.zeros((4, 0), dtype=int)).apply(trees)
    assert not same(match_order(trees, planted).apply(planted), trees, atol=1e-3)


@given(trees=ensembles, share=st.floats(0, 1))
def test_the_average_of_copies_is_the_copy(trees, share):
    assert same(average([trees, trees], [share, 1 - share]), trees, atol=1e-12)
    assert same(average([trees]), trees)


def test_an_average_is_the_mean_of_the_parameters():
    first, second = ensemble(1), ensemble(2)
    expected = 0.25 * parameters(first) + 0.75 * parameters(second)
    np.testing.assert_allclose(parameters(average([first, second], [0.25, 0.75])), expected)


def bad(**changed):
    good = {"weights": np.zeros((2, 3, 2)), "biases": np.zeros((2, 3)), "leaves": np.zeros((2, 4, 1))}
    return TreeEnsemble(**(good | changed))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: bad(leaves=np.zeros((2, 5, 1))), InputError, "make no trees. Give trees x nodes x inputs"),
        (lambda: bad(weights=np.zeros((2, 2, 2)), biases=np.zeros((2, 2))), InputError, "make no trees"),
        (lambda: bad(biases=np.zeros((2, 2))), InputError, "make no trees"),
        (lambda: bad(biases=np.zeros(2)), InputError, "make no trees"),
        (lambda: bad(leaves=np.zeros((3, 4, 1))), InputError, "make no trees"),
        (lambda: bad(biases=np.full((2, 3), np.nan)), InputError, "not every number is finite"),
        (lambda: match_weights(ensemble(0), ensemble(0, trees=2)), InputError, "are two architectures"),
        (lambda: match_order(ensemble(0), ensemble(0, oblivious=True)), InputError, "are two architectures"),
        (lambda: average([ensemble(0), ensemble(0, trees=2)]), InputError, "are two architectures"),
        (lambda: average([]), UsageError, "0 ensembles cannot be averaged"),
        (lambda: average([ensemble(0)], [0.5]), UsageError, "Give one weight for each, of sum 1"),
        (lambda: match_activations(ensemble(0), ensemble(1), X[:0]), UsageError, "no rows to compare answers on"),
        (
            lambda: match_weights(*[ensemble(0, trees=1, depth=7, oblivious=True)] * 2),
            UsageError,
            "split orders of depth 7 are too many to try",
        ),
        (lambda: TreeSymmetry.identity(ensemble(0)).apply(ensemble(0, trees=2)), InputError, "Apply it to ensembles"),
    ],
)
def test_words(call, error, words):
    with pytest.raises(error, match=words):
        call()
