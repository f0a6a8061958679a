with ages as (
  select feature, user_id, first_use_date as cohort_date, event_date - first_use_date as age
  from {{ ref('usage') }} join {{ ref('first_uses') }} using (feature, user_id)
  where event_date - first_use_date <= 92
),
cohorts as (select feature, cohort_date, count(*) as eligible from ages where age = 0 group by all),
exact as (select feature, cohort_date, age as day_n, count(*) as returned from ages where age > 0 group by all),
furthest as (
  select feature, cohort_date, max(age) filter (age <= 30) as within_30, least(max(age), 30) as on_or_after
  from ages group by feature, cohort_date, user_id
),
reached as (
  select feature, cohort_date, 'within_30' as kind, within_30 as day_n, count(*) as n from furthest group by all
  union all
  select feature, cohort_date, 'on_or_after', on_or_after, count(*) from furthest group by all
),
days as (select unnest(range(1, 31)) as day_n),
wanted as (
  select * from cohorts cross join days cross join (values ('exact'), ('within_30'), ('on_or_after')) as k(kind)
  where cohort_date + cast(day_n as integer) <= (select max(event_date) from {{ ref('user_days') }})
),
suffix as (
  select w.feature, w.cohort_date, w.kind, w.day_n, sum(r.n) as returned
  from wanted as w join reached as r
    on r.feature = w.feature and r.cohort_date = w.cohort_date and r.kind = w.kind and r.day_n >= w.day_n
  group by all
)
select feature, cohort_date, kind, day_n, eligible,
  coalesce(case when kind = 'exact' then exact.returned else suffix.returned end, 0) as returned
from wanted left join exact using (feature, cohort_date, day_n)
left join suffix using (feature, cohort_date, kind, day_n)
