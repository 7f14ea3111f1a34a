"""The page of an assembly: every fact is on it, nothing else is in it."""

import json
import re
from dataclasses import replace

import pytest

from assembly.sample_assemblies import ALL, exact, failed, hostile, huge, make, single
from reknit.assembly.page import MOST_MOVES, page, write_page
from reknit.assembly.page_figures import MOST_STEPS, thinned
from reknit.assembly.result import Move, Step
from reknit.errors import OutputError
from reknit.report.formatting import count, duration, number
from reknit.report.markup import visible
from report.page_reader import PageReader, foreign_addresses

every = pytest.mark.parametrize("name", list(ALL))


def plain(words):
    return re.sub(r"\s+", " ", words)


@every
def test_well_formed(name):
    reader = PageReader(page(ALL[name]()))
    assert reader.errors == []
    assert len(set(reader.ids)) == len(reader.ids)


@every
def test_fetches_nothing(name):
    assert foreign_addresses(page(ALL[name]())) == []


@every
def test_same_input_same_bytes(name):
    assert page(ALL[name]()) == page(ALL[name]())


@every
def test_every_number_is_there_exactly(name):
    assembly = ALL[name]()
    found = set(PageReader(page(assembly)).values)
    residual, evidence = assembly.residual, assembly.evidence
    numbers = [residual.mse, residual.max_abs, residual.rows, residual.tolerance, residual.floor, residual.variance]
    numbers += [evidence.level, *evidence.rejected_z.values(), *(mse for _, mse in evidence.tried)]
    numbers += [pair.margin for pair in assembly.pairs] + list(assembly.seconds.values())
    numbers += [value for move in assembly.undecided for value in (move.change, move.z)]
    numbers += evidence.branch_rms[: len(assembly.pairs)]
    numbers += evidence.moves.values()
    assert [value for value in map(repr, numbers) if value not in found] == []


@every
def test_every_word_is_there(name):
    assembly = ALL[name]()
    words = PageReader(page(assembly)).text
    said = [assembly.verdict.capitalize(), assembly.reason, *assembly.order, *assembly.seconds]
    said += [label for label, _ in assembly.evidence.tried]
    said += [assembly.spec.activation, f"norm {assembly.spec.norm}", f"final norm {assembly.spec.final_norm}"]
    said += [duration(seconds) for seconds in assembly.seconds.values()]
    assert [word for word in said if plain(visible(word)) not in words] == []


@every
def test_the_run_can_be_repeated(name):
    run = ALL[name]().run
    reader = PageReader(page(ALL[name]()))
    words = reader.text

    def leaves(value):
        if isinstance(value, dict):
            return [leaf for key, item in value.items() for leaf in [key, *leaves(item)]]
        if isinstance(value, list):
            return [leaf for item in value for leaf in leaves(item)]
        return ["none" if value is None else str(value)]

    assert [leaf for leaf in leaves(run) if plain(visible(leaf)) not in words and leaf != "command"] == []
    assert json.loads(next(t for t in reader.texts if t.startswith("{") and '"version"' in t)) == run


def test_the_command_line_is_quoted_for_a_shell():
    assert "reknit assemble 'pieces of mine' --data data.csv --report report.html" in PageReader(page(exact())).text


def test_order_can_be_copied_as_it_is():
    assembly = hostile()
    texts = PageReader(page(assembly)).texts
    assert json.loads(next(t for t in texts if t.startswith("["))) == list(assembly.order)


def test_rejections_by_kind():
    words = PageReader(page(ALL["ambiguous"]())).text
    for row in ("swap 22 of 23 1 14.2", "insertion 505 of 506 1 11.7", "exchange 275 of 276 1 38.9"):
        assert row in words
    assert "805 802 rejected, 3 undecided" in words
    assert "all 47 0 14.2" in PageReader(page(exact())).text


def test_undecided_blocks_are_marked_in_the_order():
    words = PageReader(page(ALL["ambiguous"]())).text
    order = words[words.index("24 blocks in final order") :]
    assert order.count("undecided") == 4  # blocks 5, 6, 8 and 15
    exactly = PageReader(page(exact())).text
    assert "undecided" not in exactly[exactly.index("48 blocks in final order") :]


def test_undecided_moves_are_listed_up_to_a_bound():
    base = exact()
    moves = tuple(Move("exchange", base.order[1:4:2], 1e-9 * k, 0.1) for k in range(MOST_MOVES + 5))
    reader = PageReader(page(replace(base, verdict="ambiguous", undecided=moves)))
    assert "1 005 moves the data do not reject; the first 1 000 are listed" in reader.text
    assert repr(moves[MOST_MOVES - 1].change) in reader.values
    assert repr(moves[-1].change) not in reader.values


def test_hostile_names_stay_text():
    text = page(hostile())
    assert "<script>alert" not in text
    reader = PageReader(text)
    assert "img" not in reader.tags
    assert "u" not in reader.tags
    assert [kind for kind, _ in reader.scripts] == ["application/json", None]
    assert not [key for _, key, _ in reader.attributes if key.startswith("on")]


def test_hover_names_both_pieces_and_their_score():
    assembly = exact()
    data = json.loads(PageReader(page(assembly)).scripts[0][1])
    assert data["rows"][3] == f"{assembly.pairs[3].in_piece} (in, block 3)"
    assert data["columns"][5] == f"{assembly.pairs[5].out_piece} (out, block 5)"
    assert data["values"][3][5] == pytest.approx(assembly.evidence.pair_scores[3, 5], rel=1e-3)


def test_every_step_and_block_names_itself():
    text = plain(page(failed()))
    step = failed().evidence.steps[20]
    inversions = plain(count(step.inversions))
    assert f"step 21, order: error {plain(number(step.mse))} on 512 rows, {inversions} inversions, after 630 ms" in text
    assert "pairs differ, after 30 ms" in text
    assert text.count("block 95, adds ") == 2  # wide and narrow


def test_a_far_floor_is_left_out_of_the_picture():
    assert "floor: expected" in page(exact())
    assert "floor: expected" not in page(failed())


def test_one_block_has_no_rivals():
    words = PageReader(page(single())).text
    assert "one pair without a rival: piece_" in words
    assert "<figure>" in page(single())


def test_large_networks_stay_small_pages():
    assert len(page(exact()).encode()) < 200_000
    assert len(page(huge()).encode()) < 600_000


@pytest.mark.parametrize("total", [1, 2, MOST_STEPS, MOST_STEPS + 1, 5000])
def test_thinning_keeps_the_ends_of_stages(total):
    steps = [Step("order" if k < total // 3 else "mend", 1.0 / (k + 1), 10, k, 0.1) for k in range(total)]
    kept = thinned(steps)
    assert len(kept) <= MOST_STEPS + 4
    assert all(step is steps[position - 1] for position, step in kept)
    positions = [position for position, _ in kept]
    assert positions == sorted(set(positions))
    assert {1, total, max(total // 3, 1), total // 3 + 1} <= set(positions)


def test_a_long_search_says_what_is_drawn():
    n = 2000
    errors, wrong = tuple(1.0 / (k + 1) for k in range(n)), tuple(range(n, 0, -1))
    assembly = make(8, errors=errors, inversions=wrong, stages=("order",) * n)
    assert "Drawn: 401 of 2 000 steps." in PageReader(page(assembly)).text


def test_write(tmp_path):
    path = tmp_path / "report.html"
    write_page(hostile(), path)
    assert path.read_text(encoding="utf-8") == page(hostile())
    with pytest.raises(OutputError):
        write_page(exact(), path)
    write_page(exact(), path, force=True)
    assert path.read_text(encoding="utf-8") == page(exact())
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
