"""Modules that answer in ways that trip what compares answers, for ``--like``."""

import torch
from torch import Tensor, nn


class Net(nn.Module):
    """Two layers; ``kind`` says what becomes of their answer."""

    def __init__(self, kind: str, outputs: int = 10) -> None:
        super().__init__()
        self.a, self.b, self.kind = nn.Linear(8, 16), nn.Linear(16, outputs), kind

    def forward(self, x: Tensor) -> object:
        hidden = torch.relu(self.a(x))
        if self.kind == "clamp":
            hidden = hidden.clamp(max=100)
        if self.kind == "dropout":
            hidden = nn.functional.dropout(hidden, 0.1)
        y = self.b(hidden)
        return {
            "ids": lambda: y.argmax(1),
            "masked": lambda: torch.cat([y, torch.full_like(y[:, :1], -1e9)], 1),
            "infinite": lambda: torch.cat([y, torch.full_like(y[:, :1], -torch.inf)], 1),
            "two": lambda: (y, y[:, :1] * 0 + 1e7),
            "one axis": lambda: y[:, 0],
            "scalar": y.sum,
        }.get(self.kind, lambda: y)()


class Normed(nn.Module):
    """With a BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.norm(self.a(x))))


class Hollow(Net):
    """With a parameter that holds no numbers."""

    def __init__(self) -> None:
        super().__init__("")
        self.nothing = nn.Parameter(torch.zeros(0, 16))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.a(x))
        return torch.cat([nn.functional.linear(hidden, self.nothing), self.b(hidden)], 1)


EXAMPLE = (torch.zeros(2, 8),)


def normed():
    """A net with running statistics."""
    return Normed(), EXAMPLE


def plain():
    """Ten outputs."""
    return Net(""), EXAMPLE


def hollow():
    """A layer that answers nothing beside one that does."""
    return Hollow(), EXAMPLE


def one_output():
    """A regression."""
    return Net("", 1), EXAMPLE


def dropout():
    """Another answer every time."""
    return Net("dropout"), EXAMPLE


def masked():
    """A finite mask among the logits."""
    return Net("masked"), EXAMPLE


def infinite():
    """An infinite mask among the logits."""
    return Net("infinite"), EXAMPLE


def two():
    """A second answer that is huge."""
    return Net("two"), EXAMPLE


def ids():
    """Class ids."""
    return Net("ids"), EXAMPLE


def clamp():
    """A bend far out."""
    return Net("clamp"), EXAMPLE


def one_axis():
    """One axis."""
    return Net("one axis"), EXAMPLE


def scalar():
    """One number for all rows."""
    return Net("scalar"), EXAMPLE


class Sequences(nn.Module):
    """A layer over rows x positions x 3, laid out in another way while it is at work."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.a, self.b, self.kind = nn.Linear(3, 5), nn.Linear(5, 2), kind

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "sequence first":
            return self.b(torch.relu(self.a(x.transpose(0, 1)))).transpose(0, 1)
        if self.kind == "folded":
            return self.b(torch.relu(self.a(x.reshape(-1, 3)))).reshape(len(x), -1, 2)
        if self.kind == "folded, sequence first":
            folded = torch.relu(self.a(x.transpose(0, 1).reshape(-1, 3)))
            return self.b(folded).reshape(-1, len(x), 2).transpose(0, 1)
        if self.kind == "mixed":
            return x[..., :2] + self.b(torch.relu(self.a(x)).cumsum(0)).mean((0, 1))
        return self.b(torch.relu(self.a(x)))


SEQUENCES = (torch.zeros(2, 4, 3),)


def rows_first():
    """As it comes."""
    return Sequences("rows first"), SEQUENCES


def sequence_first():
    """Positions before rows."""
    return Sequences("sequence first"), SEQUENCES


def folded():
    """Rows and positions on one axis."""
    return Sequences("folded"), SEQUENCES


def folded_sequence_first():
    """On one axis, positions before rows."""
    return Sequences("folded, sequence first"), SEQUENCES


def mixed():
    """What the second layer reads depends on all rows, in no order."""
    return Sequences("mixed"), SEQUENCES
