"""Queries of one feature on a few rows each: what is another feature's, outside the window, or unknown."""

from __future__ import annotations

import pytest
from small_snapshots import THROUGH, Cells, ago, at, snapshot_of

from quality_assets.read.feature import (
    CHART_METRICS,
    incidents,
    ledger,
    releases,
    silent_days_to_tell,
    still_active,
    track_record,
    trends,
    trust,
    weeks,
)

TRENDS = "product.feature_daily_trends"
INCIDENTS = "product.incidents"
BASELINES = "monitoring.baseline_stats"
LEDGER = "ml.score_ledger"
CHECKS = "monitoring.check_results"
EVENTS = "core.valid_events"
USER_DAYS = "core.user_feature_days"
FACTS = "product.fact_feature_metrics"


def _trend(days: int, metric: str = "crash_rate", feature: str = "pay", **cells: object) -> Cells:
    return {"event_date": ago(days), "feature": feature, "metric": metric, "value": float(days)} | cells


def test_trends_are_the_charts_metrics_of_the_window_day_by_day() -> None:
    told = {
        "event_date": THROUGH,
        "metric": "users",
        "value": 7.0,
        "expected": 6.0,
        "expected_low": 5.0,
        "expected_high": 9.0,
        "change": 0.25,
        "is_outside_band": False,
        "is_worse": True,
    }
    rows = [
        _trend(0),
        _trend(6),
        _trend(7),
        _trend(-1),
        _trend(3),
        _trend(0, "apdex"),
        _trend(0, feature="maps"),
        told | {"feature": "pay", "baseline_28d": 1.0},
    ]
    found = trends(snapshot_of({TRENDS: rows}), "pay", 7)
    assert list(found) == ["crash_rate", "users"]
    assert found["users"] == [told]
    assert [row["event_date"] for row in found["crash_rate"]] == [ago(6), ago(3), THROUGH]
    assert trends(snapshot_of({TRENDS: rows}), "chat", 7) == {}


def test_each_charts_metric_is_read() -> None:
    metrics = ("latency_p95_ms", "crash_rate", "error_rate", "users", "feedback_mean", "adoption_rate")
    assert metrics == CHART_METRICS
    rows = [_trend(0, metric) for metric in (*metrics, "events", "latency_p50_ms")]
    assert sorted(trends(snapshot_of({TRENDS: rows}), "pay", 1)) == sorted(metrics)


def test_incidents_stand_open_ones_first_then_the_newest() -> None:
    told = {
        "incident_id": "told",
        "event_name": "tap",
        "metric": "crash_rate",
        "metrics": ["crash_rate", "error_rate"],
        "kind": "step",
        "scope": "product",
        "start_date": ago(9),
        "end_date": ago(8),
        "detected_on": ago(7),
        "severity": "high",
        "sentence": "It crashed.",
        "affected_users": 12,
        "slice_dimensions": ["platform"],
        "slice_values": ["iOS"],
        "slice_share": 0.75,
        "slice_traffic_share": 0.25,
        "slice_status": "found",
    }
    rows: list[Cells] = [
        told | {"feature": "pay"},
        {"incident_id": "ended b", "feature": "pay", "start_date": ago(3), "end_date": THROUGH},
        {"incident_id": "ended a", "feature": "pay", "start_date": ago(3), "end_date": ago(1)},
        {"incident_id": "open older", "feature": "pay", "start_date": ago(40)},
        {"incident_id": "open", "feature": "pay", "start_date": ago(4)},
        {"incident_id": "other", "feature": "maps", "start_date": ago(1)},
    ]
    found = incidents(snapshot_of({INCIDENTS: rows}), "pay")
    assert [row["incident_id"] for row in found] == ["open", "open older", "ended a", "ended b", "told"]
    newer = (
        "end_kind", "users_today", "verdict", "verdict_sentence", "real_share", "renamed_to", "size", "current_size",
        "real_change",
    )  # fmt: skip
    assert found[-1] == told | dict.fromkeys(newer)
    wide = {"incident_id": "wide", "feature": "pay", "features": ["maps", "pay"], "start_date": ago(2)}
    assert [row["incident_id"] for row in incidents(snapshot_of({INCIDENTS: [wide]}), "maps")] == ["wide"]


def test_incidents_are_fifty_at_most() -> None:
    rows: list[Cells] = [{"incident_id": f"{n}", "feature": "pay", "start_date": ago(n)} for n in range(60)]
    found = incidents(snapshot_of({INCIDENTS: rows}), "pay")
    assert [row["incident_id"] for row in found] == [f"{n}" for n in range(50)]


def test_silence_is_told_by_the_events_of_the_feature() -> None:
    rows: list[Cells] = [
        {"feature": "pay", "metric": "users", "silent_days_to_tell": 9},
        {"feature": "pay", "metric": "events", "silent_days_to_tell": 2, "days_observed": 28},
        {"feature": "maps", "metric": "events"},
    ]
    reader = snapshot_of({BASELINES: rows})
    assert [silent_days_to_tell(reader, name) for name in ("pay", "maps", "chat")] == [2, None, None]


def test_the_ledger_has_one_score_a_day_of_the_newest_version() -> None:
    told = {
        "event_date": THROUGH,
        "risk_probability": 0.8,
        "label_any": True,
        "is_graded": True,
        "squared_error": 0.04,
        "model_version": "10",
    }
    rows: list[Cells] = [
        told | {"feature": "pay", "label_onset": False, "onset_probability": 0.3},
        told | {"feature": "pay", "model_version": "9", "risk_probability": 0.1},
        told | {"feature": "pay", "model_version": "fallback", "risk_probability": 0.2},
        {"event_date": ago(1), "feature": "pay", "model_version": "a"},
        {"event_date": ago(1), "feature": "pay", "model_version": "b"},
        {"event_date": ago(1), "feature": "maps", "model_version": "12"},
    ]
    found = ledger(snapshot_of({LEDGER: rows}), "pay")
    assert found[0] == told
    assert [(row["event_date"], row["model_version"]) for row in found] == [(THROUGH, "10"), (ago(1), "b")]


def test_the_ledger_is_of_sixty_days_at_most() -> None:
    rows: list[Cells] = [{"event_date": ago(n), "feature": "pay", "model_version": "1"} for n in range(70)]
    found = ledger(snapshot_of({LEDGER: rows}), "pay")
    assert [row["event_date"] for row in found] == [ago(n) for n in range(60)]


def _check(name: str, days: int | None = 0, status: str = "passed", **cells: object) -> Cells:
    known: Cells = {
        "run_id": "r1",
        "asset": "core.valid_events",
        "check_name": name,
        "partition_key": "" if days is None else ago(days).isoformat(),
        "checked_at": at(-1),
        "status": status,
        "severity": "ERROR",
    }
    return known | cells


def test_trust_counts_the_result_of_each_check_and_partition_that_was_evaluated_last() -> None:
    rows = [
        _check("a", 0),
        _check("a", 6, "failed"),
        _check("a", 7, "failed"),
        _check("a", -1, "failed"),
        _check("b", 3, "failed", severity="WARN", checked_at=at(-1, 9)),
        _check("b", 3, checked_at=at(-1, 8)),
        _check("c", None, "unknown", checked_at=at(200)),
        _check("d", 1, run_id="r2"),
        _check("d", 1, "unknown", run_id="r0"),
        _check("e", 0, "failed", asset="ml.risk_scores", checked_at=at(2)),
        _check("f", 0, "failed", asset="monitoring.data_drift"),
    ]
    found = trust(snapshot_of({CHECKS: rows}), 7)
    assert set(found) == {"core.valid_events", "ml.risk_scores"}
    assert found["core.valid_events"] | {"failing": None} == {
        "asset": "core.valid_events",
        "passed": 1,
        "failed": 2,
        "unknown": 2,
        "checks": 4,
        "errors": 1,
        "checked_at": at(-1, 9),
        "failing": None,
    }
    assert sorted(found["core.valid_events"]["failing"]) == ["a", "b"]
    assert found["ml.risk_scores"] == {
        "asset": "ml.risk_scores",
        "passed": 0,
        "failed": 1,
        "unknown": 0,
        "checks": 1,
        "errors": 1,
        "checked_at": at(2),
        "failing": ["e"],
    }


def test_trust_speaks_of_what_a_features_numbers_are_made_from() -> None:
    assets = (
        "raw.raw_logs",
        "core.valid_events",
        "core.quarantined_events",
        "product.fact_feature_metrics",
        "product.feature_daily_trends",
        "product.incidents",
        "ml.risk_scores",
    )
    reader = snapshot_of({CHECKS: [_check("a", asset=asset) for asset in (*assets, "raw.log_files")]})
    assert set(trust(reader, 1)) == set(assets)


def test_a_check_that_failed_on_two_days_is_named_once_and_counted_twice() -> None:
    found = trust(snapshot_of({CHECKS: [_check("a", 0, "failed"), _check("a", 1, "failed")]}), 7)["core.valid_events"]
    assert (found["failed"], found["errors"], found["checks"], found["failing"]) == (2, 2, 1, ["a"])


def _events(count: int, days: int, version: str | None, feature: str = "pay") -> list[Cells]:
    return [{"event_date": ago(days), "feature": feature, "app_version": version} for _ in range(count)]


def test_a_release_is_the_first_day_on_which_a_version_has_a_twentieth_of_the_events() -> None:
    rows = [
        *_events(30, 10, "1"),
        *_events(19, 6, "1"),
        *_events(1, 6, "2"),
        *_events(20, 5, "1"),
        *_events(1, 5, "3"),
        *_events(999, 4, None),
        *_events(9, 4, "3"),
        *_events(1, 3, "2"),
        *_events(1, 3, "2.1"),
        *_events(1, 3, "4", "maps"),
        *_events(5, -1, "5"),
    ]
    assert releases(snapshot_of({EVENTS: rows}), "pay", 7) == [
        {"app_version": "2", "event_date": ago(6)},
        {"app_version": "3", "event_date": ago(4)},
        {"app_version": "2.1", "event_date": ago(3)},
    ]


def test_what_is_older_than_the_window_is_no_release_but_what_it_is_new_to() -> None:
    rows = [
        *_events(1, 21, "0"),
        *_events(1, 20, "1"),
        *_events(1, 7, "2"),
        *_events(1, 6, "3"),
        *_events(1, 6, "1"),
        *_events(1, 0, "0"),
    ]
    # Two weeks before the window are looked at: on the 21st day before it a version "0" is not seen.
    assert releases(snapshot_of({EVENTS: rows}), "pay", 7) == [
        {"app_version": "3", "event_date": ago(6)},
        {"app_version": "0", "event_date": THROUGH},
    ]


def test_versions_of_the_first_day_of_all_are_no_releases() -> None:
    rows = [*_events(1, 3, "1"), *_events(1, 2, "2")]
    assert releases(snapshot_of({EVENTS: rows}), "pay", 7) == [{"app_version": "2", "event_date": ago(2)}]


def test_releases_are_the_last_twelve_the_oldest_first_and_by_name_within_a_day() -> None:
    rows = [*_events(1, 20, "0")]
    for n in range(13):
        rows += _events(1, n, f"v{n}")
    found = releases(snapshot_of({EVENTS: rows}), "pay", 28)
    assert [row["app_version"] for row in found] == [f"v{n}" for n in range(11, -1, -1)]
    tied = [*_events(1, 20, "0"), *_events(1, 1, "a"), *_events(1, 1, "b")]
    assert [row["app_version"] for row in releases(snapshot_of({EVENTS: tied}), "pay", 28)] == ["b", "a"]


def _used(user: str, *days: int, feature: str = "pay") -> list[Cells]:
    return [{"event_date": ago(day), "feature": feature, "user_id": user} for day in days]


def test_weeks_tell_who_was_retained_resurrected_or_is_new() -> None:
    rows = [
        *_used("kept", 0, 6, 7, 13, 14, 20),
        *_used("returned", 3, 20),
        *_used("new", 0, 1),
        *_used("left", 13),
        *_used("tomorrow", -1),
        *_used("other", 0, 7, feature="maps"),
    ]
    reader = snapshot_of({USER_DAYS: rows, FACTS: [{"event_date": ago(27)}, {"event_date": THROUGH}]})
    assert weeks(reader, "pay") == [
        {"ago": 2, "users": 2, "retained": 0, "resurrected": 0, "new": 2},
        {"ago": 1, "users": 2, "retained": 1, "resurrected": 0, "new": 1},
        {"ago": 0, "users": 3, "retained": 1, "resurrected": 1, "new": 1},
    ]


@pytest.mark.parametrize(
    ("first", "told"),
    [(20, [1, 0]), (19, [0]), (13, [0]), (12, []), (181, range(24, -1, -1)), (400, range(24, -1, -1))],
)
def test_the_oldest_whole_week_is_left_out(first: int, told: list[int]) -> None:
    rows = _used("one", *range(0, 190))
    reader = snapshot_of({USER_DAYS: rows, FACTS: [{"event_date": ago(first)}]})
    assert [row["ago"] for row in weeks(reader, "pay")] == list(told)


def test_who_comes_after_half_a_year_is_new() -> None:
    facts: list[Cells] = [{"event_date": ago(400)}]
    for days, new in ((181, 0), (182, 1)):
        (week,) = weeks(snapshot_of({USER_DAYS: _used("one", 0, days), FACTS: facts}), "pay")[-1:]
        assert week == {"ago": 0, "users": 1, "retained": 0, "resurrected": 1 - new, "new": new}


def test_without_a_first_day_there_are_no_weeks() -> None:
    assert weeks(snapshot_of({USER_DAYS: _used("one", 0, 7, 14), FACTS: []}), "pay") == []


def test_still_active_are_users_of_the_week_before_who_used_anything_in_the_last() -> None:
    rows = [
        *_used("first day", 13),
        *_used("first day", 6, 3, feature="maps"),
        *_used("last day", 7, 0),
        *_used("too early", 14, 0),
        *_used("gone", 10),
        *_used("gone too", 7),
        *_used("gone", -1),
        *_used("too late", 6, 0),
        *_used("other feature", 8, feature="maps"),
        *_used("other feature", 0),
    ]
    assert still_active(snapshot_of({USER_DAYS: rows}), "pay") == 2
    assert still_active(snapshot_of({USER_DAYS: rows}), "chat") == 0


def test_a_track_record_is_of_scores_whose_outcome_can_be_told() -> None:
    def score(risk: float | None, outcome: bool | None, *, graded: bool = True) -> Cells:
        return {"risk_probability": risk, "label_any": outcome, "is_graded": graded}

    told = [score(0.2, False), score(0.6, True), score(0.7, True), score(0.1, False)]
    found = track_record([*told, score(None, True), score(0.9, None), score(0.9, True, graded=False)])
    assert found is not None
    assert (found.graded, found.observed, found.degraded) == (4, 0.5, tuple(told[1:3]))
    assert found.predicted == pytest.approx(0.4)
    assert track_record([score(0.9, None)]) is None
