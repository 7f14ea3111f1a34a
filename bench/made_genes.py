"""Made-up genes with known splice sites: exons of uneven codons, introns with the consensus at both ends.

    exon ... CAG | GTAAGT ... intron ... TACTAAC, 15 to 25 letters, 20 C or T, CAG | G ... exon

The consensus is that of vertebrate genes (Zhang 1998, doi:10.1093/hmg/7.5.919); lengths are those of common human
exons, and of short introns so that a window holds several.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LETTERS = "ACGT"
TRACT, SPACE = 20, (15, 26)
EXON, INTRON = (90, 180), (150, 700)
STOPS = (48, 50, 56)
"""TAA, TAG and TGA, which no exon has."""


@dataclass(frozen=True, eq=False)
class Genes:
    """Windows of made-up genes.

    Attributes:
        inputs: one-hot, rows x 4 x positions.
        acceptors: row and position of the first letter of an exon behind an intron.
        donors: row and position of the last letter of an exon before an intron.
    """

    inputs: Tensor
    acceptors: np.ndarray
    donors: np.ndarray


def made_genes(rows: int, length: int, seed: int) -> Genes:
    """Draw genes.

    Args:
        rows: how many.
        length: positions of each.
        seed: of what is drawn.
    """
    rng = np.random.default_rng(seed)
    codons = rng.dirichlet(np.full(64, 0.5))
    codons[list(STOPS)] = 0
    codons /= codons.sum()
    letters, acceptors, donors = [], [], []
    for row in range(rows):
        found = rng.choice(4, int(rng.integers(*INTRON)), p=(0.29, 0.2, 0.21, 0.3)).tolist()
        while len(found) < length:
            found += [2, *_exon(rng, codons), *_read("CAG")]
            donors.append((row, len(found) - 1))
            found += _intron(rng)
            acceptors.append((row, len(found)))
        letters.append(found[:length])
    sites = (np.array([each for each in part if each[1] < length]) for part in (acceptors, donors))
    return Genes(torch.nn.functional.one_hot(torch.tensor(letters), 4).movedim(-1, 1).float(), *sites)


def _read(text: str) -> list[int]:
    return [LETTERS.index(letter) for letter in text]


def _exon(rng: np.random.Generator, codons: np.ndarray) -> list[int]:
    drawn = rng.choice(64, int(rng.integers(*EXON)) // 3, p=codons)
    return [base for codon in drawn.tolist() for base in (codon // 16, codon // 4 % 4, codon % 4)]


def _intron(rng: np.random.Generator) -> list[int]:
    inside = rng.choice(4, int(rng.integers(*INTRON)), p=(0.29, 0.2, 0.21, 0.3)).tolist()
    space = rng.choice(4, int(rng.integers(*SPACE)), p=(0.2, 0.3, 0.1, 0.4)).tolist()
    tract = rng.choice(4, TRACT, p=(0.03, 0.4, 0.02, 0.55)).tolist()
    return [*_read("GTAAGT"), *inside, *_read("TACTAAC"), *space, *tract, *_read("CAG")]
