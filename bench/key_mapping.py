"""The same checkpoints, renamed in three ways, mapped to their slots by reknit and by weightbridge (PyPI).

    python -m bench.key_mapping [NAME...] [--ways ...] [--rows 0 2] [--budget 60]      default: gpt2-6-0 minilm

    renamed    every part of a key has another name, numbers and nesting stay: another implementation's names
    shuffled   the same, with the numbers of the layers shuffled
    stripped   t.0000, t.0001, ... in random order: nothing is left of the names

reknit never looks at a name; it is asked with the weights alone, and with a few recorded outputs. Right, wrong and
refused are counted over all keys, of reknit's answer over what it calls certain; weightbridge maps all keys or none.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from bench.common import scratch
from bench.solved_net import SolvedNet
from bench.wiring_run import ROWS, in_a_process, lacking, request_of
from bench.wiring_run import net as solved_net

WAYS = ("renamed", "shuffled", "stripped")


def renamed(keys: Sequence[str], how: str, seed: int = 0) -> dict[str, str]:
    """Key -> new name."""
    rng = np.random.default_rng(seed)
    if how == "stripped":
        return {keys[k]: f"t.{place:04d}" for place, k in enumerate(rng.permutation(len(keys)))}
    numbers = sorted({int(n) for key in keys for n in re.findall(r"(?<=\.)\d+(?=\.)", key)})
    mixed = dict(zip(numbers, rng.permutation(numbers), strict=True)) if how == "shuffled" else {}
    parts = sorted({part for key in keys for part in key.split(".") if not part.isdecimal()})
    words = {part: f"{part[:1]}{k}x" if part not in ("weight", "bias") else part for k, part in enumerate(parts)}

    def turn(part: str) -> str:
        return str(mixed.get(int(part), int(part))) if part.isdecimal() else words[part]

    return {key: ".".join(map(turn, key.split("."))) for key in keys}


def by_weightbridge(pile: Mapping[str, np.ndarray], empty: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | str:
    """What it maps to each key, or why it refuses."""
    import weightbridge

    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return dict(weightbridge.adapt(dict(pile), dict(empty)))
    except ValueError as error:  # what it raises where it cannot pair keys
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:90] if str(error).strip() else ''}"


def by_reknit(net: SolvedNet, pile: Path, old: Mapping[str, str], data: Path | None, asked: Asked) -> str:
    """Counts in words; stops where a key reported certain is wrong."""
    answer = in_a_process(request_of(net, pile, data, 0, asked.budget), asked.limit)
    if "placement" not in answer:
        return f"0 right, 0 wrong, {len(net.tensors)} refused ({answer})"
    place = {slot: net.tensors[old[piece]] for slot, piece in answer["placement"].items()}
    right = {slot for slot, tensor in place.items() if np.array_equal(net.tensors[slot], tensor)}
    certain = set(answer["certain"])
    wrong = certain - right
    assert not wrong or net.computes_the_same(place, seed=0), f"{net.name}: {len(wrong)} certain keys are wrong"
    elsewhere = f" ({len(wrong)} of the right ones by function alone)" if wrong else ""
    return (
        f"{len(certain)} right{elsewhere}, 0 wrong, {len(place) - len(certain)} refused (not certain); "
        f"its proposal is right for {len(right)}; {answer['verdict']}, {answer['seconds']:.1f} s"
    )


class Asked(argparse.Namespace):
    """The options."""

    names: list[str]
    ways: list[str]
    rows: list[int]
    budget: float
    limit: float


def main(argv: Sequence[str] | None = None) -> None:
    """Every network, renamed in every way."""
    parser = argparse.ArgumentParser(prog="python -m bench key_mapping")
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--rows", type=int, nargs="*", default=[0, ROWS["few"]], help="recorded rows; 0: weights alone")
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds after which a run of reknit is stopped")
    asked = parser.parse_args(argv, namespace=Asked())
    for name, how in itertools.product(asked.names or ["gpt2-6-0", "minilm"], asked.ways):
        if reason := lacking(name):
            print(reason, flush=True)
            continue
        net = solved_net(name)
        old = {value: key for key, value in renamed(list(net.tensors), how).items()}
        pile = {new: np.asarray(net.tensors[old[new]], order="C") for new in sorted(old)}
        started = time.perf_counter()
        theirs = by_weightbridge(pile, {key: np.zeros_like(tensor) for key, tensor in net.tensors.items()})
        took = time.perf_counter() - started
        if isinstance(theirs, str):
            told = f"0 right, 0 wrong, {len(pile)} refused ({theirs})"
        else:
            right = sum(np.array_equal(theirs[key], tensor) for key, tensor in net.tensors.items())
            told = f"{right} right, {len(pile) - right} wrong, 0 refused"
        print(f"{name} {how}: weightbridge {told}, {took:.1f} s", flush=True)
        with scratch() as folder:
            save_file(pile, folder / "pile.safetensors")
            for rows in asked.rows:
                data = folder / "record.npz" if rows else None
                if data is not None:
                    net.record(data, rows, seed=0)
                told = by_reknit(net, folder / "pile.safetensors", old, data, asked)
                print(f"{name} {how}: reknit, {f'{rows} recorded rows' if rows else 'weights'}: {told}", flush=True)


if __name__ == "__main__":
    main()
