"""The secret by which the servers of one root open its collector to each other, where people's tokens are signed with a
key whose private half is elsewhere: a file of the root, readable by its owner alone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_FILE = "readers.key"
_BYTES = 32


def made_key(live_dir: Path) -> str:
    """The secret of a root, made where there is none. Raises OSError where it can be neither read nor written."""
    live_dir.mkdir(parents=True, exist_ok=True)
    made = live_dir / f".{_FILE}.{os.getpid()}.part"
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(secrets.token_hex(_BYTES))
    try:
        # A link is made whole or not at all, and never over what another collector has made.
        (live_dir / _FILE).hardlink_to(made)
    except FileExistsError:
        pass
    finally:
        made.unlink()
    return (live_dir / _FILE).read_text(encoding="ascii")


def known_key(live_dir: Path) -> str | None:
    """The secret of a root; None where no collector has made one, or it is not ours to read."""
    try:
        return (live_dir / _FILE).read_text(encoding="ascii")
    except OSError:
        return None
