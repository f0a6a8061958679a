"""What a log of releases means: push and pop to any depth, half-open intervals, order by seq whatever the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality_assets.domain.models.learning.release_stack import (
    Action,
    LiveInterval,
    NoEarlierReleaseError,
    Release,
    given_back,
    in_use,
    live_at,
    stack,
    standing,
)

START = datetime(2026, 1, 1)


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def log(*steps: tuple[Action, str, int]) -> list[Release]:
    return [
        Release(seq, "sales", version, action, "prod", "me", "because", at(hour))
        for seq, (action, version, hour) in enumerate(steps, start=1)
    ]


def test_rollback_pops_to_any_depth_and_a_promotion_after_it_pushes_on_what_is_left() -> None:
    three = (("promote", "1", 1), ("promote", "2", 2), ("promote", "3", 3))
    back = (*three, ("rollback", "2", 4), ("rollback", "1", 5))
    assert [each.version for each in stack(log(*three))] == ["1", "2", "3"]
    assert [each.version for each in stack(log(*back))] == ["1"]
    with pytest.raises(NoEarlierReleaseError, match="no earlier release"):
        given_back(log(*back))
    again = log(*back, ("promote", "3", 6))
    assert [each.version for each in stack(again)] == ["1", "3"]
    assert given_back(again).version == "1"


def test_where_a_version_stands() -> None:
    found = log(("promote", "1", 1), ("promote", "2", 2), ("rollback", "1", 3))
    tried = Release(9, "sales", "3", "promote", "canary", "me", "because", at(4))
    assert [standing([*found, tried], version) for version in "123"] == ["prod", "retired", "none"]
    assert standing(log(("promote", "1", 1), ("retire", "1", 2)), "1") == "retired"
    assert standing([], "1") == "none"


def test_what_was_given_back_is_in_use_since_then() -> None:
    found = log(
        ("promote", "1", 1), ("promote", "2", 2), ("promote", "3", 3), ("rollback", "2", 4), ("rollback", "1", 5)
    )
    for upto, seq, since in ((3, 3, 3), (4, 2, 4), (5, 1, 5)):
        current = in_use(found[:upto])
        assert current is not None
        assert (current.seq, current.at) == (seq, live_at(found[:upto], at(9)).since) == (seq, at(since))


def test_a_retired_model_has_no_version_in_use() -> None:
    found = log(("promote", "1", 1), ("promote", "2", 2), ("retire", "2", 3))
    assert in_use(found) is None
    assert live_at(found, at(3)) == LiveInterval(None, at(3), None)


def test_what_was_live_is_told_by_half_open_intervals() -> None:
    found = log(("promote", "1", 1), ("promote", "2", 2), ("rollback", "1", 3))
    assert live_at(found, at(0)) == LiveInterval(None, None, at(1))
    assert live_at(found, at(1)) == LiveInterval("1", at(1), at(2))
    assert live_at(found, at(2) - timedelta(microseconds=1)) == LiveInterval("1", at(1), at(2))
    assert live_at(found, at(2)) == LiveInterval("2", at(2), at(3))
    assert live_at(found, at(900)) == LiveInterval("1", at(3), None)
    assert live_at([], at(1)) == LiveInterval(None, None, None)


def test_a_naive_time_is_utc() -> None:
    found = log(("promote", "1", 1), ("promote", "2", 2))
    assert live_at(found, at(2).replace(tzinfo=UTC)).version == "2"
    assert live_at(found, at(3).replace(tzinfo=timezone(timedelta(hours=2)))).version == "1"


def test_a_clock_that_went_back_changes_no_order() -> None:
    found = log(("promote", "1", 5), ("promote", "2", 3), ("promote", "3", 6))
    assert live_at(found, at(4)) == LiveInterval(None, None, at(5))
    assert live_at(found, at(5)) == LiveInterval("2", at(5), at(6))
    assert in_use(found) == found[-1]


def test_what_is_only_staged_is_not_in_use() -> None:
    staged = Release(1, "sales", "1", "promote", "staging", "me", "because", at(1))
    assert in_use([staged]) is None


@given(st.lists(st.integers(0, 4), max_size=30))
def test_the_log_is_a_stack(steps: list[int]) -> None:
    releases: list[Release] = []
    wanted: list[str] = []
    for hour, step in enumerate(steps):
        if step:
            releases = log(*[(r.action, r.version, i) for i, r in enumerate(releases)], ("promote", str(step), hour))
            wanted.append(str(step))
        elif len(wanted) > 1:
            wanted.pop()
            back = given_back(releases).version
            releases = log(*[(r.action, r.version, i) for i, r in enumerate(releases)], ("rollback", back, hour))
        current = in_use(releases)
        assert (current.version if current else None) == (wanted[-1] if wanted else None)
        assert live_at(releases, at(hour)).version == (wanted[-1] if wanted else None)
