"""SQL of engagement: depth and duration from sessions, completion from funnels, sharing from its events."""

from __future__ import annotations

from quality_assets.contracts.definitions import Sharing
from quality_assets.contracts.impact import INVITED_WITHIN_DAYS
from quality_assets.domain.impact.funnels import Bound, property_sql, step_sql


def sharing_sql(sharing: Sharing, events: str, bound: Bound) -> str:
    """(event_date, feature, share_rate, k_factor) of `$start` to `$end`; `events` go on for the days of an invitation.

    Where nobody who came in the days of an invitation named an inviter, K is not known: it is not said, or not there.
    Shares are those of who saw a result that day. Whoever joins and names an inviter is attributed to the inviter's
    last share before, and counts for the day of that share.
    """
    feature = bound.mark(sharing.share.feature) if sharing.share.feature else "feature"
    invited = "select null as user_id, null as inviter, null as joined_date where false"
    if sharing.inviter:
        named = property_sql(sharing.inviter, bound)
        invited = f"""
select e.user_id, arg_min({named}, (event_time, {named})) as inviter, joined_date
from {events} as e join core.first_uses as f on f.user_id = e.user_id
where f.feature = '*' and f.joined_date = e.event_date and {named} is not null group by e.user_id, joined_date
"""
    k_factor = (
        f"case when shared.event_date + {INVITED_WITHIN_DAYS} <= $through and exists (select 1 from invited"
        f" where joined_date between shared.event_date and shared.event_date + {INVITED_WITHIN_DAYS})"
        " then coalesce(attributed.users, 0) / nullif(shared.sharers, 0) end"
    )
    return f"""
with acted as (
  select event_date, {feature} as feature, user_id, bool_or({step_sql(sharing.share, bound)}) as is_sharer,
    bool_or({step_sql(sharing.result, bound)}) as is_shown
  from {events} where user_id is not null and ({step_sql(sharing.share, bound)} or {step_sql(sharing.result, bound)})
  group by all
),
shared as (
  select event_date, feature, count(*) filter (where is_sharer) as sharers,
    count(*) filter (where is_sharer and is_shown) / nullif(count(*) filter (where is_shown), 0) as share_rate
  from acted group by event_date, feature
),
invited as ({invited}),
attributed as (
  select share.event_date, share.feature, count(*) as users
  from invited asof join (select * from acted where is_sharer) as share
    on share.user_id = invited.inviter and share.event_date <= invited.joined_date
  where invited.joined_date <= share.event_date + {INVITED_WITHIN_DAYS} and invited.user_id <> invited.inviter
  group by share.event_date, share.feature
)
select shared.event_date, shared.feature, share_rate,
  {k_factor if sharing.inviter else "cast(null as double)"} as k_factor
from shared left join attributed using (event_date, feature)
where shared.event_date between $start and $end
"""


def engagement_days_sql(sharing: str) -> str:
    """The rows of impact.engagement_days of `$start` to `$end`; `sharing` are those of `sharing_sql`.

    `completing` has (feature, funnel, step): the funnel that speaks for a feature, and its last step.
    """
    return f"""
select days.event_date, days.feature, sessions, one_event_sessions, events_mean as events_per_session_mean,
  events_median as events_per_session_median, duration_median_s, duration_p90_s,
  done.from_start as completion_rate, share_rate, k_factor
from core.feature_session_days as days
left join completing using (feature)
left join impact.funnel_days as done on done.funnel = completing.funnel and done.step = completing.step
  and done.entry_date = days.event_date and done.segment is null
left join ({sharing}) as shared on shared.event_date = days.event_date and shared.feature = days.feature
where days.event_date between $start and $end
"""


NO_SHARING_SQL = """
select cast(null as date) as event_date, cast(null as varchar) as feature, cast(null as double) as share_rate,
  cast(null as double) as k_factor where false
"""
"""In place of `sharing_sql` where nothing says what a share is."""
