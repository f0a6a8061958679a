"""How incidents end, what vanished and appeared, and whether a change is real: by values worked out by hand."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quality_assets.domain.features.attention import (
    attention,
    features_that_need_attention,
    harm_today,
    incident_order,
    users_hit,
)
from quality_assets.domain.features.causes import (
    EventRows,
    Part,
    Verdict,
    cause_rows,
    take_apart,
    take_volume_apart,
    verdict_sentence,
)
from quality_assets.domain.features.incident_words import describe, end_word
from quality_assets.domain.features.incidents import find_incidents
from quality_assets.domain.features.renames import Appeared, rename_candidates
from quality_assets.domain.features.severity import real_part, severity, size_points
from quality_assets.domain.series.scale import poisson_most

FIRST = date(2026, 1, 1)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def facts_of(levels: dict[str, list[float]], users: int = 40) -> pd.DataFrame:
    """Events a day of features, NaN on days without a row, with a little noise that is the same each time."""
    rng = np.random.default_rng(7)
    rows = [
        {
            "event_date": pd.Timestamp(day(number)), "feature": name, "events": int(rng.poisson(level)),
            "users": users, "crashed_users": 0, "all_users": 10 * users, "crashes": 0, "crash_rate": 0.0, "errors": 0,
            "error_rate": 0.0, "latency_count": 0, "latency_p95_ms": None, "latency_p50_ms": None,
            "feedback_count": 0, "feedback_mean": None,
        }
        for name, values in levels.items()
        for number, level in enumerate(values)
        if not np.isnan(level)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def steady(before: float, after: float, at: int, days: int = 110) -> list[float]:
    return [before] * at + [after] * (days - at)


# --- Ends -------------------------------------------------------------------------------------------------------------


def test_a_fall_that_stays_is_the_new_normal_and_not_resolved() -> None:
    facts = facts_of({"pay": steady(400, 200, 50), "calm": [400.0] * 110})
    (row,) = find_incidents(facts).to_dict("records")
    assert (row["feature"], row["end_kind"], row["start_date"]) == ("pay", "adopted", day(50))
    assert row["adopted_on"] == day(92)
    assert row["still_off"] == pytest.approx(-200, abs=15)
    assert end_word(row) == "New normal, not recovered"
    assert "not recovered: the new level counts as normal since 3 Apr 2026, still off by −" in row["sentence"]


def test_a_level_that_comes_back_after_it_was_adopted_has_recovered_then() -> None:
    facts = facts_of({"pay": [400.0] * 50 + [200.0] * 55 + [400.0] * 25, "calm": [400.0] * 130})
    row = find_incidents(facts).iloc[-1]
    assert (row["end_kind"], row["end_date"]) == ("recovered", day(104))
    assert end_word(row) == "Resolved"


def test_what_goes_on_is_open_and_what_fell_for_a_week_has_recovered() -> None:
    levels = {"pay": steady(400, 200, 100), "cart": [400.0] * 60 + [200.0] * 7 + [400.0] * 43, "calm": [400.0] * 110}
    found = find_incidents(facts_of(levels)).set_index("feature")
    assert (found.loc["pay", "end_kind"], end_word(found.loc["pay"])) == ("open", "Open")
    assert (found.loc["cart", "end_kind"], found.loc["cart", "end_date"]) == ("recovered", day(66))


def test_a_feature_without_events_for_good_is_silent() -> None:
    facts = facts_of({"pay": steady(400, float("nan"), 50), "calm": [400.0] * 110})
    (row,) = find_incidents(facts).to_dict("records")
    assert (row["kind"], row["end_kind"], end_word(row)) == ("dead", "silent", "Silent for good")
    assert row["sentence"].endswith("; silent for good, removed or renamed.")


# --- One event of the product -----------------------------------------------------------------------------------------


def test_all_features_falling_alike_are_one_incident_that_names_them() -> None:
    names = [f"f{number}" for number in range(6)]
    facts = facts_of({name: steady(100 * (number + 1), 30 * (number + 1), 60, 70) for number, name in enumerate(names)})
    (row,) = find_incidents(facts).to_dict("records")
    assert (row["scope"], row["feature"], row["features"]) == ("product", "f5", names)
    assert row["baseline_value"] == pytest.approx(2100, rel=0.03)
    assert row["current_value"] == pytest.approx(630, rel=0.1)
    assert row["change"] == pytest.approx(-0.72, abs=0.05)
    assert row["sentence"].startswith("6 features at once: events at ")
    assert "(f0, f1, f2 and 3 more): look upstream first" in row["sentence"]
    again = find_incidents(facts[facts["event_date"] < pd.Timestamp(day(68))]).iloc[0]
    assert again["incident_id"] == row["incident_id"]
    told = features_that_need_attention(pd.DataFrame([row]), None)
    assert [entry["feature"] for entry in told] == ["f5"]


def test_what_outlasts_the_event_of_the_product_is_told_by_itself() -> None:
    levels = {f"f{number}": [200.0] * 60 + [60.0] * 5 + [200.0] * 25 for number in range(5)}
    levels["f5"] = steady(200, 60, 60, 90)
    found = find_incidents(facts_of(levels)).set_index("scope")
    assert (found.loc["product", "end_kind"], found.loc["product", "end_date"]) == ("recovered", day(64))
    assert (found.loc["feature", "feature"], found.loc["feature", "end_kind"]) == ("f5", "open")


# --- Names ------------------------------------------------------------------------------------------------------------


def dead(key: str, feature: str, usual: float, event_name: str | None = None, start: int = 50) -> dict[str, Any]:
    return {
        "incident_id": key, "kind": "dead", "feature": feature, "event_name": event_name, "baseline_value": usual,
        "start_date": day(start),
    }  # fmt: skip


def named(found: dict[str, list[Appeared]]) -> dict[str, list[str]]:
    return {key: [new.name for new in parts] for key, parts in found.items()}


def test_names_that_appeared_in_the_size_of_what_vanished_are_its_candidates() -> None:
    rows = [dead("a", "Search", 100), dead("b", "Cart", 100), dead("c", "Maps", 50), dead("d", "Pay", 100, "tap")]
    appeared = [
        Appeared("Cart 2", None, day(50), 110),
        Appeared("Search 2", None, day(51), 90),
        Appeared("Maps basic", None, day(50), 20),
        Appeared("Maps pro", None, day(50), 31),
        Appeared("Late", None, day(58), 100),
        Appeared("Pay", "press", day(50), 99),
        Appeared("Other", "touch", day(50), 99),
    ]
    assert named(rename_candidates(rows, appeared)) == {
        "a": ["Search 2"],
        "b": ["Cart 2"],
        "c": ["Maps basic", "Maps pro"],
        "d": ["press"],
    }
    assert rename_candidates([dead("a", "Search", 1000)], appeared) == {}
    assert rename_candidates([rows[0] | {"kind": "step"}], appeared) == {}


def test_of_a_product_that_was_renamed_at_once_every_name_that_came_is_told() -> None:
    old = [f"f{number}" for number in range(5)]
    row = dead("a", "f0", 500) | {"features": old}
    appeared = [Appeared(f"{name} 2", None, day(50), 95) for name in old]
    assert named(rename_candidates([row], appeared)) == {"a": [f"{name} 2" for name in old]}
    # A fifth of it is no other name of all.
    assert rename_candidates([row], appeared[:1]) == {}
    told = row | {
        "metric": "events", "unit": "count", "scope": "product", "events": 0, "end_date": None, "peak_value": 0.0,
        "platform": None, "affected_users": None, "renamed_to": [f"{name} 2" for name in old],
    }  # fmt: skip
    assert describe(told).endswith(
        "; may have been renamed to f0 2, f1 2, f2 2 and 2 more, which appeared then in their size."
    )


def test_candidates_are_told_and_what_came_under_them_is_not_lost() -> None:
    days = pd.DataFrame(
        [
            {"is_now": now, "weekday": weekday, "events": 0 if now else 100, "repeated": 0, "late": 0, "quarantined": 0}
            for now in (False, True)
            for weekday in range(1, 8)
        ]
    )
    verdict = take_volume_apart(days, 90.0)
    assert [(part.name, part.size) for part in verdict.parts] == [("renamed", -90.0), ("real", -10.0)]
    assert (verdict.verdict, verdict.real_share) == ("measurement", pytest.approx(0.1))
    row = dead("a", "Search", 100) | {"end_date": None, "real_share": 0.1, "verdict": "measurement"}
    assert severity(row | {"users_today": None, "affected_users": None}, 1000.0, 1) == "low"
    assert take_volume_apart(days[~days["is_now"]], 0.0).verdict == "unknown"


def test_rows_in_quarantine_and_rows_that_came_twice_are_put_right() -> None:
    days = pd.DataFrame(
        {
            "is_now": [False, True], "weekday": [1, 1], "events": [120, 60], "repeated": [20, 0], "late": [0, 0],
            "quarantined": [0, 30],
        }
    )  # fmt: skip
    verdict = take_volume_apart(days, 0.0)
    # Of 60 that are missing 20 had come twice before, and 30 wait in quarantine now.
    assert {part.name: part.size for part in verdict.parts} == {
        "repeated_rows": -20.0, "quarantined_rows": -30.0, "real": -10.0,
    }  # fmt: skip
    assert verdict.verdict == "measurement"


# --- Real, or the measurement? ----------------------------------------------------------------------------------------


def events(groups: list[tuple[bool, str, str, float, int]], **more: Any) -> EventRows:
    """Rows of (is_now, user prefix, country, value, how many users), three rows a user."""
    rows = [
        {
            "is_now": is_now, "user_id": f"{prefix}{number}", "country": country, "value": value,
            "app_version": "1", "platform": "web", "event_name": "use",
        }
        for is_now, prefix, country, value, count in groups
        for number in range(count)
        for _ in range(3)
    ]  # fmt: skip
    flags = {"is_repeated": False, "is_late": False, "is_quarantined": False, "is_new_version": False}
    return EventRows.of(pd.DataFrame(rows).assign(**(flags | more)))


def test_other_users_are_no_change_of_the_product() -> None:
    # Users a wait 100, users b 300, before as after; b become 50 of 100 instead of 10.
    mixed = events([
        (False, "a", "DE", 100.0, 90), (False, "b", "DE", 300.0, 10), (True, "a", "DE", 100.0, 50),
        (True, "b", "DE", 300.0, 50),
    ])  # fmt: skip
    verdict = take_apart(mixed, 1)
    assert (verdict.before, verdict.now, verdict.change) == (120.0, 200.0, pytest.approx(80.0))
    sizes = {part.name: part.size for part in verdict.parts}
    assert sizes["real"] == pytest.approx(0.0, abs=1e-9)
    assert sum(sizes.values()) == pytest.approx(80.0)
    assert verdict.verdict == "measurement"
    assert str(verdict_sentence(verdict)).startswith("Measurement: other users (100 %) made it; none of it")


def test_what_the_same_users_meet_is_real() -> None:
    slower = events([(False, "a", "DE", 100.0, 60), (True, "a", "DE", 150.0, 60)])
    verdict = take_apart(slower, 1)
    assert (verdict.verdict, verdict.real_share, verdict.parts[-1].size) == ("real", 1.0, pytest.approx(50.0))
    assert (
        str(verdict_sentence(verdict))
        == "Real: all of it remains, no change of users or mix that events show explains it."
    )
    # Faster is not worse.
    assert take_apart(slower, -1).verdict == "unknown"


def test_a_mix_of_countries_is_held_where_nobody_is_named() -> None:
    rows = events([
        (False, "a", "DE", 100.0, 90), (False, "b", "NG", 300.0, 10), (True, "a", "DE", 100.0, 60),
        (True, "b", "NG", 300.0, 40),
    ])  # fmt: skip
    nobody = EventRows(
        rows.is_now, rows.value, np.full(len(rows.value), -1), rows.mix, rows.flags, rows.is_new_version, None,
        rows.groups,
    )  # fmt: skip
    verdict = take_apart(nobody, 1)
    assert [part.name for part in verdict.parts] == ["country", "real"]
    assert [part.size for part in verdict.parts] == [pytest.approx(60.0), pytest.approx(0.0, abs=1e-9)]


def test_a_new_version_that_is_slow_is_real() -> None:
    rows = pd.DataFrame(
        [
            {"is_now": now, "user_id": f"u{n}", "country": "DE", "platform": "web", "event_name": "use",
             "app_version": "2" if now and n % 2 else "1", "value": 300.0 if now and n % 2 else 100.0}
            for now in (False, True)
            for n in range(120)
        ]
    )  # fmt: skip
    flags = {"is_repeated": False, "is_late": False, "is_quarantined": False}
    new = EventRows.of(rows.assign(**flags, is_new_version=rows["app_version"].eq("2")))
    assert take_apart(new, 1).verdict == "real"


def test_few_rows_and_no_change_are_unknown() -> None:
    assert take_apart(events([(False, "a", "DE", 1.0, 10), (True, "a", "DE", 2.0, 10)]), 1).verdict == "unknown"
    assert take_apart(events([(False, "a", "DE", 1.0, 60), (True, "a", "DE", 1.0, 60)]), 1).verdict == "unknown"
    told = verdict_sentence(Verdict("unknown"))
    assert told == "Whether it is real cannot be told: too few events on either side, or they do not show it."


def test_parts_become_rows_that_add_up() -> None:
    verdict = Verdict("partly", 100.0, 200.0, (Part("users", 40.0, 30.0, 50.0), Part("real", 60.0, 40.0, 80.0)), 500)
    row = {"incident_id": "inc-1", "feature": "pay", "metric": "latency_p95_ms", "unit": "ms"}
    rows = cause_rows(row, verdict)
    assert [(r["part"], r["size"], r["share"]) for r in rows] == [("users", 40.0, 0.4), ("real", 60.0, 0.6)]
    assert sum(r["size"] for r in rows) == rows[0]["value_now"] - rows[0]["value_before"]
    assert (
        verdict_sentence(verdict) == "Partly real: 60 % of it (40 to 80 %) remains; other users (40 %) made the rest."
    )


# --- By today, and in words -------------------------------------------------------------------------------------------


def told(**changes: Any) -> str:
    row: dict[str, Any] = {
        "feature": "pay", "event_name": None, "platform": None, "metric": "error_rate", "kind": "step",
        "scope": "feature", "start_date": day(20), "end_date": None, "unit": "fraction", "baseline_value": 0.01,
        "current_value": 0.02, "current_size": 0.01, "peak_value": 0.05, "size": 0.04, "change": 4.0, "events": 900,
        "affected_users": 30, "users_today": 12, "worst_date": day(22), "slice_status": "unknown",
        "slice_dimensions": [], "slice_values": [], "slice_share": None, "slice_traffic_share": None,
    }  # fmt: skip
    return describe(row | changes)


def test_an_open_incident_is_told_by_its_last_day_with_its_worst_beside() -> None:
    assert told() == (
        "pay: error rate at 2 % instead of 1 % (× 2.0), 5 % at its worst on 23 Jan, since 21 Jan 2026;"
        " 12 users affected on the last day, 30 on its worst."
    )
    assert told(current_value=0.05, current_size=0.04).startswith("pay: error rate at 5 % instead of 1 % (× 5.0) since")
    assert told(current_value=0.005, current_size=-0.005).startswith(
        "pay: error rate at 5 % instead of 1 % (× 5.0), as usual again on the last day, since 21 Jan 2026;"
    )
    assert told(current_value=0.06, current_size=0.05).startswith("pay: error rate at 6 % instead of 1 % (× 6.0) since")
    assert told(users_today=30).endswith("; 30 users affected on the last day.")
    assert told(users_today=1, affected_users=1).endswith("; 1 user affected on the last day.")


def test_ratios_are_bounded_and_few_are_counted() -> None:
    huge = {"current_value": 0.9, "current_size": 0.9 - 1e-5, "peak_value": 0.9, "size": 0.9 - 1e-5, "change": 1e9}
    assert "(more than × 10)" in told(**huge)
    counted = told(peak_count=20.0, usual_most=2.0, **huge)
    assert counted.startswith("pay: 20 errors on 23 Jan where at most 2 are usual: error rate at 90 % since")
    assert "at most 1 is usual" in told(peak_count=20.0, usual_most=1.0)
    assert "1 error on 23 Jan where none is usual" in told(peak_count=1.0, usual_most=0.0)
    # P(more than 2 | 0.4) is .0079, P(more than 1 | 0.4) .062; P(more than 0 | 0.005) .005.
    assert [poisson_most(mean) for mean in (0.0, 0.005, 0.4)] == [0, 0, 2]


def test_users_of_the_last_day_count_and_only_those_really_hit() -> None:
    assert [users_hit(row) for row in ({"users_today": 0, "affected_users": 9}, {"affected_users": 9}, {})] == [
        0,
        9,
        None,
    ]
    row = {"end_date": None, "real_share": 0.25}
    assert (real_part(row), real_part(row | {"end_date": day(3)}), real_part({"end_date": None})) == (0.25, 1.0, 1.0)
    slow = {"metric": "latency_p95_ms", "kind": "step", "real_change": 1.0, "current_value": None, "peak_value": None}
    assert [size_points(slow | {"end_date": None, "real_share": share}) for share in (None, 0.75, 0.5, 0.2)] == [
        2,
        2,
        1,
        0,
    ]


@pytest.mark.parametrize(
    ("metric", "steps"),
    [
        ("latency_p95_ms", (0.25, 0.75, 4.0)),
        ("crash_rate", (1.0, 4.0, np.inf)),
        ("error_rate", (1.0, 4.0, np.inf)),
        ("feedback_mean", (0.3, 0.8, 2.0)),
        ("events", (0.3, 0.6, 0.9)),
    ],
)
def test_from_which_change_on_it_is_small_middling_or_large(metric: str, steps: tuple[float, ...]) -> None:
    row = {"metric": metric, "kind": "step", "end_date": None, "current_value": 0.1, "peak_value": 0.1}
    for points, step in enumerate(steps, start=1):
        at = [size_points(row | {"real_change": min(step, 1e9) * share}) for share in (0.999, 1.0)]
        assert at == [points - 1, points if np.isfinite(step) else points - 1]


def test_the_ranking_weighs_users_by_what_is_real() -> None:
    rows = pd.DataFrame(
        [
            {"feature": name, "severity": "high", "sentence": name, "end_date": None, "affected_users": 500,
             "users_today": users, "real_share": real, "features": None}
            for name, users, real in (("once", 5, 1.0), ("half", 100, 0.5), ("all", 60, 1.0))
        ]
    )  # fmt: skip
    assert [entry["feature"] for entry in features_that_need_attention(rows, None)] == ["all", "half", "once"]
    assert attention("all", rows[2:].to_dict("records"), None)["affected_users"] == 60


@pytest.mark.parametrize(
    ("metric", "size", "harm"),
    [
        # 4 in 5 of those who crash would not have without it; nobody of whom nothing beyond chance is known.
        ("crash_rate", 4.0, 80.0), ("error_rate", 1.0, 50.0), ("error_rate", 0.0, 0.0), ("crash_rate", None, 100.0),
        ("latency_p95_ms", 0.25, 25.0), ("latency_p95_ms", 3.0, 100.0),
        ("feedback_mean", 0.5, 25.0), ("feedback_mean", 2.5, 100.0), ("events", 0.3, 100.0),
    ],
)  # fmt: skip
def test_harm_is_users_of_the_last_day_by_how_bad_it_is_for_them(metric: str, size: float | None, harm: float) -> None:
    row = {"metric": metric, "real_change": size, "users_today": 100, "affected_users": 900, "end_date": None}
    assert harm_today(row) == pytest.approx(harm)
    assert harm_today(row | {"real_share": 0.5}) == pytest.approx(harm / 2)
    assert harm_today(row | {"users_today": None, "affected_users": None}) is None


def test_of_two_alike_severe_the_one_that_does_more_harm_is_first() -> None:
    cells = {"severity": "medium", "end_date": None, "features": None, "metric": "latency_p95_ms"}
    rows = [
        cells | {"feature": name, "incident_id": name, "sentence": name, "users_today": users, "real_change": size}
        for name, users, size in (("many, hardly", 1000, 0.1), ("few, much", 200, 0.9))
    ]
    told = features_that_need_attention(pd.DataFrame(rows), None)
    assert [entry["feature"] for entry in told] == ["few, much", "many, hardly"]
    assert [entry["harm_today"] for entry in told] == [180.0, 100.0]
    assert sorted(rows, key=incident_order) == rows[::-1]
