"""The scale on which a metric's days are compared, its centre and its spread, robust to outliers."""

from __future__ import annotations

from math import inf

import numpy as np

from quality_assets.contracts.metrics import Metric
from quality_assets.domain.arrays import Floats
from quality_assets.domain.series.panel import Family, Panel, metric_family
from quality_assets.domain.series.settings import DetectionSettings


def cut(values: Floats, low: float | Floats, high: float | Floats) -> Floats:
    """`values` cut at both ends, NaN left as they are: numpy's `clip` in a third of its time where they are few."""
    return np.minimum(np.maximum(values, low), high)


def deviance_residual(observed: Floats, expected: Floats) -> Floats:
    """Signed root of the Poisson deviance, √2(x ln(x ÷ μ) − x + μ): normal far into the tails of the smallest counts,
    where variance-stabilised ones are not (Pierce & Schafer 1986). Half an event is taken off above μ, for continuity.
    """
    above = observed > expected
    x = np.where(above, np.maximum(observed - 0.5, expected), observed)
    mu = np.maximum(expected, 1e-3)
    deviance = np.where(x > 0, x * np.log(np.maximum(x, 1e-9) / mu), 0.0) - x + mu
    return np.asarray(np.where(above, 1, -1) * np.sqrt(2 * np.maximum(deviance, 0.0)))


def normal_score(t: Floats, degrees: Floats) -> Floats:
    """The deviation of a normal distribution that is as rare as `t` is of Student's t with so many degrees of freedom.

    A residual over a deviation that was learnt from few days is far off more often than one over the true deviation.
    Within .02 of the exact quantile up to 6 with 10 degrees and more (Wallace 1959).
    """
    nu = np.maximum(degrees, 3.0)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(np.sign(t) * (8 * nu + 1) / (8 * nu + 3) * np.sqrt(nu * np.log1p(t * t / nu)))


def usable_days(panel: Panel, settings: DetectionSettings) -> tuple[Floats, Floats]:
    """The amounts and sample sizes that may be used: too few values behind a number make it unknown."""
    amount, sample = panel.amount.astype(float), panel.sample.astype(float)
    with np.errstate(invalid="ignore"):
        if panel.family == "rate":
            bad = ~(sample > 0) | (amount > sample) | (amount < 0)
        elif panel.family == "count":
            bad = amount < 0
        else:
            least = settings.least_sample(panel.metric, panel.family)
            bad = (sample < least) | ((panel.family == "positive") & ~(amount > 0))
    amount = np.where(bad | ~np.isfinite(amount), np.nan, amount)
    return amount, np.where(np.isfinite(sample), sample, np.nan)


def change_from(family: Family, value: Floats, expected: Floats) -> Floats:
    """How far a value lies from what was expected of it: relative, for scores in points; ∞ above an expected 0."""
    if family == "score":
        return value - expected
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = value / expected - 1
    return np.where((expected <= 0) & (value > 0), inf, np.where(expected > 0, relative, 0.0 * value))


def to_scale(family: Family, amount: Floats, sample: Floats) -> Floats:
    """The working scale, on which chance spreads counts and rates alike whatever their level (Anscombe 1948)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        if family == "count":
            return np.asarray(2 * np.sqrt(amount + 0.375))
        if family == "rate":
            return np.asarray(2 * np.arcsin(np.sqrt(cut((amount + 0.375) / (sample + 0.75), 0.0, 1.0))))
        return np.asarray(np.log(amount)) if family == "positive" else amount


def from_scale(family: Family, scaled: Floats, sample: Floats) -> Floats:
    """The metric in its own unit, of a value on the working scale with such a sample."""
    if family == "count":
        return np.asarray(np.maximum((np.maximum(scaled, 0) / 2) ** 2 - 0.375, 0.0))
    if family == "rate":
        share = np.sin(cut(scaled, 0.0, np.pi) / 2) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return cut(((sample + 0.75) * share - 0.375) / sample, 0.0, 1.0)
    return np.asarray(np.exp(scaled)) if family == "positive" else scaled


def robust_spread(family: Family, sample: Floats, typical: Floats) -> Floats:
    """Standard deviation of the working scale up to the series' own factor.

    Binomial for rates. A quantile or mean of fewer values than usual counts for less; more values than usual do not
    make it count for more, because most of the noise of a large sample is between days, not within them.
    """
    if family == "count":
        return np.ones_like(sample)
    if family == "rate":
        return np.asarray(1 / np.sqrt(sample + 0.5))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt(np.maximum(1.0, typical / sample))
    return np.where(np.isfinite(ratio), ratio, 1.0)


# Standard error of a mean of one rating from 1 to 5, of a score from 0 to 1 at its widest, and of the logarithm of a
# quantile of times that are log-normal with a spread of .6 (.8 in the far tail): √(q (1 − q)) ÷ density; over √n.
_ONE_VALUE_SD = {
    "feedback_mean": 1.1, "apdex": 0.5, "latency_p50_ms": 0.75, "latency_p95_ms": 1.3, "latency_p99_ms": 3.0,
}  # fmt: skip


def chance_margin_sql(metric: Metric, usual: str, sample: str, sigmas: float) -> str | None:
    """SQL for how far chance alone takes a metric from what is usual: `sigmas` deviations, in its own unit.

    Over SQL for the usual value and for its sample size. None for what has no sampling error that is known.

    Counts, and the bad events behind a rate, by Anscombe's transform turned back, (√(μ + 3/8) + s/2)² − 3/8 − μ: right
    where none at all is usual, too.
    """
    family, n = metric_family(metric), f"nullif(cast({sample} as double), 0)"
    if family == "count":
        return f"({sigmas} * sqrt(greatest({usual}, 0) + 0.375) + {sigmas * sigmas / 4})"
    if family == "rate":
        bad = f"(1 - {usual})" if metric.complement else usual
        return f"({sigmas} * sqrt(greatest({bad}, 0) * {n} + 0.375) + {sigmas * sigmas / 4}) / {n}"
    if metric.name not in _ONE_VALUE_SD:
        return None
    one = sigmas * _ONE_VALUE_SD[metric.name]
    return f"{one} * abs({usual}) / sqrt({n})" if family == "positive" else f"{one} / sqrt({n})"


LEAST_DEVIATION: dict[Family, float] = {"count": 1.0, "rate": 1.0, "positive": 0.004, "score": 0.01}


def robust_centre(family: Family, level: Floats, sample: Floats) -> Floats:
    """The working scale of a day that is exactly at its level: pooled events or rate, mean logarithm or score."""
    if family == "count":
        return to_scale("count", level, sample)
    if family == "rate":
        return to_scale("rate", level * sample, sample)
    return level


def nan_median(values: Floats) -> Floats:
    """Median along the last axis without NaN; NaN where there is nothing. Faster than numpy's and without warnings."""
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    ordered = np.sort(values, axis=1)
    count = np.isfinite(values).sum(axis=1)
    rows = np.arange(len(values))
    low = ordered[rows, np.maximum((count - 1) // 2, 0)]
    high = ordered[rows, np.minimum(count // 2, values.shape[1] - 1)]
    return np.where(count > 0, (low + high) / 2, np.nan)


def poisson_most(expected: float, alpha: float = 0.01) -> int:
    """The least count that a Poisson variable of mean `expected` passes with a probability below `alpha`."""
    total = term = float(np.exp(-expected))
    count = 0
    while 1 - total > alpha and count < 1_000:
        count += 1
        term *= expected / count
        total += term
    return count
