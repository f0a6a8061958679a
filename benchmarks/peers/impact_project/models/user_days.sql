with days as (
  select event_date, user_id, count(*) as events, count(distinct feature) as features,
    count(*) filter (status = 'error') as errors, count(*) filter (status = 'crash') as crashes,
    avg(feedback_score) as feedback, arg_max(platform, event_time) as platform,
    arg_max(country, event_time) as country, arg_max(app_version, event_time) as version
  from {{ ref('events') }} group by event_date, user_id
),
sat as (
  select event_date, user_id, count(*) filter (not is_continued) as sessions,
    sum(epoch(ended_at) - epoch(started_at)) as engaged_s
  from {{ ref('user_sessions') }} group by event_date, user_id
)
select *, events > 2000 as is_automated from days join sat using (event_date, user_id)
