"""The metric registry: every metric of the product, defined once, and the one function that turns it into SQL.

A *measure* is an aggregate over events that is stored beside the metrics; a *metric* is what people read, made from
measures. Add a metric here and marts, trends, slices, checks and charts have it. Queries that need more than
`SELECT keys, metrics FROM events GROUP BY keys` belong to the module that needs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BadDirection = Literal["up", "down"]
Unit = Literal["count", "ms", "fraction", "score"]

LATENCY_QUANTILES = (0.5, 0.95, 0.99)
QUANTILE_OF = {f"latency_p{level * 100:.0f}_ms": level for level in LATENCY_QUANTILES}
"""Which quantile of latencies a metric is, by its name."""


@dataclass(frozen=True)
class Measure:
    """An aggregate over events. `sql` may use the event columns and `apdex_threshold_ms`."""

    name: str
    sql: str
    description: str
    type: str = "BIGINT"
    unit: Unit = "count"
    nullable: bool = True


@dataclass(frozen=True)
class Metric:
    """What people read, over the measures of one group of events.

    A ratio names its `numerator` and `denominator` measures so that it can be summed up and given an interval;
    `complement` metrics are 1 − numerator ÷ denominator. `bad_direction` is where it hurts, None where neither does.
    """

    name: str
    label: str
    description: str
    unit: Unit
    bad_direction: BadDirection | None = None
    numerator: str | None = None
    denominator: str | None = None
    complement: bool = False
    sql: str | None = None

    @property
    def expression(self) -> str:
        """The metric as SQL over measures; null where there is no data."""
        if self.sql is not None:
            return self.sql
        if self.denominator is None:
            return self.name
        ratio = f"{self.numerator} / nullif(cast({self.denominator} as double), 0)"
        return f"1 - {ratio}" if self.complement else ratio


# A source without users or sessions leaves these null: unknown is not zero.
MEASURES = (
    Measure("events", "count(*)", "Events", nullable=False),
    Measure("users", "nullif(count(distinct user_id), 0)", "Distinct users"),
    Measure("sessions", "nullif(count(distinct session_id), 0)", "Distinct sessions"),
    Measure("errors", "count(case when status = 'error' then 1 end)", "Events that ended in an error", nullable=False),
    Measure("crashes", "count(case when status = 'crash' then 1 end)", "Events that ended in a crash", nullable=False),
    Measure(
        "crashed_users",
        "case when count(user_id) > 0 then count(distinct case when status = 'crash' then user_id end) end",
        "Distinct users with at least one crash",
    ),
    Measure(
        "crashed_sessions",
        "case when count(session_id) > 0 then count(distinct case when status = 'crash' then session_id end) end",
        "Distinct sessions with at least one crash",
    ),
    Measure("latency_count", "count(latency_ms)", "Events with a latency", nullable=False),
    # Doubles add up to another last digit in another order, and parallel aggregation has no order; decimals do not.
    # What they cannot hold is no latency: 1e20 ms is three billion years.
    Measure(
        "latency_sum_ms",
        "cast(sum(case when latency_ms is not null"
        " then cast(least(latency_ms, 1e20) as decimal(38, 6)) end) as double)",
        "Sum of latencies",
        type="DOUBLE",
        unit="ms",
    ),
    Measure(
        "apdex_satisfied",
        "count(case when status = 'ok' and latency_ms <= apdex_threshold_ms then 1 end)",
        "Successful events within the apdex threshold T",
        nullable=False,
    ),
    Measure(
        "apdex_tolerating",
        "count(case when status = 'ok' and latency_ms > apdex_threshold_ms"
        " and latency_ms <= 4 * apdex_threshold_ms then 1 end)",
        "Successful events between T and 4 T",
        nullable=False,
    ),
    Measure(
        "apdex_count",
        "count(case when apdex_threshold_ms is not null and (latency_ms is not null or status <> 'ok') then 1 end)",
        "Events that apdex judges: timed, or failed",
        nullable=False,
    ),
    Measure("feedback_count", "count(feedback_score)", "Events with a feedback score", nullable=False),
    Measure(
        "feedback_sum",
        "cast(sum(cast(feedback_score as decimal(9, 6))) as double)",
        "Sum of feedback scores",
        type="DOUBLE",
        unit="score",
    ),
)

METRICS = (
    Metric("events", "Events", "Events of the day", "count", "down"),
    Metric("users", "Users", "Distinct users of the day", "count", "down"),
    Metric("sessions", "Sessions", "Distinct sessions of the day", "count", "down"),
    Metric("errors", "Errors", "Events that ended in an error", "count", "up"),
    Metric("crashes", "Crashes", "Events that ended in a crash", "count", "up"),
    Metric("error_rate", "Error rate", "Errors ÷ events", "fraction", "up", "errors", "events"),
    Metric("crash_rate", "Crash rate", "Crashes ÷ events", "fraction", "up", "crashes", "events"),
    Metric(
        "crash_free_sessions",
        "Crash-free sessions",
        "1 − sessions with a crash ÷ sessions (Sentry's definition)",
        "fraction",
        "down",
        "crashed_sessions",
        "sessions",
        complement=True,
    ),
    Metric(
        "crash_free_users",
        "Crash-free users",
        "1 − users with a crash ÷ users (Sentry's definition)",
        "fraction",
        "down",
        "crashed_users",
        "users",
        complement=True,
    ),
    Metric("latency_p50_ms", "Latency p50", "Median latency", "ms", "up", sql="latency_quantiles_ms[1]"),
    Metric("latency_p95_ms", "Latency p95", "95th percentile of latency", "ms", "up", sql="latency_quantiles_ms[2]"),
    Metric("latency_p99_ms", "Latency p99", "99th percentile of latency", "ms", "up", sql="latency_quantiles_ms[3]"),
    Metric("latency_mean_ms", "Latency mean", "Mean latency", "ms", "up", "latency_sum_ms", "latency_count"),
    Metric(
        "apdex",
        "Apdex",
        "(satisfied + tolerating ÷ 2) ÷ judged events, failures counting as frustrated (Apdex Alliance, version 1.1);"
        " unknown where some succeeded and none was timed",
        "score",
        "down",
        # Of failures alone it would be 0, however few they are.
        sql="case when latency_count > 0 or apdex_count = events then"
        " (apdex_satisfied + apdex_tolerating / cast(2 as double)) / nullif(cast(apdex_count as double), 0) end",
    ),
    Metric("feedback_mean", "Feedback", "Mean feedback score, 1–5", "score", "down", "feedback_sum", "feedback_count"),
    Metric("feedback_count", "Feedback count", "Events with a feedback score", "count"),
)

ADOPTION_RATE = Metric(
    "adoption_rate",
    "Adoption",
    "Users of the feature ÷ users of the whole product that day",
    "fraction",
    "down",
    "users",
    "all_users",
)

METRICS_BY_NAME = {metric.name: metric for metric in (*METRICS, ADOPTION_RATE)}


METRIC_GROUPS = {
    "events": "volume",
    "users": "volume",
    "sessions": "volume",
    "adoption_rate": "volume",
    "crashes": "crash",
    "crash_rate": "crash",
    "crash_free_sessions": "crash",
    "crash_free_users": "crash",
    "errors": "error",
    "error_rate": "error",
    "latency_p50_ms": "latency",
    "latency_p95_ms": "latency",
    "latency_p99_ms": "latency",
    "latency_mean_ms": "latency",
    "apdex": "latency",
    "feedback_mean": "feedback",
}


TREND_METRICS = (
    "events",
    "users",
    "sessions",
    "error_rate",
    "crash_rate",
    "crash_free_sessions",
    "crash_free_users",
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_p99_ms",
    "apdex",
    "feedback_mean",
    "adoption_rate",
)
