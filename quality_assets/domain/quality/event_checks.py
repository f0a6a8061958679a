"""The checks of tables and partitions, as queries: what each asks, how bad a no is, and the SQL that answers.

What a check is, and how its query answers, is said in `check.py`. Rules on single rows are in `events/validation.py`,
Great Expectations suites in `expectations.py`, what contracts alone ask in `contract_checks.py`.
"""

from __future__ import annotations

from quality_assets.contracts.events import QUARANTINED_EVENTS, RAW_LOGS, USER_FEATURE_DAYS, VALID_EVENTS, Reason
from quality_assets.contracts.ops import LAKE_FILES, PARTITION_STATE
from quality_assets.contracts.product import DIM_FEATURE_METADATA, FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.raw import LOG_FILES, PERHAPS
from quality_assets.domain.events.tables import IS_REPEATED
from quality_assets.domain.events.watched import MOST_WATCHED, WATCHED
from quality_assets.domain.quality.check import Check, subject_of
from quality_assets.domain.quality.check_queries import (
    built_dates,
    by_date,
    no_offenders,
    no_rows,
    per_date_balance,
    within_dates,
)
from quality_assets.domain.quality.ledger_checks import LEDGER_CHECKS, REJECTED_FILES_SHOWN_DAYS
from quality_assets.domain.quality.likeness import columns_missed, names_alike, names_encoded_twice

FRESH_WITHIN_HOURS = 36
MAX_QUARANTINED_SHARE = 0.05
PAST_DAYS = 28
MIN_PAST_DAYS = 7
MIN_FEATURES_SHARE = 0.8
MAX_MIX_DISTANCE = 0.1
# Where so many events are expected none is no chance, however wide the band of a noisy feature is.
CERTAIN_EVENTS = 20
MAX_VOLUME_CHANGE = 0.3
MAX_USERLESS_CHANGE = 0.1
SOURCE_ASKED = "See whether a source is late, doubled or new."
# Of more rows than that, ids are not held in memory at once, nor their hashes sorted in the processor's cache.
ROWS_IN_CACHE = 1_000_000


_KNOWN_REASONS = ", ".join(f"'{reason.value}'" for reason in Reason)
_FACT = FACT_FEATURE_METRICS.qualified_name
_TREND = FEATURE_DAILY_TRENDS.qualified_name
_VALID = VALID_EVENTS.qualified_name
_QUARANTINED = QUARANTINED_EVENTS.qualified_name
_USER_DAYS = USER_FEATURE_DAYS.qualified_name


def _held_against_past(per_day: str, is_passed: str, threshold: str) -> str:
    """A (event_date, value) query held against the median of its own 28 days before; unknown until there are seven.

    `is_passed` and `threshold` are SQL over `value` and `past`.
    """
    return f"""
with per_day as ({per_day}),
compared as (
  select day.event_date, any_value(day.value) as value, median(earlier.value) as past, count(earlier.value) as days
  from per_day as day left join per_day as earlier
    on earlier.event_date >= day.event_date - {PAST_DAYS} and earlier.event_date < day.event_date
  where day.event_date between $start and $end
  group by day.event_date
)
select cast(event_date as varchar) as partition_key,
  case when days >= {MIN_PAST_DAYS} then {is_passed} end as is_passed,
  cast(value as double) as observed,
  cast(case when days >= {MIN_PAST_DAYS} then {threshold} end as double) as threshold,
  case when days >= {MIN_PAST_DAYS} and not ({is_passed}) then 1 else 0 end as unexpected_count, null as examples
from compared
"""


RAW_CHECKS = (
    Check(
        subject_of(RAW_LOGS),
        "rows_accounted",
        "Did every row that was read reach the lake?",
        "completeness",
        f"""
with ledger as (
  select load_id, sum(rows) as n from {LOG_FILES.qualified_name} where status = 'loaded' group by load_id
),
lake as (
  select regexp_extract(path, '([0-9]+)-[a-z]+\\.parquet$', 1) as load_id, sum(row_count) as n
  from {LAKE_FILES.qualified_name} where table_name = '{RAW_LOGS.qualified_name}' group by 1
),
compared as (
  select coalesce(ledger.load_id, lake.load_id) as load_id,
    coalesce(ledger.n, 0) as wanted, coalesce(lake.n, 0) as found
  from ledger full join lake on ledger.load_id = lake.load_id
)
select '' as partition_key, coalesce(bool_and(wanted = found), true) as is_passed,
  cast(coalesce(sum(found), 0) as double) as observed, cast(coalesce(sum(wanted), 0) as double) as threshold,
  cast(coalesce(sum(abs(wanted - found)), 0) as bigint) as unexpected_count,
  to_json(list(load_id) filter (where wanted <> found)) as examples
from compared
""",
        is_blocking=True,
        finding="{observed} reached the lake, of {threshold} read; loads that differ",
        remedy="Restore data/lake, or start a data folder anew from the log files.",
    ),
    *LEDGER_CHECKS,
    Check(
        subject_of(LOG_FILES),
        "data_is_fresh",
        f"Is the newest event less than {FRESH_WITHIN_HOURS} hours older than now?",
        "timeliness",
        f"""
select '' as partition_key, age <= {FRESH_WITHIN_HOURS} as is_passed, age as observed,
  cast({FRESH_WITHIN_HOURS} as double) as threshold,
  case when age > {FRESH_WITHIN_HOURS} then 1 else 0 end as unexpected_count,
  to_json([cast(newest as varchar)]) as examples
from (
  select max(last_event_time) as newest,
    date_diff('minute', max(last_event_time), cast($now as timestamp)) / 60e0 as age
  from {LOG_FILES.qualified_name}
)
""",
        severity="WARN",
        finding="The newest event is {observed} old, more than {threshold}",
        unit="hour",
        remedy="See whether the logs still arrive in data/landing.",
        needs="no event has arrived yet",
    ),
    Check(
        subject_of(LOG_FILES),
        "encodings_are_sure",
        "Is it sure in which encoding each log is?",
        "validity",
        no_offenders(
            f"select path || ': ' || encoding as example from {LOG_FILES.qualified_name}"
            f" where status = 'loaded' and contains(encoding, '{PERHAPS}')"
        ),
        severity="WARN",
        finding="{observed} may be in another encoding than it was read in, and its letters be others",
        unit="log",
        remedy="Look at its names; where they are wrong, name the encoding in the YAML of its source:"
        " `csv: {encoding: …}`. Where they are right, cp1252 is what it says.",
    ),
    Check(
        subject_of(LOG_FILES),
        "columns_still_come",
        "Do the files of each source have the columns that it maps, and had?",
        "completeness",
        no_offenders(columns_missed(REJECTED_FILES_SHOWN_DAYS)),
        severity="WARN",
        finding="{observed} of what a source maps no longer came, or never did",
        unit="column",
        remedy="See whether the column was renamed: mend the source, or its mapping in data/sources.",
    ),
)

CORE_CHECKS = (
    Check(
        subject_of(VALID_EVENTS),
        "rows_accounted",
        "Is every row of every file either valid or quarantined?",
        "completeness",
        f"""
with raw_rows as (
  select event_date, file_id, count(*) as n from {RAW_LOGS.qualified_name} where {within_dates()} group by all
),
kept as (
  select event_date, file_id, count(*) as n from {_VALID} where {within_dates()} group by all
),
refused as (
  select event_date, file_id, count(*) as n from {_QUARANTINED} where {within_dates()} group by all
),
written as (
  select event_date, sum(row_count) as n from {LAKE_FILES.qualified_name}
  where table_name = '{RAW_LOGS.qualified_name}' and {within_dates()} group by event_date
),
compared as (
  select event_date, file_id, sum(wanted) as wanted, sum(found) as found from (
    select event_date, file_id, n as wanted, 0 as found from raw_rows
    union all select event_date, file_id, 0, n from kept
    union all select event_date, file_id, 0, n from refused
  ) group by event_date, file_id
),
per_date as (
  select event_date, bool_and(wanted = found) as is_whole, sum(found) as found,
    sum(abs(wanted - found)) as difference, list(file_id) filter (where wanted <> found) as files
  from compared group by event_date
)
select cast(event_date as varchar) as partition_key,
  coalesce(is_whole, true) and coalesce(found, 0) = coalesce(written.n, 0) as is_passed,
  cast(coalesce(found, 0) as double) as observed, cast(coalesce(written.n, 0) as double) as threshold,
  cast(greatest(coalesce(difference, 0), abs(coalesce(found, 0) - coalesce(written.n, 0))) as bigint)
    as unexpected_count,
  to_json(files) as examples
from per_date full join written using (event_date)
""",
        is_blocking=True,
        finding="{observed} became valid or quarantined, of {threshold} read; files that differ",
    ),
    Check(
        subject_of(VALID_EVENTS),
        "event_ids_unique",
        "Is each event there once?",
        "uniqueness",
        no_rows(
            f"""
select event_date, event_id as example
from (select event_date, event_id, file_id from {_VALID} where {within_dates()} and {IS_REPEATED}) as suspect
left join (select file_id, source from {LOG_FILES.qualified_name}) as files using (file_id)
group by event_date, source, event_id having count(*) > 1 order by event_date, event_id
""",
            built_dates(VALID_EVENTS),
        ),
        is_blocking=True,
        rows_at_once=ROWS_IN_CACHE,
        finding="{observed} came more than once",
        unit="event",
    ),
    Check(
        subject_of(QUARANTINED_EVENTS),
        "reasons_known",
        "Does every refused row say why, in known words?",
        "validity",
        no_rows(
            f"""
select event_date, file_id || ':' || line_number as example from {_QUARANTINED}
where {within_dates()} and (coalesce(len(reasons), 0) = 0 or not list_has_all([{_KNOWN_REASONS}], reasons))
""",
            built_dates(QUARANTINED_EVENTS),
        ),
        is_blocking=True,
        finding="{observed} came to quarantine without a known reason",
    ),
    Check(
        subject_of(QUARANTINED_EVENTS),
        "share_as_usual",
        "Is no more quarantined than usual?",
        "validity",
        f"""
with rows_of as (
  select event_date, coalesce(sum(row_count) filter (where table_name = '{_QUARANTINED}'), 0) as refused,
    sum(row_count) as total
  from {PARTITION_STATE.qualified_name} where table_name in ('{_VALID}', '{_QUARANTINED}') group by event_date
),
shares as (select event_date, refused, refused / nullif(cast(total as double), 0) as share from rows_of),
compared as (
  select day.event_date, any_value(day.share) as share, any_value(day.refused) as refused,
    greatest({MAX_QUARANTINED_SHARE}, coalesce(3 * median(earlier.share), 0)) as most
  from shares as day left join shares as earlier
    on earlier.event_date >= day.event_date - {PAST_DAYS} and earlier.event_date < day.event_date
  where day.event_date between $start and $end
  group by day.event_date
)
select cast(event_date as varchar) as partition_key, share <= most as is_passed, share as observed,
  most as threshold, case when share > most then cast(refused as bigint) else 0 end as unexpected_count,
  null as examples
from compared
""",
        severity="WARN",
        finding="{observed} of the rows were quarantined, more than {threshold}",
        unit="fraction",
        remedy="See the reasons on the data quality page, under What was refused, and mend the source.",
        needs="the day has no row",
    ),
    Check(
        subject_of(USER_FEATURE_DAYS),
        "events_reconcile",
        "Do the user days add up to the events that have a user?",
        "consistency",
        per_date_balance(by_date("sum(events)", _USER_DAYS), by_date("count(*)", _VALID, "user_id is not null")),
        is_blocking=True,
        finding="The user days count {observed} where {threshold} have a user",
        unit="event",
    ),
)

PRODUCT_CHECKS = (
    Check(
        subject_of(FACT_FEATURE_METRICS),
        "events_reconcile",
        "Do the facts add up to the valid events?",
        "consistency",
        per_date_balance(by_date("sum(events)", _FACT), by_date("count(*)", _VALID)),
        is_blocking=True,
        finding="The facts count {observed} where {threshold} are valid",
        unit="event",
    ),
    Check(
        subject_of(FACT_FEATURE_METRICS),
        "users_reconcile",
        "Do the users of the facts agree with the user days?",
        "consistency",
        per_date_balance(by_date("coalesce(sum(users), 0)", _FACT), by_date("count(*)", _USER_DAYS)),
        is_blocking=True,
        finding="The facts count {observed} where the user days have {threshold}",
        unit="user",
    ),
    Check(
        subject_of(FACT_FEATURE_METRICS),
        "features_present",
        "Do as many features send events as usual?",
        "completeness",
        _held_against_past(
            f"select event_date, count(*) as value from {_FACT}"
            f" where event_date between $start - {PAST_DAYS} and $end group by 1",
            f"value >= {MIN_FEATURES_SHARE} * past",
            f"{MIN_FEATURES_SHARE} * past",
        ),
        severity="WARN",
        finding="{observed} sent events, fewer than {threshold}",
        unit="feature",
        remedy=SOURCE_ASKED,
        needs=f"it takes {MIN_PAST_DAYS} earlier days",
    ),
    Check(
        subject_of(FACT_FEATURE_METRICS),
        "volume_as_usual",
        "Is the day's volume what that weekday usually has?",
        "volume",
        f"""
with totals as (
  select event_date, sum(events) as n from {_FACT}
  where event_date between $start - {PAST_DAYS} and $end group by event_date
),
compared as (
  select day.event_date, any_value(day.n) as n, median(earlier.n) as usual, count(earlier.n) as days
  from totals as day left join totals as earlier
    on day.event_date - earlier.event_date in (7, 14, 21, 28)
  where day.event_date between $start and $end
  group by day.event_date
)
select cast(event_date as varchar) as partition_key,
  case when days >= 3 then abs(n / usual - 1) <= {MAX_VOLUME_CHANGE} end as is_passed,
  cast(n as double) as observed, cast(case when days >= 3 then usual end as double) as threshold,
  case when days >= 3 and abs(n / usual - 1) > {MAX_VOLUME_CHANGE} then 1 else 0 end as unexpected_count,
  null as examples
from compared
""",
        severity="WARN",
        finding=f"{{observed}} came, where {{threshold}} are usual of the weekday"
        f" and {100 * MAX_VOLUME_CHANGE:.0f} % more or less is accepted",
        unit="event",
        remedy=SOURCE_ASKED,
        needs="it takes three earlier weeks",
    ),
    Check(
        subject_of(FACT_FEATURE_METRICS),
        "users_known_as_usual",
        "Is the share of events without a user what it usually is?",
        "completeness",
        _held_against_past(
            f"""
select fact.event_date, 1 - coalesce(any_value(known.n), 0) / cast(sum(fact.events) as double) as value
from {_FACT} as fact left join (
  select event_date, sum(events) as n from {_USER_DAYS}
  where event_date between $start - {PAST_DAYS} and $end group by 1
) as known using (event_date)
where fact.event_date between $start - {PAST_DAYS} and $end group by 1""",
            f"value <= past + {MAX_USERLESS_CHANGE}",
            f"past + {MAX_USERLESS_CHANGE}",
        ),
        severity="WARN",
        finding="{observed} of the events have no user, more than {threshold}",
        unit="fraction",
        remedy="See which source stopped sending user_id.",
        needs=f"it takes {MIN_PAST_DAYS} earlier days",
    ),
    Check(
        subject_of(FACT_FEATURE_METRICS),
        "mix_as_usual",
        "Is the mix of features what that weekday usually has?",
        "volume",
        f"""
with shares as (
  select event_date, feature, events / sum(events) over (partition by event_date) as share
  from {_FACT} where event_date between $start - {PAST_DAYS} and $end
),
days as (select distinct event_date from shares where event_date between $start and $end),
pairs as (
  select days.event_date, shares.event_date as earlier_date, feature, share
  from days join shares on days.event_date - shares.event_date in (7, 14, 21, 28)
),
weeks as (select event_date, count(distinct earlier_date) as n from pairs group by event_date),
usual as (
  select event_date, feature, sum(share) / any_value(weeks.n) as share
  from pairs join weeks using (event_date) group by event_date, feature
),
compared as (
  select event_date, sum(abs(coalesce(today.share, 0) - coalesce(usual.share, 0))) / 2 as distance,
    to_json(list(feature order by abs(coalesce(today.share, 0) - coalesce(usual.share, 0)) desc)[1:3]) as examples,
    count(usual.share) as known
  from (select * from shares where event_date between $start and $end) as today
  full join usual using (event_date, feature)
  group by event_date
)
select cast(event_date as varchar) as partition_key,
  case when known > 0 then distance <= {MAX_MIX_DISTANCE} end as is_passed,
  case when known > 0 then distance end as observed, cast({MAX_MIX_DISTANCE} as double) as threshold,
  case when known > 0 and distance > {MAX_MIX_DISTANCE} then 1 else 0 end as unexpected_count, examples
from compared
""",
        severity="WARN",
        finding="{observed} of the events moved from feature to feature, more than {threshold}; most at",
        unit="fraction",
        remedy=SOURCE_ASKED,
        needs="it takes the same weekday of an earlier week",
    ),
    Check(
        subject_of(FEATURE_DAILY_TRENDS),
        "values_reconcile",
        "Do the trends show the events that the facts have?",
        "consistency",
        per_date_balance(
            by_date("cast(sum(value) as bigint)", _TREND, "metric = 'events'"),
            by_date("sum(events)", _FACT),
        ),
        is_blocking=True,
        finding="The trends count {observed} where the facts have {threshold}",
        unit="event",
    ),
    Check(
        subject_of(FEATURE_DAILY_TRENDS),
        "features_not_silent",
        "Does every feature that should have events have some?",
        "volume",
        no_rows(
            f"select event_date, feature as example from {_TREND}"
            f" where {within_dates()} and metric = 'events' and value = 0"
            f" and (is_worse or expected >= {CERTAIN_EVENTS})",
            built_dates(FEATURE_DAILY_TRENDS),
        ),
        severity="WARN",
        finding="{observed} sent no event, where chance alone does not explain that",
        unit="feature",
        remedy="Ask its owner whether it was switched off; see whether a source is late.",
    ),
    Check(
        subject_of(DIM_FEATURE_METADATA),
        "names_distinct",
        "Is there no feature whose name looks like that of another?",
        "consistency",
        no_offenders(names_alike()),
        severity="WARN",
        finding="More than one way of writing stands for {observed}",
        unit="feature",
        remedy="Make one of them in data/sources: feature: {from: …, fold: true}, or a map with others: keep.",
    ),
    Check(
        subject_of(DIM_FEATURE_METADATA),
        "names_encoded_once",
        "Is no feature's name in letters that were encoded twice?",
        "validity",
        no_offenders(names_encoded_twice()),
        severity="WARN",
        finding="{observed} in letters that were encoded twice, as ä is where it reads Ã¤",
        unit="name",
        remedy="Something before read UTF-8 as Windows-1252: mend that, and send the logs again in place of those"
        " (`quality withdraw`), or give the names their letters by `map` in data/sources.",
    ),
    Check(
        subject_of(DIM_FEATURE_METADATA),
        "features_described",
        "Is every feature that has events described?",
        "completeness",
        no_offenders(f"select feature as example from {DIM_FEATURE_METADATA.qualified_name} where not is_described"),
        severity="WARN",
        finding="{observed} with events but without a description",
        unit="feature",
        remedy="Give it a row in data/feature_metadata.csv.",
    ),
    Check(
        subject_of(DIM_FEATURE_METADATA),
        "features_watched",
        "Are there few enough features to judge each?",
        "validity",
        no_offenders(
            f"select feature as example from {DIM_FEATURE_METADATA.qualified_name}"
            f" where last_seen_date is not null and feature not in {WATCHED}"
        ),
        severity="WARN",
        finding=f"{{observed}} not judged: no more than {MOST_WATCHED:,} are, those with events on most days",
        unit="feature",
        remedy="Take the name out of what holds an id by `extract` in the source's YAML (docs/sources.md), or map it.",
    ),
)

EVENT_CHECKS = (*RAW_CHECKS, *CORE_CHECKS, *PRODUCT_CHECKS)
