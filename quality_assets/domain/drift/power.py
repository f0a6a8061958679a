"""What the drift monitor can see: changes of known size in simulated days, judged as the monitor judges real ones.

A trial is a whole family of event sketches of which one changes, because false discoveries are controlled over the
family: what is found alone may drown among its peers. How days are judged lives in `drift`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from zlib import crc32

import numpy as np
import pandas as pd
from scipy.special import ndtr

from quality_assets.contracts.drift import DRIFT_POWER
from quality_assets.domain.arrays import Floats
from quality_assets.domain.drift.settings import DEFAULT_DRIFT_SETTINGS, DriftSettings, Statistic
from quality_assets.domain.drift.sketches import LATENCY_BINS_PER_E, Sketch, tail_sketch
from quality_assets.domain.drift.verdicts import drift_rows

NO_CHANGE = "no change"


@dataclass(frozen=True)
class PowerCase:
    """A change to inject: `factor` on latency or rate of the share `traffic` of events, on each of the last `days`.

    It counts as found when it is told on any of those days.
    """

    statistic: Statistic
    label: str
    factor: float = 1.0
    traffic: float = 1.0
    days: int = 1


POWER_CASES = (
    PowerCase("w1", NO_CHANGE),
    PowerCase("w1", "latency +10 % on the first day", 1.1),
    PowerCase("w1", "latency +20 % on the first day", 1.2),
    PowerCase("w1", "10 % of traffic × 2.5 on the first day", 2.5, 0.1),
    PowerCase("binomial_z", NO_CHANGE),
    PowerCase("binomial_z", "rate 1 % × 1.5 within 7 days", 1.5, days=7),
    PowerCase("binomial_z", "rate 1 % × 2 on the first day", 2.0),
    PowerCase("binomial_z", "rate 1 % × 2 within 3 days", 2.0, days=3),
    PowerCase("binomial_z", "rate 1 % × 2 within 7 days", 2.0, days=7),
)


@dataclass(frozen=True)
class SimulatedNoise:
    """How simulated days differ when nothing is wrong; set it to what `baseline_stats` measures for power at home.

    day: deviation of the logarithm of latency between days. sigma: of a day's latencies. weekend: shift of weekends.
    rate, rate_between_days: a rate, and the deviation of its logarithm between days. mix: deviation of the logarithm of
    a value's share between days.
    """

    day: float = 0.02
    sigma: float = 0.5
    weekend: float = 0.08
    rate: float = 0.01
    rate_between_days: float = 0.10
    mix: float = 0.03


DEFAULT_NOISE = SimulatedNoise()
_DAYS = 112
_DATES = tuple(d.date() for d in pd.date_range("2026-01-01", periods=_DAYS))
_MIXES = {"platform": (0.5, 0.35, 0.15), "country": (0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.05)}
_SCORES, _SCORED_SHARE = (0.05, 0.07, 0.15, 0.33, 0.40), 0.05


def simulated_family(
    rng: np.random.Generator,
    n: int,
    case: PowerCase,
    noise: SimulatedNoise = DEFAULT_NOISE,
    settings: DriftSettings = DEFAULT_DRIFT_SETTINGS,
) -> list[Sketch]:
    """The event sketches of 16 weeks of n rows a day: what `case` is about changes, the rest is calm."""
    calm = PowerCase(case.statistic, NO_CHANGE)
    latency = simulated_latency(rng, n, case if case.statistic == "w1" else calm, noise, settings)
    crashes = simulated_rate(rng, n, case if case.statistic == "binomial_z" else calm, noise, settings)
    errors = simulated_rate(rng, n, calm, replace(noise, rate=2 * noise.rate), settings)
    scores = rng.multinomial(max(int(n * _SCORED_SHARE), 1), _SCORES, size=_DAYS).astype(float)
    points = np.arange(1.0, 6.0)
    mixes = [
        Sketch("data", "", name, "total_variation", _DATES, _mix(rng, n, shares, noise), floor=settings.mix_floor)
        for name, shares in _MIXES.items()
    ]
    return [
        latency,
        tail_sketch(latency, settings),
        crashes,
        replace(errors, name="error_rate"),
        Sketch("data", "", "feedback_score", "w1", _DATES, scores, points, points, 2 * settings.w1_floor),
        *mixes,
    ]


def found_share(sketches: Sequence[Sketch], case: PowerCase, settings: DriftSettings = DEFAULT_DRIFT_SETTINGS) -> float:
    """Judge the last days of a simulated family as the monitor does.

    1 where the change is found, in latency by either the whole or the tail; for a case without change the share of
    false alarms among the tests of its statistic.
    """
    if case.factor == 1.0:
        rows = drift_rows(sketches, _DATES[-1:], settings=settings)
        return float((rows.loc[rows["statistic"] == case.statistic, "status"] == "drifted").mean())
    watched = "crash_rate" if case.statistic == "binomial_z" else "latency_ms"

    def is_found(day: date) -> bool:
        rows = drift_rows(sketches, [day], settings=settings)
        return bool((rows["name"].str.startswith(watched) & (rows["status"] == "drifted")).any())

    # The last day first: what has lasted is most likely told by then.
    return float(any(is_found(day) for day in reversed(_DATES[-case.days :])))


def power_table(
    rows_per_day: Sequence[int] = (2_000, 10_000, 1_000_000),
    trials: int = 100,
    seed: int = 0,
    noise: SimulatedNoise = DEFAULT_NOISE,
    settings: DriftSettings = DEFAULT_DRIFT_SETTINGS,
) -> pd.DataFrame:
    """Rows of `monitoring.drift_power`: how often the monitor sees each change, on days simulated as bins.

    Every trial has its own history of 16 weeks; the counts are multinomial, so that a million rows cost no more than
    two thousand. Deterministic for a seed.
    """
    rows = []
    for n in rows_per_day:
        for case in POWER_CASES:
            rng = np.random.default_rng([seed, n, crc32(f"{case.statistic}{case.label}".encode())])
            found = [
                found_share(simulated_family(rng, n, case, noise, settings), case, settings) for _ in range(trials)
            ]
            rows.append((case.statistic, case.label, n, float(np.mean(found)), trials))
    return pd.DataFrame(rows, columns=list(DRIFT_POWER.column_names))


def simulated_latency(
    rng: np.random.Generator,
    n: int,
    case: PowerCase,
    noise: SimulatedNoise = DEFAULT_NOISE,
    settings: DriftSettings = DEFAULT_DRIFT_SETTINGS,
) -> Sketch:
    """A log-normal latency sketch of n rows a day whose last days have the change of `case`."""
    width = 1 / LATENCY_BINS_PER_E
    edges = np.arange(-6 * noise.sigma - 0.5, 6 * noise.sigma + 1.5, width)
    shift = noise.day * rng.standard_normal(_DAYS)
    shift += noise.weekend * np.array([d.weekday() >= 5 for d in _DATES])
    share = np.diff(ndtr((edges[None, :] - shift[:, None]) / noise.sigma), axis=1)
    changed = slice(_DAYS - case.days, None)
    moved = np.diff(ndtr((edges[None, :] - shift[changed, None] - np.log(case.factor)) / noise.sigma), axis=1)
    share[changed] = (1 - case.traffic) * share[changed] + case.traffic * moved
    counts = rng.multinomial(n, share / share.sum(axis=1, keepdims=True)).astype(float)
    position = edges[:-1] + width / 2
    return Sketch("data", "", "latency_ms", "w1", _DATES, counts, position, np.exp(position), settings.w1_floor)


def simulated_rate(
    rng: np.random.Generator,
    n: int,
    case: PowerCase,
    noise: SimulatedNoise = DEFAULT_NOISE,
    settings: DriftSettings = DEFAULT_DRIFT_SETTINGS,
) -> Sketch:
    """A rate sketch of n rows a day whose last days have the change of `case`."""
    daily = noise.rate * np.exp(noise.rate_between_days * rng.standard_normal(_DAYS))
    daily[_DAYS - case.days :] *= case.factor
    bad = rng.binomial(n, np.minimum(daily, 1)).astype(float)
    counts = np.stack([bad, n - bad], axis=1)
    return Sketch("data", "", "crash_rate", "binomial_z", _DATES, counts, floor=settings.rate_floor_z)


def _mix(rng: np.random.Generator, n: int, shares: Sequence[float], noise: SimulatedNoise) -> Floats:
    daily = np.array(shares) * np.exp(noise.mix * rng.standard_normal((_DAYS, len(shares))))
    return np.asarray(rng.multinomial(n, daily / daily.sum(axis=1, keepdims=True)), dtype=float)
