"""Rare bad events over as many days as it takes, and objectives with their budgets: by value, and by chance."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quality_assets.domain.features.incident_words import _objective_text
from quality_assets.domain.features.incidents import find_incidents, incidents_of
from quality_assets.domain.series.objectives import _burn, judge_objective
from quality_assets.domain.series.rare import (
    RareWatch,
    days_to_tell,
    divergence,
    events_to_tell,
    failure_rate,
    least_events_a_day,
    silence_days,
)
from quality_assets.domain.series.settings import DEFAULT_OBJECTIVES, DEFAULT_RARE
from quality_assets.domain.series.state_rows import state_rows
from quality_assets.domain.series.states import Described, watch

START = pd.Timestamp(date(2026, 1, 1))


def told_on(crashes: Any, events: Any, lag_days: int = 8) -> tuple[list[int], RareWatch]:
    """The days on which one series is worse than usual, by the watch alone."""
    amount, sample = (np.asarray(v, dtype=float)[None, :] for v in (crashes, events))
    watched = RareWatch(amount, sample)
    kept, start = np.ones(amount.shape, bool), np.zeros(1, dtype=np.int64)
    return [d for d in range(amount.shape[1]) if watched.listen(d, kept, lag_days, start)[0]], watched


def facts_of(crashes: Any, events: Any = 8, feature: str = "pay", **more: Any) -> pd.DataFrame:
    days = [START + pd.Timedelta(days=d) for d in range(len(crashes))]
    return pd.DataFrame({"event_date": days, "feature": feature, "events": events, "crashes": crashes, **more})


def rows_of(facts: pd.DataFrame, metric: str = "crash_rate", described: Described | None = None) -> pd.DataFrame:
    rows = state_rows(watch(facts, described=described))
    return rows[rows["metric"] == metric].reset_index(drop=True)


def test_what_an_event_says_against_a_rate() -> None:
    one = np.array([0.3])
    assert divergence(one, one)[0] == 0
    wanted = 0.3 * math.log(0.3 / 0.1) + 0.7 * math.log(0.7 / 0.9)
    assert divergence(one, np.array([0.1]))[0] == pytest.approx(wanted)
    assert failure_rate(np.array([0.02, 0.2, 0.5])).tolist() == pytest.approx([0.3, 0.6, 0.95])


def test_how_many_days_a_failure_takes_and_from_which_volume_it_could_be_told() -> None:
    usual, calm = np.array([0.1]), np.ones(1)
    gain = 0.3 * math.log(3) + 0.7 * math.log(0.7 / 0.9)
    assert days_to_tell(usual, np.array([8.0]), calm)[0] == math.ceil(DEFAULT_RARE.evidence / (8 * gain))
    assert math.isinf(days_to_tell(usual, np.array([0.0]), calm)[0])
    assert events_to_tell(usual, calm)[0] == pytest.approx(DEFAULT_RARE.evidence / (gain * 28))
    # Where failures come twice as clumped, it takes twice as long.
    assert events_to_tell(usual, 2 * calm)[0] == pytest.approx(2 * DEFAULT_RARE.evidence / (gain * 28))
    assert silence_days(np.array([2.0, 0.0]), 1e-4).tolist() == [5, math.inf]
    assert least_events_a_day(1e-4, 28) == 0.33


def test_a_rate_that_no_single_day_shows_is_told_by_many_and_ends() -> None:
    # One in fifty of eight a day, then one in four for three weeks: two crashes a day.
    usual = [1 if d % 6 == 0 else 0 for d in range(60)]
    days, _ = told_on(usual + [2] * 21 + [0] * 20, [8] * 101)
    assert min(days) in range(62, 70)
    assert max(days) in range(80, 90)
    assert days == list(range(min(days), max(days) + 1))
    assert told_on(usual * 2, [8] * 120)[0] == []


def test_a_single_day_of_failures_is_not_enough() -> None:
    assert told_on([0] * 40 + [8] + [0] * 20, [8] * 61)[0] == []
    assert told_on([0] * 40 + [8] * 3 + [0] * 20, [8] * 63)[0][:1] in ([41], [42])


def test_false_alarms_by_chance_are_rare_at_any_volume() -> None:
    rng = np.random.default_rng(5)
    count, days = 60, 365
    sample = np.broadcast_to(np.repeat([1.0, 4.0, 12.0], 20)[:, None], (count, days)).copy()
    amount = rng.binomial(sample.astype(int), np.tile(np.repeat([0.01, 0.05], 10), 3)[:, None]).astype(float)
    watched = RareWatch(amount, sample)
    kept, start, alarms = np.ones((count, days), bool), np.zeros(count, dtype=np.int64), 0
    before = np.zeros(count, bool)
    for day in range(days):
        told = watched.listen(day, kept, 8, start)
        alarms += int((told & ~before).sum())
        before = told
    assert alarms / count < 0.2


def test_low_volume_is_told_with_its_days_and_unknown_with_the_volume_that_it_takes() -> None:
    usual = [1 if d % 6 == 0 else 0 for d in range(60)]
    rows = rows_of(facts_of(usual + [2] * 15))
    assert rows["state"][74] == "worse"
    assert rows["is_pooled"][74]
    assert rows["days_pooled"][74] > 5
    assert rows["state"][59] == "ok"
    assert 1 < rows["days_pooled"][59] <= 28
    few = rows_of(facts_of([0] * 80, events=np.where(np.arange(80) % 20 == 0, 1, 0)).query("events > 0"))
    assert set(few["reason_unknown"]) <= {"no_events", "too_little_history", "too_few_events", "no_data_that_day"}


# --- Objectives -------------------------------------------------------------------------------------------------------


def judged(bad: Any, total: Any, limit: float) -> Any:
    one = np.array([limit])
    return judge_objective(
        np.asarray(bad, float)[None, :], np.asarray(total, float)[None, :], one, one, one > 9, DEFAULT_OBJECTIVES
    )


def test_a_single_event_that_is_bad_burns_what_is_allowed_of_it() -> None:
    assert _burn(np.array([1.0, 0.0, 0.0]), np.array([1.0, 1.0, 0.0]), 0.25) == pytest.approx(
        [4, 0, np.nan], nan_ok=True
    )


def test_burn_and_budget_are_what_was_used_of_what_was_allowed() -> None:
    found = judged([1] * 25 + [4] * 3, [100] * 28, 0.02)
    # 12 of 300 in three days, 37 of 2,800 in 28, where 2 % may be bad.
    assert found.burn_short[0, 27] == pytest.approx(12 / 6)
    assert found.burn_long[0, 27] == pytest.approx(37 / 56)
    assert found.budget_left[0, 27] == pytest.approx(19 / 56)
    assert not found.is_breach[0, 24]


def test_a_breach_lasts_from_the_first_day_beyond_to_the_last() -> None:
    found = judged([1] * 30 + [20] * 4 + [0] * 10, [100] * 44, 0.02)
    # 21 of 200 where 4 are allowed is beyond chance on the first day; after three days without any it is over.
    assert np.flatnonzero(found.is_breach[0]).tolist() == list(range(30, 36))
    assert set(found.begin[0, 30:36]) == {30}


def test_one_failure_of_few_is_no_breach_and_no_event_is_no_rate() -> None:
    assert not judged([0] * 27 + [1], [1] * 28, 0.01).is_breach.any()
    nothing = judged([0] * 28, [0] * 28, 0.01)
    assert np.isnan(nothing.burn_long).all()
    assert not nothing.is_breach.any()
    assert judged([1] * 5, [2] * 5, 0.0).is_breach[0, -1]


def test_what_is_bad_from_its_birth_is_told_once_and_stays_open() -> None:
    facts = facts_of([4] * 60, users=np.nan)
    found = find_incidents(facts)
    assert len(found) == 1
    row = found.iloc[0]
    assert (row["kind"], row["objective"], row["objective_source"], row["is_objective_breach"]) == (
        "objective", 0.10, "default", True,
    )  # fmt: skip
    assert row["end_date"] is None
    assert row["severity"] == "high"
    assert "where 10 % is the objective by default" in row["sentence"]
    states = rows_of(facts)["state"]
    assert set(states[15:]) == {"breached"}


def test_what_is_within_its_objective_again_is_told_so_beside_its_worst() -> None:
    row = {
        "current_value": 0.06, "peak_value": 0.4, "objective": 0.1, "baseline_value": 0.1, "unit": "fraction",
        "objective_source": "default", "worst_date": date(2026, 5, 4), "end_date": None,
    }  # fmt: skip
    assert _objective_text(row, "error rate") == (
        "error rate at 6 % on the last day, within the objective of 10 % by default, 40 % at its worst on 4 May,"
    )
    beyond = row | {"current_value": 0.2, "objective_source": "given"}
    assert _objective_text(beyond, "error rate") == (
        "error rate at 20 % where 10 % is the objective, 40 % at its worst on 4 May,"
    )
    assert _objective_text(beyond | {"current_value": 0.4}, "error rate") == (
        "error rate at 40 % where 10 % is the objective,"
    )
    # Feedback is bad below its objective.
    score = beyond | {"unit": "score", "objective": 4.0, "peak_value": 3.0, "current_value": 4.2}
    assert _objective_text(score, "feedback").startswith("feedback at 4.20 on the last day, within the objective of 4")


def test_objectives_are_those_that_are_given_the_stricter_of_two_else_those_of_the_tier() -> None:
    facts = pd.concat([facts_of([3] * 40, events=100, feature=name) for name in ("a", "b", "c", "d")])
    described = Described.of(
        pd.DataFrame(
            {
                "feature": ["a", "b", "c"],
                "tier": [1, 1, 2],
                "slo_crash_rate": [0.05, None, None],
                "slo_availability": [0.99, 0.9, None],
            }
        )
    )
    last = rows_of(facts, described=described).groupby("feature").last()
    assert last["objective"].to_dict() == {"a": 0.01, "b": 0.1, "c": 0.05, "d": 0.10}
    assert last["objective_source"].to_dict() == {"a": "given", "b": "given", "c": "default", "d": "default"}
    assert last["is_objective_breach"].to_dict() == {"a": True, "b": False, "c": False, "d": False}
    assert last.loc["a", "burn_rate_28d"] == pytest.approx(3.0)
    assert last.loc["a", "budget_left"] == pytest.approx(-2.0)


def test_an_objective_for_a_quantile_holds_on_all_but_one_day_in_twenty() -> None:
    slow = [200.0] * 40 + [900.0] * 4
    facts = facts_of([0] * 44, events=500, latency_count=500, latency_p50_ms=100.0, latency_p95_ms=slow)
    described = Described.of(pd.DataFrame({"feature": ["pay"], "slo_latency_p95_ms": [500.0]}))
    rows = rows_of(facts, "latency_p95_ms", described)
    assert rows["burn_rate_28d"][40] == pytest.approx(1 / 28 / 0.05)
    assert rows["burn_rate_3d"][41] == pytest.approx(2 / 3 / 0.05)
    assert rows["is_objective_breach"][43]
    assert not rows["is_objective_breach"][39]


def test_a_breach_that_an_episode_covers_is_one_incident() -> None:
    facts = facts_of([1] * 50 + [30] * 8, events=100)
    described = Described.of(pd.DataFrame({"feature": ["pay"], "slo_crash_rate": [0.02]}))
    found = incidents_of(watch(facts, described=described), facts)
    assert found["kind"].tolist() == ["step"]
    assert found["is_objective_breach"].tolist() == [True]
    assert found["objective_source"].tolist() == ["given"]
    assert DEFAULT_RARE.longest_days == 28
