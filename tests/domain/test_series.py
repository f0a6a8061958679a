"""The kernel of series by value: grids and panels of any key, which days count, the walk and its rules."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality_assets.contracts.metrics import METRICS_BY_NAME, Metric
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.domain.features.incidents import INCIDENT_FACTS, find_incidents
from quality_assets.domain.models.risk.labels import LABEL_FACTS, feature_states
from quality_assets.domain.series.detection import Detections, detect, episodes
from quality_assets.domain.series.normal import BASELINE_FACTS, baseline_stats
from quality_assets.domain.series.panel import (
    Panel,
    build_grid,
    columns_behind,
    day_index,
    panel_from_facts,
    panel_of,
)
from quality_assets.domain.series.scale import chance_margin_sql
from quality_assets.domain.series.settings import (
    DEFAULT_BAND,
    DEFAULT_SETTINGS,
    BandSettings,
    Limits,
    Past,
    WalkRules,
)
from quality_assets.domain.series.walk import Switch, Walk
from quality_assets.simulate.daily_facts import DailyPlan, simulate_daily_facts
from quality_assets.tables.facts import read_facts

START = date(2026, 1, 1)  # a Thursday
NAN = math.nan
COMPLETENESS = Metric(
    "completeness", "Completeness", "Rows that arrived ÷ rows announced", "fraction", "down", "arrived", "announced"
)


def on(day: int) -> date:
    return START + timedelta(days=day)


def rows_of(key: str, days: dict[str, dict[int, float]], column: str = "events") -> pd.DataFrame:
    """One row per key and day, of a value each."""
    return pd.DataFrame(
        [{"event_date": on(d), key: name, column: v} for name, values in days.items() for d, v in values.items()]
    )


# --- Grids and panels -------------------------------------------------------------------------------------------------


def test_days_are_made_consecutive_and_silence_is_told_from_a_gap() -> None:
    grid = build_grid(rows_of("source", {"web": {0: 5, 4: 7}, "app": {1: 3, 2: 4}}), ["events"], key="source")
    assert grid.keys.tolist() == ["app", "web"]
    assert grid.dates.tolist() == [on(d) for d in range(5)]
    assert grid.weekday.tolist() == [3, 4, 5, 6, 0]
    assert grid.is_gap.tolist() == [False, False, False, True, False]
    assert grid.first_day.tolist() == [1, 0]
    np.testing.assert_array_equal(grid.column("events"), [[NAN, 3, 4, NAN, NAN], [5, NAN, NAN, NAN, 7]])
    # The app is silent on the last day, the web on days 1 and 2; of day 3 nothing is known.
    np.testing.assert_array_equal(grid.count("events"), [[NAN, 3, 4, NAN, 0], [5, 0, 0, NAN, 7]])
    assert np.isnan(grid.column("users")).all()


def test_series_of_one_key_are_a_panel_of_one_row() -> None:
    panel = panel_from_facts(rows_of("step", {"pay": {0: 9, 2: 8}}), "events", [on(d) for d in range(4)], key="step")
    assert (panel.key, panel.keys, panel.metric, panel.family, panel.worse) == ("step", ("pay",), "events", "count", -1)
    np.testing.assert_array_equal(panel.value, [[9, 0, 8, 0]])
    assert panel.weekdays.tolist() == [3, 4, 5, 6]


def test_a_grid_ends_where_it_is_cut_and_what_is_not_counted_is_absent() -> None:
    rows = rows_of("feature", {"a": {0: 0, 1: 4, 5: 6}, "b": {0: 1, 2: 0}})
    grid = build_grid(rows, ["events"], through=on(3), counted_by="events")
    assert grid.dates.tolist() == [on(d) for d in range(4)]
    assert grid.first_day.tolist() == [1, 0]
    assert grid.is_gap.tolist() == [False, False, True, True]
    np.testing.assert_array_equal(grid.count("events"), [[NAN, 4, NAN, NAN], [1, 0, NAN, NAN]])
    assert build_grid(rows, ["events"], known_dates=[on(9)], through=on(3)).dates.tolist() == grid.dates.tolist()
    late = build_grid(rows, ["events"], through=on(-2))
    assert (late.dates.tolist(), late.keys.tolist(), late.is_gap.tolist()) == ([on(-2)], [], [True])
    assert build_grid(rows.iloc[:0], ["events"]).is_seen.shape == (0, 0)


def test_what_is_no_number_is_unknown_and_a_row_without_a_key_is_left_out() -> None:
    rows = rows_of("feature", {"a": {0: math.inf, 1: 4}, "b": {0: 1}})
    rows.loc[len(rows)] = {"event_date": on(1), "feature": None, "events": 3}
    grid = build_grid(rows, ["events"])
    np.testing.assert_array_equal(grid.column("events"), [[NAN, 4], [1, NAN]])
    assert grid.is_present.tolist() == [[True, True], [True, False]]


def test_a_key_may_be_of_several_columns() -> None:
    rows = pd.DataFrame(
        {
            "event_date": [on(0), on(1), on(1), on(2)],
            "feature": ["pay", "pay", "cart", "pay"],
            "event_name": ["open", "open", "open", "close"],
            "events": [4, 5, 6, 7],
        }
    )
    grid = build_grid(rows, ["events"], key=("feature", "event_name"))
    assert grid.keys.tolist() == [("cart", "open"), ("pay", "close"), ("pay", "open")]
    np.testing.assert_array_equal(grid.count("events"), [[NAN, 6, 0], [NAN, NAN, 7], [4, 5, 0]])
    assert panel_of(grid, "events").key == ("feature", "event_name")
    long = grid.long_keys(grid.is_seen)
    assert long.to_numpy()[:, 1:].tolist() == [
        ["pay", "open"],
        ["cart", "open"], ["pay", "open"],
        ["cart", "open"], ["pay", "close"], ["pay", "open"],
    ]  # fmt: skip
    assert day_index(long["event_date"], grid.dates[0]).tolist() == [0, 1, 1, 2, 2, 2]
    other = rows.assign(share=[0.1, 0.2, 0.3, 0.4]).replace({"cart": "gone"})
    np.testing.assert_array_equal(grid.spread(other, "share"), [[NAN] * 3, [NAN, NAN, 0.4], [0.1, 0.2, NAN]])
    none = build_grid(rows.iloc[:0], ["events"], key=("feature", "event_name"))
    assert (len(none.keys), none.positions(rows)[2].tolist()) == (0, [False] * 4)


def test_rows_that_make_no_series_are_refused() -> None:
    rows = rows_of("source", {"web": {0: 5}})
    with pytest.raises(ValueError, match=r"lack \['feature'\]"):
        build_grid(rows, ["events"])
    with pytest.raises(ValueError, match=r"lack \['rows'\]"):
        build_grid(rows, ["events"], key="source", counted_by="rows")
    with pytest.raises(ValueError, match="two rows for one source and day"):
        build_grid(pd.concat([rows, rows]), ["events"], key="source")
    with pytest.raises(KeyError, match="users"):
        panel_of(build_grid(rows, ["events"], key="source"), COMPLETENESS.__class__("users", "", "", "ms"))


def test_a_metric_names_the_columns_it_is_made_of() -> None:
    assert columns_behind(["events", "crash_rate", "latency_p95_ms", "latency_p50_ms", "feedback_mean"]) == (
        "events", "crash_rate", "crashes", "latency_p95_ms", "latency_count", "latency_p50_ms",
        "feedback_mean", "feedback_sum", "feedback_count",
    )  # fmt: skip
    assert columns_behind([COMPLETENESS]) == ("completeness", "arrived", "announced")


# --- Series of any key are judged alike -------------------------------------------------------------------------------


def completeness(days: int, fault: range = range(0)) -> pd.DataFrame:
    """Two sources: 2 of 1,000 rows are missing each day, and of one 6 of 10 in a fault."""
    rows = []
    for day in range(days):
        for source in ("crm", "shop"):
            arrived = 400 if source == "crm" and day in fault else 998 - day % 3
            row = {"event_date": on(day), "source": source, "arrived": arrived, "announced": 1000}
            rows.append(row | {"completeness": arrived / 1000})
    return pd.DataFrame(rows)


def test_a_metric_of_ones_own_over_sources_is_watched_like_any_other() -> None:
    panel = panel_from_facts(completeness(60, range(40, 45)), COMPLETENESS, key="source")
    assert (panel.family, panel.worse, panel.keys) == ("rate", -1, ("crm", "shop"))
    found = detect(panel)
    (episode,) = episodes(found)
    assert (panel.keys[episode.series], episode.metric) == ("crm", "completeness")
    assert (episode.start_day, episode.detected_day, episode.end_day) == (40, 40, 44)
    assert found.expected[0, 40] == pytest.approx(0.997, abs=1e-4)
    assert found.change[0, 40] == pytest.approx(1 - 400 / 997, abs=1e-4)


FACTS = simulate_daily_facts(DailyPlan(6, 120, seed=31, incidents_per_feature_quarter=2)).facts


def same(one: Detections, other: Detections, ours: int, theirs: int, days: int) -> None:
    for name in ("expected", "z", "ewma", "change", "noise", "silence_log_p", "is_active", "is_start", "run_start"):
        np.testing.assert_array_equal(
            getattr(one, name)[ours, :days], getattr(other, name)[theirs, :days], err_msg=name
        )


@pytest.mark.parametrize("metric", ["events", "crash_rate", "latency_p95_ms", "feedback_mean"])
def test_a_series_is_judged_alike_under_another_key_alone_and_with_an_end_of_its_own(metric: str) -> None:
    whole = detect(panel_from_facts(FACTS, metric))
    renamed = FACTS.rename(columns={"feature": "source"}).assign(part="all")
    same(whole, detect(panel_from_facts(renamed, metric, key=("source", "part"))), 2, 2, 120)
    name = whole.panel.keys[2]
    days = [on(d) for d in range(120)]
    alone = detect(panel_from_facts(FACTS[FACTS["feature"] == name], metric, days))
    same(whole, alone, 2, 0, 120)
    ended = FACTS[(FACTS["feature"] == name) | (pd.to_datetime(FACTS["event_date"]) < pd.Timestamp(on(80)))]
    same(whole, detect(panel_from_facts(ended, metric)), 2, 2, 120)
    same(whole, detect(panel_from_facts(ended, metric)), 0, 0, 80)


def test_no_more_of_the_facts_is_read_than_is_used() -> None:
    """The columns that each reader names give what all of them give."""
    key = list(FACT_FEATURE_METRICS.key)
    for wanted in (INCIDENT_FACTS, LABEL_FACTS, BASELINE_FACTS):
        assert set(wanted) <= set(FACT_FEATURE_METRICS.column_names)
    pd.testing.assert_frame_equal(
        find_incidents(FACTS), find_incidents(FACTS[[*key, *(c for c in INCIDENT_FACTS if c in FACTS)]])
    )
    pd.testing.assert_frame_equal(
        baseline_stats(FACTS), baseline_stats(FACTS[[*key, *(c for c in BASELINE_FACTS if c in FACTS)]])
    )
    lean = feature_states(FACTS[[*key, *LABEL_FACTS]])
    np.testing.assert_array_equal(lean.is_degraded, feature_states(FACTS).is_degraded)
    assert len(find_incidents(FACTS)) > 0


def test_facts_are_read_up_to_a_day_and_by_column() -> None:
    with duckdb.connect() as connection:
        connection.execute("create schema product")
        connection.execute(FACT_FEATURE_METRICS.create_sql())
        rows = FACTS[["event_date", "feature", "events", "errors", "crashes", "latency_count", "feedback_count"]]
        zeros = dict.fromkeys(("apdex_satisfied", "apdex_tolerating", "apdex_count"), 0)
        connection.register("rows", rows.assign(**zeros))
        connection.execute(f"insert into {FACT_FEATURE_METRICS.qualified_name} by name from rows")
        found = read_facts(connection, ("events", "feature", "crashes"), on(9))
        assert found.columns.tolist() == ["event_date", "feature", "events", "crashes"]
        assert found["event_date"].max() == pd.Timestamp(on(9))
        assert (
            found["crashes"].sum()
            == FACTS.loc[pd.to_datetime(FACTS["event_date"]) <= pd.Timestamp(on(9)), "crashes"].sum()
        )
        assert len(read_facts(connection, ["users"])) == len(FACTS)


# --- Which days count, and what chance does ---------------------------------------------------------------------------


def test_the_past_of_a_day_ends_a_lag_before_it() -> None:
    past = Past(window_days=3, minimum_days=2, lag_days=1)
    assert [past.days(day).tolist() for day in (0, 1, 2, 5, 9)] == [[], [], [0], [1, 2, 3], [5, 6, 7]]
    assert past.first(9) == 5
    assert past.sql_range == "range between interval 4 days preceding and interval 2 days preceding"
    assert Past(28, 7).sql_range == "range between interval 28 days preceding and interval 1 days preceding"
    # The detector looks 9 to 43 days back, the band 1 to 28 and for its own past 28 more.
    assert (DEFAULT_SETTINGS.past.days(50) - 50).tolist() == list(range(-43, -8))
    assert (DEFAULT_BAND.past.days(50) - 50).tolist() == list(range(-28, 0))
    assert DEFAULT_BAND.history_days == 56
    assert BandSettings() == BandSettings(Past(28, 7, 0), min_same_weekdays=3, sigmas=4.0, relative_floor=0.01)


@given(st.integers(0, 120), st.integers(1, 40), st.integers(0, 20))
def test_the_past_in_sql_is_the_past_in_python(day: int, window: int, lag: int) -> None:
    past = Past(window, 1, lag)
    dated = "select day, date '2026-01-01' + cast(day as integer) as event_date from range($until) as r(day)"
    found = duckdb.execute(
        f"select list(day) over (order by event_date {past.sql_range}) from ({dated}) qualify day = $until - 1",
        {"until": day + 1},
    ).fetchone()
    assert found is not None
    assert (found[0] or []) == past.days(day).tolist()


@pytest.mark.parametrize(
    ("metric", "usual", "sample", "wanted"),
    [
        # 2 √(49 + 3/8) + 1; 2 √(.2 · 400 + 3/8) + 1, of 400; the same of what is not crash-free.
        ("events", 49, 1, 2 * math.sqrt(49.375) + 1),
        ("events", 0, 1, 2 * math.sqrt(0.375) + 1),
        ("crash_rate", 0.2, 400, (2 * math.sqrt(80.375) + 1) / 400),
        ("crash_rate", 0.0, 100, (2 * math.sqrt(0.375) + 1) / 100),
        ("crash_free_users", 0.8, 400, (2 * math.sqrt(80.375) + 1) / 400),
        ("crash_rate", 0.2, 0, None),
        ("feedback_mean", 4.0, 121, 0.2),
        ("apdex", 0.9, 100, 0.1),
        ("latency_p95_ms", 200, 169, 40.0),
    ],
)
def test_how_far_chance_takes_a_metric(metric: str, usual: float, sample: float, wanted: float | None) -> None:
    query = chance_margin_sql(METRICS_BY_NAME[metric], "usual", "sample", 2.0)
    found = duckdb.execute(f"select {query} from (select $usual as usual, $sample as sample)", {
        "usual": usual, "sample": sample,
    }).fetchone()  # fmt: skip
    assert found is not None
    assert found[0] == (wanted if wanted is None else pytest.approx(wanted))
    assert chance_margin_sql(METRICS_BY_NAME["latency_mean_ms"], "usual", "sample", 2.0) is None


# --- The walk ---------------------------------------------------------------------------------------------------------

RULES = WalkRules(
    Limits(ewma=3.0, spike_sd=5.0, sustained=0.1, one_day=0.3),
    smoothing=0.5, winsor_sd=8.0, calm_sd=1.0, calm_days=2, adopt_after_days=6,
)  # fmt: skip


def walk(z: list[float], rules: WalkRules, change: float = 1.0, silent: tuple[int, ...] = ()) -> list[Switch]:
    """One series through its days."""
    walked, told = Walk(1, rules), []
    for day, value in enumerate(z):
        now, moved = np.array([value]), np.array([change if math.isfinite(value) else NAN])
        strength = walked.smooth(day, now, moved)
        told.append(walked.switch(day, now, moved, strength, np.array([day in silent])))
    return told


def active(z: list[float], rules: WalkRules, **more: object) -> list[int]:
    return [day for day, told in enumerate(walk(z, rules, **more)) if told.is_active[0]]  # type: ignore[arg-type]


def test_a_deviation_is_smoothed_in_its_own_standard_deviations() -> None:
    young, settled = Walk(1, RULES), Walk(1, replace(RULES, is_settled=True, change_limit=2.0))
    # Weights ½, ¼ …: of one day the deviation is ½, of two √(¼ + 1/16), in the long run √(.5 ÷ 1.5).
    for walked, sds in ((young, (0.5, math.sqrt(0.3125))), (settled, (math.sqrt(1 / 3),) * 2)):
        assert walked.smooth(0, np.array([2.0]), np.array([5.0]))[0] == pytest.approx(1.0 / sds[0])
        assert walked.smooth(1, np.array([NAN]), np.array([NAN]))[0] == pytest.approx(1.0 / sds[0])
        assert walked.smooth(2, np.array([20.0]), np.array([1.0]))[0] == pytest.approx((0.5 + 4.0) / sds[1])
    assert young.smooth_change[0] == pytest.approx(5 / 4 + 1 / 2)
    assert settled.smooth_change[0] == pytest.approx(2 / 4 + 1 / 2)
    assert math.isnan(Walk(1, RULES).smooth(0, np.array([NAN]), np.array([NAN]))[0])


def test_an_episode_ends_after_calm_days_that_are_in_it_or_not() -> None:
    z = [0.0, 6.0, 4.0, 0.0, 0.0, 0.0]
    assert active(z, RULES) == [1, 2, 3]
    inside = replace(RULES, ends_inside=True)
    assert active(z, inside) == [1, 2, 3, 4]
    assert [told.is_ended[0] for told in walk(z, inside)] == [False] * 4 + [True, False]
    assert [int(told.calm[0]) for told in walk(z, inside)] == [1, 0, 0, 1, 2, 3]
    # After the second calm day the EWMA is .875 ÷ √⅓ = 1.52: not yet below half of its limit.
    assert active([*z, 0.0], replace(inside, needs_fading=True, is_settled=True)) == [1, 2, 3, 4, 5]


def test_what_is_not_large_enough_does_not_begin_and_what_is_small_is_calm() -> None:
    assert active([0.0, 6.0, 6.0, 6.0], RULES, change=0.05) == []
    # Never 30 % on a day; the smoothed change passes 10 % on the second.
    assert active([0.0, 6.0, 6.0, 6.0], RULES, change=0.15) == [1, 2, 3]
    # All of them calm: the first ends on its second day, which begins another.
    assert active([0.0, 6.0, 6.0, 6.0], replace(RULES, calm_change=0.2), change=0.15) == [1, 2]


def test_an_episode_outlives_unknown_days_as_long_as_it_is_told_to() -> None:
    z = [6.0, *[NAN] * 4]
    assert active(z, RULES) == [0, 1, 2, 3, 4]
    assert active(z, replace(RULES, hold_days=2)) == [0, 1, 2]


def test_silence_is_bad_whatever_its_deviation() -> None:
    told = walk([0.0] * 6, RULES, silent=(1, 2))
    assert [t.is_active[0] for t in told] == [False, True, True, True, False, False]
    assert [t.is_start[0] for t in told] == [False, True, False, False, False, False]


def test_what_lasts_is_adopted_since_it_was_found_or_since_the_ewma_left_normal() -> None:
    assert active([0.0, *[6.0] * 9], RULES) == [1, 2, 3, 4, 5, 6, 8, 9]
    run = replace(RULES, ends_inside=True, is_settled=True, since="run")
    # From day 1 on the strength is above 1 (.75 ÷ √⅓); found on day 4, it is six days old on day 7.
    told = walk([0.0, 1.5, 1.5, 1.5, *[6.0] * 5], run)
    assert [t.is_start[0] for t in told] == [False, False, False, False, True, False, False, False, True]
    assert [int(t.begin[0]) for t in told[1:8]] == [1] * 7
    assert [t.is_adopted[0] for t in told] == [False] * 7 + [True, False]


def test_what_is_forgotten_leaves_no_trace() -> None:
    walked = Walk(2, RULES)
    for day in range(2):
        strength = walked.smooth(day, np.array([6.0, 6.0]), np.ones(2))
        walked.switch(day, np.array([6.0, 6.0]), np.ones(2), strength)
    walked.forget(np.array([True, False]))
    assert walked.active.tolist() == [False, True]
    assert walked.smooth_z.tolist() == [0.0, 4.5]
    assert walked.smooth_change.tolist() == [0.0, 0.75]


def test_a_fall_that_recovers_before_it_falls_silent_ends_with_the_silence() -> None:
    """The end of the fall lies before the first silent day, which is the last bad one."""
    days = 24
    z = np.zeros((1, days))
    z[0, 10:13] = 5.0
    value = np.full((1, days), 9.0)
    value[0, 17] = 0.0
    panel = Panel("events", "count", -1, ("pay",), tuple(on(d) for d in range(days)), value, value, value)
    flag = np.zeros((1, days), bool)
    is_active, is_start, is_silence = flag.copy(), flag.copy(), flag.copy()
    is_active[0, 10:21], is_start[0, 10], is_silence[0, 17] = True, True, True
    found = Detections(
        panel, value, z, z, z, z, z, is_active, is_start, is_silence, flag, np.full((1, days), 10, dtype=np.int64)
    )
    (episode,) = episodes(found)
    assert (episode.kind, episode.start_day, episode.end_day) == ("dead", 10, 17)
