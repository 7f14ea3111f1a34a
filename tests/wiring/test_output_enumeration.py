"""Few arrangements: all are tried, the best is kept, and the clock is obeyed."""

import time

import torch
from recorded_nets import mlp_scene

from reknit.wiring.output_enumeration import arrangements, try_all
from reknit.wiring.recording import Recording
from reknit.wiring.search_state import Search


def search(seed, deadline=float("inf")):
    scene = mlp_scene(seed, blocks=2)
    scene.outputs = scene.outputs + 0.1 * torch.randn(
        scene.outputs.shape, generator=torch.Generator().manual_seed(seed)
    )
    values = {slot: scene.tensors[name] for slot, name in scene.placement.items()}
    return scene, Search(
        recording=Recording.of(scene.module, values, scene.inputs, scene.outputs),
        tensors=scene.tensors,
        placement=dict(scene.placement),
        mixed=[pool for pool in scene.pools if len(pool.slots) > 1],
        whole=[],
        priors=[],
        ladders=(),
        generator=torch.Generator(),
        deadline=deadline,
        began=time.perf_counter(),
    )


def test_no_arrangement_is_better_than_the_one_that_is_kept():
    for seed in range(3):
        scene, each = search(seed)
        least = try_all(each)
        assert each.placement == scene.truth  # the noise is small beside what a wrong vector does
        assert least == each.error(scene.truth)
        assert each.stages[-1].name == "all arrangements"


def test_arrangements_are_counted():
    _, each = search(0)
    sizes = [len(pool.slots) for pool in each.mixed]
    product = 1
    for size in sizes:
        for factor in range(2, size + 1):
            product *= factor
    assert arrangements(each) == product
    assert product == 1440


def test_when_time_is_up_the_best_so_far_stays():
    _, each = search(0, deadline=0.0)
    given = dict(each.placement)
    assert try_all(each) == each.error(given)
    assert each.placement == given
