"""Inputs of a day are the same whether or not later days are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quality_assets.contracts.ml import RISK_TRAINING_SET
from quality_assets.contracts.risk_inputs import INPUT_NAMES, INPUTS, INPUTS_BY_NAME
from quality_assets.domain.models.risk.inputs import (
    RiskContext,
    _slope_z,
    _worst,
    risk_inputs,
    risk_training_set,
    with_labels,
)
from quality_assets.domain.models.risk.labels import FeatureStates, SignalState, degradation_labels, feature_states
from quality_assets.simulate.daily_facts import DailyPlan, simulate_daily_facts
from tests.examples import dear

START = date(2026, 1, 1)
SIMULATED = simulate_daily_facts(DailyPlan(12, 120, seed=8, incidents_per_feature_quarter=2))
DAYS = pd.date_range(START, periods=120)


def _context(through: pd.Timestamp | None = None) -> RiskContext:
    """Everything optional, cut at a day as a warehouse of that day would be."""
    rng = np.random.default_rng(0)
    keys = SIMULATED.facts[["event_date", "feature"]]
    mix = keys.assign(newest_version_share=rng.random(len(keys)), top_platform_share=rng.random(len(keys)))
    quality = pd.DataFrame({"event_date": DAYS, "quarantined_share": rng.random(len(DAYS)) / 50})
    metadata = pd.DataFrame(
        {"feature": ["feature_0000", "feature_0001"], "lifecycle_stage": ["beta", "ga"], "tier": [1, 3]}
    )
    releases = SIMULATED.releases
    if through is not None:
        mix, quality = mix[mix["event_date"] <= through], quality[quality["event_date"] <= through]
        releases = releases[releases["release_date"] <= through]
    return RiskContext(releases, metadata, mix, quality)


@cache
def full() -> FeatureStates:
    return feature_states(SIMULATED.facts)


@cache
def whole() -> pd.DataFrame:
    return risk_inputs(full(), _context())


@settings(max_examples=dear(15), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(day=st.integers(0, 119))
def test_inputs_of_a_day_equal_those_of_facts_cut_at_that_day(day: int) -> None:
    cut = DAYS[day]
    facts = SIMULATED.facts[SIMULATED.facts["event_date"] <= cut]
    then = risk_inputs(feature_states(facts, through=cut.date()), _context(cut), first_date=cut.date())
    now = whole()[whole()["event_date"] == cut].reset_index(drop=True)
    pd.testing.assert_frame_equal(then, now, check_exact=True)


def test_what_is_absent_is_null_and_nothing_else_is_infinite() -> None:
    inputs = risk_inputs(feature_states(SIMULATED.facts.drop(columns=["users", "latency_p50_ms"])))
    optional = [item.name for item in INPUTS if item.is_optional]
    assert inputs[optional].isna().all().all()
    assert inputs["usual_users"].isna().all()
    values = inputs[list(INPUT_NAMES)].to_numpy()
    assert not np.isinf(values).any()
    late = inputs[inputs["event_date"] >= DAYS[40]]
    required = [item.name for item in INPUTS if not item.is_optional and not item.name.startswith("feedback")]
    assert late[required].notna().mean().min() > 0.9


def test_baseline_flag_follows_history() -> None:
    first = whole().groupby("feature")["event_date"].min()
    young = whole()[whole()["event_date"] < whole()["feature"].map(first) + pd.Timedelta(days=12)]
    assert not young["has_baseline"].any()
    assert whole().loc[whole()["event_date"] > DAYS[30], "has_baseline"].mean() > 0.95


def test_releases_and_metadata_arrive_where_they_belong() -> None:
    row = whole()[(whole()["feature"] == "feature_0000") & (whole()["event_date"] == DAYS[60])].iloc[0]
    released = SIMULATED.releases["release_date"]
    expected = (DAYS[60] - released[released <= DAYS[60]].max()).days
    assert row["days_since_release"] == expected
    assert row["is_early_stage"] == 1
    assert row["tier"] == 1


def test_rows_fit_the_contract() -> None:
    training = risk_training_set(SIMULATED.facts, context=_context(), through=START + timedelta(days=119))
    assert tuple(training.columns) == RISK_TRAINING_SET.column_names
    assert not training.duplicated(["event_date", "feature"]).any()
    with duckdb.connect() as connection:
        connection.execute("create schema ml")
        connection.execute(RISK_TRAINING_SET.create_sql())
        connection.execute("insert into ml.risk_training_set select * from training")
        assert connection.execute("select count(*) from ml.risk_training_set").fetchone() == (len(training),)


def test_every_input_can_be_worded() -> None:
    for item in INPUTS:
        assert item.phrase(0.25)
        assert "{" not in item.phrase(1.0)
        assert "unknown" in item.phrase(float("nan"))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("error_change", -0.25, "error rate −25 % on the bad side of usual over 3 days"),
        ("crash_z", -1.0, "crash rate today off by −1.0 times its usual swing"),
        ("crash_z", 0.04, "crash rate today as usual"),
        ("worst_slope_z", -0.04, "steepest two-week trend as usual"),
        ("worst_slope_z", 0.06, "steepest two-week trend +0.1 times its usual swing"),
        ("worst_slope_z", -0.5, "steepest two-week trend −0.5 times its usual swing"),
        ("newest_version_share", 0.55, "55 % of all events on a version younger than two weeks"),
        ("budget_burn", math.log(3.5), "error budget used 2.5 times as fast as it may be"),
        ("log_events", math.log10(1201), "about 1,200 events a day"),
        ("events_trend", math.log(0.8), "0.8 times the events a week of the month before"),
        # One is one, and what is counted no further than four weeks may be of three months.
        ("open_days", 1.0, "degraded for 1 day so far"),
        ("open_days", 11.0, "degraded for 11 days so far"),
        ("open_days", 28.0, "degraded for 28 days or more so far"),
        ("degraded_signals", 1.0, "1 signal degraded today"),
        ("degraded_days_28d", 1.0, "1 of the last 28 days degraded"),
    ],
)
def test_a_reason_is_worded_in_numbers_that_a_reader_knows(name: str, value: float, told: str) -> None:
    assert INPUTS_BY_NAME[name].phrase(value) == told


# --- Each input the plain way -----------------------------------------------------------------------------------------

NAN = math.nan
SIGNALS = ("latency", "crash", "error", "feedback", "volume")


def past(row: Sequence[float], day: int, days: int) -> list[float]:
    """The last `days` days, the day itself included."""
    return [float(v) for v in row[max(0, day - days + 1) : day + 1]]


def known(values: Sequence[float]) -> list[float]:
    return [v for v in values if math.isfinite(v)]


def average(values: Sequence[float]) -> float:
    return sum(known(values)) / len(known(values)) if known(values) else NAN


def slope(row: Sequence[float], day: int) -> float:
    """Least-squares slope over 14 days in its own deviations; unknown days count as 0, half of them must be known."""
    z = past(row, day, 14)
    if len(known(z)) < 7:
        return NAN
    z = [min(max(v, -6.0), 6.0) if math.isfinite(v) else 0.0 for v in [NAN] * (14 - len(z)) + z]
    return sum((i - 6.5) * v for i, v in enumerate(z)) / math.sqrt(sum((i - 6.5) ** 2 for i in range(14)))


def together(row: Sequence[float], day: int) -> float:
    """Fourteen days summed in the deviations of their sum; half of them must be known."""
    z = past(row, day, 14)
    if len(known(z)) < 7:
        return NAN
    return sum(min(max(v, -3.0), 8.0) for v in known(z)) / math.sqrt(14)


def streak(flags: Sequence[bool], day: int) -> int:
    run = 0
    while run <= day and flags[day - run]:
        run += 1
    return run


def largest(values: Sequence[float]) -> list[float]:
    return sorted((v if math.isfinite(v) else -9.0 for v in values), reverse=True)


def plain_signals(states: FeatureStates, f: int, d: int) -> dict[str, float]:
    out: dict[str, float] = {}
    for name, state in states.signals.items():
        out |= {f"{name}_change": average(past(state.change[f], d, 3)), f"{name}_z": state.z[f, d]}
        out |= {f"{name}_ewma_z": state.drift[f, d], f"{name}_slope_z": slope(state.z[f], d)}
    signals = [states.signals[name] for name in SIGNALS]
    out["worst_ewma_z"], out["second_ewma_z"] = largest([s.drift[f, d] for s in signals])[:2]
    out["worst_slope_z"] = largest([out[f"{name}_slope_z"] for name in SIGNALS])[0]
    out["worst_two_weeks_z"] = largest([together(s.z[f], d) for s in signals])[0]
    out["worst_drift_share"] = largest([s.drift_share[f, d] for s in signals])[0]
    out["worst_spike_share"] = largest([s.spike_share[f, d] for s in signals])[0]
    out["worst_run_days"] = min(max(streak([z > 0.5 for z in s.z[f]], d) for s in signals), 28)
    is_open = [s for s in signals if s.is_open[f, d] or s.is_bad[f, d]]
    out["open_z"] = max((s.z[f, d] if math.isfinite(s.z[f, d]) else 0.0 for s in is_open), default=0.0)
    out["open_days"] = min(max(streak(s.is_open[f] | s.is_bad[f], d) for s in signals), 60)
    out["open_calm_days"] = min((s.calm_days[f, d] for s in is_open if s.is_open[f, d]), default=0)
    out["degraded_signals"] = sum(s.is_bad[f, d] for s in signals)
    out["is_open"] = float(len(is_open) > 0) if states.is_known[f, d] else NAN
    burns = [s.burn[f, d] for s in signals if math.isfinite(s.burn[f, d])]
    out["budget_burn"] = math.log(1 + min(max(burns, default=0.0), 100.0))
    return out


def plain_history(states: FeatureStates, f: int, d: int) -> dict[str, float]:
    bad, is_known = states.is_degraded, states.is_known
    events, first = states.grid.count("events"), states.grid.first_day[f]
    share = bad[:, : d + 1].sum() / max(is_known[:, : d + 1].sum(), 1)
    others = [o for o in range(len(bad)) if o != f and is_known[o, d]]
    slides = [any(s.drift[o, d] > 2 for s in states.signals.values()) for o in others]
    turned = [day for day in range(1, d + 1) if bad[f, day] != bad[f, day - 1]]
    month, before = average(past(events[f], d, 28)), average(past(events[f], d - 7, 28)) if d >= 7 else NAN
    return {
        "is_degraded": float(bad[f, d]) if is_known[f, d] else NAN,
        "days_in_state": min(d - (turned[-1] if turned else first), 60),
        "degraded_days_7d": sum(past(bad[f], d, 7)),
        "degraded_days_28d": sum(past(bad[f], d, 28)),
        "onsets_90d": sum(past(states.is_onset[f], d, 90)),
        "own_degraded_share": (bad[f, : d + 1].sum() + 30 * share) / (is_known[f, : d + 1].sum() + 30),
        "peers_degraded_share": sum(bad[o, d] for o in others) / len(others) if others else NAN,
        "peers_worst_share": sum(slides) / len(others) if others else NAN,
        "log_events": math.log10(month + 1),
        "events_trend": math.log((average(past(events[f], d, 7)) + 1) / (before + 1)),
        "silent_days": min(states.silent_days[f, d], 28),
        "active_days_28d": sum(v > 0 for v in past(events[f], d, 28)),
        "is_weekend": float((START + timedelta(days=d)).weekday() >= 5),
        "age_days": min(d - first, 365),
        "usual_users": average(past(states.grid.values["users"][f], d, 28)),
    }


def plain_context(context: RiskContext, feature: str, d: int) -> dict[str, float]:
    released = sorted((when - DAYS[0]).days for when in pd.to_datetime(context.releases["release_date"]))
    gone = [when for when in released if when <= d]
    own = {(row.feature, row.event_date): row for row in context.mix.itertuples()}[feature, DAYS[d]]
    described = {row.feature: row for row in context.metadata.itertuples()}.get(feature)
    return {
        "days_since_release": min(d - gone[-1], 60) if gone else NAN,
        "releases_14d": sum(when > d - 14 for when in gone) if gone else NAN,
        "newest_version_share": own.newest_version_share,
        "top_platform_share": own.top_platform_share,
        "quarantined_share": average(past(context.quality["quarantined_share"].to_numpy(), d, 7)),
        "is_early_stage": float(described.lifecycle_stage == "beta") if described else NAN,
        "is_deprecated": float(described.lifecycle_stage == "deprecated") if described else NAN,
        "tier": float(described.tier) if described else NAN,
    }


def test_every_input_is_what_plain_python_computes() -> None:
    context, rng = _context(), np.random.default_rng(1)
    rows = whole().set_index(["feature", "event_date"])
    cells = {(int(rng.integers(12)), int(rng.integers(120))) for _ in range(60)}
    bad = [(int(f), int(d)) for f, d in np.argwhere(full().is_degraded)]
    for f, d in {*cells, *bad[::15], (0, 0), (0, 1), (0, 3), (1, 6), (2, 7), (3, 13)}:
        feature = str(full().grid.keys[f])
        if d < full().grid.first_day[f] or (feature, DAYS[d]) not in rows.index:
            continue
        wanted = plain_signals(full(), f, d) | plain_history(full(), f, d)
        if math.isfinite(full().grid.count("events")[f, d]) and full().grid.count("events")[f, d] > 0:
            wanted |= plain_context(context, feature, d)
            assert set(INPUT_NAMES) <= set(wanted)
        found = rows.loc[(feature, DAYS[d])]
        wrong = {
            name: (found[name], value)
            for name, value in wanted.items()
            if name in found
            and not math.isclose(found[name], value, rel_tol=1e-7, abs_tol=1e-9)
            and not (math.isnan(found[name]) and math.isnan(value))
        }
        assert wrong == {}, (feature, d)
        assert found["has_baseline"] == full().is_known[f, d]


def test_a_release_counts_from_its_own_day_for_two_weeks() -> None:
    facts = pd.DataFrame({"event_date": DAYS[:40], "feature": "pay", "events": 10})
    releases = pd.DataFrame({"release_date": [DAYS[20], DAYS[5], DAYS[6], DAYS[6]]})
    inputs = risk_inputs(feature_states(facts), RiskContext(releases=releases))
    found = inputs[["days_since_release", "releases_14d"]].to_numpy()
    assert np.isnan(found[:5]).all()
    assert found[[5, 6, 7, 18, 19, 20, 33, 34, 39]].tolist() == [
        [0, 1], [0, 3], [1, 3], [12, 3], [13, 2], [0, 1], [13, 1], [14, 0], [19, 0],
    ]  # fmt: skip
    old = pd.DataFrame({"release_date": [DAYS[0] - pd.Timedelta(days=59)]})
    since = risk_inputs(feature_states(facts), RiskContext(releases=old))["days_since_release"]
    assert since.tolist()[:3] == [59, 60, 60]
    none = risk_inputs(feature_states(facts), RiskContext(releases=releases.iloc[:0]))
    assert none["days_since_release"].isna().all()


def test_what_is_quarantined_of_a_feature_or_of_all_is_a_mean_of_a_week() -> None:
    facts = pd.DataFrame({"event_date": [*DAYS[:9], *DAYS[:9]], "feature": ["a"] * 9 + ["b"] * 9, "events": 10})
    days = [DAYS[0] - pd.Timedelta(days=1), *DAYS[:9], DAYS[9]]
    daily = pd.DataFrame({"event_date": days, "quarantined_share": [9.0, *np.arange(9) / 100, 9.0]})
    states = feature_states(facts)
    every = risk_inputs(states, RiskContext(quality=daily)).set_index(["feature", "event_date"])["quarantined_share"]
    assert every["a"].tolist() == pytest.approx([0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05])
    assert every["b"].tolist() == every["a"].tolist()
    own = risk_inputs(states, RiskContext(quality=daily.assign(feature="b")))
    assert own.loc[own["feature"] == "a", "quarantined_share"].isna().all()
    assert own.loc[own["feature"] == "b", "quarantined_share"].tolist() == every["a"].tolist()


def test_a_lifecycle_is_told_by_its_stage() -> None:
    stages = ["beta", "deprecated", "experimental", "ga", None]
    facts = pd.DataFrame({"event_date": DAYS[0], "feature": list("abcdef"), "events": 10})
    metadata = pd.DataFrame({"feature": list("abcde"), "lifecycle_stage": stages, "tier": [1, 2, None, 3, 1]})
    inputs = risk_inputs(feature_states(facts), RiskContext(metadata=metadata)).fillna(-1)
    assert inputs[["is_early_stage", "is_deprecated", "tier"]].to_numpy().T.tolist() == [
        [1, 0, 1, 0, -1, -1], [0, 1, 0, 0, -1, -1], [1, 2, -1, 3, 1, -1],
    ]  # fmt: skip
    bare = risk_inputs(feature_states(facts), RiskContext(metadata=metadata[["feature"]]))
    assert bare[["is_early_stage", "tier"]].isna().all().all()


def signal_of(z: np.ndarray, other: np.ndarray) -> SignalState:
    """A signal that is known throughout, with this z and never bad."""
    never = np.zeros(z.shape, bool)
    return SignalState(
        z, other, other, ~never, never, never, never, never.astype(np.int64), other, other, np.full(z.shape, NAN)
    )


def test_age_and_runs_stop_at_their_caps() -> None:
    days = pd.date_range(START, periods=400)
    facts = pd.DataFrame({"event_date": days, "feature": "pay", "events": 10})
    states = feature_states(facts)
    inputs = risk_inputs(states)
    assert inputs["age_days"].tolist()[363:] == [363, 364, *[365] * 35]
    assert inputs["days_in_state"].tolist()[58:62] == [58, 59, 60, 60]
    assert risk_inputs(states, first_date=days[398].date())["age_days"].tolist() == [365, 365]
    slow = np.where(np.arange(400) >= 300, 1.2, 0.0)[None, :]
    blank = np.zeros((1, 400))
    # A budget that is used 99, 100 and 101 times as fast as it may be.
    burn = np.array([[*[99.0] * 398, 100.0, 101.0]])
    state = replace(signal_of(slow, blank), burn=burn)
    capped = risk_inputs(replace(states, signals=dict.fromkeys(SIGNALS, state)))
    runs = capped["worst_run_days"].tolist()
    assert (runs[299], runs[300], runs[326], runs[327], runs[328]) == (0, 1, 27, 28, 28)
    assert capped["budget_burn"].tolist()[397:] == pytest.approx([math.log(100), math.log(101), math.log(101)])


def test_who_is_alone_has_no_peers_and_what_is_never_measured_no_mean() -> None:
    facts = pd.DataFrame({"event_date": [*DAYS[:40], DAYS[39]], "feature": ["pay"] * 40 + ["new"], "events": 1000})
    inputs = risk_inputs(feature_states(facts)).set_index(["feature", "event_date"])
    assert math.isnan(inputs.loc[("pay", DAYS[38]), "peers_degraded_share"])
    assert inputs.loc[("new", DAYS[39]), "peers_degraded_share"] == 0.0
    assert inputs["usual_users"].isna().all()
    assert math.isnan(inputs.loc[("pay", DAYS[6]), "events_trend"])
    assert inputs.loc[("pay", DAYS[7]), "events_trend"] == 0.0


def test_half_of_two_weeks_must_be_known_for_a_slope() -> None:
    z = np.array([[NAN] * 7 + [1.0] * 7, [NAN] * 8 + [1.0] * 6, [*range(14)], [0.0] * 13 + [99.0]])
    state = signal_of(z, z)
    found = _slope_z(state)[:, -1]
    # Σ (i − 6.5)² over 14 days is 227.5; the last seven weights add up to 24.5; beyond 6 nothing counts for more.
    root = math.sqrt(227.5)
    assert found[0] == pytest.approx(24.5 / root)
    assert math.isnan(found[1])
    assert found[2] == pytest.approx(sum((i - 6.5) * min(i, 6) for i in range(14)) / root)
    assert found[3] == pytest.approx(6.5 * 6 / root)


def test_the_worst_of_the_signals_is_that_of_each_feature_and_day() -> None:
    # Of two features over two days, by three signals.
    first, second = _worst(
        [np.array([[1.0, NAN], [-2.0, 5.0]]), np.array([[3.0, 2.0], [0.0, 4.0]]), np.full((2, 2), -1.0)]
    )
    assert first.tolist() == [[3.0, 2.0], [0.0, 5.0]]
    assert second.tolist() == [[1.0, -1.0], [-1.0, 4.0]]


def test_inputs_and_labels_of_other_days_are_not_put_side_by_side() -> None:
    labels = degradation_labels(full())
    both = with_labels(whole(), labels)
    assert both["label_any"].equals(labels["label_any"])
    assert both["horizon_days"].unique().tolist() == [7]
    one_name, one_day = labels.copy(), labels.copy()
    one_name.loc[5, "feature"] = "x"
    one_day.loc[5, "event_date"] = one_day.loc[5, "event_date"] + pd.Timedelta(days=1)
    for other in (labels.iloc[1:], one_name, one_day):
        with pytest.raises(ValueError, match="same feature-days"):
            with_labels(whole(), other)
