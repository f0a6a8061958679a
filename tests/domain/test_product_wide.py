"""Most features alike at once are one incident of the product: what it says, on rows worked out by hand."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest

from quality_assets.domain.features.incident_findings import incident_id
from quality_assets.domain.features.product_wide import _users_missing, told_once
from quality_assets.domain.features.settings import IncidentSettings

EVENTS = {"A": 100, "B": 50, "C": 30, "D": 20, "E": 10}
SETTINGS = IncidentSettings()


def on(day: int) -> date:
    return date(2026, 3, 1) + timedelta(days=day)


def facts(features: str = "ABCDE", worst: int = 14) -> pd.DataFrame:
    """Forty days on which the product has 200 users, but 120 on the worst of them."""
    return pd.DataFrame(
        [
            {"event_date": pd.Timestamp(on(day)), "feature": name, "events": EVENTS[name] + day % 3 - 1,
             "all_users": 120 if day == worst else 200}
            for day in range(-10, 30)
            for name in features
        ]
    )  # fmt: skip


def row(feature: str, **more: Any) -> dict[str, Any]:
    found = {
        "incident_id": f"inc-{feature}", "feature": feature, "scope": "product", "metric": "events",
        "metrics": ["events"], "kind": "change", "event_name": None, "platform": None, "start_date": on(10),
        "detected_on": on(11), "end_date": on(20), "end_kind": "recovered", "worst_date": on(14), "score": 1.0,
        "events": 1, "excess": None, "baseline_value": 100.0, "current_value": 60.0, "current_size": -40.0,
        "peak_value": 50.0, "size": -50.0, "real_change": None,
    }  # fmt: skip
    return found | more


A = row("A", end_date=None, end_kind="open", score=3.0, events=10, excess=-50.0, real_change=-0.5)
B = row(
    "B", start_date=on(9), detected_on=on(12), end_date=on(13), score=5.0, events=5, metrics=["users"], kind="silence",
    baseline_value=50.0, current_value=40.0, current_size=-10.0, peak_value=30.0, size=-20.0,
)  # fmt: skip
C = row(
    "C", start_date=on(12), events=2, excess=-10.0, real_change=-0.2, baseline_value=30.0, current_value=15.0,
    current_size=-15.0, peak_value=20.0, size=-10.0,
)  # fmt: skip


def test_half_of_the_features_within_a_day_are_one_event_that_adds_up() -> None:
    other = row("E", scope="feature")
    kept, whole, outlasting = told_once([C, B, other, A], facts(), SETTINGS)
    assert kept == other
    assert outlasting == A | {"scope": "feature"}, "one that is still open is a fault of its own"
    wanted = {
        "incident_id": incident_id("\x1fproduct", None, "volume", on(11)), "feature": "A", "scope": "product",
        "features": ["A", "B", "C"], "metric": "events", "metrics": ["events", "users"], "kind": "change",
        # The middle one of three beginnings, and the later of two ends.
        "start_date": on(10), "detected_on": on(11), "end_date": on(20), "end_kind": "recovered",
        "score": 5.0, "events": 17, "excess": -60.0, "affected_users": 80,
        "baseline_value": 180.0, "current_value": 115.0, "current_size": -65.0, "peak_value": 100.0, "size": -80.0,
        "change": pytest.approx(-80 / 180), "real_change": pytest.approx((-50 - 6) / 130),
    }  # fmt: skip
    assert {name: whole[name] for name in wanted} == wanted


@pytest.mark.parametrize(("end", "kept"), [(23, []), (24, ["D"])])
def test_what_goes_on_for_more_than_three_days_longer_is_kept(end: int, kept: list[str]) -> None:
    closed = A | {"end_date": on(20), "end_kind": "recovered"}
    _, *outlasting = told_once([closed, B, C, row("D", end_date=on(end))], facts(), SETTINGS)
    assert [each["feature"] for each in outlasting] == kept


def test_where_half_are_open_the_whole_is() -> None:
    (whole,) = told_once([A, B | {"end_date": None, "end_kind": "open"}, C], facts(), SETTINGS)
    assert (whole["end_date"], whole["end_kind"]) == (None, "open")
    (whole,) = told_once([A, C, row("D", end_date=None, end_kind="open"), row("E")], facts(), SETTINGS)
    assert whole["end_date"] is None


def test_rates_are_weighed_by_what_happens_in_each_feature() -> None:
    rates = {"metric": "crash_rate", "metrics": ["crash_rate"], "size": 0.03, "peak_value": 0.05, "current_size": None}
    rows = [row(name, baseline_value=value, **rates) for name, value in (("A", 0.01), ("B", 0.04), ("C", None))]
    (whole,) = told_once(rows, facts(), SETTINGS)
    # 100 events of .01 and 50 of .04; of the third nothing is known.
    assert whole["baseline_value"] == pytest.approx(0.02)
    assert whole["change"] == pytest.approx(0.03 / 0.02)
    assert (whole["current_size"], whole["real_change"], whole["excess"], whole["affected_users"]) == (None,) * 4
    assert whole["incident_id"] == incident_id("\x1fproduct", None, "crash", on(11))


def test_fewer_than_half_or_too_few_features_or_another_day_or_direction_stay_as_they_are() -> None:
    assert told_once([A, B], facts(), SETTINGS) == [A, B]
    assert told_once([A, B, C], facts("ABCD"), SETTINGS) == [A, B, C]
    assert told_once([A, B, C], facts().iloc[:0], SETTINGS) == [A, B, C]
    late = C | {"detected_on": on(13)}
    assert told_once([A, late, B], facts(), SETTINGS) == [A, B, late]
    risen = C | {"size": 10.0}
    assert sorted(each["feature"] for each in told_once([A, B, risen], facts(), SETTINGS)) == ["A", "B", "C"]
    slow = C | {"metric": "latency_p95_ms"}
    assert sorted(each["feature"] for each in told_once([A, B, slow], facts(), SETTINGS)) == ["A", "B", "C"]


def test_who_is_missing_needs_a_past() -> None:
    (whole, *_) = told_once([A, B, C], facts().query("event_date >= '2026-03-11'"), SETTINGS)
    assert whole["affected_users"] is None
    (whole, *_) = told_once([A, B, C], facts().drop(columns="all_users"), SETTINGS)
    assert whole["affected_users"] is None
    # More people than ever are none who are missing.
    (whole, *_) = told_once([A | {"worst_date": on(15)}, B, C], facts().replace({120: 900}), SETTINGS)
    assert whole["affected_users"] == 0


def test_half_is_enough_and_it_began_no_later_than_it_was_found() -> None:
    six = pd.concat([facts(), facts("E").assign(feature="F")])
    late = [each | {"start_date": on(12), "end_date": on(20), "end_kind": "recovered"} for each in (A, B, C)]
    (whole,) = told_once(late, six, SETTINGS)
    assert (whole["start_date"], whole["detected_on"], whole["features"]) == (on(11), on(11), ["A", "B", "C"])
    seven = pd.concat([six, facts("E").assign(feature="G")])
    assert [each["incident_id"] for each in told_once(late, seven, SETTINGS)] == ["inc-A", "inc-C", "inc-B"]


def test_who_is_missing_is_held_against_the_28_days_before() -> None:
    days = pd.DataFrame({"event_date": [pd.Timestamp(on(day)) for day in range(40)], "all_users": 0.0})
    # Day 2 is the first of 28: with it half of them are 90, and without it fewer.
    days["all_users"] = [500.0, 500.0, *[90.0] * 14, *[10.0] * 14, *[5.0] * 10]
    lead = {"start_date": on(30), "worst_date": on(31)}
    assert _users_missing(days, lead) == 45
    assert _users_missing(days, lead | {"worst_date": None}) is None
    # The most that any feature knows of a day; a day without rows has nobody.
    both = pd.concat([days, days.assign(all_users=1.0)])
    assert _users_missing(both, lead) == 45
    assert _users_missing(days[:31], lead) == 50


def test_above_nothing_there_is_no_ratio() -> None:
    rows = [row(name, size=50.0, end_date=None, end_kind="open") for name in "ABC"]
    (whole,) = told_once(rows, facts(), SETTINGS)
    assert (whole["peak_value"], whole["size"], whole["change"]) == (150.0, 150.0, None)
