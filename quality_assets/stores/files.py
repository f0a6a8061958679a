"""Files that are whole or absent: atomic writes, links, directory syncs. Nothing here knows what is in them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def fsync_path(path: Path) -> None:
    """Make what a file holds, or renames within a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str) -> None:
    """Write `text` beside `path`, then rename it into place: readers see the old text or the new, never half."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    fsync_path(path.parent)


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
