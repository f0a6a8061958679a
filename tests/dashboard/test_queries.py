"""Queries against a snapshot: they bind their parameters, stay small, and say nothing where nothing is known."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from snapshot_builder import AWKWARD, THROUGH

from quality_assets.domain.features.status import Status, feature_status
from quality_assets.domain.quality import health
from quality_assets.domain.quality.health import CheckState
from quality_assets.read import drift, feature, model, overview, pipeline, quality
from quality_assets.read.overview import features
from quality_assets.read.reader import Reader


@pytest.mark.parametrize("days", [7, 28, 90])
def test_a_window_has_its_days(reader: Reader, days: int) -> None:
    rows = feature.trends(reader, "Search", days)
    assert set(rows) == set(feature.CHART_METRICS)
    dates = [row["event_date"] for row in rows["crash_rate"]]
    assert (dates[0], dates[-1], len(dates)) == (THROUGH - timedelta(days=days - 1), THROUGH, days)


def test_names_are_bound_not_pasted(reader: Reader) -> None:
    assert feature.trends(reader, "'; drop table product.incidents; --", 7) == {}
    assert len(feature.trends(reader, AWKWARD, 7)["users"]) == 7


@pytest.mark.parametrize("days", [7, 28, 90])
def test_sparks_are_one_character_a_point(reader: Reader, days: int) -> None:
    spark = overview.sparks(reader, days)["Search", "latency_p95_ms"]
    assert len(spark["line"]) == len(spark["low"]) == len(spark["high"])
    assert len(spark["line"]) == min(days, 45)
    assert set(map(ord, spark["line"])) <= set(range(48, 112))


def test_slices_name_the_culprit(reader: Reader) -> None:
    began = date(2026, 11, 15)
    rows = feature.slices(reader, "Live comments", began, began, ())
    crash = {(row["slice"], row["is_now"]): row["crash_rate"] for row in rows if row["dimension"] == "platform"}
    assert crash["Android", True] > 4 * crash["Android", False]
    assert crash["iOS", True] < 0.02


def test_pairs_add_up_to_their_slice(reader: Reader) -> None:
    began = date(2026, 11, 15)
    single = feature.slices(reader, "Live comments", began, began, ())
    paired = feature.slices(reader, "Live comments", began, began, (), pairs=True)
    android = next(row for row in single if row["slice"] == "Android" and row["is_now"])
    parts = [
        row for row in paired if row["slice"] == "Android" and row["dimension_2"] == "app_version" and row["is_now"]
    ]
    assert {row["slice_2"] for row in parts} == {"8.13.2", "8.14.0"}
    assert sum(row["events"] for row in parts) == android["events"]


def test_a_long_incident_is_compared_with_the_time_before_it(reader: Reader) -> None:
    since, until = THROUGH - timedelta(days=6), THROUGH - timedelta(days=20)
    rows = feature.slices(reader, "Search", since, until, (("platform", "iOS"),))
    found = {row["is_now"]: row["events"] for row in rows if row["dimension"] == "platform"}
    by_day = {
        row["event_date"]: row["events"] for row in feature.slice_by_day(reader, "Search", 56, (("platform", "iOS"),))
    }
    assert found[True] == sum(n for day, n in by_day.items() if day >= since)
    assert found[False] == sum(n for day, n in by_day.items() if until - timedelta(days=28) <= day < until)


def test_weeks_tell_retained_users_from_new_ones(reader: Reader) -> None:
    rows = feature.weeks(reader, "Search")
    days = reader.rows("select distinct user_id, event_date from core.user_feature_days where feature = 'Search'")
    used = {
        ago: {r["user_id"] for r in days if ago * 7 <= (THROUGH - r["event_date"]).days < ago * 7 + 7}
        for ago in range(8)
    }
    last = rows[-1]
    assert last["ago"] == 0
    assert last["users"] == len(used[0])
    assert last["retained"] == len(used[0] & used[1])
    assert last["new"] == len(used[0].difference(*(used[ago] for ago in range(1, 8))))
    assert all(row["retained"] + row["resurrected"] + row["new"] == row["users"] for row in rows)
    assert feature.still_active(reader, "Search") >= last["retained"]


def test_the_latest_source_stands_last(reader: Reader) -> None:
    assert [row["source"] for row in quality.sources(reader)] == ["api_log", "default"]
    assert [row["path"] for row in quality.rejected_files(reader)] == ["app/9.csv"]


def test_slices_can_be_narrowed(reader: Reader) -> None:
    whole = feature.slice_by_day(reader, "Search", 7, ())
    part = feature.slice_by_day(reader, "Search", 7, (("platform", "iOS"),))
    assert len(part) == 7
    assert 0 < sum(row["events"] for row in part) < sum(row["events"] for row in whole)


def test_a_release_is_dated_by_its_share(reader: Reader) -> None:
    assert feature.releases(reader, "Search", 28) == [
        {"app_version": "8.14.0", "event_date": THROUGH - timedelta(days=5)}
    ]


def test_the_quality_score_is_of_the_data_whether_or_not_checks_have_run(reader: Reader, bare_reader: Reader) -> None:
    for each in (reader, bare_reader):
        score = quality.score_now(each)
        assert score is not None
        assert 0.9 < score <= 1
        assert quality.score_by_day(each, 28)[-1]["score"] == score


def test_a_check_that_could_not_run_has_no_points(reader: Reader) -> None:
    unknown = [row for row in quality.latest(reader) if row["status"] == "unknown"]
    assert unknown
    assert all(row["points"] is None and health.check_state(row) is CheckState.UNKNOWN for row in unknown)


def test_quarantine_counts_every_reason_of_a_row(reader: Reader) -> None:
    reasons = {row["reason"]: row["rows"] for row in quality.quarantine_reasons(reader, 28)}
    assert reasons["negative_latency"] == reasons["missing_feature"]
    first_only = sum(row["rows"] for row in quality.quarantine_by_day(reader, 28))
    assert sum(reasons.values()) > first_only
    rows = quality.quarantine_rows(reader, 28, "missing_feature")
    assert rows
    assert all("missing_feature" in row["reasons"] for row in rows)


@pytest.mark.parametrize(
    "query",
    [
        overview.risk_now,
        overview.open_incidents,
        quality.latest,
        drift.latest,
        drift.counts,
        drift.history,
        drift.power,
        model.versions,
        model.ledger_by_week,
        model.recent_scores,
    ],
)
def test_what_was_never_made_is_empty(bare_reader: Reader, query: object) -> None:
    assert callable(query)
    assert not query(bare_reader)


def test_pages_get_few_rows(reader: Reader) -> None:
    for rows in (drift.latest(reader), quality.latest(reader), pipeline.graph(reader), model.recent_scores(reader)):
        assert 0 < len(rows) <= 1000


def test_status_puts_detected_before_predicted(reader: Reader, bare_reader: Reader) -> None:
    found = {row["feature"]: row["status"] for row in features(reader, 28)}
    assert found["Live comments"] is Status.CRITICAL
    assert found["One-tap pay"] is Status.DEGRADED
    bare = {row["feature"]: row["status"] for row in features(bare_reader, 28)}
    assert set(bare.values()) <= {Status.WATCH, Status.HEALTHY}


def test_nothing_known_is_unknown() -> None:
    assert feature_status([], None, {}) is Status.UNKNOWN
    assert feature_status([], None, {"crash_rate": {"is_worse": None}}) is Status.UNKNOWN
    assert health.worst([]) is CheckState.UNKNOWN
    assert health.worst([CheckState.PASSING, CheckState.WARNING]) is CheckState.WARNING
