"""Change detection: what it finds, what it leaves alone, and that the future never changes the past."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality_assets.domain.series.dating import date_change, date_end
from quality_assets.domain.series.detection import detect, episodes
from quality_assets.domain.series.panel import Panel, panel_from_facts
from quality_assets.domain.series.settings import DEFAULT_SETTINGS
from quality_assets.domain.series.silence import silence_log_p, silent_days_to_tell
from tests.examples import dear

START = date(2026, 1, 1)
DAYS = 90


def panel(value, metric="latency_p95_ms", family="positive", worse=1, amount=None, sample=None):
    value = np.atleast_2d(np.asarray(value, dtype=float))
    amount = value if amount is None else np.atleast_2d(np.asarray(amount, dtype=float))
    sample = np.full_like(value, np.nan) if sample is None else np.atleast_2d(np.asarray(sample, dtype=float))
    dates = tuple(START + timedelta(days=d) for d in range(value.shape[1]))
    names = tuple(f"f{i}" for i in range(value.shape[0]))
    return Panel(metric, family, worse, names, dates, value, amount, sample)


def latency(seed=0, series=4, days=DAYS, noise=0.04):
    rng = np.random.default_rng(seed)
    weekend = np.where(np.array([(START + timedelta(days=d)).weekday() for d in range(days)]) >= 5, 0.1, 0.0)
    return 300 * np.exp(weekend + noise * rng.standard_normal((series, days)))


def counts(mean, seed=0, series=1, days=DAYS):
    return np.random.default_rng(seed).poisson(mean, (series, days)).astype(float)


def test_a_step_is_found_within_days_and_dated():
    value = latency()
    value[2, 60:70] *= 1.3
    found = [e for e in episodes(detect(panel(value))) if e.series == 2 and e.detected_day >= 55]
    assert len(found) == 1
    assert 60 <= found[0].detected_day <= 63
    assert abs(found[0].start_day - 60) <= 1
    assert found[0].end_day in (68, 69, 70)
    assert found[0].kind == "step"


def test_a_creep_is_found_while_it_grows_and_called_so():
    value = latency(noise=0.03)
    value[0, 50:] *= 1 + 0.5 * np.clip((np.arange(DAYS - 50) + 1) / 20, 0, 1)
    found = [e for e in episodes(detect(panel(value[:, :80]))) if e.series == 0 and e.detected_day >= 45]
    assert len(found) == 1
    assert found[0].detected_day < 65
    assert found[0].kind == "creep"
    assert found[0].end_day is None


def test_a_handful_of_crashes_is_told_where_there_are_hardly_any():
    sample = np.full((1, DAYS), 150.0)
    crashes = np.zeros((1, DAYS))
    crashes[0, ::4] = 1
    crashes[0, 60:62] = 6
    rates = panel(crashes / sample, "crash_rate", "rate", amount=crashes, sample=sample)
    (found,) = episodes(detect(rates))
    assert (found.detected_day, found.start_day, found.end_day) == (60, 60, 61)


def test_sparse_scores_add_up_over_days():
    rng = np.random.default_rng(21)
    count = rng.poisson(3, (6, DAYS)).astype(float)
    mean = 4.2 + rng.standard_normal((6, DAYS)) / np.sqrt(np.maximum(count, 1))
    mean[0, 55:75] -= 1.2
    scores = panel(np.where(count > 0, mean, np.nan), "feedback_mean", "score", worse=-1, sample=count)
    found = episodes(detect(scores))
    assert [e.series for e in found] == [0]
    assert 55 <= found[0].detected_day <= 65


def test_one_wild_day_is_a_spike_that_has_ended():
    value = latency(noise=0.03)
    value[1, 60] *= 1.6
    (found,) = [e for e in episodes(detect(panel(value))) if e.series == 1 and e.detected_day >= 55]
    assert (found.detected_day, found.start_day, found.end_day, found.kind) == (60, 60, 60, "spike")


def test_getting_better_is_no_degradation():
    value = latency()
    value[0, 60:] *= 0.6
    assert not [e for e in episodes(detect(panel(value))) if e.series == 0 and e.detected_day >= 60]


def test_a_small_change_is_left_alone_however_certain():
    value = latency(noise=0.0005)
    value[0, 60:] *= 1.03
    assert not detect(panel(value)).is_start[0, 60:].any()


def test_a_fault_does_not_become_its_own_baseline_but_a_lasting_change_does():
    value = latency(days=160)
    value[0, 60:] *= 1.4
    found = detect(panel(value))
    assert found.is_active[0, 64:100].all()
    assert found.is_adopted[0].sum() == 1
    assert not found.is_active[0, 130:].any()
    assert found.expected[0, 150] > 380


def test_noise_without_faults_is_mostly_silent():
    found = detect(panel(latency(seed=3, series=60, days=150)))
    assert found.is_start.sum() * 365 / np.isfinite(found.z).sum() < 1.5


def test_crash_rate_doubling_needs_evidence_not_percent():
    few, many = np.full((1, DAYS), 100.0), np.full((1, DAYS), 20_000.0)
    rng = np.random.default_rng(1)
    for events, is_found in ((few, False), (many, True)):
        rate = np.full(DAYS, 0.01)
        rate[60:62] = 0.02
        crashes = rng.binomial(events.astype(int), rate).astype(float)
        result = detect(panel(crashes / events, "crash_rate", "rate", 1, crashes, events))
        assert result.is_start[0, 60:62].any() == is_found


def test_a_dead_event_is_told_on_the_first_day_that_chance_cannot_explain():
    for mean in (0.4, 1.0, 3.0, 12.0, 500.0):
        value = counts(mean, seed=7, days=120)
        value[0, 80:] = 0
        result = detect(panel(value, "events", "count", -1))
        days = int(silent_days_to_tell(mean))
        told = np.flatnonzero(result.is_silence[0, 80:])
        assert len(told)
        # The rate is estimated, overdispersion included, so that the day may differ a little from the ideal.
        assert days - 3 - days // 3 <= told[0] + 1 <= days + 3 + days // 3
        episode = [e for e in episodes(result) if e.detected_day >= 80][-1]
        assert episode.kind == "dead"


def test_silence_of_a_rare_feature_is_no_news():
    value = counts(0.3, days=60)
    value[0, 50:] = 0
    assert not detect(panel(value, "events", "count", -1)).is_silence.any()


def test_overdispersion_makes_silence_less_surprising():
    odds = silence_log_p(np.full(3, 2.0), np.full(3, 1e9), np.array([1.0, 1.5, 3.0]))
    assert odds[0] == pytest.approx(-2.0, rel=1e-3)
    assert odds[0] < odds[1] < odds[2] < 0
    few = silence_log_p(np.full(3, 2.0), np.array([0.0, 3.0, 1e9]), np.ones(3))
    assert few[0] == 0
    assert few[1] > few[2], "a rate that was seen three times is not well known"


def test_expected_silence_takes_days_to_tell():
    days = silent_days_to_tell([0.0, 0.5, 10.0], days_observed=1e9)
    assert np.isnan(days[0])
    assert days[1:].tolist() == [19, 1]
    assert silent_days_to_tell(0.5) > 19


@pytest.mark.parametrize(
    "value",
    [
        np.full((2, DAYS), np.nan),
        np.full((2, DAYS), 100.0),
        np.zeros((2, DAYS)),
        np.full((2, 3), 100.0),
        np.empty((0, 0)),
        np.empty((3, 0)),
    ],
    ids=["all null", "constant", "zero", "short", "empty", "no days"],
)
@pytest.mark.parametrize("family", ["count", "rate", "positive", "score"])
def test_nothing_to_go_on_finds_nothing(value, family):
    sample = np.full_like(value, 1000.0)
    result = detect(panel_of(value, family, sample))
    assert not result.is_start.any()
    assert episodes(result) == []


def panel_of(value, family, sample):
    dates = tuple(START + timedelta(days=d) for d in range(value.shape[1]))
    names = tuple(f"f{i}" for i in range(value.shape[0]))
    amount = value * 0 if family == "rate" else value
    return Panel("events", family, 1, names, dates, value, amount, sample)


def test_a_constant_that_moves_is_found_at_once():
    value = np.full((1, DAYS), 100.0)
    value[0, 60:] = 130
    assert detect(panel(value)).is_start[0, 60]


def test_a_new_feature_gets_no_verdict_before_it_has_a_past():
    value = latency()
    value[0, :70] = np.nan
    value[0, 75:] *= 3
    result = detect(panel(value))
    assert not np.isfinite(result.z[0, : 70 + DEFAULT_SETTINGS.minimum_days]).any()


def test_a_gap_is_neither_death_nor_recovery():
    value = counts(200, days=DAYS)
    value[0, 60:65] = np.nan
    result = detect(panel(value, "events", "count", -1))
    assert not result.is_start.any()
    assert not result.is_silence.any()
    slow = latency()
    slow[0, 60:75] *= 1.5
    slow[0, 64:70] = np.nan
    found = [e for e in episodes(detect(panel(slow))) if e.series == 0 and e.detected_day >= 58]
    assert len(found) == 1
    assert found[0].last_day >= 72


@given(seed=st.integers(0, 10_000), cut=st.integers(20, 89), family=st.sampled_from(["count", "rate", "positive"]))
@settings(max_examples=dear(15), deadline=None)
def test_appending_days_never_changes_an_earlier_one(seed, cut, family):
    rng = np.random.default_rng(seed)
    full = random_panel(rng, family)
    part = replace(
        full,
        dates=full.dates[:cut],
        value=full.value[:, :cut],
        amount=full.amount[:, :cut],
        sample=full.sample[:, :cut],
    )
    early, late = detect(part), detect(full)
    for name in ("expected", "z", "ewma", "change", "is_active", "is_start", "is_silence"):
        np.testing.assert_array_equal(getattr(early, name), getattr(late, name)[:, :cut])
    known = [(e.series, e.detected_day) for e in episodes(late) if e.detected_day < cut]
    assert [(e.series, e.detected_day) for e in episodes(early)] == known


def random_panel(rng, family):
    value = latency(int(rng.integers(1 << 30)), series=5)
    start = int(rng.integers(20, 80))
    value[:2, start : start + int(rng.integers(1, 30))] *= rng.uniform(1.1, 3)
    value[rng.random(value.shape) < 0.05] = np.nan
    if family == "positive":
        return panel(value)
    events = np.nan_to_num(np.round(value * 2))
    if family == "count":
        events[3, start:] = 0
        return panel(events, "events", "count", -1)
    crashes = rng.binomial(events.astype(int), 0.02 + 0.05 * (np.arange(DAYS) > start)).astype(float)
    with np.errstate(invalid="ignore"):
        return panel(crashes / events, "crash_rate", "rate", 1, crashes, events)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=dear(10), deadline=None)
def test_a_series_is_judged_alike_in_any_company(seed):
    rng = np.random.default_rng(seed)
    whole = random_panel(rng, "positive")
    order = rng.permutation(len(whole.keys))
    shuffled = replace(
        whole,
        keys=tuple(whole.keys[i] for i in order),
        value=whole.value[order],
        amount=whole.amount[order],
        sample=whole.sample[order],
    )
    first, second = detect(whole), detect(shuffled)
    np.testing.assert_allclose(first.z[order], second.z, equal_nan=True, rtol=1e-9)
    np.testing.assert_array_equal(first.is_active[order], second.is_active)


@given(seed=st.integers(0, 10_000), unit=st.sampled_from([1e-3, 60.0, 1e6]))
@settings(max_examples=dear(10), deadline=None)
def test_latency_in_another_unit_is_judged_alike(seed, unit):
    whole = random_panel(np.random.default_rng(seed), "positive")
    first = detect(whole)
    second = detect(replace(whole, value=whole.value * unit, amount=whole.amount * unit))
    np.testing.assert_allclose(first.ewma, second.ewma, equal_nan=True, atol=1e-6)
    np.testing.assert_array_equal(first.is_start, second.is_start)


def facts(days=40, features=("a", "b"), skip=()):
    rows = [
        {"event_date": START + timedelta(days=d), "feature": f, "events": 100, "crashes": 1, "crash_rate": 0.01}
        for d in range(days)
        for f in features
        if (d, f) not in skip
    ]
    return pd.DataFrame(rows)


def test_a_feature_without_a_row_had_no_events_and_a_day_without_rows_is_unknown():
    gone = {(30, "a"), (31, "a"), (35, "a"), (35, "b"), (0, "b")}
    made = panel_from_facts(facts(skip=gone), "events")
    assert made.value[0, 30:32].tolist() == [0, 0]
    assert np.isnan(made.value[:, 35]).all()
    assert np.isnan(made.value[1, 0]), "before it was first seen nothing is known"
    rate = panel_from_facts(facts(skip=gone), "crash_rate")
    assert np.isnan(rate.value[0, 30])


def test_days_known_to_have_arrived_make_silence_visible():
    known = [START + timedelta(days=d) for d in range(45)]
    made = panel_from_facts(facts(features=("a",)), "events", known)
    assert len(made.dates) == 45
    assert made.value[0, 40:].tolist() == [0] * 5


def test_a_metric_that_there_is_not_is_refused():
    with pytest.raises(KeyError):
        panel_from_facts(facts(), "no_such_metric")


def test_dating_a_step_and_a_ramp():
    step = np.concatenate([np.zeros(8), np.full(6, 3.0)])
    assert date_change(step, 9) == (8, "step")
    ramp = np.concatenate([np.zeros(8), np.arange(1, 13) * 0.8])
    day, shape = date_change(ramp, 14)
    assert shape == "creep"
    assert 7 <= day <= 9
    assert date_end(np.concatenate([np.full(6, 3.0), np.zeros(8), [1.6]])) == 5


def test_a_series_is_judged_alone_however_many_there_are():
    value = latency(series=50, days=60)
    alone, among = detect(panel(value)).z, detect(panel(np.tile(value, (40, 1)))).z
    assert np.isfinite(alone).any()
    np.testing.assert_array_equal(among, np.tile(alone, (40, 1)))
