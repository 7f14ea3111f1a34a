"""Many files: likely pairs alone, kept in a database, one more file one round, trees, the page, the command."""

import json
from pathlib import Path

import numpy as np
import pytest

from match.matched_nets import random_tensors, save, traced
from reknit import lineage
from reknit.cli import main
from reknit.errors import InputError, OutputError, UsageError
from reknit.skeleton.symmetry import Symmetry

LIKE = "mlp:sizes=6-24-16-3"
SKELETON = traced(LIKE)[1]


def noisy(state, size, seed):
    rng = np.random.default_rng(seed)
    return {key: (v + size * v.std() * rng.normal(size=v.shape)).astype(v.dtype) for key, v in state.items()}


def halved(state):
    """Through 16 bits and back."""
    return {key: value.astype(np.float16).astype(np.float32) for key, value in state.items()}


@pytest.fixture
def families(tmp_path):
    """A root, its permuted copy, a child of that, the same in half precision, a copy; another root and its child."""
    root = random_tensors(SKELETON, 1)
    copy = Symmetry.random(SKELETON, np.random.default_rng(1)).apply(root)
    child = noisy(copy, 0.2, 1)
    other = random_tensors(SKELETON, 2)
    nets = {
        "a1": root,
        "b1": copy,
        "c1": child,
        "d1": halved(child),
        "e1": child,
        "a2": other,
        "c2": noisy(other, 0.2, 2),
    }
    return [save(tmp_path / f"{name}.safetensors", state) for name, state in nets.items()]


def named(found):
    """The edges of all families by file names, with their directions."""
    name = [path.stem for path in found.files]
    return {
        (
            *(
                (name[e.parent], name[e.child])
                if e.direction != "undirected"
                else sorted((name[e.parent], name[e.child]))
            ),
            e.direction,
        )
        for family in found.families
        for e in family.edges
    }


def test_the_trees_of_two_families(families):
    found = lineage(families, like=LIKE)
    expected = {
        ("a1", "b1", "undirected"),
        ("b1", "c1", "undirected"),
        ("c1", "d1", "decided"),
        ("a2", "c2", "undirected"),
    }
    assert named(found) == expected
    assert [family.members for family in found.families] == [(0, 1, 2, 3, 4), (5, 6)]
    assert [family.copies for family in found.families] == [((2, 4),), ()]
    assert [family.roots for family in found.families] == [(0, 1, 2), (5, 6)]
    assert (found.compared, found.possible) == (21, 21)
    assert all(relation.log10_p < -10 for relation in found.related)


def test_the_order_of_files_does_not_change_the_trees(families):
    mixed = [families[k] for k in np.random.default_rng(0).permutation(7)]
    one, other = (
        {(*sorted(edge[:2]), edge[2]) for edge in named(lineage(each, like=LIKE))} for each in (families, mixed)
    )
    one, other = ({tuple(x.replace("e", "c") for x in edge) for edge in each} for each in (one, other))
    assert one == {tuple(sorted(e[:2])) + e[2:] for e in other}


def test_one_more_file_costs_one_round(families, tmp_path):
    db = tmp_path / "kin.duckdb"
    *before, last = families
    first = lineage(before, like=LIKE, db=db)
    assert first.compared == first.possible == 15
    again = lineage(before, like=LIKE, db=db)
    assert again.compared == 0
    assert [r.as_json() for r in again.relations] == [r.as_json() for r in first.relations]
    more = lineage([last], like=LIKE, db=db)
    assert (more.compared, more.possible, len(more.files)) == (6, 21, 7)
    whole = lineage(families, like=LIKE)
    assert more.families == whole.families
    assert [r.as_json() for r in sorted(more.relations, key=str)] == [
        r.as_json() for r in sorted(whole.relations, key=str)
    ]


def test_what_was_found_with_other_options_is_not_believed(families, tmp_path):
    db = tmp_path / "kin.duckdb"
    lineage(families[:3], like=LIKE, db=db)
    assert lineage(families[:3], db=db).compared == 3
    assert lineage(families[:3], like=LIKE, db=db, alpha=0.01).compared == 0
    with pytest.raises(InputError, match=r"its seed is 0, not 1"):
        lineage(families[:3], like=LIKE, db=db, seed=1)


def test_a_file_that_moved_is_known_and_one_that_is_gone_is_said(families, tmp_path):
    db = tmp_path / "kin.duckdb"
    lineage(families[:2], like=LIKE, db=db)
    moved = tmp_path / "moved.safetensors"
    families[0].rename(moved)
    found = lineage([moved], like=LIKE, db=db)
    assert (len(found.files), found.compared) == (2, 0)
    families[1].unlink()
    found = lineage([families[2]], like=LIKE, db=db)
    assert [path.name for path in found.left_out] == ["b1.safetensors"]
    assert "b1.safetensors: was sketched and is gone. Bring it back" in found.left_out[families[1]]
    assert found.compared == 1


def test_few_comparisons_find_the_families_too(families):
    found = lineage(families, like=LIKE, nearest=4)
    assert found.compared < 21
    assert [family.members for family in found.families] == [(0, 1, 2, 3, 4), (5, 6)]
    with pytest.raises(UsageError, match="0 comparisons find nothing"):
        lineage(families, like=LIKE, nearest=0)


def test_p_is_corrected_for_all_pairs_there_are(families):
    two = lineage(families[2:4], like=LIKE).relations[0]
    many = next(
        r for r in lineage(families, like=LIKE, nearest=4).relations if {r.first, r.second} == {two.first, two.second}
    )
    assert many.log10_p == pytest.approx(two.log10_p + np.log10(21))


def test_a_masked_child_of_a_permuted_copy_is_placed_and_its_direction_decided(tmp_path):
    root = random_tensors(SKELETON, 5)
    moved = Symmetry.random(SKELETON, np.random.default_rng(5)).apply(halved(root))
    found = lineage(
        [save(tmp_path / "b.safetensors", moved), save(tmp_path / "a.safetensors", root)], like=LIKE
    ).relations[0]
    assert (found.label, found.direction.label, found.direction.parent.name) == ("exact", "decided", "a.safetensors")


def test_the_command_and_its_page(families, tmp_path, capsys):
    page, db = tmp_path / "kin.html", tmp_path / "kin.duckdb"
    told = ["lineage", *map(str, families), "--like", LIKE, "--db", str(db), "--report", str(page)]
    assert main(told) == 0
    out = capsys.readouterr().out
    assert "21 of 21 pairs compared in full, 8 settled" in out
    assert "c1.safetensors" in page.read_text()
    assert page.read_text().count('class="chart forest"') == 2
    with pytest.raises(OutputError, match="exists already"):
        lineage(families, like=LIKE, report=page)
    assert main([*told, "--force", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["compared"] == 0
    assert sorted(map(len, (family["members"] for family in found["families"]))) == [2, 5]
    assert Path(found["files"][0]) == families[0]


def test_strangers_are_undecided(tmp_path, capsys):
    paths = [save(tmp_path / f"{k}.safetensors", random_tensors(SKELETON, k)) for k in range(3)]
    assert main(["lineage", *map(str, paths), "--like", LIKE]) == 3
    assert "0 settled" in capsys.readouterr().out


def test_files_that_do_not_fit_are_left_out_of_many_and_said(families, tmp_path, capsys):
    good = [families[0], families[3], families[4]]
    endless = {key: np.full_like(value, np.inf) for key, value in random_tensors(SKELETON, 1).items()}
    bad = [
        save(tmp_path / "endless.safetensors", endless),
        save(tmp_path / "other.safetensors", {"w": np.ones((3, 4), dtype=np.float32)}),
        tmp_path / "torn.safetensors",
    ]
    bad[2].write_bytes(b"torn")
    known, page = tmp_path / "kin.duckdb", tmp_path / "kin.html"
    for _ in range(2):
        found = lineage([bad[0], *good, *bad[1:]], like=LIKE, db=known, report=page, force=True)
        assert set(found.left_out) == set(bad)
        assert len(found.relations) == 3
    assert "torn.safetensors" in page.read_text()
    assert main(["lineage", *map(str, [*good, *bad]), "--like", LIKE]) == 0
    assert capsys.readouterr().out.count("left out: ") == 3
    assert main(["lineage", *map(str, [*good, *bad]), "--like", LIKE, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["left_out"]) == set(map(str, bad))


def test_where_nothing_can_be_compared_the_first_error_is_raised(families, tmp_path):
    other = save(tmp_path / "other.safetensors", {"w": np.ones((3, 4), dtype=np.float32)})
    with pytest.raises(InputError, match="no tensor has the name and shape"):
        lineage([families[0], other], like=LIKE)
