"""Each metric of each feature against its own past, as one query over the daily facts.

The expectation of a day is the median of the same weekday in the 28 days before it, of all days until there are three
such; the band around it is ± 4 robust standard deviations of how far past days lay from their own expectations, and
never narrower than what chance alone does: to a count, to the bad events behind a share (by the share of all 28 days,
as the median of rare events is 0), to a mean or quantile of so few values. Everything looks back only.
"""

from __future__ import annotations

from quality_assets.contracts.metrics import METRICS_BY_NAME, TREND_METRICS, Metric
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.domain.series.panel import metric_family, sample_column
from quality_assets.domain.series.scale import chance_margin_sql
from quality_assets.domain.series.settings import DEFAULT_BAND, MAD_TO_SIGMA, Past

HISTORY_DAYS = DEFAULT_BAND.history_days
_METRICS = tuple(METRICS_BY_NAME[name] for name in TREND_METRICS)


def _chance_margin(metric: Metric) -> str:
    """How far chance takes the metric from `usual`, over that and `sample_size`; never less than a share of it."""
    floor = f"{DEFAULT_BAND.sigmas * DEFAULT_BAND.relative_floor} * abs(usual)"
    chance = chance_margin_sql(metric, "usual", "sample_size", DEFAULT_BAND.sigmas)
    return floor if chance is None else f"greatest({chance}, {floor})"


def _usual(past: str) -> str:
    """What is usual of `observed`: of a share that of all events of the past, else the expectation."""
    names = ", ".join(f"'{m.name}'" for m in _METRICS if metric_family(m) == "rate")
    pooled = f"list_sum(list(value * sample_size) over ({past})) / nullif(list_sum(list(case when value is not null"
    return f"""case when metric in ({names})
      then coalesce({pooled} then sample_size end) over ({past})), 0), expected)
      else expected end"""


def trends_sql() -> str:
    """The query for the rows of product.feature_daily_trends with `$start` ≤ event_date ≤ `$end`.

    Reads the facts of `HISTORY_DAYS` before `$start` too, and all of them for when a feature was first seen. A day
    on which the feature has no event counts 0 events when other features have some, and is null for every other
    metric.
    """
    return f"""
with {_observed_sql()},
{_band_sql()}
select event_date, feature, metric, value, baseline_7d, baseline_28d, expected, expected_low, expected_high,
  value / nullif(expected, 0) - 1 as change,
  days_observed,
  value < expected_low or value > expected_high as is_outside_band,
  case when value is not null and expected_low is not null then {_worse_sql()} end as is_worse
from edges
"""


def _observed_sql() -> str:
    """`observed`: event_date, feature, metric, value and sample_size, on every day since the feature was first seen."""
    unpivoted = "\n  union all ".join(
        f"select event_date, feature, '{m.name}' as metric, cast({m.name} as double) as value,"
        f" cast({sample_column(m) or 'events'} as double) as sample_size from daily"
        for m in _METRICS
    )
    fact = FACT_FEATURE_METRICS.qualified_name
    return f"""first_seen as (
  select feature, min(event_date) as first_date from {fact} group by feature
),
days as (
  select distinct event_date from {fact} where event_date between $start - {HISTORY_DAYS} and $end
),
daily as (
  select days.event_date, first_seen.feature, fact.* exclude (event_date, feature, events),
    coalesce(fact.events, 0) as events
  from days join first_seen on days.event_date >= first_seen.first_date
  left join {fact} as fact on fact.event_date = days.event_date and fact.feature = first_seen.feature
),
observed as (
  {unpivoted}
)"""


def _band_sql() -> str:
    """`edges`: what is observed, with baselines, expectation and both edges of the band."""
    band, past, week = DEFAULT_BAND, DEFAULT_BAND.past.sql_range, Past(window_days=7, minimum_days=1).sql_range
    chance = " ".join(f"when '{m.name}' then {_chance_margin(m)}" for m in _METRICS)
    series = "partition by feature, metric order by event_date"
    same_weekday = "partition by feature, metric, isodow(event_date) order by event_date"
    # A windowed avg adds up in an order that depends on where the partition begins, and the last bit with it; a list's
    # order is that of the days, so a day built alone is the same as one built in a range.
    return f"""expected as (
  select *,
    list_avg(list(value) over ({series} {week})) as baseline_7d,
    list_avg(list(value) over ({series} {past})) as baseline_28d,
    cast(count(value) over ({series} {past}) as integer) as days_observed,
    case when count(value) over ({same_weekday} {past}) >= {band.min_same_weekdays}
      then median(value) over ({same_weekday} {past})
      else median(value) over ({series} {past}) end as expected
  from observed
),
spread as (
  select *,
    {MAD_TO_SIGMA} * median(abs(value - expected)) over ({series} {past}) as past_sigma,
    {_usual(f"{series} {past}")} as usual
  from expected
  qualify event_date between $start and $end
),
banded as (
  select *,
    case when days_observed >= {band.past.minimum_days} then {band.sigmas} * past_sigma end as margin,
    case when days_observed >= {band.past.minimum_days} then case metric {chance} end end as chance_margin
  from spread
),
edges as (
  select *,
    case when coalesce(margin, chance_margin) is not null
      then greatest(least(expected - margin, usual - chance_margin), 0) end as expected_low,
    greatest(expected + margin, usual + chance_margin) as expected_high
  from banded
)"""


def _worse_sql() -> str:
    """Whether a value of `edges` lies outside of its band on the side that hurts."""
    sides = {"up": "value > expected_high", "down": "value < expected_low"}
    names = {side: [m.name for m in _METRICS if m.bad_direction == side] for side in sides}
    return " or ".join(
        f"(metric in ({', '.join(repr(name) for name in names[side])}) and {beyond})" for side, beyond in sides.items()
    )
