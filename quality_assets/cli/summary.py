"""How things stand, in rows and sentences: what `quality run`, `quality status` and `make run` print.

Reads a connection that has all schemas, of the warehouse or of a published snapshot; changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb

from quality_assets.contracts.catalog import SCHEMAS
from quality_assets.contracts.events import QUARANTINED_EVENTS, VALID_EVENTS
from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.contracts.metrics import METRICS_BY_NAME
from quality_assets.contracts.ops import PARTITION_STATE
from quality_assets.contracts.product import FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.domain.escaping import terminal_text
from quality_assets.domain.features.attention import features_that_need_attention, reasons_text
from quality_assets.domain.features.status import NOTHING_JUDGED, is_worse_sql, state_join_sql
from quality_assets.domain.wording import change_text, plural, value_text
from quality_assets.tables.checks.run import LATEST_RESULTS_SQL
from quality_assets.tables.reports import newest_scores

# Metrics that one looks at first, in this order, when several of a feature are worse at once.
_METRICS = ("crash_rate", "latency_p95_ms", "error_rate", "feedback_mean", "events")

_MOST_CHECKS = 3
_MOST_REJECTED = 3
NOTHING_INGESTED = "Nothing has been ingested yet: `quality ingest PATH…`, or `quality demo` for a sample."


@dataclass(frozen=True)
class Accounting:
    """Rows in, and where they went. Counts of rows; dates are event dates, None before the first event."""

    files: int
    rejected_files: int
    rows: int
    valid: int
    quarantined: int
    first_date: date | None
    last_date: date | None

    @property
    def unaccounted(self) -> int:
        """Rows that are neither valid nor quarantined: those of dates that are not built yet, else none.

        Below 0 they are of logs that were taken back, and whose dates are not built without them yet.
        """
        return self.rows - self.valid - self.quarantined

    @property
    def not_built(self) -> str:
        """How many those are, as the rest of a sentence."""
        if self.unaccounted < 0:
            return f" - {-self.unaccounted:,} taken back, and not built without yet"
        return f" + {self.unaccounted:,} not built yet" if self.unaccounted else ""


def is_without_logs(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether no log is known, not even one that waits to be read again."""
    return connection.execute(f"select count(*) from {LOG_FILES.qualified_name}").fetchall() == [(0,)]


def accounting(connection: duckdb.DuckDBPyConnection) -> Accounting:
    """Rows in, valid and quarantined, over everything that ever arrived."""
    row = connection.execute(f"""
select count(*), count(*) filter (where status = 'rejected'), coalesce(sum(rows), 0) from {LOG_FILES.qualified_name}
where status in ('loaded', 'rejected')
""").fetchone()
    built = dict(
        connection.execute(
            f"select table_name, sum(row_count) from {PARTITION_STATE.qualified_name} group by table_name"
        ).fetchall()
    )
    dates = connection.execute(
        f"select min(event_date), max(event_date) from {FACT_FEATURE_METRICS.qualified_name}"
    ).fetchone()
    assert row is not None  # aggregates without GROUP BY have one row
    assert dates is not None
    valid = int(built.get(VALID_EVENTS.qualified_name, 0))
    quarantined = int(built.get(QUARANTINED_EVENTS.qualified_name, 0))
    return Accounting(row[0], row[1], int(row[2]), valid, quarantined, *dates)


def quarantine_reasons(connection: duckdb.DuckDBPyConnection, limit: int = 5) -> list[tuple[str, int]]:
    """The commonest reasons for quarantine with their rows, commonest first."""
    return connection.execute(
        f"select reason, count(*) as n from (select unnest(reasons) as reason from {QUARANTINED_EVENTS.qualified_name})"
        " group by reason order by n desc, reason limit $limit",
        {"limit": limit},
    ).fetchall()


def failing_checks(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str, int, str]]:
    """Checks that fail as the data stands: severity, asset, check, partitions, newest finding.

    Errors first, then in the order of the flow: what is wrong in the logs is why other things are.
    """
    return connection.execute(
        f"select severity, asset, check_name, count(*) as n, arg_max(description, partition_key)"
        f" from ({LATEST_RESULTS_SQL}) where status = 'failed'"
        " group by severity, asset, check_name order by severity,"
        " list_position($schemas, split_part(asset, '.', 1)) nulls last, n desc, asset, check_name",
        {"schemas": list(SCHEMAS)},
    ).fetchall()


def checks_line(connection: duckdb.DuckDBPyConnection) -> str:
    """How many results of checks passed, failed and are unknown, as the data stands."""
    counts = dict(connection.execute(f"select status, count(*) from ({LATEST_RESULTS_SQL}) group by status").fetchall())
    told = ", ".join(f"{counts.get(status, 0):,} {status}" for status in ("passed", "failed", "unknown"))
    return f"Check results, one a check and date: {told}"


def first_to_look_at(connection: duckdb.DuckDBPyConnection, limit: int = 5) -> list[tuple[str, list[str]]]:
    """The features that need attention, in the order of the run report and the pages, each with its reasons."""
    incidents = connection.execute(f"select * from {INCIDENTS.qualified_name}").df()
    found = features_that_need_attention(incidents, newest_scores(connection), limit)
    return [(entry["feature"], entry["reasons"]) for entry in found]


def worse_features(connection: duckdb.DuckDBPyConnection, limit: int = 5, but: Sequence[str] = ()) -> list[str]:
    """Sentences on features that were worse than their own past on the last day, most users first; not on `but`."""
    rows = connection.execute(
        f"""
with last as (select max(event_date) as event_date from {FEATURE_DAILY_TRENDS.qualified_name}),
worse as (
  select trend.feature, trend.metric, trend.value, trend.expected, trend.change,
    row_number() over (partition by trend.feature order by list_position($metrics, trend.metric)) as place
  from {FEATURE_DAILY_TRENDS.qualified_name} as trend join last on trend.event_date = last.event_date
  {state_join_sql("trend", "state")}
  where {is_worse_sql("trend", "state")} and list_contains($metrics, trend.metric)
)
select worse.feature, metric, value, expected, change, fact.users
from worse left join {FACT_FEATURE_METRICS.qualified_name} as fact
  on fact.feature = worse.feature and fact.event_date = (select event_date from last)
where place = 1 and not list_contains($but, worse.feature)
order by coalesce(fact.users, fact.events, 0) desc, worse.feature limit $limit
""",
        {"metrics": list(_METRICS), "limit": limit, "but": list(but)},
    ).fetchall()
    return [_sentence(*row) for row in rows]


def is_anything_judged(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether of any feature it is known that it was worse than its own past on the last day, or that it was not."""
    found = connection.execute(
        f"""
select count(*) from {FEATURE_DAILY_TRENDS.qualified_name} as trend {state_join_sql("trend", "state")}
where trend.event_date = (select max(event_date) from {FEATURE_DAILY_TRENDS.qualified_name})
  and list_contains($metrics, trend.metric) and {is_worse_sql("trend", "state")} is not null
""",
        {"metrics": list(_METRICS)},
    ).fetchall()
    return found != [(0,)]


def _sentence(
    feature: str, metric: str, value: float, expected: float | None, change: float | None, users: int | None
) -> str:
    known = METRICS_BY_NAME[metric]
    against = f", expected {value_text(expected, known.unit)}" if expected is not None else ""
    by = f" ({change_text(change)})" if change is not None and abs(change) < 100 else ""
    who = f", {plural(users, 'user')} that day" if users else ""
    return f"{feature}: {known.label.lower()} {value_text(value, known.unit)}{against}{by}{who}"


def summary_lines(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """A dozen readable lines: what came in, what was refused and why, what the checks say, which features got worse."""
    totals = accounting(connection)
    yield (
        f"{plural(totals.files, 'file')}, {plural(totals.rows, 'row')} = {totals.valid:,} valid"
        f" + {totals.quarantined:,} quarantined"
        + totals.not_built
        + (f"; {plural(totals.rejected_files, 'file')} rejected" if totals.rejected_files else "")
    )
    yield from _rejected_lines(connection, totals.rejected_files)
    if totals.first_date:
        row = connection.execute(
            f"select count(distinct feature), count(distinct event_date) from {FACT_FEATURE_METRICS.qualified_name}"
        ).fetchone()
        assert row is not None  # an aggregate without GROUP BY has one row
        yield f"{plural(row[0], 'feature')} on {plural(row[1], 'day')}, {totals.first_date} to {totals.last_date}"
    reasons = quarantine_reasons(connection, 4)
    if reasons:
        yield "Quarantined most for: " + ", ".join(f"{reason} ({count:,})" for reason, count in reasons)
    yield checks_line(connection)
    failing = failing_checks(connection)
    for severity, asset, name, count, description in failing[:_MOST_CHECKS]:
        where = f" on {count:,} dates" if count > 1 else ""
        yield f"  {severity} {asset} {name}{where}: {description}"
    if len(failing) > _MOST_CHECKS:
        yield f"  … and {plural(len(failing) - _MOST_CHECKS, 'other check')}: `quality status`"
    if totals.first_date:
        yield from _attention_lines(connection)
    elif is_without_logs(connection):
        yield NOTHING_INGESTED


def _rejected_lines(connection: duckdb.DuckDBPyConnection, count: int) -> Iterator[str]:
    """The files that were rejected last, and why."""
    rows = connection.execute(
        f"select path, reason from {LOG_FILES.qualified_name} where status = 'rejected'"
        " order by file_number desc limit $limit",
        {"limit": _MOST_REJECTED},
    ).fetchall()
    for path, reason in rows:
        yield f"  {terminal_text(path)}: {terminal_text(reason)}"
    if count > _MOST_REJECTED:
        yield "  and others: `quality status`, or select path, reason from raw.log_files where status = 'rejected'"


def _attention_lines(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """What needs attention, then what was merely worse than usual; five features in all."""
    most = 5
    first = first_to_look_at(connection, most)
    if first:
        yield "Needs attention first:"
    for feature, reasons in first:
        yield f"  {reasons_text(feature, reasons)}"
    # What an incident of the whole product names has been told with it.
    wide = connection.execute(
        f"select distinct unnest(features) from {INCIDENTS.qualified_name} where end_date is null"
    ).fetchall()
    told = [*(feature for feature, _ in first), *(name for (name,) in wide)]
    worse = worse_features(connection, most - len(first), told)
    if worse:
        yield "Worse than their own past on the last day:"
    elif not first:
        is_known = is_anything_judged(connection)
        yield "No feature was worse than its own past on the last day." if is_known else NOTHING_JUDGED
    yield from (f"  {line}" for line in worse)
