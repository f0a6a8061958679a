"""What a check is and what answers it, and the queries that many checks are made of.

A check's query gives one row per partition (one row in all where the subject has none) with the columns
`partition_key` (text), `is_passed` (null means unknown), `observed`, `threshold`, `unexpected_count`, `examples` (JSON
or null). `$start` and `$end` are the first and last event date, `$now` the time of checking; a query that reads
REPEATED finds it made of the events of those dates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from quality_assets.contracts.ops import PART_MARK, PARTITION_STATE
from quality_assets.contracts.table import Table

if TYPE_CHECKING:
    from quality_assets.domain.quality.expectations import Expectation

Severity = Literal["WARN", "ERROR"]


Dimension = Literal["completeness", "uniqueness", "validity", "consistency", "timeliness", "volume", "accuracy"]


SubjectKind = Literal["table", "dataset", "model", "endpoint", "file"]


MADE_AGAIN = "Materialize the table again in Dagster, with what it is made from."


@dataclass(frozen=True)
class Subject:
    """What a check speaks of. `name` is `group.name`, as its asset is called.

    With a `partition_column` it is asked of each event date by itself.
    """

    kind: SubjectKind
    name: str
    partition_column: str | None = None


def subject_of(table: Table) -> Subject:
    """A table as the subject of checks: by event date where it is built so."""
    return Subject("table", table.qualified_name, table.partition_column if table.is_dated else None)


@dataclass(frozen=True)
class Answer:
    """What was found in one partition, or in the whole; `is_passed` None means unknown, and `why` says what is missing.

    `examples` are a few offenders, or their JSON. `statement` is the finding in whole sentences, where the check's own
    template cannot say it. `severity` and `is_blocking` are those of the check unless the answer knows better.
    """

    is_passed: bool | None
    observed: float | None = None
    threshold: float | None = None
    unexpected_count: int | None = None
    examples: Sequence[Any] | str | None = ()
    why: str = ""
    statement: str = ""
    severity: Severity | None = None
    is_blocking: bool | None = None


@dataclass(frozen=True)
class Check:
    """One question about a subject. A blocking check of severity ERROR stops what comes after, and publication.

    It is answered in one of three ways (ValueError else): by the query `sql`, by the function `answer` of an open
    warehouse, about the whole subject, or by `expectations`, all of one suite and dimension. `rows_at_once`: of a query
    by dates, ask for about so many rows at a time, where one large query costs more. What people read of a no is
    `finding`, a template of {observed} and {threshold} that its examples follow, and `remedy`; of an unknown it is
    `needs`. `finding_unmeasured` stands for `finding` where neither number is known. `unit` is that of both numbers:
    `fraction`, a noun that is counted, or none.
    """

    subject: Subject
    name: str
    question: str
    dimension: Dimension
    sql: str = ""
    answer: Callable[[Any], Answer] | None = None
    expectations: tuple[Expectation, ...] = ()
    severity: Severity = "ERROR"
    is_blocking: bool = False
    rows_at_once: int | None = None
    finding: str = ""
    finding_unmeasured: str = ""
    unit: str = "row"
    remedy: str = MADE_AGAIN
    needs: str = "there is not enough history yet to hold it against"

    def __post_init__(self) -> None:
        if [bool(self.sql), self.answer is not None, bool(self.expectations)].count(True) != 1:
            raise ValueError(
                f"{self.subject.name}: {self.name} must be answered by one of sql, answer and expectations"
            )


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
