"""How large an incident is and what it cost, whole and by value: sizes less chance, counts, users, severity."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from math import log, sqrt
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.domain.features.incident_findings import Finding
from quality_assets.domain.features.incidents import (
    _belongs,
    _by_name,
    _counted,
    _exposure,
    _last_known_day,
    _measure,
    _real_change,
    event_counts_sql,
    usual_product_users,
)
from quality_assets.domain.features.product_wide import told_once
from quality_assets.domain.features.settings import IncidentSettings
from quality_assets.domain.features.severity import real_part, severity, size_points
from quality_assets.domain.features.slices import _scan_score, incident_windows, with_affected_users
from quality_assets.domain.features.status import LEAST_GRADED, RIGHT_SHARE
from quality_assets.domain.series.detection import Detections, Episode
from quality_assets.domain.series.panel import Panel

NAN = float("nan")
DAYS = 30


def day(number: int) -> date:
    return date(2026, 1, 1) + timedelta(days=number)


def finding(start: int, value: Any, expected: Any = 10.0, **more: Any) -> Finding:
    """The second of two series, found on the day it began.

    more: detected, z, family, worse, noise, sample, kind, metric, active, pooled (days that its verdict rests on).
    """

    def rows(values: Any, other: float) -> np.ndarray:
        return np.vstack([np.full(DAYS, other), np.broadcast_to(np.asarray(values, dtype=float), (DAYS,))])

    metric, detected = more.get("metric", "latency_p95_ms"), more.get("detected", start)
    panel = Panel(
        metric, more.get("family", "positive"), more.get("worse", 1), ("a", "b"), tuple(day(d) for d in range(DAYS)),
        rows(value, 1e6), rows(value, 1e6), rows(more.get("sample", 100.0), 1e6),
    )  # fmt: skip
    active = np.vstack([np.zeros(DAYS, bool), np.isin(np.arange(DAYS), more.get("active", ()))])
    zero = np.zeros((2, DAYS))
    found = Detections(
        panel, rows(expected, 1e3), rows(more.get("z", 5.0), 1e9), zero, zero, rows(more.get("noise", 0.0), 1e9), zero,
        active, zero > 0, zero > 0, zero > 0, zero.astype(np.int64),
        days_pooled=rows(more["pooled"], 77.0) if "pooled" in more else None,
    )  # fmt: skip
    end = more.get("end")
    last = more.get("last", start if end is None else end)
    episode = Episode(1, metric, detected, start, end, last, more.get("kind", "step"), 1.0)
    return Finding("b", None, episode, found, 0)


def around(*values: float, at: int = 20, usual: float = 10.0) -> np.ndarray:
    """A series that is as usual but from a day on."""
    out = np.full(DAYS, usual)
    out[at : at + len(values)] = values
    return out


# --- Sizes ------------------------------------------------------------------------------------------------------------


def test_the_worst_day_of_a_missed_objective_is_the_farthest_of_those_with_enough_events() -> None:
    # The evidence is the same on every day; on day 22 nine events stray by chance.
    values, sample = around(14, 15, 90, 19, 13), around(100, 100, 9, 60, 100, usual=100)
    told = {"kind": "objective", "z": 5.5, "active": range(20, 25), "sample": sample}
    found = _measure(finding(20, values, last=24, **told), day(20), day(24), True)
    assert (found["worst_date"], found["peak_value"], found["size"]) == (day(23), 19, 9)
    # Half of the usual sample is enough, and one that is not known is ample.
    for enough in (around(100, 100, 50, 60, 100), around(NAN, NAN, NAN, NAN, NAN)):
        found = _measure(finding(20, values, last=24, **told | {"sample": enough}), day(20), day(24), True)
        assert (found["worst_date"], found["peak_value"]) == (day(22), 90)
    # Of what is worse than its own past it is the day of the most evidence.
    by_z = _measure(finding(20, values, z=around(5, 9, 6, 7, 5, usual=0), last=24), day(20), day(24), True)
    assert (by_z["worst_date"], by_z["peak_value"]) == (day(21), 15)


def test_an_incident_is_measured_over_its_days() -> None:
    z = around(5, 8, 6, at=20, usual=0.0)
    value, expected = around(20, 40, 30, 26), around(10, 20, 12, 13)
    each = finding(
        20, value, expected, z=z, noise=2.0, pooled=around(1, 1, 3, usual=1.0), metric="error_rate", family="rate"
    )
    assert _measure(each, day(20), day(22), is_open=False) == {
        "baseline_value": 14.0, "current_value": 30.0, "current_size": 18.0, "peak_value": 40.0, "size": 20.0,
        # The worst is by deviation; of a single day 1.64 × 2 may be chance.
        "change": 1.0, "real_change": pytest.approx((20 - 1.64 * 2) / 20), "excess": 4800.0, "worst_date": day(21),
        "peak_count": None, "usual_most": None, "counted_days": None, "days_pooled": 3.0,
    }  # fmt: skip
    # What goes on is told by the last day of the data, and its real size by the last three.
    going = _measure(each, day(20), day(22), is_open=True)
    assert (going["current_value"], going["current_size"], going["days_pooled"]) == (10.0, 0.0, None)
    assert (going["peak_value"], going["real_change"]) == (40.0, 0.0)


def test_what_is_not_known_is_null() -> None:
    each = finding(20, around(NAN, 40, NAN), noise=NAN, z=around(NAN, NAN, NAN, usual=0.0))
    assert _measure(each, day(20), day(22), is_open=False) == {
        "baseline_value": 10.0, "current_value": None, "current_size": None, "peak_value": 40.0, "size": 30.0,
        "change": 3.0, "real_change": 3.0, "excess": None, "worst_date": day(21), "peak_count": None,
        "usual_most": None, "counted_days": None, "days_pooled": None,
    }  # fmt: skip
    nothing = _measure(finding(20, np.full(DAYS, NAN)), day(20), day(22), is_open=True)
    assert (len(nothing), set(nothing.values())) == (13, {None})
    free = _measure(finding(20, around(5.0), 0.0), day(20), day(20), is_open=False)
    assert (free["size"], free["change"], free["real_change"]) == (5.0, None, None)


def test_a_loss_is_counted_by_its_events() -> None:
    lost = finding(20, around(4, 0, 12), family="count", worse=-1, metric="events", z=around(3, 9, 0, usual=0.0))
    found = _measure(lost, day(20), day(22), is_open=False)
    # 6 and 10 less, then 2 more.
    assert (found["excess"], found["size"], found["change"], found["real_change"]) == (14.0, -10.0, -1.0, 1.0)
    gained = finding(20, around(14), family="count", worse=-1, metric="events")
    assert _measure(gained, day(20), day(20), is_open=False)["excess"] == 0.0
    rate = finding(20, around(12, 13, 9), family="rate", sample=around(10, 20, 1000), metric="error_rate")
    assert _measure(rate, day(20), day(22), is_open=False)["excess"] == 0.0
    assert _measure(rate, day(20), day(21), is_open=False)["excess"] == 2 * 10 + 3 * 20


@pytest.mark.parametrize(
    ("today", "wanted"),
    [
        # Days 20, 21, 22 are 10, 20 and 60 off, less 1.64 × 5 ÷ √3 of 10; fewer where it has only begun.
        (22, (30 - 1.64 * 5 / sqrt(3)) / 10),
        (21, (15 - 1.64 * 5 / sqrt(2)) / 10),
        (20, (10 - 1.64 * 5) / 10),
        (23, (40 - 1.64 * 5 / sqrt(2)) / 10),
        (24, (60 - 1.64 * 5) / 10),
        (25, None),
        (None, (20 - 1.64 * 5) / 10),
    ],
)
def test_what_is_real_is_the_last_three_days_less_chance(today: int | None, wanted: float | None) -> None:
    each = finding(20, around(20, 30, 70, NAN, NAN, NAN), noise=5.0)
    found = _real_change(each, 21, today)
    assert found is None if wanted is None else found == pytest.approx(wanted)


def test_what_is_real_is_never_less_than_nothing_and_of_scores_in_points() -> None:
    assert _real_change(finding(20, around(12), noise=5.0), 20, None) == 0.0
    score = finding(20, around(3.0, usual=4.5), 4.5, family="score", worse=-1, noise=0.5)
    assert _real_change(score, 20, None) == pytest.approx(1.5 - 1.64 * 0.5)
    assert _real_change(finding(20, around(20), noise=NAN), 20, None) == 1.0
    half = finding(20, around(20, 20, 20), noise=around(NAN, 2, 4, usual=0.0))
    assert _real_change(half, 20, 22) == pytest.approx((10 - 1.64 * 3 / sqrt(3)) / 10)


def test_the_last_known_day_is_the_last_with_a_value() -> None:
    assert _last_known_day(finding(20, around(20))) == 29
    assert _last_known_day(finding(20, [*[10.0] * 25, *[NAN] * 5])) == 24
    assert _last_known_day(finding(20, np.full(DAYS, NAN), last=23)) == 23


def counted(value: float, expected: float, sample: float = 100.0, **more: Any) -> tuple[float | None, float | None]:
    each = finding(20, around(value), expected, **{"family": "rate", "metric": "crash_rate", "sample": sample, **more})
    found = _counted(each, 20, slice(20, 21))
    assert (list(found), found["counted_days"]) == (["peak_count", "usual_most", "counted_days"], None)
    return found["peak_count"], found["usual_most"]


def test_where_few_are_usual_they_are_counted() -> None:
    # Of a Poisson count of one more than four come once in 273 times, more than three in 53.
    assert counted(0.2, 0.01) == (20.0, 4.0)
    assert counted(0.2, 0.0) == (20.0, 0.0)
    assert counted(0.2, -0.1) == (20.0, 0.0)
    assert counted(0.204, 0.01) == (20.0, 4.0)
    # 4.999 are few, 5 are not.
    assert counted(0.2, 0.04999)[1] == 11.0
    assert counted(0.2, 0.05) == (None, None)
    # Its own noise may be more: 1 + 2.33 × .05 × 100 = 12.65.
    assert counted(0.2, 0.01, noise=0.05) == (20.0, 12.0)
    assert counted(0.2, 0.01, noise=0.01) == (20.0, 4.0)
    assert counted(0.2, 0.01, noise=NAN) == (20.0, 4.0)
    assert counted(0.2, NAN) == (None, None)
    assert counted(0.2, 0.01, kind="objective") == (None, None)
    assert counted(20, 1, family="count", metric="events") == (None, None)


def test_where_no_day_alone_shows_it_those_that_gave_it_away_are_counted_together() -> None:
    # Two crashes a day of 100 events where half a one is usual; at most 3 of .5 and 7 of 2.5 come 99 times of 100.
    few = {"family": "rate", "metric": "crash_rate", "sample": 100.0}
    found = finding(20, around(0.02, 0.02, NAN, 0.02, 0.02, 0.02, usual=0.0), 0.005, **few)
    nothing = dict.fromkeys(("peak_count", "usual_most", "counted_days"))
    assert _counted(found, 21, slice(20, 26)) == nothing, "it was told by one day"
    pooled = replace(found, detections=replace(found.detections, is_pooled=np.ones((2, DAYS), bool)))
    assert _counted(pooled, 21, slice(20, 26)) == {"peak_count": 10.0, "usual_most": 7.0, "counted_days": 6}
    assert _counted(pooled, 21, slice(20, 23)) == nothing, "four where four are usual at most"
    # By its own noise 2.5 + 2.33 × √5 × 2 = 12.9 come.
    noisy = replace(pooled.detections, noise=np.full((2, DAYS), 0.02))
    assert _counted(replace(pooled, detections=noisy), 21, slice(20, 26)) == nothing
    clear = finding(20, around(0.2, usual=0.0), 0.005, **few)
    alone = replace(clear, detections=replace(clear.detections, is_pooled=np.ones((2, DAYS), bool)))
    assert _counted(alone, 20, slice(20, 26)) == {"peak_count": 20.0, "usual_most": 3.0, "counted_days": None}


# --- Users ------------------------------------------------------------------------------------------------------------


def facts(**columns: Any) -> pd.DataFrame:
    own = pd.DataFrame({"event_date": [day(d) for d in range(DAYS)], "feature": "b", "events": range(DAYS)})
    return pd.concat([own.assign(**columns), own.assign(feature="a", events=9999, users=7777.0)], ignore_index=True)


def exposed(row: dict[str, Any], first: int = 20, last: int = 22, **columns: Any) -> tuple[int, int | None]:
    whole = {"feature": "b", "metric": "crash_rate", "event_name": None, "worst_date": day(21)} | row
    known = facts(**columns)
    found = _exposure(whole, _by_name(known).get(whole["feature"], known.iloc[:0]), day(first), day(last))
    assert list(found) == ["events", "affected_users"]
    return found["events"], found["affected_users"]


def test_events_and_users_of_an_incident() -> None:
    users = np.arange(DAYS) * 2.0
    assert exposed({}, crashed_users=users) == (63, 42)
    assert exposed({"worst_date": None}, crashed_users=users) == (63, 40)
    assert exposed({}) == (63, None)
    assert exposed({}, crashed_users=NAN) == (63, None)
    assert exposed({"metric": "latency_p95_ms"}, users=users) == (63, 42)
    assert exposed({"metric": "feedback_mean"}, users=users) == (63, 42)
    assert exposed({"metric": "error_rate"}, users=users, crashed_users=users) == (63, None)
    assert exposed({"feature": "z"}) == (0, None)
    # Outside of its days there is no worst one.
    assert exposed({"worst_date": day(25)}, crashed_users=users) == (63, None)


def test_users_who_are_missing_are_held_against_the_month_before() -> None:
    users = np.full(DAYS, 50.0)
    users[0], users[28], users[29] = 9_999.0, 20.0, 8_888.0
    lost = {"metric": "events", "worst_date": day(28)}
    assert exposed(lost, 28, 29, users=users)[1] == 30
    assert exposed(lost | {"event_name": "tap"}, 28, 29, users=users)[1] is None
    # Of the 28 days before day 29 day 1 is the first, of day 28 day 0: they decide where half of the rest is more.
    half = np.array([1000.0, 10, *[10.0] * 13, *[90.0] * 13, 0.0, 0.0])
    assert exposed(lost, 28, 29, users=half)[1] == 50
    assert exposed(lost | {"worst_date": day(29)}, 29, 29, users=np.append(half[:28], [90.0, 0.0]))[1] == 50
    assert exposed(lost, 28, 29, users=np.full(DAYS, 50.0))[1] == 0
    assert exposed(lost, 28, 29, users=np.where(np.arange(DAYS) < 28, NAN, 1.0))[1] is None
    assert exposed(lost, 28, 29, users=np.where(np.arange(DAYS) < 28, 30.0, NAN))[1] == 30


def test_users_of_the_product_on_a_usual_day() -> None:
    assert usual_product_users(pd.DataFrame({"all_users": [3.0, NAN, 100.0, 5.0]})) == 5.0
    assert usual_product_users(pd.DataFrame({"all_users": [NAN]})) is None
    assert usual_product_users(pd.DataFrame({"users": [1.0]})) is None


# --- One fault or two -------------------------------------------------------------------------------------------------


def belongs(new: Finding, *cluster: Finding) -> bool:
    return _belongs(new, list(cluster), IncidentSettings())


def test_what_misses_its_objective_all_along_takes_in_no_other_fault() -> None:
    active = {"active": range(10, 30)}
    missed = finding(10, around(20), kind="objective", last=29, metric="crash_rate", **active)
    worse = finding(12, around(20), metric="crash_rate", **active)
    assert not belongs(worse, missed)
    assert belongs(worse, missed, finding(10, around(20), metric="crash_rate", **active))
    assert belongs(finding(12, around(20), kind="objective", metric="error_rate", **active), missed)
    # Later it needs the same kind of metric.
    assert belongs(finding(20, around(20), kind="objective", metric="crash_rate", **active), missed)
    assert not belongs(finding(20, around(20), kind="objective", metric="error_rate", **active), missed)


# --- Windows and users by day -----------------------------------------------------------------------------------------


def incident(**more: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(INCIDENTS.column_names)
    row |= {"incident_id": "inc-1", "feature": "pay", "metric": "crash_rate", "kind": "step", "scope": "feature"}
    row |= {"start_date": day(20), "end_date": day(25), "slice_status": "unknown", "unit": "fraction"}
    return row | {"baseline_value": 0.01, "peak_value": 0.03, "size": 0.02, "change": 2.0} | more


def test_the_windows_of_an_incident_of_the_product_are_those_of_its_features() -> None:
    rows = [incident(features=["pay", "cart"], event_name="tap"), incident(incident_id="inc-2", end_date=None)]
    found = incident_windows(pd.DataFrame(rows), day(29), normal={("inc-1", "cart"): 0.5, ("inc-2", "pay"): 9.0})
    common = {
        "metric": "crash_rate", "before_from": day(5), "before_to": day(18), "during_from": day(20),
    }  # fmt: skip
    first = common | {"incident_id": "inc-1", "event_name": "tap", "during_to": day(25), "last_date": day(25)}
    last = common | {"incident_id": "inc-2", "event_name": None, "during_to": day(29), "last_date": day(29)}
    assert [{k: None if pd.isna(v) else v for k, v in row.items()} for row in found.to_dict("records")] == [
        first | {"feature": "pay", "threshold": None},
        first | {"feature": "cart", "threshold": 0.5},
        last | {"feature": "pay", "threshold": 0.01},
    ]
    without = incident_windows(pd.DataFrame(rows[:1]), day(29))
    assert without["threshold"].isna().all()
    assert list(found.columns) == [
        "incident_id", "feature", "event_name", "metric", "before_from", "before_to", "during_from", "during_to",
        "last_date", "threshold",
    ]  # fmt: skip


def test_users_are_those_of_the_worst_and_of_the_last_day() -> None:
    rows = pd.DataFrame(
        [
            incident(affected_users=3), incident(incident_id="inc-2", end_date=None),
            incident(incident_id="inc-3", affected_users=8), incident(incident_id="inc-4"),
            incident(incident_id="inc-5", end_date=None),
        ]
    )  # fmt: skip
    users = pd.DataFrame(
        [
            ("inc-1", day(22), 9),
            ("inc-1", day(25), 4),
            ("inc-2", day(22), 6),
            ("inc-2", day(28), 5),
            ("inc-5", day(20), 2),
        ],
        columns=["incident_id", "event_date", "users"],
    )

    def told(through: date | None) -> tuple[list[Any], list[Any]]:
        frame = with_affected_users(rows, users, through)
        return tuple(
            [None if pd.isna(v) else int(v) for v in frame[name]] for name in ("affected_users", "users_today")
        )  # type: ignore[return-value]

    assert told(day(28)) == ([9, 6, 8, None, 2], [4, 5, None, None, 0])
    assert told(day(22)) == ([9, 6, 8, None, 2], [4, 6, None, None, 0])
    assert told(None) == ([9, 6, 8, None, 2], [4, None, None, None, None])
    sentences = with_affected_users(rows, users, day(28))["sentence"].tolist()
    assert "; about 9 users a day affected." in sentences[0]
    assert "; 5 users affected on the last day, 6 on its worst." in sentences[1]


def test_on_a_day_that_is_as_usual_again_nobody_is_hit() -> None:
    users = pd.DataFrame(
        [("inc-1", day(22), 50), ("inc-1", day(28), 38)], columns=["incident_id", "event_date", "users"]
    )
    slow = {"metric": "latency_p50_ms", "unit": "ms", "baseline_value": 70.0, "peak_value": 144.0, "size": 74.0}
    slow |= {"end_date": None, "current_value": 69.0, "metrics": ["latency_p50_ms", "latency_p95_ms"]}

    def told(**more: Any) -> tuple[int, str]:
        found = with_affected_users(pd.DataFrame([incident(**(slow | more))]), users, day(28)).iloc[0]
        return int(found["users_today"]), found["sentence"].partition("; ")[2]

    assert told(current_size=-1.0) == (0, "0 users affected on the last day, 50 on its worst.")
    assert told(current_size=1.0) == (38, "38 users affected on the last day, 50 on its worst.")
    # What it was off by beside may be off still; and what is beyond its objective is so by another measure.
    assert told(current_size=-1.0, metrics=["latency_p50_ms", "crash_rate"])[0] == 38
    assert told(current_size=-1.0, kind="objective")[0] == 38


# --- Severity ---------------------------------------------------------------------------------------------------------


def row_of(**more: Any) -> dict[str, Any]:
    """An open incident of crashes that is notable, and worth one point."""
    return {
        "metric": "crash_rate", "kind": "step", "real_change": 1.0, "event_name": None, "end_date": None,
        "current_value": 0.1, "peak_value": 0.1, "affected_users": None, "users_today": None,
    } | more  # fmt: skip


GIVEN = {"is_objective_breach": True, "objective_source": "given"}


@pytest.mark.parametrize(
    ("changes", "tier", "wanted"),
    [
        # From nothing to all there is: 0, 1, 2, 3, 4 and 6 points.
        ({"real_change": 0.9}, 2, "low"), ({}, 3, "low"), ({}, 2, "medium"), ({"real_change": 4.0}, 2, "medium"),
        ({"real_change": 4.0}, 1, "high"), ({"current_value": 0.5}, 2, "high"), ({"current_value": 0.5}, 1, "critical"),
        ({"current_value": 0.5, "users_today": 100} | GIVEN, 1, "critical"),
        ({"current_value": 0.5, "verdict": "measurement"}, 1, "low"),
        # A day that passed by itself is one grade lower and never critical.
        ({"peak_value": 0.5, "kind": "spike", "end_date": day(3)}, 1, "high"),
        ({"peak_value": 0.5, "kind": "spike", "end_date": day(3)}, 2, "medium"),
        ({"real_change": 4.0, "kind": "spike", "end_date": day(3)}, 2, "low"),
        ({"real_change": 0.0, "kind": "spike", "end_date": day(3)}, 3, "low"),
        # Users: a tenth of 1,000, and fewer than a hundredth.
        ({"real_change": 4.0, "users_today": 100}, 2, "high"), ({"real_change": 4.0, "users_today": 99}, 2, "medium"),
        ({"users_today": 10}, 2, "medium"), ({"users_today": 9}, 2, "low"),
        ({"users_today": 18, "real_share": 0.5}, 2, "low"),
    ],
)  # fmt: skip
def test_points_make_a_grade(changes: dict[str, Any], tier: int, wanted: str) -> None:
    assert severity(row_of(**changes), 1000.0, tier) == wanted


def test_points_of_size() -> None:
    assert size_points(row_of(current_value=0.4999)) == 1
    assert size_points(row_of(current_value=0.5)) == 3
    assert size_points(row_of(current_value=0.1, peak_value=0.9)) == 1
    assert size_points(row_of(current_value=0.9, peak_value=0.1, end_date=day(3))) == 1
    # Only of crashes and errors half of all is a failure of most.
    assert size_points(row_of(metric="latency_p95_ms", current_value=900.0)) == 2
    assert size_points(row_of(real_change=None)) == 1
    assert size_points(row_of(metric="events", kind="dead", real_change=0.5)) == 3
    assert size_points(row_of(metric="events", kind="dead", real_change=0.5, real_share=0.89)) == 1
    assert size_points(row_of(metric="events", kind="dead", real_change=0.5, real_share=0.9)) == 3
    assert size_points(row_of(metric="unheard", real_change=0.75)) == 2
    assert [real_part(row_of(real_share=share)) for share in (None, 0.25, NAN)] == [1.0, 0.25, 1.0]
    assert real_part(row_of(real_share=0.25, end_date=day(3))) == 1.0


# --- Told once --------------------------------------------------------------------------------------------------------


def test_the_whole_is_led_by_the_largest_of_the_most_usual_metric() -> None:
    base = {
        "scope": "product", "kind": "step", "event_name": None, "platform": None, "start_date": day(10),
        "detected_on": day(11), "end_date": None, "end_kind": "open", "worst_date": day(12), "score": 1.0, "events": 1,
        "excess": None, "baseline_value": 100.0, "current_value": 150.0, "current_size": 50.0, "peak_value": 200.0,
        "size": 100.0, "real_change": 0.5,
    }  # fmt: skip
    rows = [
        base | {"incident_id": f"inc-{n}", "feature": n, "metric": metric, "metrics": [metric], **more}
        for n, metric, more in (
            ("A", "latency_p50_ms", {}), ("B", "latency_p95_ms", {"platform": "ios"}),
            ("C", "latency_p95_ms", {"peak_value": 300.0, "size": 200.0}), ("D", "latency_p95_ms", {}),
        )
    ]  # fmt: skip
    usual = {"A": 500, "B": 400, "C": 300, "D": 100, "E": 1}
    facts = pd.DataFrame([{"event_date": day(1), "feature": name, "events": events} for name, events in usual.items()])
    (whole,) = told_once(rows, facts, IncidentSettings())
    assert (whole["feature"], whole["metric"], whole["metrics"], whole["features"]) == (
        "C", "latency_p95_ms", ["latency_p95_ms", "latency_p50_ms"], ["A", "B", "C", "D"],
    )  # fmt: skip
    # Of C and D alone, three to one: 300 and 200 at their worst, 200 and 100 off.
    assert (whole["peak_value"], whole["size"], whole["change"]) == (275.0, 175.0, pytest.approx(1.75))
    assert (whole["baseline_value"], whole["real_change"], whole["affected_users"]) == (100.0, 0.5, None)


def test_events_and_crashes_are_counted_from_the_first_day_to_the_last() -> None:
    rows = [(1, "b", "tap", "ios", "ok"), (2, "b", "tap", "ios", "crash"), (2, "b", "tap", "ios", "ok")]
    rows += [(4, "b", "tap", None, "ok"), (4, "a", "tap", None, "error"), (5, "b", "tap", "ios", "crash")]
    with duckdb.connect() as db:
        db.execute("create table e (event_date int, feature text, event_name text, platform text, status text)")
        db.executemany("insert into e values (?, ?, ?, ?, ?)", rows)
        found = db.execute(event_counts_sql("e"), {"from_date": 2, "to_date": 4}).fetchall()
    assert sorted(found) == [
        (2, "b", "tap", "ios", 2, 1), (4, "a", "tap", "(unknown)", 1, 0), (4, "b", "tap", "(unknown)", 1, 0),
    ]  # fmt: skip


def test_a_slice_scores_by_what_it_has_beyond_what_was_expected() -> None:
    # O ln(O ÷ E) + E − O; of none what was expected is gained.
    found = _scan_score(np.array([1.0, 0.0, 4.0, 2.0]), np.array([0.5, 3.0, 4.0, 0.0]))
    assert found.tolist() == pytest.approx([log(2) - 0.5, 3.0, 0.0, 2 * log(2e9) - 2])
    assert (RIGHT_SHARE, LEAST_GRADED) == (0.8, 20)
