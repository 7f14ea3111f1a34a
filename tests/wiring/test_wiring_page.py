"""The page of a wiring: every fact is on it, nothing else is in it."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from reknit.errors import OutputError
from reknit.report.formatting import duration
from reknit.report.markup import visible
from reknit.wiring.page import MOST_SETS, page, write_page
from reknit.wiring.result import ExchangeTests, Inferred, Placed, Step, Wiring, WiringEvidence
from report.page_reader import PageReader, foreign_addresses

RUN = {
    "command": "reknit assemble 'pile of mine' --data record.npz --like nets:net --seed 0 --threads 1",
    "version": "0.1.0",
    "seed": 0,
    "pieces": {"path": "pile of mine", "count": 14, "sha256": "ab" * 32},
    "data": {"path": "record.npz", "rows": 40, "sha256": "cd" * 32},
}


def proved(verdict="exact", blocks=3, undecided=(), **changes):
    """A made-up result: families over depth, some slots certain, some likely, one moved by outputs."""
    rng = np.random.default_rng(0)
    keys = [f"blocks.{k}.{part}.weight" for k in range(blocks) for part in ("inp", "out")] + ["head.weight"]
    certain = set(keys) - {slot for slots in undecided for slot in slots} if verdict != "failed" else set()
    slots = tuple(
        Placed(key, f"t_{k:03d}", float("inf") if key == "head.weight" else float(rng.normal(2, 2)), key in certain)
        for k, key in enumerate(keys)
    )
    families = {
        key: (re.sub(r"\d+", "*", key), tuple(map(int, re.findall(r"\d+", key)))) if "blocks" in key else (key, ())
        for key in keys
    }
    evidence = WiringEvidence(
        families,
        frozenset({keys[1]} - certain),
        {keys[0]: "t_002"},
        (Step("given", 0.61, 0, 0.01), Step("round", 0.2, 2, 0.5), Step("found", 3e-14, 0, 0.75)),
        ExchangeTests(5.4, 6, 4, 812.5, sum(len(slots) - 1 for slots in undecided)),
    )
    made = Wiring(
        verdict=verdict,
        reason="every recorded number is reproduced within rounding, and every exchange is rejected",
        slots=slots,
        undecided=tuple(undecided),
        residual={"mse": [1e-14, 2e-14], "max_abs": [3e-7, 4e-7], "tolerance": [1e-5, 2e-5], "numbers": 400},
        skeleton=Inferred("nets:net"),
        seconds={"read": 0.01, "trace": 1.5, "weights": 0.75, "outputs": 2.25},
        run=RUN,
        array=lambda _: np.zeros(1),
        build=lambda _: None,
        evidence=evidence,
    )
    return replace(made, **changes)


OPEN = (("blocks.0.inp.weight", "blocks.1.inp.weight"),)
HOSTILE = "<script>alert(1)</script>\u202e"


def by_weights():
    found = proved(undecided=OPEN, verdict="ambiguous", residual=None)
    inferred = Inferred("bert:layers=3", ("3 of 4 x 4: query",), ("heads: taken 3, as well 1, 2",))
    evidence = replace(found.evidence, tests=None, steps=(), by_weights={})
    return replace(found, skeleton=inferred, evidence=evidence, run=RUN | {"data": None})


def hostile():
    found = proved()
    slots = tuple(replace(placed, piece=f"{placed.piece}{HOSTILE}") for placed in found.slots)
    return replace(found, slots=slots, notes=(f"{HOSTILE} was left out",), reason=HOSTILE)


ALL = {
    "exact": proved,
    "ambiguous": lambda: proved("ambiguous", undecided=OPEN, identical=OPEN, notes=("t_9 was left out",)),
    "failed": lambda: proved("failed", residual={"mse": [None], "max_abs": [None], "tolerance": [1e-5], "numbers": 2}),
    "weights": by_weights,
    "hostile": hostile,
    "one slot": lambda: replace(proved(), slots=proved().slots[-1:]),
    "without evidence": lambda: replace(proved(), evidence=WiringEvidence(), seconds={}),
}
every = pytest.mark.parametrize("name", list(ALL))


@every
def test_well_formed_fetches_nothing_and_is_the_same_every_time(name):
    text = page(ALL[name]())
    reader = PageReader(text)
    assert reader.errors == []
    assert len(set(reader.ids)) == len(reader.ids)
    assert foreign_addresses(text) == []
    assert text == page(ALL[name]())


@every
def test_every_number_is_there_exactly(name):
    wiring = ALL[name]()
    found = set(PageReader(page(wiring)).values)
    numbers = [placed.margin for placed in wiring.slots] + list(wiring.seconds.values())
    if wiring.residual is not None and wiring.evidence.tests is not None:
        tests = wiring.evidence.tests
        numbers += [number for key in ("mse", "max_abs", "tolerance") for number in wiring.residual[key] if number]
        numbers += [wiring.residual["numbers"], tests.level, tests.tested, tests.screened, tests.weakest]
        numbers += [tests.undecided]
    assert [value for value in map(repr, numbers) if value not in found] == []


@every
def test_every_word_is_there(name):
    wiring = ALL[name]()
    words = PageReader(page(wiring)).text
    said = [wiring.verdict.capitalize(), wiring.reason, wiring.skeleton.like, *wiring.skeleton.read_from]
    said += [*wiring.skeleton.alternatives, *(text for p in wiring.slots for text in (p.slot, p.piece))]
    said += [slot for slots in (*wiring.undecided, *wiring.identical) for slot in slots]
    said += [duration(seconds) for seconds in wiring.seconds.values()]
    said += wiring.notes
    assert [word for word in said if re.sub(r"\s+", " ", visible(word)) not in words] == []


@every
def test_the_run_can_be_repeated(name):
    wiring = ALL[name]()
    reader = PageReader(page(wiring))
    assert RUN["command"] in reader.text
    assert json.loads(next(t for t in reader.texts if t.startswith("{") and '"version"' in t)) == wiring.run


def cells(text):
    """Tip -> (colour, what is shown) of every slot that has one."""
    found = re.findall(r'<span class="tag tag-(\w+)" title="([^"]+)">([^<]+)</span>', text)
    return {tip.partition(":")[0]: (colour, shown) for colour, tip, shown in found}


def test_slots_are_coloured_by_how_sure_they_are_and_say_it_without_colour():
    shown = cells(page(proved("ambiguous", undecided=(*OPEN, ("blocks.0.out.weight", "blocks.2.out.weight")))))
    signs = {"exact": "✓", "consistent": "~", "ambiguous": "?"}
    assert {slot: colour for slot, (colour, _) in shown.items()} == {
        "blocks.0.inp.weight": "ambiguous",
        "blocks.1.inp.weight": "ambiguous",
        "blocks.2.inp.weight": "exact",
        "blocks.0.out.weight": "consistent",
        "blocks.1.out.weight": "exact",
        "blocks.2.out.weight": "ambiguous",
        "head.weight": "exact",
    }
    assert all(text.startswith(signs[colour]) for colour, text in shown.values())
    assert shown["blocks.0.inp.weight"][1] == "? outputs"  # its margin speaks of another tensor
    assert shown["head.weight"][1] == "✓ ∞"


def test_families_stand_over_depth_in_one_table():
    words = PageReader(page(proved())).text
    assert "2 families over 3 blocks Family 0 1 2 blocks.*.inp.weight" in words
    assert "1 slot that do not repeat" not in words
    assert "Slots that do not repeat (1)" in words


def test_families_of_other_depths_have_tables_of_their_own():
    base = proved()
    more = tuple(Placed(f"tail.{k}.weight", f"u_{k}", 1.0, True) for k in range(2))
    families = dict(base.evidence.families) | {p.slot: ("tail.*.weight", (k,)) for k, p in enumerate(more)}
    wiring = replace(base, slots=(*base.slots, *more), evidence=replace(base.evidence, families=families))
    words = PageReader(page(wiring)).text
    assert "2 families over 3 blocks" in words
    assert "1 family over 2 blocks Family 0 1 tail.*.weight" in words


def test_hostile_names_stay_text():
    text = page(hostile())
    assert "<script>alert" not in text
    reader = PageReader(text)
    assert [kind for kind, _ in reader.scripts] == [None]
    assert not [key for _, key, _ in reader.attributes if key.startswith("on")]


def test_many_sets_are_listed_up_to_a_bound():
    sets = tuple((f"slot {k}", f"slot {k}b") for k in range(MOST_SETS + 3))
    words = PageReader(page(proved("ambiguous", undecided=sets))).text
    assert "the first 1 000 are listed, all of them are in assembly.json" in words
    assert f"slot {MOST_SETS - 1}b" in words
    assert f"slot {MOST_SETS}b" not in words


def test_large_networks_stay_small_pages():
    assert len(page(proved(blocks=150)).encode()) < 400_000


def test_write(tmp_path):
    path = tmp_path / "report.html"
    proved().report(path)
    assert path.read_text(encoding="utf-8") == page(proved())
    with pytest.raises(OutputError):
        write_page(hostile(), path)
    proved("failed").report(path, force=True)
    assert path.read_text(encoding="utf-8") == page(proved("failed"))
