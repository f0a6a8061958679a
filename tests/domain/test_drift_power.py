"""The simulated days of the power table: what changes does so by its factor, on its days, and nothing else does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from quality_assets.domain.drift.power import (
    DEFAULT_NOISE,
    POWER_CASES,
    PowerCase,
    SimulatedNoise,
    found_share,
    power_table,
    simulated_family,
    simulated_latency,
    simulated_rate,
)
from quality_assets.domain.drift.verdicts import drift_rows

STILL = SimulatedNoise(day=0.0, weekend=0.0, rate_between_days=0.0, mix=0.0)
CALM = PowerCase("w1", "no change")
MANY = 1_000_000
RATE = PowerCase("binomial_z", "×2", 2.0, days=3)


def rng() -> np.random.Generator:
    return np.random.default_rng(8)


def test_the_changes_and_the_noise_are_those_that_are_published() -> None:
    assert [(c.statistic, c.factor, c.traffic, c.days) for c in POWER_CASES] == [
        ("w1", 1.0, 1.0, 1), ("w1", 1.1, 1.0, 1), ("w1", 1.2, 1.0, 1), ("w1", 2.5, 0.1, 1), ("binomial_z", 1.0, 1.0, 1),
        ("binomial_z", 1.5, 1.0, 7), ("binomial_z", 2.0, 1.0, 1), ("binomial_z", 2.0, 1.0, 3),
        ("binomial_z", 2.0, 1.0, 7),
    ]  # fmt: skip
    assert SimulatedNoise(0.02, 0.5, 0.08, 0.01, 0.10, 0.03) == DEFAULT_NOISE


def test_latencies_are_log_normal_and_shift_on_the_last_days_only() -> None:
    sketch = simulated_latency(rng(), MANY, PowerCase("w1", "+20 %", 1.2, days=2), STILL)
    assert sketch.counts.sum(axis=1).tolist() == [MANY] * 112
    mean = sketch.counts @ sketch.position / MANY
    assert mean[:110] == pytest.approx(np.zeros(110), abs=0.003)
    assert mean[110:] == pytest.approx([math.log(1.2)] * 2, abs=0.003)
    spread = np.sqrt(sketch.counts @ sketch.position**2 / MANY - mean**2)
    assert spread == pytest.approx([0.5] * 112, abs=0.003)
    assert sketch.typical == pytest.approx(np.exp(sketch.position))
    assert np.diff(sketch.position) == pytest.approx([0.05] * (len(sketch.position) - 1))
    assert (sketch.position[0], sketch.position[-1]) == (pytest.approx(-3.475), pytest.approx(4.425, abs=0.051))
    assert (sketch.name, sketch.statistic, sketch.floor) == ("latency_ms", "w1", 0.05)
    tenth = simulated_latency(rng(), MANY, PowerCase("w1", "tail", 2.5, 0.1), STILL)
    mean = tenth.counts @ tenth.position / MANY
    assert mean[110:] == pytest.approx([0, 0.1 * math.log(2.5)], abs=0.003)


def test_weekends_are_slower_and_days_differ() -> None:
    weekly = simulated_latency(rng(), MANY, CALM, SimulatedNoise(day=0.0))
    mean = weekly.counts @ weekly.position / MANY
    assert mean == pytest.approx([0.08 if d.weekday() >= 5 else 0.0 for d in weekly.dates], abs=0.003)
    noisy = simulated_latency(rng(), MANY, CALM, SimulatedNoise(day=0.05, weekend=0.0))
    assert np.std(noisy.counts @ noisy.position / MANY) == pytest.approx(0.05, abs=0.01)


def test_a_rate_is_multiplied_on_the_last_days_only() -> None:
    sketch = simulated_rate(rng(), MANY, RATE, STILL)
    share = sketch.counts[:, 0] / MANY
    assert sketch.counts.sum(axis=1).tolist() == [MANY] * 112
    assert share[:109] == pytest.approx([0.01] * 109, abs=0.0004)
    assert share[109:] == pytest.approx([0.02] * 3, abs=0.0006)
    assert (sketch.statistic, sketch.floor) == ("binomial_z", 2.5)
    restless = simulated_rate(rng(), MANY, PowerCase("binomial_z", "no change"))
    assert np.std(np.log(restless.counts[:, 0])) == pytest.approx(0.1, abs=0.02)
    assert simulated_rate(rng(), 100, PowerCase("binomial_z", "all", 500.0), STILL).counts[-1].tolist() == [100, 0]


def test_a_family_has_all_that_events_have_and_one_change() -> None:
    family = {s.name: s for s in simulated_family(rng(), 100_000, RATE, STILL)}
    assert list(family) == [
        "latency_ms", "latency_ms above its usual p95", "crash_rate", "error_rate", "feedback_score", "platform",
        "country",
    ]  # fmt: skip
    assert family["crash_rate"].counts[-1, 0] == pytest.approx(2000, abs=180)
    assert family["crash_rate"].counts[0, 0] == pytest.approx(1000, abs=130)
    assert family["error_rate"].counts[[0, -1], 0] == pytest.approx([2000, 2000], abs=180)
    mean = family["latency_ms"].counts @ family["latency_ms"].position / 100_000
    assert mean[-1] == pytest.approx(0.0, abs=0.008)
    scores = family["feedback_score"]
    assert scores.counts.sum(axis=1).tolist() == [5000] * 112
    assert scores.counts.mean(axis=0) / 5000 == pytest.approx([0.05, 0.07, 0.15, 0.33, 0.40], abs=0.005)
    assert (scores.position.tolist(), scores.floor) == ([1, 2, 3, 4, 5], 0.1)
    assert family["platform"].counts.mean(axis=0) == pytest.approx([50_000, 35_000, 15_000], abs=100)
    assert family["country"].counts.mean(axis=0) / 1e5 == pytest.approx(
        [0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.05], abs=0.001
    )
    assert {family[n].floor for n in ("platform", "country")} == {0.03}
    slow = {s.name: s for s in simulated_family(rng(), 100_000, PowerCase("w1", "+50 %", 1.5), STILL)}
    assert slow["crash_rate"].counts[-1, 0] == pytest.approx(1000, abs=130)
    assert (slow["latency_ms"].counts @ slow["latency_ms"].position)[-1] / 1e5 == pytest.approx(
        math.log(1.5), abs=0.008
    )
    few = {s.name: s for s in simulated_family(rng(), 10, CALM, STILL)}
    assert few["feedback_score"].counts.sum(axis=1).tolist() == [1] * 112


def test_a_change_is_found_on_any_of_its_days_and_by_either_sketch_of_latency() -> None:
    latency = simulated_latency(rng(), 20_000, PowerCase("w1", "×2", 2.0, days=1), STILL)
    counts = latency.counts.copy()
    counts[[-1, -3]] = counts[[-3, -1]]
    early = replace(latency, counts=counts)
    told = drift_rows([early], early.dates[-3:])["status"].tolist()
    assert told == ["drifted", "ok", "ok"]
    assert [found_share([early], PowerCase("w1", "×2", 2.0, days=d)) for d in (1, 2, 3)] == [0.0, 0.0, 1.0]
    assert found_share([latency], PowerCase("w1", "×2", 2.0)) == 1.0
    assert found_share([latency], PowerCase("binomial_z", "×2", 2.0)) == 0.0
    tail = replace(latency, name="latency_ms above its usual p95")
    assert found_share([tail], PowerCase("w1", "×2", 2.0)) == 1.0
    calm = replace(latency, name="calm", counts=latency.counts[np.r_[0:111, 110]])
    assert found_share([latency, calm], CALM) == 0.5


def test_each_size_and_change_has_a_row() -> None:
    table = power_table(rows_per_day=(500, 2_000), trials=1, seed=1)
    assert table["rows_per_day"].tolist() == [500] * 9 + [2_000] * 9
    assert table["change"].tolist() == [case.label for case in POWER_CASES] * 2
    assert table["statistic"].tolist() == [case.statistic for case in POWER_CASES] * 2
    assert table["trials"].unique().tolist() == [1]
