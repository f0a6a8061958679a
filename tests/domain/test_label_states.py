"""The walk of a signal, the state of a feature and its labels: against the plain way, and by value."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from statistics import mean, median

import numpy as np
import pandas as pd
import pytest

from quality_assets.domain.models.risk.labels import (
    LABEL_FACTS,
    FeatureStates,
    LabelSettings,
    SignalState,
    _days_to,
    _Series,
    _series,
    _signal_state,
    _tail,
    degradation_labels,
    feature_states,
    run_length,
)
from quality_assets.domain.series.panel import Grid, build_grid

START = date(2026, 1, 1)
SETTINGS = LabelSettings()
DAYS = 130
NAN = math.nan
FIGURES = ("z", "change", "ewma_z", "noise", "residual", "drift_share", "spike_share")
LEAST = {"latency": 0.10, "crash": 0.5, "error": 0.3, "feedback": 0.15, "volume": 0.2}
ENOUGH = {"latency": 50, "crash": 100, "error": 100, "feedback": 20, "volume": 0}


def test_the_settings_are_those_that_the_published_grades_were_made_with() -> None:
    assert LabelSettings() == LabelSettings(
        horizon_days=7, window_days=28, lag_days=10, min_baseline_days=14, min_change=LEAST,
        min_count=ENOUGH | {"volume": 5}, ewma_weight=0.3, enter_ewma_z=5.0, enter_z=6.0, spike_factor=1.5,
        exit_z=1.5, exit_days=2, refractory_days=3, max_episode_days=28, gone_days=14, hold_days=3, min_known_days=4,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "is_allowed"),
    [
        ({"horizon_days": 0, "min_known_days": 1}, False),
        ({"horizon_days": 1, "min_known_days": 1}, True),
        ({"window_days": 0}, False),
        ({"window_days": 7}, True),
        ({"window_days": 8}, False),
        ({"lag_days": 0}, False),
        ({"lag_days": 1}, True),
        ({"min_known_days": 0}, False),
        ({"min_known_days": 1}, True),
        ({"min_known_days": 7}, True),
        ({"min_known_days": 8}, False),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, int], is_allowed: bool) -> None:
    if is_allowed:
        assert LabelSettings(**changes)  # type: ignore[arg-type]
    else:
        with pytest.raises(ValueError, match="must"):
            LabelSettings(**changes)  # type: ignore[arg-type]


# --- The plain way: one signal, day by day and feature by feature ----------------------------------------------------


def plain_season(x: list[float], day: int) -> float:
    """Median over eight weeks of a weekday less the week around it; drawn to 0 where it was seen less than thrice."""
    gaps = []
    for past in range(day - 7, day - 57, -7):
        if past >= 3:
            gap = x[past] - sum(x[past - 3 : past + 4]) / 7
            gaps += [gap] if math.isfinite(gap) else []
    return min(len(gaps), 3) / 3 * median(gaps) if gaps else 0.0


def plain_change(name: str, x: float, expected: float) -> float:
    if name == "latency":
        return math.exp(x - expected) - 1
    if name == "feedback":
        return x - expected
    if name == "volume":
        return 1 - (math.exp(-x) - 0.5) / math.exp(-expected)
    return math.sin(x / 2) ** 2 / math.sin(max(expected, 0.001) / 2) ** 2 - 1


class PlainFeature:
    """One feature of a signal, as it goes through the days."""

    def __init__(self, series: _Series, feature: int) -> None:
        self.name, self.sd, self.count = series.name, series.sampling_sd[feature], series.count[feature]
        is_enough = self.count >= ENOUGH[self.name]
        self.x = [float(v) if ok else NAN for v, ok in zip(series.x[feature], is_enough, strict=True)]
        self.season = [plain_season(self.x, day) for day in range(DAYS)]
        self.masked = [False] * DAYS
        self.level = self.scale = NAN
        self.ewma = self.moved = self.variance = 0.0
        self.calm = self.age = self.unknown = 0
        self.bad = False
        self.said: dict[str, list[float]] = {name: [] for name in (*FIGURES, "bad", "calm")}

    def past(self, day: int) -> tuple[float, float, int]:
        """Level, deviation in units of chance, and days behind them, of days 10 to 37 days ago."""
        used = [o for o in range(10, min(38, day + 1)) if math.isfinite(self.x[day - o]) and not self.masked[day - o]]
        values = [self.x[day - o] - self.season[day - o % 7] for o in used]
        middle = mean(values) if values else 0.0
        chance = [math.exp(min(middle, 0) / 2) if self.name == "volume" else self.sd[day - o] for o in used]
        spread = sum(abs(v - middle) / c for v, c in zip(values, chance, strict=True))
        return middle, math.sqrt(math.pi / 2) * spread / math.sqrt(max(len(used) * (len(used) - 1), 1)), len(used)

    def learn(self, past: tuple[float, float, int], pooled: float) -> None:
        middle, own, count = past
        if count >= 14:
            both = (count * own**2 + 8 * pooled**2) / (count + 8)
            self.level, self.scale = middle, max(math.sqrt(both), 1.0)
        elif not self.bad:
            self.level = self.scale = NAN

    def deviation(self, day: int, expected: float) -> tuple[float, float]:
        """How far from what was expected, in deviations and as a change."""
        raw, change = (self.x[day] - expected) / self.sd[day], plain_change(self.name, self.x[day], expected)
        if self.name == "volume":
            usual, count = math.exp(-expected), self.count[day]
            raw = 2 * (math.sqrt(usual + 0.375) - math.sqrt(count + 0.375)) if usual >= 5 else NAN
            change = 1 - count / usual
        z = raw / self.scale
        return (max(z, -10.0), change) if math.isfinite(z) else (NAN, NAN)

    def judge(self, day: int, is_gone: bool) -> None:
        expected, least = self.level + self.season[day], LEAST[self.name]
        z, change = self.deviation(day, expected)
        is_seen = math.isfinite(z)
        if is_seen:
            self.ewma, self.moved = 0.7 * self.ewma + 0.3 * min(z, 10.0), 0.7 * self.moved + 0.3 * change
            self.variance = 0.49 * self.variance + 0.09
        strength = self.ewma / math.sqrt(self.variance) if self.variance > 0 else NAN
        shown = strength if math.isfinite(self.level) else NAN
        figures = {"z": z, "change": change, "ewma_z": shown, "noise": self.scale, "residual": self.x[day] - expected}
        figures["drift_share"] = min(shown / 5, self.moved / least) if math.isfinite(shown) else NAN
        figures["spike_share"] = min(z / 6, change / (1.5 * least)) if is_seen else NAN
        slides = strength > 5 and self.moved > least and z > 1.5
        self.switch(day, is_seen, slides or (z > 6 and change > 1.5 * least), z < 1.5 or change < least / 2)
        for name, value in {**figures, "bad": self.bad, "calm": self.calm}.items():
            self.said[name].append(value)
        if is_gone:
            self.bad, self.ewma, self.moved = False, 0.0, 0.0

    def switch(self, day: int, is_seen: bool, enters: bool, is_calm: bool) -> None:
        if is_seen:
            self.calm = self.calm + 1 if is_calm else 0
        self.unknown = 0 if is_seen else self.unknown + 1
        stays = self.bad and self.calm < 2 and self.unknown <= 3
        has_left = self.bad and not stays
        self.bad = stays or (is_seen and enters)
        self.age = self.age + 1 if self.bad else 0
        if self.age > 28:
            self.masked[max(0, day - 38) : day] = [False] * min(day, 38)
            self.bad, self.age, has_left = False, 0, True
        if has_left:
            self.ewma = self.moved = 0.0
        self.masked[day] = self.bad


def plain_walk(series: _Series, is_gone: np.ndarray) -> dict[str, np.ndarray]:
    """What `_signal_state` says, without vectors."""
    features = [PlainFeature(series, f) for f in range(len(series.x))]
    for day in range(DAYS):
        if day >= 23:
            past = [feature.past(day) for feature in features]
            known = [own for _, own, count in past if count >= 14]
            for feature, mine in zip(features, past, strict=True):
                feature.learn(mine, median(known) if known else NAN)
        for feature, gone in zip(features, is_gone[:, day], strict=True):
            feature.judge(day, bool(gone))
    return {name: np.array([feature.said[name] for feature in features]) for name in features[0].said}


def noisy(seed: int, name: str) -> tuple[_Series, np.ndarray]:
    """Eight features of one signal, each with a fault or a hole of its own."""
    rng = np.random.default_rng(seed)
    events = rng.poisson(np.array([900, 700, 800, 600, 5000, 90, 400, 3000])[:, None], (8, DAYS)).astype(float)
    factor = np.ones((8, DAYS))
    factor[0, 60:62] = 2.5  # a spike
    factor[1, 50:] = 1.6  # so long that it becomes normal
    factor[2, 70:85] = 1.8
    events[2, 73:90] = NAN  # and in it nothing is known
    factor[4, 60:90] = np.linspace(1, 1.5, 30)  # a creep
    factor[6, 55:58], factor[6, 61:66] = 2.2, 2.2  # a relapse
    factor[7, 80:83] = 1.5
    events[7, 83:86] = NAN
    factor[:, 5::7] *= 1.05
    is_gone = np.zeros((8, DAYS), bool)
    is_gone[3, 95:] = True
    factor[3, 90:96] = 2.0
    active = np.where(events > 0, events, NAN)
    if name == "volume":
        events = np.round(events / factor**3)
        events[5, 100:] = 0
        events[4] = np.round(events[4] / 600)
        return _Series(name, -np.log(events + 0.5), np.maximum(events, 1) ** -0.5, events), is_gone
    if name == "latency":
        x = np.log(300 * factor) + 0.08 * rng.standard_normal((8, DAYS))
        return _Series(name, np.where(np.isfinite(events), x, NAN), active**-0.5, active), is_gone
    if name == "feedback":
        x = -5 + factor + rng.standard_normal((8, DAYS)) * 1.1 / np.sqrt(active / 6)
        return _Series(name, x, 1.1 / np.sqrt(active / 6), events / 6), is_gone
    bad = rng.binomial(np.nan_to_num(events).astype(int), np.clip(0.02 * factor**3, 0, 1)).astype(float)
    x = 2 * np.arcsin(np.sqrt((bad + 0.375) / (active + 0.75)))
    return _Series(name, x, active**-0.5, active), is_gone


@pytest.mark.parametrize("name", list(LEAST))
def test_a_signal_is_judged_as_plain_python_judges_it(name: str) -> None:
    series, is_gone = noisy(7, name)
    found, wanted = _signal_state(series, is_gone, SETTINGS), plain_walk(series, is_gone)
    for column in FIGURES:
        np.testing.assert_allclose(getattr(found, column), wanted[column], rtol=1e-9, atol=1e-12, err_msg=column)
    np.testing.assert_array_equal(found.is_degraded, wanted["bad"].astype(bool))
    np.testing.assert_array_equal(found.calm_days, wanted["calm"].astype(int))
    np.testing.assert_array_equal(found.is_known, np.isfinite(wanted["z"]))
    assert found.is_degraded.any(axis=1).sum() >= 3


def walked(x: list[float], **changes: float) -> SignalState:
    """A latency of 40 quiet days at exp(0), then the given logarithms; 400 timed events a day, so that .05 is one sd.

    Quiet means exactly at its level: the deviation is then the floor of 1, and a weekday adds nothing.
    """
    values = np.array([[0.0] * 40 + x])
    count = np.full(values.shape, 400.0)
    return _signal_state(_Series("latency", values, count**-0.5, count), values > 99, replace(SETTINGS, **changes))


def degraded(x: list[float], **changes: float) -> list[int]:
    """Days from the 40th on that are degraded."""
    return (np.flatnonzero(walked(x, **changes).is_degraded[0]) - 40).tolist()


BAD = 0.6  # twelve deviations, and 82 % slower


def test_a_degradation_ends_on_the_second_calm_day_in_a_row() -> None:
    assert degraded([BAD, 0.0, 0.0, 0.0]) == [0, 1]
    assert degraded([BAD, 0.0, BAD, 0.0, 0.0]) == [0, 1, 2, 3]
    assert degraded([BAD, 0.0, 0.0, 0.0], exit_days=1) == [0]


def test_a_degradation_outlives_three_unknown_days_and_no_fourth() -> None:
    assert degraded([BAD, NAN, NAN, NAN, BAD, 0.0, 0.0]) == [0, 1, 2, 3, 4, 5]
    assert degraded([BAD, NAN, NAN, NAN, NAN, NAN]) == [0, 1, 2, 3]
    assert degraded([BAD, NAN, 0.0, NAN, 0.0, 0.0]) == [0, 1, 2, 3]


def test_after_four_weeks_a_level_is_normal_and_a_calm_day_is_one_that_is_hardly_worse() -> None:
    assert degraded([BAD] * 40)[:28] == list(range(28))
    assert 28 not in degraded([BAD] * 40)
    # Two deviations, but 10 % of 5 %: less than half of what matters.
    assert degraded([BAD, 0.045, 0.045, 0.045]) == [0, 1]
    assert degraded([BAD, 0.09, 0.09, 0.09]) == [0, 1, 2, 3]


def test_a_single_day_must_be_six_deviations_and_half_as_much_again_as_matters() -> None:
    assert degraded([0.31, 0.0, 0.0]) == [0, 1]
    assert degraded([0.29, 0.0, 0.0]) == []
    assert degraded([0.31, 0.0, 0.0], min_change=LEAST | {"latency": 0.25}) == []
    state = walked([0.3])
    assert state.z[0, 40] == pytest.approx(6.0)
    assert state.change[0, 40] == pytest.approx(math.exp(0.3) - 1)
    assert state.spike_share[0, 40] == pytest.approx(1.0)
    assert state.noise[0, 40] == 1.0


# --- Signals from facts -----------------------------------------------------------------------------------------------


def grid_of(facts: pd.DataFrame) -> Grid:
    return build_grid(facts, LABEL_FACTS, counted_by="events")


def one_day(**facts: float) -> Grid:
    row = {"event_date": START, "feature": "pay", "events": 100.0, "latency_count": 25.0, "latency_p50_ms": 200.0}
    row |= {"latency_p95_ms": 400.0, "crashes": 4.0, "errors": 9.0, "feedback_count": 4.0, "feedback_sum": 16.0}
    return grid_of(pd.DataFrame([row | facts]))


def test_signals_are_on_scales_whose_chance_is_known() -> None:
    shown = {
        s.name: (s.x[0, 0], s.sampling_sd[0, 0], s.count[0, 0]) for s in _series(one_day(), np.zeros((1, 1), bool))
    }
    assert shown == {
        "latency": pytest.approx((math.log(400), 0.2, 25)),
        "crash": pytest.approx((2 * math.asin(math.sqrt(4.375 / 100.75)), 0.1, 100)),
        "error": pytest.approx((2 * math.asin(math.sqrt(9.375 / 100.75)), 0.1, 100)),
        "feedback": pytest.approx((-4.0, 0.55, 4)),
        "volume": pytest.approx((-math.log(100.5), 0.1, 100)),
    }
    tail = _tail(one_day())
    assert (tail.name, tail.x[0, 0], tail.sampling_sd[0, 0], tail.count[0, 0]) == ("latency", math.log(2), 0.2, 25)


def test_what_was_not_measured_is_unknown_and_events_stand_in_for_timed_ones() -> None:
    grid = one_day(latency_count=NAN, latency_p95_ms=0.0, feedback_count=0.0, events=1.0)
    found = {s.name: s for s in _series(grid, np.zeros((1, 1), bool))}
    assert math.isnan(found["latency"].x[0, 0])
    assert found["latency"].count[0, 0] == 1
    assert math.isnan(found["feedback"].x[0, 0])
    assert (found["crash"].count[0, 0], found["crash"].sampling_sd[0, 0]) == (1, 1)
    assert math.isnan(_tail(one_day(latency_p50_ms=0.0)).x[0, 0])
    assert math.isnan(_tail(one_day(latency_count=0.0)).sampling_sd[0, 0])
    gone = {s.name: s for s in _series(one_day(), np.ones((1, 1), bool))}
    assert all(math.isnan(gone[name].count[0, 0]) for name in ("crash", "error", "volume"))
    assert gone["latency"].count[0, 0] == 25


def test_a_silent_day_has_no_rates_and_an_uncertain_volume() -> None:
    days = pd.DataFrame({"event_date": [START, date(2026, 1, 3)], "feature": ["pay", "pay"], "events": [4, 9]})
    other = days.assign(feature="cart", event_date=[START, date(2026, 1, 2)])
    grid = grid_of(pd.concat([days, other]))
    volume = _series(grid, np.zeros((2, 3), bool))[-1]
    row = int(np.flatnonzero(grid.keys == "pay")[0])
    np.testing.assert_allclose(volume.x[row], -np.log([4.5, 0.5, 9.5]))
    np.testing.assert_allclose(volume.sampling_sd[row], [0.5, 1, 1 / 3])
    assert np.isnan(_series(grid, np.zeros((2, 3), bool))[1].x[row, 1])


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


def test_a_relapse_within_three_days_is_no_new_episode_and_the_feature_is_not_yet_healthy() -> None:
    states = feature_states(facts_of([50, 60, 70], 80))
    assert row_of(states, states.is_degraded) == [50, 51, 60, 61, 70, 71]
    assert row_of(states, states.is_onset) == [50, 60, 70]
    assert row_of(states, states.is_healthy) == [
        d for d in range(23, 80) if d not in (*range(50, 55), *range(60, 65), *range(70, 75))
    ]
    assert row_of(states, states.is_known) == list(range(23, 80))
    # On days 52, 53 and 54 it recovers; on day 55 it is healthy.
    for relapse, onsets in ((55, [50]), (56, [50, 56])):
        again = feature_states(facts_of([50, relapse], 80))
        assert row_of(again, again.is_degraded) == [50, 51, relapse, relapse + 1]
        assert row_of(again, again.is_onset) == onsets


def test_two_weeks_of_silence_are_the_end_of_a_feature() -> None:
    states = feature_states(facts_of([], 90, silent=(50, 90)))
    row = int(np.flatnonzero(states.grid.keys == "pay")[0])
    assert states.silent_days[row, 48:].tolist() == [0, 0, *range(1, 41)]
    assert row_of(states, states.is_degraded) == list(range(50, 64))
    assert row_of(states, states.is_known) == list(range(23, 64))


def plain_signal(shape: tuple[int, int], degraded_cells: np.ndarray, known: np.ndarray) -> SignalState:
    blank = np.where(known, 0.0, NAN)
    return SignalState(*[blank] * 7, known, degraded_cells, np.zeros(shape, dtype=np.int64))


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
    return FeatureStates(
        grid, signals, plain_signal(shape, none, known), known, crash, onset, healthy, np.zeros(shape, dtype=np.int64)
    )


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
    assert b["unknown_because"].tolist() == [None, *["low_volume"] * 2, *["no_baseline"] * 7, *["future"] * 3]
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
