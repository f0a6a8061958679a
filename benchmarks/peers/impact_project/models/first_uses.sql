with first as (
  select feature, user_id, min(event_date) as first_use_date from {{ ref('usage') }} group by feature, user_id
),
moments as (
  select feature, user_id, min(event_time) as first_event_at, arg_min(platform, event_time) as platform,
    arg_min(country, event_time) as country
  from {{ ref('events') }} group by feature, user_id
),
everything as (
  select * from moments
  union all
  select '*', user_id, min(first_event_at), arg_min(platform, first_event_at), arg_min(country, first_event_at)
  from moments group by user_id
)
select * from first join everything using (feature, user_id)
