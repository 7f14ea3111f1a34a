"""Code as a user writes it, for modules that are imported from where the user stands."""

BLOCK = """
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp, self.out = nn.Linear(6, 8), nn.Linear(8, 6)

    def forward(self, x):
        return x + self.out(self.inp(x).relu())
"""
