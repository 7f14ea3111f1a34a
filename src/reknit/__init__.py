"""A workbench for the weights of neural networks: put a dropped network back together, and say how sure that is.

    drop       train a network and scatter it: a puzzle whose answer is known
    inspect    what files hold, from headers alone
    couple     which axes of a network's tensors run over the same units, and through what
    assemble   pieces and a data table -> the network, and a verdict on it
    verify     an assembled network against data it has not seen
    load       an assembled network as a torch.nn.Module
    align      a network in the basis of another, computing what it computed
    merge      networks in one basis, averaged, with what is foreseen of it
    path       loss along the line between two networks
    compare    how alike two networks are: answers, representations, weights
    diff       what makes one checkpoint of another, layer by layer, each change by its name
    launder    a checkpoint made from another by changes that keep its function, or nearly, with a key of all
    lineage    which files share an initialisation or descend from each other, with p-values

The verbs are read when they are first used: ``import reknit`` alone loads neither torch nor polars.
"""

import importlib as _importlib
import typing as _typing

from reknit.errors import (
    ContainerError,
    InputError,
    OutputError,
    PileError,
    ReknitError,
    TableError,
    UsageError,
)

if _typing.TYPE_CHECKING:
    from reknit.assembly.result import Assembly
    from reknit.assembly.verb import assemble
    from reknit.assembly.verify import verify
    from reknit.changes.diff import diff
    from reknit.changes.found import Diff
    from reknit.changes.launder import Laundering, launder
    from reknit.containers.inspect import inspect
    from reknit.kinship.lineage import Lineage, lineage
    from reknit.kinship.relation import Relation
    from reknit.match.align import Alignment, align
    from reknit.match.compare import Comparison, compare
    from reknit.match.merge import Merge, merge
    from reknit.match.path import Path, path
    from reknit.puzzle.verb import drop
    from reknit.skeleton.verb import couple
    from reknit.wiring.load import load
    from reknit.wiring.result import Wiring

__version__ = "0.1.0"

__all__ = [
    "Alignment",
    "Assembly",
    "Comparison",
    "ContainerError",
    "Diff",
    "InputError",
    "Laundering",
    "Lineage",
    "Merge",
    "OutputError",
    "Path",
    "PileError",
    "ReknitError",
    "Relation",
    "TableError",
    "UsageError",
    "Wiring",
    "__version__",
    "align",
    "assemble",
    "compare",
    "couple",
    "diff",
    "drop",
    "inspect",
    "launder",
    "lineage",
    "load",
    "merge",
    "path",
    "verify",
]

# public name -> module and name
_HOMES = {
    "Alignment": ("reknit.match.align", "Alignment"),
    "align": ("reknit.match.align", "align"),
    "Assembly": ("reknit.assembly.result", "Assembly"),
    "Wiring": ("reknit.wiring.result", "Wiring"),
    "assemble": ("reknit.assembly.verb", "assemble"),
    "Comparison": ("reknit.match.compare", "Comparison"),
    "compare": ("reknit.match.compare", "compare"),
    "couple": ("reknit.skeleton.verb", "couple"),
    "Diff": ("reknit.changes.found", "Diff"),
    "diff": ("reknit.changes.diff", "diff"),
    "drop": ("reknit.puzzle.verb", "drop"),
    "inspect": ("reknit.containers.inspect", "inspect"),
    "Laundering": ("reknit.changes.launder", "Laundering"),
    "launder": ("reknit.changes.launder", "launder"),
    "Lineage": ("reknit.kinship.lineage", "Lineage"),
    "Relation": ("reknit.kinship.relation", "Relation"),
    "lineage": ("reknit.kinship.lineage", "lineage"),
    "merge": ("reknit.match.merge", "merge"),
    "path": ("reknit.match.path", "path"),
    "Merge": ("reknit.match.merge", "Merge"),
    "Path": ("reknit.match.path", "Path"),
    "load": ("reknit.wiring.load", "load"),
    "verify": ("reknit.assembly.verify", "verify"),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'reknit' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value: object = getattr(_importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
