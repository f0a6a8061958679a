"""The secret by which the servers of one root open its collector to each other, where people's tokens are signed with a
key whose private half is elsewhere: a file of the root, readable by its owner alone."""

from __future__ import annotations

import secrets
from pathlib import Path

from quality_assets.stores.files import made_secret

_FILE = "readers.key"
_BYTES = 32


def made_key(live_dir: Path) -> str:
    """The secret of a root, made where there is none. Raises OSError where it can be neither read nor written."""
    return made_secret(live_dir / _FILE, secrets.token_hex(_BYTES).encode("ascii")).decode("ascii")


def known_key(live_dir: Path) -> str | None:
    """The secret of a root; None where no collector has made one, or it is not ours to read."""
    try:
        return (live_dir / _FILE).read_text(encoding="ascii")
    except OSError:
        return None
