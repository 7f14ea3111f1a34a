"""The ways to align that there are: a name, what it asks for, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from reknit.errors import UsageError


@dataclass(frozen=True)
class Method:
    """One way to find the basis.

    Attributes:
        name: as ``--method`` takes it.
        summary: in one line.
        reference: the paper.
        wants_inputs: whether it needs real inputs.
        wants_targets: whether it needs the right answers too.
    """

    name: str
    summary: str
    reference: str
    wants_inputs: bool = False
    wants_targets: bool = False


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("weights", "units whose weights agree", "arXiv 2209.04836"),
        Method("activations", "units whose activations correlate", "arXiv 2209.04836", wants_inputs=True),
        Method(
            "straight-through",
            "permutations trained by the loss half way, starting from weights",
            "arXiv 2209.04836",
            wants_inputs=True,
            wants_targets=True,
        ),
        Method(
            "sinkhorn",
            "soft permutations trained by the loss half way, starting from weights",
            "arXiv 2212.12042",
            wants_inputs=True,
            wants_targets=True,
        ),
        Method("rotation", "streams and insides of heads turned, the rest permuted", "arXiv 2401.15024"),
    )
}


def find_method(name: str) -> Method:
    """Look a method up; an unknown name lists the choices."""
    if name not in METHODS:
        raise UsageError(f"there is no method {name!r}", "--method", f"Choose one of {', '.join(METHODS)}")
    return METHODS[name]
