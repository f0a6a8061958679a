"""Do the checks of the graph catch anything? Faults of known truth, planted in the last clean day of events and facts.

All of it in a database of its own in memory, which reads the published snapshot: nothing is kept, and no alert raised.
What is planted in the events goes on into user days and facts, as it would in the graph.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta

import duckdb

from quality_assets.contracts.events import USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.contracts.table import Table
from quality_assets.domain.events.tables import fact_feature_metrics_sql, user_feature_days_sql
from quality_assets.domain.quality.check import Check
from quality_assets.domain.quality.expectations import EXPECTATION_CHECKS
from quality_assets.domain.quality.sql_checks import SQL_CHECKS
from quality_assets.domain.sql_text import identifier, literal
from quality_assets.settings import Settings
from quality_assets.simulate.telemetry_faults import DAY, EVENT_FAULTS, FACT_FAULTS, PICKED, TelemetryFault
from quality_assets.stores.lake import Lake
from quality_assets.stores.readers.faults import FileRejected
from quality_assets.stores.snapshots import Snapshot, connect, current_snapshot, why_none_is_published
from quality_assets.stores.warehouse import WarehouseSession, apply_limits
from quality_assets.tables.checks.expectation_screen import rows_where_all_hold
from quality_assets.tables.checks.run import run_check
from quality_assets.tables.datasets.mutating import Mutant, MutationReport

MUTATED = (VALID_EVENTS, FACT_FEATURE_METRICS)
_FAULTS = {VALID_EVENTS.qualified_name: EVENT_FAULTS, FACT_FEATURE_METRICS.qualified_name: FACT_FAULTS}
_FOLLOWING = (VALID_EVENTS, USER_FEATURE_DAYS, FACT_FEATURE_METRICS)
"""Where a fault in the events shows, in the order in which tables are made."""
_CLEAN_DAYS = 7
_PARTS = 10_000


def mutate_table(settings: Settings, table: Table) -> MutationReport:
    """The report on the last clean day of a table. Raises FileRejected where nothing is published, or no day is clean.

    A fault is told where a check fails with it that did not fail without.
    """
    snapshot = current_snapshot(settings.published_dir)
    if snapshot is None or snapshot.data_through is None:
        raise FileRejected(why_none_is_published(settings.published_dir))
    with _scratch(settings, snapshot) as session:
        tables = _FOLLOWING if table is VALID_EVENTS else (table,)
        days = [snapshot.data_through - timedelta(days=back) for back in range(_CLEAN_DAYS)]
        failing = {day: _failing(session, tables, day) for day in days if _rows(session, table, day)}
        if not failing:
            raise FileRejected(f"{table.qualified_name} has no rows in the last {_CLEAN_DAYS} days")
        day = next((each for each, found in failing.items() if not found), min(failing, key=lambda d: len(failing[d])))
        mutants = tuple(_mutants(session, table, tables, day, failing[day]))
        alarms = sum(bool(found) for found in failing.values())
        return MutationReport(table.qualified_name, day.isoformat(), mutants, len(failing), alarms)


@contextmanager
def _scratch(settings: Settings, snapshot: Snapshot) -> Iterator[WarehouseSession]:
    """A database in memory with a view of each table of the snapshot, some of which may be replaced."""
    # A snapshot that was moved is put right by opening it.
    connect(snapshot).close()
    with duckdb.connect() as connection:
        apply_limits(connection, settings)
        connection.execute(f"attach {literal(str(snapshot.warehouse_path))} as base (read_only)")
        names = connection.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = 'base'"
            " union all select schema_name, view_name from duckdb_views() where database_name = 'base' and not internal"
        ).fetchall()
        for schema, name in names:
            connection.execute(f"create schema if not exists {identifier(schema)}")
            connection.execute(f"create view {_quoted(schema, name)} as select * from base.{_quoted(schema, name)}")
        yield WarehouseSession(connection, Lake(connection, settings.data_dir, settings.scratch_dir), settings)


def _quoted(schema: str, name: str) -> str:
    return f"{identifier(schema)}.{identifier(name)}"


def _rows(session: WarehouseSession, table: Table, day: date) -> int:
    found = session.connection.execute(f"select count(*) from {_of_day(table, day)}").fetchall()
    return int(found[0][0])


def _of_day(table: Table, day: date) -> str:
    return f"(from {table.qualified_name} where event_date = date '{day}')"


def _checks_of(tables: Sequence[Table]) -> list[Check]:
    names = {table.qualified_name for table in tables}
    return [check for check in (*SQL_CHECKS, *EXPECTATION_CHECKS) if check.subject.name in names]


def _failing(session: WarehouseSession, tables: Sequence[Table], day: date) -> set[str]:
    return {_name(check) for check in _checks_of(tables) if _fails(session, check, day)}


def _name(check: Check) -> str:
    return f"{check.subject.name}.{check.name}"


def _fails(session: WarehouseSession, check: Check, day: date) -> bool:
    if check.expectations:
        relation = f"(from {check.subject.name} where event_date = date '{day}')"
        return rows_where_all_hold(session.connection, relation, check.expectations) is None
    return any(result.status == "failed" for result in run_check(session, check, day, day))


def _mutants(
    session: WarehouseSession, table: Table, tables: Sequence[Table], day: date, failing: set[str]
) -> Iterator[Mutant]:
    """Each fault at each share, planted and taken away again."""
    connection = session.connection
    connection.execute(f"create or replace temp table clean_day as {_of_day(table, day)[1:-1]}")
    checks = [check for check in _checks_of(tables) if _name(check) not in failing]
    for fault in _FAULTS[table.qualified_name]:
        for share in fault.shares:
            count = _plant(session, table, fault, share, day)
            if count:
                told = next((_name(check) for check in checks if _fails(session, check, day)), None)
                yield Mutant(
                    fault.name, fault.dimension, fault.columns, share, count, told is not None, None,
                    None if told else fault.suggestion, told,
                )  # fmt: skip
    _show(connection, table, "clean_day", day)


def _plant(session: WarehouseSession, table: Table, fault: TelemetryFault, share: float, day: date) -> int:
    """Make the day as it is with the fault; how many rows it changed, lost or added, 0 where it hits nothing."""
    connection = session.connection
    seed = zlib.crc32(fault.name.encode())
    keys = ", ".join(identifier(name) for name in table.key)
    picked = f"(hash({keys}, {seed}) % {_PARTS} < {round(share * _PARTS)})"
    rows = fault.rows.replace(DAY, "clean_day").replace(PICKED, picked).replace("{date}", f"date '{day}'")
    # Of the mutated day the view is not asked: a fault may be made of the days before.
    connection.execute(f"create or replace temp table mutated_day as {rows}")
    counted = connection.execute(
        "select greatest((select count(*) from (from mutated_day except all from clean_day)),"
        " (select count(*) from (from clean_day except all from mutated_day)))"
    ).fetchall()
    if counted[0][0]:
        _show(connection, table, "mutated_day", day)
        if table is VALID_EVENTS:
            _follow(session, day)
    return int(counted[0][0])


def _show(connection: duckdb.DuckDBPyConnection, table: Table, rows: str, day: date) -> None:
    """Let a table have `rows` on a day, and be as it was published on all others."""
    connection.execute(
        f"create or replace view {table.qualified_name} as"
        f" select * from base.{table.qualified_name} where event_date <> date '{day}'"
        f" union all by name select * from {rows}"
    )


def _follow(session: WarehouseSession, day: date) -> None:
    """Make user days and facts of the day of the events as they are now."""
    connection = session.connection
    connection.execute(f"create or replace temp table user_day as {user_feature_days_sql('mutated_day')}")
    facts = fact_feature_metrics_sql("mutated_day", "user_day", FEATURE_DESCRIPTIONS.qualified_name)
    connection.execute(
        f"create or replace temp table fact_day as {facts}",
        {"apdex_threshold_ms": session.settings.apdex_threshold_ms},
    )
    _show(connection, USER_FEATURE_DAYS, "user_day", day)
    _show(connection, FACT_FEATURE_METRICS, "fact_day", day)
