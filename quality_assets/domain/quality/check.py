"""What a check is, and what answers it: a query, a function, or expectations.

A check's query gives one row per partition (one row in all where the subject has none) with the columns
`partition_key` (text), `is_passed` (null means unknown), `observed`, `threshold`, `unexpected_count`, `examples` (JSON
or null). `$start` and `$end` are the first and last event date, `$now` the time of checking; a query that reads
REPEATED finds it made of the events of those dates.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from quality_assets.contracts.table import Table

Severity = Literal["WARN", "ERROR"]
Dimension = Literal["completeness", "uniqueness", "validity", "consistency", "timeliness", "volume", "accuracy"]
SubjectKind = Literal["table", "dataset", "model", "endpoint", "file"]
ExpectationKind = Literal["columns", "row_count", "not_null", "in_set", "in_range", "no_rows"]

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
class Expectation:
    """One thing that a table must satisfy. `name` is unique in its suite; `column` is None where it concerns several.

    `parameters` by kind: `columns` {names}; `row_count` {minimum}; `not_null` {}; `in_set` {allowed}; `in_range`
    {minimum, maximum}, inclusive, None where unbounded; `no_rows` {query, statement, counted}, where `query` is a
    `str.format` template whose one field `batch` is the relation and whose rows are the offenders, and `counted` names
    what such a row is. Null values satisfy every kind but `not_null`.
    """

    name: str
    column: str | None
    kind: ExpectationKind
    parameters: Mapping[str, Any] = field(hash=False)
    dimension: Dimension
    severity: Severity = "ERROR"
    is_blocking: bool = True

    @property
    def statement(self) -> str:
        """What it says of the data, as the beginning of a sentence."""
        match self.kind:
            case "columns":
                return "the columns are those of the contract"
            case "row_count":
                return f"there is at least {self.parameters['minimum']:,} row"
            case "not_null":
                return f"{self.column} is never null"
            case "in_set":
                return f"{self.column} is one of {', '.join(self.parameters['allowed'])}"
            case "in_range":
                return f"{self.column} is {_range_words(self.parameters['minimum'], self.parameters['maximum'])}"
            case "no_rows":
                return str(self.parameters["statement"])


def _range_words(minimum: float | None, maximum: float | None) -> str:
    lower = None if minimum is None or minimum == -sys.float_info.max else minimum
    upper = None if maximum is None or maximum == sys.float_info.max else maximum
    if lower is None and upper is None:
        return "a finite number"
    return f"between {_bound(lower, '−∞')} and {_bound(upper, '∞')}"


def _bound(value: float | None, unbounded: str) -> str:
    return unbounded if value is None else f"{value:,.15g}".replace("-", "−")


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
