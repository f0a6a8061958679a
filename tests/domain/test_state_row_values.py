"""States of cells and the columns of their rows, by value: reasons, spans of episodes, objectives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from math import inf
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.states import FEATURE_STATES
from quality_assets.domain.features.status import is_worse_sql, state_join_sql
from quality_assets.domain.series.detection import Detections
from quality_assets.domain.series.normal import _baseline_status, _silent_days
from quality_assets.domain.series.objectives import ObjectiveStates
from quality_assets.domain.series.panel import Grid, Panel
from quality_assets.domain.series.settings import DEFAULT_SETTINGS
from quality_assets.domain.series.state_rows import (
    _last_known,
    _near_episodes,
    _objective_columns,
    spans,
    state_rows,
    watched_from,
)
from quality_assets.domain.series.states import Described, Watched, run_length, words_of

NAN, NAT = float("nan"), np.datetime64("NaT")


def day(number: int) -> date:
    return date(2026, 1, 1) + timedelta(days=number)


def on(days: int, which: Sequence[int]) -> np.ndarray:
    return np.isin(np.arange(days), list(which))[None, :]


def of(days: int, **more: Any) -> Watched:
    """One series of so many days; by name: days of flags (active, start, ...), or values of a matrix."""

    def values(name: str, default: float) -> np.ndarray:
        return np.broadcast_to(np.asarray(more.get(name, default), dtype=float), (1, days)).copy()

    def flags(name: str) -> np.ndarray:
        return on(days, more.get(name, ()))

    metric, family = more.get("metric", "crash_rate"), more.get("family", "rate")
    dates = [day(d) for d in range(days)]
    value = values("value", 0.5)
    panel = Panel(metric, family, 1, ("pay",), tuple(dates), value, value, values("sample", 100.0))
    found = Detections(
        panel=panel, expected=values("expected", 0.1), z=values("z", 0.0), ewma=values("ewma", 0.25),
        change=values("change", 4.0), noise=values("noise", 0.05), silence_log_p=values("silence_log_p", 0.0),
        is_active=flags("active"), is_start=flags("start"), is_silence=flags("silent"), is_adopted=flags("adopted"),
        run_start=values("run", 0).astype(np.int64), is_bad=flags("bad") if "bad" in more else None,
        days_pooled=values("pooled_days", 1.0) if "pooled_days" in more else None,
        is_pooled=flags("pooled") if "pooled" in more else None,
        events_to_tell=values("to_tell", 1.0) if "to_tell" in more else None,
    )  # fmt: skip
    grid = Grid(
        "feature", np.array(["pay"], dtype=object), np.array(dates, dtype="datetime64[D]"),
        ~on(days, more.get("absent", ())), on(days, more.get("gap", ()))[0],
        {"events": values("events", 0.0)} if "events" in more else {},
    )  # fmt: skip
    objective = None
    if "breach" in more:
        burn = values("burn", 3.0)
        objective = ObjectiveStates(
            np.array([more.get("limit", 0.02)]), np.array([more.get("default", False)]), flags("breach"),
            values("begin", 0).astype(np.int64), burn, burn / 2, 1 - burn / 2,
        )  # fmt: skip
    return Watched(grid, found, np.array([more.get("counted", True)]), objective)


# --- Words ------------------------------------------------------------------------------------------------------------


def words(days: int, **more: Any) -> list[str]:
    """The state of each day, with the reason where it is unknown."""
    state, reason = words_of(of(days, **more))
    return [f"{s} {r}".strip() for s, r in zip(state[0], reason[0], strict=True)]


def test_a_day_is_worse_breached_recovering_or_as_usual() -> None:
    assert words(6, active=[1, 2, 3], bad=[1], breach=[2, 4]) == [
        "ok", "worse", "breached", "recovering", "breached", "ok",
    ]  # fmt: skip
    # Put together by hand, every day of an episode is worse.
    assert words(3, active=[1]) == ["ok", "worse", "ok"]
    # Worse comes before what is not known otherwise, and that before an episode.
    assert words(3, active=[0, 1, 2], bad=[0], z=NAN) == [
        "worse",
        "unknown too_little_history",
        "unknown too_little_history",
    ]
    # A day without a value breaches nothing.
    assert words(2, value=[0.5, NAN], breach=[0, 1]) == ["breached", "unknown no_events"]
    # Before it was first seen nothing is known, and no reason is told.
    assert words(4, absent=[0, 1, 3]) == ["unknown", "unknown", "ok", "ok"]


def test_reasons_are_told_by_what_is_missing_first() -> None:
    value, sample = [NAN, NAN, NAN, 0.5, 0.5, 0.5, 0.5], [100, 100, 100, 0.5, 100, 100, 100]
    assert words(
        7, value=value, sample=sample, events=[1, 0, 1, 1, 1, 1, 1], z=[0, 0, 0, 0, NAN, 0, 0], gap=[0],
        pooled_days=[99, 99, 99, 99, 99, 29, 28],
    ) == [
        "unknown no_data_that_day", "unknown no_events", "unknown no_values", "unknown too_few_values",
        "unknown too_little_history", "unknown too_few_events", "ok",
    ]  # fmt: skip
    # Without events beside it a day without a value has no events.
    assert words(2, value=[NAN, 0.5]) == ["unknown no_events", "ok"]


def test_few_values_and_few_events_depend_on_the_metric() -> None:
    slow = {"metric": "latency_p95_ms", "family": "positive", "pooled_days": 99}
    assert words(2, sample=[19, 20], **slow) == ["unknown too_few_values", "ok"]
    assert words(2, sample=[4, 5], **slow | {"metric": "latency_p50_ms"}) == ["unknown too_few_values", "ok"]
    assert words(2, sample=[1, 2], metric="feedback_mean", family="score") == ["unknown too_few_values", "ok"]
    assert words(2, sample=[0, 1]) == ["unknown too_few_values", "ok"]
    assert words(1, pooled_days=inf, metric="events", family="count") == ["unknown too_few_events"]
    assert words(1, pooled_days=inf, active=[0], bad=[]) == ["recovering"]
    own = of(1, pooled_days=inf)
    assert words_of(own, DEFAULT_SETTINGS.__class__(rare=None))[0][0, 0] == "ok"


def test_a_feature_without_events_for_a_fortnight_is_gone() -> None:
    value = [5.0, *[0.0] * 7, NAN, *[0.0] * 8]
    count = {"value": value, "metric": "events", "family": "count", "events": value}
    known = [word for number, word in enumerate(words(17, expected=0.4, **count)) if number != 8]
    assert known == ["ok"] * 13 + ["unknown gone"] * 3
    assert "unknown gone" not in words(17, expected=0.5, **count)
    assert words(17, expected=NAN, **count)[-1] == "unknown gone"
    assert "unknown gone" not in words(17, expected=0.4, active=range(17), bad=[], **count)
    assert "unknown gone" not in words(17, expected=0.4, **count | {"family": "rate"})


def test_runs_of_days() -> None:
    assert run_length(np.array([[1, 1, 0, 1, 1, 1], [0, 0, 1, 0, 1, 0]], bool)).tolist() == [
        [1, 2, 0, 1, 2, 3], [0, 0, 1, 0, 1, 0],
    ]  # fmt: skip
    assert run_length(np.zeros((0, 0), bool)).shape == (0, 0)


def test_what_is_bad_is_worse_or_breached() -> None:
    assert of(4, active=[0, 1], bad=[0], breach=[2]).is_bad[0].tolist() == [True, False, True, False]
    assert of(3, active=[0, 1]).is_bad[0].tolist() == [True, True, False]
    assert of(3, z=[0, NAN, 0]).is_known[0].tolist() == [True, False, True]


def test_what_counts_is_watched_and_not_switched_off() -> None:
    frame = pd.DataFrame({"feature": ["a", "b", "c"], "uncounted_metrics": ["events crash_rate", "all", None]})
    described = Described.of(frame, probes=["c"])
    assert described.uncounted == {"a": {"events", "crash_rate"}, "b": {"all"}}
    asked = [
        ("a", "events"),
        ("a", "error_rate"),
        ("b", "error_rate"),
        ("c", "error_rate"),
        ("c", "events"),
        ("d", "events"),
    ]
    assert [described.is_counted(*each) for each in asked] == [False, True, False, True, False, True]
    assert not described.is_counted("d", "users")
    for nothing in (None, frame.iloc[:0]):
        assert Described.of(nothing, ["x"]) == Described(None, {}, frozenset({"x"}))
    assert Described.of(frame[["feature"]]).uncounted == {}


# --- Rows -------------------------------------------------------------------------------------------------------------


def test_parts_are_kept_on_the_days_of_episodes_and_ten_days_before() -> None:
    def near(**more: Any) -> list[int]:
        return np.flatnonzero(_near_episodes(of(40, **more).found)[0]).tolist()

    assert near() == []
    assert near(active=[30, 31], start=[30], run=30) == list(range(20, 32))
    assert near(active=[30, 31], start=[30], run=25) == list(range(15, 32))
    assert near(active=[30], start=[30], run=35) == list(range(20, 31))
    assert near(active=[5, 9], start=[5], run=5) == [*range(6), 9]
    assert near(start=[30], run=30) == list(range(20, 31))


def test_days_of_episodes_know_since_when_and_the_worst_so_far() -> None:
    z = [0, 0, 0, 4, 5, 5, 3, 6, NAN, 0, 0, 0, 6, 7]
    size = np.arange(14.0)
    each = of(14, z=z, value=size, expected=0, active=[4, 5, 6, 7, 8, 12, 13], start=[4, 12],
              run=[0, 0, 0, 3, 3, *[12] * 9], breach=[0, 1, 6],
              begin=[0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])  # fmt: skip
    since, worst, worst_size = spans(each)
    dates = np.array([day(d) for d in range(14)], dtype="datetime64[s]")
    # The first is dated a day before it was found; its days take the place of the breach.
    wanted = [dates[0], dates[0], NAT, NAT, *[dates[3]] * 5, NAT, NAT, NAT, dates[12], dates[12]]
    np.testing.assert_array_equal(since[0], np.array(wanted, dtype="datetime64[s]"))
    # Of two alike the later is the worst; an unknown day is none.
    at = [4, 5, 5, 7, 7]
    np.testing.assert_array_equal(
        worst[0], np.array([*[NAT] * 4, *dates[at], NAT, NAT, NAT, dates[12], dates[13]], dtype="datetime64[s]")
    )
    np.testing.assert_array_equal(worst_size[0], [*[NAN] * 4, *at, NAN, NAN, NAN, 12, 13])


def test_an_episode_that_starts_anew_has_its_own_worst_day() -> None:
    z = [0, 0, 9, 5, 0, 0, 0, 0, 0, 0, 4, 6]
    each = of(
        12, z=z, value=np.arange(12.0), expected=0, active=range(2, 12), start=[2, 10], run=[0, 0, 2, *[0] * 7, 10, 0]
    )
    _, _, worst_size = spans(each)
    np.testing.assert_array_equal(worst_size[0], [NAN, NAN, *[2] * 8, 10, 11])


def test_objectives_have_their_source_and_their_burn() -> None:
    given = _objective_columns(of(2, breach=[1], burn=[2.0, 4.0]), (1, 2))
    assert {name: values[0].tolist() for name, values in given.items()} == {
        "objective": [0.02, 0.02], "objective_source": ["given"] * 2, "is_objective_breach": [False, True],
        "burn_rate_3d": [2.0, 4.0], "burn_rate_28d": [1.0, 2.0], "budget_left": [0.0, -1.0],
    }  # fmt: skip
    default = _objective_columns(of(1, breach=[0], default=True), (1, 1))
    assert default["objective_source"].tolist() == [["default"]]
    none = _objective_columns(of(1, breach=[0], limit=NAN), (1, 1))
    assert (none["objective_source"].tolist(), none["is_objective_breach"].tolist()) == ([[None]], [[None]])
    without = _objective_columns(of(2), (1, 2))
    assert {name: pd.isna(values).all() for name, values in without.items()} == dict.fromkeys(given, True)


def test_a_row_has_every_figure_of_its_cell() -> None:
    each = of(
        3, absent=[0], value=0.5, sample=80.0, expected=0.1, change=[0, 99.0, -99.0], z=[0, 7, 7], active=[1, 2],
        start=[1], bad=[1], run=[0, 1, 1], pooled=[2], pooled_days=[1, 0.5, 4], to_tell=2.5, breach=[2],
        begin=1, burn=4.0,
        silence_log_p=-3.0, silent=[2], adopted=[2], ewma=[0, 0.25, 0.5],
    )  # fmt: skip
    rows = state_rows([each])
    assert tuple(rows.columns) == FEATURE_STATES.column_names
    first, second = ({name: None if pd.isna(v) else v for name, v in row.items()} for row in rows.to_dict("records"))
    wanted = {
        "event_date": pd.Timestamp(day(1)), "feature": "pay", "metric": "crash_rate", "event_name": "", "platform": "",
        "state": "worse", "reason_unknown": None, "is_counted": True, "is_bad": True, "value": 0.5, "sample_size": 80.0,
        "expected": 0.1, "size": 0.4, "change": 10.0, "z": 7.0, "drift": 0.25, "noise": 0.05,
        "since": pd.Timestamp(day(1)), "worst_date": pd.Timestamp(day(1)), "worst_size": 0.4, "days_pooled": None,
        "events_to_tell": 2.5, "is_open": True, "is_found": True, "is_silent": False, "is_pooled": False,
        "is_adopted": False, "run_since": pd.Timestamp(day(1)), "silence_log_p": -3.0, "objective": 0.02,
        "objective_source": "given", "is_objective_breach": False, "burn_rate_3d": 4.0, "burn_rate_28d": 2.0,
        "budget_left": -1.0,
    }  # fmt: skip
    assert first == wanted
    assert {name: value for name, value in second.items() if value != wanted[name]} == {
        "event_date": pd.Timestamp(day(2)), "state": "breached", "change": -10.0, "drift": 0.5,
        "worst_date": pd.Timestamp(day(2)), "days_pooled": 4.0, "is_found": False, "is_silent": True,
        "is_pooled": True, "is_adopted": True, "is_objective_breach": True,
    }  # fmt: skip
    quiet = state_rows([of(1, counted=False, breach=[0])]).iloc[0]
    assert (quiet["state"], quiet["is_bad"], quiet["is_counted"], quiet["is_pooled"], quiet["days_pooled"]) == (
        "breached", False, False, False, 1.0,
    )  # fmt: skip
    assert np.isnan(quiet["events_to_tell"])
    (again,) = watched_from(rows)
    assert again.is_bad[0].tolist() == [True, True]
    assert again.found.run_start[0].tolist() == [0, 0]
    assert again.found.days_pooled is not None
    assert again.found.days_pooled[0].tolist() == [inf, 4.0]


def test_the_last_value_that_is_known() -> None:
    values = np.array([[1.0, 2.0, NAN], [NAN] * 3, [3.0, NAN, 4.0], [5.0, NAN, NAN]])
    assert _last_known(values).tolist() == [2.0, 0.0, 4.0, 5.0]


# --- Worse on a day, in SQL -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "state", "is_counted", "wanted"),
    [
        ("crash_rate", "worse", True, True), ("crash_rate", "worse", False, False),
        ("crash_rate", "breached", True, True), ("crash_rate", "ok", True, False),
        ("crash_rate", "recovering", True, False), ("crash_rate", "unknown", True, None),
        # What is not watched cannot be switched off.
        ("users", "worse", False, True), ("users", "ok", False, False), ("users", "breached", True, True),
    ],
)  # fmt: skip
def test_the_state_of_a_day_says_whether_it_is_worse(
    metric: str, state: str, is_counted: bool, wanted: bool | None
) -> None:
    for band in (True, False, None):
        with duckdb.connect() as db:
            db.execute("create table t as select ? as metric, ?::boolean as is_worse", [metric, band])
            db.execute("create table s as select ? as state, ?::boolean as is_counted", [state, is_counted])
            assert db.sql(f"select {is_worse_sql('t', 's')} from t, s").fetchall() == [(wanted,)]
            db.execute("update s set state = null, is_counted = null")
            assert db.sql(f"select {is_worse_sql('t', 's')} from t, s").fetchall() == [(band,)]


def test_a_trend_has_the_state_of_its_day_feature_and_metric() -> None:
    rows = [
        (1, "pay", "events", "", "", "own"), (2, "pay", "events", "", "", "day"),
        (1, "cart", "events", "", "", "feature"), (1, "pay", "users", "", "", "metric"),
        (1, "pay", "events", "tap", "", "event"), (1, "pay", "events", "", "ios", "platform"),
    ]  # fmt: skip
    with duckdb.connect() as db:
        db.execute("create schema product")
        db.execute(
            "create table product.feature_states (event_date int, feature text, metric text, event_name text,"
            " platform text, state text)"
        )
        db.executemany("insert into product.feature_states values (?, ?, ?, ?, ?, ?)", rows)
        db.execute("create table trends (event_date int, feature text, metric text)")
        db.execute("insert into trends values (1, 'pay', 'events'), (3, 'pay', 'events')")
        found = db.sql(f"select t.event_date, s.state from trends t {state_join_sql('t', 's')} order by 1").fetchall()
    assert found == [(1, "own"), (3, None)]


# --- What is normal ---------------------------------------------------------------------------------------------------


def test_clumped_events_make_silence_tell_later() -> None:
    # A variance of twice the mean: ⌊20 (10000^(1 ÷ (ln 2 × 2 × 20)) − 1)⌋ + 1 = 8.
    assert _silent_days(np.array([0.0, 4.0] * 10), np.array([-2.0, 2.0] * 10)) == 8
    # What is far off counts for no more than nine times the usual square and the mean: (8 + 2 × 11) ÷ 10 = 3.
    assert _silent_days(np.full(10, 2.0), np.array([1.0] * 8 + [10.0] * 2)) == 8
    assert _silent_days(np.full(10, 2.0), np.zeros(10)) == 6
    assert _silent_days(np.zeros(10), np.zeros(10)) is None


@pytest.mark.parametrize(
    ("every", "status"),
    [
        ([1.0, 2.0] * 12, "ok"),
        ([1.0] * 24, "constant"),
        ([NAN] * 9, "silent"),
        ([1.0, 2.0] * 6 + [0.0] * 7, "silent"),
        ([1.0, 2.0] * 6 + [0.0] * 6, "ok"),
        ([0.0] * 24, "constant"),
        ([NAN] * 30 + [1.0, 2.0] * 5 + [1.0], "new"),
        ([1.0, 2.0] * 5 + [NAN] * 12 + [1.0], "new"),
        ([1.0, 2.0] * 5 + [NAN] * 13 + [1.0], "too_little_history"),
        ([NAN, 1.0, 2.0] + [NAN] * 20 + [1.0], "new"),
    ],
)
def test_how_much_is_known_of_what_is_normal(every: list[float], status: str) -> None:
    values = np.array(every)
    assert _baseline_status(values, values[np.isfinite(values)], 12) == status
