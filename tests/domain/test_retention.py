"""Who comes again: shares, their interval, and the weeks before; worked out by hand."""

from __future__ import annotations

import pytest

from quality_assets.domain.features.retention import retained_share, retention
from quality_assets.domain.stats.intervals import wilson_interval

WEEKS = {
    0: {"users": 90, "retained": 50},
    1: {"users": 100, "retained": 40},
    2: {"users": 80, "retained": 10},
    3: {"users": 50, "retained": 0},
}


def test_a_share_is_of_the_users_of_the_week_before() -> None:
    assert [retained_share(WEEKS, ago) for ago in (0, 1, 2, 3)] == [0.5, 0.5, 0.2, None]
    assert retained_share({1: {"users": 10, "retained": 3}}, 0) == 0


def test_an_interval_is_wilsons() -> None:
    # z = 1.6449: half of 100 lie within (0.5 +- 0.0812).
    assert wilson_interval(0.5, 100) == pytest.approx((0.4188, 0.5812), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2129), abs=1e-4)


def test_retention_of_the_last_week_stands_beside_that_of_four_weeks_before() -> None:
    found = retention(WEEKS, 75)
    assert found is not None
    assert (found.users, found.share, found.still_active, found.past) == (100, 0.5, 0.75, (0.2, 0.5))
    assert (found.low, found.high) == wilson_interval(0.5, 100)
    assert retention({0: WEEKS[0]}, 0) is None
    older = {ago: {"users": 10, "retained": ago} for ago in range(7)}
    later = retention(older, 0)
    assert later is not None
    assert later.past == (0.1, 0.4)
    first = retention({0: WEEKS[0], 1: WEEKS[1]}, 0)
    assert first is not None
    assert first.past is None
