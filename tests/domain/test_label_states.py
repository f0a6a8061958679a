"""The state of a feature and its labels, by value."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from quality_assets.domain.models.risk.labels import (
    FeatureStates,
    LabelSettings,
    SignalState,
    _days_to,
    degradation_labels,
    feature_states,
)
from quality_assets.domain.series.panel import Grid, build_grid
from quality_assets.domain.series.states import Described, run_length

START = date(2026, 1, 1)
SETTINGS = LabelSettings()
NAN = math.nan


@pytest.mark.parametrize(
    ("changes", "is_allowed"),
    [
        ({"horizon_days": 0, "min_known_days": 1}, False),
        ({"horizon_days": 1, "min_known_days": 1}, True),
        ({"min_known_days": 0}, False),
        ({"min_known_days": 1}, True),
        ({"min_known_days": 7}, True),
        ({"min_known_days": 8}, False),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, int], is_allowed: bool) -> None:
    if is_allowed:
        assert LabelSettings(**changes)
    else:
        with pytest.raises(ValueError, match="must"):
            LabelSettings(**changes)


def grid_of(facts: pd.DataFrame) -> Grid:
    return build_grid(facts, ("events", "users"), counted_by="events")


# --- Features and labels ----------------------------------------------------------------------------------------------


def facts_of(crash_days: list[int], days: int, silent: tuple[int, int] = (0, 0)) -> pd.DataFrame:
    rows = [
        {"event_date": pd.Timestamp(START) + pd.Timedelta(days=d), "feature": f, "events": 1000}
        | {"crashes": 200 if f == "pay" and d in crash_days else 10, "errors": 20}
        for d in range(days)
        for f in ("pay", "cart")
        if not (f == "pay" and silent[0] <= d < silent[1])
    ]
    return pd.DataFrame(rows)


def row_of(states: FeatureStates, array: np.ndarray) -> list[int]:
    return np.flatnonzero(array[int(np.flatnonzero(states.grid.keys == "pay")[0])]).tolist()


def test_a_relapse_within_three_days_is_no_new_degradation_and_the_feature_is_not_yet_healthy() -> None:
    for relapse, onsets in ((53, [50]), (54, [50]), (55, [50, 55])):
        states = feature_states(facts_of([50, relapse], 80))
        assert row_of(states, states.is_degraded) == [50, relapse]
        assert row_of(states, states.is_onset) == onsets
        assert row_of(states, states.is_known) == list(range(12, 80))
        recovering = {*range(50, 54), *range(relapse, relapse + 4)}
        assert row_of(states, states.is_healthy) == [d for d in range(12, 80) if d not in recovering]


def test_silence_is_bad_until_it_is_the_new_normal_and_unknown_from_then_on() -> None:
    states = feature_states(facts_of([], 120, silent=(50, 120)))
    row = int(np.flatnonzero(states.grid.keys == "pay")[0])
    assert states.silent_days[row, 48:].tolist() == [0, 0, *range(1, 71)]
    # Found on its first day, adopted 42 days after it began.
    assert row_of(states, states.is_degraded) == list(range(50, 93))
    assert row_of(states, states.is_known)[-1] == 92


def test_what_is_switched_off_counts_for_nothing() -> None:
    facts = facts_of([50], 80)
    off = Described(uncounted={"pay": frozenset({"crash_rate"})})
    assert row_of(*two(feature_states(facts, described=off))) == []
    assert row_of(*two(feature_states(facts, described=Described(uncounted={"cart": frozenset({"all"})})))) == [50]
    probed = Described(probes=frozenset({"pay"}))
    quiet = facts_of([], 80, silent=(50, 60))
    assert row_of(*two(feature_states(quiet))) == list(range(50, 60))
    assert row_of(*two(feature_states(quiet, described=probed))) == []


def two(states: FeatureStates) -> tuple[FeatureStates, np.ndarray]:
    return states, states.is_degraded


def plain_signal(shape: tuple[int, int], degraded_cells: np.ndarray, known: np.ndarray) -> SignalState:
    blank = np.where(known, 0.0, NAN)
    none = np.zeros(shape, bool)
    return SignalState(
        blank, blank, blank, known, degraded_cells, degraded_cells, none, none.astype(np.int64), blank, blank, blank
    )


def states_of(days: int = 14) -> FeatureStates:
    """Two features: `a` degrades in latency on day 5 and in crashes on days 5 and 6; `b` is hardly ever known."""
    grid = grid_of(
        pd.DataFrame(
            [
                {"event_date": pd.Timestamp(START) + pd.Timedelta(days=d), "feature": f, "events": 10 * d + 1}
                for d in range(days)
                for f in ("a", "b")
                if not (f == "b" and d == 0)
            ]
        )
    )
    shape = (2, days)
    known, none = np.ones(shape, bool), np.zeros(shape, bool)
    known[1, 4:] = False
    latency, crash = none.copy(), none.copy()
    latency[0, 5], crash[0, 5:7] = True, True
    signals = {
        "latency": plain_signal(shape, latency, known),
        "crash": plain_signal(shape, crash, known),
        "volume": plain_signal(shape, none, none),
    }
    onset, healthy = none.copy(), known.copy()
    onset[0, 5], healthy[0, 5:10] = True, False
    return FeatureStates(grid, signals, known, crash, onset, healthy, np.zeros(shape, dtype=np.int64))


def test_labels_look_a_horizon_ahead_and_no_further() -> None:
    labels = degradation_labels(states_of(), replace(SETTINGS, horizon_days=3, min_known_days=2))
    a = labels[labels["feature"] == "a"]
    assert a["events"].tolist() == [10 * d + 1 for d in range(14)]
    assert a["horizon_days"].unique().tolist() == [3]
    assert a["label_any"].tolist() == [False, False, True, True, True, True, *[False] * 5, pd.NA, pd.NA, pd.NA]
    assert a["label_onset"].tolist() == [
        False, False, True, True, True, *[pd.NA] * 5, False, pd.NA, pd.NA, pd.NA,
    ]  # fmt: skip
    assert a["days_to_degradation"].tolist() == [pd.NA, pd.NA, 3, 2, 1, 1, *[pd.NA] * 8]
    assert a["degraded_metrics_ahead"].tolist() == [
        "", "", "latency, crash", "latency, crash", "latency, crash", "crash", "", "", "", "", "", None, None, None,
    ]  # fmt: skip
    assert a["unknown_because"].tolist() == [None] * 11 + ["future"] * 3
    assert a["degraded_metrics_today"].tolist() == [*[""] * 5, "latency, crash", "crash", *[""] * 7]
    assert a["is_degraded_today"].tolist() == [*[False] * 5, True, True, *[False] * 7]
    assert a["is_latency_degraded"].tolist() == [*[False] * 5, True, *[False] * 8]
    assert a["is_volume_degraded"].isna().all()
    assert a["is_onset_today"].tolist() == [*[False] * 5, True, *[False] * 8]
    b = labels[labels["feature"] == "b"]
    assert len(b) == 13
    assert b["label_any"].tolist() == [False, *[pd.NA] * 12]
    assert b["unknown_because"].tolist() == [None, *["low_volume"] * 9, *["future"] * 3]
    assert b["degraded_metrics_today"].tolist() == ["", "", "", *[None] * 10]
    assert b["is_degraded_today"].isna().tolist() == [False] * 3 + [True] * 10


def test_a_feature_that_goes_and_a_day_that_is_missing_say_so() -> None:
    states = states_of()
    silent = np.zeros((2, 14), dtype=np.int64)
    silent[1, 9:] = [13, 14, 15, 16, 17]
    grid = replace(states.grid, is_gap=np.arange(14) == 7)
    settings = replace(SETTINGS, horizon_days=3, min_known_days=2)
    labels = degradation_labels(replace(states, silent_days=silent, grid=grid), settings)
    why = labels[labels["feature"] == "b"]["unknown_because"].tolist()
    assert why == [None, *["low_volume"] * 2, *["clock_gap"] * 3, *["gone"] * 4, *["future"] * 3]


def test_runs_and_distances_are_counted_in_days() -> None:
    mask = np.array([[True, True, False, True, False, True, True, True], [False] * 8])
    assert run_length(mask).tolist() == [[1, 2, 0, 1, 0, 1, 2, 3], [0] * 8]
    ahead = np.array([[False, True, False, False, False, True]])
    assert _days_to(ahead, 2).tolist() == [[1, 3, 3, 2, 1, 3]]
    assert _days_to(ahead, 9).tolist() == [[1, 4, 3, 2, 1, 10]]
