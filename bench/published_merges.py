"""Published networks of one shape, trained apart, merged by twos and all together: SpliceAI's five, SemiBin's twelve.

    REKNIT_CHECKPOINTS=... python -m bench published_merges [--pairs 6] [--only spliceai]

SpliceAI (``conv_nets``): five seeds on the same genes. One made-up gene of 3000 letters (``made_genes``) for
activations and statistics, four others of 5000 to judge by, of which the middle 3000 count; sites are those that all
five call with more than .5, all planted. SemiBin: twelve autoencoders of 136 shares of four-letter words, trained on
other habitats each. 512 made-up contigs to align by and 512 others to judge by, from 64 made-up genomes each.

Every pair: as it is, matched by weights and by activations, each plain and mended by both rules. All together: each
matched to the first by activations. Alone: every network mended with itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from bench.common import Lines, options, show
from bench.conv_nets import splice_ai
from bench.foreign_callables import Autoencoder
from bench.intervals import told
from bench.made_genes import Genes, made_genes
from bench.solved_piles import CHECKPOINTS
from reknit.architectures.preact_resnet import SPLICE_AI_10K
from reknit.architectures.spelling import spell_config
from reknit.match.activation_matching import match_activations
from reknit.match.averages import average
from reknit.match.cka import cka
from reknit.match.computing import Computer
from reknit.match.mend_rules import RULES
from reknit.match.mending import mended
from reknit.match.samples import Samples
from reknit.match.weight_matching import match_weights
from reknit.skeleton.like import resolve
from reknit.skeleton.trace import trace

HALF = (0.5, 0.5)
WAYS = ("naive", "weights", "activations")
CROP, KNOWN, JUDGED, GENES = 1000, 3000, 5000, 4
CONTIGS, GENOMES, LENGTH = 512, 64, 4000
Network = Mapping[str, np.ndarray]
Figures = dict[str, float]


@cache
def computer_of(family: str) -> Computer:
    """Runs the networks of a family; of SpliceAI with a shorter margin."""
    spelled = (
        spell_config(replace(SPLICE_AI_10K, crop=CROP)) if family == "spliceai" else "bench.foreign_callables:semibin"
    )
    like = resolve(spelled, None if family == "spliceai" else "2x136")
    return Computer(like, trace(like.module, like.inputs, name=family))


@cache
def networks(family: str) -> tuple[Network, ...]:
    """All of them, by slot."""
    keys = {slot.key for slot in computer_of(family).skeleton.slots}
    if family == "spliceai":
        states = [splice_ai(seed, CHECKPOINTS)[0] for seed in range(1, 6)]
    else:
        files = sorted((CHECKPOINTS / "semibin/SemiBin/models").glob("*_model.pt"))
        states = [torch.load(file, map_location="cpu", weights_only=True)["model_state_dict"] for file in files]
    return tuple({key: np.asarray(value) for key, value in state.items() if key in keys} for state in states)


def mendings(computer: Computer, way: str, parents: Sequence[Network], known: Samples) -> Iterator[tuple[str, Network]]:
    """The mean of networks in one basis, plain and mended."""
    shares = [1 / len(parents)] * len(parents)
    plain = average(parents, shares)
    yield f"{way}, plain", plain
    for rule in RULES:
        yield f"{way}, {rule}", mended(computer, plain, parents, shares, known, rule=rule)


def together(computer: Computer, nets: Sequence[Network], known: Samples) -> Iterator[tuple[str, Network]]:
    """The merges of many: as they are, and each brought to the first by activations."""
    first, *others = nets
    moved = [first, *(match_activations(computer, first, each, known).symmetry.apply(each) for each in others)]
    for way, parents in (("naive", nets), ("activations", moved)):
        yield from mendings(computer, way, parents, known)


def merges(computer: Computer, parents: tuple[Network, Network], known: Samples) -> Iterator[tuple[str, Network]]:
    """The nine merges of a pair."""
    first, second = parents
    moved: dict[str, Callable[[], Network]] = {
        "naive": lambda: second,
        "weights": lambda: match_weights(computer.skeleton, first, second).symmetry.apply(second),
        "activations": lambda: match_activations(computer, first, second, known).symmetry.apply(second),
    }
    for way in WAYS:
        yield from mendings(computer, way, (first, moved[way]()), known)


@cache
def splice_inputs() -> tuple[Samples, Genes]:
    """What is known, and what is judged by."""
    return Samples((made_genes(1, KNOWN, 1).inputs,)), made_genes(GENES, JUDGED, 2)


def splice_answers(network: Network) -> np.ndarray:
    """Shares of acceptor and donor at every position that counts, gene after gene: 2 x positions."""
    found = computer_of("spliceai").answers(network, Samples((splice_inputs()[1].inputs,)))[0]
    return np.asarray(found[:, 1:].movedim(0, 1).flatten(1).numpy())


@cache
def splice_parents() -> tuple[np.ndarray, ...]:
    """What each of the five answers."""
    return tuple(splice_answers(each) for each in networks("spliceai"))


def splice_sites() -> np.ndarray:
    """Planted sites that all five call: 2 x positions."""
    genes, called = splice_inputs()[1], np.min(splice_parents(), axis=0) > 0.5
    planted = np.zeros_like(called)
    for row, sites in enumerate((genes.acceptors, genes.donors)):
        places, counted = sites[:, 1] - CROP, JUDGED - 2 * CROP
        inside = (places >= 0) & (places < counted)
        planted[row, (sites[:, 0] * counted + places)[inside]] = True
    return np.asarray(called & planted)


def splice_figures(answer: np.ndarray, wanted: np.ndarray) -> Figures:
    """How well an answer calls the sites, and how much it is like what its parents say together."""
    sites = splice_sites()
    never = np.max(splice_parents(), axis=0) < 0.1
    same = np.corrcoef(answer.ravel(), wanted.ravel())[0, 1] if answer.std() > 0 else 0.0
    shares = np.concatenate([1 - answer.sum(0, keepdims=True), answer]).clip(1e-7)
    truth = np.concatenate([1 - wanted.sum(0, keepdims=True), wanted]).clip(1e-7)
    return {
        "at sites": float(answer[sites].mean()),
        "called": float((answer[sites] > 0.5).mean()),
        "false calls": int(((answer > 0.5) & never).sum()),
        "correlation": float(same),
        "divergence": float((truth * np.log(truth / shares)).sum(0).mean()),
    }


def spliceai(first: int, second: int) -> dict[str, Any]:
    """A pair of seeds."""
    nets, answers = networks("spliceai"), splice_parents()
    wanted = (answers[first] + answers[second]) / 2
    found = {"ends": splice_figures(answers[first], wanted), "ends together": splice_figures(wanted, wanted)}
    other = splice_figures(answers[second], wanted)
    found["ends"] = _mean([found["ends"], other])
    for name, net in merges(computer_of("spliceai"), (nets[first], nets[second]), splice_inputs()[0]):
        found[name] = splice_figures(splice_answers(net), wanted)
    return {"sites": int(splice_sites().sum()), "figures": found}


def splice_together(*_: int) -> dict[str, Any]:
    """All five."""
    nets, wanted = networks("spliceai"), np.mean(splice_parents(), axis=0)
    ends = [splice_figures(each, wanted) for each in splice_parents()]
    found = {"ends": _mean(ends), "ends together": splice_figures(wanted, wanted)}
    for name, net in together(computer_of("spliceai"), nets, splice_inputs()[0]):
        found[name] = splice_figures(splice_answers(net), wanted)
    return {"figures": found}


def splice_alone(number: int, _: int) -> dict[str, Any]:
    """A seed by itself, and mended with itself."""
    net, own, known = networks("spliceai")[number], splice_parents()[number], splice_inputs()[0]
    found = {"ends": splice_figures(own, own)}
    for rule in RULES:
        again = mended(computer_of("spliceai"), net, (net, net), HALF, known, rule=rule)
        found[f"ends, {rule}"] = splice_figures(splice_answers(again), own)
    return {"figures": found}


def _mean(figures: Sequence[Figures]) -> Figures:
    return {key: float(np.mean([each[key] for each in figures])) for key in figures[0]}


@cache
def contigs(seed: int) -> torch.Tensor:
    """Shares of four-letter words, a word and its reverse complement as one, of stretches of made-up genomes."""
    rng = np.random.default_rng(seed)
    words = ["".join(word) for word in itertools.product("ATGC", repeat=4)]
    back = str.maketrans("ATGC", "TACG")
    column: dict[str, int] = {}
    for word in words:
        column[word] = column.get(word[::-1].translate(back), len(set(column.values())))
    of_word = np.array([column[word] for word in words])
    rows = []
    for _ in range(GENOMES):
        content = rng.uniform(0.3, 0.7)
        usual = np.array([1 - content, 1 - content, content, content]) / 2
        following = rng.dirichlet(60 * usual, 64).cumsum(1)
        drawn = rng.random((CONTIGS // GENOMES, LENGTH))
        state = rng.integers(64, size=len(drawn))
        counts = np.zeros((len(drawn), 136))
        for draws in drawn.T:
            letter = (draws[:, None] > following[state]).sum(1).clip(max=3)
            counts[np.arange(len(drawn)), of_word[4 * state + letter]] += 1
            state = (4 * state + letter) % 64
        rows.append((counts + 1e-5) / (counts + 1e-5).sum(1, keepdims=True))
    return torch.tensor(np.concatenate(rows), dtype=torch.float32)


def code_of(network: Network, x: torch.Tensor) -> np.ndarray:
    """The 100 numbers."""
    module = Autoencoder().eval().requires_grad_(False)
    module.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in network.items()}, strict=False)
    return np.asarray(module.encoder1(x).numpy())


def contig_figures(network: Network, judged: Samples, codes: Sequence[np.ndarray]) -> Figures:
    """How far from the inputs a network's answers are, and how much like these codes its codes."""
    x = judged.inputs[0]
    given = computer_of("semibin").answers(network, judged)[0].clamp(min=1e-9)
    return {
        "divergence": float((x * (x / given).log()).sum(1).mean()),
        "cka": float(np.mean([cka(code_of(network, x), each) for each in codes])),
    }


def semibin_alone(number: int, _: int) -> dict[str, Any]:
    """A network by itself, and mended by itself: what statistics of made-up contigs alone do to it."""
    network = networks("semibin")[number]
    known, judged = (Samples((contigs(seed),)) for seed in (1, 2))
    code = [code_of(network, judged.inputs[0])]
    found = {"ends": contig_figures(network, judged, code)}
    for rule in RULES:
        again = mended(computer_of("semibin"), network, (network, network), HALF, known, rule=rule)
        found[f"ends, {rule}"] = contig_figures(again, judged, code)
    return {"figures": found}


def semibin_together(*_: int) -> dict[str, Any]:
    """All twelve."""
    nets = networks("semibin")
    known, judged = (Samples((contigs(seed),)) for seed in (1, 2))
    codes = [code_of(net, judged.inputs[0]) for net in nets]
    found = {"ends": _mean([contig_figures(net, judged, codes) for net in nets])}
    for name, net in together(computer_of("semibin"), nets, known):
        found[name] = contig_figures(net, judged, codes)
    return {"figures": found}


def semibin(first: int, second: int) -> dict[str, Any]:
    """A pair of habitats."""
    computer, nets = computer_of("semibin"), networks("semibin")
    known, judged = (Samples((contigs(seed),)) for seed in (1, 2))
    x = judged.inputs[0]
    codes = [code_of(nets[k], x) for k in (first, second)]

    def figures(network: Network) -> Figures:
        return contig_figures(network, judged, codes)

    found = {"ends": _mean([figures(nets[k]) for k in (first, second)])}
    mean = x.mean(0, keepdim=True)
    found["mean of the inputs"] = {"divergence": float((x * (x / mean).log()).sum(1).mean()), "cka": float("nan")}
    for name, net in merges(computer, (nets[first], nets[second]), known):
        found[name] = figures(net)
    return {"figures": found}


def tell(family: str, lines: Sequence[Mapping[str, Any]]) -> None:
    """Means over pairs."""
    names = list(lines[0]["figures"])
    columns = list(lines[0]["figures"]["ends"])
    rows = []
    for name in names:
        values = {key: np.array([line["figures"][name][key] for line in lines]) for key in columns}
        rows.append([name, *(told(each) if len(lines) > 1 else float(each[0]) for each in values.values())])
    pairs = ", ".join(f"{line['key'][1]}-{line['key'][2]}" for line in lines)
    show(f"{family}, {len(lines)} lines ({pairs}): mean ± half the 95 % interval over lines", ["", *columns], rows)


def pairs_of(family: str) -> list[tuple[int, int]]:
    """Of SpliceAI all ten, each seed once before any twice; of SemiBin six that share no network.

    Alone: every network; together: all at once.
    """
    if family.endswith("together"):
        return [(0, 0)]
    if family.endswith("alone"):
        return [(k, k) for k in range(len(networks(family.split(maxsplit=1)[0])))]
    if family == "semibin":
        return [(k, k + 1) for k in range(0, 12, 2)]
    return [(0, 1), (2, 3), (4, 0), (1, 2), (3, 4), (0, 2), (1, 3), (2, 4), (0, 3), (1, 4)]


def of_key(run: Callable[[int, int], dict[str, Any]], key: Sequence[Any]) -> dict[str, Any]:
    """The line of a family and two networks."""
    return run(*key[1:])


def main(argv: list[str]) -> None:
    """Every pair, then the tables."""
    given = options("published_merges", argv, pairs=10, only="")
    torch.set_num_threads(given.threads)
    lines = Lines("published_merges", given.fresh, ("match", "skeleton", "solvers"))
    runs = {
        "semibin alone": semibin_alone,
        "semibin": semibin,
        "semibin together": semibin_together,
        "spliceai alone": splice_alone,
        "spliceai together": splice_together,
        "spliceai": spliceai,
    }
    for family, run in runs.items():
        if not family.startswith(given.only):
            continue
        most = given.pairs if family == "spliceai" else None
        keys = [[family, *pair] for pair in pairs_of(family)[:most]]
        found = list(lines.each(keys, partial(of_key, run)))
        if family == "spliceai":
            assert all(line["figures"]["ends"]["at sites"] > 0.8 for line in found), "the ends do not call the sites"
        tell(family, found)
    print(f"\n{lines.codes()}")
