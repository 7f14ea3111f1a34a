"""Units put back together from loose tensors: networks whose statistics were counted by torch, in a random order."""

import numpy as np
import pytest
from batch_norm_nets import counted_net

from reknit.errors import PileError
from reknit.evidence.batch_norm_vectors import chain_of_tensors

FIELDS = ("gamma", "beta", "mean", "variance")


def loose(kind, count, seed, dealt=False):
    """The chain that was found, and which tensor stands where by its true place; one vector more than needed."""
    units, convolutions, norms, start = counted_net(kind, count, seed)
    rng = np.random.default_rng(seed)
    vectors = [np.array(getattr(norm, name)) for norm in norms for name in FIELDS]
    if dealt:
        vectors = [rng.permutation(vector) if k % 4 > 1 else vector for k, vector in enumerate(vectors)]
    vectors.append(rng.normal(0, 0.001, 12))
    first, second = rng.permutation(len(convolutions)), rng.permutation(len(vectors))
    chain = chain_of_tensors(units, [convolutions[k].kernel for k in first], [vectors[k] for k in second], start=start)
    places = np.arange(len(norms)).reshape(count, -1)
    right = {"kernel": first[chain.placement.kernel] == places}
    for k, name in enumerate(FIELDS):
        right[name] = second[getattr(chain.placement, name)] == 4 * places + k
    return chain, right


@pytest.mark.parametrize("kind", ["pre-activation", "linear bottleneck"])
def test_most_is_found_and_doubted_least(kind):
    chain, right = loose(kind, 3, seed=1)
    for name in ("kernel", "beta", "mean"):
        assert right[name].mean() > 0.8, name
    if kind == "pre-activation":
        assert right["gamma"].all()
        assert right["variance"].all()
    margins = {(place.field, place.unit, place.layer): margin for place, margin in chain.margins.seats.items()}
    surest = sorted(margins, key=lambda place: -margins[place])[: len(margins) // 2]
    assert all(right[field][unit, layer] for field, unit, layer in surest)
    assert chain.squared_errors.max() < 0.2


def test_statistics_dealt_over_channels_do_not_agree():
    chain, _ = loose("pre-activation", 3, seed=3, dealt=True)
    assert chain.squared_errors.max() > 0.2


def test_every_tensor_stands_in_one_place():
    chain, _ = loose("pre-activation", 3, seed=4)
    numbers = [int(k) for name in FIELDS for k in getattr(chain.placement, name).ravel()]
    assert len(set(numbers)) == len(numbers) == 24
    assert sorted(chain.placement.kernel.ravel()) == list(range(6))


def test_too_few_vectors_are_refused():
    units, convolutions, norms, _ = counted_net("pre-activation", 2, seed=0)
    vectors = [norm.beta for norm in norms] * 3
    with pytest.raises(PileError, match="need 4 kernels and at least 16 vectors, and there are 4 and 12"):
        chain_of_tensors(units, [piece.kernel for piece in convolutions], vectors)
