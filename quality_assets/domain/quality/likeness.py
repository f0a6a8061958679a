"""Queries of checks on what sources send: columns that no longer come, names of features that look alike, and names
whose letters were encoded twice.
"""

from __future__ import annotations

from quality_assets.contracts.product import DIM_FEATURE_METADATA
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.contracts.sources.events import DEFAULT_SOURCE
from quality_assets.domain.events.texts import folded_sql

# A column that came on so many of the days before its last one was no exception.
USUAL_SHARE = 0.8
PAST_DAYS = 28
# UTF-8 that was read as Windows-1252 and written as UTF-8 again: what its first bytes and its others look like then,
# of Latin, Greek, Cyrillic, and of dashes and quotes. No language writes them so next to each other.
_OTHER_BYTES = "".join(bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xC0))
_TWICE = f"[ÃÂÄÅÎÏÐÑ][{_OTHER_BYTES}\\x{{80}}-\\x{{9F}}]|â[€„†][{_OTHER_BYTES}]"


def columns_missed(recent_days: int) -> str:
    """An (example) query: columns that a source maps and its files have no longer, or never had, or lose midway.

    Which columns a file lacks, its ledger says. The default source maps every column of the contract, and its files
    may lack any of them from the start. Files that lose a column midway are shown for `recent_days` after their
    arrival.
    """
    return f"""
with files as (
  select source, path, arrived_at, cast(last_event_time as date) as day, absent_columns as absent, vanished_columns
  from {LOG_FILES.qualified_name}
  where status = 'loaded' and absent_columns is not null and last_event_time is not null
),
candidates as (select distinct source, unnest(absent) as name from files),
days as (
  select source, name, day, bool_or(not list_contains(absent, name)) as has_it
  from candidates join files using (source) group by source, name, day
),
spans as (
  select source, name, max(day) filter (where has_it) as seen, max(day) as newest from days group by source, name
),
shares as (
  select source, name, any_value(seen) as seen, any_value(newest) as newest, avg(cast(has_it as integer)) as share
  from spans left join days using (source, name)
  where seen is null or day between seen - {PAST_DAYS} and seen
  group by source, name
)
select source || ': ' || name || case when seen is null then ', which none of its files has ever had'
  else ', last on ' || seen end as example
from shares
where (seen is null and source <> '{DEFAULT_SOURCE}') or (seen < newest and share >= {USUAL_SHARE})
union all
select source || ': ' || array_to_string(vanished_columns, ', ') || ', only at the beginning of ' || path
from files
where len(vanished_columns) > 0 and arrived_at >= (select max(arrived_at) from files) - interval {recent_days} days
"""


def names_alike() -> str:
    """An (example) query: features whose names differ in case, width, composition, blanks or invisible characters.

    Of features with events: a description of what was never seen, as the shipped ones, is no second way of writing.
    """
    return f"""
select string_agg(feature || ' (' || length(feature) || ' characters)', ' and ' order by feature) as example
from {DIM_FEATURE_METADATA.qualified_name} where first_seen_date is not null
group by {folded_sql("feature")} having count(*) > 1
"""


def names_encoded_twice() -> str:
    """An (example) query: features whose names hold letters that were UTF-8 once and were encoded again."""
    return f"""
select feature as example
from {DIM_FEATURE_METADATA.qualified_name}
where first_seen_date is not null and regexp_matches(feature, '{_TWICE}')
"""
