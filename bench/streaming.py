"""How much memory an average of checkpoints takes: tensor by tensor, beside what is plainly written.

    python -m bench streaming [--count 8] [--layers 12] [--width 2100]

Each way runs in a process of its own, whose peak is the largest resident set that it ever had (VmHWM) less what was
resident when its libraries were loaded (of reknit: when the skeleton was traced too). reknit reads every number twice,
once to check it, and some a third time to say which layers disagree; the plain ways check nothing and foresee nothing.

- *all at once*: ``safetensors.torch.load_file`` of every checkpoint, the mean, ``save_file``
- *one after the other*: one checkpoint at a time, added to a sum in float64, ``save_file``
- *mapped*: ``safetensors.safe_open`` of all, tensor by tensor, the mean held, ``save_file``; pages of the mapped files
  count as resident

Before anything is printed, all files have to be equal: to the bit where sums are in float64, in one order.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

READ = """
import json, sys, time
from pathlib import Path
def memory(what):
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(status[what].split()[0]) / 1024
files, out, like = json.loads(sys.argv[1])
"""
WAYS = {
    "reknit": """
import torch
from reknit import merge
from reknit.match.pairs import open_networks
from reknit.skeleton.like import resolve
from reknit.skeleton.trace import trace
resolved = resolve(like)
trace(resolved.module, resolved.inputs)
RESTING
merge(files, like=like, method="none", out=out)
""",
    "all at once": """
import torch
from safetensors.torch import load_file, save_file
RESTING
states = [load_file(file) for file in files]
def mean(values):
    return sum(value.double() * (1 / len(values)) for value in values).float()
save_file({key: mean([state[key] for state in states]) for key in states[0]}, out)
""",
    "one after the other": """
import torch
from safetensors.torch import load_file, save_file
RESTING
total = {}
for file in files:
    for key, value in load_file(file).items():
        total[key] = total.get(key, 0) + value.double() * (1 / len(files))
save_file({key: value.float() for key, value in total.items()}, out)
""",
    "mapped": """
import torch
from safetensors import safe_open
from safetensors.torch import save_file
RESTING
opened = [safe_open(file, "pt") for file in files]
found = {}
for key in opened[0].keys():
    found[key] = sum(each.get_tensor(key).double() * (1 / len(files)) for each in opened).float()
save_file(found, out)
""",
}
BEGIN = "resting, began = memory('VmRSS'), time.perf_counter()"
END = "print(json.dumps([memory('VmHWM') - resting, resting, time.perf_counter() - began]))"


def made(folder: Path, count: int, layers: int, width: int) -> tuple[list[str], str, float]:
    """Checkpoints of random numbers, the skeleton of all, and the size of one in MB."""
    files = []
    for k in range(count):
        rng = np.random.default_rng(k)
        state = {}
        for layer in range(layers):
            state[f"layers.{layer}.weight"] = rng.standard_normal((width, width), dtype=np.float32)
            state[f"layers.{layer}.bias"] = rng.standard_normal(width, dtype=np.float32)
        files.append(str(folder / f"{k}.safetensors"))
        save_file(state, files[-1])
    return files, f"mlp:sizes={'-'.join([str(width)] * (layers + 1))}", Path(files[0]).stat().st_size / 2**20


def measured(way: str, files: Sequence[str], out: Path, like: str) -> tuple[float, float, float]:
    """Peak over the resting memory and that, in MB, and seconds, in a process of its own."""
    code = READ + WAYS[way].replace("RESTING", BEGIN) + END
    command = [sys.executable, "-c", code, json.dumps([files, str(out), like])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, resting, seconds = json.loads(done.stdout.splitlines()[-1])
    return peak, resting, seconds


def main(argv: Sequence[str]) -> None:
    """Average made checkpoints in every way, each in a process of its own, and print what each took."""
    parser = argparse.ArgumentParser(prog="python -m bench streaming", description=__doc__)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=2100, help="beyond 2048 singular directions are not asked for")
    asked = parser.parse_args(argv)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files, like, size = made(folder, asked.count, asked.layers, asked.width)
        found = {}
        for way in WAYS:
            out = folder / f"{way.replace(' ', '-')}.out"
            found[way] = measured(way, files, out, like)
            check(folder / "reknit.out", out, f"{way} writes another mean")
            if way != "reknit":
                out.unlink()
    tensor = asked.width**2 * 4 / 2**20
    said = f"{asked.count} checkpoints of {size:.0f} MB each, {asked.count * size:.0f} MB to read, tensors of"
    print(f"{said} up to {tensor:.1f} MB")
    print(f"{'':<22} {'peak over resting':>18} {'of one checkpoint':>18} {'resting':>9} {'seconds':>8}")
    for way, (peak, resting, seconds) in found.items():
        print(f"{way:<22} {peak:>15.0f} MB {peak / size:>18.2f} {resting:>6.0f} MB {seconds:>8.1f}")
    assert found["reknit"][0] < size + asked.count * tensor, "more than one checkpoint and a tensor of each"


def check(first: Path, second: Path, words: str) -> None:
    """Whether two files hold the same numbers."""
    with safe_open(first, "np") as one, safe_open(second, "np") as other:
        assert set(one.keys()) == set(other.keys()), words
        for key in one.keys():  # noqa: SIM118  safe_open is no mapping
            assert np.array_equal(one.get_tensor(key), other.get_tensor(key)), f"{words}: {key}"


if __name__ == "__main__":
    main(sys.argv[1:])
