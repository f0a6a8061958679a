"""Drift: alarms when something moved, silence when days merely differ, and unknown when it cannot be told."""

import re
from dataclasses import replace
from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality_assets.contracts.drift import BASELINE_STATS, DATA_DRIFT, DRIFT_DISTRIBUTIONS, DRIFT_POWER
from quality_assets.domain.drift.distributions import MOST_BINS, distribution_rows
from quality_assets.domain.drift.judge import judge, threshold
from quality_assets.domain.drift.power import (
    PowerCase,
    found_share,
    power_table,
    simulated_family,
    simulated_latency,
    simulated_rate,
)
from quality_assets.domain.drift.settings import DEFAULT_DRIFT_SETTINGS
from quality_assets.domain.drift.sketches import (
    Sketch,
    event_sketch_sql,
    event_sketches,
    frame_sketches,
    performance_sketches,
    tail_sketch,
)
from quality_assets.domain.drift.verdicts import drift_rows
from quality_assets.domain.models.effects import effects_on_predictions
from quality_assets.domain.series.normal import baseline_stats
from quality_assets.domain.stats.discoveries import benjamini_hochberg
from tests.examples import dear

START = date(2026, 1, 1)
DAYS = 70
NO_CHANGE = PowerCase("w1", "no change")


def day(number):
    return START + timedelta(days=number)


def last_status(sketches, effects=None):
    rows = drift_rows(sketches, [max(s.dates[-1] for s in sketches)], effects)
    return rows.set_index("name")["status"].to_dict()


@pytest.mark.parametrize("n", [2_000, 1_000_000])
def test_a_fifth_more_latency_is_found_and_nothing_is_not(n):
    rng = np.random.default_rng(5)
    found = [last_status([simulated_latency(rng, n, PowerCase("w1", "+20 %", 1.2))])["latency_ms"] for _ in range(12)]
    calm = [last_status([simulated_latency(rng, n, NO_CHANGE)])["latency_ms"] for _ in range(25)]
    assert found == ["drifted"] * 12
    assert calm.count("drifted") <= 2


def test_a_tenth_of_traffic_gone_slow_is_found_in_the_tail():
    rng = np.random.default_rng(6)
    for _ in range(8):
        sketch = simulated_latency(rng, 2_000, PowerCase("w1", "tail", 2.5, 0.1))
        assert "drifted" in last_status([sketch, tail_sketch(sketch)]).values()


def test_a_doubled_crash_rate_is_found_and_overdispersion_is_not():
    rng = np.random.default_rng(7)
    double = [last_status([simulated_rate(rng, 20_000, PowerCase("binomial_z", "×2", 2.0))]) for _ in range(12)]
    same = [last_status([simulated_rate(rng, 1_000_000, PowerCase("binomial_z", "no change"))]) for _ in range(25)]
    assert [d["crash_rate"] for d in double] == ["drifted"] * 12
    assert [d["crash_rate"] for d in same].count("drifted") <= 2


def test_a_doubled_rare_rate_is_found_over_some_days():
    case = PowerCase("binomial_z", "×2", 2.0, days=7)
    families = [simulated_family(np.random.default_rng([11, i]), 2_000, case) for i in range(12)]
    assert [found_share(family, case) for family in families] == [1.0] * 12
    rows = pd.concat(drift_rows(family, family[0].dates[-1:]).set_index("name") for family in families)
    found = rows.loc["crash_rate"]
    assert (found["status"] == "drifted").all()
    assert set(found["window_days"]) <= {3, 7}
    pooled = found.iloc[0]
    assert pooled["n_current"] == 2_000 * pooled["window_days"]
    assert pooled["current_value"] / pooled["reference_value"] == pytest.approx(2, abs=0.6)
    assert f"over {pooled['window_days']} days against" in pooled["verdict"]
    assert (rows.drop("crash_rate")["status"] == "drifted").mean() < 0.05


def test_a_spike_that_is_over_does_not_ring_for_a_week():
    sketch = simulated_rate(np.random.default_rng(12), 20_000, PowerCase("binomial_z", "no change"))
    counts = sketch.counts.copy()
    counts[-3] = [1_500, 18_500]
    rows = drift_rows([replace(sketch, counts=counts)], sketch.dates[-4:])
    assert rows["status"].tolist()[1] == "drifted"
    assert rows["status"].tolist()[0] == "ok"
    calm = replace(sketch, counts=np.where(np.arange(len(counts))[:, None] == len(counts) - 1, [150, 19_850], counts))
    assert drift_rows([calm], sketch.dates[-1:])["status"].tolist() == ["ok"]


def test_what_moved_does_not_drown_among_restless_inputs():
    rng = np.random.default_rng(13)
    frame = pd.DataFrame({f"x{i}": rng.standard_cauchy(112 * 24) for i in range(60)})
    case = PowerCase("w1", "+20 %", 1.2)
    family = simulated_family(rng, 5_000, case)
    frame["event_date"] = np.repeat(family[0].dates, 24)
    inputs = frame_sketches(frame, [f"x{i}" for i in range(60)])
    alone, together = (found_share(sketches, case) for sketches in (family, [*family, *inputs]))
    assert alone == together == 1.0


def test_weekends_are_compared_with_weekends():
    rng = np.random.default_rng(8)
    sketch = simulated_latency(rng, 100_000, NO_CHANGE)
    weekend = [d for d in sketch.dates[-14:] if d.weekday() >= 5]
    observed = drift_rows([sketch], weekend)["observed"]
    assert (observed < 0.05).all()


@given(seed=st.integers(0, 1000), cut=st.integers(60, 100))
@settings(max_examples=dear(10), deadline=None)
def test_a_day_is_judged_by_its_past_alone(seed, cut):
    full = simulated_latency(np.random.default_rng(seed), 5_000, NO_CHANGE)
    part = replace(full, dates=full.dates[:cut], counts=full.counts[:cut])
    early, late = judge(part, cut - 1), judge(full, cut - 1)
    assert early.observed == late.observed
    np.testing.assert_array_equal(early.null, late.null)


def test_a_small_day_is_held_against_small_days():
    rng = np.random.default_rng(9)
    sketch = simulated_latency(rng, 100_000, NO_CHANGE)
    counts = sketch.counts.copy()
    counts[-1] = rng.multinomial(60, counts[-1] / counts[-1].sum())
    small = judge(replace(sketch, counts=counts), len(sketch.dates) - 1)
    large = judge(sketch, len(sketch.dates) - 1)
    assert threshold(small)[0] > 1.5 * threshold(large)[0]
    assert small.observed < threshold(small)[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: np.zeros_like(c), "no data"),
        (lambda c: np.where(np.arange(len(c))[:, None] == len(c) - 1, 0, c), "no data"),
        (lambda c: np.where(np.arange(len(c))[:, None] == len(c) - 1, c * 0.001, c), "rows"),
        (lambda c: np.where(np.arange(len(c))[:, None] < len(c) - 9, 0, c), "too little history"),
    ],
)
def test_what_cannot_be_judged_is_unknown(change, reason):
    sketch = simulated_latency(np.random.default_rng(1), 2_000, NO_CHANGE)
    rows = drift_rows([replace(sketch, counts=change(sketch.counts))], [sketch.dates[-1]])
    assert rows["status"].tolist() == ["unknown"]
    assert rows["is_drifted"].isna().all()
    assert reason in rows["verdict"][0]


def test_a_day_outside_the_data_is_unknown():
    sketch = simulated_latency(np.random.default_rng(1), 2_000, NO_CHANGE)
    rows = drift_rows([sketch], [sketch.dates[-1] + timedelta(days=3)])
    assert rows["status"].tolist() == ["unknown"]
    assert list(rows.columns) == list(DATA_DRIFT.column_names)
    assert len(drift_rows([], [START])) == 0


def test_false_discoveries_are_controlled():
    q = benjamini_hochberg([0.001, 0.01, 0.03, 0.5, np.nan])
    assert q[:4].tolist() == pytest.approx([0.004, 0.02, 0.04, 0.5])
    assert np.isnan(q[4])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(max_examples=dear(50), deadline=None)
def test_q_values_keep_order_and_are_never_below_p(p):
    q = benjamini_hochberg(p)
    assert (q >= np.array(p) - 1e-12).all()
    assert (q <= 1).all()
    assert (np.diff(q[np.argsort(p, kind="stable")]) >= -1e-12).all()


def make_events(latency_factor=1.0, crash_factor=1.0, per_day=800):
    rng = np.random.default_rng(3)
    n = per_day * DAYS
    number = np.repeat(np.arange(DAYS), per_day)
    is_last = number == DAYS - 1
    status = np.where(rng.random(n) < 0.02 * np.where(is_last, crash_factor, 1), "crash", "ok")
    return pd.DataFrame(
        {
            "event_date": [day(int(d)) for d in number],
            "feature": rng.choice(["pay", "search"], n),
            "status": status,
            "latency_ms": np.where(
                rng.random(n) < 0.01,
                np.nan,
                200 * np.exp(0.5 * rng.standard_normal(n)) * np.where(is_last, latency_factor, 1),
            ),
            "feedback_score": np.where(rng.random(n) < 0.1, rng.integers(1, 6, n), np.nan),
            "platform": rng.choice(["android", "ios"], n),
            "app_version": np.where(number < 40, "1.0", "2.0"),
            "country": rng.choice(["DE", None], n),
        }
    )


def sketched(events, by_feature=False):
    with duckdb.connect() as connection:
        connection.register("pandas_events", events)
        connection.execute(
            "create table events as select * replace (case when isnan(latency_ms) then null else latency_ms end as "
            "latency_ms, case when isnan(feedback_score) then null else feedback_score end as feedback_score) "
            "from pandas_events"
        )
        sql = event_sketch_sql("events", by_feature)
        return connection.execute(sql, {"from_date": START, "to_date": day(DAYS)}).df()


def test_events_become_sketches_that_add_up():
    events = make_events()
    sketches = {s.name: s for s in event_sketches(sketched(events))}
    assert set(sketches) == {
        "latency_ms", "latency_ms above its usual p95", "feedback_score", "crash_rate", "error_rate",
        "platform", "app_version", "country",
    }  # fmt: skip
    assert sketches["latency_ms"].rows.sum() == events["latency_ms"].notna().sum()
    assert sketches["crash_rate"].counts[:, 0].sum() == (events["status"] == "crash").sum()
    assert sketches["country"].rows.sum() == len(events)
    both = event_sketches(sketched(events, by_feature=True))
    assert {s.feature for s in both} == {"pay", "search"}
    assert sum(s.rows.sum() for s in both if s.name == "platform") == len(events)


def test_what_moved_in_events_is_named_with_its_size():
    rows = drift_rows(event_sketches(sketched(make_events(latency_factor=1.4, crash_factor=4))), [day(DAYS - 1)])
    drifted = rows[rows["status"] == "drifted"]
    assert {"latency_ms", "crash_rate"} <= set(drifted["name"])
    latency = rows.set_index("name").loc["latency_ms"]
    assert latency["current_value"] / latency["reference_value"] == pytest.approx(1.4, abs=0.12)
    assert "has drifted" in latency["verdict"]
    assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
    assert rows["status"].tolist()[: len(drifted)] == ["drifted"] * len(drifted)
    assert rows.loc[rows["rank"] == 1, "status"].tolist() == ["drifted"]


def test_verdicts_speak_in_units():
    rows = drift_rows(event_sketches(sketched(make_events(latency_factor=1.4, crash_factor=4))), [day(DAYS - 1)])
    said = rows.set_index("name")["verdict"]
    assert re.match(
        r"Latency has drifted: median \d{3} ms against \d{3} ms, [\d.]+ times what chance", said["latency_ms"]
    )
    assert re.match(r"Crash rate has drifted: [\d.]+ % against [\d.]+ %, ", said["crash_rate"])
    assert re.match(r"Mix of platforms is as usual: [\d.]+ % of it moved between values, \w+ most: ", said["platform"])


def test_distributions_stand_beside_their_reference():
    rows = distribution_rows(event_sketches(sketched(make_events(latency_factor=1.4))), day(DAYS - 1))
    assert tuple(rows.columns) == DRIFT_DISTRIBUTIONS.column_names
    grouped = rows.groupby("name")
    assert set(grouped.groups) == {"latency_ms", "feedback_score", "platform", "app_version", "country"}
    assert grouped[["reference_share", "current_share"]].sum().to_numpy() == pytest.approx(1)
    assert grouped["bin"].max().max() < MOST_BINS
    latency = grouped.get_group("latency_ms")
    assert latency["low"].isna().tolist() == [True] + [False] * (len(latency) - 1)
    assert latency["low"].iloc[1:].tolist() == latency["high"].iloc[:-1].tolist()
    middle = [np.average(latency["bin"], weights=latency[f"{side}_share"]) for side in ("reference", "current")]
    assert middle[1] > middle[0] + 1
    assert grouped.get_group("feedback_score")["low"].tolist() == [1, 2, 3, 4, 5]
    assert set(grouped.get_group("country")["label"]) == {"DE", "(unknown)"}
    # The reference of a mix that turns over by design is the last days alone.
    assert grouped.get_group("app_version")["label"].tolist() == ["2.0"]
    assert len(distribution_rows([], day(0))) == 0


def test_a_mix_of_many_values_has_its_largest_and_the_rest():
    counts = np.tile(np.arange(1.0, 31.0) * 10, (DAYS, 1))
    dates = tuple(day(d) for d in range(DAYS))
    sketch = Sketch("data", "", "country", "total_variation", dates, counts, labels=tuple(f"c{i}" for i in range(30)))
    rows = distribution_rows([sketch], day(DAYS - 1))
    assert rows["label"].tolist() == [*(f"c{i}" for i in range(29, 21, -1)), "(others)"]
    assert rows["current_share"].sum() == pytest.approx(1)


def test_no_events_give_no_sketch():
    assert event_sketches(pd.DataFrame(columns=["event_date", "feature", "name", "bin", "n"])) == []


def make_inputs(features=40):
    rng = np.random.default_rng(4)
    level = rng.normal(0, 1, features)
    frame = pd.DataFrame(
        [
            {
                "event_date": day(d),
                "feature": f"f{i}",
                "moved": level[i] + 0.2 * rng.standard_normal(),
                "idle": rng.random(),
            }
            for d in range(DAYS)
            for i in range(features)
        ]
    )
    frame["constant"], frame["empty"] = 1.0, np.nan
    frame["dries_up"] = np.where(frame["event_date"] == day(DAYS - 1), np.nan, frame["idle"])
    frame.loc[frame["event_date"] == day(DAYS - 1), "moved"] += 1.5
    return frame


def test_inputs_are_ranked_by_their_effect_on_predictions():
    frame = make_inputs()
    columns = ["moved", "idle", "constant", "empty", "dries_up"]
    sketches = frame_sketches(frame, columns)
    is_current = frame["event_date"] == day(DAYS - 1)
    predict = lambda f: 1 / (1 + np.exp(-f["moved"].fillna(0).to_numpy()))  # noqa: E731
    effects = effects_on_predictions(frame[~is_current], frame[is_current], columns, predict)
    assert effects["moved"] > 0.1
    assert effects["idle"] == 0
    assert "empty" not in effects
    rows = drift_rows(sketches, [day(DAYS - 1)], effects).set_index("name")
    assert rows.loc["moved", "status"] == "drifted"
    assert rows.loc["moved", "rank"] == 1
    assert rows.loc[["idle", "constant"], "status"].tolist() == ["ok", "ok"]
    assert rows.loc[["empty", "dries_up"], "status"].tolist() == ["unknown", "unknown"]
    assert rows.loc["dries_up is missing", "status"] == "drifted"


def test_an_input_that_has_not_moved_has_no_effect():
    frame = make_inputs().drop(columns=["empty"])
    same = effects_on_predictions(frame, frame, ["moved", "idle"], lambda f: f["moved"] * 0.1 + f["idle"])
    assert max(same.values()) < 0.01
    assert effects_on_predictions(frame, frame.iloc[:0], ["moved"], lambda f: f["moved"]) == {}


def test_prediction_and_performance_are_kept_apart():
    rng = np.random.default_rng(5)
    rows = [(day(d), rng.beta(2, 6) if d < DAYS - 1 else rng.beta(6, 2)) for d in range(DAYS) for _ in range(40)]
    ledger = pd.DataFrame(rows, columns=["event_date", "risk_probability"])
    ledger["label_any"] = (rng.random(len(ledger)) < ledger["risk_probability"]).astype(object)
    ledger.loc[ledger["event_date"] >= day(DAYS - 7), "label_any"] = None
    sketches = [*frame_sketches(ledger, ["risk_probability"], "prediction"), *performance_sketches(ledger)]
    found = drift_rows(sketches, [day(DAYS - 1), day(DAYS - 8)])
    today = found[found["event_date"] == day(DAYS - 1)].set_index(["kind", "name"])["status"]
    assert today["prediction", "risk_probability"] == "drifted"
    assert today["performance", "brier_score"] == "unknown"
    graded = found[found["event_date"] == day(DAYS - 8)].set_index(["kind", "name"])["status"]
    assert graded["performance", "brier_score"] == "ok"


def test_a_model_that_has_aged_is_told_by_its_matured_labels():
    rng = np.random.default_rng(6)
    rows = [(day(d), 0.1, rng.random() < (0.1 if d < 60 else 0.7)) for d in range(DAYS) for _ in range(40)]
    ledger = pd.DataFrame(rows, columns=["event_date", "risk_probability", "label_any"])
    status = drift_rows(performance_sketches(ledger), [day(DAYS - 1)]).set_index("name")["status"]
    assert status.to_dict() == {"brier_score": "drifted", "calibration_bias": "drifted"}
    assert performance_sketches(ledger.assign(label_any=None)) == []


def test_baselines_say_why_there_is_none():
    rng = np.random.default_rng(7)
    rows = []
    for d in range(DAYS):
        rows.append({"event_date": day(d), "feature": "steady", "events": rng.poisson(300)})
        rows.append({"event_date": day(d), "feature": "constant", "events": 10})
        if d >= DAYS - 5:
            rows.append({"event_date": day(d), "feature": "new", "events": 50})
        if d < 20:
            rows.append({"event_date": day(d), "feature": "gone", "events": 50})
        if rng.random() < 0.4:
            rows.append({"event_date": day(d), "feature": "rare", "events": 1})
    stats = baseline_stats(pd.DataFrame(rows)).set_index("feature")
    assert stats["status"].to_dict() == {
        "steady": "ok", "constant": "constant", "new": "new", "gone": "silent", "rare": "ok",
    }  # fmt: skip
    assert stats.loc["steady", "silent_days_to_tell"] == 1
    assert stats.loc["rare", "silent_days_to_tell"] > 10
    assert stats.loc["steady", "level"] == pytest.approx(300, rel=0.05)
    assert len(stats.loc["steady", "weekday_levels"]) == 7
    assert tuple(baseline_stats(pd.DataFrame({"event_date": [], "feature": []})).columns) == BASELINE_STATS.column_names


def test_the_power_table_is_the_same_each_time():
    first = power_table(rows_per_day=(2_000,), trials=3, seed=1)
    pd.testing.assert_frame_equal(first, power_table(rows_per_day=(2_000,), trials=3, seed=1))
    assert tuple(first.columns) == DRIFT_POWER.column_names
    assert first["power"].between(0, 1).all()
    assert DEFAULT_DRIFT_SETTINGS.w1_floor == 0.05
