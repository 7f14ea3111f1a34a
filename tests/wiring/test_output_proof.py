import itertools
import math

import numpy as np
import pytest
import torch
from recorded_nets import bert_scene, mlp_scene
from torch import nn

from reknit.errors import TableError
from reknit.wiring import exchange_tests
from reknit.wiring.exchange_tests import ExchangeTester
from reknit.wiring.exchanges import exchange_effects, exchanged
from reknit.wiring.masks import masked
from reknit.wiring.output_floor import output_floor
from reknit.wiring.output_placement import place
from reknit.wiring.output_proof import prove
from reknit.wiring.pools import Pool
from reknit.wiring.recording import Recording


def judged(scene, placement=None, **options):
    module, pools, tensors, _, _, inputs, outputs = scene.arguments()
    return prove(module, pools, tensors, placement or scene.truth, inputs, outputs, **options)


def outputs_of(scene, placement):
    values = {slot: scene.tensors[name] for slot, name in placement.items()}
    with torch.no_grad():
        return torch.func.functional_call(scene.module, values, scene.inputs)


def test_the_truth_is_exact_and_every_exchange_of_it_fails():
    scene = mlp_scene(0, most_axes=2)
    proof = judged(scene)
    assert proof.verdict == "exact"
    pairs = [pair for pool in scene.pools for pair in itertools.combinations(pool.slots, 2)]
    assert proof.tested == len(pairs)
    for pair in pairs:
        assert judged(scene, exchanged(scene.truth, [pair])).verdict == "failed"


def test_screening_and_exact_effects_agree():
    scene = mlp_scene(1)
    values = {slot: scene.tensors[name] for slot, name in scene.truth.items()}
    recording = Recording.of(scene.module, values, scene.inputs, scene.outputs)
    tester = ExchangeTester(recording, scene.tensors, scene.truth, output_floor(recording, values), 0.0, 6.0)
    screened, least, left = tester.screen(scene.pools, torch.Generator().manual_seed(0))
    pairs = [pair for pool in scene.pools for pair in itertools.combinations(pool.slots, 2)]
    sizes = {pair: tester.size(pair) for pair in pairs}
    assert screened + len(left) == len(pairs)
    assert least > 0.1
    for pair in set(pairs) - set(left):
        assert sizes[pair] > 100 * (6.0 + tester.misfit) / 10


def test_equal_tensors_are_undecided():
    scene = mlp_scene(0)
    first, second = (scene.truth[f"blocks.{k}.out.bias"] for k in (0, 2))
    scene.tensors[second] = scene.tensors[first].clone()
    scene.outputs = outputs_of(scene, scene.truth)
    proof = judged(scene)
    assert proof.verdict == "ambiguous"
    (one,) = proof.undecided
    assert one.slots == ("blocks.0.out.bias", "blocks.2.out.bias")
    assert set(one.tensors) == {first, second}
    assert one.z == 0
    assert one.leaves_function
    assert proof.identical == (one.slots,)
    assert "hold identical copies, which nothing tells apart" in proof.reason


def test_many_copies_are_listed_once_each_beside_what_is_undecided_otherwise():
    scene = bert_scene(1)
    keys = [f"encoder.layer.{k}.attention.self.key.bias" for k in range(3)]
    others = [f"encoder.layer.{k}.attention.output.dense.bias" for k in range(3)]
    for key in others[1:]:
        scene.tensors[scene.truth[key]] = scene.tensors[scene.truth[others[0]]].clone()
    scene.outputs = outputs_of(scene, scene.truth)
    proof = judged(scene)
    assert proof.verdict == "ambiguous"
    assert proof.identical == (tuple(others),)
    assert {one.slots for one in proof.undecided if one.slots[0] in others} == {(others[0], o) for o in others[1:]}
    assert set(proof.free) == {tuple(keys), tuple(sorted(others))}
    assert "leave the function as it is" in proof.reason


def test_a_difference_too_small_for_the_record_is_undecided_but_not_harmless():
    scene = mlp_scene(0)
    first, second = (scene.truth[f"blocks.{k}.out.bias"] for k in (0, 2))
    scene.tensors[second] = scene.tensors[first].nextafter(torch.tensor(2.0))
    scene.outputs = outputs_of(scene, scene.truth)
    proof = judged(scene)
    assert proof.verdict == "ambiguous"
    (one,) = proof.undecided
    assert 0 < one.z < proof.level
    assert not one.leaves_function
    assert "change too little to be seen" in proof.reason


def test_free_slots_are_those_that_undecided_exchanges_join():
    scene = bert_scene(1)
    keys = tuple(f"encoder.layer.{k}.attention.self.key.bias" for k in range(3))
    proof = judged(scene, exchanged(scene.truth, [keys[:2]]))
    assert proof.verdict == "ambiguous"
    assert proof.free == (keys,)
    assert len(proof.undecided) == 3


def test_noise_that_is_stated_makes_it_consistent_and_noise_that_is_not_fails():
    scene = mlp_scene(0, inputs=200)
    scene.outputs = scene.outputs + 1e-3 * torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    assert judged(scene).verdict == "failed"
    assert judged(scene, noise=1e-3).verdict == "consistent"
    assert judged(scene, noise=1e-4).verdict == "failed"


def test_a_coarse_record_is_consistent():
    scene = mlp_scene(0)
    scene.outputs = scene.outputs.half()
    proof = judged(scene)
    assert proof.verdict == "consistent"
    assert "coarse numbers" in proof.reason


class First(torch.nn.Module):
    """The first answers of a module."""

    def __init__(self, module, count):
        super().__init__()
        self.blocks, self.head, self.whole, self.count = module.blocks, module.head, [module], count

    def forward(self, x):
        return self.whole[0](x)[:, : self.count]


@pytest.mark.parametrize(("numbers", "verdict"), [(1, "ambiguous"), (4, "exact")])
def test_a_record_of_too_few_bits_cannot_name_a_placement(numbers, verdict):
    scene = mlp_scene(0, inputs=1)
    scene.module = First(scene.module, numbers)
    scene.outputs = outputs_of(scene, scene.truth)
    proof = judged(scene)
    assert proof.verdict == verdict
    assert ("bits" in proof.reason) == (numbers == 1)


def test_effects_far_smaller_than_foreseen_raise_the_bound_and_no_more():
    class Tester(ExchangeTester):
        """Of two hundred exchanges every effect is 0.002 of what is foreseen."""

        def __init__(self):
            self.level, self.misfit = 6.0, 1.0
            self.foreseen = {(f"a{k}", f"b{k}"): 10 ** (2 + 8 * k / 200) for k in range(200)}

        def _foreseen(self, pools, generator):
            return self.foreseen

        def size(self, pair):
            return 0.002 * self.foreseen[pair]

    tester = Tester()
    screened, least, left = tester.screen([], torch.Generator().manual_seed(0))
    assert least == pytest.approx(0.002)
    assert screened + len(left) == 200
    kept = min(size for pair, size in tester.foreseen.items() if pair not in left)
    assert 0.002 * kept >= 10 * 7  # ten times what rejects
    assert max(tester.foreseen[pair] for pair in left) <= 2 * 100 * 7 / 0.02


def test_an_exchange_that_leaves_an_answer_undefined_is_rejected():
    module = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3)).eval().requires_grad_(False)
    state = {key: value.clone() for key, value in module.state_dict().items() if value.ndim == 1}
    state["0.running_mean"] = torch.tensor([-1.0, -2.0, 1.0])
    state["0.bias"] = torch.tensor([0.5, -0.2, 0.1])
    state["0.running_var"] = torch.tensor([2.0, 1.0, 3.0])
    state["0.weight"] = torch.tensor([1.5, 1.2, 0.7])
    names = {key: f"of {key}" for key in state}
    module.load_state_dict(state, strict=False)
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    tensors = {names[key]: value for key, value in state.items()}
    proof = prove(module, [Pool(tuple(names), tuple(names.values()))], tensors, names, (x,), module(x))
    assert proof.verdict == "exact"
    assert proof.undecided == ()
    values = {key: tensors[name] for key, name in names.items()}
    recording = Recording.of(module, values, (x,), module(x))
    tester = ExchangeTester(recording, tensors, names, output_floor(recording, values), 0.0, 6.0)
    pair = ("0.running_mean", "0.running_var")
    assert tester.size(pair) == math.inf
    found = tester.exactly(pair)
    assert found.z == math.inf
    assert not found.leaves_function


def test_exchanges_of_which_nothing_is_foreseen_are_computed_exactly(monkeypatch):
    scene = mlp_scene(1)

    def undefined(part, held):
        made = exchange_effects(part, held).clone()
        made[:, 1, :], made[:, :, 1] = math.nan, math.nan
        return made

    monkeypatch.setattr(exchange_tests, "exchange_effects", undefined)
    values = {slot: scene.tensors[name] for slot, name in scene.truth.items()}
    recording = Recording.of(scene.module, values, scene.inputs, scene.outputs)
    tester = ExchangeTester(recording, scene.tensors, scene.truth, output_floor(recording, values), 0.0, 6.0)
    screened, _, left = tester.screen(scene.pools, torch.Generator().manual_seed(0))
    unknown = {pair for pool in scene.pools for pair in itertools.combinations(pool.slots, 2) if pool.slots[1] in pair}
    assert screened > 0
    assert unknown <= set(left)


class Masked(nn.Module):
    """A module whose last logits are masked, for the first inputs."""

    def __init__(self, module):
        super().__init__()
        self.blocks, self.head, self.whole = module.blocks, module.head, [module]

    def forward(self, x):
        y = self.whole[0](x)
        hidden = (torch.arange(y.shape[-1]) > 2) & (x[:, :1] > 0)
        return y.masked_fill(hidden, -torch.inf)


def test_masked_logits_are_exact_where_the_same_ones_are_masked():
    scene = mlp_scene(0)
    scene.module = Masked(scene.module)
    scene.outputs = outputs_of(scene, scene.truth)
    assert bool(scene.outputs.isinf().any())
    assert judged(scene).verdict == "exact"
    pair = [f"blocks.{k}.out.bias" for k in (0, 1)]
    assert judged(scene, exchanged(scene.truth, [pair])).verdict == "failed"
    scene.outputs[scene.outputs.isinf()] = torch.inf
    assert judged(scene).verdict == "failed"


class Drawing(nn.Module):
    """A module that adds what it draws."""

    def __init__(self, module, draw):
        super().__init__()
        self.blocks, self.head, self.whole, self.draw = module.blocks, module.head, [module], draw

    def forward(self, x):
        return self.whole[0](self.draw(x))


def seeded(x):
    """Noise that is the same in every pass."""
    return x + torch.randn(x.shape, dtype=torch.float32, generator=torch.Generator().manual_seed(0)) / 10


def seeded_for_all(x):
    """As ``seeded``, from the generator of everything."""
    torch.manual_seed(3)
    return x + torch.rand(1, dtype=torch.float32)


@pytest.mark.parametrize("by", [judged, lambda scene: place(*scene.arguments())])
@pytest.mark.parametrize(
    "draw",
    [
        lambda x: torch.nn.functional.dropout(x, 0.01),  # training=True is its default
        lambda x: torch.nn.functional.dropout(x, 1e-12),  # never seen to drop anything
        lambda x: x + np.random.default_rng().normal(scale=1e-6),
    ],
    ids=["dropout", "rare dropout", "numpy"],
)
def test_a_module_that_answers_at_random_is_refused(draw, by):
    scene = mlp_scene(0)
    scene.module = Drawing(scene.module, draw)
    with pytest.raises(TableError) as caught:
        by(scene)
    remedy = "Switch off dropout and all else that is random in its forward pass"
    problem = "the module draws at random: it need not answer the same inputs twice alike"
    assert str(caught.value) == f"outputs: {problem}. {remedy}."


@pytest.mark.parametrize("draw", [seeded, seeded_for_all])
def test_what_a_module_draws_from_a_seed_is_part_of_it(draw):
    scene = mlp_scene(0)
    scene.module = Drawing(scene.module, draw)
    scene.outputs = outputs_of(scene, scene.truth)
    with torch.random.fork_rng():
        assert judged(scene).verdict == "exact"


class Filled(nn.Module):
    """A module whose last logits are masked by a finite number, put in their place or added."""

    def __init__(self, module, mask):
        super().__init__()
        self.blocks, self.head, self.whole, self.mask = module.blocks, module.head, [module], mask

    def forward(self, x):
        return self.mask(self.whole[0](x), torch.arange(5) > 2)


@pytest.mark.parametrize(
    "mask",
    [
        lambda y, hidden: y.masked_fill(hidden, -1e9),
        lambda y, hidden: y + hidden * -1e9,
        lambda y, hidden: y.masked_fill(hidden, torch.finfo(y.dtype).min),
    ],
    ids=["filled", "added", "least"],
)
def test_logits_masked_by_a_finite_number_hide_nothing_of_the_others(mask):
    scene = mlp_scene(0)
    full = scene.outputs
    scene.module = Filled(scene.module, mask)
    scene.outputs = outputs_of(scene, scene.truth)
    assert float(scene.outputs.min()) <= -1e9
    assert judged(scene).verdict == "exact"
    pair = [f"blocks.{k}.out.bias" for k in (0, 1)]
    assert judged(scene, exchanged(scene.truth, [pair])).verdict == "failed"
    scene.outputs[0, 4] = full[0, 4]  # not masked in the record
    assert judged(scene).verdict == "failed"


def test_a_mask_that_moves_is_rejected_and_what_it_hides_is_not_seen():
    """Of two exchanges one touches masked answers alone: no record says anything of it."""

    class Ends(nn.Module):
        """Four numbers, each with a bias; the last two are masked."""

        def __init__(self):
            super().__init__()
            self.biases = nn.ParameterList(torch.zeros(1) for _ in range(4))

        def forward(self, x):
            return torch.cat([x + bias for bias in self.biases], 1) + torch.tensor([0.0, 0.0, -1e9, -1e9])

    module = Ends().eval().requires_grad_(False)
    tensors = {f"t{k}": torch.tensor([float(k)]) for k in range(4)}
    truth = {f"biases.{k}": f"t{k}" for k in range(4)}
    x = torch.randn(40, 1, generator=torch.Generator().manual_seed(0))
    values = {slot: tensors[name] for slot, name in truth.items()}
    outputs = torch.func.functional_call(module, values, (x,))
    proof = prove(module, [Pool(tuple(truth), tuple(tensors))], tensors, truth, (x,), outputs)
    assert proof.verdict == "ambiguous"
    assert proof.free == (("biases.2", "biases.3"),)


@pytest.mark.parametrize(
    "numbers", [[0.3, -1e4, 1.0], [1e9, 1.0, 2.0], [-1e9, -3e9, 1.0], [-20.0, -21.0, -1e-9], [-1e9], [float("nan")], []]
)
def test_what_is_no_mask_counts(numbers):
    assert not masked(torch.tensor(numbers)).any()
