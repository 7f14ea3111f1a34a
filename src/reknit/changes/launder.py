"""``launder``: another checkpoint made from one by changes that keep its function, or nearly, with a key of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from reknit import __version__
from reknit.changes.laundering.chain import Ran, run_chain
from reknit.changes.laundering.key import Key, beside_of
from reknit.changes.laundering.layout import forms_of, laid_out, same_bits, taken_back
from reknit.changes.laundering.options import check_options, samples_for, setting_for
from reknit.changes.laundering.proving import Proof
from reknit.changes.laundering.registry import read_chain
from reknit.changes.laundering.state import State, read_state
from reknit.containers.opening import open_container
from reknit.containers.safetensors_bytes import Named, safetensors_bytes
from reknit.containers.write import write_files
from reknit.errors import OutputError
from reknit.match.pairs import check_free

if TYPE_CHECKING:
    from reknit.match.samples import Samples

Verdict = Literal["exact", "consistent", "failed"]


@dataclass(frozen=True, eq=False)
class Laundering:
    """A checkpoint made from another one.

    Attributes:
        verdict: ``exact``: it computes what the other one computes, to rounding, or holds the same numbers bit by bit;
            ``consistent``: it was changed as was meant, and its answers differ; ``failed``: a step that should have
            kept the function did not.
        reason: one sentence.
        key: everything that was done.
        proofs: of every step that changes numbers, of all of them together, and of where the tensors lie.
        run: options and version.
        named: the tensors of the file, in its order.
    """

    verdict: Verdict
    reason: str
    key: Key = field(repr=False)
    proofs: tuple[Proof, ...]
    run: Mapping[str, Any]
    named: tuple[Named, ...] = field(repr=False)

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """Name in the file -> numbers, in the dtype of the file (``ml_dtypes`` has those that numpy has not)."""
        return {each.name: each.stored for each in self.named}

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "steps": [
                {
                    "said": each.said,
                    "step": each.step,
                    "keeps_function": each.keeps_function,
                    "parameters": dict(each.parameters),
                    "changed": len(each.changed),
                    "groups": [group["group"] for group in each.facts.get("groups", ())],
                    "left": each.left,
                }
                for each in self.key.steps
            ],
            "proofs": [each.as_json() for each in self.proofs],
            "tensors": len(self.named),
            **self.run,
        }

    def save(self, path: str | Path, *, key: str | Path | None = None, force: bool = False) -> None:
        """Write the checkpoint as safetensors, and its key as JSON and npz, all of them or none.

        Every tensor is read back from the file, and held against what was meant, before the file gets its name.

        Raises:
            OutputError: the function changed, something is there and ``force`` is off, or it cannot be written.
        """
        if self.verdict == "failed":
            raise OutputError("is not written: the laundered network would compute something else", path, self.reason)
        content = {Path(path): safetensors_bytes(self.named)}
        kept = self.key.files(Path(key)) if key is not None else {}
        write_files({**kept, **content}, force=force, checks={Path(path): self._check})

    def _check(self, staged: Path) -> None:
        """Whether a file holds what was meant.

        Raises:
            OutputError: it does not.
        """
        found = open_container(staged)
        if list(found.tensors) != [each.name for each in self.named]:
            raise OutputError("does not hold the tensors that were meant when it is read back", staged, "Try again")
        for each in self.named:
            if not same_bits(each.stored, found.read(each.name)):
                raise OutputError(f"{each.name} reads back other than it was meant", staged, "Try again")


def launder(
    path: str | Path,
    how: str | Sequence[str],
    *,
    like: str | None = None,
    data: str | Path | None = None,
    input: str | None = None,  # noqa: A002  the word of the command line
    seed: int = 0,
    out: str | Path | None = None,
    key: str | Path | None = None,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Laundering:
    """Make a checkpoint from another one by a chain of steps, and say what is proven of it.

    Args:
        path: a checkpoint; it stays as it is.
        how: the steps (``reknit.changes.laundering.registry.KINDS``, docs/laundering.md), with their parameters behind
            colons: ``permute,scale,round:4:row``.
        like: the skeleton (see ``reknit.assemble``); steps that change the basis, and training, need it.
        data: an npz file with ``inputs``, which the proof uses, and ``targets``, where the chain trains.
        input: the shape of an example input for the skeleton.
        seed: of everything that is drawn.
        out: where to write the checkpoint (safetensors); nothing is written if the proof fails.
        key: where to write the key (JSON, with an npz file beside it).
        force: replace what is there.
        progress: told what is being done.

    Raises:
        InputError: the file, the data, a step or an option cannot be used.
        OutputError: the answer cannot be written where it is wanted.
    """
    chain = read_chain(how)
    check_options(chain, like, data, seed, out, key)
    targets = [Path(each) for each in (out, key) if each is not None]
    for target in (*targets, *([beside_of(Path(key))] if key is not None else [])):
        check_free(target, (path, data, like), force=force)
    told = progress or (lambda _: None)
    told("reading")
    setting = setting_for(like, input)
    state, sha256 = read_state(path, setting)
    samples = samples_for(setting, data, chain, seed)
    ran = run_chain(state, chain, seed=seed, samples=samples, progress=told)
    told("proving")
    found = _written_up(state, ran, samples, sha256, like, input, seed)
    if out is not None:
        found.save(out, key=key, force=force)
    return found


def _written_up(
    start: State,
    ran: Ran,
    samples: Samples | None,
    sha256: str,
    like: str | None,
    input_shape: str | None,
    seed: int,
) -> Laundering:
    named = laid_out(ran.state, ran.stored)
    proofs = (*ran.proofs, _layout_proof(ran, named))
    verdict, reason = _judged(ran, proofs)
    dtypes = {key: (start.dtypes[key], dtype) for key, dtype in ran.state.dtypes.items()}
    key = Key(
        sha256,
        like,
        input_shape,
        seed,
        ran.records,
        ran.stored,
        forms_of(ran.state),
        dtypes,
        ran.state.slots,
        ran.state.copies,
    )
    inputs = None if samples is None else "drawn" if samples.drawn else "given"
    run = {"like": like, "seed": seed, "inputs": inputs, "version": __version__}
    return Laundering(verdict, reason, key, proofs, run, tuple(named))


def _layout_proof(ran: Ran, named: Sequence[Named]) -> Proof:
    """Whether all numbers come back from where they were laid, bit by bit."""
    back = taken_back({each.name: each.array for each in named}, ran.stored, forms_of(ran.state))
    same = back.keys() == ran.state.tensors.keys() and all(
        same_bits(value, back[key]) for key, value in ran.state.tensors.items()
    )
    return Proof("layout", "layout", same, 0.0, compared=sum(value.size for value in back.values()))


def _judged(ran: Ran, proofs: Sequence[Proof]) -> tuple[Verdict, str]:
    """The verdict and its reason."""
    broken = next((each for each in proofs if each.holds is False), None)
    if broken is not None:
        return "failed", f"{broken.of}: {broken.said}"
    whole = ran.proofs[-1] if ran.proofs else None
    if whole is None:
        return "exact", "B holds the numbers of A, bit by bit, where the key says"
    if whole.kind == "function":
        return "exact", f"B {whole.said}"
    return "consistent", f"B was changed as was meant; its {whole.said}"
