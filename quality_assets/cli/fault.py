"""What is broken in a data root's stores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """One thing that is broken. `set_aside` are the paths that mending moves away; then all is brought up to date."""

    subject: str
    detail: str
    set_aside: tuple[Path, ...]
    mend: str = "`quality doctor --mend` sets it aside and makes it anew"
