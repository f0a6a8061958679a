"""SQL of sessions and user days, from the events of one day and the last half hour before it.

Everything is one pass over the events: first by user, session and feature, then by session, by user and by feature.
"""

from __future__ import annotations

from quality_assets.domain.impact.settings import IDLE_MINUTES, MOST_EVENTS_A_DAY

# Time and attributes as one number, so that the first and the last of them are a minimum and a maximum: two events in
# one second are told apart by what they say, whatever order their rows came in.
_MOMENT = "(cast(epoch_us(event_time) as hugeint) << 64) + hash(platform, device_type, country, app_version)"
_ATTRIBUTES = "hash(platform, device_type, country, app_version)"


def moment_at(moment: str) -> str:
    """The time of a moment."""
    return f"make_timestamp(cast({moment} >> 64 as bigint))"


def attributes_of(moment: str) -> str:
    """The hash of what a moment's event said of its user."""
    return f"cast({moment} & 18446744073709551615 as ubigint)"


def attributes_sql(events: str) -> str:
    """Every combination of platform, device, country and version in `events`, by its hash."""
    return f"""
select distinct {_ATTRIBUTES} as attributes, platform, device_type, country, app_version
from {events} where user_id is not null
"""


def feature_sessions_sql(events: str) -> str:
    """One row per user, session and feature of one day of `events`; sessions that events do not name are derived."""
    measured = f"""
select user_id, feature, status, event_time, feedback_score, session_id, {_MOMENT} as moment
from {events} where user_id is not null"""
    # Each half is a scan of its own: what both read would be held in memory.
    return f"""
with spaced as (
  select *, case when event_time <= lag(event_time) over by_user + interval {IDLE_MINUTES} minutes then 0 else 1 end
    as is_start
  from ({measured} and session_id is null)
  window by_user as (partition by user_id order by event_time)
),
numbered as (
  select * exclude (is_start), sum(is_start) over (partition by user_id order by event_time) as number from spaced
)
select user_id, session_id as session_key, false as is_derived, feature, {_COUNTED_SQL}
from ({measured} and session_id is not null) group by user_id, session_id, feature
union all
select user_id, session_key, true, feature, {_COUNTED_SQL}
from (
  select *, user_id || '@' || min(epoch_us(event_time)) over (partition by user_id, number) as session_key from numbered
)
group by user_id, session_key, feature
"""


_COUNTED_SQL = """
  count(*) as events, count(case when status = 'error' then 1 end) as errors,
  count(case when status = 'crash' then 1 end) as crashes, sum(feedback_score) as feedback_sum,
  count(feedback_score) as feedback_count, min(moment) as first_moment, max(moment) as last_moment"""


def sat_sql(feature_sessions: str, before: str) -> str:
    """One row per user and session of the day, from those of `feature_sessions_sql`; what was said comes last of all.

    `before` are the events of the last idle minutes of the day before. A named session goes on if it was seen there, a
    derived one if its user's last event there is near enough.
    """
    return f"""
with sessions as (
  select user_id, session_key, is_derived, sum(events) as events, count(*) as features, sum(errors) as errors,
    sum(crashes) as crashes, sum(feedback_sum) as feedback_sum, sum(feedback_count) as feedback_count,
    min(first_moment) as first_moment, max(last_moment) as last_moment
  from {feature_sessions} group by user_id, session_key, is_derived
),
earlier as (
  select user_id, session_id, max(event_time) as last_at from {before} where user_id is not null
  group by user_id, session_id
)
select sessions.*,
  (not is_derived or {moment_at("first_moment")} <= last_at + interval {IDLE_MINUTES} minutes)
    and last_at is not null as is_continued
from sessions left join earlier on earlier.user_id = sessions.user_id
  and earlier.session_id is not distinct from case when is_derived then null else session_key end
"""


def user_sessions_sql(sat: str, attributes: str, day: str) -> str:
    """The rows of core.user_sessions of `day`, a date as SQL, from those of `sat_sql` and `attributes_sql`."""
    return f"""
select {day} as event_date, user_id, session_key, {moment_at("first_moment")} as started_at,
  {moment_at("last_moment")} as ended_at, cast(events as bigint) as events, features,
  cast(errors as bigint) as errors, cast(crashes as bigint) as crashes, is_derived, is_continued,
  platform, device_type as device, country, app_version as version
from {sat} join {attributes} as said on {attributes_of("first_moment")} = said.attributes
"""


def user_days_sql(feature_sessions: str, sat: str, attributes: str, day: str) -> str:
    """The rows of core.user_days from those of `sat_sql`; who sat down once used the features of that session.

    The features of all others are told apart in those of `feature_sessions_sql`.
    """
    return f"""
with days as (
  select user_id, count(*) as parts, count(*) filter (where not is_continued) as sessions, sum(events) as events,
    sum(features) as features, sum(errors) as errors, sum(crashes) as crashes,
    sum(epoch({moment_at("last_moment")}) - epoch({moment_at("first_moment")})) as engaged_s,
    sum(feedback_sum) / nullif(sum(feedback_count), 0) as feedback, max(last_moment) as last_moment
  from {sat} group by user_id
),
several as (
  select user_id, count(distinct feature) as features
  from {feature_sessions} where user_id in (select user_id from days where parts > 1) group by user_id
)
select {day} as event_date, days.user_id, sessions, cast(days.events as bigint) as events,
  cast(coalesce(several.features, days.features) as bigint) as features, engaged_s,
  cast(days.errors as bigint) as errors, cast(days.crashes as bigint) as crashes, feedback, platform, country,
  app_version as version, days.events > {MOST_EVENTS_A_DAY} as is_automated
from days left join several using (user_id)
join {attributes} as said on {attributes_of("last_moment")} = said.attributes
"""


def feature_session_days_sql(feature_sessions: str, day: str) -> str:
    """The rows of core.feature_session_days from those of `feature_sessions_sql`."""
    return f"""
with timed as (
  select feature, events,
    case when events > 1 then cast((last_moment >> 64) - (first_moment >> 64) as double) / 1e6 end as duration_s
  from {feature_sessions}
)
select {day} as event_date, feature, count(*) as sessions, count(*) filter (where events = 1) as one_event_sessions,
  avg(events) as events_mean, cast(median(events) as double) as events_median, median(duration_s) as duration_median_s,
  quantile_cont(duration_s, 0.9) as duration_p90_s
from timed group by feature
"""


DIM_USERS_SQL = """
with lived as (
  select user_id, min(event_date) as first_seen_date, max(event_date) as last_seen_date, count(*) as active_days,
    cast(sum(sessions) as bigint) as sessions, cast(sum(events) as bigint) as events,
    arg_max(country, event_date) as country, arg_max(version, event_date) as version,
    bool_or(is_automated) as is_automated
  from core.user_days group by user_id
),
places as (
  select user_id, arg_max(platform, (days, platform)) as main_platform
  from (select user_id, platform, count(*) as days from core.user_days where platform is not null group by all)
  group by user_id
),
used as (
  select user_id, count(*) as features_used from core.first_uses where feature <> '*' group by user_id
)
select user_id, first_seen_date, last_seen_date, active_days, sessions, events,
  coalesce(features_used, 0) as features_used, main_platform, country, version, is_automated
from lived left join places using (user_id) left join used using (user_id)
"""
"""Everybody who was ever there; asked of the user days whenever it is read."""
