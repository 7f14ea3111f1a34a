"""Networks as a user writes them, with numbers, their tensors in a pile without names, and what they answered."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from own_code import BLOCK

NAME = "nets_to_wire"
CODE = f"""{BLOCK}
import torch

def net():
    return nn.Sequential(Block(), Block(), nn.Linear(6, 2))

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.block, self.head = nn.Embedding(9, 6), Block(), nn.Linear(6, 9, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens):
        return self.head(self.block(self.table(tokens)))

def tied():
    return Tied(), (torch.zeros(2, dtype=torch.int64),)

class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp, self.out = nn.Linear(6, 6), nn.Linear(6, 6)
        for name in ("first", "second"):
            self.register_buffer(name, torch.ones(1, 6).cumsum(1) / 6)

    def forward(self, x):
        return self.out((self.inp(x) * self.first).tanh() * self.second)

def masked():
    return Masked(), (torch.zeros(2, 6),)
"""


@dataclass
class Wired:
    """Where things lie, and what only the test knows."""

    like: str
    pile: Path
    record: Path
    truth: dict[str, str]
    module: torch.nn.Module


def own_net(name, seed=1):
    """What the code builds, with numbers of its own."""
    scope: dict[str, object] = {}
    exec(CODE, scope)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = scope[name]()
    module = made[0] if isinstance(made, tuple) else made
    return module.eval().requires_grad_(False)


def write_record(path, module, seed=2, rows=40):
    """Inputs and what a module answers."""
    generator = torch.Generator().manual_seed(seed)
    tokens = any(isinstance(part, torch.nn.Embedding) for part in module.modules())
    x = torch.randint(0, 9, (rows,), generator=generator) if tokens else torch.randn(rows, 6, generator=generator)
    np.savez(path, inputs=x.numpy(), outputs=module(x).numpy())
    return path


def write_wired(folder, name="net", *, keys=None, change=None):
    """The code, the pile and the record in a folder; ``change`` is made to the module's state first."""
    (folder / f"{NAME}.py").write_text(CODE, encoding="utf-8")
    module = own_net(name)
    if change is not None:
        change(module.state_dict())
    state = {key: value.numpy() for key, value in module.state_dict().items() if keys is None or key in keys}
    order = np.random.default_rng(0).permutation(len(state))
    truth = {f"t_{k:02d}": list(state)[place] for k, place in enumerate(order)}
    pile = folder / "pile.safetensors"
    save_file({piece: np.array(state[key], order="C") for piece, key in truth.items()}, pile)
    return Wired(f"{NAME}:{name}", pile, write_record(folder / "record.npz", module), truth, module)
