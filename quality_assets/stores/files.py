"""Files that are whole or absent: atomic writes, links, directory syncs. Nothing here knows what is in them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def holds(path: Path, pattern: re.Pattern[bytes], longest: int, start: int = 0) -> bool:
    """Whether a pattern, no match of which is longer than that, matches in a file from byte `start` on.

    Read piece by piece: a file that is cut short while it is mapped ends the process.
    """
    with path.open("rb") as stream:
        stream.seek(start)
        block = b""
        while chunk := stream.read(_CHUNK_BYTES):
            block = block[max(len(block) - longest + 1, 0) :] + chunk
            if pattern.search(block):
                return True
    return False


def fsync_path(path: Path) -> None:
    """Make what a file holds, or renames within a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str) -> None:
    """Write `text` beside `path`, then rename it into place: readers see the old text or the new, never half."""
    write_bytes_atomically(path, text.encode("utf-8"))


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """As `write_atomically`, of bytes."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    fsync_path(path.parent)


def made_secret(path: Path, secret: bytes) -> bytes:
    """What a file that its owner alone reads holds; it is made of `secret` where there is none.

    Of two processes that make it at once one wins, and both get its secret. Raises OSError where it can be neither read
    nor written.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        _write_new(temporary, secret)
        try:
            # A link is made whole or not at all, and never over what another process has made.
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:
            # A disk without hard links.
            with contextlib.suppress(FileExistsError):
                _write_new(path, secret)
        finally:
            temporary.unlink()
    return path.read_bytes()


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet. Raises FileExistsError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)


def is_same_file(one: str, other: str) -> bool:
    """Whether both are names of one file."""
    try:
        return os.path.samefile(one, other)
    except FileNotFoundError:
        return False


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Hard-link `target` to `source`, or copy where the file system has no hard links.

    Only for files that nobody writes to again: both names are the same bytes.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
