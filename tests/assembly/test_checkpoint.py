"""A checkpoint brings a plan back as it was; the rest is tested through the verb."""

from nets import random_net
from reknit.assembly.attempts import Held, Plan
from reknit.assembly.checkpoint import load_checkpoint, restore, restore_log, save_checkpoint, state_of
from reknit.assembly.problem import Search
from reknit.assembly.settings import Setting, settings


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
        save_checkpoint(tmp_path, "print", [state_of(plan, number + 1)], [])
        fresh = plan_of(net)
        (saved,), _ = load_checkpoint(tmp_path, "print")
        assert restore(tmp_path, saved, fresh) == (number + 1, False)
        assert state(fresh) == state(plan)
    assert plan.held is not None


def test_numbers_that_json_lacks_come_back(tmp_path):
    net = random_net(1, blocks=5)
    plan = plan_of(net)
    plan.repeats = 1
    plan.held = Held(float("inf"), Setting("relu", "none", "none"), net.truth)
    plan.tried = {Setting("relu", "none", "none"): float("inf")}
    log = [("order", float("inf"), 3, net.truth, 0.5)]
    save_checkpoint(tmp_path, "print", [state_of(plan, 1, finished=True)], log)
    fresh = plan_of(net)
    (saved,), entries = load_checkpoint(tmp_path, "print")
    assert restore(tmp_path, saved, fresh) == (1, True)
    assert restore_log(tmp_path, entries, fresh) == log
    assert state(fresh) == state(plan)
