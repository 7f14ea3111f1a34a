"""Outputs appear whole or not at all, and never over something that is there already.

Everything is written to a temporary sibling (``.NAME.XXXXXXXX.tmp``), flushed to the disk, and renamed into place. A
killed run leaves at most such a sibling behind.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from reknit.errors import OutputError

_FORCE = "Choose another name, or replace it with --force"
_MAX_NAME = 200
Content = bytes | str | Iterable[bytes | memoryview]


def write_file(path: str | Path, content: Content, force: bool = False) -> None:
    """Write one file, whole or not at all; missing parent folders are made.

    Args:
        path: where to; a symbolic link is followed.
        content: bytes, a text to be written in UTF-8, or parts that are asked for one after the other: if that fails,
            nothing is there.
        force: replace an existing file.

    Raises:
        OutputError: something is there and force is off, a folder is there, or the system refuses.
    """
    write_files({Path(path): content}, force=force)


def write_files(
    contents: Mapping[Path, Content],
    *,
    force: bool = False,
    checks: Mapping[Path, Callable[[Path], None]] | None = None,
) -> None:
    """Write several files: each is renamed into place only when all are on the disk.

    Args:
        contents: see ``write_file``.
        force: replace existing files.
        checks: told the temporary file that will become the one of this name; what it raises leaves nothing there.

    Raises:
        OutputError: see ``write_file``.
    """
    placed = {_settled(path): (path, content) for path, content in contents.items()}
    staged: dict[Path, Path] = {}
    at = next(iter(placed), Path())
    try:
        for at, (path, content) in placed.items():
            if at.is_dir():
                raise OutputError("is a folder, not a file", at, "Choose another name")
            if at.exists() and not force:
                raise OutputError("exists already", at, _FORCE)
            at.parent.mkdir(parents=True, exist_ok=True)
            staged[at] = _sibling(at, "tmp")
            _flushed(staged[at], content)
            if checks is not None and path in checks:
                checks[path](staged[at])
        _place_all(staged, force=force)
    except OSError as error:
        raise _refused(at, error) from None
    finally:
        for file in staged.values():
            with suppress(OSError):
                file.unlink()


def _place_all(staged: Mapping[Path, Path], *, force: bool) -> None:
    """Rename all into place; if one cannot be, those before it go again, where they replaced nothing."""
    done: list[Path] = []
    try:
        for path, file in staged.items():
            _place(file, path, force=force)
            done.append(path)
    except (OSError, OutputError):
        for path in () if force else done:
            path.unlink()
        raise


def _flushed(path: Path, content: Content) -> None:
    with path.open("xb") as file:
        for part in _parts(content):
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def staged_folder(path: str | Path, force: bool = False, *, expendable: Collection[str] = ()) -> Iterator[Path]:
    """A new folder to write into, which takes the place of ``path`` when the block ends without an exception.

    Args:
        path: where the folder shall be; a symbolic link is followed. A folder that is empty or holds nothing but
            ``expendable`` may be there already.
        force: replace an existing folder, if it holds nothing but what the new one holds too.
        expendable: names of files that may be lost with the old folder, such as a checkpoint.

    Yields:
        The temporary folder, a sibling of ``path``.

    Raises:
        OutputError: something is there and force is off, the old folder holds files of others, or the system refuses.
    """
    path = _settled(Path(path))
    if path.exists() and not path.is_dir():
        raise OutputError("is a file, not a folder", path, "Choose another name")
    _check_replaceable(path, expendable, force=force)
    staged = _sibling(path, "tmp")
    try:
        staged.mkdir(parents=True)
        yield staged
        _check_replaceable(path, expendable, force=force, names={file.name for file in staged.iterdir()})
        _swap(staged, path)
    except OSError as error:
        raise _refused(path, error) from None
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _parts(content: Content) -> Iterable[bytes | memoryview]:
    return [content.encode()] if isinstance(content, str) else [content] if isinstance(content, bytes) else content


def file_name(name: str) -> str:
    """A name out of a container, as the name of one file in an output folder.

    Raises:
        OutputError: it is not the plain name of a file.
    """
    plain = name.isprintable() and len(name.encode()) <= _MAX_NAME and not set(name) & set('/\\:*?"<>|')
    if not plain or name in ("", ".", ".."):
        raise OutputError(f"{name[:100]!r} cannot be the name of a file", "", "Rename the piece")
    return name


def _settled(path: Path) -> Path:
    """Where a symbolic link leads, so that the rename does not replace the link."""
    try:
        return path.resolve() if path.is_symlink() else path
    except (OSError, RuntimeError, ValueError):
        raise OutputError("is no usable path", path) from None


def _sibling(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name[:_MAX_NAME]}.{secrets.token_hex(4)}.{kind}")


def _place(staged: Path, path: Path, *, force: bool) -> None:
    if force:
        staged.replace(path)
        return
    try:
        path.hardlink_to(staged)  # unlike a rename, a link never replaces what another process put there meanwhile
    except FileExistsError:
        raise OutputError("exists already", path, _FORCE) from None
    except OSError:  # a file system without links
        staged.replace(path)


def _check_replaceable(
    path: Path, expendable: Collection[str], *, force: bool, names: Collection[str] | None = None
) -> None:
    """Refuse to lose what a folder holds: without force anything, with force what the new one has no name for."""
    found = sorted({file.name for file in path.iterdir()} - set(expendable)) if path.is_dir() else []
    if found and not force:
        raise OutputError("exists already", path, _FORCE)
    foreign = [name for name in found if names is not None and name not in names]
    if foreign:
        raise OutputError(f"holds {foreign[0]!r}, which would be lost", path, "Choose another folder, or move it away")


def _swap(staged: Path, path: Path) -> None:
    """Rename the new folder into place; the old one is put back if that fails, and removed if it does not."""
    if not path.exists():
        staged.rename(path)
        return
    old = _sibling(path, "old")
    path.rename(old)
    try:
        staged.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _refused(path: Path, error: OSError) -> OutputError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return OutputError(f"cannot be written: {reason}", path)
