"""SQL of funnels: which events are steps, who entered when, how far they came, and what that is a day.

Per day of entry a unit's first event of step 1 opens its entry; step k is the earliest event of it at or after step
k − 1, and before the end of the window, which is half open. Values are bound: `FunnelQuery.parameters`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from quality_assets.contracts.definitions import PROPERTY_MARK, SPLIT_COLUMNS, Funnel, Happening
from quality_assets.domain.impact.settings import FRESH_DAYS, MOST_WITHOUT_UNIT
from quality_assets.domain.stats.wilson_sql import wilson_high_sql, wilson_low_sql


@dataclass
class Bound:
    """Values that a query binds, named as they are asked for."""

    values: dict[str, object] = field(default_factory=dict)

    def mark(self, value: object) -> str:
        """The place of `value` in the query."""
        name = f"value_{len(self.values)}"
        self.values[name] = value
        return f"${name}"


def property_sql(key: str, bound: Bound) -> str:
    """A property of an event as text; null where properties are none, no JSON object, or without the key."""
    return f"json_extract_string(properties, {bound.mark(json_path(key))})"


def json_path(key: str) -> str:
    """The JSON path of one key, whatever is in its name."""
    return '$."' + key.replace('"', '\\"') + '"'


def named_sql(step: Happening, bound: Bound) -> str:
    """Whether an event is of the step's feature and name."""
    said = [("feature", step.feature), ("event_name", step.event_name)]
    return " and ".join(f"{column} = {bound.mark(value)}" for column, value in said if value is not None)


def _any_named_sql(funnel: Funnel, bound: Bound) -> str:
    """Whether an event may be one of the steps: asked of a column that all of them name, it skips most as it reads."""
    names = [step.event_name for step in funnel.steps if step.event_name is not None]
    if len(names) == len(funnel.steps):
        return f"event_name in ({', '.join(map(bound.mark, dict.fromkeys(names)))})"
    return " or ".join(f"({named_sql(step, bound)})" for step in funnel.steps)


def step_sql(step: Happening, bound: Bound) -> str:
    """Whether an event is the step; never null."""
    asked = [f"{property_sql(key, bound)} = {bound.mark(value)}" for key, value in step.where.items()]
    return f"coalesce({' and '.join([named_sql(step, bound), *asked])}, false)"


def lacks_property_sql(step: Happening, bound: Bound) -> str:
    """Whether an event is of the step's feature and name, and lacks a property that it asks for."""
    if not step.where:
        return "false"
    lacking = " or ".join(f"{property_sql(key, bound)} is null" for key in step.where)
    return f"coalesce({named_sql(step, bound)} and ({lacking}), false)"


def steps_sql(funnel: Funnel, events: str, sessions: str, automated: str, bound: Bound) -> str:
    """Events that are a step of `funnel`: event_date, unit, event_time, is_automated, `is_step_1` … and the splits.

    `sessions` are rows of core.user_sessions of the same dates: they name the session of an event that does not.
    `automated` has (event_date, user_id) of automated users.
    """
    flags = [f"{step_sql(step, bound)} as is_step_{n}" for n, step in enumerate(funnel.steps, start=1)]
    lacks = [f"{lacks_property_sql(step, bound)} as lacks_{n}" for n, step in enumerate(funnel.steps, start=1)]
    splits = [f"cast({_split_sql(name, bound)} as varchar) as split_{n}" for n, name in enumerate(funnel.segments)]
    wanted = " or ".join(f"is_step_{n} or lacks_{n}" for n in range(1, len(funnel.steps) + 1))
    chosen = f"""
select event_date, user_id, session_id, event_time, {", ".join([*flags, *lacks, *splits])}
from {events} where {_any_named_sql(funnel, bound)}
"""
    automated_sql = f"{automated} as automated on automated.event_date = e.event_date and automated.user_id = e.user_id"
    if funnel.unit == "user":
        unit, joined = "e.user_id", ""
    else:
        unit = "coalesce(e.session_id, s.session_key)"
        joined = f"""
asof left join (select * from {sessions} where is_derived) as s
  on s.user_id = e.user_id and s.event_date = e.event_date and s.started_at <= e.event_time"""
        # An event with a session of its own needs none that is derived.
    return f"""
select e.* exclude (user_id, session_id), {unit} as unit, automated.user_id is not null as is_automated
from (select * from ({chosen}) where {wanted}) as e {joined}
left join {automated_sql}
"""


def _split_sql(name: str, bound: Bound) -> str:
    if name.startswith(PROPERTY_MARK):
        return property_sql(name.removeprefix(PROPERTY_MARK), bound)
    return SPLIT_COLUMNS[name]


def step_days_sql(funnel: Funnel, steps: str, bound: Bound) -> str:
    """The rows of impact.funnel_step_days of `built` dates, from those of `steps_sql`, which are read once.

    A bit of `is_any` says that an event is that step, one of `lacks_any` that it lacks a property: counting by few
    numbers costs a fraction of counting each flag of each event.
    """
    every = range(1, len(funnel.steps) + 1)
    is_any = " | ".join(f"(cast(is_step_{n} as integer) << {n})" for n in every)
    lacks_any = " | ".join(f"(cast(lacks_{n} as integer) << {n})" for n in every)
    counted = f"""
  select event_date, ({is_any}) as is_any, ({lacks_any}) as lacks_any, unit is null as is_without_unit, is_automated,
    count(*) as events
  from {steps} group by all"""
    is_step = "(is_any >> step) & 1 = 1"
    return f"""
select event_date, {bound.mark(funnel.name)} as funnel, cast(step as integer) as step,
  coalesce(sum(events) filter (where {is_step}), 0) as events,
  coalesce(sum(events) filter (where {is_step} and is_without_unit), 0) as events_without_unit,
  coalesce(sum(events) filter (where {is_step} and is_automated), 0) as events_automated,
  coalesce(sum(events) filter (where (lacks_any >> step) & 1 = 1), 0) as events_without_property
from built cross join range(1, {len(funnel.steps) + 1}) as steps(step)
left join ({counted}) as counted using (event_date)
where event_date between $start and $end group by event_date, step
"""


def entries_sql(funnel: Funnel, steps: str, bound: Bound) -> str:
    """The rows of impact.funnel_entries for entries of `$start` to `$end`, from those of `steps_sql`.

    `$through_at` is the end of the last day of all. Units are followed by a number of 64 bits: to sort those costs a
    fraction of what names do.
    """
    splits = "".join(f", {_at_entry(f'split_{n}')} as split_{n}" for n in range(len(funnel.segments)))
    kept = "".join(f", split_{n}" for n in range(len(funnel.segments)))
    ends_at = f"at_1 + {bound.mark(funnel.window)}"
    queries = [
        f"""
entered_1 as (
  select event_date as entry_date, unit, any_value(key) as key, min(event_time) as at_1{splits}
  from usable where is_step_1 and event_date between $start and $end group by event_date, unit
)"""
    ]
    for n in range(2, len(funnel.steps) + 1):
        before = ", ".join(f"e.at_{k}" for k in range(1, n))
        queries.append(f"""
entered_{n} as (
  select e.entry_date, e.unit, e.key, {before},
    case when s.event_time < e.{ends_at} then s.event_time end as at_{n}{kept}
  from entered_{n - 1} as e
  asof left join (select key, event_time from usable where is_step_{n}) as s
    on s.key = e.key and s.event_time >= e.at_{n - 1}
)""")
    last = len(funnel.steps)
    times = ", ".join(f"at_{n}" for n in range(1, last + 1))
    names = ", ".join(bound.mark(name) for name in funnel.segments)
    values = ", ".join(f"split_{n}" for n in range(len(funnel.segments)))
    # A map of no keys has no types of its own.
    said = f"map([{names}], [{values}])" if funnel.segments else "cast(map {} as map(varchar, varchar))"
    return f"""
with usable as (select *, hash(unit) as key from {steps} where unit is not null and not is_automated),
{",".join(queries)}
select entry_date, {bound.mark(funnel.name)} as funnel, unit,
  list_filter([{times}], lambda x: x is not null) as step_at,
  cast(len(list_filter([{times}], lambda x: x is not null)) as integer) as reached, {said} as segments,
  {ends_at} <= $through_at as is_final
from entered_{last}
order by entry_date, unit
"""


def _at_entry(split: str) -> str:
    """The value at the first event, also where that is null; of several at one time, the first by name."""
    known = f"coalesce({split}, '')"
    return f"nullif(arg_min({known}, (event_time, {known})), '')"


def funnel_days_sql(funnel: Funnel, entries: str, bound: Bound) -> str:
    """The rows of impact.funnel_days for entries of `$start` to `$end`.

    A step whose event nobody made from 27 days before until the window's end is dead: its rate is not known, nor is it
    where most of its events are nobody's. While the window of any entry is open, no rate is: who is slow would count as
    lost.
    """
    last = len(funnel.steps)
    reach = funnel.reach_days
    name = bound.mark(funnel.name)
    split = f"""
  select entry_date, null as segment, null as value, step_at, reached, is_final from {entries}
  union all
  select entry_date, entry.key, entry.value, step_at, reached, is_final
  from (select *, unnest(map_entries(segments)) as entry from {entries})
"""
    return f"""
with split as ({split}),
stepped as (
  select entry_date, segment, value, cast(step as integer) as step, count(*) as entered,
    count(*) filter (where reached >= step) as reached,
    count(*) filter (where reached < step and not is_final) as open,
    bool_and(is_final) as is_final,
    median(epoch(step_at[step]) - epoch(step_at[1])) filter (where reached >= step) as median_s,
    quantile_cont(epoch(step_at[step]) - epoch(step_at[1]), 0.9) filter (where reached >= step) as p90_s
  from split cross join range(1, {last + 1}) as steps(step) group by entry_date, segment, value, step
),
seen as (
  select entry_date, step, sum(events) > 0 and sum(events_without_unit) <= {MOST_WITHOUT_UNIT} * sum(events) as is_alive
  from (select distinct entry_date from stepped)
  join impact.funnel_step_days as days on days.funnel = {name}
    and days.event_date between entry_date - {FRESH_DAYS - 1} and entry_date + {reach}
  group by entry_date, step
),
compared as (
  select stepped.*, is_alive and stepped.is_final as is_known,
    lag(stepped.reached) over (partition by stepped.entry_date, segment, value order by step) as reached_before
  from stepped join seen using (entry_date, step)
)
select entry_date, {name} as funnel, segment, value, step, entered, reached,
  case when is_known then reached / entered end as from_start,
  case when is_known then reached / nullif(reached_before, 0) end as from_previous,
  case when is_known then {wilson_low_sql("reached", "entered")} end as low,
  case when is_known then {wilson_high_sql("reached", "entered")} end as high,
  median_s, p90_s, open, is_final
from compared
"""
