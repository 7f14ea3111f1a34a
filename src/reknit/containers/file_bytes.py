"""Bytes of a file by position: bounds are checked before anything is allocated.

Files are read, not mapped: a mapped file that is cut short while it is in use kills the process.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from reknit.errors import ContainerError

_SMALL = 1 << 18


class FileBytes:
    """A regular file; a small one is kept whole in memory, so that it is opened once.

    Attributes:
        path: the file.
        size: its length in bytes when it was opened.

    Raises:
        ContainerError: it is not there, cannot be read, or is no regular file.
    """

    def __init__(self, path: Path) -> None:
        """Look at the file."""
        self.path = path
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
                kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
                raise ContainerError(f"is {kind}, not a file", path)
            self.size = status.st_size
            self._kept = path.read_bytes() if self.size <= _SMALL else None
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from None
        if self._kept is not None:
            self.size = len(self._kept)

    def read(self, start: int, size: int) -> memoryview:
        """The bytes from ``start``; writable only if the memory is the caller's own.

        Raises:
            ContainerError: the file is shorter than that.
        """
        if start < 0 or size < 0 or start + size > self.size:
            raise self._short(start + size)
        if self._kept is not None:
            return memoryview(self._kept)[start : start + size]
        buffer = memoryview(bytearray(size))
        done = 0
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(start)
                while done < size and (count := file.readinto(buffer[done:])):
                    done += count
        except OSError as error:
            raise unreadable(self.path, error) from None
        if done < size:
            raise self._short(start + size)
        return buffer

    def _short(self, end: int) -> ContainerError:
        problem = f"ends at byte {self.size:,} but should reach byte {end:,}"
        return ContainerError(problem, self.path, "The file is cut short or damaged; copy it again")


def unreadable(path: Path, error: OSError | ValueError) -> ContainerError:
    """The sentence for a file that the system does not let us read."""
    if isinstance(error, FileNotFoundError):
        return ContainerError("there is no such file or folder", path)
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return ContainerError(f"cannot be read: {reason}", path)
