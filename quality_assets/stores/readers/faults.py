"""What becomes of a raw log that could not be read: rejected for what is in it, or left waiting for what is not."""

from __future__ import annotations

import errno
import re

import duckdb

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_ROOM_WORDS = ("No space left", "Disk quota exceeded", "max_temp_directory_size")
# What DuckDB says where the machine is at fault, and not the file.
_MACHINE_WORDS = ("Too many open files", "Input/output error", "Permission denied", "Cannot allocate memory")
_QUOTED_PATH = re.compile(r"""(['"])/[^'"]*/([^'"/]+)\1""")
_BROKEN_WORDS = "database has been invalidated"


class FileRejected(Exception):  # noqa: N818
    """A raw log that cannot be read as a whole. Nothing of it is staged; the message is a plain sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FileWaits(Exception):  # noqa: N818
    """A raw log that cannot be read just now, through no fault of its own: nothing of it is staged, and it stays."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


WAITS = "it waits:"
"""How it begins what is said of a file that is read later, since nothing is wrong with it."""


def lacks_room(error: BaseException) -> bool:
    """Whether the disk is full."""
    is_os_error = isinstance(error, OSError) and error.errno in _NO_ROOM
    return is_os_error or any(words in str(error) for words in _NO_ROOM_WORDS)


def breaks_database(error: BaseException) -> bool:
    """Whether the scratch database is of no use any more, so that the error says nothing of the file being read."""
    return isinstance(error, duckdb.FatalException | duckdb.InternalException) or _BROKEN_WORDS in str(error)


def verdict_on(error: Exception) -> FileRejected | FileWaits:
    """What an error while reading a file makes of the file."""
    if isinstance(error, FileRejected | FileWaits):
        return error
    if lacks_room(error):
        return FileWaits(f"{WAITS} there is no space left on the disk. It is read as soon as there is")
    if isinstance(error, MemoryError | duckdb.OutOfMemoryException):
        return FileWaits(f"{WAITS} there is not enough memory to read it. Raise QUALITY_MEMORY_LIMIT_MB, or split it")
    if isinstance(error, FileNotFoundError):
        return FileRejected("the file is no longer there")
    if isinstance(error, OSError) and error.errno is not None:
        return FileWaits(f"{WAITS} it cannot be read just now: {error.strerror or error}")
    if isinstance(error, duckdb.IOException) and any(words in str(error) for words in _MACHINE_WORDS):
        return FileWaits(f"{WAITS} it cannot be read just now: {first_line(error)}")
    if isinstance(error, RecursionError):
        return FileRejected("it is nested too deeply to be read")
    return FileRejected(f"it cannot be read: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """The first line of what an error says, as text that any table can hold; of files it has the names alone."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    said = _QUOTED_PATH.sub(r"\1\2\1", said)[:300]
    return said.encode("utf-8", "backslashreplace").decode()
