with split as (
  select entry_date, null as segment, null as value, [at_1, at_2, at_3, at_4, at_5, at_6] as step_at, reached, is_final
  from {{ ref('funnel_entries') }}
  union all
  select entry_date, 'platform', platform, [at_1, at_2, at_3, at_4, at_5, at_6], reached, is_final
  from {{ ref('funnel_entries') }}
  union all
  select entry_date, 'country', country, [at_1, at_2, at_3, at_4, at_5, at_6], reached, is_final
  from {{ ref('funnel_entries') }}
  union all
  select entry_date, 'version', version, [at_1, at_2, at_3, at_4, at_5, at_6], reached, is_final
  from {{ ref('funnel_entries') }}
)
select entry_date, segment, value, step, count(*) as entered, count(*) filter (reached >= step) as reached,
  count(*) filter (reached < step and not is_final) as open, bool_and(is_final) as is_final,
  median(epoch(step_at[step]) - epoch(step_at[1])) filter (reached >= step) as median_s,
  quantile_cont(epoch(step_at[step]) - epoch(step_at[1]), 0.9) filter (reached >= step) as p90_s
from split cross join range(1, 7) as s(step) group by all
