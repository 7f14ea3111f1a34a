"""The same checkpoints, renamed in three ways, mapped to their slots by reknit and by weightbridge (PyPI).

    python -m bench.key_mapping [NAME...]          default: gpt2-6-0 minilm

    renamed    every part of a key has another name, numbers and nesting stay: another implementation's names
    shuffled   the same, with the numbers of the layers shuffled
    stripped   t.0000, t.0001, ... in random order: nothing is left of the names

reknit never looks at a name. Right, wrong and refused are counted over all keys; weightbridge maps all keys or none.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from bench.solved_piles import like_of, solved
from bench.wiring_run import evidence_without
from reknit.wiring.options import WiringOptions
from reknit.wiring.verb import wire


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


def main(argv: Sequence[str] | None = None) -> None:
    """Every network, renamed in every way."""
    names = list(sys.argv[1:] if argv is None else argv) or ["gpt2-6-0", "minilm"]
    for name in names:
        _, tensors = solved(name)
        for how in ("renamed", "shuffled", "stripped"):
            new = renamed(list(tensors), how)
            old = {value: key for key, value in new.items()}
            pile = {new[key]: np.asarray(tensor, order="C") for key, tensor in tensors.items()}
            pile = dict(sorted(pile.items()))
            started = time.perf_counter()
            theirs = by_weightbridge(pile, {key: np.zeros_like(tensor) for key, tensor in tensors.items()})
            took = time.perf_counter() - started
            if isinstance(theirs, str):
                told = f"0 right, 0 wrong, {len(tensors)} refused ({theirs})"
            else:
                right = sum(np.array_equal(theirs[key], tensors[key]) for key in tensors)
                told = f"{right} right, {len(tensors) - right} wrong, 0 refused"
            print(f"{name} {how}: weightbridge {told}, {took:.1f} s", flush=True)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "pile.safetensors"
                save_file(pile, path)
                started = time.perf_counter()
                wiring = wire(path, None, WiringOptions(like=like_of(name)), evidence=evidence_without(name))
                took = time.perf_counter() - started
            certain = [placed for placed in wiring.slots if placed.certain]
            right = sum(np.array_equal(tensors[old[placed.piece]], tensors[placed.slot]) for placed in certain)
            best = sum(np.array_equal(tensors[old[placed.piece]], tensors[placed.slot]) for placed in wiring.slots)
            told = (
                f"{right} right, {len(certain) - right} wrong, {len(wiring.slots) - len(certain)} refused (not certain)"
            )
            print(f"{name} {how}: reknit {told}; its proposal is right for {best}; {took:.1f} s", flush=True)
            assert right == len(certain), f"{name}: a key reported certain is wrong"


if __name__ == "__main__":
    main()
