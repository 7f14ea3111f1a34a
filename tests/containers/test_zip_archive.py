"""The strict zip reader: agrees with zipfile on honest archives, and gives hostile ones no room."""

import io
import struct
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.containers.file_bytes import FileBytes
from reknit.containers.zip_archive import ZipArchive
from reknit.errors import ContainerError

NAMES = st.text("abcdeäé漢/_.-", min_size=1, max_size=9).filter(lambda n: ".." not in n and not n.startswith("/"))


def packed(entries, method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def opened(folder, raw):
    path = folder / "file.zip"
    path.write_bytes(raw)
    return ZipArchive(FileBytes(path))


def read_all(folder, raw):
    archive = opened(folder, raw)
    return {name: bytes(archive.read(name)) for name in archive.entries}


def refused(folder, raw):
    with pytest.raises(ContainerError) as caught:
        read_all(folder, raw)
    assert "file.zip" in str(caught.value)
    return caught.value.problem


def patched(raw, at, layout, value):
    return raw[:at] + struct.pack(layout, value) + raw[at + struct.calcsize(layout) :]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("zip")


@given(
    st.dictionaries(NAMES, st.binary(max_size=300), max_size=5),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
def test_it_agrees_with_zipfile(folder, entries, method):
    archive = opened(folder, packed(entries, method))
    assert {name: bytes(archive.read(name)) for name in archive.entries} == entries
    for name, content in entries.items():
        assert (
            bytes(archive.read(name, len(content) // 3, len(content) // 2))
            == content[len(content) // 3 :][: len(content) // 2]
        )
        assert bytes(archive.peek(name, 0, len(content) // 2)) == content[: len(content) // 2]


def test_a_comment_and_wide_records_are_read(folder):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = b"PK\x05\x06 a comment that looks like an end"
        with archive.open("a", "w", force_zip64=True) as entry:
            entry.write(b"content")
    assert bytes(opened(folder, buffer.getvalue()).read("a")) == b"content"


def test_a_checksum_is_verified_once_and_by_parts(folder, monkeypatch):
    raw = packed({"a": bytes(300_000), "b": b"x"})
    archive = opened(folder, raw)
    assert bytes(archive.read("a", 5, 3)) == bytes(3)
    monkeypatch.setattr(zlib, "crc32", lambda *_: pytest.fail("verified again"))
    assert bytes(archive.read("a", 7, 2)) == bytes(2)
    monkeypatch.undo()
    bad = bytearray(raw)
    bad[200_000] = 1
    with pytest.raises(ContainerError, match="the entry 'a' fails its checksum"):
        opened(folder, bytes(bad)).read("a", 5, 3)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "\\\\host\\x", "a\x00b"])
def test_names_that_point_outside(folder, name):
    raw = packed({"N" * len(name): b"1"}).replace(b"N" * len(name), name.encode())
    assert refused(folder, raw).startswith("holds the name ")


def test_repeated_names(folder):
    assert (
        refused(folder, packed({"aaaa": b"1", "bbbb": b"2"}).replace(b"bbbb", b"aaaa"))
        == "holds two entries of one name"
    )


def test_overlapping_entries(folder):
    raw = packed({"aaaa": b"1" * 10, "bbbb": b"2" * 10})
    second = raw.rindex(b"PK\x01\x02")
    assert refused(folder, patched(raw, second + 42, "<L", 0)) == "holds entries that overlap"
    first = raw.index(b"PK\x01\x02")
    reaching = patched(patched(raw, first + 20, "<L", 60), first + 24, "<L", 60)
    assert refused(folder, reaching) == "the entry 'aaaa' claims 60 bytes that are not its own"


def test_encrypted_and_foreign_methods(folder):
    raw = packed({"a": b"1"})
    at = raw.index(b"PK\x01\x02")
    assert refused(folder, patched(raw, at + 8, "<H", 1)) == "the entry 'a' is encrypted"
    assert (
        refused(folder, packed({"a": b"1"}, zipfile.ZIP_LZMA))
        == "the entry 'a' is packed by method 14, not stored or deflated"
    )


def test_sizes_that_lie(folder):
    stored, deflated = packed({"a": b"1" * 9}), packed({"a": b"1" * 999}, zipfile.ZIP_DEFLATED)
    claim = patched(stored, stored.index(b"PK\x01\x02") + 24, "<L", 2**31)
    assert refused(folder, claim) == f"the entry 'a' claims {2**31:,} bytes but holds 9"
    for size in (998, 1000):
        claim = patched(deflated, deflated.index(b"PK\x01\x02") + 24, "<L", size)
        assert refused(folder, claim) == f"the entry 'a' does not unpack to the {size:,} bytes it claims"
    assert refused(folder, patched(deflated, 31, "<Q", 0)) == "the entry 'a' does not unpack"


def test_bombs_are_not_unpacked(folder):
    honest = packed({"a": bytes(8 << 20)}, zipfile.ZIP_DEFLATED)
    assert len(opened(folder, honest).read("a")) == 8 << 20
    bomb = packed({"a": bytes(64 << 20)}, zipfile.ZIP_DEFLATED)
    many = packed({f"a{k}": bytes(8 << 20) for k in range(8)}, zipfile.ZIP_DEFLATED)
    claim = patched(honest, honest.index(b"PK\x01\x02") + 24, "<L", 2**32 - 2)
    tracemalloc.start()
    try:
        for raw in (bomb, many, claim):
            assert refused(folder, raw).endswith("(a zip bomb)")
        # the opposite lie: a small claim over a large stream unpacks no further than the claim
        small = patched(bomb, bomb.index(b"PK\x01\x02") + 24, "<L", 1000)
        assert refused(folder, small) == "the entry 'a' does not unpack to the 1,000 bytes it claims"
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_the_directory_is_missing_or_misplaced(folder):
    raw = packed({"a": b"1"})
    end = raw.rindex(b"PK\x05\x06")
    assert refused(folder, raw[:-1]) == "is a zip archive without its directory"
    assert refused(folder, patched(raw, end + 12, "<L", 7)) == "has its zip directory in the wrong place"
    assert refused(folder, patched(raw, end + 10, "<H", 2)) == "lists 1 entries but claims 2"
    assert refused(folder, raw.replace(b"PK\x01\x02", b"PK\x01\x03")) == "has a damaged zip directory"
    assert refused(folder, raw.replace(b"PK\x03\x04", b"PK\x03\x05")) == "the entry 'a' is not where the directory says"
    assert refused(folder, b"x" + raw) == "has its zip directory in the wrong place"
