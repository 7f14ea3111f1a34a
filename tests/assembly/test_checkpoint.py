"""A checkpoint brings a plan back as it was; the rest is tested through the verb."""

from nets import random_net
from reknit.assembly.attempts import Held, Plan, Setting, settings
from reknit.assembly.checkpoint import load_checkpoint, save_checkpoint
from reknit.assembly.problem import Search


def plan_of(net, act=None):
    choices = settings(act, None)
    plan = Plan(net.problem, choices, "commutator", "random", 0, Search)
    plan.pair()
    return plan


def state(plan):
    """All that an attempt could look at but what follows from the input."""
    given = {"problem", "choices", "method", "start", "seed", "make_search", "weights"}
    return {name: value for name, value in vars(plan).items() if name not in given}


def test_everything_that_an_attempt_can_see_comes_back(tmp_path):
    net = random_net(1, blocks=5, act="gelu", normed="layer", rows=200)
    plan = plan_of(net)
    for number in range(3):  # the settings are screened in the second
        plan.attempt(number)
        save_checkpoint(tmp_path, "print", plan, number + 1, [])
        fresh = plan_of(net)
        assert load_checkpoint(tmp_path, "print", fresh) == (number + 1, [])
        assert state(fresh) == state(plan)
    assert plan.held is not None


def test_numbers_that_json_lacks_come_back(tmp_path):
    net = random_net(1, blocks=5)
    plan = plan_of(net)
    plan.repeats = 1
    plan.held = Held(float("inf"), Setting("relu", "none", "none"), net.truth)
    plan.tried = {Setting("relu", "none", "none"): float("inf")}
    log = [("order", float("inf"), 3, net.truth, 0.5)]
    save_checkpoint(tmp_path, "print", plan, 1, log)
    fresh = plan_of(net)
    assert load_checkpoint(tmp_path, "print", fresh) == (1, log)
    assert state(fresh) == state(plan)
