"""What a check is, and the queries that many checks are made of.

A check's query gives one row per partition (one row in all where the table has none) with the columns
`partition_key` (text), `is_passed` (null means unknown), `observed`, `threshold`, `unexpected_count`, `examples` (JSON
or null). `$start` and `$end` are the first and last event date, `$now` the time of checking; a query that reads
REPEATED finds it made of the events of those dates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quality_assets.contracts.ops import PARTITION_STATE
from quality_assets.contracts.table import Column, Table

Severity = Literal["WARN", "ERROR"]


Dimension = Literal["completeness", "uniqueness", "validity", "consistency", "timeliness", "volume", "accuracy"]


MADE_AGAIN = "Materialize the table again in Dagster, with what it is made from."


@dataclass(frozen=True)
class Check:
    """One question about a table. A blocking check of severity ERROR stops what comes after, and publication.

    `rows_at_once`: of a table by dates, ask for about so many rows at a time, where one large query costs more.
    What people read of a no is `finding`, a template of {observed} and {threshold} that its examples follow, and
    `remedy`; of an unknown it is `needs`. `unit` is that of both numbers: `fraction`, a noun that is counted, or none.
    """

    table: Table
    name: str
    question: str
    dimension: Dimension
    sql: str
    severity: Severity = "ERROR"
    is_blocking: bool = False
    rows_at_once: int | None = None
    finding: str = ""
    unit: str = "row"
    remedy: str = MADE_AGAIN
    needs: str = "there is not enough history yet to hold it against"


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
        f"select event_date from {PARTITION_STATE.qualified_name}"
        f" where table_name = '{table.qualified_name}' and {within_dates()}"
    )


def _violations(column: Column) -> list[str]:
    name = f'"{column.name}"'
    found = [] if column.nullable else [f"{name} is null"]
    if column.allowed:
        found.append(f"{name} not in ({', '.join(repr(value) for value in column.allowed)})")
    if column.minimum is not None:
        found.append(f"{name} < {column.minimum!r}")
    if column.maximum is not None:
        found.append(f"{name} > {column.maximum!r}")
    return found


def contract_kept(table: Table) -> Check:
    """No row of `table` breaks its contract: nulls, allowed values, ranges."""
    broken = [rule for column in table.columns for rule in _violations(column)]
    rules = ", ".join(f"case when {rule} then '{rule.replace(chr(39), '')}' end" for rule in broken)
    where = " or ".join(broken)
    if table.partition_column:
        offenders = (
            f"select event_date, concat_ws('; ', {rules}) as example from {table.qualified_name}"
            f" where {within_dates()} and ({where})"
        )
        sql = no_rows(offenders, built_dates(table))
    else:
        offenders = f"select concat_ws('; ', {rules}) as example from {table.qualified_name} where {where}"
        sql = no_offenders(offenders)
    return Check(
        table,
        "contract_kept",
        f"Does every row of {table.name} keep its contract?",
        "validity",
        sql,
        is_blocking=True,
        finding=f"{{observed}} broke the contract of {table.name}",
    )


def key_unique(table: Table) -> Check:
    """No two rows of `table` share its key."""
    keys = table.select_list(table.key)
    example = f"to_json(struct_pack({', '.join(f'{k} := any_value({k})' for k in table.key)})) as example"
    if table.partition_column:
        offenders = (
            f"select event_date, {example}"
            f" from {table.qualified_name} where {within_dates()} group by event_date, {keys} having count(*) > 1"
        )
        sql = no_rows(offenders, built_dates(table))
    else:
        offenders = f"select {example} from {table.qualified_name} group by {keys} having count(*) > 1"
        sql = no_offenders(offenders)
    return Check(
        table,
        "key_unique",
        f"Is there {table.grain}?",
        "uniqueness",
        sql,
        is_blocking=True,
        finding=f"{{observed}} came more than once in {table.name}",
        unit="key",
    )


def no_offenders(offenders: str) -> str:
    """Passed, once in all, where the (example) query `offenders` has no row."""
    return f"""
select '' as partition_key, count(*) = 0 as is_passed, cast(count(*) as double) as observed,
  cast(0 as double) as threshold, count(*) as unexpected_count, to_json(list(example)[1:5]) as examples
from ({offenders})
"""
