"""Modules from PyPI that reknit has never heard of: a planted permutation comes back, the function unchanged."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from match.matched_nets import random_tensors, save
from reknit import align
from reknit.skeleton.like import resolve
from reknit.skeleton.symmetry import Symmetry
from reknit.skeleton.trace import trace

LAYERS = 2


@pytest.mark.parametrize(("name", "shape", "others"), [("distilbert", "int:1x9", 1), ("vit", "1x1x8x8", 0)])
def test_a_permuted_copy_of_a_foreign_module_comes_back_exactly(tmp_path, name, shape, others):
    spelled = f"match.foreign_callables:{name}"
    like = resolve(spelled, shape)
    skeleton = trace(like.module, like.inputs, name=name)
    left = random_tensors(skeleton, 0)
    planted = Symmetry.random(skeleton, np.random.default_rng(1))
    # the stream; a layer: heads, query-key, value, hidden; the units before the classifier, where there are any
    assert len(planted.permutations) == 1 + 4 * LAYERS + others
    first = save(tmp_path / "a.safetensors", left)
    second = save(tmp_path / "b.safetensors", planted.apply(left))
    found = align(first, second, like=spelled, input=shape, out=tmp_path / "c.safetensors")
    assert found.verdict == "exact"
    assert found.distance[0] > 1
    aligned = load_file(tmp_path / "c.safetensors")
    assert all(np.array_equal(aligned[key], left[key]) for key in left)
    undone = planted.then(found.symmetry)
    assert all((each.order == np.arange(each.order.shape[1])).all() for each in undone.permutations)
