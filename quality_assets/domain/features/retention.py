"""Who comes again: shares of last week's users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quality_assets.domain.stats.intervals import wilson_interval

# With what the last week is compared: the weeks before it.
_PAST_WEEKS = 4


@dataclass(frozen=True)
class Retention:
    """Who of the users of the week before used it again in the last week: share, 90 % interval, and the weeks before.

    `still_active` is the share of them who used anything of the product; `past` the lowest and highest share of
    earlier weeks, None where there are none.
    """

    users: int
    share: float
    low: float
    high: float
    still_active: float
    past: tuple[float, float] | None


def retention(by_ago: Mapping[int, Mapping[str, Any]], still_active_users: int) -> Retention | None:
    """Retention of the last week, from weeks by how long ago they ended; None where nobody was there to come again."""
    share = retained_share(by_ago, 0)
    if share is None:
        return None
    users = by_ago[1]["users"]
    low, high = wilson_interval(share, users)
    past = [before for ago in range(1, _PAST_WEEKS + 1) if (before := retained_share(by_ago, ago)) is not None]
    return Retention(users, share, low, high, still_active_users / users, (min(past), max(past)) if past else None)


def retained_share(by_ago: Mapping[int, Mapping[str, Any]], ago: int) -> float | None:
    """Of the users of the week before, the share who used it again; a week without any user retained none of them."""
    before = by_ago.get(ago + 1)
    return (by_ago[ago]["retained"] if ago in by_ago else 0) / before["users"] if before else None
