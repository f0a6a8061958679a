"""Incidents: what is one fault, how large it is, whom it hits, and which slice explains it."""

from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.domain.features.incident_words import days_until_silence_tells, describe
from quality_assets.domain.features.incidents import event_counts_sql, find_incidents
from quality_assets.domain.features.slices import (
    affected_users_sql,
    attribute_slices,
    best_slice,
    incident_windows,
    slice_sql,
    with_affected_users,
    with_slices,
)
from quality_assets.domain.series.silence import silence_log_p

START = date(2026, 1, 1)
DAYS = 80
FEATURES = ("cart", "chat", "feed", "pay", "search", "video")


def make_facts(days=DAYS, faults=(), seed=0, features=FEATURES):
    """Facts of healthy features; each fault is (feature, column, first day, last day, factor)."""
    rng = np.random.default_rng(seed)
    rows = []
    for day in range(days):
        for feature in features:
            row = {
                "event_date": START + timedelta(days=day),
                "feature": feature,
                "events": 2000 * np.exp(0.03 * rng.standard_normal()),
                "users": 600,
                "all_users": 3000,
                "latency_count": 1950,
                "latency_p50_ms": 200 * np.exp(0.03 * rng.standard_normal()),
                "latency_p95_ms": 600 * np.exp(0.03 * rng.standard_normal()),
                "feedback_count": 80,
                "feedback_mean": 4.2 + 0.1 * rng.standard_normal(),
                "crash_rate": 0.01,
                "error_rate": 0.02,
            }
            for name, column, first, last, factor in faults:
                if name == feature and first <= day <= last:
                    row[column] *= factor
            row["events"] = round(row["events"])
            row["crashes"] = int(rng.binomial(row["events"], row["crash_rate"]))
            row["errors"] = int(rng.binomial(row["events"], row["error_rate"]))
            row["crashed_users"] = row["crashes"]
            if row["events"]:
                row["crash_rate"], row["error_rate"] = row["crashes"] / row["events"], row["errors"] / row["events"]
                rows.append(row)
    return pd.DataFrame(rows)


def day(number):
    return START + timedelta(days=number)


def test_rows_keep_the_contract():
    found = find_incidents(make_facts(faults=[("chat", "crash_rate", 50, 57, 5)]))
    assert tuple(found.columns) == INCIDENTS.column_names
    assert len(found) == 1
    row = found.iloc[0]
    assert (row["feature"], row["metric"], row["kind"]) == ("chat", "crash_rate", "step")
    assert (row["start_date"], row["end_date"]) == (day(50), day(57))
    assert row["detected_on"] == day(50)
    assert row["baseline_value"] == pytest.approx(0.01, rel=0.2)
    assert 3 < row["change"] < 6
    assert 300 < row["excess"] < 1000
    assert row["affected_users"] > 60
    assert row["severity"] == "medium"
    assert "crash rate" in row["sentence"]


def test_metrics_of_one_fault_are_one_incident_and_later_faults_are_not():
    faults = [
        ("pay", "latency_p95_ms", 50, 60, 1.6),
        ("pay", "latency_p50_ms", 50, 60, 1.6),
        ("pay", "crash_rate", 70, 76, 6),
    ]
    found = find_incidents(make_facts(faults=faults)).sort_values("detected_on")
    assert len(found) == 2
    assert set(found.iloc[0]["metrics"]) == {"latency_p95_ms", "latency_p50_ms"}
    assert found.iloc[1]["metrics"] == ["crash_rate"]


def test_an_open_incident_has_no_end():
    found = find_incidents(make_facts(faults=[("feed", "feedback_mean", 70, 99, 0.8)]))
    (row,) = found[found["feature"] == "feed"].to_dict("records")
    assert pd.isna(row["end_date"])
    assert "since" in row["sentence"]


def test_a_dead_feature_is_told_with_zero_not_with_null():
    found = find_incidents(make_facts(faults=[("video", "events", 60, 79, 0)]))
    assert found.iloc[0]["kind"] == "dead"
    assert found.iloc[0]["start_date"] == found.iloc[0]["detected_on"] == day(60)
    assert found.iloc[0]["peak_value"] == 0
    assert found.iloc[0]["change"] == -1


def test_a_feature_that_falls_and_then_falls_silent_is_one_incident_from_its_fall_on():
    found = find_incidents(make_facts(faults=[("video", "events", 60, 66, 0.4), ("video", "events", 67, 79, 0)]))
    told = found.iloc[0]
    assert len(found) == 1
    assert told["kind"] == "dead"
    assert day(59) <= told["start_date"] <= told["detected_on"] <= day(61)
    assert "no events at all" not in told["sentence"]
    assert "events sank to 0 instead of" in told["sentence"] or "events at 0 instead of" in told["sentence"]


def test_one_user_is_not_users():
    found = find_incidents(make_facts(faults=[("video", "events", 60, 79, 0)])).iloc[0]
    assert "about 1 user a day missing" in describe({**found, "affected_users": 1})


def test_most_features_at_once_is_a_product_matter():
    faults = [(f, "events", 60, 66, 0.4) for f in FEATURES[:4]]
    found = find_incidents(make_facts(faults=faults))
    assert set(found["scope"]) == {"product"}
    alone = find_incidents(make_facts(faults=faults[:1]))
    assert set(alone["scope"]) == {"feature"}


def test_tiers_move_severity():
    facts = make_facts(faults=[("chat", "crash_rate", 50, 57, 3)])
    levels = [find_incidents(facts, tiers={"chat": tier}).iloc[0]["severity"] for tier in (3, 2, 1)]
    order = ["low", "medium", "high", "critical"]
    found = [order.index(level) for level in levels]
    assert found == sorted(found)
    assert found[0] < found[-1]


def test_ids_do_not_change_when_days_are_added():
    faults = [("pay", "latency_p95_ms", 45, 70, 1.5), ("chat", "crash_rate", 50, 52, 6), ("pay", "events", 55, 60, 0.5)]
    facts = make_facts(faults=faults)
    every = find_incidents(facts).set_index("incident_id")["detected_on"]
    for cut in range(40, DAYS, 5):
        early = find_incidents(facts[facts["event_date"] <= day(cut)])
        assert set(early["incident_id"]) == set(every.index[every <= day(cut)])


@pytest.mark.parametrize("facts", [make_facts(days=0), make_facts(days=5), make_facts(days=80, features=("solo",))])
def test_little_or_healthy_data_gives_no_incident(facts):
    found = find_incidents(facts if len(facts) else make_facts(days=1).iloc[:0])
    assert len(found) == 0
    assert tuple(found.columns) == INCIDENTS.column_names


def make_events(fault, first=40, last=46, days=50, per_day=1200, seed=0):
    """Events of one feature; `fault(frame, is_during, rng)` changes them in place or drops some."""
    rng = np.random.default_rng(seed)
    n = per_day * days
    frame = pd.DataFrame(
        {
            "event_date": [START + timedelta(days=int(d)) for d in np.repeat(np.arange(days), per_day)],
            "number": np.repeat(np.arange(days), per_day),
            "feature": "pay",
            "event_name": rng.choice(["start", "finish"], n, p=[0.7, 0.3]),
            "user_id": rng.integers(0, 400, n).astype(str),
            "platform": rng.choice(["android", "ios", "web"], n, p=[0.5, 0.3, 0.2]),
            "app_version": rng.choice(["1.0", "2.0"], n),
            "country": rng.choice(["DE", "FR", "US"], n, p=[0.5, 0.3, 0.2]),
            "latency_ms": 200 * np.exp(0.5 * rng.standard_normal(n)),
            "feedback_score": np.where(rng.random(n) < 0.1, rng.integers(3, 6, n), np.nan),
        }
    )
    frame["status"] = np.where(rng.random(n) < 0.01, "crash", "ok")
    is_during = frame["number"].between(first, last)
    return fault(frame, is_during, rng)


def incident_on(metric, first=40, last=46, baseline=0.01, event_name=None):
    row = dict.fromkeys(INCIDENTS.column_names)
    row |= {
        "incident_id": "inc-1",
        "feature": "pay",
        "event_name": event_name,
        "metric": metric,
        "metrics": [metric],
        "kind": "step",
        "scope": "feature",
        "start_date": day(first),
        "end_date": day(last),
        "detected_on": day(first),
        "unit": "fraction",
        "baseline_value": baseline,
        "peak_value": 3 * baseline,
        "size": 2 * baseline,
        "change": 2.0,
        "slice_status": "unknown",
    }
    return pd.DataFrame([row])


def run_slices(events, incidents):
    with duckdb.connect() as connection:
        connection.register("events", events)
        windows = incident_windows(incidents, day(49))
        connection.register("incident_windows", windows)
        bounds = {"from_date": windows["before_from"].min(), "to_date": windows["during_to"].max()}
        aggregate = connection.execute(slice_sql("events"), bounds).df()
        users = connection.execute(affected_users_sql("events"), bounds).df()
    return attribute_slices(aggregate, incidents, day(49))["inc-1"], aggregate, users


def crash_where(condition, share):
    def fault(frame, is_during, rng):
        hit = is_during & condition(frame) & (rng.random(len(frame)) < share)
        frame.loc[hit, "status"] = "crash"
        return frame

    return fault


def test_the_platform_that_crashes_is_named():
    verdict, _, users = run_slices(
        make_events(crash_where(lambda f: f["platform"] == "ios", 0.1)), incident_on("crash_rate")
    )
    assert (verdict.status, verdict.dimensions, verdict.values) == ("found", ("platform",), ("ios",))
    assert verdict.share > 0.8
    assert verdict.traffic_share == pytest.approx(0.3, abs=0.05)
    assert users["users"].max() > 20


def test_a_pair_is_named_where_only_the_pair_is_hit():
    condition = lambda f: (f["platform"] == "android") & (f["country"] == "FR")  # noqa: E731
    verdict, _, _ = run_slices(make_events(crash_where(condition, 0.2)), incident_on("crash_rate"))
    assert verdict.dimensions == ("platform", "country")
    assert verdict.values == ("android", "FR")


def test_everything_is_an_honest_answer():
    verdict, _, _ = run_slices(make_events(crash_where(lambda f: f["platform"] != "", 0.05)), incident_on("crash_rate"))
    assert verdict.status == "everything"


def test_where_there_is_one_slice_only_nothing_is_said_of_where():
    def crash_on_the_only_platform(frame, is_during, rng):
        frame = frame.assign(platform="web", app_version="1.0", country="DE")
        return crash_where(lambda f: f["platform"] == "web", 0.05)(frame, is_during, rng)

    found = incident_on("crash_rate")
    verdict, _, _ = run_slices(make_events(crash_on_the_only_platform), found)
    assert verdict.status == "unknown"
    assert "alike" not in with_slices(found, {"inc-1": verdict})["sentence"].iloc[0]


def test_a_change_that_events_do_not_show_is_unknown():
    verdict, _, _ = run_slices(make_events(lambda f, d, r: f), incident_on("error_rate"))
    assert verdict.status == "unknown"


def test_slow_versions_and_bad_feedback_are_named():
    def slow(frame, is_during, rng):
        frame.loc[is_during & (frame["app_version"] == "2.0"), "latency_ms"] *= 1.8
        return frame

    verdict, _, _ = run_slices(make_events(slow), incident_on("latency_p95_ms", baseline=455.0))
    assert verdict.values == ("2.0",)

    def angry(frame, is_during, rng):
        hit = is_during & (frame["country"] == "FR") & frame["feedback_score"].notna()
        frame.loc[hit, "feedback_score"] = 1.0
        return frame

    verdict, _, _ = run_slices(make_events(angry), incident_on("feedback_mean", baseline=4.0))
    assert verdict.values == ("FR",)


def test_lost_events_are_traced_to_the_country_that_lost_them():
    def lose(frame, is_during, rng):
        return frame[~(is_during & (frame["country"] == "US") & (rng.random(len(frame)) < 0.9))]

    verdict, _, _ = run_slices(make_events(lose), incident_on("events", baseline=1200.0))
    assert (verdict.dimensions, verdict.values) == (("country",), ("US",))


def test_the_death_of_one_event_is_an_incident_of_that_event():
    def kill(frame, is_during, rng):
        return frame[~((frame["number"] >= 40) & (frame["event_name"] == "finish"))]

    events = make_events(kill)
    with duckdb.connect() as connection:
        connection.register("events", events)
        counted = connection.execute(event_counts_sql("events"), {"from_date": START, "to_date": day(49)}).df()
    counts = counted.groupby(["event_date", "feature", "event_name"], as_index=False)["events"].sum()
    facts = events.groupby(["event_date", "feature"], as_index=False).agg(
        events=("user_id", "size"), users=("user_id", "nunique")
    )
    found = find_incidents(facts, event_counts=counts)
    assert found.iloc[0]["event_name"] == "finish"
    assert (found.iloc[0]["kind"], found.iloc[0]["detected_on"]) == ("dead", day(40))
    assert "(silence tells after 1 day)" in found.iloc[0]["sentence"]
    assert "finish" in found.iloc[0]["sentence"]


def make_platform_counts(facts, hit=(), seed=1, platforms=(("android", 0.5), ("ios", 0.4), ("web", 0.1))):
    rng = np.random.default_rng(seed)
    rows = []
    for fact in facts.itertuples():
        for platform, share in platforms:
            events = int(fact.events * share)
            factor = 6 if (fact.feature, platform) == hit and fact.event_date >= day(60) else 1
            crashes = rng.binomial(events, 0.002 * factor)
            rows.append((fact.event_date, fact.feature, platform, events, crashes))
    return pd.DataFrame(rows, columns=["event_date", "feature", "platform", "events", "crashes"])


def test_a_platform_whose_crashes_are_lost_in_the_whole_is_found():
    facts = make_facts(seed=3)
    found = find_incidents(facts, platform_counts=make_platform_counts(facts, hit=("chat", "web")))
    (row,) = found.to_dict("records")
    assert (row["feature"], row["platform"], row["metric"]) == ("chat", "web", "crash_rate")
    assert day(60) <= row["detected_on"] <= day(64)
    assert row["sentence"].startswith("chat on web: 6 crashes on 8 Mar where at most 3 are usual: crash rate at 3 % ")
    assert row["peak_value"] > 3 * row["baseline_value"]
    assert tuple(found.columns) == INCIDENTS.column_names


def test_what_the_whole_feature_shows_is_a_fault_of_the_whole():
    facts = make_facts(seed=3, faults=[("chat", "crash_rate", 60, 79, 5)])
    counts = make_platform_counts(facts, hit=("chat", "ios"))
    (row,) = find_incidents(facts, platform_counts=counts).to_dict("records")
    assert row["platform"] is None
    one_platform = counts[counts["platform"] == "ios"]
    assert find_incidents(make_facts(seed=3), platform_counts=one_platform).empty


def test_slices_and_users_end_in_the_sentence():
    incidents = find_incidents(make_facts(faults=[("pay", "crash_rate", 40, 46, 5)], days=50))
    events = make_events(crash_where(lambda f: f["platform"] == "ios", 0.12))
    incidents["incident_id"] = "inc-1"
    verdict, _, users = run_slices(events, incidents)
    told = with_slices(with_affected_users(incidents, users), {"inc-1": verdict}).iloc[0]
    assert told["slice_values"] == ["ios"]
    assert "platform ios" in told["sentence"]
    assert f"{told['affected_users']:,} users a day" in told["sentence"]


def test_empty_aggregate_is_unknown():
    columns = ["incident_id", "period", "platform", "app_version", "country", "n", "bad"]
    assert best_slice(pd.DataFrame(columns=columns)).status == "unknown"
    assert (
        attribute_slices(pd.DataFrame(columns=columns), incident_on("crash_rate"), day(49))["inc-1"].status == "unknown"
    )


def test_how_long_silence_must_last():
    days = days_until_silence_tells(0.5)
    assert days is not None
    assert days > 19
    assert days_until_silence_tells(1000) == 1
    assert days_until_silence_tells(0) is None
    # Of half an event a day, seen over 35 days.
    quiet = np.array([days, days - 1]) * 0.5
    odds = np.exp(silence_log_p(quiet, np.full(2, 35 * 0.5), np.ones(2)))
    assert odds[0] < 1e-4 <= odds[1]
