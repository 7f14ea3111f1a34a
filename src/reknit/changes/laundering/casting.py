"""``cast``: numbers rounded to half precision, and stored so or in float32."""

from __future__ import annotations

from dataclasses import dataclass

from reknit.changes.laundering.state import State, rounded_to
from reknit.changes.laundering.step import Facts, Given, NumberStep
from reknit.changes.laundering.words import Words

DTYPES = {"bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True)
class Cast(NumberStep):
    """To the nearest value, ties to even."""

    name = "cast"
    summary = "rounded to bf16 or fp16, stored so or (kept) in float32"
    form = "cast[:bf16|fp16][:kept][@TENSORS]"
    sort = "numbers"
    keeps_function = False

    to: str = "bf16"
    kept: bool = False

    @classmethod
    def read(cls, words: Words, only: str) -> Cast:
        """The dtype, and whether the file keeps float32."""
        found = cls(only, words.choice("bf16", "fp16"), words.flag("kept"))
        words.end()
        return found

    def run(self, state: State, given: Given) -> tuple[State, Facts]:  # noqa: ARG002
        """All floats rounded.

        Raises:
            InputError: a number is too large for fp16.
        """
        dtype = DTYPES[self.to]
        keys = state.floats(self.only)
        rounded = {key: rounded_to(state.tensors[key], dtype, key) for key in keys}
        stored = "float32" if self.kept else dtype
        changed = {key: int((rounded[key] != state.tensors[key]).sum()) for key in keys}
        facts = {key: {"to": self.to, "stored": stored, "rounded": count} for key, count in changed.items()}
        return state.with_numbers(rounded, dict.fromkeys(keys, stored)), {"tensors": facts}
