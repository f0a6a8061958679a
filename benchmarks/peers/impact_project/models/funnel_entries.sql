with steps as (
  select event_date, user_id, event_time, event_name, platform, country, app_version
  from {{ ref('events') }}
  where event_name in ('quiz_started', 'slider_adjusted', 'option_selected', 'quiz_completed', 'result_viewed',
    'result_shared')
    and (event_date, user_id) not in (select (event_date, user_id) from {{ ref('user_days') }} where is_automated)
),
entered_1 as (
  select event_date as entry_date, user_id, min(event_time) as at_1, arg_min(platform, event_time) as platform,
    arg_min(country, event_time) as country, arg_min(app_version, event_time) as version
  from steps where event_name = 'quiz_started' group by all
)
{% set names = ['slider_adjusted', 'option_selected', 'quiz_completed', 'result_viewed', 'result_shared'] %}
{% for name in names %}
, entered_{{ loop.index + 1 }} as (
  select e.*, case when s.event_time < at_1 + interval 7 days then s.event_time end as at_{{ loop.index + 1 }}
  from entered_{{ loop.index }} as e asof left join (from steps where event_name = '{{ name }}') as s
    on s.user_id = e.user_id and s.event_time >= e.at_{{ loop.index }}
)
{% endfor %}
select *, 1 + (at_2 is not null)::int + (at_3 is not null)::int + (at_4 is not null)::int + (at_5 is not null)::int
    + (at_6 is not null)::int as reached,
  at_1 + interval 7 days <= (select max(event_date) + 1 from {{ ref('user_days') }}) as is_final
from entered_6
