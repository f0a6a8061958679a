"""What the doctor says of one thing that it has looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `mend` says how to put it right, where it is not."""

    subject: str
    is_ok: bool
    detail: str
    mend: str = ""
