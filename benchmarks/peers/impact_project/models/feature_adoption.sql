with gaps as (
  select feature, event_date,
    lead(event_date) over (partition by feature, user_id order by event_date) - event_date as gap from {{ ref('usage') }}
),
spans as (select * from (values ('users', 1), ('wau', 7), ('mau', 28)) as s(name, days)),
stretches as (
  select feature, event_date, least(coalesce(gap, 28), 28) as gap, count(*) as n from gaps group by all
),
changes as (
  select feature, name, event_date, n from stretches cross join spans
  union all
  select feature, name, event_date + cast(least(gap, days) as integer), -n from stretches cross join spans
),
calendar as (select distinct event_date from {{ ref('usage') }}),
filled as (
  select event_date, feature, name, sum(n) over (partition by feature, name order by event_date) as n
  from (select event_date, feature, name, sum(n) as n from changes group by all)
),
counts as (
  select calendar.event_date, feature, name, arg_max(n, filled.event_date) as n
  from calendar join filled on filled.event_date <= calendar.event_date group by all
),
wide as (
  select event_date, feature, max(n) filter (name = 'users') as users, max(n) filter (name = 'wau') as wau,
    max(n) filter (name = 'mau') as mau
  from counts group by all
),
adopters as (
  select feature, first_use_date as event_date, count(*) as new_adopters from {{ ref('first_uses') }} group by all
),
again as (
  select f.feature, f.first_use_date + 7 as event_date, count(distinct f.user_id) as users
  from {{ ref('first_uses') }} as f join {{ ref('usage') }} as u on u.feature = f.feature and u.user_id = f.user_id
    and u.event_date between f.first_use_date + 1 and f.first_use_date + 7
  group by all
),
used as (
  select event_date, feature, sum(events) as events, avg(features) as features_per_user
  from (
    select *, count(*) over (partition by event_date, user_id) as features from {{ ref('usage') }} where feature <> '*'
  ) group by all
)
select wide.*, all_users, all_wau, all_mau, new_adopters, again.users as used_again, used.events / wide.users as events_per_user, features_per_user
from wide
join (select event_date, users as all_users, wau as all_wau, mau as all_mau from wide where feature = '*') as everyone
  using (event_date)
left join adopters using (event_date, feature) left join again using (event_date, feature)
left join used using (event_date, feature)
where wide.feature <> '*' and wide.mau > 0
