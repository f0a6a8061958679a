with sat as (
  select event_date, user_id, session_id, feature, count(*) as events,
    case when count(*) > 1 then epoch(max(event_time)) - epoch(min(event_time)) end as duration_s
  from {{ ref('events') }} group by all
),
shared as (
  select event_date, feature, count(*) filter (is_sharer and is_shown) / nullif(count(*) filter (is_shown), 0) as share_rate
  from (
    select event_date, feature, user_id, bool_or(event_name = 'result_shared') as is_sharer,
      bool_or(event_name = 'result_viewed') as is_shown
    from {{ ref('events') }} where event_name in ('result_shared', 'result_viewed') group by all
  ) group by all
)
select sat.event_date, sat.feature, count(*) as sessions, count(*) filter (events = 1) as one_event_sessions,
  avg(events) as events_mean, median(events) as events_median, median(duration_s) as duration_median_s,
  quantile_cont(duration_s, 0.9) as duration_p90_s, any_value(share_rate) as share_rate
from sat left join shared using (event_date, feature) group by sat.event_date, sat.feature
