"""Daily series of one metric as a panel, keys x days, with the size of each day's sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd

from quality_assets.contracts.metrics import METRICS_BY_NAME, Metric
from quality_assets.domain.arrays import Floats, Ints

# Each shows a fault of its own; crash-free sessions, apdex and p99 follow from these and would only repeat them.
Family = Literal["count", "rate", "positive", "score"]
MONITORED_METRICS = ("events", "crash_rate", "error_rate", "latency_p95_ms", "latency_p50_ms", "feedback_mean")


_SAMPLE_SIZES = {
    "latency_p50_ms": "latency_count",
    "latency_p95_ms": "latency_count",
    "latency_p99_ms": "latency_count",
    "latency_mean_ms": "latency_count",
    "apdex": "apdex_count",
    "feedback_mean": "feedback_count",
}


@dataclass(frozen=True)
class Panel:
    """One metric of S series over D consecutive days.

    value: S × D, NaN = unknown. amount: S × D, the numerator of a rate, else equal to value. sample: S × D, the
    denominator of a rate or the number of values behind a quantile or mean; NaN where not known (treated as ample).
    worse: +1 where up hurts, −1 where down does.
    """

    metric: str
    family: Family
    worse: int
    series: tuple[str, ...]
    dates: tuple[date, ...]
    value: Floats
    amount: Floats
    sample: Floats

    @property
    def weekdays(self) -> Ints:
        """Weekday of each day, Monday = 0; length D."""
        return np.array([day.weekday() for day in self.dates], dtype=np.int64)


def metric_family(metric: Metric) -> Family:
    """How the noise of a metric behaves: Poisson, binomial, multiplicative, or additive."""
    if metric.denominator is not None and metric.unit == "fraction":
        return "rate"
    if metric.unit == "ms":
        return "positive"
    return "score" if metric.unit == "score" else "count"


def panel_from_facts(
    facts: pd.DataFrame, metric_name: str, known_dates: Iterable[date] | None = None, key: str = "feature"
) -> Panel:
    """The panel of one metric from rows of `product.fact_feature_metrics`.

    `facts` has `event_date`, `key`, the metric and its measures, one row per series and day. Days are made
    consecutive. A series without a row on a known day had no events: its counts are 0 from its first row on, and its
    other metrics are unknown. A day that is not known (by default: on which no series has a row) is unknown for all:
    a gap in the data is not a death. Raises KeyError for an unknown metric or a missing column.
    """
    metric = METRICS_BY_NAME[metric_name]
    family = metric_family(metric)
    days = pd.to_datetime(facts["event_date"])
    known = pd.DatetimeIndex(pd.to_datetime(list(known_dates if known_dates is not None else days.unique())))
    every = known.union(pd.DatetimeIndex(days.unique()))
    if not len(every):
        empty = np.empty((0, 0))
        return Panel(metric_name, family, _worse(metric), (), (), empty, empty, empty)
    index = pd.date_range(every.min(), every.max())
    names = sorted(facts[key].unique())
    rows, columns = pd.Index(names).get_indexer(pd.Index(facts[key])), index.get_indexer(pd.DatetimeIndex(days))

    def matrix(column: str) -> Floats:
        filled = np.full((len(names), len(index)), np.nan)
        filled[rows, columns] = facts[column].to_numpy(dtype=float, na_value=np.nan)
        return filled

    value = matrix(metric_name)
    amount, sample = value, np.full_like(value, np.nan)
    if family == "rate":
        amount, sample = matrix(str(metric.numerator)), matrix(str(metric.denominator))
    elif metric_name in _SAMPLE_SIZES and _SAMPLE_SIZES[metric_name] in facts:
        sample = matrix(_SAMPLE_SIZES[metric_name])
    if family == "count":
        seen = np.zeros(value.shape, bool)
        seen[rows, columns] = True
        is_silent = np.maximum.accumulate(seen, axis=1) & ~seen & index.isin(known)[None, :]
        value = amount = np.where(is_silent, 0.0, value)
    # A complement (crash-free …) is watched through its numerator, which is what hurts.
    worse = 1 if metric.complement else _worse(metric)
    if metric.complement:
        value = 1 - value
    return Panel(metric_name, family, worse, tuple(names), tuple(d.date() for d in index), value, amount, sample)


def _worse(metric: Metric) -> int:
    return -1 if metric.bad_direction == "down" else 1
