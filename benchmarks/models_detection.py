"""How well incidents and drift are found: figures over fixed seeds, beside the bars that they are held against.

`python -m benchmarks.models_detection` prints them. The noise is made here and not by the simulator, so that sizes
and sample sizes are exact; settings were chosen on other seeds. Not part of the test suite.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from zlib import crc32

import numpy as np
import numpy.typing as npt

from quality_assets.domain.drift import power as drift_power
from quality_assets.domain.series import detection
from quality_assets.domain.series.panel import Family, Panel
from quality_assets.domain.series.settings import DEFAULT_SETTINGS, DetectionSettings

Floats = npt.NDArray[np.float64]
# The seeds below this were looked at while settings were chosen.
FIRST_SEED = 25
REPORT_SEEDS = tuple(range(FIRST_SEED, FIRST_SEED + 12))
_START = date(2026, 1, 1)
_SERIES, _DAYS, _FAULT_DAY = 60, 180, 120


@dataclass(frozen=True)
class Figure:
    """One measured figure: mean and standard deviation over seeds, and its bar."""

    name: str
    mean: float
    spread: float
    bar: str
    holds: bool | None


def noise(rng: np.random.Generator, series: int, days: int) -> Floats:
    """Day-to-day noise of a logarithm: own deviation 3–8 %, Student's t with 5 degrees, autocorrelation .2."""
    deviation = rng.uniform(0.03, 0.08, (series, 1))
    shocks = rng.standard_t(5, (series, days)) / np.sqrt(5 / 3)
    state = np.empty_like(shocks)
    state[:, 0] = shocks[:, 0]
    for day in range(1, days):
        state[:, day] = 0.2 * state[:, day - 1] + np.sqrt(1 - 0.04) * shocks[:, day]
    return np.asarray(deviation * state)


def latency_panel(seed: int, effect: Floats | None = None, series: int = _SERIES, days: int = _DAYS) -> Panel:
    """Latency p95 with weekend shape, growth and noise; `effect` (length D) is added to the logarithm."""
    rng = np.random.default_rng([seed, 1])
    weekdays = np.array([(_START + timedelta(days=d)).weekday() for d in range(days)])
    weekend = rng.normal(0, 0.08, (series, 1)) * (weekdays >= 5)
    trend = rng.normal(0, 0.0004, (series, 1)) * np.arange(days)
    logs = np.log(rng.lognormal(6, 0.5, (series, 1))) + weekend + trend + noise(rng, series, days)
    value = np.exp(logs + (0 if effect is None else effect))
    return _panel("latency_p95_ms", "positive", 1, value, value, np.full_like(value, np.nan))


def rate_panel(seed: int, factor: Floats | None = None, series: int = _SERIES, days: int = _DAYS) -> Panel:
    """Crash rates of .2–2 % at 200–20,000 events a day, with 10 % noise of the rate itself between days."""
    rng = np.random.default_rng([seed, 2])
    events = np.round(np.exp(rng.uniform(np.log(200), np.log(20_000), (series, 1))) * np.exp(noise(rng, series, days)))
    rate = rng.uniform(0.002, 0.02, (series, 1)) * np.exp(0.1 * rng.standard_normal((series, days)))
    crashes = rng.binomial(events.astype(int), np.minimum(rate * (1 if factor is None else factor), 1)).astype(float)
    return _panel("crash_rate", "rate", 1, crashes / events, crashes, events)


def volume_panel(
    seed: int,
    factor: Floats | None = None,
    low: float = 20,
    high: float = 20_000,
    series: int = _SERIES,
    days: int = _DAYS,
) -> Panel:
    """Events a day with weekend shape, growth, day-to-day noise and Poisson noise."""
    rng = np.random.default_rng([seed, 3])
    weekdays = np.array([(_START + timedelta(days=d)).weekday() for d in range(days)])
    weekend = np.where(weekdays >= 5, rng.choice([0.55, 0.97, 1.6], (series, 1)), 1.0)
    level = np.exp(rng.uniform(np.log(low), np.log(high), (series, 1)))
    growth = np.exp(rng.normal(0.0007, 0.0006, (series, 1)) * np.arange(days))
    mean = level * weekend * growth * np.exp(noise(rng, series, days)) * (1 if factor is None else factor)
    events = rng.poisson(mean).astype(float)
    return _panel("events", "count", -1, events, events, np.full_like(events, np.nan))


def score_panel(seed: int, shift: Floats | None = None, series: int = _SERIES, days: int = _DAYS) -> Panel:
    """Mean feedback of 10–300 scores a day, deviation 1.1 within and .05 between days."""
    rng = np.random.default_rng([seed, 4])
    count = rng.poisson(np.exp(rng.uniform(np.log(10), np.log(300), (series, 1))), (series, days)).astype(float)
    mean = rng.uniform(3.5, 4.5, (series, 1)) + 0.05 * rng.standard_normal((series, days))
    value = mean + 1.1 * rng.standard_normal((series, days)) / np.sqrt(np.maximum(count, 1))
    value = value + (0 if shift is None else shift)
    return _panel("feedback_mean", "score", -1, value, value, count)


def _panel(metric: str, family: Family, worse: int, value: Floats, amount: Floats, sample: Floats) -> Panel:
    names = tuple(f"s{i:03d}" for i in range(value.shape[0]))
    dates = tuple(_START + timedelta(days=d) for d in range(value.shape[1]))
    return Panel(metric, family, worse, names, dates, value, amount, sample)


def false_per_series_year(panel: Panel, settings: DetectionSettings = DEFAULT_SETTINGS) -> float:
    """Episodes per series and year of a panel without faults; only days with a baseline count."""
    found = detection.detect(panel, settings)
    judged = np.isfinite(found.z).sum()
    return float(found.is_start.sum() * 365 / max(judged, 1))


def found_within(
    panel: Panel, days: int, settings: DetectionSettings = DEFAULT_SETTINGS, at: int = _FAULT_DAY
) -> float:
    """Share of series that are inside an episode at some day of [at, at + days), those open before left out."""
    found = detection.detect(panel, settings)
    eligible = ~found.is_active[:, at - 1]
    return float(found.is_start[eligible, at : at + days].any(axis=1).mean())


def step(size: float, days: int | None = None) -> Floats:
    """`size` from the fault day on, or for so many days; else 0."""
    shape = np.zeros(_DAYS)
    shape[_FAULT_DAY : None if days is None else _FAULT_DAY + days] = size
    return shape


def ramp(size: float, days: int = 20) -> Floats:
    """Grows in equal steps to `size` over `days` days and stays there."""
    return np.clip((np.arange(_DAYS) - _FAULT_DAY + 1) / days, 0, 1) * size


_DETECTION: dict[str, tuple[Callable[[int], float], str, Callable[[float], bool] | None]] = {
    "latency: false episodes per series-year": (
        lambda s: false_per_series_year(latency_panel(s)),
        "≤ 1.5",
        lambda v: v <= 1.5,
    ),
    "crash rate: false episodes per series-year": (
        lambda s: false_per_series_year(rate_panel(s)),
        "≤ 1.5",
        lambda v: v <= 1.5,
    ),
    "volume: false episodes per series-year": (
        lambda s: false_per_series_year(volume_panel(s)),
        "≤ 1.5",
        lambda v: v <= 1.5,
    ),
    "rare volume: false episodes per series-year": (
        lambda s: false_per_series_year(volume_panel(s, low=0.3, high=20)),
        "≤ 1.5",
        lambda v: v <= 1.5,
    ),
    "feedback: false episodes per series-year": (
        lambda s: false_per_series_year(score_panel(s)),
        "≤ 1.5",
        lambda v: v <= 1.5,
    ),
    "latency +10 % within 7 days": (lambda s: found_within(latency_panel(s, np.log1p(step(0.1))), 7), "", None),
    "latency +20 % within 7 days": (
        lambda s: found_within(latency_panel(s, np.log1p(step(0.2))), 7),
        "≥ .90",
        lambda v: v >= 0.9,
    ),
    "latency +35 % within 7 days": (lambda s: found_within(latency_panel(s, np.log1p(step(0.35))), 7), "", None),
    "latency creep +40 % within 20 days": (
        lambda s: found_within(latency_panel(s, np.log1p(ramp(0.4))), 20),
        "≥ .95",
        lambda v: v >= 0.95,
    ),
    "latency one-day +50 %": (
        lambda s: found_within(latency_panel(s, np.log1p(step(0.5, 1))), 1),
        "≥ .80",
        lambda v: v >= 0.8,
    ),
    "crash rate × 2 within 7 days": (lambda s: found_within(rate_panel(s, 1 + step(1.0)), 7), "", None),
    "crash rate × 4 within 2 days": (lambda s: found_within(rate_panel(s, 1 + step(3.0)), 2), "", None),
    "volume −40 % within 3 days": (lambda s: found_within(volume_panel(s, 1 - step(0.4)), 3), "", None),
    "feedback −.6 within 7 days": (lambda s: found_within(score_panel(s, -step(0.6)), 7), "", None),
}


def measure(
    figures: dict[str, tuple[Callable[[int], float], str, Callable[[float], bool] | None]], seeds: Iterable[int]
) -> list[Figure]:
    """Run each figure on each seed."""
    seeds = list(seeds)
    measured = []
    for name, (run, bar, holds) in figures.items():
        values = np.array([run(seed) for seed in seeds])
        mean = float(values.mean())
        measured.append(
            Figure(
                name, mean, float(values.std(ddof=1)) if len(values) > 1 else 0.0, bar, holds(mean) if holds else None
            )
        )
    return measured


def run_detection(seeds: Iterable[int] = REPORT_SEEDS) -> list[Figure]:
    """False episodes and power of the change detection."""
    return measure(_DETECTION, seeds)


def _drift_share(case: drift_power.PowerCase, rows_per_day: int, trials: int, is_alone: bool) -> Callable[[int], float]:
    def share(seed: int) -> float:
        rng = np.random.default_rng([seed, rows_per_day, crc32(f"{case.statistic}{case.label}".encode())])
        found = 0.0
        for _ in range(trials):
            family = drift_power.simulated_family(rng, rows_per_day, case)
            if is_alone:
                family = [s for s in family if s.name == ("latency_ms" if case.statistic == "w1" else "crash_rate")]
            found += drift_power.found_share(family, case)
        return found / trials

    return share


_DRIFT_BARS: dict[str, tuple[str, Callable[[float], bool]]] = {
    drift_power.NO_CHANGE: ("≤ .02", lambda v: v <= 0.02),
    "latency +10 % on the first day": ("≥ .80", lambda v: v >= 0.80),
    "latency +20 % on the first day": ("≥ .99", lambda v: v >= 0.99),
    "10 % of traffic × 2.5 on the first day": ("≥ .95", lambda v: v >= 0.95),
    "rate 1 % × 2 within 7 days": ("≥ .95", lambda v: v >= 0.95),
}


def run_drift(seeds: Iterable[int] = REPORT_SEEDS, trials: int = 60) -> list[Figure]:
    """False alarms per metric and day, and power, of the drift monitor over a family of eight event columns.

    False alarms, and rates, also for one metric alone, where false discoveries are controlled over nothing else.
    """
    figures: dict[str, tuple[Callable[[int], float], str, Callable[[float], bool] | None]] = {}
    for rows_per_day in (2_000, 10_000, 1_000_000):
        for case in drift_power.POWER_CASES:
            bar, holds = _DRIFT_BARS.get(case.label, ("", None))
            name = f"{case.statistic}: {case.label}, {rows_per_day:,} rows a day"
            # No change needs more days than power does: its share is small.
            count = 4 * trials if case.label == drift_power.NO_CHANGE else trials
            figures[name] = (_drift_share(case, rows_per_day, count, False), bar, holds)
            if case.label == drift_power.NO_CHANGE:
                figures[f"{name}, alone"] = (_drift_share(case, rows_per_day, count, True), bar, holds)
            elif case.statistic == "binomial_z":
                figures[f"{name}, alone"] = (_drift_share(case, rows_per_day, count, True), "", None)
    return measure(figures, seeds)


def main() -> None:
    """Print every figure, and write them as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=len(REPORT_SEEDS), help="number of reporting seeds")
    parser.add_argument("--json", help="file to write the figures to")
    arguments = parser.parse_args()
    seeds = range(FIRST_SEED, FIRST_SEED + arguments.seeds)
    figures = run_detection(seeds) + run_drift(seeds)
    for figure in figures:
        verdict = "" if figure.holds is None else "holds" if figure.holds else "MISSED"
        print(f"{figure.name:<58} {figure.mean:6.3f} ± {figure.spread:.3f}  {figure.bar:<7} {verdict}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump([asdict(figure) for figure in figures], file, ensure_ascii=False, indent=2)


if __name__ == "__main__":
    main()
