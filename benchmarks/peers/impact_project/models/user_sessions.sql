with sessions as (
  select event_date, user_id, session_id, min(event_time) as started_at, max(event_time) as ended_at,
    count(*) as events, count(distinct feature) as features, count(*) filter (status = 'error') as errors,
    count(*) filter (status = 'crash') as crashes, arg_min(platform, event_time) as platform,
    arg_min(device_type, event_time) as device, arg_min(country, event_time) as country,
    arg_min(app_version, event_time) as version
  from {{ ref('events') }} group by event_date, user_id, session_id
),
late as (
  select distinct event_date + 1 as event_date, user_id, session_id from {{ ref('events') }}
  where event_time >= event_date + interval '23 hours 30 minutes'
)
select sessions.*, late.user_id is not null as is_continued
from sessions left join late using (event_date, user_id, session_id)
