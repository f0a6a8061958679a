"""SQL of experiments: who saw which arm, what each of them did, what of an arm was lost. Text only.

`tables/impact_experiments.py` binds `$start`, `$end`, `$experiment`, `$arms` and runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quality_assets.domain.impact.metrics_by_name import BEFORE_DAYS, EventsOfMetric, UserMetric

UNNAMED = "unnamed"
"""The experiment of a variant that names none."""
AUTOMATED_EVENTS_A_DAY = 2000

VARIANT_EXPERIMENT = "case when instr(variant, ':') > 0 then split_part(variant, ':', 1) else 'unnamed' end"
VARIANT_ARM = "case when instr(variant, ':') > 0 then substr(variant, instr(variant, ':') + 1) else variant end"


def arm_sql(in_property: bool) -> str:
    """The arm that an event shows of `$experiment`, null where it shows none; of a property, `$arm_path` names it."""
    if in_property:
        return "json_extract_string(properties, $arm_path)"
    return f"case when {VARIANT_EXPERIMENT} = $experiment then {VARIANT_ARM} end"


def exposures_sql(events: str, user_days: str, in_property: bool) -> str:
    """One row per user of `events` who saw an arm from `$start` to `$end`: the first arm, when, how many, why left out.

    `user_days` is core.user_feature_days; `$arms` are the declared arms, null where any will do.
    """
    return f"""
with shown as (
  select user_id, event_time, event_date, {arm_sql(in_property)} as arm, platform, app_version, country
  from {events} where event_date between $start and $end and user_id is not null
),
seen as (
  select user_id, arg_min(arm, (event_time, arm)) as arm, min(event_time) as exposed_at,
    count(distinct arm) as arms_seen, arg_min(platform, event_time) as platform,
    arg_min(app_version, event_time) as app_version, arg_min(country, event_time) as country
  from shown where arm is not null and arm <> '' group by user_id
),
days as (
  select user_id, event_date, sum(events) as events from {user_days}
  where event_date between $start - {BEFORE_DAYS} and $end and user_id in (select user_id from seen)
  group by user_id, event_date
),
known as (
  select user_id, max(events) as most_events,
    bool_or(event_date < cast(exposed_at as date) and event_date >= cast(exposed_at as date) - {BEFORE_DAYS})
      as is_existing
  from days join seen using (user_id) group by user_id
)
select user_id, arm, exposed_at, cast(arms_seen as integer) as arms_seen,
  case when arms_seen > 1 then 'several arms'
    when $arms is not null and not list_contains($arms, arm) then 'arm not declared'
    when most_events > {AUTOMATED_EVENTS_A_DAY} then 'automated' end as reason_excluded,
  platform, app_version, country, coalesce(is_existing, false) as is_existing
from seen left join known using (user_id)
order by user_id
"""


def without_user_sql(events: str, in_property: bool) -> str:
    """How many events show an arm and name no user."""
    return (
        f"select count(*) from (select {arm_sql(in_property)} as arm from {events}"
        " where event_date between $start and $end and user_id is null) where arm is not null and arm <> ''"
    )


def undeclared_sql(events: str) -> str:
    """(experiment, first date, last date) of what stands in `variant`, from `$start` to `$end`."""
    return f"""
select {VARIANT_EXPERIMENT} as experiment, min(event_date) as first_date, max(event_date) as last_date
from {events} where event_date between $start and $end and variant is not null and variant <> ''
group by 1 order by 1
"""


def user_values_sql(exposures: str, events: str, descriptions: str, metrics: Sequence[UserMetric]) -> str:
    """What each exposed user did: user_id, arm, exposed_on, and per metric `value_N`, `before_N`, of ratios `below_N`,
    `below_before_N`.

    `exposures` has user_id, arm and exposed_at of those who are not left out; `$window_days` is how long results look,
    `$start` the first day of exposure, `$through` the last day of all. Windows are half open: [exposed_at, + window).
    """
    columns = "".join(f",\n  {text} as {name}" for name, text in _value_columns(metrics))
    reach = max([metric.horizon_days for metric in metrics], default=1)
    return f"""
with people as (select user_id, arm, exposed_at, cast(exposed_at as date) as exposed_on from {exposures}),
described as (select feature, apdex_threshold_ms as own_apdex_ms, slo_latency_p95_ms from {descriptions}),
around as (
  select people.user_id as person, arm, exposed_on, events.*,
    coalesce(own_apdex_ms, $apdex_threshold_ms) as apdex_threshold_ms, slo_latency_p95_ms,
    event_time >= exposed_at and event_time < exposed_at + to_days($window_days) as in_window,
    event_time < exposed_at and event_time >= exposed_at - to_days({BEFORE_DAYS}) as is_before
  from people left join (
    select * from {events} where event_date >= $start - {BEFORE_DAYS} and event_date <= $through
  ) as events on events.user_id = people.user_id
    and events.event_date between exposed_on - {BEFORE_DAYS} and exposed_on + {reach}
  left join described using (feature)
)
select person as user_id, any_value(arm) as arm, any_value(exposed_on) as exposed_on{columns}
from around group by person order by person
"""


def _value_columns(metrics: Sequence[UserMetric]) -> list[tuple[str, str]]:
    named = []
    for index, metric in enumerate(metrics):
        if not metric.value:
            continue
        named += [(f"value_{index}", metric.value), (f"before_{index}", metric.before)]
        if metric.is_ratio:
            named += [(f"below_{index}", metric.denominator), (f"below_before_{index}", metric.denominator_before)]
    return named


def quantiles_sql(exposures: str, events: str, quantile: float) -> str:
    """(arm, quantile of latency_ms over the events of its people in their windows): shown, not tested."""
    return f"""
select arm, quantile_cont(latency_ms, {quantile}) as value
from {exposures} as people join {events} as events
  on events.user_id = people.user_id and event_time >= exposed_at and event_time < exposed_at + to_days($window_days)
where event_date between $start and $through and latency_ms is not null
group by arm
"""


def conversions_sql(exposures: str, events: str, steps: Sequence[dict[str, Any]]) -> str:
    """(user_id, converted 0 or 1): the steps of a funnel in order, from each person's first first step after exposure.

    A step is {feature, event_name, where}; `$funnel_seconds` is the funnel's window, `$window_days` the experiment's. A
    step may come in the same instant as the one before.
    """
    matched = ", ".join(f"{_step_predicate(index, step)} as is_step_{index}" for index, step in enumerate(steps))
    chain = [
        """reached_0 as (
  select people.user_id, exposed_at, min(event_time) as at_first, min(event_time) as reached_at
  from people left join events on events.user_id = people.user_id and is_step_0
    and event_time >= exposed_at and event_time < exposed_at + to_days($window_days)
  group by people.user_id, exposed_at
)"""
    ]
    chain += [
        f"""reached_{index} as (
  select before.user_id, exposed_at, at_first, min(event_time) as reached_at
  from reached_{index - 1} as before left join events on events.user_id = before.user_id and is_step_{index}
    and event_time >= before.reached_at
    and event_time < least(at_first + to_seconds($funnel_seconds), exposed_at + to_days($window_days))
  group by before.user_id, exposed_at, at_first
)"""
        for index in range(1, len(steps))
    ]
    links = ",\n".join(chain)
    return f"""
with people as (select user_id, exposed_at from {exposures}),
events as (
  select user_id, event_time, {matched} from {events}
  where event_date between $start and $through and user_id in (select user_id from people)
),
{links}
select user_id, cast(reached_at is not null as integer) as converted from reached_{len(steps) - 1} order by user_id
"""


def _step_predicate(index: int, step: dict[str, Any]) -> str:
    parts = [f"{column} = $step_{index}_{column}" for column in ("feature", "event_name") if step.get(column)]
    parts += [
        f"json_extract_string(properties, $step_{index}_path_{n}) = $step_{index}_value_{n}"
        for n in range(len(step.get("where") or {}))
    ]
    return f"({' and '.join(parts) or 'false'})"


def step_parameters(steps: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What `conversions_sql` binds for its steps."""
    found: dict[str, Any] = {}
    for index, step in enumerate(steps):
        found |= {f"step_{index}_{column}": step[column] for column in ("feature", "event_name") if step.get(column)}
        for n, (key, value) in enumerate((step.get("where") or {}).items()):
            escaped = str(key).replace('"', '\\"')
            found |= {f"step_{index}_path_{n}": f'$."{escaped}"', f"step_{index}_value_{n}": str(value)}
    return found


def arrived_sql(exposures: str, events: str, asked: EventsOfMetric) -> tuple[str, dict[str, str]]:
    """(arm, events that arrived whole) of one kind of event, of exposed people from `$start` to `$through`; parameters.

    `exposures` has user_id and arm.
    """
    where, parameters = _asked(asked)
    return (
        f"select arm, count(*) as events from {events} as events join {exposures} as people using (user_id)"
        f" where event_date between $start and $through{where} group by arm",
        parameters,
    )


def _asked(asked: EventsOfMetric) -> tuple[str, dict[str, str]]:
    given = {"asked_feature": asked.feature, "asked_event": asked.event_name}
    parameters = {name: value for name, value in given.items() if value}
    columns = {"asked_feature": "feature", "asked_event": "event_name"}
    return "".join(f" and {columns[name]} = ${name}" for name in parameters), parameters


def lost_sql(exposures: str, quarantined: str, in_property: bool, asked: EventsOfMetric) -> str:
    """(arm, refused rows) of one kind of event from `$start` to `$through`; arm null where it cannot be told.

    `quarantined` has event_date, file_id, reasons, feature, event_name, user_id, variant and properties as far as they
    could be read from the row. A row whose only fault is that it came twice is no loss. The arm is that of the row's
    user; of somebody who is not known by then, that which the row shows.
    """
    where, _ = _asked(asked)
    # What event it was cannot be read of every row: those count as unreadable, of no arm.
    return f"""
select coalesce(people.arm, case when list_contains($arms, shown) then shown end) as arm, count(*) as events
from (
  select user_id, {arm_sql(in_property)} as shown from {quarantined}
  where event_date between $start and $through and reasons <> ['duplicate_event_id']{where}
) as refused left join {exposures} as people using (user_id)
group by 1
"""
