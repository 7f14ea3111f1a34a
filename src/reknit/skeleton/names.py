"""Names of groups: short, unique and telling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from reknit.skeleton.calls import Ledger
from reknit.skeleton.skeleton import Member


def name_groups(members: Mapping[int, Sequence[Member]], ledger: Ledger) -> dict[int, str]:
    """Class -> its name.

    The units of a residual stream are called ``stream``, by number if there are several in one network. All others are
    named after the module that writes them first, and by the operation's word for them (``heads``) where it has one;
    units that nothing writes, and several that one module writes, after the first axis they lie on.
    """
    streams = [leaf for leaf in _streams(ledger) if leaf in members]
    names = {leaf: "stream" if len(streams) == 1 else f"stream {k + 1}" for k, leaf in enumerate(streams)}
    writers, words = _writers(ledger), _words(ledger)
    for leaf, found in members.items():
        if leaf in names:
            continue
        name = writers.get(leaf) or f"{found[0].slot}[{found[0].axis}]"
        names[leaf] = f"{name} {words[leaf]}" if leaf in words else name
    first = {leaf: f"{found[0].slot}[{found[0].axis}]" for leaf, found in members.items()}
    return _numbered(_where_shared(names, first))


def _where_shared(names: Mapping[int, str], instead: Mapping[int, str]) -> dict[int, str]:
    """Names, with others instead where several are the same, if those are all different."""
    found = dict(names)
    for name, count in Counter(names.values()).items():
        others = {leaf: instead[leaf] for leaf in names if names[leaf] == name}
        if count > 1 and len(set(others.values())) == count:
            found |= others
    return found


def _numbered(names: Mapping[int, str]) -> dict[int, str]:
    counts, seen, found = Counter(names.values()), Counter[str](), {}
    for leaf, name in names.items():
        seen[name] += 1
        found[leaf] = f"{name} ({seen[name]})" if counts[name] > 1 else name
    return found


def _streams(ledger: Ledger) -> list[int]:
    """Classes along which a value was added to what was computed from it, and that something writes, in order."""
    added = {leaf for node in ledger.residuals for leaf in ledger.units.leaves(node)}
    return [leaf for leaf in _writers(ledger) if leaf in added]


def _writers(ledger: Ledger) -> dict[int, str]:
    """Class -> path of the module that writes it first, in the order of the forward pass."""
    found: dict[int, str] = {}
    for key, _, node, role in ledger.roles:
        if role == "writes":
            for leaf in ledger.units.leaves(node):
                found.setdefault(leaf, key.rpartition(".")[0] or key)
    return found


def _words(ledger: Ledger) -> dict[int, str]:
    """Class -> what an operation calls its units; heads that share a key and a value come in groups of heads."""
    found: dict[int, str] = {}
    for node, word in ledger.words.items():
        *outer, inner = ledger.units.factors(node)
        for factor in outer:
            for leaf in ledger.units.leaves(factor):
                found.setdefault(leaf, f"groups of {word}")
        for leaf in ledger.units.leaves(inner):
            found.setdefault(leaf, word)
    return found
