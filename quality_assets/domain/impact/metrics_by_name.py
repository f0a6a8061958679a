"""Metrics by name as SQL: what one user did within a window after exposure, and in the days before it.

The expressions aggregate events of one user that carry `in_window`, `is_before`, `exposed_on` (`user_values_sql` says
how). Arguments are bound as parameters; none stands in the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from quality_assets.contracts.metric_names import MetricName

BEFORE_DAYS = 14
"""How far back a person's own past is read, to take out of a result what was there before."""


@dataclass(frozen=True)
class EventsOfMetric:
    """The events that a metric is made of: all where both are empty, else by feature or event name."""

    feature: str = ""
    event_name: str = ""

    @property
    def text(self) -> str:
        """As a person would say it."""
        if self.event_name:
            return self.event_name if not self.feature else f"{self.event_name} of {self.feature}"
        return self.feature or "all events"


@dataclass(frozen=True)
class UserMetric:
    """A metric as aggregates over one user's events: `value` of the window, `before` of the days before exposure.

    A ratio has a `denominator` and its own past. `horizon_days`: after so many days from exposure a value is whole.
    `funnel` is answered by `conversions_sql`, and has no expressions; a quantile has none either.
    """

    metric: MetricName
    horizon_days: int
    value: str = ""
    before: str = ""
    denominator: str = ""
    denominator_before: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[EventsOfMetric, ...] = (EventsOfMetric(),)

    @property
    def is_ratio(self) -> bool:
        """Whether it is a sum over a sum, not a mean over people."""
        return bool(self.denominator)


# Aggregates of one user's events; {when} is `in_window` or `is_before`.
_MEANS = {
    "events": "count(*) filter ({when})",
    "errors": "count(*) filter (status = 'error' and {when})",
    "crashes": "count(*) filter (status = 'crash' and {when})",
    "feedback_count": "count(feedback_score) filter ({when})",
    "sessions": "count(distinct session_id) filter ({when})",
    "crash_free_users": "cast(count(*) filter (status = 'crash' and {when}) = 0 as integer)",
}
_RATIOS = {
    "error_rate": (_MEANS["errors"], _MEANS["events"]),
    "crash_rate": (_MEANS["crashes"], _MEANS["events"]),
    "crash_free_sessions": (
        "count(distinct session_id) filter ({when}) - count(distinct session_id) filter (status = 'crash' and {when})",
        _MEANS["sessions"],
    ),
    "latency_mean_ms": (
        "coalesce(sum(latency_ms) filter ({when}), 0)",
        "count(latency_ms) filter ({when})",
    ),
    "feedback_mean": ("coalesce(sum(feedback_score) filter ({when}), 0)", _MEANS["feedback_count"]),
    "apdex": (
        "count(*) filter (status = 'ok' and latency_ms <= apdex_threshold_ms and {when})"
        " + count(*) filter (status = 'ok' and latency_ms > apdex_threshold_ms"
        " and latency_ms <= 4 * apdex_threshold_ms and {when}) / 2.0",
        "count(*) filter ((latency_ms is not null or status <> 'ok') and {when})",
    ),
    "slow_share": (
        "count(*) filter (latency_ms > slo_latency_p95_ms and {when})",
        "count(*) filter (latency_ms is not null and slo_latency_p95_ms is not null and {when})",
    ),
}


def user_metric(
    metric: MetricName, index: int, window_days: int, completions: Sequence[tuple[str, str]] = ()
) -> UserMetric:
    """`metric` as expressions; `index` keeps its parameters apart from those of others.

    `completions` are (feature, event name) that end something, of which `completed:FEATURE` is made.
    """
    argument = f"argument_{index}"
    if metric.kind == "return":
        later = f"event_date > exposed_on and event_date <= exposed_on + {metric.days}"
        return UserMetric(
            metric,
            max(metric.days, window_days),
            value=f"cast(coalesce(bool_or({later}), false) as integer)",
            before="count(distinct event_date) filter (is_before)",
        )
    if metric.name in _RATIOS:
        above, below = _RATIOS[metric.name]
        return UserMetric(metric, window_days, *_by_time(above), *_by_time(below))
    if metric.name in _MEANS:
        return UserMetric(metric, window_days, *_by_time(_MEANS[metric.name]))
    if metric.kind in ("registry", "converted"):
        return UserMetric(metric, window_days)
    if metric.kind == "sum":
        number = f"try_cast(json_extract_string(properties, ${argument}) as double)"
        key = metric.argument.removeprefix("properties.").replace('"', '\\"')
        value, before = _by_time(f"coalesce(sum({number}) filter ({{when}}), 0)")
        return UserMetric(metric, window_days, value, before, parameters={argument: f'$."{key}"'})
    predicate, parameters, events = _matches(metric, argument, completions)
    value, before = _by_time(f"count(*) filter ({predicate} and {{when}})")
    value = value if metric.kind == "count" else f"cast({value} > 0 as integer)"
    return UserMetric(metric, window_days, value, before, parameters=parameters, events=events)


def _by_time(aggregate: str) -> tuple[str, str]:
    return aggregate.format(when="in_window"), aggregate.format(when="is_before")


def _matches(
    metric: MetricName, argument: str, completions: Sequence[tuple[str, str]]
) -> tuple[str, dict[str, Any], tuple[EventsOfMetric, ...]]:
    if metric.kind == "uses":
        return f"feature = ${argument}", {argument: metric.argument}, (EventsOfMetric(feature=metric.argument),)
    if metric.kind == "count":
        return f"event_name = ${argument}", {argument: metric.argument}, (EventsOfMetric(event_name=metric.argument),)
    names = [event for feature, event in completions if feature == metric.argument]
    predicate = f"feature = ${argument} and list_contains(${argument}_events, event_name)"
    found = tuple(EventsOfMetric(metric.argument, name) for name in names)
    return predicate, {argument: metric.argument, f"{argument}_events": names}, found
