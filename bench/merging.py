"""Networks trained apart, half way: as they are, in one basis by every method, mended, of three and five, and a star.

    python -m bench merging                     everything that has no line yet
    python -m bench merging --parts ''            only the tables of the lines there are
    python -m bench merging --kinds resnet-16 --parts pairs --steps 100

Every aligned network is proven to compute what it computed before its figures count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import stats

from bench.common import Lines, options, show
from bench.merge_nets import computer_of, kind_of, pair_of, trained
from reknit.match.activation_matching import match_activations
from reknit.match.agreement import agreement
from reknit.match.averages import average
from reknit.match.computing import same_function
from reknit.match.judging import judged
from reknit.match.many import match_many
from reknit.match.mending import mended
from reknit.match.sinkhorn_matching import SinkhornMatching, match_sinkhorn
from reknit.match.star import StarTraining, train_star
from reknit.match.straight_through import StraightThrough, match_straight_through
from reknit.match.weight_matching import match_weights
from reknit.skeleton.symmetry import Symmetry

Net = Mapping[str, np.ndarray]
KINDS = ("mlp-64", "mlp-256", "resnet-16", "decoder-64", "resnet-32", "mlp-128", "mlp-512", "resnet-8", "resnet-48")
METHODS = ("naive", "weights", "weights, plain", "activations", "straight-through", "sinkhorn")
SETS = {3: ((0, 1, 2), (3, 4, 5), (6, 7, 8)), 5: ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9))}
SEEN, UNSEEN = range(8), (8, 9)
PLACES = np.linspace(0, 1, 11)


def main(argv: Sequence[str]) -> None:
    """Run what has no line, and print the tables."""
    chosen = options(
        "merging", argv, pairs=5, steps=200, star_steps=2000, kinds=",".join(KINDS), parts="pairs,sets,stars"
    )
    torch.set_num_threads(chosen.threads)
    pairs, sets, stars = (
        Lines(f"merging_{part}", chosen.fresh, ("match", "solvers", "skeleton")) for part in ("pairs", "sets", "stars")
    )
    for kind in chosen.kinds.split(","):
        if "pairs" in chosen.parts:
            _run(pairs, ([kind, number] for number in range(chosen.pairs)), partial(_pair, chosen.steps))
        if "sets" in chosen.parts:
            keys = ([kind, list(seeds)] for size in SETS for seeds in SETS[size])
            _run(sets, keys, partial(_set, chosen.steps))
        if "stars" in chosen.parts and kind.startswith("mlp"):
            _run(stars, [[kind, seed] for seed in UNSEEN], partial(_star, chosen.star_steps))
    _print_pairs(pairs)
    _print_claims(pairs)
    _print_sets(sets)
    _print_stars(stars)


def _run(lines: Lines, keys: Iterable[Any], run: Callable[[Any], dict[str, Any]]) -> None:
    for line in lines.each(keys, run):
        print("  have", line["key"], flush=True)


def _symmetry(method: str, name: str, left: Net, right: Net, steps: int) -> Symmetry:
    computer, known = computer_of(name), kind_of(name).known
    match method:
        case "naive":
            return Symmetry(computer.skeleton, ())
        case "weights":
            return match_weights(computer.skeleton, left, right).symmetry
        case "weights, plain":
            return match_weights(computer.skeleton, left, right, weighing="plain").symmetry
        case "activations":
            return match_activations(computer, left, right, known).symmetry
        case "straight-through":
            return match_straight_through(computer, left, right, known, StraightThrough(steps=steps)).symmetry
        case _:
            return match_sinkhorn(computer, left, right, known, SinkhornMatching(steps=steps)).symmetry


def _pair(steps: int, key: Any) -> dict[str, Any]:
    """Half way between two networks, by every method."""
    name, number = key
    left, right = pair_of(name, number)
    line: dict[str, Any] = {"ends": [_judged(name, net) for net in (left, right)], "steps": steps}
    for method in METHODS:
        began = time.perf_counter()
        moved = _symmetry(method, name, left, right, steps).apply(dict(right))
        seconds = time.perf_counter() - began
        _require_same(name, right, moved)
        found = agreement(computer_of(name).skeleton, left, moved)
        known = [each.directions for each in found if each.directions is not None]
        line[method] = {
            **_averaged(name, [left, moved]),
            "seconds": seconds,
            "distance": float(np.sqrt(np.mean(np.square([each.distance for each in found])))),
            "directions": float(np.mean(known)),
        }
    return line


def _set(steps: int, key: Any) -> dict[str, Any]:
    """The mean of several networks: as they are, in one basis by weights, and each brought to the first."""
    name, seeds = key
    nets = [trained(name, seed) for seed in seeds]
    together = match_many(computer_of(name).skeleton, nets)
    one_by_one = {
        method: [nets[0], *(_symmetry(method, name, nets[0], net, steps).apply(dict(net)) for net in nets[1:])]
        for method in ("weights", "straight-through")
    }
    parents = {
        "naive": nets,
        "weights, together": [symmetry.apply(dict(net)) for symmetry, net in zip(together, nets, strict=True)],
        **{f"{method}, to the first": found for method, found in one_by_one.items()},
    }
    for each in parents.values():
        for net, moved in zip(nets, each, strict=True):
            _require_same(name, net, moved)
    ends = [_judged(name, net) for net in nets]
    return {"ends": ends, "steps": steps, **{method: _averaged(name, each) for method, each in parents.items()}}


def _star(steps: int, key: Any) -> dict[str, Any]:
    """Barriers from a star of eight networks, and from each of these, to one it never saw."""
    name, seed = key
    computer, kind = computer_of(name), kind_of(name)
    seen, unseen = [trained(name, each) for each in SEEN], trained(name, seed)
    star = train_star(computer, seen, kind.known, StarTraining(steps=steps))
    mean = average(star.networks, [1 / len(seen)] * len(seen))
    return {
        "steps": steps,
        "star": _judged(name, star.tensors),
        "mean": _judged(name, mean),
        "unseen": _judged(name, unseen),
        "to star": _barrier(name, star.tensors, unseen),
        "to mean": _barrier(name, mean, unseen),
        "star to seen": [_barrier(name, star.tensors, net) for net in seen],
        "to seen": [_barrier(name, net, unseen) for net in seen],
    }


def _barrier(name: str, left: Net, right: Net) -> dict[str, float]:
    """The barrier in loss and accuracy between two networks, the second brought to the first by weights."""
    moved = match_weights(computer_of(name).skeleton, left, right).symmetry.apply(dict(right))
    _require_same(name, right, moved)
    line = [average([left, moved], [1 - t, t]) for t in PLACES]
    curve = judged(computer_of(name), line, PLACES.tolist(), kind_of(name).judged)
    accuracies = curve.accuracies
    assert accuracies is not None
    chord = (1 - PLACES) * accuracies[0] + PLACES * accuracies[-1]
    return {"loss": curve.barrier().value, "accuracy": float((chord - accuracies).max())}


def _averaged(name: str, parents: Sequence[Net]) -> dict[str, Any]:
    shares = [1 / len(parents)] * len(parents)
    mean = average(parents, shares)
    again = mended(computer_of(name), mean, parents, shares, kind_of(name).known)
    return {"plain": _judged(name, mean), "mended": _judged(name, again)}


def _judged(name: str, net: Net) -> dict[str, float]:
    curve = judged(computer_of(name), [net], [0.0], kind_of(name).judged)
    assert curve.accuracies is not None
    return {"loss": float(curve.losses[0]), "accuracy": float(curve.accuracies[0])}


def _require_same(name: str, net: Net, moved: Net) -> None:
    """Stop if an aligned network computes something else."""
    same = same_function(computer_of(name), net, moved, kind_of(name).judged.some(slice(None, 64)))
    assert same.holds, f"{name}: an aligned network is {same.largest:.2g} off"


def _spread(values: Sequence[float]) -> str:
    """The mean, and of three or more its 95 % interval by Student's t."""
    mean = float(np.mean(values))
    if len(values) < 3:
        return f"{mean:.3f}"
    half = stats.t.ppf(0.975, len(values) - 1) * float(np.std(values, ddof=1)) / np.sqrt(len(values))
    return f"{mean:.3f} ({mean - half:.3f} to {mean + half:.3f})"


def _by_kind(lines: Lines) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in lines.read():
        found.setdefault(line["key"][0], []).append(line)
    return found


def _rows(held: Sequence[dict[str, Any]], methods: Sequence[str]) -> list[list[object]]:
    found: list[list[object]] = []
    for method in methods:
        row: list[object] = [method]
        for form in ("plain", "mended"):
            accuracies = [line[method][form]["accuracy"] for line in held]
            losses = [line[method][form]["loss"] for line in held]
            row += [_spread(accuracies), f"{min(accuracies):.3f}", _spread(losses)]
        found.append(row)
    return found


HEAD = ("", "accuracy", "min", "loss", "accuracy, mended", "min", "loss, mended")


def _ends(held: Sequence[dict[str, Any]], what: str) -> float:
    return float(np.mean([each[what] for line in held for each in line["ends"]]))


def _print_pairs(lines: Lines) -> None:
    for kind, held in _by_kind(lines).items():
        title = f"{kind}, half way, {len(held)} pairs; alone {_ends(held, 'accuracy'):.3f}, {_ends(held, 'loss'):.3f}"
        rows = _rows(held, METHODS)
        for row, method in zip(rows, METHODS, strict=True):
            row.append(f"{np.median([line[method]['seconds'] for line in held]):.2f}")
        show(title, (*HEAD, "seconds"), rows)
    print(f"  {lines.codes()}")


def _print_claims(lines: Lines) -> None:
    rows = []
    for kind, held in _by_kind(lines).items():
        excess = {
            (method, form): [
                line[method][form]["loss"] - np.mean([end["loss"] for end in line["ends"]]) for line in held
            ]
            for method in ("naive", "weights")
            for form in ("plain", "mended")
        }
        measures = [
            f"{np.mean([line[method][what] for line in held]):.3f}"
            for what in ("distance", "directions")
            for method in ("naive", "weights")
        ]
        rows.append([kind, *(_spread(values) for values in excess.values()), *measures])
    head = ("barrier:", "naive", "mended", "weights", "mended", "distance:", "weights", "directions:", "weights")
    show("Barriers half way; distance and agreement of leading singular directions, before and after", head, rows)


def _print_sets(lines: Lines) -> None:
    for kind, every in _by_kind(lines).items():
        for size in SETS:
            held = [line for line in every if len(line["key"][1]) == size]
            if held:
                methods = [key for key, value in held[0].items() if isinstance(value, dict)]
                title = f"{kind}, the mean of {size}, {len(held)} sets; alone {_ends(held, 'accuracy'):.3f}"
                show(title, HEAD, _rows(held, methods))
    print(f"  {lines.codes()}")


def _print_stars(lines: Lines) -> None:
    rows = []
    for line in lines.read():
        kind, seed = line["key"]
        among = [each["loss"] for each in line["to seen"]]
        rows.append(
            [
                f"{kind}, unseen {seed}",
                *(f"{line[which]['accuracy']:.3f}" for which in ("star", "mean", "unseen")),
                f"{line['to star']['loss']:.4f}",
                f"{np.max([each['loss'] for each in line['star to seen']]):.4f}",
                f"{line['to mean']['loss']:.4f}",
                _spread(among),
            ]
        )
    head = ("", "star", "mean", "unseen", "barrier: star", "star to seen", "mean", "seen networks")
    show("A star of eight networks: accuracy, and barriers in loss to a network it never saw", head, rows)
    print(f"  {lines.codes()}")
