"""Units put back together from layers: networks whose statistics were counted by torch, in a random order."""

import numpy as np
import pytest
from batch_norm_nets import counted_net

from reknit.errors import PileError
from reknit.evidence.batch_norm_beam import arranged
from reknit.evidence.batch_norm_books import Books, Placement
from reknit.evidence.batch_norm_chain import chain_of_units
from reknit.evidence.batch_norm_pieces import Norm, norm_widths

KINDS = ("pre-activation", "basic", "linear bottleneck")


def shuffled(pieces, rng):
    order = rng.permutation(len(pieces))
    return [pieces[k] for k in order], order


def found(kind, seed, count=4, **changes):
    units, convolutions, norms, start = counted_net(kind, count, seed)
    rng = np.random.default_rng(seed)
    convolutions, first = shuffled(convolutions, rng)
    norms, second = shuffled(changes.get("norms", lambda same: same)(norms), rng)
    chain = chain_of_units(units, convolutions, norms, start=start, steps=300)
    return chain, first[chain.convolutions].ravel().tolist(), second[chain.norms].ravel().tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_units_and_their_order_come_back(kind):
    chain, convolutions, norms = found(kind, seed=1)
    assert convolutions == norms == list(range(len(norms)))
    assert chain.squared_errors.max() < 0.1
    assert min(chain.convolution_margins.min(), chain.norm_margins.min(), chain.order_margins.min()) > 0
    assert chain.certain_norms.any()


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_dealt_over_channels_make_nothing_certain(kind):
    rng = np.random.default_rng(5)

    def dealt(norms):
        orders = [rng.permutation(len(norm.mean)) for norm in norms]
        pairs = zip(norms, orders, strict=True)
        return [Norm(norm.gamma, norm.beta, norm.mean[order], norm.variance[order]) for norm, order in pairs]

    chain, _, _ = found(kind, seed=1, norms=dealt)
    assert not chain.certain_convolutions.any()
    assert not chain.certain_norms.any()
    assert not chain.certain_order.any()


def test_the_truth_costs_less_than_what_an_exchange_makes_of_it():
    units, convolutions, norms, _ = counted_net("pre-activation", 4, seed=2)
    fields = [[getattr(norm, name) for norm in norms] for name in ("gamma", "beta", "mean", "variance")]
    books = Books(units, [piece.kernel for piece in convolutions], [np.zeros(12)] * 8, *fields)
    truth = np.arange(8).reshape(4, 2)
    wrong = truth[[1, 0, 2, 3]]
    assert books.total(Placement(*(truth,) * 6)) < books.total(Placement(*(wrong,) * 6))
    assert books.total(Placement(truth, *(wrong,) * 5)) > books.total(Placement(*(truth,) * 6))


@pytest.mark.parametrize("kind", KINDS)
def test_the_beam_alone_finds_the_chain(kind):
    units, convolutions, norms, start = counted_net(kind, 4, seed=1)
    kernels, second = shuffled([piece.kernel for piece in convolutions], np.random.default_rng(0))
    norms, first = shuffled(norms, np.random.default_rng(1))
    fields = [[getattr(norm, name) for norm in norms] for name in ("gamma", "beta", "mean", "variance")]
    books = Books(units, kernels, [np.zeros(len(kernel)) for kernel in kernels], *fields, start=start)
    placement = arranged(units, books, [width for row in norm_widths(units) for width in row])
    assert first[placement.mean].ravel().tolist() == list(range(len(norms)))
    assert second[placement.kernel].ravel().tolist() == list(range(len(norms)))


def test_too_few_pieces_are_refused():
    units, convolutions, norms, _ = counted_net("pre-activation", 2, seed=0)
    with pytest.raises(PileError, match="2 units need 4 convolutions and as many norms, and there are 4 and 3"):
        chain_of_units(units, convolutions, norms[:3])


def test_shapes_that_fit_nowhere_are_refused():
    units, convolutions, norms, _ = counted_net("pre-activation", 2, seed=0)
    narrow = [Norm(*(np.ones(5) for _ in range(4))), *norms[1:]]
    with pytest.raises(PileError, match="no chain fits the shapes"):
        chain_of_units(units, convolutions, narrow)
