"""Who comes again: shares of last week's users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def retained_share(by_ago: Mapping[int, Mapping[str, Any]], ago: int) -> float | None:
    """Of the users of the week before, the share who used it again; a week without any user kept none of them."""
    before = by_ago.get(ago + 1)
    return (by_ago[ago]["kept"] if ago in by_ago else 0) / before["users"] if before else None
