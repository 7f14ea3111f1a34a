"""What the benches of merging are made of: genes whose sites are where they say, and the plain weight matching."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from bench.made_genes import made_genes
from bench.plain_rebasin import matched, mlp_table, moved
from match.matched_nets import random_tensors, traced
from reknit.skeleton.symmetry import Symmetry


def test_sites_are_between_ag_and_gt():
    genes = made_genes(2, 3000, 0)
    letters = genes.inputs.argmax(1).numpy()
    assert (genes.inputs.sum(1) == 1).all()
    assert min(len(genes.acceptors), len(genes.donors)) > 5
    for row, place in genes.acceptors:
        assert letters[row, place - 2 : place].tolist() == [0, 2]  # AG
    for row, place in genes.donors:
        assert letters[row, place + 1 : place + 3].tolist() == [2, 3][: 3000 - place - 1]  # GT


def test_the_plain_matching_undoes_a_permutation():
    _, skeleton = traced("mlp:sizes=12-30-20-4")
    left = random_tensors(skeleton, 0)
    right = Symmetry.random(skeleton, np.random.default_rng(1)).apply(left)
    table = mlp_table(3)
    orders = matched(table, left, right)
    assert all(np.array_equal(moved(right[key], table[key], orders), left[key]) for key in table)
