"""What a table must satisfy, as a suite of expectations generated from its contract.

Descriptions only: no data is read and no validation engine is known here; `tables/checks/expectations.py` runs a suite.
What the contract cannot say, because it concerns several columns at once, is a `Rule` in RULES. Questions about a
table's past, or about two tables, are checks (`event_checks.py`); rules on rows that arrive are in
`events/validation.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from quality_assets.contracts.events import USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.metrics import ADOPTION_RATE, METRICS, Metric
from quality_assets.contracts.pipeline import PIPELINE
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.table import Column, Table
from quality_assets.domain.quality.check import Check, Dimension, Expectation, Severity, subject_of
from quality_assets.domain.sql_text import literal

RATIO_TOLERANCE = 1e-9
_TYPE_OF_FLOATS = "DOUBLE"


@dataclass(frozen=True)
class Rule:
    """What several columns of one row must satisfy together; a null result satisfies it.

    `condition` is SQL over the columns of the table; `columns` are shown, after the key, in examples of offenders.
    """

    name: str
    statement: str
    condition: str
    columns: tuple[str, ...]
    dimension: Dimension = "consistency"
    severity: Severity = "ERROR"
    is_blocking: bool = True


def suite_of(
    table: Table,
    *,
    check_key: bool = True,
    may_be_empty: bool = False,
    rules: Sequence[Rule] | None = None,
) -> tuple[Expectation, ...]:
    """The suite that the contract of `table` implies, and its `rules` (those in RULES where not given).

    `check_key=False` leaves out the uniqueness of the key, the one expectation whose cost and memory grow with the
    number of distinct keys: for tables of events another check answers it. `may_be_empty` leaves out that there are
    rows.
    """
    chosen = RULES.get(table.qualified_name, ()) if rules is None else rules
    return (
        _columns(table),
        _column_types(table),
        *([] if may_be_empty else [_has_rows()]),
        *(expectation for column in table.columns for expectation in _of_column(column)),
        *([_key_unique(table)] if check_key else []),
        *(_of_rule(table, rule) for rule in chosen),
    )


def _columns(table: Table) -> Expectation:
    return Expectation("columns_as_declared", None, "columns", {"names": table.column_names}, "validity")


def _column_types(table: Table) -> Expectation:
    declared = ", ".join(f"({literal(column.name)}, {literal(column.type.upper())})" for column in table.columns)
    query = (
        "select found.column_name, declared.column_type as declared_type, found.column_type as found_type"
        " from (describe select * from {batch}) as found"
        f" join (values {_escaped(declared)}) as declared(column_name, column_type)"
        " on declared.column_name = found.column_name where declared.column_type <> found.column_type"
    )
    statement = "the column types are those of the contract"
    parameters = {"query": query, "statement": statement, "counted": "column"}
    return Expectation("column_types_as_declared", None, "no_rows", parameters, "validity")


def _has_rows() -> Expectation:
    return Expectation("has_rows", None, "row_count", {"minimum": 1}, "completeness")


def _of_column(column: Column) -> Iterable[Expectation]:
    if not column.nullable:
        yield Expectation(f"{column.name}_not_null", column.name, "not_null", {}, "completeness")
    if column.allowed is not None:
        yield Expectation(f"{column.name}_in_set", column.name, "in_set", {"allowed": column.allowed}, "validity")
    # DuckDB holds NaN to be greater than infinity: a bound on both sides is what keeps the two out.
    is_float = column.type.upper() == _TYPE_OF_FLOATS
    if is_float or column.minimum is not None or column.maximum is not None:
        largest = sys.float_info.max if is_float else None
        parameters = {
            "minimum": _first_known(column.minimum, None if largest is None else -largest),
            "maximum": _first_known(column.maximum, largest),
        }
        yield Expectation(f"{column.name}_in_range", column.name, "in_range", parameters, "validity")


def _key_unique(table: Table) -> Expectation:
    keys = _escaped(table.select_list(table.key))
    query = f"select {keys}, count(*) as copies from {{batch}} group by {keys} having count(*) > 1"
    statement = f"no two rows share {', '.join(table.key)}"
    return Expectation(
        "key_unique", None, "no_rows", {"query": query, "statement": statement, "counted": "key"}, "uniqueness"
    )


def _of_rule(table: Table, rule: Rule) -> Expectation:
    shown = _escaped(table.select_list(tuple(dict.fromkeys((*table.key, *rule.columns)))))
    query = f"select {shown} from {{batch}} where not ({_escaped(rule.condition)})"
    parameters = {"query": query, "statement": rule.statement, "counted": "row"}
    return Expectation(rule.name, None, "no_rows", parameters, rule.dimension, rule.severity, rule.is_blocking)


def _escaped(sql: str) -> str:
    return sql.replace("{", "{{").replace("}", "}}")


def _first_known(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _agrees(metric: Metric) -> str:
    """Whether a stored ratio is what its parts give, null with them, within rounding."""
    parts = f"({metric.expression})"
    near = f"abs({metric.name} - {parts}) <= {RATIO_TOLERANCE!r} * greatest(1, abs({parts}))"
    return f"({metric.name} is null) = ({parts} is null) and coalesce({near}, true)"


_RATIOS = tuple(metric for metric in (*METRICS, ADOPTION_RATE) if metric.denominator is not None)

RULES: Mapping[str, tuple[Rule, ...]] = {
    VALID_EVENTS.qualified_name: (
        Rule(
            "event_date_of_event_time",
            "event_date is the UTC day of event_time",
            "event_date = cast(event_time as date)",
            ("event_time",),
        ),
        Rule("feature_not_blank", "feature is more than blanks", "trim(feature) <> ''", ("feature",), "validity"),
    ),
    USER_FEATURE_DAYS.qualified_name: (
        Rule(
            "outcomes_within_events",
            "errors and crashes together are at most the events",
            "errors + crashes <= events",
            ("events", "errors", "crashes"),
        ),
    ),
    FACT_FEATURE_METRICS.qualified_name: (
        Rule(
            "outcomes_within_events",
            "errors and crashes together are at most the events",
            "errors + crashes <= events",
            ("events", "errors", "crashes"),
        ),
        Rule(
            "users_within_events",
            "users and sessions are each at most the events",
            "coalesce(users <= events, true) and coalesce(sessions <= events, true)",
            ("events", "users", "sessions"),
        ),
        Rule(
            "users_within_all_users",
            "users of the feature are at most the users of all features",
            "users <= all_users",
            ("users", "all_users"),
        ),
        Rule(
            "crashed_within_all",
            "users and sessions with a crash are at most all users and sessions, and at most the crashes",
            "coalesce(crashed_users <= least(users, crashes), true)"
            " and coalesce(crashed_sessions <= least(sessions, crashes), true)",
            ("crashes", "users", "crashed_users", "sessions", "crashed_sessions"),
        ),
        Rule(
            "judged_within_events",
            "events with a latency, a score or an apdex verdict are at most the events",
            "latency_count <= events and feedback_count <= events and apdex_count <= events"
            " and apdex_satisfied + apdex_tolerating <= apdex_count",
            ("events", "latency_count", "feedback_count", "apdex_count", "apdex_satisfied", "apdex_tolerating"),
        ),
        Rule(
            "latency_quantiles_ordered",
            "latency p50 is at most p95, and p95 at most p99",
            "latency_p50_ms <= latency_p95_ms and latency_p95_ms <= latency_p99_ms",
            ("latency_p50_ms", "latency_p95_ms", "latency_p99_ms"),
        ),
        Rule(
            "feedback_mean_on_scale",
            "feedback_mean is between 1 and 5",
            f"feedback_mean >= 1 - {RATIO_TOLERANCE!r} and feedback_mean <= 5 + {RATIO_TOLERANCE!r}",
            ("feedback_mean", "feedback_sum", "feedback_count"),
            "validity",
        ),
        Rule(
            "ratios_agree_with_parts",
            "every ratio is its numerator over its denominator",
            " and ".join(f"({_agrees(metric)})" for metric in _RATIOS),
            tuple(metric.name for metric in _RATIOS),
            "accuracy",
        ),
    ),
}
"""The rules of each table, by qualified name."""

# Unique keys of events are a check of their own, and those of facts too.
SUITES: Mapping[str, tuple[Expectation, ...]] = {
    table.qualified_name: suite_of(table, check_key=False) for table in (VALID_EVENTS, FACT_FEATURE_METRICS)
}
"""The suites that are run, by qualified name of their table."""


def expectation_checks(table: Table, suite: Sequence[Expectation]) -> tuple[Check, ...]:
    """A suite as checks, one a dimension: people look at a handful, which names whichever expectation fails."""
    by_dimension: dict[Dimension, list[Expectation]] = {}
    for expectation in suite:
        by_dimension.setdefault(expectation.dimension, []).append(expectation)
    return tuple(
        Check(
            subject_of(table),
            f"expectations_{dimension}",
            f"Do the contract's expectations of {dimension} hold? (Great Expectations)",
            dimension,
            expectations=tuple(asked),
            is_blocking=any(expectation.is_blocking for expectation in asked),
            unit="expectation",
        )
        for dimension, asked in by_dimension.items()
    )


EXPECTATION_CHECKS = tuple(
    check for name, suite in SUITES.items() for check in expectation_checks(PIPELINE.table(name), suite)
)
