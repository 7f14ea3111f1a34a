"""One sentence for all tensors: what was done to most, in its order, and what was done otherwise to some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from reknit.changes.found import TensorChange
from reknit.changes.naming.change import Change

MOST_NAMED = 3
ALONE = ("only in A", "only in B", "shape", "unrelated")


def sentence(tensors: Sequence[TensorChange], groups: int) -> str:
    """``B is A with units permuted in 12 groups, then rounded to 4 bits per row; ...``."""
    paired = [each for each in tensors if each.first and each.second]
    if not paired:
        return "B and A have no tensor in common" if tensors else "neither file holds weights"
    if all(each.kinds == ("identical",) for each in tensors):
        return f"B is A: all {len(tensors)} tensors are identical{_read(paired)}"
    unrelated = [each for each in paired if "unrelated" in each.kinds]
    main = [each for each in paired if not set(each.kinds) & {*ALONE, "cannot say"} and each.changes]
    matrices = [each for each in main if len(each.shape) > 1] or main
    if not main or 2 * len([e for e in unrelated if len(e.shape) > 1]) > len([e for e in paired if len(e.shape) > 1]):
        return _unrelated(paired, main)
    changed = [each for each in matrices if each.kinds != ("identical",)]
    steps = [_step(kind, [e for e in changed if kind in e.kinds], len(matrices), groups) for kind in _order(changed)]
    said = f"B is A {_joined(steps)}" if steps else "B is A"
    vectors = [each for each in main if each not in matrices and set(each.kinds) - {"identical", *_order(changed)}]
    return "; ".join(filter(None, (said + _read(paired), *_vectors(vectors), *_exceptions(tensors, matrices, changed))))


def _vectors(changed: Sequence[TensorChange]) -> list[str]:
    """What was done to vectors and to no matrix."""
    by_words = Counter(each.words for each in changed)
    return [
        f"{_some([each.second for each in changed if each.words == words])}: {words}"
        for words, _ in by_words.most_common(MOST_NAMED)
    ] + ([f"{len(by_words) - MOST_NAMED} more changes of vectors"] if len(by_words) > MOST_NAMED else [])


def _unrelated(paired: Sequence[TensorChange], main: Sequence[TensorChange]) -> str:
    equal = [each for each in main if each.kinds == ("identical",)]
    rest = f"; {len(equal)} of {len(paired)} tensors are identical" if equal else ""
    return f"B is unrelated to A: no more alike than networks trained apart{rest}"


def _order(changed: Sequence[TensorChange]) -> list[str]:
    """Kinds by the place at which they mostly stand, without those that hardly any tensor underwent."""
    places: dict[str, list[float]] = {}
    for each in changed:
        for place, kind in enumerate(each.kinds):
            places.setdefault(kind, []).append(place / len(each.kinds))
    often = {
        kind: found
        for kind, found in places.items()
        if 4 * len(found) >= len(changed) and kind not in ("identical", "cannot say")
    }
    return sorted(often, key=lambda kind: sum(often[kind]) / len(often[kind]))


def _step(kind: str, those: Sequence[TensorChange], all_of_them: int, groups: int) -> str:
    """One step in words, with how many matrices underwent it where it was not all."""
    found = [change for each in those for change in each.changes if change.kind == kind]
    part = "" if len(those) == all_of_them else f" ({len(those)} of {all_of_them} matrices)"
    return _in_words(kind, found, groups) + part


def _in_words(kind: str, found: Sequence[Change], groups: int) -> str:
    plain = {
        "permutation": f"with units permuted in {groups} group{'s' if groups != 1 else ''}",
        "sign": "with units turned in sign",
        "rotation": "turned by rotations",
    }
    if kind == "drift":
        middle = 100 * sorted(float(each.details["size"]) for each in found)[len(found) // 2]
        half = f", half below {middle:.2g} %" if len(found) > 2 else ""
        plain[kind] = f"moved by a dense drift of {_percent(found, 'size')}{half}"
    if kind in plain:
        return plain[kind]
    if kind == "mask":
        patterns = {each.details["pattern"] for each in found} - {"unknown"}
        how = f", {patterns.pop()}" if len(patterns) == 1 else ""
        return f"with {_percent(found, 'share')} of the numbers set to zero{how}"
    if kind == "low rank":
        ranks = _range(sorted(float(each.details["rank"]) for each in found))
        return f"changed by matrices of rank {ranks}, {_percent(found, 'size')} of their size"
    words = Counter(each.words for each in found).most_common()
    if kind == "scale" and len(words) > 1:
        return "scaled by positive factors on units"
    many = [f"{said} ({number} matrices)" for said, number in words[:MOST_NAMED]]
    return words[0][0] if len(words) == 1 else ", ".join(many)


def _percent(found: Sequence[Change], what: str) -> str:
    return f"{_range(sorted(100 * float(each.details[what]) for each in found))} %"


def _range(values: Sequence[float]) -> str:
    low, high = f"{values[0]:.2g}", f"{values[-1]:.2g}"
    return low if low == high else f"{low} to {high}"


def _joined(steps: Sequence[str]) -> str:
    return ", then ".join(steps)


def _read(paired: Sequence[TensorChange]) -> str:
    """How B's file keeps A's tensors."""
    found = []
    renamed = sum(
        each.how != "name" or each.first.rpartition(".")[2] != each.second.rpartition(".")[2] for each in paired
    )
    if renamed:
        found.append(f"{renamed} of {len(paired)} tensors under other names")
    turned = sum("transposed" in each.view for each in paired)
    if turned:
        found.append(f"{turned} transposed")
    joined = sum(each.how == "blocks" for each in paired)
    if joined:
        found.append(f"{joined} cut or put together")
    return f" ({', '.join(found)})" if found else ""


def _exceptions(
    tensors: Sequence[TensorChange], matrices: Sequence[TensorChange], changed: Sequence[TensorChange]
) -> list[str]:
    found = []
    same = len(matrices) - len(changed)
    if same and changed:
        found.append(f"{same} of {len(matrices)} matrices are identical")
    for kind, words in (
        ("unrelated", "unrelated to A's"),
        ("shape", "of another shape"),
        ("only in A", "only in A"),
        ("only in B", "only in B"),
    ):
        those = [each.second or each.first for each in tensors if kind in each.kinds]
        if those:
            found.append(f"{_some(those)} {'is' if len(those) == 1 else 'are'} {words}")
    unnamed = [each.second for each in tensors if not each.named]
    if unnamed:
        found.append(f"of {_some(unnamed)} it cannot be said what was done")
    return found


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + rest
