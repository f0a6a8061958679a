"""Slices of a feature's events: which events, which periods, which order, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest
from small_snapshots import THROUGH, Cells, ago, snapshot_of

from quality_assets.read.feature import slice_by_day, slices
from quality_assets.read.reader import Reader

EVENTS = "core.valid_events"
DESCRIPTIONS = "product.dim_feature_metadata"
Key = tuple[str, str | None, str | None, str | None, bool]


def _event(days: int, platform: str | None = "iOS", version: str | None = "1", **cells: object) -> Cells:
    known = {"event_date": ago(days), "feature": "pay", "platform": platform, "app_version": version, "status": "ok"}
    return known | {"country": "DE", "user_id": "u1"} | cells


def _reader(events: list[Cells], **description: object) -> Reader:
    return snapshot_of({EVENTS: events, DESCRIPTIONS: [{"feature": "pay"} | description] if description else []})


def _keys(rows: list[dict[str, Any]]) -> list[Key]:
    return [(row["dimension"], row["slice"], row["dimension_2"], row["slice_2"], row["is_now"]) for row in rows]


def _counted(rows: list[dict[str, Any]], dimension: str) -> dict[tuple[str | None, bool], int]:
    return {(row["slice"], row["is_now"]): row["events"] for row in rows if row["dimension"] == dimension}


def test_a_slice_has_its_metrics_now_and_before() -> None:
    events = [
        _event(0, latency_ms=100.0),
        _event(0, latency_ms=200.0, user_id="u2"),
        _event(1, latency_ms=300.0, status="crash", user_id="u2"),
        _event(2, status="error"),
        _event(3, status="crash"),
    ]
    rows = slices(_reader(events), "pay", ago(2), ago(2), ())
    # Of 100, 200 and 300: .95 · 2 = 1.9, so 200 + .9 · 100; .99 · 2 = 1.98.
    now = {
        "events": 4,
        "users": 2,
        "crash_rate": 0.25,
        "error_rate": 0.25,
        "latency_p95_ms": pytest.approx(290),
        "latency_p99_ms": pytest.approx(298),
    }
    before = {"events": 1, "users": 1, "crash_rate": 1.0, "error_rate": 0.0}
    unknown = {"latency_p95_ms": None, "latency_p99_ms": None}
    keys = [("app_version", "1"), ("country", "DE"), ("platform", "iOS")]
    assert rows == [
        {"dimension": dimension, "slice": value, "dimension_2": None, "slice_2": None, "is_now": is_now} | cells
        for dimension, value in keys
        for is_now, cells in ((True, now), (False, before | unknown))
    ]


def test_periods_begin_and_end_with_their_days_and_leave_out_what_lies_between() -> None:
    days = [-1, 0, 0, 3, 4, 9, 10, 10, 37, 37, 37, 38]
    rows = slices(_reader([_event(day) for day in days]), "pay", ago(3), ago(9), ())
    assert _counted(rows, "platform") == {("iOS", True): 3, ("iOS", False): 5}


def test_events_of_other_features_are_no_part_of_it() -> None:
    events = [_event(0), _event(0, feature="maps"), _event(9, feature="maps")]
    assert _counted(slices(_reader(events), "pay", ago(3), ago(3), ()), "platform") == {("iOS", True): 1}


def test_slices_stand_largest_first_then_by_name_and_the_unstated_is_one() -> None:
    events = [_event(0, "Web"), _event(0, "Android"), _event(0, None), _event(0, None), *[_event(0, "iOS")] * 3]
    rows = slices(_reader(events), "pay", ago(3), ago(3), ())
    assert [row["slice"] for row in rows if row["dimension"] == "platform"] == ["iOS", None, "Android", "Web"]


def test_filters_narrow_to_the_events_that_have_all_of_them() -> None:
    events = [
        _event(0, "iOS", "1", country="DE"),
        _event(0, "iOS", "2", country="DE"),
        _event(0, "iOS", "2", country="US"),
        _event(0, "Web", "2", country="US"),
        _event(0, None, None, country=None),
    ]
    reader = _reader(events)

    def platforms(*filters: tuple[str, str]) -> dict[tuple[str | None, bool], int]:
        return _counted(slices(reader, "pay", ago(3), ago(3), filters), "platform")

    assert platforms(("platform", "iOS")) == {("iOS", True): 3}
    assert platforms(("app_version", "2")) == {("iOS", True): 2, ("Web", True): 1}
    assert platforms(("country", "US")) == {("iOS", True): 1, ("Web", True): 1}
    assert platforms(("country", "US"), ("app_version", "2"), ("platform", "iOS")) == {("iOS", True): 1}
    assert platforms(("platform", "Android")) == {}


@pytest.mark.parametrize("dimension", ["platform", "app_version", "country"])
def test_a_dimension_has_its_forty_largest_slices_a_period(dimension: str) -> None:
    events = [_event(days) | {dimension: f"s{n:02d}"} for n in range(42) for days in (0, 9)]
    events += [_event(0) | {dimension: "s41"}]
    rows = slices(_reader(events), "pay", ago(3), ago(3), ())
    now = [row["slice"] for row in rows if row["dimension"] == dimension and row["is_now"]]
    before = [row["slice"] for row in rows if row["dimension"] == dimension and not row["is_now"]]
    assert now == ["s41", *(f"s{n:02d}" for n in range(39))]
    assert before == [f"s{n:02d}" for n in range(40)]


def test_pairs_are_of_two_dimensions_and_of_stated_values_only() -> None:
    events = [
        _event(0, "iOS", "1", country="DE"),
        _event(0, "iOS", "2", country="US", status="crash"),
        _event(0, "iOS", "2", country="US"),
        _event(9, "iOS", "2", country="US"),
        _event(0, None, "3", country="FR"),
        _event(0, "Web", None, country=None),
    ]
    rows = slices(_reader(events), "pay", ago(3), ago(3), (), pairs=True)
    assert _keys(rows) == [
        ("app_version", "2", "country", "US", True),
        ("app_version", "1", "country", "DE", True),
        ("app_version", "2", "country", "US", False),
        ("app_version", "3", "country", "FR", True),
        ("platform", "iOS", "app_version", "2", True),
        ("platform", "iOS", "country", "US", True),
        ("platform", "iOS", "app_version", "1", True),
        ("platform", "iOS", "app_version", "2", False),
        ("platform", "iOS", "country", "DE", True),
        ("platform", "iOS", "country", "US", False),
    ]
    assert [row["events"] for row in rows] == [2, 1, 1, 1, 2, 2, 1, 1, 1, 1]
    assert rows[0]["crash_rate"] == 0.5


def test_rows_of_one_size_and_name_have_an_order_too() -> None:
    # Version and country are called alike, as are the slices of both periods.
    events = [_event(days, "iOS", "x", country="x") for days in (9, 0)]
    order = [("app_version", True), ("app_version", False), ("country", True), ("country", False)]
    rows = slices(_reader(events), "pay", ago(3), ago(3), (), pairs=True)
    assert [(row["dimension_2"], row["is_now"]) for row in rows if row["dimension"] == "platform"] == order
    rows = slices(_reader(events), "pay", ago(3), ago(3), ())
    assert [row["is_now"] for row in rows] == [True, False] * 3


def test_pairs_have_their_forty_largest_too() -> None:
    events = [_event(0, f"p{n:02d}") for n in range(42)]
    rows = slices(_reader(events), "pay", ago(3), ago(3), (), pairs=True)
    assert sum(row["dimension_2"] == "app_version" for row in rows) == 40
    assert sum(row["dimension_2"] == "country" and row["dimension"] == "platform" for row in rows) == 40


def test_by_day_a_slice_has_the_metrics_of_its_window() -> None:
    events = [
        _event(-1),
        _event(0, latency_ms=400.0, feedback_score=4.0),
        _event(0, latency_ms=600.0, status="error", user_id="u2"),
        _event(0, "Web"),
        _event(6, status="crash"),
        _event(7),
        _event(3, feature="maps"),
    ]
    found = slice_by_day(_reader(events), "pay", 7, (("platform", "iOS"),))
    assert [(row["event_date"], row["events"], row["users"], row["crash_rate"]) for row in found] == [
        (ago(6), 1, 1, 1.0),
        (THROUGH, 2, 2, 0.0),
    ]
    # .95 of the way from 400 to 600.
    assert found[1]["latency_p95_ms"] == pytest.approx(590)
    assert (found[1]["error_rate"], found[1]["feedback_mean"]) == (0.5, 4.0)
    whole = slice_by_day(_reader(events), "pay", 7, ())
    assert [row["events"] for row in whole] == [1, 3]


@pytest.mark.parametrize(
    ("description", "apdex"), [({}, 0.75), ({"apdex_threshold_ms": 100.0}, 0.25), ({"tier": 1}, 0.75)]
)
def test_apdex_is_held_against_the_features_threshold_else_500_ms(description: Cells, apdex: float) -> None:
    # Against 500 ms one satisfies and one is tolerated; against 100 ms one is tolerated and one is not.
    events = [_event(0, latency_ms=400.0), _event(0, latency_ms=501.0)]
    assert slice_by_day(_reader(events, **description), "pay", 1, ())[0]["apdex"] == apdex
