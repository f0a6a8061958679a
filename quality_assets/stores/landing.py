"""The landing zone: which files wait, which are known, which are not whole yet. Files in it are never changed.

Files come in through `place`, or from outside, by anybody, at any time: hence a file counts only when it is a regular
file inside the zone whose size has stopped changing, and it is known by its content, not by its name.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, cast

import pyarrow as pa

from quality_assets.stores.file_marks import GZIP, ZSTD
from quality_assets.stores.files import holds

# `place` copies under such a name first, and editors and download tools leave theirs lying about.
IGNORED_SUFFIXES = (
    *(".tmp", ".part", ".partial", ".filepart", ".crdownload", ".download", ".swp"),
    # Editors, HDFS, Flink.
    *("~", "._COPYING_", ".inprogress"),
)
# What Spark, Delta and Hadoop write beside their data; checksums; locks of Office, what editors and Windows leave.
MARKER_NAMES = (
    *("*.md5", "*.sha1", "*.sha256", "*.sha512", "~$*", "#*#", "Thumbs.db", "desktop.ini"),
    *("_SUCCESS", "_committed_*", "_started_*", "_metadata", "_common_metadata", "*.crc"),
)
MARKER_FOLDERS = ("_temporary", "_delta_log", "_spark_metadata")
# What the server of models predicts lies there, and is read as what it is.
PREDICTIONS_FOLDER = "predictions"
PREDICTIONS_KEPT_DAYS = 90
_CHUNK_BYTES = 1 << 20
_GZIP_HEAD_BYTES, _GZIP_LEAST_BYTES = 10, 18
# A member's first bytes, with only such flags and systems as RFC 1952 knows: compressed bytes hardly ever look so.
_GZIP_MEMBER = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]....[\x00\x02\x04][\x00-\x0d\xff]", re.DOTALL)
_VERSION_DIGITS = 8
_VERSION = re.compile(rf"(.+?)(?:-([0-9a-f]{{{_VERSION_DIGITS}}}))?((?:\.[^.]*)*)", re.DOTALL)
_SLOT = re.compile(r".+\.[A-Za-z]+\.[0-9]{1,3}", re.DOTALL)
_MOST_NAME_BYTES = 255
_CLOSED = "cannot be read: permission denied"


@dataclass(frozen=True)
class LandingFile:
    """A file in the landing zone as it stood when it was looked at. `name` is relative to the zone, with slashes.

    `changed_ns` is when anything of it changed, its name and its times too: it tells the file from one that has come in
    its place, or was written over it, with the same size and time, as `rsync -t`, `cp -p` and `tar` leave it.
    """

    path: Path
    name: str
    size_bytes: int
    modified_ns: int
    changed_ns: int | None = None

    @classmethod
    def of(cls, path: Path, name: str, status: os.stat_result) -> LandingFile:
        """A file as it stands by what the system says of it."""
        return cls(path, name, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def is_unchanged(self) -> bool:
        """Whether it still stands as it stood."""
        try:
            now = self.path.stat()
        except OSError:
            return False
        is_same = self.changed_ns in (None, now.st_ctime_ns)
        return is_same and (now.st_size, now.st_mtime_ns) == (self.size_bytes, self.modified_ns)


@dataclass(frozen=True)
class Ignored:
    """Something in the landing zone that is not a log, and why."""

    name: str
    reason: str


def scan(landing_dir: Path) -> tuple[list[LandingFile], list[Ignored]]:
    """What is in the landing zone, by name: the regular files, and what is passed over with the reason."""
    files: list[LandingFile] = []
    ignored: list[Ignored] = []
    root = _resolved(landing_dir)
    for path in sorted(_walk(landing_dir)):
        name = _shown(path.relative_to(landing_dir))
        try:
            if path.is_symlink() and not _resolved(path).is_relative_to(root):
                ignored.append(Ignored(name, "is a link out of the landing zone"))
                continue
            status = path.stat()
        except OSError as error:
            ignored.append(Ignored(name, f"cannot be looked at: {error.strerror or error}"))
            continue
        if not os.access(path, os.R_OK):
            ignored.append(Ignored(name, _CLOSED))
        elif not path.is_file():
            ignored.append(Ignored(name, "is not a regular file"))
        else:
            files.append(LandingFile.of(path, name, status))
    return files, ignored


def names_there(files: Iterable[LandingFile], ignored: Iterable[Ignored]) -> set[str]:
    """All paths of the landing zone at which something stands, whether it may be read or not."""
    return {file.name for file in files} | {item.name for item in ignored}


def _shown(path: Path) -> str:
    """The path as text, with slashes; bytes of a name that are not UTF-8 are spelled out, which no table could hold."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _resolved(path: Path) -> Path:
    # Path.resolve raises on links that lead to themselves.
    return Path(os.path.realpath(path))


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        passed = (*MARKER_FOLDERS, PREDICTIONS_FOLDER) if Path(parent) == folder else MARKER_FOLDERS
        folders[:] = [name for name in folders if not name.startswith(".") and name not in passed]
        # Folders that are not walked into are told of, as what they are.
        closed = [n for n in folders if (Path(parent) / n).is_symlink() or not os.access(Path(parent) / n, os.R_OK)]
        for name in (*names, *closed):
            if not is_passed_over(name):
                yield Path(parent) / name


def is_passed_over(name: str) -> bool:
    """Whether a file is no log by its name: not whole yet, or written beside logs."""
    is_marker = any(fnmatchcase(name, pattern) for pattern in MARKER_NAMES)
    return is_marker or name.startswith(".") or name.endswith(IGNORED_SUFFIXES)


def settle(
    files: Iterable[LandingFile], stable_s: float, sleep: Callable[[float], None] = time.sleep
) -> tuple[list[LandingFile], list[Ignored]]:
    """Those files whose size does not change any more, and those that are still being written.

    A file that was modified within the last `stable_s` seconds is looked at once more after that time.
    """
    files = list(files)
    horizon_ns = time.time_ns() - int(stable_s * 1e9)
    if any(file.modified_ns > horizon_ns for file in files):
        sleep(stable_s)
    whole = [file for file in files if file.is_unchanged()]
    names = {file.name for file in whole}
    return whole, [
        Ignored(f.name, "is still being written, or has just vanished") for f in files if f.name not in names
    ]


def sha256_of(path: Path) -> str:
    """The SHA-256 of the file's bytes, in hex."""
    with path.open("rb") as stream:
        return digests_of(stream).sha256


@dataclass(frozen=True)
class Digests:
    """What a stream of bytes is known by, whole and at some of its beginnings.

    `beginnings` gives, by their length in bytes, the SHA-256 and the CRC-32 (0 where it was not asked for).
    """

    size_bytes: int
    sha256: str
    crc32: int
    beginnings: Mapping[int, tuple[str, int]]


def digests_of(stream: IO[bytes], lengths: Iterable[int] = (), *, with_crc: bool = False) -> Digests:
    """Read a stream to its end; `lengths` are those of the beginnings that are asked for."""
    digest, crc, position = hashlib.sha256(), 0, 0
    beginnings: dict[int, tuple[str, int]] = {}
    wanted = iter(sorted({length for length in lengths if length > 0}))
    following = next(wanted, None)
    while chunk := stream.read(_CHUNK_BYTES if following is None else min(following - position, _CHUNK_BYTES)):
        digest.update(chunk)
        crc = zlib.crc32(chunk, crc) if with_crc else 0
        position += len(chunk)
        if position == following:
            beginnings[position] = (digest.hexdigest(), crc)
            following = next(wanted, None)
    return Digests(position, digest.hexdigest(), crc, beginnings)


@contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file as they are once decompressed; OSError, EOFError or zlib.error where they cannot be."""
    with path.open("rb") as stream:
        head = stream.read(4)
    if head.startswith(GZIP):
        with gzip.open(path, "rb") as packed:
            yield cast(IO[bytes], packed)
    elif head.startswith(ZSTD):
        with pa.input_stream(str(path), compression="zstd") as packed:
            yield packed
    else:
        with path.open("rb") as stream:
            yield stream


def gzip_trailer(path: Path) -> tuple[int, int] | None:
    """Size and CRC-32 of what a gzip file holds, as its last eight bytes say (RFC 1952); None where it is none.

    The size is modulo 4 GiB. Of several members they would be of the last alone, which bgzip leaves empty: None too,
    and where zeros fill up a block behind it.
    """
    with path.open("rb") as stream:
        if stream.read(2) != GZIP or stream.seek(0, os.SEEK_END) < _GZIP_LEAST_BYTES:
            return None
        stream.seek(-8, os.SEEK_END)
        crc, size = struct.unpack("<II", stream.read(8))
        if not size:
            return None
    return None if holds(path, _GZIP_MEMBER, _GZIP_HEAD_BYTES, start=1) else (size, crc)


def logical_name(name: str, sha256: str | None = None) -> str:
    """The name that all contents of one log come under: without compression, and without the hash that `place` adds.

    Where `sha256` is known, only its own digits are taken for such a hash.
    """
    folder, slash, base = name.rpartition("/")
    base = base.removesuffix(".gz").removesuffix(".zst")
    found = _VERSION.fullmatch(base)
    assert found is not None  # any name of a file is of that form
    stem, version, suffix = found.groups()
    is_version = version is not None and (sha256 is None or sha256.startswith(version))
    return folder + slash + (stem + suffix if is_version else base)


def is_rotation_slot(logical: str) -> bool:
    """Whether a name is that of a place which rotated logs pass through, as `app.log.1`: it holds another each time."""
    return _SLOT.fullmatch(logical.rpartition("/")[2]) is not None


def place(paths: Iterable[Path], landing_dir: Path, folder: str = "") -> tuple[list[str], list[Ignored]]:
    """Copy files, and all files within directories, into the landing zone; the names there, and what was left out.

    A file whose name is taken by other bytes gets its content hash into its name; one whose bytes are there already,
    or that lies in the zone, is not copied again. Copies appear under their names only when whole.
    """
    placed: list[str] = []
    ignored: list[Ignored] = []
    for path in paths:
        if not path.exists():
            ignored.append(Ignored(_shown(path), "does not exist"))
            continue
        for source, relative in _files_of(path):
            if is_passed_over(source.name):
                ignored.append(Ignored(_shown(source), "has the name of what is not whole yet or no log; rename it"))
            elif source.is_symlink() and not _resolved(source).is_relative_to(_resolved(path)):
                ignored.append(Ignored(_shown(source), "is a link to somewhere else"))
            elif not os.path.exists(source):
                ignored.append(Ignored(_shown(source), "is a link that leads nowhere"))
            elif not os.access(source, os.R_OK):
                ignored.append(Ignored(_shown(source), _CLOSED))
            elif not source.is_file():
                ignored.append(Ignored(_shown(source), "is not a regular file"))
            elif why := _why_unreadable(source):
                ignored.append(Ignored(_shown(source), f"cannot be read: {why}"))
            else:
                placed.append(_copy(source, landing_dir, Path(folder) / relative))
    return placed, ignored


def _why_unreadable(path: Path) -> str | None:
    """What the file system says of a file that it will not read, whatever its rights say; None where it reads it."""
    try:
        with path.open("rb") as stream:
            stream.read(1)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _files_of(path: Path) -> list[tuple[Path, Path]]:
    if path.is_dir():
        return [(file, Path(path.name) / file.relative_to(path)) for file in sorted(_walk(path))]
    return [(path.resolve() if path.is_symlink() else path, Path(path.name))]


def _copy(source: Path, landing_dir: Path, relative: Path) -> str:
    if _resolved(source).is_relative_to(_resolved(landing_dir)):
        return _shown(_resolved(source).relative_to(_resolved(landing_dir)))
    target = landing_dir / relative
    if target.exists() and not target.samefile(source):
        digest = sha256_of(source)
        if sha256_of(target) == digest:
            return _shown(relative)
        relative = relative.with_name(_version_name(relative, digest))
        target = landing_dir / relative
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{_fitting(target.name, 32)}.{os.getpid()}.tmp")
        shutil.copy2(source, temporary)
        os.replace(temporary, target)
    return _shown(relative)


def _version_name(path: Path, digest: str) -> str:
    """A name for other bytes than those that have this name, with some of their hash in it."""
    suffixes = "".join(path.suffixes)
    added = f"-{digest[:_VERSION_DIGITS]}{suffixes}"
    return _fitting(path.name.removesuffix(suffixes), len(os.fsencode(added))) + added


def _fitting(name: str, more: int) -> str:
    """As much of a name as a file system takes with so many bytes more."""
    encoded, most = os.fsencode(name), _MOST_NAME_BYTES - more
    return name if len(encoded) <= most else encoded[:most].decode(errors="ignore")
