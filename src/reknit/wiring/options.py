"""What was asked of a wiring, checked."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from typing import Literal, get_args

from reknit.errors import UsageError

Link = Literal["identity", "softmax", "sigmoid", "top-k", "binary"]
LINKS: tuple[Link, ...] = get_args(Link)


@dataclass(frozen=True)
class WiringOptions:
    """What was asked for; see ``reknit.assemble``, where ``input`` is what is ``input_shape`` here.

    Attributes:
        like: the skeleton, as ``--like`` has it; None: inferred from shapes.
        input_shape: of an example input.
        link: what lies between answers and recorded outputs, one for all or one for each by comma; None: found out.
        noise: standard deviation on the recorded outputs, in their units.
        budget: seconds for the search by outputs.
        seed: of everything that is drawn.
        starts: climbs of the search by weights.
        threads: processor threads; None: as many as are set.

    Raises:
        UsageError: there is no such link, or a number is out of range.
    """

    like: str | None = None
    input_shape: str | None = None
    link: str | None = None
    noise: float | None = None
    budget: float | None = None
    seed: int = 0
    starts: int = 16
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.link is not None and self.known_links is None:
            raise UsageError(f"there is no link {self.link!r}", "--link", f"Choose one of {', '.join(LINKS)}")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"the seed is {self.seed}", "--seed", "Give a whole number from 0 to 4294967295")
        if self.budget is not None and not self.budget > 0:
            raise UsageError(f"the budget is {self.budget} seconds", "--budget", "Give more than 0")
        if self.noise is not None and not 0 <= self.noise < math.inf:
            raise UsageError(f"noise is a standard deviation, not {self.noise}", "--noise", "Give a number from 0")
        if self.threads is not None and self.threads < 1:
            remedy = "Give a whole number of at least 1"
            raise UsageError(f"{self.threads} is too small", "--threads", remedy)

    @property
    def known_links(self) -> tuple[Link, ...] | None:
        """The links, one for all outputs or one for each; None: found out.

        >>> WiringOptions(link="top-k, identity").known_links
        ('top-k', 'identity')
        """
        known: dict[str, Link] = {link: link for link in LINKS}
        words = [] if self.link is None else [word.strip() for word in self.link.split(",")]
        return tuple(known[word] for word in words) if words and all(word in known for word in words) else None

    def deciding(self) -> tuple[object, ...]:
        """The options that decide the answer, for a fingerprint; time and threads do not."""
        return (self.like, self.input_shape, self.link, self.noise or 0.0, self.seed, self.starts)

    def command(self, pieces: str, data: str | None, threads: int) -> str:
        """The command line that repeats a run."""
        words = ["reknit", "assemble", pieces]
        given = {"data": data, "like": self.like, "input": self.input_shape, "link": self.link}
        numbers = {"noise": self.noise or None, "budget": self.budget, "seed": self.seed, "threads": threads}
        for name, value in (given | numbers).items():
            if value is not None:
                words += [f"--{name}", str(value)]
        return shlex.join(words)
