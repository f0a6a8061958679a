"""The parts of a change and how sure they are, on rows worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

import numpy as np
import pandas as pd
import pytest

from quality_assets.domain.features.causes import (
    DEFAULT_CAUSES,
    EventRows,
    Part,
    _jackknife_sd,
    _statistic,
    _verdict,
    take_apart,
    take_volume_apart,
)

Group = tuple[bool, str, float, int, str]


def rows_of(groups: Sequence[Group], users: int = 60, quantile: float | None = None) -> EventRows:
    """Of each of some users: (is_now, whose name begins so, value, rows, the flag that is set)."""
    frame = pd.DataFrame(
        [
            {"is_now": is_now, "user_id": f"{prefix}{number}", "value": value, "flag": flag}
            for is_now, prefix, value, count, flag in groups
            for number in range(users)
            for _ in range(count)
        ]
    ).assign(country="DE", platform="web", event_name="use", app_version="1", is_new_version=False)
    flags = {name: frame["flag"] == name for name in ("is_repeated", "is_late", "is_quarantined")}
    return EventRows.of(frame.assign(**flags), quantile)


def sizes(rows: EventRows) -> dict[str, float]:
    return {part.name: part.size for part in take_apart(rows, 1).parts}


@pytest.mark.parametrize(("flag", "switch"), [("is_repeated", "repeated_rows"), ("is_late", "late_rows")])
def test_rows_that_should_not_count_have_their_part(flag: str, switch: str) -> None:
    rows = rows_of([(False, "a", 100.0, 1, ""), (True, "a", 100.0, 1, ""), (True, "a", 400.0, 1, flag)])
    found = take_apart(rows, 1)
    assert (found.before, found.now, found.verdict, found.rows) == (100.0, 250.0, "measurement", 180)
    assert sizes(rows) == {"users": pytest.approx(0), switch: pytest.approx(150), "real": pytest.approx(0)}


def test_rows_in_quarantine_do_not_count_until_they_are_put_right() -> None:
    rows = rows_of([(False, "a", 100.0, 1, ""), (True, "a", 200.0, 1, ""), (True, "a", 0.0, 1, "is_quarantined")])
    found = take_apart(rows, 1)
    assert (found.before, found.now, found.rows) == (100.0, 200.0, 120)
    assert sizes(rows) == {"users": pytest.approx(0), "quarantined_rows": pytest.approx(100), "real": pytest.approx(0)}
    # One in five hundred rows can matter, fewer cannot.
    few = rows_of([(False, "a", 100.0, 9, ""), (True, "a", 200.0, 9, "")])
    flagged = np.zeros(1080, bool)
    flagged[1078:] = True
    assert "late_rows" not in sizes(replace(few, flags={**few.flags, "late_rows": flagged}))
    flagged[1077] = True
    assert "late_rows" in sizes(replace(few, flags={**few.flags, "late_rows": flagged}))


def test_a_user_with_very_many_rows_has_one_vote() -> None:
    # The first of sixty users, who all had three rows of 100, has 180 more of 300.
    plain = rows_of([(False, "a", 100.0, 3, ""), (True, "a", 100.0, 3, "")])
    more = rows_of([(True, "a", 300.0, 180, "")], users=1)
    one = np.zeros(180, np.int64)
    rows = EventRows(
        np.append(plain.is_now, more.is_now), np.append(plain.value, more.value), np.append(plain.user, one),
        {name: np.append(codes, one) for name, codes in plain.mix.items()},
        {name: np.append(flags, one > 0) for name, flags in plain.flags.items()},
        np.append(plain.is_new_version, one > 0), None, np.append(plain.groups, one),
    )  # fmt: skip
    found = take_apart(rows, 1)
    assert (found.before, found.now) == (100.0, 200.0)
    # With one vote a user: (59 × 100 + (3 × 100 + 180 × 300) / 183) / 60. To hold users as they were comes to the same.
    real = (5900 + 54_300 / 183) / 60 - 100
    assert sizes(rows) == {
        "users": pytest.approx((100 - real) / 2), "rows_per_user": pytest.approx((100 - real) / 2),
        "real": pytest.approx(real),
    }  # fmt: skip


def test_users_that_are_there_on_one_side_only_are_no_part_of_what_is_real() -> None:
    rows = rows_of([(False, "a", 100.0, 1, ""), (False, "old", 60.0, 1, ""), (True, "a", 130.0, 1, ""),
                    (True, "new", 250.0, 1, "")])  # fmt: skip
    found = take_apart(rows, 1)
    assert (found.before, found.now) == (80.0, 190.0)
    assert sizes(rows) == {"users": pytest.approx(80), "real": pytest.approx(30)}
    assert found.verdict == "measurement"
    # Twenty users are enough to tell by, nineteen are not.
    fewer = [(False, "a", 100.0, 3, ""), (True, "a", 130.0, 3, "")]
    assert list(sizes(rows_of(fewer, users=20))) == ["users", "real"]
    assert list(sizes(rows_of(fewer, users=19))) == ["real"]


def test_forty_rows_on_each_side_are_enough() -> None:
    assert take_apart(rows_of([(False, "a", 1.0, 1, ""), (True, "a", 2.0, 1, "")], users=40), 1).verdict == "real"
    assert take_apart(rows_of([(False, "a", 1.0, 1, ""), (True, "a", 2.0, 1, "")], users=39), 1).verdict == "unknown"


def test_quantiles_are_of_weighed_rows() -> None:
    rows = rows_of([(False, "a", 0.0, 1, "")], users=4, quantile=0.5)
    rows = replace(rows, value=np.array([4.0, 1.0, 3.0, 2.0]))
    every = np.ones(4, bool)
    assert _statistic(rows, np.ones(4), every) == 2.0
    assert _statistic(replace(rows, quantile=0.95), np.ones(4), every) == 4.0
    assert _statistic(rows, np.array([3.0, 1.0, 1.0, 0.0]), every) == 4.0
    assert _statistic(rows, np.ones(4), np.array([True, False, True, False])) == 3.0
    assert np.isnan(_statistic(rows, np.zeros(4), every))
    mean = replace(rows, quantile=None)
    assert _statistic(mean, np.array([3.0, 1.0, 0.0, 1.0]), every) == pytest.approx((12 + 1 + 2) / 5)


def test_rows_of_nobody_are_each_of_a_group_of_their_own() -> None:
    frame = pd.DataFrame({"is_now": False, "value": 1.0, "user_id": [None, "b", None, "a", "b"]}).assign(
        country=["DE", None, "DE", "FR", None], platform="web", event_name="use", app_version="1",
        is_repeated=False, is_late=False, is_quarantined=False, is_new_version=False,
    )  # fmt: skip
    rows = EventRows.of(frame)
    assert rows.user.tolist() == [-1, 0, -1, 1, 0]
    assert rows.groups.tolist() == [0, 0, 2, 1, 0]
    assert rows.mix["country"].tolist() == [0, 1, 0, 2, 1]


def test_the_deviation_by_leaving_groups_out() -> None:
    # Around 2 and 5: two thirds of 1 + 0 + 1, and of 9 + 0 + 9.
    assert _jackknife_sd(np.array([[1.0, 2.0], [2.0, 5.0], [3.0, 8.0]])) == pytest.approx([sqrt(4 / 3), sqrt(12)])


@pytest.mark.parametrize(
    ("real", "spread", "change_sd", "wanted"),
    [(75, 1, 0, "real"), (74, 1, 0, "partly"), (50, 1, 0, "partly"), (49, 1, 0, "measurement"),
     (60, 1, 99, "partly"), (60, 1, 100, "unknown"), (60, 60, 0, "unknown"), (60, 40, 0, "partly"),
     (60, 59, 0, "partly"), (80, 90, 0, "real")],
)  # fmt: skip
@pytest.mark.parametrize("worse", [1, -1])
def test_what_remains_decides(real: float, spread: float, change_sd: float, wanted: str, worse: int) -> None:
    parts = [Part(name, worse * size, worse * size - spread, worse * size + spread)
             for name, size in (("users", 100.0 - real), ("real", real))]  # fmt: skip
    assert _verdict(parts, worse, change_sd, DEFAULT_CAUSES) == wanted


def days(before: Sequence[int], now: Sequence[int], **columns: Sequence[int]) -> pd.DataFrame:
    """Days of one weekday, and one before of another that is not looked at."""
    sides = [*[False] * len(before), *[True] * len(now), False]
    frame = pd.DataFrame({"is_now": sides, "weekday": 1, "events": [*before, *now, 9999], "repeated": 0, "late": 0,
                          "quarantined": 0})  # fmt: skip
    for name, values in columns.items():
        frame[name] = [*values, 9999]
    frame.loc[len(sides) - 1, "weekday"] = 2
    return frame


def test_how_sure_a_fall_of_volume_is() -> None:
    # Counts that scatter less than Poisson counts count as those: 110 / 3 + 50 / 2.
    found = take_volume_apart(days([100, 120, 110], [50, 50]), 0.0)
    (real,) = found.parts
    assert (found.before, found.now, found.rows, real.size, found.verdict) == (110.0, 50.0, 430, -60.0, "real")
    assert (real.low, real.high) == (
        pytest.approx(-60 - 1.833 * sqrt(110 / 3 + 25)),
        pytest.approx(-60 + 1.833 * sqrt(110 / 3 + 25)),
    )
    # Of 10 and 210 the variance is 10,000.
    (real,) = take_volume_apart(days([10, 210], [50, 50]), 0.0).parts
    assert real.high - real.low == pytest.approx(2 * 1.833 * sqrt(10_000 / 2 + 50 / 2))


def test_parts_of_a_fall_of_volume() -> None:
    found = take_volume_apart(days([100, 100], [60, 60], late=[0, 0, 10, 10], repeated=[8, 0, 0, 0]), 20.0)
    assert {part.name: part.size for part in found.parts} == {
        "repeated_rows": -4.0, "late_rows": 10.0, "renamed": -20.0, "real": -26.0,
    }  # fmt: skip
    late = next(part for part in found.parts if part.name == "late_rows")
    assert late.high - late.size == pytest.approx(1.833 * sqrt(0 / 2 + 10 / 2))
    repeated = next(part for part in found.parts if part.name == "repeated_rows")
    assert repeated.high - repeated.size == pytest.approx(1.833 * sqrt(16 / 2))
    # No more can have gone on under another name than is missing, and of a rise nothing has.
    assert [part.size for part in take_volume_apart(days([100], [60]), 500.0).parts] == [-40.0, 0.0]
    assert [part.name for part in take_volume_apart(days([60], [100]), 500.0).parts] == ["real"]
    assert take_volume_apart(days([60], [100]), 0.0).verdict == "unknown"
