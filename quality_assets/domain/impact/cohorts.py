"""SQL of first uses and of what follows them: returns of cohorts, adoption by day, and how long adoption takes.

`$start` and `$end` are the first and last date that is built. `usage` is a relation of (event_date, feature, user_id),
once a user, feature and day, in which '*' is the product and automated users are not.
"""

from __future__ import annotations

from quality_assets.contracts.impact import COHORT_DAYS, MONTH_DAYS
from quality_assets.domain.impact.sessions import attributes_of, moment_at
from quality_assets.domain.impact.settings import LAST_RETENTION_DAY, LATER_RETENTION_DAYS, LEFT_TRUNCATED_DAYS
from quality_assets.domain.stats.wilson_sql import wilson_high_sql, wilson_low_sql

_ATTRIBUTES = "hash(platform, country)"
_MOMENT = f"(cast(epoch_us(event_time) as hugeint) << 64) + {_ATTRIBUTES}"


_KEY = "hash(feature, user_id)"
"""A user of a feature as one number: to sort and join numbers costs a fraction of what names do. Among ten million of
them two are the same once in 370,000 times (2^64 values), and would then count as one user of one feature."""

_USER_KEY = "hash('*', user_id)"


def usage_sql(user_feature_days: str, user_days: str) -> str:
    """`usage` of relations of core.user_feature_days and core.user_days of the same dates."""
    automated = f"(select event_date, user_id from {user_days} where is_automated)"
    return f"""
select event_date, feature, user_id from {user_feature_days} anti join {automated} using (event_date, user_id)
union all
select event_date, '*', user_id from {user_days} where not is_automated
"""


def keyed_usage_sql(user_feature_days: str, user_days: str) -> str:
    """As `usage_sql`, with `key` in place of the user."""
    return f"select event_date, feature, {_KEY} as key from ({usage_sql(user_feature_days, user_days)})"


def new_uses_sql(usage: str) -> str:
    """(feature, user_id, first_use_date, key, user_key) of everyone in `usage` whom core.first_uses does not know.

    `key` is that of the user of the feature, `user_key` that of the user of the product.
    """
    return f"""
select *, {_KEY} as key, {_USER_KEY} as user_key from (
  select feature, user_id, min(event_date) as first_use_date from {usage}
  where event_date between $start and $end group by feature, user_id
) anti join core.first_uses using (feature, user_id)
"""


def first_moments_sql(new: str, events: str) -> str:
    """(key, moment, user_key) of the first events of `new`, of `new_uses_sql`, on one date."""
    return f"""
select {_KEY} as key, min({_MOMENT}) as moment, any_value({_USER_KEY}) as user_key
from {events} where {_KEY} in (select key from {new}) group by key
"""


def said_sql(events: str) -> str:
    """Every combination of platform and country in `events`, by its hash."""
    return f"select distinct {_ATTRIBUTES} as attributes, platform, country from {events}"


def first_uses_sql(new: str, moments: str, said: str) -> str:
    """The rows of core.first_uses for `new`, of `new_uses_sql`, from `first_moments_sql` and `said_sql`.

    `$first_date` is the first date of all data. Time, platform and country are those of the first event.
    """
    return f"""
with joined as (
  select user_key, min(first_use_date) as joined_date from (
    select {_USER_KEY} as user_key, first_use_date from core.first_uses
    where feature = '*' and {_USER_KEY} in (select user_key from {new})
    union all
    select user_key, first_use_date from {new} where feature = '*'
  ) group by user_key
),
everything as (
  select key, moment from {moments}
  union all
  select user_key, min(moment) from {moments} group by user_key
)
select feature, user_id, first_use_date, {moment_at("moment")} as first_event_at, platform, country,
  first_use_date < cast($first_date as date) + {LEFT_TRUNCATED_DAYS} as is_left_truncated, joined_date
from {new} as new join everything using (key) join joined using (user_key)
join {said} as said on {attributes_of("moment")} = said.attributes
"""


def active_sql(usage: str, *, of_many_days: bool) -> str:
    """(key, cohort_date) of everybody in `usage`, of `keyed_usage_sql`, whose first use was not long before `$start`.

    Of many days most of those are in it anyway, and are not looked for.
    """
    seen = "" if of_many_days else f" and {_KEY} in (select key from {usage})"
    return f"""
select {_KEY} as key, first_use_date as cohort_date from core.first_uses
where first_use_date between cast($start as date) - {COHORT_DAYS} and $end{seen}
"""


def retention_cells_sql(active: str, usage: str) -> str:
    """The rows of impact.retention_cells; `usage`, of `keyed_usage_sql`, goes back COHORT_DAYS before `$start`.

    `active` is of `active_sql`. Whoever is there on day k of their life was there last on day p: the furthest that
    somebody came is k where it was p, so that counts by p are all that is needed to say of any later date who returned
    on or after any day. Everybody is there on day 0, so only who came back is put in order.
    """
    return f"""
with lived as (
  select key, feature, cohort_date, event_date
  from {usage} join {active} as active using (key)
  where event_date > cohort_date and event_date <= least(cohort_date + {COHORT_DAYS}, $end)
),
spaced as (
  select feature, cohort_date, event_date,
    coalesce(lag(event_date) over (partition by key order by event_date), cohort_date) - cohort_date as previous_day
  from lived
)
select event_date, feature, cohort_date, count(*) as users,
  coalesce(cast(histogram(previous_day) filter (where previous_day < {LAST_RETENTION_DAY}) as map(integer, bigint)),
    cast(map {{}} as map(integer, bigint))) as previous
from spaced where event_date between $start and $end
group by event_date, feature, cohort_date
union all
select first_use_date, feature, first_use_date, count(*), cast(map {{}} as map(integer, bigint))
from core.first_uses where first_use_date between $start and $end group by feature, first_use_date
"""


def retention_sql() -> str:
    """The rows of impact.retention for cohorts of `$start` to `$end`; `built` is a table of the dates there are."""
    exact_days = ", ".join(map(str, (*range(1, LAST_RETENTION_DAY + 1), *LATER_RETENTION_DAYS)))
    return f"""
with cells as (
  select feature, cohort_date, event_date, event_date - cohort_date as day_n, users, previous
  from impact.retention_cells where cohort_date between $start and $end
),
kinds as (
  select * from (values ('within_30', {LAST_RETENTION_DAY}), ('on_or_after', {COHORT_DAYS})) as k(kind, last_day)
),
cohorts as (select feature, cohort_date, users as eligible from cells where day_n = 0),
through as (select max(event_date) as last_date from built),
steps as (
  select feature, cohort_date, day_n, day_n as furthest, cast(list_sum(map_values(previous)) as bigint) as users
  from cells where day_n > 0
  union all
  select feature, cohort_date, day_n, entry.key, -entry.value
  from (select feature, cohort_date, day_n, unnest(map_entries(previous)) as entry from cells where day_n > 0)
),
reached as (
  select feature, cohort_date, kind, least(furthest, {LAST_RETENTION_DAY}) as furthest, sum(users) as users
  from steps cross join kinds
  where day_n <= last_day and furthest > 0 group by all
),
wanted as (
  select feature, cohort_date, eligible, kind, cast(n as integer) as day_n, last_day
  from cohorts cross join kinds
  cross join range(1, {LAST_RETENTION_DAY + 1}) as days(n)
),
returns as (
  select wanted.*,
    sum(coalesce(reached.users, 0)) over (
      partition by wanted.feature, wanted.cohort_date, wanted.kind order by wanted.day_n desc) as returned
  from wanted left join reached on reached.feature = wanted.feature and reached.cohort_date = wanted.cohort_date
    and reached.kind = wanted.kind and reached.furthest = wanted.day_n
),
counted as (
  select cohort_date, feature, day_n, kind, eligible, returned, last_day from returns
  union all
  select cohort_date, feature, n, 'exact', eligible, coalesce(users, 0), n
  from cohorts cross join unnest([{exact_days}]) as days(n)
  left join (select feature, cohort_date, day_n as n, users from cells) as on_day using (feature, cohort_date, n)
),
spans as (
  select cohort_date, day_n, last_day, cast(count(*) as integer) as observed_days
  from (select distinct cohort_date, day_n, last_day from counted)
  join built on event_date between cohort_date + day_n and cohort_date + last_day group by all
),
observed as (
  select *, cohort_date + last_day <= (select last_date from through) as is_final
  from counted join spans using (cohort_date, day_n, last_day)
)
select cohort_date, feature, cast(day_n as integer) as day_n, kind, eligible, cast(returned as bigint) as returned,
  returned / eligible as rate, {wilson_low_sql("returned", "eligible")} as low,
  {wilson_high_sql("returned", "eligible")} as high, observed_days, is_final
from observed
"""


def feature_adoption_sql(usage: str, uses: str, *, of_one_day: bool) -> str:
    """The rows of impact.feature_adoption; `usage`, of `keyed_usage_sql`, goes back 27 days before `$start`, and
    `uses` has the events of each use, and how many features its user used on the day.

    Who used a feature in the last n days is who used it last in them: of one day that is a maximum by user, of many
    the stretch from each use until n days later or the next use.
    """
    recent = _recent_of_one_day(usage) if of_one_day else _recent_of_many(usage)
    return f"""
with dates as (select event_date from built where event_date between $start and $end),
recent as ({recent}),
everyone as (select event_date, users, wau, mau from recent where feature = '*'),
used as (
  select event_date, feature, sum(events) as events, avg(features) as features_per_user
  from {uses} group by event_date, feature
),
adopters as (
  select feature, first_use_date, count(*) as new_adopters from core.first_uses
  where first_use_date between cast($start as date) - 7 and $end group by feature, first_use_date
),
adopted as (
  select {_KEY} as key, feature, first_use_date from core.first_uses
  where first_use_date between cast($start as date) - 7 and cast($end as date) - 7
),
again as (
  select feature, first_use_date + 7 as event_date, count(*) as users
  from (
    select distinct adopted.key, adopted.feature, first_use_date from adopted join {usage} as later
      on later.key = adopted.key and later.event_date between first_use_date + 1 and first_use_date + 7
  ) group by feature, first_use_date
)
select recent.event_date, recent.feature, recent.users, everyone.users as all_users, recent.wau,
  recent.mau, everyone.wau as all_wau, everyone.mau as all_mau, coalesce(adopters.new_adopters, 0) as new_adopters,
  coalesce(again.users, 0) / week_before.new_adopters as second_use_7d, recent.users / recent.mau as stickiness,
  used.events / nullif(recent.users, 0) as events_per_user, used.features_per_user
from recent join dates using (event_date) join everyone using (event_date)
left join used using (event_date, feature)
left join adopters on adopters.feature = recent.feature and adopters.first_use_date = recent.event_date
left join adopters as week_before
  on week_before.feature = recent.feature and week_before.first_use_date = recent.event_date - 7
left join again on again.feature = recent.feature and again.event_date = recent.event_date
where recent.feature <> '*'
"""


def _recent_of_one_day(usage: str) -> str:
    return f"""
select cast($end as date) as event_date, feature, count(*) filter (where last_date = $end) as users,
  count(*) filter (where last_date > cast($end as date) - 7) as wau, count(*) as mau
from (
  select any_value(feature) as feature, max(event_date) as last_date from {usage}
  where event_date between cast($end as date) - {MONTH_DAYS - 1} and $end group by key
) group by feature
"""


def _recent_of_many(usage: str) -> str:
    return f"""
with gaps as (
  select feature, event_date,
    lead(event_date) over (partition by key order by event_date) - event_date as gap
  from {usage} where event_date between cast($start as date) - {MONTH_DAYS - 1} and $end
),
stretches as (
  select feature, event_date, cast(least(coalesce(gap, {MONTH_DAYS}), {MONTH_DAYS}) as integer) as gap, count(*) as n
  from gaps group by all
),
spans as (select * from (values ('users', 1), ('wau', 7), ('mau', {MONTH_DAYS})) as s(name, days)),
changes as (
  select feature, name, event_date, sum(n) as n from (
    select feature, name, event_date, n from stretches cross join spans
    union all
    select feature, name, event_date + least(gap, days), -n from stretches cross join spans
  ) group by all
),
calendar as (
  select cast(day as date) as event_date
  from unnest(generate_series(cast($start as date) - {MONTH_DAYS - 1}, cast($end as date), interval 1 day)) as d(day)
),
features as (select distinct feature from stretches),
filled as (
  select calendar.event_date, features.feature, spans.name, sum(coalesce(n, 0)) over (
    partition by features.feature, spans.name order by calendar.event_date) as n
  from calendar cross join features cross join spans left join changes
    on changes.event_date = calendar.event_date and changes.feature = features.feature and changes.name = spans.name
)
select event_date, feature, cast(max(n) filter (where name = 'users') as bigint) as users,
  cast(max(n) filter (where name = 'wau') as bigint) as wau, cast(max(n) filter (where name = 'mau') as bigint) as mau
from filled where event_date between $start and $end group by event_date, feature having mau > 0
"""


ADOPTION_CURVE_SQL = """
with through as (select cast($through as date) as last_date),
launches as (
  select feature, min(first_use_date) as launched_on from core.first_uses where feature <> '*' group by feature
),
joiners as (
  select first_use_date as joined_date, count(*) as users from core.first_uses where feature = '*' group by 1
),
starts as (
  select feature, greatest(joined_date, launched_on) as start_date, sum(users) as users
  from joiners cross join launches group by 1, 2
),
adopters as (
  select feature, greatest(joined_date, launched_on) as start_date, first_use_date, count(*) as users
  from core.first_uses join launches using (feature) group by 1, 2, 3
),
ends as (
  select feature, date_trunc('month', start_date) as cohort_month,
    cast(first_use_date - start_date as integer) as day_n, sum(users) as adopted, 0 as censored
  from adopters group by 1, 2, 3
  union all
  select feature, date_trunc('month', start_date), cast(last_date - start_date as integer), 0,
    sum(starts.users - coalesce(adopted.users, 0))
  from starts cross join through
  left join (select feature, start_date, sum(users) as users from adopters group by 1, 2) as adopted
    using (feature, start_date)
  group by 1, 2, 3
),
days as (
  select feature, cohort_month, day_n, sum(adopted) as adopted, sum(censored) as censored from ends group by 1, 2, 3
),
grid as (
  select feature, cohort_month, unnest(range(0, cast(max(day_n) as bigint) + 1)) as day_n from days group by 1, 2
),
risked as (
  select feature, cohort_month, cast(day_n as integer) as day_n, coalesce(adopted, 0) as adopted,
    sum(coalesce(adopted, 0) + coalesce(censored, 0)) over (
      partition by feature, cohort_month order by day_n desc) as at_risk
  from grid left join days using (feature, cohort_month, day_n)
),
curve as (
  select *, 1 - exp(sum(ln(greatest(1 - adopted / at_risk, 1e-300))) over so_far) as share,
    sum(case when adopted < at_risk then adopted / (at_risk * (at_risk - adopted)) end) over so_far as greenwood
  from risked where at_risk > 0
  window so_far as (partition by feature, cohort_month order by day_n)
),
logged as (
  select *, case when share between 1e-12 and 1 - 1e-12
    then 1.959963984540054 * sqrt(coalesce(greenwood, 0)) / ln(1 - share) end as theta from curve
)
select feature, cast(cohort_month as date) as cohort_month, day_n, cast(at_risk as bigint) as at_risk,
  cast(adopted as bigint) as adopted, greatest(share, 0) as share,
  case when share < 1e-12 then 0 else coalesce(1 - pow(1 - share, exp(theta)), share) end as low,
  case when share < 1e-12 then 0 else coalesce(1 - pow(1 - share, exp(-theta)), share) end as high
from logged
"""
"""The rows of impact.adoption_curve. Whoever has not adopted is censored at `$through`, the end of the data."""
