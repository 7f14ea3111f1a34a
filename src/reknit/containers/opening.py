"""Opens a container of any format; the format is told from the content, never from the file's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reknit.containers.container import Container
from reknit.containers.file_bytes import FileBytes, unreadable
from reknit.containers.gguf_file import MAGIC as GGUF_MAGIC
from reknit.containers.gguf_file import GgufFile
from reknit.containers.hdf5_file import MAGIC as HDF5_MAGIC
from reknit.containers.hdf5_file import Hdf5File
from reknit.containers.numpy_files import MAGIC as NPY_MAGIC
from reknit.containers.numpy_files import NpyFile, NpzFile
from reknit.containers.onnx_file import OnnxFile, is_onnx
from reknit.containers.safetensors_file import INDEX_SUFFIX, SafetensorsFile, ShardedSafetensors
from reknit.containers.torch_legacy import TorchLegacy, is_legacy
from reknit.containers.torch_script import TorchScript, is_script
from reknit.containers.torch_zip import TorchZip, is_torch_pickle
from reknit.containers.zip_archive import ZipArchive
from reknit.errors import ContainerError

REMEDY = "reknit reads torch, TorchScript, safetensors, npz, npy, ONNX, HDF5 and GGUF files"
_FOREIGN = (
    *(
        (b"PAR1", "a Parquet table"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive"),
        (b"BZh91AY", "a bzip2 archive"),
    ),
    *((b"\xfd7zXZ\x00", "an xz archive"), (b"7z\xbc\xaf\x27\x1c", "a 7z archive"), (b"%PDF", "a PDF")),
    *((b"version https://git-lfs", "a Git LFS pointer, not the file itself"), (b"\x7fELF", "a program")),
    *((b"\x80\x02", "a bare pickle"), (b"\x80\x03", "a bare pickle"), (b"\x80\x04", "a bare pickle")),
    *((b"\x80\x05", "a bare pickle"), (b"\x89PNG", "a picture"), (b"\xff\xd8\xff", "a picture")),
)
_READERS: tuple[tuple[Callable[[bytes], bool], Callable[[FileBytes], Container]], ...] = (
    (lambda lead: lead.startswith(NPY_MAGIC), NpyFile),
    (lambda lead: lead.startswith(GGUF_MAGIC), GgufFile),
    (lambda lead: lead.startswith(HDF5_MAGIC), Hdf5File),
    (is_legacy, TorchLegacy),
    (is_onnx, OnnxFile),
    (lambda lead: lead[8:9] == b"{" and not lead.startswith(b"version "), SafetensorsFile),
)


def open_container(path: str | Path) -> Container:
    """List the tensors of a file, or of a folder of safetensors shards with an index, from headers alone.

    Args:
        path: a file of any such format, a ``*.safetensors.index.json``, or a folder with one of those.

    Raises:
        ContainerError: it is not there, is none of these, or is damaged or hostile; the sentence names the file.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return ShardedSafetensors(find_index(path))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    if path.name.endswith(INDEX_SUFFIX):
        return ShardedSafetensors(path)
    source = FileBytes(path)
    lead = bytes(source.read(0, min(source.size, 64)))
    if lead[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _open_zip(source)
    for is_one, reader in _READERS:
        if is_one(lead):
            return reader(source)
    raise ContainerError(f"holds no tensors; it is {describe(lead)}", path, REMEDY)


def find_index(folder: Path) -> Path:
    """The index of a sharded folder.

    Raises:
        ContainerError: it has none, or several.
    """
    found = sorted(path for path in folder.iterdir() if path.name.endswith(INDEX_SUFFIX))
    if len(found) != 1:
        how_many = "no" if not found else "more than one"
        raise ContainerError(f"is a folder with {how_many} *{INDEX_SUFFIX}", folder, "Name a file in it")
    return found[0]


def foreign_format(lead: bytes) -> str | None:
    """The name of a well-known format that holds no tensors reknit reads; None if it is none of them."""
    return next((name for magic, name in _FOREIGN if lead.startswith(magic)), None)


def describe(lead: bytes) -> str:
    """What a file that is no container seems to be, from its first bytes."""
    if not lead:
        return "empty"
    known = foreign_format(lead)
    if known:
        return known
    if not lead.strip(b"\0"):
        return "nothing but zeros"
    text = all(byte >= 32 or byte in b"\t\r\n\f" for byte in lead)
    return (
        f"text, starting {lead[:24].decode('latin-1')!r}"
        if text
        else f"unknown, starting with the bytes {lead[:8].hex(' ')}"
    )


def _open_zip(source: FileBytes) -> Container:
    archive = ZipArchive(source)
    pickles = [name for name in archive.entries if is_torch_pickle(name)]
    if len(pickles) == 1:
        return TorchScript(source, archive) if is_script(archive, pickles[0]) else TorchZip(source, archive)
    if any(name.endswith(".npy") for name in archive.entries):
        return NpzFile(source, archive)
    what = "is an empty zip archive" if not archive.entries else "is a zip archive, but neither of torch nor of numpy"
    raise ContainerError(what, source.path, REMEDY)
