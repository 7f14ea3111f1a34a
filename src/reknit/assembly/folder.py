"""An assembly in a folder: ``model.safetensors``, ``config.json``, ``assembly.json``; written and read back.

``assembly.json`` holds what ``assemble --json`` prints and, under ``run`` and ``evidence``, what the report needs.
Numbers that JSON lacks (infinities, NaN) are null there and come back as NaN.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from reknit.assembly.result import Assembly, Evidence, Move, Pair, Residual, Step
from reknit.containers.write import staged_folder
from reknit.errors import InputError
from reknit.network.saved import check_tensors, load_spec, load_tensors, read_json, save_model
from reknit.plain import dumps

ASSEMBLY_FILE = "assembly.json"


def save_assembly(assembly: Assembly, folder: Path, *, force: bool, expendable: Collection[str] = ()) -> None:
    """Write an assembly into a folder of its own, whole or not at all.

    Args:
        assembly: what to write.
        folder: where to; an empty folder may be there already.
        force: replace an existing folder that holds an assembly and nothing else.
        expendable: names of files that may be lost with the old folder: the checkpoint of this run.

    Raises:
        OutputError: the folder is there already and ``force`` is false, or it cannot be written.
    """
    content = assembly.as_json() | {"run": assembly.run, "evidence": asdict(assembly.evidence)}
    with staged_folder(folder, force=force, expendable=expendable) as staged:
        save_model(staged, assembly.spec, assembly.tensors, str(assembly.run["version"]))
        (staged / ASSEMBLY_FILE).write_text(dumps(content, indent=1) + "\n", encoding="utf-8")


def load_assembly(folder: Path) -> Assembly:
    """Read an assembly back, to report again what was found.

    Raises:
        InputError: a file is missing or damaged, or the files do not belong together.
    """
    spec, tensors = load_spec(folder), load_tensors(folder)
    check_tensors(spec, tensors, folder)
    path = folder / ASSEMBLY_FILE
    content = read_json(path)
    try:
        return Assembly(
            verdict=content["verdict"],
            reason=content["reason"],
            order=tuple(content["order"]),
            pairs=tuple(Pair(p["in"], p["out"], _number(p["margin"])) for p in content["pairs"]),
            undecided=tuple(_move(m) for m in content["undecided"]),
            residual=Residual(**{key: _number(value) for key, value in content["residual"].items()}),
            seconds={stage: _number(seconds) for stage, seconds in content["seconds"].items()},
            spec=spec,
            tensors=tensors,
            evidence=_evidence(content["evidence"]),
            run=content["run"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError("the file does not hold an assembly", path, "Assemble again with --force") from error


def _number(value: float | None) -> Any:
    return math.nan if value is None else value


def _move(content: Mapping[str, Any]) -> Move:
    return Move(content["kind"], tuple(content["pieces"]), _number(content["change"]), _number(content["z"]))


def _step(content: Mapping[str, Any]) -> Step:
    mse, seconds = _number(content["mse"]), _number(content["seconds"])
    return Step(content["stage"], mse, content["rows"], content["inversions"], seconds)


def _evidence(content: Mapping[str, Any]) -> Evidence:
    blocks = len(content["pair_scores"])
    return Evidence(
        pair_scores=np.array(content["pair_scores"], np.float64).reshape(blocks, blocks),  # numpy reads None as NaN
        stream_rms=tuple(_number(value) for value in content["stream_rms"]),
        branch_rms=tuple(_number(value) for value in content["branch_rms"]),
        steps=tuple(_step(step) for step in content["steps"]),
        moves=content["moves"],
        rejected_z={kind: _number(value) for kind, value in content["rejected_z"].items()},
        level=_number(content["level"]),
        tried=tuple((name, _number(mse)) for name, mse in content["tried"]),
    )
