"""The queries that many checks are made of; what such a query gives is said in `check.py`."""

from __future__ import annotations

from quality_assets.contracts.ops import PART_MARK, PARTITION_STATE
from quality_assets.contracts.table import Table


def within_dates(alias: str = "") -> str:
    return f"{alias}event_date between $start and $end"


def by_date(counted: str, source: str, where: str = "true") -> str:
    return f"select event_date, {counted} as n from {source} where {within_dates()} and {where} group by event_date"


def per_date_balance(left: str, right: str) -> str:
    """Two (event_date, n) queries that must agree: observed is the left total, threshold the right one."""
    return f"""
select cast(coalesce(a.event_date, b.event_date) as varchar) as partition_key,
  coalesce(a.n, 0) = coalesce(b.n, 0) as is_passed,
  cast(coalesce(a.n, 0) as double) as observed, cast(coalesce(b.n, 0) as double) as threshold,
  abs(coalesce(a.n, 0) - coalesce(b.n, 0)) as unexpected_count, null as examples
from ({left}) as a full join ({right}) as b on a.event_date = b.event_date
"""


def no_rows(offenders: str, dates: str, limit: int = 5) -> str:
    """Passed for each of `dates` where the (event_date, example) query `offenders` has no row."""
    return f"""
with offenders as ({offenders}),
counted as (
  select event_date, count(*) as n, to_json(list(example)[1:{limit}]) as examples from offenders group by event_date
)
select cast(days.event_date as varchar) as partition_key, counted.n is null as is_passed,
  cast(coalesce(counted.n, 0) as double) as observed, cast(0 as double) as threshold,
  coalesce(counted.n, 0) as unexpected_count, counted.examples
from ({dates}) as days left join counted using (event_date)
"""


def built_dates(table: Table) -> str:
    return (
        f"select distinct event_date from {PARTITION_STATE.qualified_name}"
        f" where split_part(table_name, '{PART_MARK}', 1) = '{table.qualified_name}' and {within_dates()}"
    )


def no_offenders(offenders: str) -> str:
    """Passed, once in all, where the (example) query `offenders` has no row."""
    return f"""
select '' as partition_key, count(*) = 0 as is_passed, cast(count(*) as double) as observed,
  cast(0 as double) as threshold, count(*) as unexpected_count, to_json(list(example)[1:5]) as examples
from ({offenders})
"""
