"""Which files of a data root whoever asks may not read or write, as where root ran a command here once."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from quality_assets.cli.finding import Finding
from quality_assets.settings import Settings

MAX_NAMED = 3
# What is written in place; all else is written beside and renamed, for which a folder must be writable.
_IN_PLACE = (".db", ".duckdb", ".wal", "-wal", "-shm", ".lock", ".log", ".jsonl")


def rights_finding(settings: Settings) -> Finding | None:
    """What the stores have that is not ours to use; None where there is nothing."""
    found = list(_not_ours(settings))
    if not found:
        return None
    we = _name(os.geteuid())
    named = "; ".join(f"{path}, which {_owner(path)} owns" for path in found[:MAX_NAMED])
    more = f"; and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    said = f"{len(found)} of the files and folders cannot be used by {we}: {named}{more}"
    mend = f"`chown -R {we} {settings.data_dir}`, and let one user run all commands and servers of it"
    return Finding("Rights", False, said, mend)


def _not_ours(settings: Settings) -> Iterator[Path]:
    root = settings.data_dir
    for path in sorted(root.iterdir()) if os.access(root, os.R_OK) and root.is_dir() else ():
        if path.is_file() and path.name.endswith(_IN_PLACE) and not os.access(path, os.R_OK | os.W_OK):
            yield path
    if settings.landing_dir.is_dir() and not os.access(settings.landing_dir, os.W_OK):
        yield settings.landing_dir
    own = ("inbox", "datasets", ".outbox", ".secrets", "set-aside")
    stores = (
        *(settings.lake_dir, settings.published_dir, settings.dagster_home, settings.scratch_dir, settings.live_dir),
        *(settings.logs_dir, settings.models_dir, settings.processed_dir, settings.reports_dir, settings.detector_dir),
        *(root / name for name in own),
    )
    for store in stores:
        yield from _within(store, is_replaced=store == settings.published_dir)


def _within(store: Path, *, is_replaced: bool) -> Iterator[Path]:
    """The folders of a store that cannot be written, and the files that cannot be read, or written where they are.

    `is_replaced`: no file of it is ever written again.
    """
    for parent, folders, names in os.walk(store):
        if not os.access(parent, os.R_OK | os.W_OK | os.X_OK):
            yield Path(parent)
        for name in folders:
            # What cannot be opened is not walked into.
            if not os.access(Path(parent) / name, os.R_OK | os.X_OK):
                yield Path(parent) / name
        for name in names:
            needed = os.R_OK | os.W_OK if name.endswith(_IN_PLACE) and not is_replaced else os.R_OK
            if not os.access(Path(parent) / name, needed):
                yield Path(parent) / name


def _owner(path: Path) -> str:
    try:
        return _name(path.lstat().st_uid)
    except OSError:
        return "somebody"


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
