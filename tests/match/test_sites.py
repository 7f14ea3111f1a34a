"""Where representations are seen: layouts asked of the module, nothing twice, inputs left out, values as computed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from match.matched_nets import LIKES, computer, random_tensors, samples
from reknit.match.computing import Computer
from reknit.match.samples import Samples
from reknit.match.sites import find_sites, kept_positions, look, parts
from reknit.skeleton.like import resolve
from reknit.skeleton.trace import trace


def odd(kind):
    like = resolve(f"match.odd_modules:{kind}")
    return Computer(like, trace(like.module, like.inputs, name=kind))


def both(runner):
    return [random_tensors(runner.skeleton, seed) for seed in (0, 1)]


def test_an_mlp_is_seen_from_its_first_layer_to_its_answers():
    runner, asked = computer(LIKES["mlp"]), samples(LIKES["mlp"], 9)
    first, second = both(runner)
    found = find_sites(runner, (first, second), asked)
    names = ["layers.0 writes", "layers.1 reads", "layers.1 writes", "layers.2 reads", "layers.2 writes"]
    assert [site.name for site in found.found] == names
    values = look(runner, second, asked, found.found, batch=4)
    hidden = asked.inputs[0].double().numpy() @ second["layers.0.weight"].T.astype(float) + second["layers.0.bias"]
    np.testing.assert_allclose(values[found.found[0]][:, 0], hidden, rtol=1e-12)
    np.testing.assert_allclose(values[found.found[1]][:, 0], np.maximum(hidden, 0), rtol=1e-12)
    answers = runner.answers(second, asked, torch.float64)[0].numpy()
    np.testing.assert_allclose(values[found.found[4]][:, 0], answers, rtol=1e-12)


def test_a_transformer_lists_what_q_k_v_read_once_and_leaves_positions_out():
    runner, asked = computer(LIKES["gpt2-apart"]), samples(LIKES["gpt2-apart"], 5)
    found = find_sites(runner, both(runner), asked)
    reads = [site.name for site in found.found if not site.place.written and "h.0.attn" in site.name]
    assert len(reads) == 2  # q, k and v read one stream; what the heads wrote is read by the projection
    assert found.constant == 1  # the table of positions
    assert not found.mixed
    assert all(site.positions == asked.inputs[0].shape[1] for site in found.found)


@pytest.mark.parametrize("kind", ["sequence_first", "folded", "folded_sequence_first"])
def test_rows_are_found_in_any_layout(kind):
    """Against a layer that runs over rows x positions."""
    runner, plain = odd(kind), odd("rows_first")
    first, second = both(runner)
    x = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0))
    asked = Samples((x,))
    found, expected = (find_sites(each, (first, second), asked).found[0] for each in (runner, plain))
    assert found.positions == expected.positions == 4
    np.testing.assert_allclose(
        look(runner, first, asked, [found], batch=4)[found], look(plain, first, asked, [expected])[expected], rtol=1e-12
    )


def test_a_place_where_rows_are_mixed_is_left_out():
    runner = odd("mixed")
    asked = Samples((torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0)),))
    found = find_sites(runner, both(runner), asked)
    assert [site.name for site in found.found] == ["a writes"]
    assert (found.constant, found.mixed) == (0, 2)


def test_positions_are_drawn_alike_for_every_network_and_place_and_portions_hold_all():
    runner, asked = computer(LIKES["conv-chain"]), samples(LIKES["conv-chain"], 5)
    tensors = both(runner)
    found = find_sites(runner, tensors, asked).found
    site = max(found, key=lambda each: each.positions)
    assert kept_positions(site, 10**6) == 1
    values = look(runner, tensors[0], asked, [site])[site]
    assert values.shape == (5, min(site.positions, 4096 // 5), site.width)
    assert np.array_equal(values, look(runner, tensors[0], asked, [site])[site])
    assert [site for part in parts(found, 10**5) for site in part] == list(found)
    assert len(list(parts(found, 10**7))) > 1


def test_what_is_elsewhere_or_infinite_for_some_rows_is_left_out():
    runner, asked = computer(LIKES["mlp"]), samples(LIKES["mlp"], 5)
    tensors = both(runner)
    first, *others = find_sites(runner, tensors, asked).found
    assert not look(runner, tensors[0], asked, [replace(first, inner=2)])
    infinite = {**tensors[0], "layers.2.weight": np.full((4, 20), np.inf, np.float32)}
    assert set(look(runner, infinite, asked, [first, *others])) == {first, *others[:-1]}
