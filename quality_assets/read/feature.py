"""Queries of one feature: its metrics day by day, its incidents, risk, releases, slices, and how far to trust them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from quality_assets.domain.events.metrics_sql import metrics_sql
from quality_assets.domain.features.attention import incident_order
from quality_assets.domain.features.settings import RELEASE_SHARE
from quality_assets.domain.features.slices import SLICE_DIMENSIONS
from quality_assets.read.reader import Reader, Row, per_snapshot
from quality_assets.read.worse import worse_by

EVENTS = "core.valid_events"
BASELINES = "monitoring.baseline_stats"
USER_DAYS = "core.user_feature_days"
CHART_METRICS = ("latency_p95_ms", "crash_rate", "error_rate", "users", "feedback_mean", "adoption_rate")

# The tables that a feature's numbers are made from, in the order of the flow.
TRUST_ASSETS = (
    "raw.raw_logs",
    "core.valid_events",
    "core.quarantined_events",
    "product.fact_feature_metrics",
    "product.feature_daily_trends",
    "product.incidents",
    "ml.risk_scores",
)

_TRENDS = """
select trend.event_date, trend.metric, trend.value, trend.expected, trend.expected_low, trend.expected_high,
  trend.change, trend.is_outside_band, {is_worse} as is_worse
from product.feature_daily_trends as trend {states}
where trend.feature = $feature and trend.event_date > $through - $days and trend.event_date <= $through
  and list_contains($metrics, trend.metric)
order by trend.metric, trend.event_date
"""

# Snapshots of before lack some; a page then says nothing of them.
_NEWER = (
    "end_kind", "users_today", "verdict", "verdict_sentence", "real_share", "renamed_to", "current_size", "real_change",
)  # fmt: skip

_INCIDENTS = """
select incident_id, event_name, metric, metrics, kind, scope, start_date, end_date, detected_on, severity, sentence,
  affected_users, slice_dimensions, slice_values, slice_share, slice_traffic_share, slice_status, size{newer}
from product.incidents
where feature = $feature{of_product}
order by end_date is not null, start_date desc, incident_id
limit 50
"""

CAUSES = "product.incident_causes"
_CAUSES = f"""
select incident_id, part, metric, unit, size, low, high, share, value_before, value_now, rows_used
from {CAUSES}
where feature = $feature
order by incident_id, part = 'real', abs(size) desc, part
"""

_LEDGER = """
select event_date, risk_probability, label_any, is_graded, squared_error, model_version
from ml.score_ledger
where feature = $feature
qualify row_number() over (
  partition by event_date order by try_cast(model_version as bigint) desc nulls last, model_version desc) = 1
order by event_date desc
limit 60
"""

RISK_PAST = "product.feature_metrics_with_risk"
_RISK_PAST = f"""
select event_date, risk_probability, risk_low as low, risk_high as high, score_kind,
  coalesce(is_backfilled, false) as is_backfilled, model_version, label_any, label_any is not null as is_graded,
  days_to_degradation, incident_ahead
from {RISK_PAST}
where feature = $feature and event_date > $through - $days and event_date <= $through
order by event_date
"""

_TRUST = """
with latest as (
  select asset, check_name, partition_key, status, severity, description, checked_at
  from monitoring.check_results
  where list_contains($assets, asset)
    and (partition_key = '' or partition_key between $first and $last)
  qualify row_number() over (partition by asset, check_name, partition_key order by checked_at desc, run_id) = 1
)
select asset, count(*) filter (where status = 'passed') as passed, count(*) filter (where status = 'failed') as failed,
  count(*) filter (where status = 'unknown') as unknown, count(distinct check_name) as checks,
  count(*) filter (where status = 'failed' and severity = 'ERROR') as errors, max(checked_at) as checked_at,
  list(distinct check_name) filter (where status = 'failed') as failing
from latest
group by asset
"""

_RELEASES = """
with daily as (
  select event_date, app_version, count(*) as events
  from core.valid_events
  where feature = $feature and event_date > $through - $days - 14 and event_date <= $through
    and app_version is not null
  group by event_date, app_version
),
shares as (select *, sum(events) over (partition by event_date) as all_events from daily)
select app_version, min(event_date) as event_date
from shares
where events >= $share * all_events
group by app_version
having min(event_date) > $through - $days and min(event_date) > (select min(event_date) from daily)
order by event_date desc, app_version
limit 12
"""

# Weeks are blocks of seven days that end with the last day. Who comes after more than half a year is new again.
_WEEKS = """
with used as (
  select distinct user_id, cast(floor(datediff('day', event_date, $through) / 7) as integer) as ago
  from core.user_feature_days
  where feature = $feature and event_date > $through - 182 and event_date <= $through
),
steps as (select user_id, ago, lag(ago) over (partition by user_id order by ago desc) as earlier from used)
select ago, count(*) as users, count(*) filter (where earlier = ago + 1) as retained,
  count(*) filter (where earlier > ago + 1) as resurrected, count(*) filter (where earlier is null) as new
from steps
group by ago
order by ago desc
"""

_STILL_ACTIVE = """
with before as (
  select distinct user_id
  from core.user_feature_days
  where feature = $feature and event_date > $through - 14 and event_date <= $through - 7
)
select count(distinct user_id) as users
from core.user_feature_days
where event_date > $through - 7 and event_date <= $through and user_id in (select user_id from before)
"""

_FILTERED_EVENTS = """(
  select e.*, coalesce(f.apdex_threshold_ms, 500.0) as apdex_threshold_ms
  from core.valid_events e left join product.dim_feature_metadata f on f.feature = e.feature
  where e.feature = $feature and e.event_date between $first and $last
    and ($platform is null or e.platform = $platform)
    and ($app_version is null or e.app_version = $app_version)
    and ($country is null or e.country = $country)
)"""

_PERIODS = "event_date >= $since as is_now from {} where event_date >= $since or event_date < $until"

_BY_DIMENSION = f"""(
  select *, unnest(['platform', 'app_version', 'country']) as dimension,
    unnest([platform, app_version, country]) as slice, null::varchar as dimension_2, null::varchar as slice_2,
    {_PERIODS.format(_FILTERED_EVENTS)}
)"""

_BY_PAIR = f"""(
  select *, unnest(['platform', 'platform', 'app_version']) as dimension,
    unnest([platform, platform, app_version]) as slice,
    unnest(['app_version', 'country', 'country']) as dimension_2, unnest([app_version, country, country]) as slice_2,
    {_PERIODS.format(_FILTERED_EVENTS)}
)"""


@per_snapshot
def trends(reader: Reader, feature: str, days: int) -> dict[str, list[Row]]:
    """Each chart's metric day by day with its expected band, by metric, over the last `days`."""
    found: dict[str, list[Row]] = {}
    if reader.has("product.feature_daily_trends") and reader.through:
        parameters = {"feature": feature, "days": days, "through": reader.through, "metrics": list(CHART_METRICS)}
        for row in reader.rows(_TRENDS.format_map(worse_by(reader)), parameters):
            found.setdefault(row["metric"], []).append(row)
    return found


@per_snapshot
def incidents(reader: Reader, feature: str) -> list[Row]:
    """The feature's incidents, open ones first, then the newest."""
    if not reader.has("product.incidents"):
        return []
    known = reader.columns("product.incidents")
    newer = "".join(f", {name}" if name in known else f", null as {name}" for name in _NEWER)
    of_product = " or list_contains(features, $feature)" if "features" in known else ""
    rows = reader.rows(_INCIDENTS.format(newer=newer, of_product=of_product), {"feature": feature})
    # Open ones stand in the order of the overview and of the run report; what is over is the newest first already.
    return sorted(rows, key=lambda row: (0, *incident_order(row)[:3]) if row["end_date"] is None else (1,))


@per_snapshot
def causes(reader: Reader, feature: str) -> dict[str, list[Row]]:
    """The parts of the change of each open incident of the feature, by incident_id, the largest first, real last."""
    if not reader.has(CAUSES):
        return {}
    found: dict[str, list[Row]] = {}
    for row in reader.rows(_CAUSES, {"feature": feature}):
        found.setdefault(row["incident_id"], []).append(row)
    return found


@per_snapshot
def silent_days_to_tell(reader: Reader, feature: str) -> int | None:
    """Days without any event of the feature after which that is beyond chance; None where it is not known."""
    if not reader.has(BASELINES):
        return None
    found = reader.rows(
        f"select silent_days_to_tell as days from {BASELINES} where feature = $feature and metric = 'events'",
        {"feature": feature},
    )
    return found[0]["days"] if found else None


@per_snapshot
def ledger(reader: Reader, feature: str) -> list[Row]:
    """The feature's last 60 scores and how they turned out, newest first."""
    return reader.rows(_LEDGER, {"feature": feature}) if reader.has("ml.score_ledger") else []


@per_snapshot
def risk_past(reader: Reader, feature: str, days: int) -> list[Row]:
    """The feature's risk on each of the last `days` with events, and what came within its days; oldest first.

    What no model said at the time is marked as backfilled. Empty in a snapshot of before risk had a past.
    """
    if not ("incident_ahead" in reader.columns(RISK_PAST) and reader.through):
        return []
    return reader.rows(_RISK_PAST, {"feature": feature, "days": days, "through": reader.through})


class TrackRecord(NamedTuple):
    """How graded scores turned out: their number, mean risk, share that degraded, and those that did."""

    graded: int
    predicted: float
    observed: float
    degraded: tuple[Row, ...]


def track_record(scores: Sequence[Row]) -> TrackRecord | None:
    """How the scores of a `ledger`, or of a `risk_past`, turned out; None while none is graded."""
    graded = [
        score
        for score in scores
        if score["is_graded"] and score["label_any"] is not None and score["risk_probability"] is not None
    ]
    if not graded:
        return None
    degraded = tuple(score for score in graded if score["label_any"])
    predicted = sum(score["risk_probability"] for score in graded) / len(graded)
    return TrackRecord(len(graded), predicted, len(degraded) / len(graded), degraded)


@per_snapshot
def trust(reader: Reader, days: int) -> dict[str, Row]:
    """What the checks of the partitions of the last `days` found, by asset; the latest result of each check counts."""
    if not (reader.has("monitoring.check_results") and reader.through):
        return {}
    parameters = {
        "assets": list(TRUST_ASSETS),
        "first": (reader.through - timedelta(days=days - 1)).isoformat(),
        "last": reader.through.isoformat(),
    }
    return {row["asset"]: row for row in reader.rows(_TRUST, parameters)}


@per_snapshot
def releases(reader: Reader, feature: str, days: int) -> list[Row]:
    """The last twelve app versions and the day on which each first carried a twentieth of the events, oldest first."""
    if not (reader.has(EVENTS) and reader.through):
        return []
    return reader.rows(
        _RELEASES, {"feature": feature, "days": days, "through": reader.through, "share": RELEASE_SHARE}
    )[::-1]


@per_snapshot
def weeks(reader: Reader, feature: str) -> list[Row]:
    """The feature's users week by week, oldest first: retained, resurrected after a pause, new. `ago` 0 is the last.

    The oldest week of the data is left out: who is new in it cannot be told. Empty where events name no user.
    """
    if not (reader.has(USER_DAYS, "product.fact_feature_metrics") and reader.through):
        return []
    first = reader.rows("select min(event_date) as day from product.fact_feature_metrics")[0]["day"]
    complete = ((reader.through - first).days + 1) // 7 if first else 0
    found = reader.rows(_WEEKS, {"feature": feature, "through": reader.through})
    return [row for row in found if row["ago"] < min(complete, 26) - 1]


@per_snapshot
def still_active(reader: Reader, feature: str) -> int:
    """How many of the users of the week before used anything of the product in the last week."""
    if not (reader.has(USER_DAYS) and reader.through):
        return 0
    return int(reader.rows(_STILL_ACTIVE, {"feature": feature, "through": reader.through})[0]["users"])


def _filters(filters: Mapping[str, str]) -> dict[str, str | None]:
    return {dimension: filters.get(dimension) for dimension in SLICE_DIMENSIONS}


@per_snapshot
def slices(
    reader: Reader, feature: str, since: date, until: date, filters: tuple[tuple[str, str], ...], *, pairs: bool = False
) -> list[Row]:
    """Metrics per platform, version and country, from `since` on and over the 28 days before `until`.

    One row per dimension, slice and period (`is_now`), at most the 40 largest a dimension; `filters` narrow the
    events to one slice. With `pairs`, one row per two dimensions, their two values and period, values that are not
    stated left out. Empty without events.
    """
    if not (reader.has(EVENTS, "product.dim_feature_metadata") and reader.through):
        return []
    keys = ["dimension", "slice", "dimension_2", "slice_2", "is_now"]
    parameters = _filters(dict(filters)) | {
        "feature": feature,
        "since": since,
        "until": until,
        "first": until - timedelta(days=28),
        "last": reader.through,
    }
    top = (
        f"select {', '.join(keys)}, events, users, crash_rate, error_rate, latency_p95_ms, latency_p99_ms"
        f" from ({metrics_sql(_BY_PAIR if pairs else _BY_DIMENSION, keys)})"
        f" {'where slice is not null and slice_2 is not null' if pairs else ''}"
        f" qualify row_number() over (partition by dimension, dimension_2, is_now"
        f" order by events desc, slice, slice_2) <= 40"
        f" order by dimension, events desc, slice, slice_2, dimension_2, is_now desc"
    )
    return reader.rows(top, parameters)


@per_snapshot
def slice_by_day(reader: Reader, feature: str, days: int, filters: tuple[tuple[str, str], ...]) -> list[Row]:
    """The chart's metrics day by day for one slice of the feature's events; adoption is not among them."""
    if not (reader.has(EVENTS, "product.dim_feature_metadata") and reader.through):
        return []
    parameters = _filters(dict(filters)) | {
        "feature": feature,
        "first": reader.through - timedelta(days=days - 1),
        "last": reader.through,
    }
    return reader.rows(f"{metrics_sql(_FILTERED_EVENTS, ['event_date'])} order by event_date", parameters)
