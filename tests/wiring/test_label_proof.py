"""Labels decide less than numbers: nothing that is certain may be wrong."""

import itertools

import pytest
import torch
from recorded_nets import mlp_scene
from torch import nn
from torch.func import functional_call

from reknit.wiring import compound_tests, output_proof
from reknit.wiring.compound_tests import module_exchanges, two_together
from reknit.wiring.output_proof import prove
from reknit.wiring.pools import Pool


class Blocks(nn.Module):
    """Three residual layers and a head."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        for block in self.blocks:
            x = x + 0.7 * torch.relu(block(x))
        return self.head(x)


class World:
    """Three layers, alike to some degree, and every arrangement of their tensors."""

    def __init__(self, seed, alike, rows):
        generator = torch.Generator().manual_seed(seed)
        self.module = Blocks().eval().requires_grad_(False)
        shapes = {key: value.shape for key, value in self.module.state_dict().items()}
        state = {key: 0.4 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}
        self.pools, self.tensors, self.truth = [], {}, {}
        for part in ("weight", "bias"):
            slots = tuple(f"blocks.{k}.{part}" for k in range(3))
            for slot in slots[1:]:
                state[slot] = (1 - alike) * state[slot] + alike * state[slots[0]]
            self.truth |= {slot: f"{part} {k}" for k, slot in enumerate(slots)}
            self.pools.append(Pool(slots, tuple(self.truth[slot] for slot in slots)))
        self.tensors = {name: state[slot] for slot, name in self.truth.items()}
        self.module.load_state_dict(state)
        self.x = torch.randn(rows, 4, generator=generator)
        self.labels = self.module(self.x).argmax(1)

    def proof(self, rows):
        return prove(self.module, self.pools, self.tensors, self.truth, (self.x[:rows],), self.labels[:rows])

    def fitting(self, rows):
        """All arrangements that give every label, in float64: what brute force finds."""
        module = Blocks().double()
        found = []
        for orders in itertools.product(itertools.permutations(range(3)), repeat=2):
            pairs = zip(self.pools, orders, strict=True)
            placement = {s: pool.tensors[k] for pool, order in pairs for s, k in zip(pool.slots, order, strict=True)}
            state = {**self.module.state_dict(), **{slot: self.tensors[name] for slot, name in placement.items()}}
            answer = functional_call(module, {k: v.double() for k, v in state.items()}, (self.x[:rows].double(),))
            if torch.equal(answer.argmax(1), self.labels[:rows]):
                found.append(placement)
        return found

    def wrong(self, rows):
        """Slots called certain that hold another tensor in an arrangement that fits."""
        proof = self.proof(rows)
        free = {slot for group in proof.free for slot in group}
        certain = set(self.truth) - free if proof.named and proof.verdict != "failed" else set()
        return {slot for other in self.fitting(rows) for slot in certain if other[slot] != self.truth[slot]}


ROWS = (25, 100, 400)


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.9])
def test_no_arrangement_that_gives_all_labels_contradicts_what_is_certain(alike):
    world = World(3, alike, 400)
    assert [world.wrong(rows) for rows in ROWS] == [set(), set(), set()]


def test_neither_guard_is_idle(monkeypatch):
    """Single exchanges alone would call wrong slots certain; either guard alone saves these."""
    worlds = [World(seed, 0.0, 25) for seed in range(8)]
    monkeypatch.setattr(output_proof, "record_bits", lambda *_: 1e9)
    assert not any(world.wrong(25) for world in worlds)
    monkeypatch.setattr(output_proof, "try_compounds", lambda *_: (0, []))
    assert any(world.wrong(25) for world in worlds)


def test_many_labels_are_consistent_and_never_exact():
    proof = World(0, 0.0, 1000).proof(1000)
    assert proof.verdict == "consistent"
    assert proof.reason.startswith("all 1000 recorded labels are reproduced, and every exchange changes some of them")
    assert proof.undecided == ()


def test_few_labels_name_no_placement():
    proof = World(0, 0.0, 12).proof(12)
    assert (proof.verdict, proof.named) == ("ambiguous", False)
    assert "bits" in proof.reason


def test_labels_that_never_differ_carry_nothing():
    scene = mlp_scene(0)
    scene.tensors[scene.truth["head.bias"]] = torch.tensor([0.0, 0.0, 99.0, 0.0, 0.0])
    labels = torch.full((24,), 2)
    proof = prove(scene.module, scene.pools, scene.tensors, scene.truth, scene.inputs, labels)
    assert (proof.verdict, proof.named) == ("ambiguous", False)
    assert "carries 0 bits" in proof.reason


def test_equal_tensors_are_undecided_and_alike_ones_too(monkeypatch):
    monkeypatch.setattr(output_proof, "record_bits", lambda *_: 1e9)
    for change, effect in ((0.0, "hold identical copies"), (1e-6, "change too little")):
        world = World(0, 0.0, 400)
        world.tensors["bias 2"] = world.tensors["bias 0"] + change
        state = {**world.module.state_dict(), **{slot: world.tensors[name] for slot, name in world.truth.items()}}
        world.labels = functional_call(world.module, state, (world.x,)).argmax(1)
        proof = world.proof(400)
        assert proof.verdict == "ambiguous"
        assert ("blocks.0.bias", "blocks.2.bias") in [one.slots for one in proof.undecided]
        assert effect in proof.reason


def test_a_permuted_class_fails_and_says_how_many_labels():
    world = World(0, 0.0, 400)
    world.labels[world.labels == 2] = 1
    proof = world.proof(400)
    assert proof.verdict == "failed"
    count, total = int(proof.reason.split()[0]), int(proof.reason.split()[2])
    assert 0 < count < total == 400
    assert "recorded labels are contradicted beyond rounding" in proof.reason


def test_branches_that_add_up_may_change_places(monkeypatch):
    """Each tensor has its own effect; the branches as a whole have none."""
    monkeypatch.setattr(output_proof, "record_bits", lambda *_: 1e9)

    class Sum(nn.Module):
        """Two layers side by side."""

        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return torch.relu(self.left(x)) + torch.relu(self.right(x))

    torch.manual_seed(0)
    module = Sum().eval().requires_grad_(False)
    truth = {key: f"of {key}" for key in module.state_dict()}
    tensors = {truth[key]: value.clone() for key, value in module.state_dict().items()}
    parts = [tuple(key for key in truth if key.endswith(part)) for part in ("weight", "bias")]
    pools = [Pool(slots, tuple(truth[slot] for slot in slots)) for slots in parts]
    x = torch.randn(500, 4)
    proof = prove(module, pools, tensors, truth, (x,), module(x).argmax(1))
    assert proof.verdict == "ambiguous"
    assert proof.free == (("left.bias", "left.weight", "right.bias", "right.weight"),)


def test_modules_of_one_structure_and_no_others_are_exchanged():
    pools = [Pool(("a.0.w", "a.1.w", "head.w"), ("1", "2", "3")), Pool(("a.0.b", "a.1.b"), ("4", "5"))]
    assert module_exchanges(pools) == [(("a.0.b", "a.1.b"), ("a.0.w", "a.1.w"))]


def test_two_exchanges_make_both_cycles_of_three_or_one_pair_of_pairs():
    assert len(two_together([(("a", "b"),), (("b", "c"),)])) == 2
    assert len(two_together([(("a", "b"),), (("c", "d"),)])) == 1
    assert two_together([(("a", "b"),), (("a", "b"),)]) == []


def test_where_two_together_are_too_many_the_weak_are_undecided(monkeypatch):
    monkeypatch.setattr(compound_tests, "MOST", 0)
    monkeypatch.setattr(output_proof, "record_bits", lambda *_: 1e9)
    proof = World(0, 0.9, 400).proof(400)
    assert proof.verdict == "ambiguous"
    assert "fewer than 16 labels" in proof.reason
