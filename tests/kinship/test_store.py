from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest

from reknit.errors import InputError
from reknit.kinship.sketches import Vector, sketch
from reknit.kinship.store import Store

VECTORS = sketch({"a": np.arange(12.0).reshape(3, 4), "b": np.arange(4.0)})


def test_what_is_kept_comes_back_in_another_run(tmp_path: Path) -> None:
    path = tmp_path / "kin.duckdb"
    with Store(path) as store:
        assert store.add("x", "one.safetensors", VECTORS) == 0
        assert store.add("y", "two.safetensors", ()) == 1
        store.keep((1, 0), "options", {"distance": 0.5})
    with Store(path) as store:
        assert store.files() == {0: "one.safetensors", 1: "two.safetensors"}
        found = store.sketches()
        assert [(v.kind, v.tensor) for v in found[0]] == [(v.kind, v.tensor) for v in VECTORS]
        assert all(np.array_equal(one.numbers, other.numbers) for one, other in zip(found[0], VECTORS, strict=True))
        assert found[1] == ()
        assert store.relations("options") == {(0, 1): {"distance": 0.5}}
        assert store.relations("others") == {}


def test_a_file_that_moved_is_the_same_file() -> None:
    with Store() as store:
        assert store.add("x", "here", VECTORS) == store.add("x", "there", VECTORS) == 0
        assert store.files() == {0: "there"}
        assert len(store.sketches()[0]) == len(VECTORS)


def test_a_file_whose_sketch_fails_leaves_nothing(tmp_path: Path) -> None:
    class Broken:
        kind, tensor, numbers = None, "a", np.zeros(64)

    with Store(tmp_path / "kin.duckdb") as store:
        with pytest.raises(Exception, match="NOT NULL"):
            store.add("x", "here", [Broken()])  # type: ignore[list-item]
        assert store.files() == {}
        assert store.add("x", "here", VECTORS) == 0


def test_other_seeds_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "kin.duckdb"
    Store(path).__exit__(None, None, None)
    with pytest.raises(InputError, match=r"kin\.duckdb: its seed is 0, not 1\. Name another file with --db"):
        Store(path, seed=1)
    with Store(path):
        pass  # the refusal above let it go
    other = tmp_path / "text"
    other.write_text("hello")
    with pytest.raises(InputError, match="cannot be opened as a database"):
        Store(other)
    assert other.read_text() == "hello"
    with pytest.raises(InputError, match="is no file"):
        Store(tmp_path)


def test_a_torn_or_foreign_database_is_refused_in_one_sentence(tmp_path: Path) -> None:
    whole = tmp_path / "whole.duckdb"
    with Store(whole) as store:
        store.add("a", "a.safetensors", [Vector("some", "w", np.arange(64.0) + k) for k in range(2000)])
    torn, foreign = tmp_path / "torn.duckdb", tmp_path / "foreign.duckdb"
    torn.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with duckdb.connect(str(foreign)) as other:
        other.execute("create table files (x integer)")
    for path in (torn, foreign):
        with pytest.raises(InputError, match="as a database") as said, Store(path) as store:  # noqa: PT012
            store.files()
            store.sketches()
        assert "\n" not in str(said.value)
