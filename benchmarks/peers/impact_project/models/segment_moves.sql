{% set through = "(select max(event_date) from " ~ ref('user_days') ~ ")" %}
with active as (select event_date, user_id from {{ ref('user_days') }} where not is_automated),
changes as (
  {% for days in (7, 14, 28, 60, 90) %}
  select user_id, event_date as day, {{ days }} as within, 1 as delta from active
  union all
  select user_id, event_date + {{ days }}, {{ days }}, -1 from active
  union all
  {% endfor %}
  select user_id, first_use_date, 0, 1 from {{ ref('first_uses') }} where feature = '*'
  union all
  select user_id, first_use_date + 14, 0, -1 from {{ ref('first_uses') }} where feature = '*'
),
summed as (
  select user_id, day, sum(delta) filter (within = 7) as d_7, sum(delta) filter (within = 14) as d_14,
    sum(delta) filter (within = 28) as d_28, sum(delta) filter (within = 60) as d_60, sum(delta) filter (within = 90) as d_90,
    sum(delta) filter (within = 0) as d_0
  from changes where day <= {{ through }} group by user_id, day
),
counted as (
  select user_id, day, coalesce(sum(d_7) over w, 0) as n_7, coalesce(sum(d_14) over w, 0) as n_14,
    coalesce(sum(d_28) over w, 0) as n_28, coalesce(sum(d_60) over w, 0) as n_60, coalesce(sum(d_90) over w, 0) as n_90,
    coalesce(sum(d_0) over w, 0) as n_0
  from summed window w as (partition by user_id order by day)
),
held as (
  select user_id, day, 'regulars' as segment, n_28 >= 12 as is_member from counted
  union all
  select user_id, day, 'fading', n_60 >= 8 and n_14 = 0 from counted
  union all
  select user_id, day, 'newcomers', n_0 > 0 and n_7 >= 1 from counted
),
compared as (
  select *, coalesce(lag(is_member) over (partition by segment, user_id order by day), false) as was_member from held
)
select segment, user_id, day, is_member from compared where is_member <> was_member
