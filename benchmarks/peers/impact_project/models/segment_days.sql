with moved as (
  select segment, day as event_date, count(*) filter (is_member) as entered, count(*) filter (not is_member) as gone
  from {{ ref('segment_moves') }} group by all
)
select event_date, segment, coalesce(entered, 0) as entered, coalesce(gone, 0) as gone,
  sum(coalesce(entered, 0) - coalesce(gone, 0)) over (partition by segment order by event_date) as members
from (select distinct event_date from {{ ref('user_days') }})
cross join (select distinct segment from {{ ref('segment_moves') }}) left join moved using (event_date, segment)
