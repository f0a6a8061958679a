"""Incidents by value: merging, size, severity, windows, slices and sentences on findings made by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.domain.features.incident_findings import Finding
from quality_assets.domain.features.incident_words import days_until_silence_tells, describe
from quality_assets.domain.features.incidents import (
    _by_name,
    _cluster,
    _mark_product_scope,
    _row,
    event_counts_sql,
    incident_id,
    usual_product_users,
)
from quality_assets.domain.features.settings import DEFAULT_INCIDENT_SETTINGS, IncidentSettings
from quality_assets.domain.features.severity import severity, size_points
from quality_assets.domain.features.slices import (
    SliceVerdict,
    _cells,
    affected_users_sql,
    attribute_slices,
    best_slice,
    incident_windows,
    slice_sql,
    with_affected_users,
    with_slices,
)
from quality_assets.domain.series.detection import Detections, Episode
from quality_assets.domain.series.panel import Panel
from quality_assets.domain.series.silence import silence_log_p

START = date(2026, 1, 1)
SETTINGS = DEFAULT_INCIDENT_SETTINGS
NAN = math.nan


def day(number: int) -> date:
    return START + timedelta(days=number)


def test_the_settings_are_those_that_were_tuned_together() -> None:
    assert IncidentSettings(
        merge_within_days=3, reopen_within_days=3, product_share=0.5, product_minimum_features=5,
        before_days=14, longest_during_days=28,
        minimum_share=0.6, minimum_lift=1.5, minimum_gain=5.0, pair_advantage=1.1, prior_bad_events=5.0,
        minimum_evidence=10.0,
    ) == SETTINGS  # fmt: skip


# --- Severity and scope -----------------------------------------------------------------------------------------------


def level(metric: str, real: float | None, *, tier: int | None = None, users: int | None = None, **more: Any) -> str:
    """Severity of an open incident that is at least `real` off, in points for feedback, in a product of 1,000 users."""
    return severity(row_of(metric, real, users) | more, 1000.0, tier)


def row_of(metric: str, real: float | None, users: int | None = None) -> dict[str, Any]:
    blank = dict.fromkeys(("event_name", "end_date", "current_value", "peak_value", "affected_users"))
    return blank | {"metric": metric, "kind": "step", "real_change": real, "users_today": users}


@pytest.mark.parametrize(
    ("metric", "notable", "large", "most"),
    [
        ("latency_p95_ms", 0.25, 0.75, 4.0),
        ("crash_rate", 1.0, 4.0, None),
        ("error_rate", 1.0, 4.0, None),
        ("feedback_mean", 0.3, 0.8, 2.0),
        ("events", 0.3, 0.6, 0.9),
        ("feedback_count", 0.25, 0.75, 4.0),
    ],
)
def test_points_go_by_the_size_less_chance(metric: str, notable: float, large: float, most: float | None) -> None:
    steps = (0.0, notable * 0.99, notable, large * 0.99, large)
    assert [size_points(row_of(metric, real)) for real in steps] == [0, 0, 1, 1, 2]
    assert size_points(row_of(metric, most or 1e9)) == (3 if most else 2)


def test_what_does_not_work_has_all_points_whatever_it_was() -> None:
    assert size_points(row_of("events", 0.1) | {"kind": "dead"}) == 3
    assert size_points(row_of("events", 0.1) | {"kind": "dead", "event_name": "tap"}) == 2
    half = row_of("crash_rate", 0.1) | {"current_value": 0.5, "peak_value": 0.9}
    assert size_points(half) == 3
    assert size_points(half | {"current_value": 0.4}) == 0
    assert size_points(half | {"current_value": 0.4, "end_date": day(3)}) == 3
    # Above an expected 0 there is no ratio.
    assert size_points(row_of("crash_rate", None)) == 1


@pytest.mark.parametrize(
    ("real", "tier", "users", "more", "wanted"),
    [
        (0.5, 2, None, {}, "low"),
        (1.5, 2, None, {}, "medium"),
        (5.0, 2, None, {}, "medium"),
        (5.0, 1, None, {}, "high"),
        (5.0, 3, None, {}, "medium"),
        (1.5, 3, None, {}, "low"),
        (5.0, None, 100, {}, "high"),
        (5.0, None, 99, {}, "medium"),
        (1.5, None, 9, {}, "low"),
        (1.5, None, 10, {}, "medium"),
        (5.0, 1, 100, {}, "critical"),
        (5.0, 2, None, {"is_objective_breach": True, "objective_source": "given"}, "high"),
        (5.0, 1, None, {"is_objective_breach": True, "objective_source": "given"}, "critical"),
        (5.0, 2, None, {"is_objective_breach": False, "objective_source": "given"}, "medium"),
        (5.0, 2, None, {"is_objective_breach": True, "objective_source": "default", "burn_rate_28d": 9.9}, "medium"),
        (5.0, 2, None, {"is_objective_breach": True, "objective_source": "default", "burn_rate_28d": 10.0}, "high"),
        (5.0, 1, 100, {"kind": "spike", "end_date": date(2026, 1, 4)}, "high"),
        (5.0, 1, 100, {"kind": "spike"}, "critical"),
        (1.5, 2, None, {"kind": "spike", "end_date": date(2026, 1, 4)}, "low"),
    ],
)
def test_objective_users_and_tier_move_severity(
    real: float, tier: int | None, users: int | None, more: dict[str, Any], wanted: str
) -> None:
    assert level("crash_rate", real, tier=tier, users=users, **more) == wanted


def test_users_of_the_worst_day_stand_in_for_those_of_the_last_and_may_be_unknown() -> None:
    row = row_of("crash_rate", 5.0) | {"affected_users": 500}
    assert severity(row, 1000.0, None) == "high"
    assert [severity(row, users, None) for users in (None, 0.0, NAN)] == ["medium"] * 3
    assert severity(row | {"users_today": 3}, 1000.0, None) == "medium"


def scopes(features: int, *found: tuple[str, str, int]) -> list[str]:
    rows = [{"feature": f, "metric": m, "detected_on": day(d), "scope": "feature"} for f, m, d in found]
    _mark_product_scope(rows, features, SETTINGS)
    return [row["scope"] for row in rows]


def test_half_of_the_features_within_a_day_are_a_matter_of_the_product() -> None:
    three = [("a", "events", 5), ("b", "events", 6), ("c", "users", 4)]
    assert scopes(6, *three) == ["product", "feature", "feature"]
    assert scopes(7, *three) == ["feature"] * 3
    assert scopes(4, *three) == ["feature"] * 3
    assert scopes(5, *three) == ["product", "feature", "feature"]
    assert scopes(6, ("a", "events", 5), ("b", "events", 5), ("c", "crash_rate", 5)) == ["feature"] * 3
    assert scopes(6, ("a", "events", 5), ("a", "users", 5), ("b", "events", 5)) == ["feature"] * 3
    assert scopes(6, ("a", "events", 5), ("b", "events", 5), ("c", "events", 7)) == ["feature"] * 3


# --- Findings -> faults -----------------------------------------------------------------------------------------------


def finding(
    metric: str,
    detected: int,
    bad: Sequence[int],
    *,
    active: Sequence[int] | None = None,
    end: int | None = None,
    start: int | None = None,
    event_name: str | None = None,
    **more: Any,
) -> Finding:
    """One episode of `pay` over 40 days, worse than normal on the `bad` ones."""
    days = np.arange(40)
    z = np.where(np.isin(days, bad), more.pop("z", 5.0), 0.0)[None, :]
    active = list(bad) if active is None else active
    flags = {name: np.isin(days, more.pop(name, []))[None, :] for name in ("restarts", "silent")}
    value = np.asarray(more.pop("value", np.full(40, 100.0)), dtype=float)[None, :]
    expected = np.asarray(more.pop("expected", np.full(40, 100.0)), dtype=float)[None, :]
    family, worse = more.pop("family", "positive"), more.pop("worse", 1)
    sample = np.full((1, 40), more.pop("sample", NAN))
    panel = Panel(metric, family, worse, ("pay",), tuple(day(d) for d in range(40)), value, value, sample)
    blank = np.zeros((1, 40))
    starts = np.isin(days, [detected])[None, :] | flags["restarts"]
    found = Detections(
        panel, expected, z, blank + more.pop("ewma", 0.0), blank, blank, blank, np.isin(days, active)[None, :], starts,
        flags["silent"], starts & False, blank.astype(np.int64),
    )  # fmt: skip
    start = detected if start is None else start
    kind, score, order = more.pop("kind", "step"), more.pop("score", 5.0), more.pop("order", 0)
    episode = Episode(0, metric, detected, start, end, max([*bad, start]) if end is None else end, kind, score)
    return Finding("pay", event_name, episode, found, order, **more)


def faults(*found: Finding) -> list[list[str]]:
    return [[f.metric for f in cluster] for cluster in _cluster(list(found), SETTINGS)]


@pytest.mark.parametrize(
    ("detected", "bad", "is_one"),
    [
        (13, range(10, 13), True),
        (13, range(10, 12), False),
        (14, range(10, 20), False),
        (10, [10], True),
        (11, [10], True),
        (12, [10], False),
    ],
)
def test_another_metric_within_three_days_of_a_fault_that_goes_on_belongs_to_it(
    detected: int, bad: Sequence[int], is_one: bool
) -> None:
    first, second = finding("latency_p95_ms", 10, list(bad)), finding("crash_rate", detected, [detected], z=4.0)
    assert len(faults(first, second)) == (1 if is_one else 2)


@pytest.mark.parametrize(
    ("detected", "bad", "active", "is_one"),
    [
        (20, range(10, 17), range(10, 17), True),
        (20, range(10, 16), range(10, 16), False),
        (20, range(10, 13), range(10, 21), True),
        (20, range(10, 13), range(10, 20), False),
    ],
)
def test_the_same_metric_again_after_three_calm_days_is_the_same_fault(
    detected: int, bad: Sequence[int], active: Sequence[int], is_one: bool
) -> None:
    first = finding("latency_p95_ms", 10, list(bad), active=list(active))
    again = finding("latency_p50_ms", detected, [detected])
    assert len(faults(first, again)) == (1 if is_one else 2)
    assert len(faults(first, finding("crash_rate", detected, [detected]))) == 2


def test_an_episode_that_starts_again_is_another_one() -> None:
    # Days 14 to 19 are of a later episode of the same series, so that the first was last worse on day 13.
    first = finding("latency_p95_ms", 10, list(range(10, 20)), restarts=[14])
    assert first.last_worse_by(day(19)) == day(13)
    assert first.is_active_on(day(13))
    assert not first.is_active_on(day(14))
    assert finding("latency_p95_ms", 10, [10, 11, 12], restarts=[11]).last_worse_by(day(12)) == day(10)
    silent = finding("events", 10, [10], active=[10, 11, 12], silent=[12])
    assert silent.last_worse_by(day(15)) == day(12)
    assert finding("events", 10, [], active=[10, 11]).last_worse_by(day(15)) == day(10)


def test_the_strongest_evidence_of_the_first_day_names_a_fault() -> None:
    weak, strong = finding("crash_rate", 10, [10], z=4.0), finding("latency_p95_ms", 10, [10], z=6.0)
    assert faults(weak, strong) == [["latency_p95_ms", "crash_rate"]]
    assert faults(finding("crash_rate", 10, [10], ewma=7.0), strong) == [["crash_rate", "latency_p95_ms"]]
    tied = [finding("crash_rate", 10, [10], order=2), finding("events", 10, [10], order=1)]
    assert faults(*tied) == [["events", "crash_rate"]]
    assert faults(finding("events", 12, [12]), finding("crash_rate", 11, [11])) == [["crash_rate", "events"]]


# --- Faults -> rows ---------------------------------------------------------------------------------------------------


def facts(**columns: Any) -> pd.DataFrame:
    """Facts of `pay` on 40 days, and one row of another feature."""
    own = pd.DataFrame({"event_date": [day(d) for d in range(40)], "feature": "pay", "events": 50, **columns})
    other = own.iloc[[20]].assign(feature="cart", events=9999)
    return pd.concat([own, other], ignore_index=True)


def made(*cluster: Finding, of: pd.DataFrame | None = None, tiers: Mapping[str, int] | None = None) -> dict[str, Any]:
    known = facts() if of is None else of
    own = _by_name(known).get(cluster[0].feature, known.iloc[:0])
    return _row(list(cluster), [], own, usual_product_users(known), tiers or {})


def test_a_row_has_its_days_its_worst_value_and_what_it_cost() -> None:
    value, expected = np.full(40, 0.01), np.full(40, 0.01)
    value[20:23], expected[20:23] = [0.03, 0.05, 0.02], [0.01, 0.02, 0.03]
    bad = finding(
        "crash_rate", 20, [20, 21, 22], end=22, value=value, expected=expected, family="rate", sample=1000.0, score=7.0
    )
    bad.detections.z[0, 21] = 9.0
    of = facts(crashed_users=np.arange(40), users=100, all_users=1000)
    row = made(bad, of=of)
    assert row["incident_id"] == incident_id("pay", None, "crash_rate", day(20))
    assert (row["start_date"], row["end_date"], row["detected_on"]) == (day(20), day(22), day(20))
    assert (row["metric"], row["metrics"], row["kind"], row["scope"]) == (
        "crash_rate",
        ["crash_rate"],
        "step",
        "feature",
    )
    assert row["baseline_value"] == pytest.approx(0.02)
    assert (row["peak_value"], row["current_value"], row["worst_date"]) == (0.05, 0.02, day(21))
    assert row["size"] == pytest.approx(0.03)
    assert row["change"] == pytest.approx(1.5)
    # (.02 + .03 − .01) of 1,000 a day.
    assert row["excess"] == pytest.approx(40)
    assert (row["events"], row["affected_users"], row["score"], row["unit"]) == (150, 21, 7.0, "fraction")
    assert row["severity"] == "medium"
    assert made(bad, of=of, tiers={"pay": 1})["severity"] == "medium"
    assert row["slice_status"] == "unknown"
    assert row["platform"] is None


def test_lost_events_are_counted_and_users_missed_against_their_month() -> None:
    value = np.full(40, 100.0)
    value[30:32] = [60, 0]
    lost = finding("events", 30, [30, 31], value=value, family="count", worse=-1)
    lost.detections.z[0, 31] = 9.0
    users = [7.0, 1000.0, *range(1, 28), 500.0, 5.0, 4.0, *[900.0] * 8]
    row = made(lost, of=facts(users=users))
    assert (row["end_date"], row["excess"], row["size"], row["change"]) == (None, 140.0, -100.0, -1.0)
    # The median of days 2 to 29 is 14.5; 4 came on the worst day.
    assert row["affected_users"] == 10
    assert made(lost, of=facts())["affected_users"] is None
    many = made(lost, of=facts(users=[10.0] * 31 + [90.0] * 9))
    assert many["affected_users"] == 0
    gained = finding("events", 30, [30], value=np.where(np.arange(40) == 30, 150.0, 100.0), family="count", worse=-1)
    assert made(gained)["excess"] == 0.0


def test_users_of_a_slow_feature_are_all_of_that_day_and_of_errors_unknown() -> None:
    of = facts(users=np.arange(40.0), crashed_users=1.0)
    slow = finding("latency_p95_ms", 20, [20, 21], value=np.arange(40.0) + 100)
    assert (made(slow, of=of)["affected_users"], made(slow, of=of)["excess"]) == (20, None)
    assert made(finding("feedback_mean", 20, [20], family="score", worse=-1), of=of)["affected_users"] == 20
    assert made(finding("error_rate", 20, [20], family="rate", sample=9.0), of=of)["affected_users"] is None
    nowhere = made(slow, of=of[of["feature"] == "cart"])
    assert (nowhere["events"], nowhere["affected_users"]) == (0, None)
    unknown = made(finding("latency_p95_ms", 20, [20], value=np.full(40, NAN)), of=of)
    assert [unknown[name] for name in ("baseline_value", "peak_value", "size", "change", "excess")] == [None] * 5
    slow.detections.z[0, 20] = NAN
    assert made(slow, of=of)["worst_date"] == day(21)
    free = made(finding("crash_rate", 20, [20], expected=np.zeros(40), family="rate", sample=9.0), of=of)
    assert (free["change"], free["severity"]) == (None, "high")


def test_a_fault_goes_on_while_any_metric_does_and_is_dated_by_its_first_one() -> None:
    first = finding("latency_p95_ms", 20, [20, 21], end=21, start=19, score=5.0)
    second = finding("latency_p50_ms", 21, [21, 22, 23], end=23, start=18, score=8.0)
    row = made(first, second)
    assert (row["start_date"], row["end_date"], row["score"]) == (day(19), day(23), 8.0)
    assert row["metrics"] == ["latency_p95_ms", "latency_p50_ms"]
    assert made(first, finding("latency_p50_ms", 21, [21]))["end_date"] is None
    again = finding("latency_p95_ms", 23, [23, 24], end=24, start=18, kind="creep")
    both = made(first, again)
    assert (both["start_date"], both["kind"], both["metrics"]) == (day(18), "step", ["latency_p95_ms"])
    assert made(finding("latency_p95_ms", 20, [20], kind="creep"))["kind"] == "creep"


def test_a_fault_begins_no_later_than_it_was_found_though_its_lead_was_found_after() -> None:
    # Users fall on day 20; that it was one event falling silent shows, from day 21 on, on day 22.
    first = finding("users", 20, [20, 21, 22], start=19, family="count", worse=-1)
    silent = finding("events", 22, [22], start=21, event_name="finish", kind="dead", family="count", worse=-1, order=1)
    row = made(first, silent)
    assert (row["metric"], row["event_name"]) == ("events", "finish")
    assert (row["start_date"], row["detected_on"]) == (day(19), day(20))


def test_the_one_event_that_fell_silent_is_named() -> None:
    dead = finding("events", 20, [20], event_name="finish", kind="dead", family="count", worse=-1)
    whole = finding("events", 20, [20], family="count", worse=-1)
    assert made(dead)["event_name"] == "finish"
    assert (made(whole, dead)["event_name"], made(whole, dead)["kind"]) == ("finish", "dead")
    other = finding("events", 20, [20], event_name="start", kind="dead", family="count", worse=-1)
    assert made(dead, other)["event_name"] is None
    gone = finding("events", 20, [20], kind="dead", family="count", worse=-1)
    assert made(gone, dead)["event_name"] is None
    assert made(finding("crash_rate", 20, [20], family="rate", sample=9.0), dead)["event_name"] is None
    assert made(dead, of=facts(users=5.0))["affected_users"] is None


def test_what_the_whole_shows_is_told_of_the_whole_and_else_of_the_platform() -> None:
    ios = finding("crash_rate", 20, [20], family="rate", sample=9.0, platform="ios", order=7)
    whole = finding("crash_rate", 21, [21], family="rate", sample=9.0, start=21)
    assert made(ios)["platform"] == "ios"
    row = made(ios, whole)
    assert (row["platform"], row["start_date"]) == (None, day(20))
    assert row["incident_id"] == incident_id("pay", None, "crash_rate", day(20))


# --- Windows, events and slices ---------------------------------------------------------------------------------------


def incident(metric: str = "crash_rate", first: int = 20, last: int | None = 25, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(INCIDENTS.column_names)
    row |= {"incident_id": "inc-1", "feature": "pay", "metric": metric, "kind": "step", "scope": "feature"}
    row |= {"start_date": day(first), "end_date": None if last is None else day(last), "slice_status": "unknown"}
    return row | {"unit": "fraction", "baseline_value": 0.01, "peak_value": 0.03, "size": 0.02, "change": 2.0} | more


@pytest.mark.parametrize(("last", "until"), [(25, 25), (None, 30), (19, 20), (60, 47), (46, 46), (47, 47), (48, 47)])
def test_a_fortnight_before_is_held_against_four_weeks_at_most(last: int | None, until: int) -> None:
    (row,) = incident_windows(pd.DataFrame([incident(last=last)]), day(30)).to_dict("records")
    assert (row["before_from"], row["before_to"]) == (day(5), day(18))
    assert (row["during_from"], row["during_to"]) == (day(20), day(until))
    assert (row["threshold"], row["event_name"], row["metric"]) == (0.01, None, "crash_rate")
    (named,) = incident_windows(pd.DataFrame([incident(event_name="go", baseline_value=None)]), day(30)).to_dict(
        "records"
    )
    assert named["event_name"] == "go"
    assert pd.isna(named["threshold"])


EVENTS = [
    # day, feature, event name, user, platform, version, country, status, latency, feedback
    (4, "pay", "go", "u1", "ios", "1", "DE", "crash", 900.0, 1.0),
    (5, "pay", "go", "u1", "ios", "1", "DE", "ok", 100.0, 5.0),
    (18, "pay", "go", "u2", "web", "1", "FR", "crash", 100.0, None),
    (19, "pay", "go", "u2", "web", "1", "FR", "crash", 900.0, 1.0),
    (20, "pay", "go", "u1", "ios", "1", "DE", "crash", 300.0, 2.0),
    (20, "pay", "stop", "u1", "ios", "2", None, "crash", 200.0, None),
    (21, "pay", "go", "u2", "ios", "2", "DE", "error", None, 4.0),
    (25, "pay", "go", None, "web", "2", "DE", "crash", 201.0, None),
    (27, "pay", "go", "u3", "web", "2", "DE", "crash", 900.0, 1.0),
    (27, "pay", "go", "u3", "web", "2", "DE", "crash", 900.0, 1.0),
    (27, "pay", "go", "u3", "web", "2", "DE", "ok", 900.0, 1.0),
    (26, "pay", "go", "u3", "web", "2", "DE", "crash", 900.0, 1.0),
    (21, "cart", "go", "u4", "web", "2", "DE", "crash", 900.0, 1.0),
]


def asked(sql: str, incidents: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    names = ["number", "feature", "event_name", "user_id", "platform", "app_version", "country", "status"]
    events = pd.DataFrame(EVENTS, columns=[*names, "latency_ms", "feedback_score"])
    events["event_date"] = [day(n) for n in events["number"]]
    with duckdb.connect() as connection:
        connection.register("frame", events)
        nulls = ", ".join(
            f"case when isnan({c}) then null else {c} end as {c}" for c in ("latency_ms", "feedback_score")
        )
        connection.execute(f"create table events as select * replace ({nulls}) from frame")
        connection.register("incident_windows", incident_windows(pd.DataFrame(incidents), day(30)))
        return connection.execute(sql, {"from_date": day(0), "to_date": day(40)}).fetchall()


@pytest.mark.parametrize(
    ("metric", "threshold", "before", "during"),
    [
        ("crash_rate", 0.01, (2, 1), (4, 3)),
        ("crash_free_sessions", 0.01, (2, 1), (4, 3)),
        ("error_rate", 0.01, (2, 0), (4, 1)),
        ("latency_p95_ms", 200.0, (2, 0), (3, 2)),
        ("apdex", 200.0, (2, 0), (3, 2)),
        ("feedback_mean", 4.0, (1, 0), (2, 4)),
        ("events", 100.0, (2, 0), (4, 0)),
    ],
)
def test_what_hurts_is_counted_before_and_during(
    metric: str, threshold: float, before: tuple[int, int], during: tuple[int, int]
) -> None:
    rows = asked(slice_sql("events"), [incident(metric, baseline_value=threshold)])
    assert len({row[:5] for row in rows}) == len(rows)
    whole = {row[1]: row[5:] for row in rows if row[2:5] == (None, None, None)}
    assert whole == {"before": before, "during": during}


def test_slices_are_of_each_dimension_and_of_each_pair() -> None:
    rows = asked(slice_sql("events"), [incident(), incident(incident_id="inc-2", event_name="stop")])
    during = {row[2:5]: row[5:] for row in rows if row[:2] == ("inc-1", "during")}
    assert during == {
        (None, None, None): (4, 3),
        ("ios", None, None): (3, 2), ("web", None, None): (1, 1),
        (None, "1", None): (1, 1), (None, "2", None): (3, 2),
        (None, None, "DE"): (3, 2), (None, None, "(unknown)"): (1, 1),
        ("ios", "1", None): (1, 1), ("ios", "2", None): (2, 1), ("web", "2", None): (1, 1),
        ("ios", None, "DE"): (2, 1), ("ios", None, "(unknown)"): (1, 1), ("web", None, "DE"): (1, 1),
        (None, "1", "DE"): (1, 1), (None, "2", "DE"): (2, 1), (None, "2", "(unknown)"): (1, 1),
    }  # fmt: skip
    assert {row[1:] for row in rows if row[0] == "inc-2" and row[2:5] == (None,) * 3} == {
        ("during", *(None,) * 3, 1, 1)
    }


def test_users_who_met_it_are_counted_by_the_day() -> None:
    rows = asked(affected_users_sql("events"), [incident(), incident("events", incident_id="inc-2")])
    assert sorted(rows) == [("inc-1", day(20), 1)]
    slow = asked(affected_users_sql("events"), [incident("latency_p95_ms", baseline_value=100.0)])
    assert sorted(slow) == [("inc-1", day(20), 1)]


def test_events_and_crashes_are_counted_by_name_and_platform() -> None:
    rows = asked(event_counts_sql("events"), [incident()])
    assert (day(20), "pay", "go", "ios", 1, 1) in rows
    assert (day(21), "pay", "go", "ios", 1, 0) in rows
    assert (day(27), "pay", "go", "web", 3, 2) in rows
    assert (sum(row[4] for row in rows), sum(row[5] for row in rows)) == (13, 10)


def aggregate(**slices: tuple[float, float, float, float]) -> pd.DataFrame:
    """Rows of `slice_sql` by `platform_version_country` (`x` = all): n before, bad before, n during, bad during."""
    rows = []
    for name, (n_before, bad_before, n_during, bad_during) in slices.items():
        where = [None if part == "x" else part for part in name.split("_")]
        rows += [("inc-1", "before", *where, n_before, bad_before), ("inc-1", "during", *where, n_during, bad_during)]
    return pd.DataFrame(rows, columns=["incident_id", "period", "platform", "app_version", "country", "n", "bad"])


CRASHING = {"x_x_x": (1000, 10, 1000, 110), "ios_x_x": (300, 3, 300, 103), "web_x_x": (700, 7, 700, 7)}


def test_a_slice_is_weighed_by_what_it_has_beyond_its_own_past() -> None:
    cells = _cells(aggregate(**CRASHING), None, SETTINGS).set_index("platform", drop=False)
    ios, web = cells.loc["ios"], cells.loc["web"]
    # The overall rate is .01, so that five prior bad events are 500 rows: (3 + 5) ÷ 800 of 300 are 3.
    assert ios["excess"] == pytest.approx(100)
    assert ios["evidence"] == pytest.approx(103)
    assert ios["score"] == pytest.approx(103 * math.log(103 / 3) + 3 - 103)
    assert (ios["traffic_share"], ios["size"], ios["kind"]) == (0.3, 1, "100")
    assert (web["excess"], web["score"]) == (pytest.approx(0), pytest.approx(0))
    assert cells["size"].tolist().count(0) == 1
    mended = _cells(aggregate(**CRASHING | {"web_x_x": (700, 7, 700, 0)}), None, SETTINGS).set_index("platform")
    assert mended.loc["web", "score"] == pytest.approx(7)
    grown = _cells(aggregate(x_x_x=(1000, 10, 1000, 20), ios_x_x=(100, 1, 400, 11)), None, SETTINGS)
    assert grown["traffic_share"].max() == 1
    assert grown.loc[grown["platform"] == "ios", "traffic_share"].item() == pytest.approx(0.4)


def test_the_slice_that_explains_a_change_is_found_with_its_shares() -> None:
    assert best_slice(aggregate(**CRASHING)) == SliceVerdict("found", ("platform",), ("ios",), 1.0, 0.3)


def crashing(ios: int, rest: int, ios_traffic: int = 300) -> str:
    """Status where so many crash beyond the usual rate on ios and elsewhere."""
    web = 1000 - ios_traffic
    usual = ios_traffic // 100
    return best_slice(
        aggregate(
            x_x_x=(1000, 10, 1000, 10 + ios + rest),
            ios_x_x=(ios_traffic, usual, ios_traffic, usual + ios),
            web_x_x=(web, 10 - usual, web, 10 - usual + rest),
        )
    ).status


@pytest.mark.parametrize(
    ("ios", "rest", "traffic", "status"),
    [
        (61, 39, 100, "found"),
        (59, 41, 100, "everything"),
        # So likely a split must be: 61 of 100 on three tenths of traffic are no better told than all of it.
        (61, 39, 300, "everything"),
        # Half as much again as its traffic is all of it at two thirds.
        (100, 0, 660, "found"),
        (100, 0, 680, "everything"),
        (100, 0, 940, "everything"),
        (100, 0, 950, "unknown"),
        (0, 0, 300, "unknown"),
        (-4, -4, 300, "unknown"),
    ],
)
def test_most_of_a_change_must_lie_there_and_more_than_its_traffic(
    ios: int, rest: int, traffic: int, status: str
) -> None:
    assert crashing(ios, rest, traffic) == status


@pytest.mark.parametrize(("bad", "status"), [(9, "unknown"), (10, "found")])
def test_nine_bad_events_say_nothing_of_slices(bad: int, status: str) -> None:
    slices = {"x_x_x": (9000, 3, 3000, bad), "ios_x_x": (900, 0.3, 300, bad), "web_x_x": (8100, 2.7, 2700, 0)}
    assert best_slice(aggregate(**slices)).status == status


def test_one_value_only_is_no_answer_and_two_are() -> None:
    whole = (1000, 10, 1000, 110)
    assert best_slice(aggregate(x_x_x=whole, ios_x_x=whole)).status == "unknown"
    assert (
        best_slice(aggregate(x_x_x=whole, ios_x_x=(950, 9.5, 950, 104), web_x_x=(50, 0.5, 50, 6))).status == "unknown"
    )
    two = aggregate(x_x_x=whole, ios_x_x=(940, 9.4, 940, 104), web_x_x=(60, 0.6, 60, 6))
    assert best_slice(two).status == "everything"


def pair(both: float, single: float) -> tuple[str, ...]:
    """What is named where `both` crash on ios in DE and `single` more on ios elsewhere."""
    return best_slice(
        aggregate(
            x_x_x=(1000, 10, 1000, 10 + both + single),
            ios_x_x=(300, 3, 300, 3 + both + single),
            web_x_x=(700, 7, 700, 7),
            x_x_DE=(500, 5, 500, 5 + both),
            x_x_FR=(500, 5, 500, 5 + single),
            ios_x_DE=(150, 1.5, 150, 1.5 + both),
            ios_x_FR=(150, 1.5, 150, 1.5 + single),
        )
    ).values


def test_a_pair_is_named_only_where_it_says_clearly_more() -> None:
    assert pair(100, 0) == ("ios", "DE")
    assert pair(90, 10) == ("ios",)
    assert pair(50, 50) == ("ios",)


def test_a_new_version_is_held_against_the_past_of_its_platforms() -> None:
    # Version 2 is new; ios crashed in .04, web in .01 of cases. Half of it each way: .025 are to be expected.
    cells = _cells(
        aggregate(
            x_x_x=(1000, 25, 1000, 30),
            ios_x_x=(500, 20, 500, 20),
            web_x_x=(500, 5, 500, 10),
            x_1_x=(1000, 25, 600, 15),
            x_2_x=(0, 0, 400, 15),
            ios_1_x=(500, 20, 400, 16),
            ios_2_x=(0, 0, 100, 4),
            web_2_x=(0, 0, 300, 11),
        ),
        None,
        SETTINGS,
    )
    excess = {
        (None if pd.isna(row.platform) else row.platform, row.app_version): row.excess
        for row in cells.itertuples()
        if not pd.isna(row.app_version)
    }
    assert excess["ios", "2"] == pytest.approx(4 - 100 * 0.04)
    assert excess["web", "2"] == pytest.approx(11 - 300 * 0.01)
    # A hundred on ios and three hundred on web: (4 + 3) of 400.
    assert excess[None, "2"] == pytest.approx(15 - 7)


LOST = {
    "x_x_x": (1400, 0, 600, 0),
    "x_x_US": (420, 0, 10, 0), "x_x_DE": (980, 0, 590, 0),
    "x_1_x": (700, 0, 0, 0), "x_2_x": (700, 0, 600, 0),
}  # fmt: skip


def test_lost_events_are_traced_by_their_share_of_what_was_expected_and_never_to_a_version() -> None:
    # 1,000 were expected and 600 came: of 300 from US 10.
    cells = _cells(aggregate(**LOST), 1000.0, SETTINGS).set_index("country", drop=False)
    assert cells.loc["US", "excess"] == pytest.approx(290)
    assert cells.loc["US", "evidence"] == pytest.approx(300)
    assert cells.loc["US", "score"] == pytest.approx(10 * math.log(10 / 300) + 290)
    assert cells.loc["US", "traffic_share"] == pytest.approx(0.3)
    verdict = best_slice(aggregate(**LOST), expected_events=1000.0)
    assert (verdict.status, verdict.dimensions, verdict.values) == ("found", ("country",), ("US",))
    assert verdict.share == pytest.approx(290 / 400)
    released = {name: rows for name, rows in LOST.items() if "US" not in name and "DE" not in name}
    alike = {"x_x_US": (420, 0, 180, 0), "x_x_DE": (980, 0, 420, 0)}
    assert best_slice(aggregate(**released, **alike), expected_events=1000.0).status == "everything"
    assert best_slice(aggregate(**LOST), expected_events=600.0).status == "unknown"


def test_what_was_expected_of_a_volume_is_its_baseline_times_its_days() -> None:
    incidents = pd.DataFrame([incident("events", 20, 23, baseline_value=250.0)])
    verdict = attribute_slices(aggregate(**LOST), incidents, day(30))["inc-1"]
    assert (verdict.values, verdict.share) == (("US",), pytest.approx(290 / 400))
    crashes = attribute_slices(aggregate(**CRASHING), pd.DataFrame([incident()]), day(30))
    assert crashes["inc-1"].values == ("ios",)
    two = pd.DataFrame([incident(), incident(incident_id="inc-2")])
    assert attribute_slices(aggregate(**CRASHING), two, day(30))["inc-2"].status == "unknown"


# --- Sentences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "pay: crash rate at 3 % instead of 1 % (× 3.0) from 21 Jan to 26 Jan 2026."),
        ({"last": None}, "pay: crash rate at 3 % instead of 1 % (× 3.0) since 21 Jan 2026."),
        ({"last": 20}, "pay: crash rate at 3 % instead of 1 % (× 3.0) on 21 Jan 2026."),
        ({"change": 1.0}, "pay: crash rate at 3 % instead of 1 % (× 2.0) from 21 Jan to 26 Jan 2026."),
        ({"change": 0.99}, "pay: crash rate at 3 % instead of 1 % (+99 %) from 21 Jan to 26 Jan 2026."),
        ({"change": None}, "pay: crash rate at 3 % instead of 1 % from 21 Jan to 26 Jan 2026."),
        ({"kind": "creep"}, "pay: crash rate grew to 3 % instead of 1 % (× 3.0) from 21 Jan to 26 Jan 2026."),
        ({"kind": "spike"}, "pay: crash rate jumped to 3 % instead of 1 % (× 3.0) from 21 Jan to 26 Jan 2026."),
        ({"platform": "ios"}, "pay on ios: crash rate at 3 % instead of 1 % (× 3.0) from 21 Jan to 26 Jan 2026."),
        ({"peak_value": None}, "pay: crash rate changed from 21 Jan to 26 Jan 2026."),
        ({"baseline_value": None}, "pay: crash rate changed from 21 Jan to 26 Jan 2026."),
        (
            {"affected_users": 1234},
            "pay: crash rate at 3 % instead of 1 % (× 3.0) from 21 Jan to 26 Jan 2026;"
            " about 1,234 users a day affected.",
        ),
        ({"affected_users": 0}, "pay: crash rate at 3 % instead of 1 % (× 3.0) from 21 Jan to 26 Jan 2026."),
        (
            {"scope": "product"},
            "pay: crash rate at 3 % instead of 1 % (× 3.0) from 21 Jan to 26 Jan 2026, as on most features at once:"
            " look upstream first.",
        ),
        (
            {"slice_status": "everything"},
            "pay: crash rate at 3 % instead of 1 % (× 3.0) from 21 Jan to 26 Jan 2026, everywhere alike.",
        ),
    ],
)
def test_an_incident_is_said_in_a_sentence(changes: dict[str, Any], said: str) -> None:
    assert describe(incident(**changes)) == said


def test_falls_silences_and_slices_are_said_as_such() -> None:
    fall = {"unit": "count", "baseline_value": 100.0, "peak_value": 40.0, "size": -60.0, "change": -0.6, "last": None}
    fall |= {"affected_users": 1, "metric": "events", "events": 40}
    verbs = {"step": "at", "creep": "sank to", "spike": "fell to", "dead": "at"}
    for kind, verb in verbs.items():
        wanted = f"pay: events {verb} 40 instead of 100 (−60 %) since 21 Jan 2026; about 1 user a day missing."
        assert describe(incident(**fall, kind=kind)) == wanted
    dead = fall | {"kind": "dead", "events": 0, "affected_users": None}
    assert describe(incident(**dead)) == (
        "pay: no events at all, normally 100 a day (silence tells after 1 day), since 21 Jan 2026."
    )
    rare = dead | {"baseline_value": 1.0, "event_name": "finish", "events": 9}
    assert describe(incident(**rare)) == (
        "pay (finish events): no events at all, normally 1 a day (silence tells after 11 days), since 21 Jan 2026."
    )
    assert describe(incident(**(dead | {"baseline_value": None}))) == "pay: no events at all, since 21 Jan 2026."
    assert describe(incident(**(dead | {"baseline_value": 0.0}))) == (
        "pay: no events at all, normally 0 a day, since 21 Jan 2026."
    )
    found = {"slice_status": "found", "slice_dimensions": ["platform", "country"], "slice_values": ["ios", "DE"]}
    found |= {"slice_share": 0.876, "slice_traffic_share": 0.123}
    assert describe(incident(**found)).endswith(", 88 % of it on platform ios and country DE (12 % of traffic).")
    own = found | {"slice_dimensions": ["platform"], "slice_values": ["ios"]}
    assert describe(incident(**own)).endswith(", 88 % of it on platform ios (12 % of traffic).")
    assert describe(incident(**own, platform="ios")).endswith("to 26 Jan 2026.")
    assert "of it on platform web" in describe(incident(**(own | {"slice_values": ["web"]}), platform="ios"))
    score = {"unit": "score", "metric": "feedback_mean", "baseline_value": 4.0, "peak_value": 3.0, "size": -1.0}
    assert describe(incident(**score)) == "pay: feedback at 3.00 instead of 4.00 from 21 Jan to 26 Jan 2026."


def test_slices_and_users_are_written_into_the_rows() -> None:
    rows = pd.DataFrame([incident(), incident(incident_id="inc-2", affected_users=7)])
    verdict = SliceVerdict("found", ("platform",), ("ios",), 0.9, 0.3)
    told = with_slices(rows, {"inc-1": verdict})
    assert told["slice_status"].tolist() == ["found", "unknown"]
    assert (told["slice_dimensions"][0], told["slice_values"][0]) == (["platform"], ["ios"])
    assert (told["slice_share"][0], told["slice_traffic_share"][0]) == (0.9, 0.3)
    assert "90 % of it on platform ios" in told["sentence"][0]
    users = pd.DataFrame({"incident_id": ["inc-1", "inc-1"], "event_date": [day(20), day(21)], "users": [5, 9]})
    counted = with_affected_users(rows, users)
    assert counted["affected_users"].tolist() == [9, 7]
    assert "about 9 users a day affected" in counted["sentence"][0]
    assert with_affected_users(rows, users.iloc[:0])["affected_users"].tolist() == [pd.NA, 7]


def test_the_odds_of_silence_by_hand() -> None:
    # 35 days of 2 a day are 70 seen; 4 are to be expected of two days: (1 + 4 ÷ 70)^−70.
    seen = np.array([70.0, 14.0, 0.0])
    odds = np.exp(silence_log_p(np.array([4.0, 4.0, 0.0]), seen, np.ones(3)))
    assert odds.tolist() == pytest.approx([(1 + 4 / 70) ** -70, (1 + 4 / 14) ** -14, 1.0])
    assert days_until_silence_tells(1.0) == 11
    assert days_until_silence_tells(1.0, alpha=0.1) == 3
