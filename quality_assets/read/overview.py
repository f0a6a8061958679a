"""Queries over all features at once: the overview's table, its summary figures, search. No single feature's detail."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from quality_assets.domain.features.attention import attention, attention_order, incident_order, needs_attention
from quality_assets.domain.features.status import (
    AT_RISK,
    LEAST_GRADED,
    STATUS_ORDER,
    WATCH,
    feature_status,
    users_affected,
)
from quality_assets.read.reader import Reader, Row, per_snapshot
from quality_assets.read.worse import worse_by

TRENDS = "product.feature_daily_trends"
FACTS = "product.fact_feature_metrics"
DESCRIPTIONS = "product.dim_feature_metadata"
INCIDENTS = "product.incidents"
SCORES = "ml.risk_scores"

SPARK_METRICS = ("latency_p95_ms", "crash_rate")

_DESCRIPTIONS = """
select feature, coalesce(display_name, feature) as display_name, owner, team, lifecycle_stage, tier, launched_on,
  slo_latency_p95_ms, slo_crash_rate, slo_error_rate, is_described, first_seen_date, last_seen_date
from product.dim_feature_metadata
order by feature
"""

_CURRENT = """
select trend.feature, trend.metric, trend.value, trend.expected, trend.expected_low, trend.expected_high, trend.change,
  {is_worse} as is_worse, trend.days_observed
from product.feature_daily_trends as trend {states}
where trend.event_date = $through
  and trend.metric in ('latency_p95_ms', 'crash_rate', 'error_rate', 'feedback_mean', 'events')
"""

_USAGE = """
select feature,
  avg(users) filter (where event_date > $through - $days) as users,
  avg(users) filter (where event_date <= $through - $days) as users_before,
  avg(adoption_rate) filter (where event_date > $through - $days) as adoption
from product.fact_feature_metrics
where event_date > $through - 2 * $days and event_date <= $through
group by feature
"""

# One character a point, 0–63 above '0' on the scale of the series and its band; a blank where there is no value.
_SPARKS = """
with points as (
  select feature, metric, event_date + cast(datediff('day', event_date, $through) % $step as integer) as bucket,
    avg(value) as value, avg(expected_low) as low, avg(expected_high) as high
  from product.feature_daily_trends
  where event_date > $through - $days and event_date <= $through and list_contains($metrics, metric)
  group by feature, metric, bucket
),
scaled as (
  select feature, metric, bucket, value, low, high,
    min(least(value, low)) over (partition by feature, metric) as bottom,
    nullif(max(greatest(value, high)) over (partition by feature, metric), bottom) - bottom as height
  from points
)
select feature, metric,
  string_agg(case when value is null then ' ' else chr(48 + cast(coalesce(63 * (value - bottom) / height, 32) as integer)) end, '' order by bucket) as line,
  string_agg(case when low is null then ' ' else chr(48 + cast(coalesce(63 * (low - bottom) / height, 32) as integer)) end, '' order by bucket) as low,
  string_agg(case when high is null then ' ' else chr(48 + cast(coalesce(63 * (high - bottom) / height, 32) as integer)) end, '' order by bucket) as high
from scaled
group by feature, metric
"""  # noqa: E501

# A later model never rewrites a score, so a day can have several: the newest version speaks.
_RISK_NOW = """
select feature, risk_probability, low, high, onset_probability, is_degraded_today, rank, expected_users_affected,
  reasons, note, score_kind, model_version, horizon_days
from ml.risk_scores
where event_date = (select max(event_date) from ml.risk_scores)
qualify row_number() over (
  partition by feature order by try_cast(model_version as bigint) desc nulls last, model_version desc) = 1
"""

# Snapshots of before lack some.
_NEWER = ("features", "users_today", "verdict", "real_share", "verdict_sentence", "current_size", "real_change")

_OPEN_INCIDENTS = """
select incident_id, feature, metric, kind, scope, start_date, end_date, detected_on, severity, sentence, affected_users,
  change, slice_status, slice_dimensions, slice_values, slice_share, slice_traffic_share, metrics, size{newer}
from product.incidents
where end_date is null
"""

RISK_PAST, LABELS = "product.feature_metrics_with_risk", "ml.degradation_labels"
_PASSES = f"""
select count(*) as days, avg(cast(not past.label_any as integer)) as share
from {RISK_PAST} as past join {LABELS} as labels using (event_date, feature)
where labels.is_degraded_today and past.label_any is not null and past.risk_probability < $limit
"""

_RISK_BY_DAY = """
select event_date, count(*) filter (where risk >= $threshold) as at_risk
from (
  select event_date, feature, max(risk_probability) as risk
  from ml.risk_scores
  where event_date > $through - $days - 1 and event_date <= $through
  group by all
)
group by event_date
order by event_date
"""

_INCIDENTS_BY_DAY = """
select day, count(incident_id) as open
from (select unnest(generate_series($through - $days + 1, $through, interval 1 day))::date as day) as days
left join product.incidents on start_date <= day and (end_date is null or end_date >= day)
group by day
order by day
"""

_TOTALS_BY_DAY = """
select event_date,
  sum(latency_p95_ms * users) / nullif(sum(users) filter (where latency_p95_ms is not null), 0) as p95_ms,
  sum(crashed_users) as crashed_users
from product.fact_feature_metrics
where event_date > $through - 2 * $days and event_date <= $through
group by event_date
order by event_date
"""


@dataclass(frozen=True)
class Total:
    """A total over all features: its days of the window, their mean, and the relative change of that mean.

    There is no change where the window before is not whole: part of it would compare different weekdays.
    """

    values: tuple[float | None, ...]
    mean: float | None
    change: float | None
    is_comparable: bool


def _window(reader: Reader, days: int) -> dict[str, object]:
    return {"through": reader.through, "days": days}


@per_snapshot
def descriptions(reader: Reader) -> dict[str, Row]:
    """What is known of each feature, by name; features without a description included."""
    if not reader.has(DESCRIPTIONS):
        return {}
    return {row["feature"]: row for row in reader.rows(_DESCRIPTIONS)}


def seen_features(rows: Iterable[Row]) -> list[Row]:
    """Those of features or descriptions that have ever sent an event: what pages and API count."""
    return [row for row in rows if row["last_seen_date"] is not None]


@per_snapshot
def current_metrics(reader: Reader) -> dict[str, dict[str, Row]]:
    """The last day's headline metrics against what was expected, by feature and metric."""
    found: dict[str, dict[str, Row]] = {}
    if reader.has(TRENDS) and reader.through:
        for row in reader.rows(_CURRENT.format_map(worse_by(reader)), {"through": reader.through}):
            found.setdefault(row["feature"], {})[row["metric"]] = row
    return found


@per_snapshot
def usage(reader: Reader, days: int) -> dict[str, Row]:
    """Mean users and adoption a day over the last `days`, and over as many days before, by feature."""
    if not (reader.has(FACTS) and reader.through):
        return {}
    return {row["feature"]: row for row in reader.rows(_USAGE, _window(reader, days))}


@per_snapshot
def sparks(reader: Reader, days: int) -> dict[tuple[str, str], Row]:
    """Line and expected band per feature and metric, encoded; at most 45 points each."""
    if not (reader.has(TRENDS) and reader.through):
        return {}
    parameters = _window(reader, days) | {"metrics": list(SPARK_METRICS), "step": 1 + (days - 1) // 45}
    return {(row["feature"], row["metric"]): row for row in reader.rows(_SPARKS, parameters)}


@per_snapshot
def risk_now(reader: Reader) -> dict[str, Row]:
    """The last day's risk by feature; empty while there is no model."""
    return {row["feature"]: row for row in reader.rows(_RISK_NOW)} if reader.has(SCORES) else {}


@per_snapshot
def passes_were_right(reader: Reader) -> float | None:
    """Of graded days on which a degraded feature had so little risk that it could pass, the share on which it did.

    None where there are too few of them.
    """
    if not reader.has(RISK_PAST, LABELS):
        return None
    row = reader.rows(_PASSES, {"limit": WATCH})[0]
    return row["share"] if row["days"] >= LEAST_GRADED else None


@per_snapshot
def open_incidents(reader: Reader) -> list[Row]:
    """Incidents without an end, worst first."""
    if not reader.has(INCIDENTS):
        return []
    known = reader.columns(INCIDENTS)
    newer = "".join(f", {name}" if name in known else f", null as {name}" for name in _NEWER)
    return sorted(reader.rows(_OPEN_INCIDENTS.format(newer=newer)), key=incident_order)


@per_snapshot
def detected_by_day(reader: Reader) -> dict[date, int]:
    """How many incidents were found on each day; days without any are left out."""
    if not reader.has(INCIDENTS):
        return {}
    rows = reader.rows("select detected_on, count(*) as n from product.incidents group by detected_on")
    return {row["detected_on"]: row["n"] for row in rows}


@per_snapshot
def risk_by_day(reader: Reader, days: int, threshold: float) -> list[Row]:
    """How many features were at or above `threshold`, per day of the window and the day before it."""
    if not (reader.has(SCORES) and reader.through):
        return []
    return reader.rows(_RISK_BY_DAY, _window(reader, days) | {"threshold": threshold})


@per_snapshot
def incidents_by_day(reader: Reader, days: int) -> list[Row]:
    """How many incidents were open, per day of the window."""
    if not (reader.has(INCIDENTS) and reader.through):
        return []
    return reader.rows(_INCIDENTS_BY_DAY, _window(reader, days))


@per_snapshot
def totals_by_day(reader: Reader, days: int) -> list[Row]:
    """User-weighted p95 latency in ms and users hit by a crash, per day of the window and of the one before."""
    if not (reader.has(FACTS) and reader.through):
        return []
    return reader.rows(_TOTALS_BY_DAY, _window(reader, days))


@per_snapshot
def total(reader: Reader, days: int, column: str) -> Total:
    """One column of `totals_by_day` over the window, against as many days before."""
    rows = totals_by_day(reader, days)
    now = [row for row in rows if reader.through and (reader.through - row["event_date"]).days < days]
    before = rows[: len(rows) - len(now)]
    mean, past, is_comparable = _mean(now, column), _mean(before, column), len(before) >= days
    change = mean / past - 1 if mean is not None and past and is_comparable else None
    return Total(tuple(row[column] for row in now), mean, change, is_comparable)


def _mean(rows: list[Row], column: str) -> float | None:
    values = [float(row[column]) for row in rows if row[column] is not None]
    return sum(values) / len(values) if values else None


@dataclass(frozen=True)
class AtRisk:
    """How many of the features that have a score are at risk: now, per day of the window, before it (if known)."""

    scored: int
    now: int
    by_day: tuple[int, ...]
    before: int | None


def at_risk(reader: Reader, days: int) -> AtRisk:
    """Features that are at risk by their newest scores; `scored` is 0 while there is no model."""
    known = [row["risk"]["risk_probability"] for row in features(reader, days) if row["risk"]]
    scored = [probability for probability in known if probability is not None]
    by_day = tuple(row["at_risk"] for row in risk_by_day(reader, days, AT_RISK))
    before = by_day[0] if len(by_day) > days else None
    return AtRisk(len(scored), sum(probability >= AT_RISK for probability in scored), by_day, before)


@per_snapshot
def features(reader: Reader, days: int) -> list[Row]:
    """Everything the overview says of each feature: description, state, risk, metrics, use.

    Those that need attention stand first, in the order of the run report; the others by state, then by users hit.
    """
    metrics, used, risks = current_metrics(reader), usage(reader, days), risk_now(reader)
    incidents: dict[str, list[Row]] = {}
    wide: dict[str, list[Row]] = {}
    for incident in open_incidents(reader):
        incidents.setdefault(incident["feature"], []).append(incident)
        for name in incident["features"] or ():
            if name != incident["feature"]:
                wide.setdefault(name, []).append(incident)
    rows = []
    for name, described in descriptions(reader).items():
        risk, current, faults = risks.get(name), metrics.get(name, {}), incidents.get(name, [])
        use = used.get(name, {})
        # What hits most of the product is said of each feature's state, and told once.
        every = [*faults, *wide.get(name, [])]
        status, reasons = feature_status(every, risk, current), attention(name, faults, risk)
        is_told = bool(faults) or not every
        rows.append(
            described
            | {
                "status": status,
                "needs_attention": is_told and needs_attention(reasons),
                "attention": reasons,
                "risk": risk,
                "incidents": faults,
                "metrics": current,
                "users": use.get("users"),
                "users_change": _change(use.get("users"), use.get("users_before")),
                "adoption": use.get("adoption"),
                "impact": users_affected(every, risk),
            }
        )
    return sorted(rows, key=_order)


def _change(now: float | None, before: float | None) -> float | None:
    return now / before - 1 if now and before else None


def _order(row: Row) -> tuple[object, ...]:
    *order, name = attention_order(row["attention"])
    state, users = STATUS_ORDER[row["status"]], -(row["impact"] or 0)
    return (False, *order, state, users, name) if row["needs_attention"] else (True, state, users, name)
