"""How an incident ended, by value: levels that were adopted, silence for good, and what is still off after its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from quality_assets.domain.features.endings import END_COLUMNS, _Level, _off_after, adopted_day, ending
from quality_assets.domain.features.incident_findings import Finding
from quality_assets.domain.series.detection import Detections, Episode
from quality_assets.domain.series.panel import Panel

DAYS = 40
NAN = float("nan")


def day(number: int) -> date:
    return date(2026, 1, 1) + timedelta(days=number)


def finding(value: Any, expected: Any = 10.0, **more: Any) -> Finding:
    """The second of two series: an episode found on day 10, active until the day of its end or of its adoption.

    more: active, adopted (lists of days), start, end, last, worse, family, noise, kind.
    """
    value = np.asarray(value, dtype=float)
    days = len(value)
    rows = np.vstack([np.full(days, 77.0), value])
    usual = np.vstack([np.full(days, 55.0), np.broadcast_to(np.asarray(expected, dtype=float), (days,))])
    noise = np.vstack([np.full(days, 33.0), np.broadcast_to(np.asarray(more.get("noise", 0.0), dtype=float), (days,))])
    active, adopted = (
        np.vstack([np.ones(days, bool), np.isin(np.arange(days), more.get(name, []))]) for name in ("active", "adopted")
    )
    nothing, blank = np.zeros((2, days), bool), np.zeros((2, days))
    panel = Panel(
        "latency_p95_ms", more.get("family", "positive"), more.get("worse", 1), ("cart", "pay"),
        tuple(day(d) for d in range(days)), rows, rows, blank,
    )  # fmt: skip
    found = Detections(
        panel, usual, blank, blank, blank, noise, blank, active, nothing, nothing, adopted, blank.astype(np.int64)
    )
    start, end = more.get("start", 10), more.get("end")
    episode = Episode(
        1, "latency_p95_ms", more.get("detected", 10), start, end, more.get("last", end if end is not None else 20),
        more.get("kind", "step"), 5.0,
    )  # fmt: skip
    return Finding("pay", None, episode, found, 0)


# --- The day on which it became normal --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("active", "adopted", "wanted"),
    [
        (range(10, 31), [30], 30),
        # The day after the last of it counts, the next does not, and none before it was found.
        (range(10, 30), [30], 30),
        (range(10, 30), [31], None),
        (range(5, 30), [9], None),
        (range(10, 30), [10], 10),
        (range(10, 31), [20, 25], 20),
        (range(10, 31), [], None),
        # Still going on: until the last day of the data.
        (range(10, 40), [39], 39),
        # Another episode of the same series was adopted later.
        ([*range(10, 15), *range(20, 36)], [35], None),
        ([], [10], 10),
        ([], [11], None),
    ],
)
def test_a_change_is_adopted_on_a_day_of_its_own_episode(
    active: Sequence[int], adopted: list[int], wanted: int | None
) -> None:
    assert adopted_day(finding(np.full(DAYS, 10.0), active=active, adopted=adopted)) == wanted


# --- The level that it has now ----------------------------------------------------------------------------------------

EXPECTED = np.full(DAYS, 10.0)
EXPECTED[:17], EXPECTED[17] = 500.0, 24.0


def level(after: Sequence[float], **more: Any) -> _Level:
    """Adopted on day 30: in the last fortnight 11 were normal, in its last week of known days it was 14 off."""
    value = EXPECTED + 50.0
    value[23:31] = EXPECTED[23:31] + np.array([26, 26, 12, 12, NAN, 12, 12, 12])
    value[22] = EXPECTED[22] - 300
    value[24] = EXPECTED[24] + 12
    value[31:] = after
    return _Level(finding(value, EXPECTED, active=range(10, 31), adopted=[30], **more))


def test_normal_is_the_fortnight_before_and_size_the_last_known_week() -> None:
    found = level([0.0] * 9)
    assert found.normal == pytest.approx((24 + 13 * 10) / 14)
    # Days 23 to 30 without the unknown one: 26 and six of 12.
    assert found.size == pytest.approx((26 + 6 * 12) / 7)
    assert (found.first, found.worse) == (30, 1)


@pytest.mark.parametrize(
    ("after", "off", "is_still_off"),
    [
        # More than half of 14 above 11; of the last seven days only.
        ([500, 500, *[18.5] * 7], 7.5, True),
        ([500, 500, *[18.0] * 7], 7.0, False),
        ([0, 0, *[19.0] * 7], 8.0, True),
        ([0, 18, 18, NAN, 18, 18, 18, 18, 18.7], 7.1, True),
    ],
)
def test_a_level_is_still_off_beyond_half_of_its_size(after: list[float], off: float, is_still_off: bool) -> None:
    found = level(after)
    assert found.off == pytest.approx(off)
    assert found.is_still_off is is_still_off


def test_less_is_off_where_less_hurts() -> None:
    value = np.full(DAYS, 10.0)
    value[10:] = 4.0
    found = _Level(finding(value, active=range(10, 31), adopted=[30], worse=-1))
    assert (found.normal, found.size, found.off, found.is_still_off) == (10.0, 6.0, -6.0, True)
    # What moved to the better side was never off.
    better = _Level(finding(value, active=range(10, 31), adopted=[30]))
    assert (better.size, better.is_still_off) == (-6.0, False)
    unknown = _Level(finding(np.where(np.arange(DAYS) < 30, value, NAN), active=range(10, 31), adopted=[30]))
    assert np.isnan(unknown.off)


@pytest.mark.parametrize(
    ("after", "last"),
    [
        ([25, 19, *[18.0] * 7], 32),
        ([25, 18, 18, 19, *[10.0] * 5], 34),
        ([10] * 8 + [19], 39),
        ([10] * 9, 30),
    ],
)
def test_the_last_day_that_was_so_far_off(after: list[float], last: int) -> None:
    assert level(after).last_off == day(last)


def test_where_no_day_was_so_far_off_it_is_the_day_of_adoption() -> None:
    value = np.full(DAYS, 10.0)
    value[10:30] = 22.0
    assert _Level(finding(value, active=range(10, 31), adopted=[30])).last_off == day(30)


def test_without_an_adoption_the_level_is_held_against_its_last_day() -> None:
    value = np.full(DAYS, 10.0)
    value[10:21] = 22.0
    value[21:] = 30.0
    found = _Level(finding(value, active=range(10, 21), last=20))
    assert (found.first, found.size, found.off) == (20, 12.0, 20.0)


@pytest.mark.parametrize(
    ("family", "recent", "is_silent"),
    [
        ("positive", [5, *[NAN] * 7], True),
        ("positive", [NAN, 5, *[NAN] * 6], False),
        ("positive", [5, *[0.0] * 7], False),
        ("count", [5, *[0.0] * 7], True),
        ("count", [0, 5, *[0.0] * 6], False),
        ("count", [5, *[NAN] * 7], True),
        ("count", [0.0] * 7 + [1], False),
    ],
)
def test_silent_is_what_has_no_value_or_no_event_in_a_week(family: str, recent: list[float], is_silent: bool) -> None:
    value = np.append(np.full(32, 10.0), recent)
    assert _Level(finding(value, active=range(10, 31), adopted=[30], family=family)).is_silent is is_silent


def test_of_a_past_shorter_than_a_week_all_days_count() -> None:
    value = [5.0, NAN, NAN]
    assert not _Level(finding(value, active=[0, 1, 2], adopted=[2], detected=0, start=0, last=2)).is_silent


def test_what_is_kept_of_a_part_ends_with_its_episode_and_is_no_silence() -> None:
    # Of a platform days up to the adoption are stored: the last week says what was adopted, and 9 and 12 are 10.5.
    value = np.where(np.arange(DAYS) <= 30, 10.0, NAN)
    value[10:31] = 22.0
    value[24:31] = [19.0, 22.0, 19.0, 22.0, 20.5, 19.0, 22.0]
    usual = np.where(np.arange(DAYS) <= 30, 10.0, NAN)
    found = _Level(finding(value, usual, active=range(10, 31), adopted=[30], family="rate"))
    assert (found.is_silent, found.off, found.is_still_off) == (False, 10.5, True)
    # An event that made no row any more, and was none on the days that are kept, is silent.
    gone = np.where(np.arange(DAYS) < 10, 5.0, 0.0)
    assert _Level(finding(gone, usual, active=range(10, 31), adopted=[30], worse=-1, family="count")).is_silent


# --- Still off after its end ------------------------------------------------------------------------------------------


def off_after(after: Sequence[float], inside: Sequence[float] = (4, 10, 10, 10, 16), **more: Any) -> float | None:
    """An episode of days 10 to 14 that was 10 off in the mean, and how far off the days from 15 on are."""
    value = np.full(DAYS, 10.0)
    value[9], value[10:15], value[29:] = 1010.0, 10.0 + np.asarray(inside), 510.0
    value[15:29] = NAN
    value[15 : 15 + len(after)] = 10.0 + np.asarray(after)
    return _off_after(finding(value, **{"end": 14, **more}))


def test_more_than_half_of_its_size_in_the_fortnight_after_is_not_over() -> None:
    assert off_after([19.0, *[5.0] * 13]) == pytest.approx(6.0)
    assert off_after([5.0] * 14) is None
    assert off_after([*[5.5] * 13, 19.5]) == pytest.approx(6.5)
    assert off_after([-6.0] * 14, [-4, -10, -10, -10, -16], worse=-1) == pytest.approx(-6.0)
    # What was better inside is not worse after it.
    assert off_after([9.0] * 14, [-4.0] * 5) is None


def test_what_chance_may_be_is_not_off() -> None:
    # 1.64 × 10 ÷ √14 = 4.38, and half of 4 is 2.
    assert off_after([4.3] * 14, [4.0] * 5, noise=10.0) is None
    assert off_after([4.5] * 14, [4.0] * 5, noise=10.0) == pytest.approx(4.5)
    # Of four known days 1.64 × 10 ÷ √4 = 8.2; three say nothing.
    assert off_after([8.1] * 4, noise=10.0) is None
    assert off_after([8.3] * 4, noise=10.0) == pytest.approx(8.3)
    assert off_after([30.0] * 3, noise=10.0) is None
    noise = np.full(DAYS, 10.0)
    noise[15:18] = NAN
    assert off_after([900.0, 900.0, 900.0, *[8.3] * 4], noise=noise) == pytest.approx(8.3)
    assert off_after([900.0, 900.0, 900.0, *[8.3] * 3], noise=noise) is None


def test_an_objective_and_what_goes_on_have_no_days_after_them() -> None:
    assert off_after([9.0] * 14, kind="objective") is None
    assert off_after([9.0] * 14, end=None, last=14) is None


# --- The end of an incident -------------------------------------------------------------------------------------------


def recovered(last: int = 14) -> Finding:
    """Back to normal after its last day."""
    value = np.full(DAYS, 10.0)
    value[10 : last + 1] = 20.0
    return finding(value, active=range(10, last + 3), end=last)


def adopted(after: float, last: int = 20, **more: Any) -> Finding:
    """Taken for normal on day 30, when it was 12 off, and `after` from then on."""
    value = np.full(DAYS, 10.0)
    value[10:31], value[31:] = 22.0, after
    return finding(value, active=range(10, 31), adopted=[30], end=30, last=last, **more)


def told(*cluster: Finding, is_open: bool = False) -> tuple[Any, ...]:
    found = ending(cluster, is_open)
    assert set(found) == {*END_COLUMNS, "end_date"}
    return tuple(found[name] for name in ("end_kind", "adopted_on", "still_off", "end_date"))


def test_an_incident_ends_as_its_findings_do() -> None:
    assert told(recovered(), is_open=True) == ("open", None, None, None)
    assert told(adopted(22.0), is_open=True) == ("open", None, None, None)
    assert told(recovered(), recovered(17), recovered(12)) == ("recovered", None, None, day(17))
    assert told(recovered(25), adopted(21.0)) == ("adopted", day(30), 11.0, day(25))
    # The first that has not come back is told, whatever the next one is.
    assert told(adopted(21.0), adopted(19.0)) == ("adopted", day(30), 11.0, day(20))
    assert told(adopted(10.0), adopted(19.0)) == ("adopted", day(30), 9.0, day(30))
    assert told(adopted(NAN), adopted(19.0)) == ("silent", day(30), None, day(20))


def test_a_level_that_was_adopted_and_came_back_ends_when_it_came_back() -> None:
    value = np.full(DAYS, 10.0)
    value[10:34] = 22.0
    back = finding(value, active=range(10, 31), adopted=[30], end=30, last=20)
    assert told(back) == ("recovered", None, None, day(33))
    assert told(back, recovered(36)) == ("recovered", None, None, day(36))


def test_some_calm_days_do_not_end_what_is_still_off() -> None:
    value = np.full(DAYS, 10.0)
    value[10:] = 22.0
    noisy = finding(value, active=range(10, 18), end=14)
    assert told(noisy) == ("adopted", day(15), 12.0, day(14))
    assert told(recovered(17), noisy) == ("adopted", day(15), 12.0, day(17))
    # What was adopted is told by its level, not by the days after it.
    given_up = replace(noisy, detections=adopted(10.0).detections)
    assert told(given_up, recovered(35)) == ("recovered", None, None, day(35))


def test_what_was_adopted_on_the_first_day_of_the_data_was_adopted_then() -> None:
    value = np.full(DAYS, 22.0)
    first = finding(value, active=[0], adopted=[0], detected=0, start=0, last=1)
    assert told(first) == ("adopted", day(0), 12.0, day(1))


def test_what_was_not_off_when_it_was_adopted_is_not_still_off() -> None:
    value = np.full(DAYS, 10.0)
    value[31:] = 15.0
    found = _Level(finding(value, active=range(10, 31), adopted=[30]))
    assert (found.size, found.off, found.is_still_off) == (0.0, 5.0, False)
