"""Real checkpoints and nets trained here, stripped of names and shuffled, wired from weights and from outputs.

    python -m bench.wiring [NAME...] [--settings weights inputs few many top] [--seeds 1] [--budget 60] [--fresh]

Names as in ``bench.solved_piles``, settings as in ``bench.wiring_run``, counts as in ``bench.wiring_score``. For a
network that the shipped weights of evidence were learned from, weights are learned again without it. The last table has
a line for each network and setting; C is one check, a forward pass of the true network over the recorded rows (over 16
where none are recorded). Memory is that of the process at its peak; what it grew by is told in sizes of all tensors. A
run *fails* if there is no answer, or, with outputs, another function, or, without, a matrix in a wrong slot.

A network whose weights are not at hand is skipped with a sentence. Runs are kept in ``bench/out/wiring.jsonl`` and not
repeated while the code is the same.
"""

from __future__ import annotations

import argparse
import itertools
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from bench.common import Lines, show
from bench.wiring_run import ROWS, failed, growth, lacking, net, no_answer, require_none_wrong, run, told

NAMES = (
    *("rxnfp", "antiberty", "minilm"),
    *(f"{architecture}-6-{seed}" for architecture in ("gpt2", "llama") for seed in range(3)),
    *(f"spliceai-{seed}" for seed in range(1, 6)),
    *(f"efficientnet-lite{size}" for size in range(3)),
    *(f"preact-8-{seed}" for seed in range(3, 6)),
)
FOLDERS = ("architectures", "containers", "evidence", "skeleton", "solvers", "wiring")


def table(lines: Iterable[dict[str, Any]]) -> None:
    """A line for each network and setting, over its seeds; and how many failed, with networks of one kind together."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    kinds: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for line in lines:
        groups.setdefault((line["name"], line["setting"]), []).append(line)
        kinds.setdefault(kind_of(line["name"]), {}).setdefault(line["setting"], []).append(line)
    head = ("network", "setting", "failed", "verdicts", "kind", "slots", "roles", "edges", "certain", "wrong")
    show("right, over all seeds", head, [row for group in groups.values() for row in counts(group)])
    costed = ("network", "setting", "seeds", "seconds", "in C", "C in s", "peak MB", "grew by, x tensors", "tensors MB")
    show("medians over the seeds; of memory the most", costed, [costs(group) for group in groups.values()])
    show("failed", ("networks", *ROWS), [[kind, *failures(settings)] for kind, settings in kinds.items()])


def kind_of(name: str) -> str:
    """A name without the seed at its end."""
    return re.sub(r"-\d+$", "", name)


def failures(settings: Mapping[str, Sequence[dict[str, Any]]]) -> list[str | None]:
    """How many runs failed in each setting, of how many; nothing where there were none."""
    found: list[str | None] = []
    for key in ROWS:
        group = settings.get(key, ())
        found.append(f"{sum(map(failed, group))} of {len(group)}" if group else None)
    return found


def counts(group: Sequence[dict[str, Any]]) -> list[list[object]]:
    """Two rows, of matrices and of vectors; one where there is no answer at all."""
    answered = [line for line in group if "verdict" in line]
    name, setting = group[0]["name"], group[0]["setting"]
    share = f"{sum(map(failed, group))} of {len(group)}"
    if not answered:
        return [[name, setting, share, no_answer(group[0]).partition(":")[0].partition(",")[0], *[None] * 6]]
    verdicts = " ".join(sorted({line["verdict"] for line in answered}))

    def of(kind: str, part: str, whole: str) -> str:
        found, total = (sum(line[kind][key] for line in answered) for key in (part, whole))
        return f"{found} of {total}"

    return [
        [
            *(name, setting, share, verdicts, kind),
            *(of(kind, part, "slots") for part in ("right", "roles")),
            of(kind, "edges", "pairs"),
            of(kind, "certain", "slots"),
            sum(line[kind]["wrong"] for line in answered),
        ]
        for kind in ("matrices", "vectors")
    ]


def costs(group: Sequence[dict[str, Any]]) -> list[object]:
    """Time and memory."""
    first, answered = group[0], [line for line in group if "verdict" in line]
    fixed = [first["name"], first["setting"], len(group)]
    if not answered:
        return [*fixed, None, None, first["check"], None, None, first["size"] / 1e6]
    return [
        *fixed,
        statistics.median(line["seconds"] for line in answered),
        statistics.median(line["seconds"] / line["check"] for line in answered),
        statistics.median(line["check"] for line in answered),
        f"{max(line['peak'] for line in answered) / 1e6:.0f}",
        max(growth(line) for line in answered),
        first["size"] / 1e6,
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Every network asked for, in every setting, from every seed."""
    parser = argparse.ArgumentParser(prog="python -m bench wiring")
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--settings", nargs="*", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds after which a run is stopped")
    parser.add_argument("--fresh", action="store_true", help="forget the lines of an earlier run")
    asked = parser.parse_args(argv)
    kept = Lines("wiring", asked.fresh, FOLDERS)
    names = []
    for name in asked.names or NAMES:
        reason = lacking(name)
        print(reason, flush=True) if reason else names.append(name)
    keys = [[*each, asked.budget, kept.code] for each in itertools.product(names, asked.settings, range(asked.seeds))]
    read = lru_cache(1)(net)  # all runs of a network come one after the other
    found = []
    for line in kept.each(keys, lambda key: run(read(key[0]), key[1], key[2], asked.budget, asked.limit)):
        print(told(line), flush=True)
        found.append(line)
    table(found)
    for line in found:
        require_none_wrong(line)


if __name__ == "__main__":
    main()
