"""A day so far at its limits, and curves of what is usual against a plain loop over days."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random

import numpy as np
import pandas as pd
import pytest

from quality_assets.domain.live.arrivals import SoFar, comes_live, deviation, judged, unexplained_silence
from quality_assets.domain.live.curves import arrival_curves

Z = (-1.0, 2.0, -3.0)
Count = tuple[str, date, int, int]


def test_events_come_live_where_more_than_half_do() -> None:
    assert [comes_live(share) for share in (0.0, 0.5, 0.501, 1.0)] == [False, False, True, True]


def test_six_events_that_were_usual_are_silence() -> None:
    assert [unexplained_silence(usual) for usual in (0.0, 5.999, 6.0, 7.0)] == [False, False, True, True]


def test_how_far_a_usual_day_lies_off() -> None:
    assert [deviation(expected) for expected in (0.0, 100.0)] == [0.0, 15.0]
    assert deviation(400.0) == pytest.approx(math.sqrt(500 + 1600))


def test_a_day_so_far_in_all_its_numbers() -> None:
    # About 100 lies 15; of the 200 that are left √(1.25 · 200 + 20²) = √650.
    still = math.sqrt(650)
    assert judged(50, 100.0, 300.0, Z) == SoFar(
        50, 100.0, 85.0, 130.0, 200.0, pytest.approx(200 - still), pytest.approx(200 + 2 * still), "low"
    )


@pytest.mark.parametrize(
    ("events", "state"), [(0, "low"), (54, "low"), (55, "usual"), (145, "usual"), (146, "high"), (999, "high")]
)
def test_a_day_is_low_or_high_beyond_the_alarm_alone(events: int, state: str) -> None:
    assert judged(events, 100.0, 100.0, Z).state == state


def test_a_band_ends_at_nothing_and_a_total_at_what_came() -> None:
    assert judged(0, 1.0, 1.0, (-9.0, 1.0, -1.0)).lower == 0.0
    # Four are left, of which three quarters come as half of what was expected did.
    found = judged(50, 100.0, 104.0, (-2.0, 2.0, -9.0))
    assert (found.total, found.total_lower) == (53.0, 50.0)
    assert found.total_upper == pytest.approx(53 + 2 * math.sqrt(5.16))
    # Where more is expected by now than in all, nothing is left.
    over = judged(70, 100.0, 90.0, Z)
    assert (over.total, over.total_lower, over.total_upper) == (70.0, 70.0, 70.0)


def test_without_a_past_nothing_is_said() -> None:
    unknown = SoFar(5, None, None, None, None, None, None, "unknown")
    assert judged(5, None, 300.0, Z) == unknown
    assert judged(5, 100.0, None, Z) == unknown
    assert judged(5, 100.0, 300.0, None) == unknown


# --- Curves -----------------------------------------------------------------------------------------------------------

# A Monday.
START = date(2026, 1, 5)
COLUMNS = [
    "feature", "weekday", "minute", "expected_so_far", "expected_total", "days", "lower_z", "upper_z", "alarm_z",
]  # fmt: skip
NORMAL = {"lower_z": -1.645, "upper_z": 1.645, "alarm_z": -2.807}


def _curves(counts: list[Count]) -> pd.DataFrame:
    return arrival_curves(pd.DataFrame(counts, columns=["feature", "event_date", "tile", "events"]))


def _at(curves: pd.DataFrame, feature: str, weekday: int) -> dict[int, dict[str, float]]:
    own = curves[(curves["feature"] == feature) & (curves["weekday"] == weekday)]
    return {row["minute"]: row for row in own.to_dict("records")}


def test_of_nothing_there_are_no_curves() -> None:
    found = _curves([])
    assert (list(found.columns), len(found)) == (COLUMNS, 0)


def test_a_curve_row_by_row() -> None:
    # Two Mondays of A with something in three tiles of the day; B comes a day later, and has one day of each weekday.
    week = timedelta(days=7)
    found = _curves(
        [
            ("A", START, 0, 4), ("A", START, 0, 2), ("A", START, 287, 10),
            ("A", START + week, 1, 20),
            ("B", START + timedelta(days=1), 10, 7),
        ]
    )  # fmt: skip
    assert list(found.columns) == COLUMNS
    monday = _at(found, "A", 0)
    assert list(monday) == list(range(0, 1441, 5))
    shared = {"feature": "A", "weekday": 0, "expected_total": 18.0, "days": 2} | NORMAL
    wanted = {0: 0.0, 5: 3.0, 10: 13.0, 15: 13.0, 1435: 13.0, 1440: 18.0}
    assert {minute: monday[minute] for minute in wanted} == {
        minute: shared | {"minute": minute, "expected_so_far": so_far} for minute, so_far in wanted.items()
    }
    # Silent days are days: A was there on a Tuesday, and B on the second Monday, but not before its first event.
    assert (_at(found, "A", 1)[1440]["expected_total"], _at(found, "A", 1)[1440]["days"]) == (0.0, 1)
    assert (_at(found, "B", 1)[1440]["expected_total"], _at(found, "B", 1)[55]["expected_so_far"]) == (7.0, 7.0)
    assert _at(found, "B", 1)[50]["expected_so_far"] == 0.0
    assert _at(found, "B", 0)[0]["days"] == 1
    assert len(found) == 289 * 14


def test_expected_is_of_the_last_four_of_a_weekday_whatever_came_before() -> None:
    found = _curves([("A", START + timedelta(weeks=n), 3, events) for n, events in enumerate((900, 900, 1, 2, 3, 6))])
    row = _at(found, "A", 0)[1440]
    assert (row["expected_total"], row["days"]) == (3.0, 4)


def _days(feature: str, first: int, last: int, random: Random) -> Iterator[Count]:
    for day in range(first, last + 1):
        yield (feature, START + timedelta(days=day), 100, random.randrange(40, 200))


def _plain_quantiles(counts: list[Count], last: int) -> tuple[int, dict[str, float]]:
    """How many days of the last four weeks have an expectation, and where they lay about it, by a loop."""
    events = {(feature, (day - START).days): n for feature, day, _, n in counts}
    z = []
    for (feature, day), n in events.items():
        before = [events.get((feature, day - 7 * week)) for week in range(1, 5)]
        known = [each for each in before if each is not None]
        if day > last - 28 and len(known) == 4:
            expected = sum(known) / 4
            z.append((n - expected) / math.sqrt(1.25 * expected + 0.01 * expected**2))
    shares = {"lower_z": 0.05, "upper_z": 0.95, "alarm_z": 0.0025}
    return len(z), {name: float(np.quantile(z, share)) for name, share in shares.items()}


@pytest.mark.parametrize(("short", "days"), [(32, 200), (31, 199)])
def test_bands_are_quantiles_from_two_hundred_days_on(short: int, days: int) -> None:
    random = Random(7)
    # Of seven features of nine weeks the last 28 days count; one more has four days with an expectation, or three.
    last = 62
    counts = [row for n in range(7) for row in _days(f"f{n}", 0, last, random)]
    counts += _days("short", last + 1 - short, last, random)
    number, wanted = _plain_quantiles(counts, last)
    assert number == days
    found = _at(_curves(counts), "f0", 0)
    for minute in (505, 1440):
        for name, value in (wanted if days == 200 else NORMAL).items():
            assert found[minute][name] == pytest.approx(value)
    # Before the first event of all days nothing is expected, and nothing can be said of its scatter.
    assert {name: found[500][name] for name in NORMAL} == NORMAL


def test_where_nothing_was_ever_expected_what_comes_is_not_endlessly_far_off() -> None:
    random = Random(8)
    counts = [row for n in range(8) for row in _days(f"f{n}", 0, 55, random)]
    counts.append(("f0", START + timedelta(days=55), 10, 5))
    found = _at(_curves(counts), "f0", 0)
    assert {name: found[55][name] for name in NORMAL} == NORMAL
