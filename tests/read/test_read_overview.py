"""The overview's queries on a few rows each: windows closed on both ends, ties, nulls, versions of a model."""

from __future__ import annotations

from datetime import date

import pytest
from small_snapshots import THROUGH, Cells, ago, snapshot_of

from quality_assets.domain.features.status import Status
from quality_assets.read.overview import (
    AtRisk,
    Total,
    at_risk,
    current_metrics,
    descriptions,
    features,
    incidents_by_day,
    open_incidents,
    risk_by_day,
    risk_now,
    seen_features,
    sparks,
    total,
    totals_by_day,
    usage,
)

FACTS = "product.fact_feature_metrics"
TRENDS = "product.feature_daily_trends"
INCIDENTS = "product.incidents"
SCORES = "ml.risk_scores"
DESCRIPTIONS = "product.dim_feature_metadata"


def test_descriptions_name_every_feature_in_order_and_fall_back_on_its_own_name() -> None:
    told = {
        "feature": "pay",
        "display_name": "One-tap pay",
        "owner": "ada@example.com",
        "team": "Payments",
        "lifecycle_stage": "ga",
        "tier": 1,
        "launched_on": date(2025, 5, 1),
        "slo_latency_p95_ms": 420.0,
        "slo_crash_rate": 0.0045,
        "slo_error_rate": 0.02,
        "is_described": True,
        "first_seen_date": ago(90),
        "last_seen_date": ago(1),
    }
    reader = snapshot_of({DESCRIPTIONS: [told | {"apdex_threshold_ms": 500.0}, {"feature": "maps"}]})
    found = descriptions(reader)
    assert list(found) == ["maps", "pay"]
    assert found["pay"] == told
    assert found["maps"] == dict.fromkeys(told) | {"feature": "maps", "display_name": "maps", "is_described": False}


def test_current_metrics_are_the_last_days_headlines() -> None:
    cells = {
        "feature": "pay",
        "metric": "crash_rate",
        "value": 0.03,
        "expected": 0.01,
        "expected_low": 0.005,
        "expected_high": 0.015,
        "change": 2.0,
        "is_worse": True,
        "days_observed": 28,
    }
    others = [
        {"event_date": THROUGH, "feature": "maps", "metric": metric, "value": 7.0}
        for metric in ("latency_p95_ms", "error_rate", "feedback_mean", "events", "users", "latency_p50_ms")
    ]
    reader = snapshot_of(
        {
            TRENDS: [
                {"event_date": THROUGH} | cells | {"baseline_7d": 8.0, "is_outside_band": True},
                {"event_date": ago(1)} | cells | {"metric": "error_rate", "value": 9.0},
                *others,
            ]
        }
    )
    found = current_metrics(reader)
    assert found["pay"] == {"crash_rate": cells}
    assert set(found["maps"]) == {"latency_p95_ms", "error_rate", "feedback_mean", "events"}


def test_usage_is_the_mean_day_of_a_window_and_of_the_one_before() -> None:
    def fact(feature: str, days: int, users: int | None, adoption: float | None) -> Cells:
        return {"event_date": ago(days), "feature": feature, "users": users, "adoption_rate": adoption}

    reader = snapshot_of(
        {
            FACTS: [
                fact("pay", -1, 9000, 0.9),
                fact("pay", 0, 100, 0.1),
                fact("pay", 6, 50, 0.3),
                fact("pay", 7, 40, 0.9),
                fact("pay", 13, 20, 0.9),
                fact("pay", 14, 9000, 0.9),
                fact("maps", 2, None, None),
                fact("old", 14, 1, 0.1),
            ]
        }
    )
    assert usage(reader, 7) == {
        "pay": {"feature": "pay", "users": 75.0, "users_before": 30.0, "adoption": 0.2},
        "maps": {"feature": "maps", "users": None, "users_before": None, "adoption": None},
    }


def _spark(days: int, value: float | None, band: tuple[float, float] | None = None, **cells: object) -> Cells:
    low, high = band or (None, None)
    known = {"event_date": ago(days), "feature": "pay", "metric": "crash_rate", "value": value}
    return known | {"expected_low": low, "expected_high": high} | cells


def test_sparks_are_scaled_from_the_least_to_the_most_of_line_and_band() -> None:
    # From 0 to 63: 31.5 rounds to 32, and 63 ÷ 7 a unit.
    rows = [_spark(2, 0.0, (1.0, 6.0)), _spark(1, None), _spark(0, 7.0, (2.0, 3.0))]
    outside = [_spark(7, 900.0), _spark(-1, 900.0), _spark(0, 900.0, metric="users")]
    assert sparks(snapshot_of({TRENDS: rows + outside}), 7) == {
        ("pay", "crash_rate"): {
            "feature": "pay",
            "metric": "crash_rate",
            "line": "0 " + chr(48 + 63),
            "low": chr(48 + 9) + " " + chr(48 + 18),
            "high": chr(48 + 54) + " " + chr(48 + 27),
        }
    }


def test_two_days_are_one_point_of_ninety_and_it_shows_their_mean() -> None:
    rows = [
        _spark(3, 10.0, (0.0, 1.0)),
        _spark(2, 14.0, (0.0, 3.0)),
        _spark(1, 0.0, (2.0, 4.0)),
        _spark(0, 0.0, (0.0, 8.0)),
    ]
    found = sparks(snapshot_of({TRENDS: rows}), 90)["pay", "crash_rate"]
    # Of 0 to 12, 12 and 0 with a band of 0 to 2 and of 1 to 6: 63 ÷ 12 a unit.
    assert (found["line"], found["low"], found["high"]) == ("o0", "0" + chr(48 + 5), chr(48 + 10) + chr(48 + 32))


def test_a_band_that_is_wider_than_the_line_gives_the_scale() -> None:
    spark = sparks(snapshot_of({TRENDS: [_spark(1, 2.0, (1.0, 4.0)), _spark(0, 3.0, (1.0, 4.0))]}), 7)
    found = spark["pay", "crash_rate"]
    assert (found["line"], found["low"], found["high"]) == (chr(48 + 21) + chr(48 + 42), "00", chr(111) * 2)


def test_a_band_may_lie_above_the_line_or_below_it() -> None:
    above = sparks(snapshot_of({TRENDS: [_spark(0, 0.0, (7.0, 7.0))]}), 7)["pay", "crash_rate"]
    below = sparks(snapshot_of({TRENDS: [_spark(0, 7.0, (0.0, 0.0))]}), 7)["pay", "crash_rate"]
    assert (above["line"], above["low"], above["high"]) == ("0", "o", "o")
    assert (below["line"], below["low"], below["high"]) == ("o", "0", "0")


def test_a_flat_spark_lies_in_the_middle_and_scales_are_each_ones_own() -> None:
    rows = [
        _spark(6, 5.0),
        _spark(0, 5.0),
        _spark(1, 100.0, metric="latency_p95_ms"),
        _spark(0, 200.0, metric="latency_p95_ms"),
        _spark(1, 0.0, feature="maps"),
        _spark(0, 1.0, feature="maps"),
    ]
    found = sparks(snapshot_of({TRENDS: rows}), 7)
    assert {key: row["line"] for key, row in found.items()} == {
        ("pay", "crash_rate"): chr(48 + 32) * 2,
        ("pay", "latency_p95_ms"): "0o",
        ("maps", "crash_rate"): "0o",
    }
    assert {row["low"] + row["high"] for row in found.values()} == {"    "}
    flat = sparks(snapshot_of({TRENDS: [_spark(0, 5.0, (5.0, 5.0))]}), 7)["pay", "crash_rate"]
    assert (flat["line"], flat["low"], flat["high"]) == ("P", "P", "P")


@pytest.mark.parametrize(("days", "points"), [(7, 7), (45, 45), (46, 23), (90, 45)])
def test_sparks_have_at_most_45_points_and_the_last_is_made_from_the_last_days(days: int, points: int) -> None:
    rows = [_spark(n, 1.0 if n in (0, 1) else 0.0) for n in range(100)]
    line = sparks(snapshot_of({TRENDS: rows}), days)["pay", "crash_rate"]["line"]
    assert len(line) == points
    assert line.strip("0") == ("oo" if days <= 45 else "o")
    assert line.endswith("o")


def test_risk_is_the_last_days_by_the_newest_version() -> None:
    newest = {
        "feature": "pay",
        "risk_probability": 0.6,
        "low": 0.5,
        "high": 0.7,
        "onset_probability": 0.2,
        "is_degraded_today": False,
        "rank": 1,
        "expected_users_affected": 40.0,
        "reasons": "[]",
        "note": "few days",
        "score_kind": "model",
        "model_version": "10",
        "horizon_days": 7,
    }
    reader = snapshot_of(
        {
            SCORES: [
                {"event_date": ago(3)} | newest | {"model_version": "9", "risk_probability": 0.9},
                {"event_date": ago(3)} | newest,
                {"event_date": ago(3)} | newest | {"model_version": "fallback", "risk_probability": 0.1},
                {"event_date": ago(4)} | newest | {"model_version": "11", "risk_probability": 0.8},
                {"event_date": ago(4)} | newest | {"feature": "gone"},
                {"event_date": ago(3), "feature": "maps", "model_version": "a", "rank": 2},
                {"event_date": ago(3), "feature": "maps", "model_version": "b", "rank": 3},
            ]
        }
    )
    found = risk_now(reader)
    assert set(found) == {"pay", "maps"}
    assert found["pay"] == newest
    assert (found["maps"]["model_version"], found["maps"]["rank"]) == ("b", 3)


def _incident(name: str, **cells: object) -> Cells:
    return {"incident_id": name, "feature": "pay", "start_date": ago(5), "severity": "high"} | cells


def test_open_incidents_stand_by_severity_then_users_then_name() -> None:
    told = {
        "incident_id": "full",
        "feature": "pay",
        "metric": "crash_rate",
        "kind": "step",
        "scope": "feature",
        "start_date": ago(4),
        "detected_on": ago(3),
        "severity": "critical",
        "sentence": "It crashes.",
        "affected_users": 5,
        "change": 1.5,
        "slice_status": "found",
        "slice_dimensions": ["platform"],
        "slice_values": ["iOS"],
        "slice_share": 0.9,
        "slice_traffic_share": 0.3,
    }
    reader = snapshot_of(
        {
            INCIDENTS: [
                _incident("low", severity="low", affected_users=900),
                _incident("b", affected_users=7),
                _incident("a", affected_users=7),
                _incident("unknown"),
                _incident("more", affected_users=8),
                _incident("medium", severity="medium", affected_users=900),
                _incident("ended", severity="critical", end_date=THROUGH),
                told | {"metrics": ["crash_rate"], "unit": "fraction", "score": 9.0, "events": 10},
            ]
        }
    )
    found = open_incidents(reader)
    assert [row["incident_id"] for row in found] == ["full", "more", "a", "b", "unknown", "medium", "low"]
    newer = (
        "end_date", "features", "users_today", "verdict", "real_share", "verdict_sentence", "size", "current_size",
        "real_change",
    )  # fmt: skip
    assert found[0] == told | {"metrics": ["crash_rate"]} | dict.fromkeys(newer)


def test_incidents_of_one_severity_stand_by_the_users_of_today_that_are_really_hit() -> None:
    rows = [
        _incident("many once", affected_users=900, users_today=5),
        _incident("many today", affected_users=90, users_today=80),
        _incident("not real", affected_users=100, users_today=100, real_share=0.5),
    ]
    assert [row["incident_id"] for row in open_incidents(snapshot_of({INCIDENTS: rows}))] == [
        "many today",
        "not real",
        "many once",
    ]


def test_a_feature_counts_as_at_risk_once_a_day_at_the_threshold_by_its_highest_score() -> None:
    def score(days: int, feature: str, version: str, risk: float | None) -> Cells:
        return {
            "event_date": ago(days),
            "feature": feature,
            "model_version": version,
            "risk_probability": risk,
            "low": 1.0,
        }

    reader = snapshot_of(
        {
            SCORES: [
                score(-1, "pay", "1", 0.9),
                score(0, "pay", "1", 0.5),
                score(0, "pay", "2", 0.1),
                score(0, "maps", "2", 0.7),
                score(0, "chat", "2", 0.499),
                score(0, "feed", "2", None),
                score(1, "pay", "2", None),
                score(7, "pay", "2", 0.6),
                score(8, "pay", "2", 0.9),
            ]
        }
    )
    assert risk_by_day(reader, 7, 0.5) == [
        {"event_date": ago(7), "at_risk": 1},
        {"event_date": ago(1), "at_risk": 0},
        {"event_date": THROUGH, "at_risk": 2},
    ]
    assert [row["at_risk"] for row in risk_by_day(reader, 7, 0.65)] == [0, 0, 1]


def test_an_incident_is_open_from_its_first_day_to_its_last() -> None:
    reader = snapshot_of(
        {
            INCIDENTS: [
                _incident("lasting", start_date=ago(2)),
                _incident("one day", start_date=ago(3), end_date=ago(3)),
                _incident("ended", start_date=ago(30), end_date=ago(5)),
                _incident("before", start_date=ago(9), end_date=ago(7)),
                _incident("after", start_date=ago(-1)),
            ]
        }
    )
    found = incidents_by_day(reader, 7)
    assert [row["day"] for row in found] == [ago(n) for n in (6, 5, 4, 3, 2, 1, 0)]
    assert [row["open"] for row in found] == [1, 1, 0, 1, 1, 1, 1]


def test_a_window_without_incidents_has_a_zero_a_day() -> None:
    assert incidents_by_day(snapshot_of({INCIDENTS: []}), 2) == [
        {"day": ago(1), "open": 0},
        {"day": THROUGH, "open": 0},
    ]


def test_p95_is_weighed_by_users_and_crashed_users_are_added_up() -> None:
    def fact(days: int, feature: str, p95: float | None, users: int | None, crashed: int | None) -> Cells:
        return {
            "event_date": ago(days),
            "feature": feature,
            "latency_p95_ms": p95,
            "users": users,
            "crashed_users": crashed,
            "crashes": 50,
        }

    reader = snapshot_of(
        {
            FACTS: [
                fact(-1, "pay", 999.0, 10, 99),
                fact(0, "pay", 100.0, 30, 2),
                fact(0, "maps", 500.0, 10, 3),
                fact(0, "chat", None, 1000, None),
                fact(0, "feed", 900.0, None, 4),
                fact(1, "pay", None, 30, None),
                fact(2, "pay", 100.0, 0, 0),
                fact(13, "pay", 40.0, 1, 1),
                fact(14, "pay", 999.0, 10, 99),
            ]
        }
    )
    # (100 · 30 + 500 · 10) ÷ 40
    assert totals_by_day(reader, 7) == [
        {"event_date": ago(13), "p95_ms": 40.0, "crashed_users": 1},
        {"event_date": ago(2), "p95_ms": None, "crashed_users": 0},
        {"event_date": ago(1), "p95_ms": None, "crashed_users": None},
        {"event_date": THROUGH, "p95_ms": 200.0, "crashed_users": 9},
    ]


def test_a_total_is_held_against_as_many_days_before_where_they_are_all_there() -> None:
    facts = [{"event_date": ago(days), "feature": "pay", "users": 10, "latency_p95_ms": 100.0} for days in (0, 2, 3)]
    reader = snapshot_of({FACTS: [row | {"crashed_users": row["event_date"].day} for row in facts]})
    # March 31st and 29th within the window of three days; of the three before it, the 28th alone is there.
    assert total(reader, 3, "crashed_users") == Total((29, 31), 30.0, None, False)
    # Two days each: the 31st, and 29th with 28th.
    assert total(reader, 2, "crashed_users") == Total((31,), 31.0, pytest.approx(31 / 28.5 - 1), True)
    assert total(reader, 2, "p95_ms") == Total((100.0,), 100.0, 0.0, True)


def _described(*names: str) -> list[Cells]:
    return [{"feature": name, "last_seen_date": THROUGH} for name in names]


def _score(feature: str, risk: float | None, days: int = 0, **cells: object) -> Cells:
    return {"event_date": ago(days), "feature": feature, "model_version": "1", "risk_probability": risk} | cells


def test_features_that_never_sent_an_event_are_not_counted() -> None:
    reader = snapshot_of({DESCRIPTIONS: [*_described("a", "b"), {"feature": "c", "last_seen_date": None}]})
    assert [row["feature"] for row in seen_features(descriptions(reader).values())] == ["a", "b"]


def test_at_risk_are_features_whose_newest_score_is_even_odds_or_more() -> None:
    scores = [_score("a", 0.5), _score("b", 0.49), _score("c", None), _score("a", 0.9, 1), _score("b", 0.9, 1)]
    reader = snapshot_of({DESCRIPTIONS: _described("a", "b", "c"), SCORES: scores})
    assert at_risk(reader, 1) == AtRisk(2, 1, (2, 1), 2)
    assert at_risk(reader, 2) == AtRisk(2, 1, (2, 1), None)


def test_features_stand_as_the_run_report_ranks_them_then_by_state() -> None:
    names = ("calm", "degraded", "dip", "low", "many", "few", "severe", "some", "unscored", "watch")
    incidents = [
        _incident("1", feature="severe", severity="critical", affected_users=1),
        _incident("2", feature="low", severity="low", affected_users=900),
        _incident("3", feature="dip", severity="low", affected_users=7),
    ]
    scores = [
        _score("many", 0.25, expected_users_affected=80.0),
        _score("few", 0.9, expected_users_affected=8.0),
        _score("some", 0.6, expected_users_affected=8.0),
        _score("calm", 0.24, expected_users_affected=5000.0),
        _score("degraded", 0.1, is_degraded_today=True, expected_users_affected=1.0),
    ]
    trends = [{"event_date": THROUGH, "feature": "watch", "metric": "crash_rate", "is_worse": True}]
    reader = snapshot_of({DESCRIPTIONS: _described(*names), INCIDENTS: incidents, SCORES: scores, TRENDS: trends})
    found = features(reader, 7)
    assert [row["feature"] for row in found if row["needs_attention"]] == [
        "severe",
        "low",
        "dip",
        "many",
        "few",
        "some",
        "degraded",
    ]
    assert [(row["feature"], row["status"]) for row in found if not row["needs_attention"]] == [
        ("watch", Status.WATCH),
        ("calm", Status.HEALTHY),
        ("unscored", Status.UNKNOWN),
    ]
    assert [row["impact"] for row in found][:5] == [1, 900, 7, 80, 8]
