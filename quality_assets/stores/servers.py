"""Which servers serve a data root, as they wrote it down: by what they are, the names of their processes.

It is of one folder: in a copy of it the same file names the servers of the other, which are not the copy's to end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from quality_assets.stores.files import write_atomically

_FILE = ".servers.json"


def folder_identity(folder: Path) -> tuple[int, int] | None:
    """What the file system knows a folder by, wherever it lies; None where there is none."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def remember_servers(data_dir: Path, names: Mapping[str, str]) -> None:
    """Write down who serves a data root."""
    write_atomically(data_dir / _FILE, json.dumps({"root": folder_identity(data_dir), "processes": dict(names)}))


def recorded_servers(data_dir: Path) -> dict[str, str] | None:
    """Who was written down, whether they still run; None where nobody of this very folder was."""
    try:
        record = json.loads((data_dir / _FILE).read_text(encoding="utf-8"))
        if record["root"] != list(folder_identity(data_dir) or ()):
            return None
        return {str(what): str(name) for what, name in record["processes"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def forget_servers(data_dir: Path) -> None:
    """Nobody serves it any more."""
    (data_dir / _FILE).unlink(missing_ok=True)
