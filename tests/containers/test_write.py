"""Outputs: whole or not at all, never over something that is there, and the names of others are not trusted."""

import os

import pytest

from reknit.containers.write import file_name, staged_folder, write_file, write_files
from reknit.errors import OutputError

FORCE = "Choose another name, or replace it with --force"


def listing(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole_with_the_usual_permissions(tmp_path):
    write_file(tmp_path / "deep" / "down" / "a.txt", "ä\n")
    write_file(tmp_path / "b.bin", b"\x00\xff")
    assert (tmp_path / "deep/down/a.txt").read_bytes() == "ä\n".encode()
    assert (tmp_path / "b.bin").read_bytes() == b"\x00\xff"
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "b.bin").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert names(tmp_path) == ["b.bin", "deep", "plain"]


def test_nothing_is_overwritten_without_force(tmp_path):
    write_file(tmp_path / "a", "old")
    with pytest.raises(OutputError) as caught:
        write_file(tmp_path / "a", "new")
    assert str(caught.value) == f"{tmp_path}/a: exists already. {FORCE}."
    assert listing(tmp_path) == {"a": "old"}
    write_file(tmp_path / "a", "new", True)
    assert listing(tmp_path) == {"a": "new"}


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    fsync = os.fsync

    def meanwhile(descriptor):
        (tmp_path / "a").write_text("of another")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    with pytest.raises(OutputError, match="exists already"):
        write_file(tmp_path / "a", "new")
    assert listing(tmp_path) == {"a": "of another"}


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    write_file(tmp_path / "a", "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        write_file(tmp_path / "a", "new", force=True)
    assert listing(tmp_path) == {"a": "old"}
    assert names(tmp_path) == ["a"]


def test_links_are_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a")
    write_file(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_text() == "text"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OutputError):
        write_file(tmp_path / "loop", "text")


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a folder, not a file"):
        write_file(tmp_path, "text", force=True)
    with pytest.raises(OutputError, match="cannot be written"):
        write_file(tmp_path / "file" / "a", "text")
    with pytest.raises(OutputError, match="is a file, not a folder"), staged_folder(tmp_path / "file", force=True):
        pytest.fail("entered")
    with pytest.raises(OutputError, match="cannot be written"), staged_folder(tmp_path / "file" / "a"):
        pytest.fail("entered")


def fill(path, texts, **options):
    with staged_folder(path, **options) as staged:
        for name, text in texts.items():
            (staged / name).write_text(text)


def test_a_folder_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "deep" / "out"
    with staged_folder(target) as staged:
        (staged / "a").write_text("1")
        assert not target.exists()
        assert staged.parent == target.parent
    assert listing(target) == {"a": "1"}
    assert names(target.parent) == ["out"]


def test_a_folder_that_fails_half_way_never_appears(tmp_path):
    fill(tmp_path / "out", {"a": "old"})
    with pytest.raises(UnicodeEncodeError):
        fill(tmp_path / "out", {"a": "new", "b": "\ud800"}, force=True)
    assert names(tmp_path) == ["out"]
    assert listing(tmp_path) == {"out/a": "old"}


def test_a_folder_is_replaced_only_with_force(tmp_path):
    fill(tmp_path / "out", {"a": "old"})
    with pytest.raises(OutputError, match=f"out: exists already. {FORCE}."):
        fill(tmp_path / "out", {"a": "new"})
    fill(tmp_path / "out", {"a": "new", "b": "more"}, force=True)
    assert listing(tmp_path) == {"out/a": "new", "out/b": "more"}
    assert names(tmp_path) == ["out"]


def test_an_empty_folder_may_be_there(tmp_path):
    (tmp_path / "out").mkdir()
    fill(tmp_path / "out", {"a": "1"})
    assert listing(tmp_path) == {"out/a": "1"}


def test_files_of_others_are_never_lost(tmp_path):
    fill(tmp_path / "out", {"a": "old", "thesis.tex": "years"})
    with pytest.raises(OutputError) as caught:
        fill(tmp_path / "out", {"a": "new"}, force=True)
    assert caught.value.problem == "holds 'thesis.tex', which would be lost"
    assert listing(tmp_path) == {"out/a": "old", "out/thesis.tex": "years"}
    assert names(tmp_path) == ["out"]


def test_what_is_expendable_makes_room(tmp_path):
    fill(tmp_path / "out", {"checkpoint": "half"})
    fill(tmp_path / "out", {"a": "whole"}, expendable=["checkpoint"])
    assert listing(tmp_path) == {"out/a": "whole"}


def test_the_old_folder_is_put_back_when_the_swap_fails(tmp_path, monkeypatch):
    fill(tmp_path / "out", {"a": "old"})
    rename = type(tmp_path).rename

    def failing(self, target):
        if self.name.endswith(".tmp"):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", failing)
    with pytest.raises(OutputError, match="cannot be written: Input/output error"):
        fill(tmp_path / "out", {"a": "new"}, force=True)
    assert listing(tmp_path) == {"out/a": "old"}


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", "C:x", "a\n", "x" * 201, "a*"])
def test_names_that_are_no_file_names(name):
    with pytest.raises(OutputError, match="cannot be the name of a file"):
        file_name(name)


def test_names_that_are_file_names():
    assert [file_name(name) for name in ("piece_1", "a.b-c", "ä", ".x")] == ["piece_1", "a.b-c", "ä", ".x"]


def test_several_files_appear_together_or_not_at_all(tmp_path):
    def refuse(staged):
        assert staged.read_bytes() == b"two"
        raise OutputError("is not what was meant", staged)

    one, two = tmp_path / "one", tmp_path / "new" / "two"
    with pytest.raises(OutputError, match="not what was meant"):
        write_files({one: b"one", two: b"two"}, checks={two: refuse})
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
    write_files({one: b"one", two: "two"})
    assert (one.read_bytes(), two.read_bytes()) == (b"one", b"two")
    two.unlink()
    with pytest.raises(OutputError, match="exists already"):
        write_files({two: b"2", one: b"1"})
    assert one.read_bytes() == b"one"
    assert not two.exists()
    write_files({two: b"2", one: b"1"}, force=True)
    assert (one.read_bytes(), two.read_bytes()) == (b"1", b"2")


def test_what_comes_in_between_takes_the_others_with_it(tmp_path, monkeypatch):
    from reknit.containers import write

    place = write._place

    def late(staged, path, *, force):
        if path.name == "two":
            path.write_bytes(b"of another process")
        place(staged, path, force=force)

    monkeypatch.setattr(write, "_place", late)
    with pytest.raises(OutputError, match="exists already"):
        write_files({tmp_path / "one": b"one", tmp_path / "two": b"two"})
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"two": b"of another process"}
