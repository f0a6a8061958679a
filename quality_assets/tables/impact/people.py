"""Building what follows people: sessions, user days and first uses."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import pyarrow as pa

from quality_assets.contracts.events import USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.users import FEATURE_SESSION_DAYS, FIRST_USES, USER_DAYS, USER_SESSIONS
from quality_assets.domain.impact import cohorts, sessions
from quality_assets.domain.impact.settings import IDLE_MINUTES
from quality_assets.progress import Progress, no_progress
from quality_assets.stores.lake import LakeFile, files_sql
from quality_assets.stores.warehouse import WarehouseSession, insert_rows, open_scratch, side_by_side
from quality_assets.tables.impact.catching_up import (
    Rows,
    Stretch,
    built_dates,
    catch_up,
    files_by_date,
    lake_rows,
)

# Candidates for a first use are held in memory with their events.
_DAYS_AT_ONCE = 31


def build_user_sessions(session: WarehouseSession, progress: Progress = no_progress) -> dict[date, int]:
    """Bring core.user_sessions, core.user_days and core.feature_session_days up to date; sessions per date."""
    return catch_up(session, (USER_SESSIONS, USER_DAYS, FEATURE_SESSION_DAYS), _sessions, progress)


def _sessions(session: WarehouseSession, stretch: Stretch) -> Rows | None:
    lake = session.lake
    events = files_by_date(session, VALID_EVENTS, stretch.start - timedelta(days=1), stretch.end)

    def day_of(cursor: duckdb.DuckDBPyConnection, day: date) -> tuple[LakeFile | None, LakeFile | None, pa.Table]:
        before = events.get(day - timedelta(days=1), [])
        return _sessions_of_a_day(session, cursor, day, events.get(day, []), before)

    with open_scratch(session.settings) as scratch:
        made = list(side_by_side(scratch, session.settings, day_of, stretch.dates))
    # All days at once: to note a file costs as much as to note a hundred.
    sat, lived, went = zip(*made, strict=True)
    lake.commit(USER_SESSIONS, [file for file in sat if file], [])
    lake.commit(USER_DAYS, [file for file in lived if file], [])
    insert_rows(session.connection, FEATURE_SESSION_DAYS.qualified_name, pa.concat_tables(went))
    return None


def _sessions_of_a_day(
    session: WarehouseSession, cursor: duckdb.DuckDBPyConnection, day: date, events: list[str], before: list[str]
) -> tuple[LakeFile | None, LakeFile | None, pa.Table]:
    name = f"{day:%Y%m%d}"
    of_day = f"({files_sql(VALID_EVENTS, events)})"
    date_sql = f"date '{day.isoformat()}'"
    late = f"timestamp '{day.isoformat()}' - interval {IDLE_MINUTES} minutes"
    idle = f"(select * from ({files_sql(VALID_EVENTS, before)}) where event_time >= {late})"
    cursor.execute(f"create temp table uses_{name} as {sessions.feature_sessions_sql(of_day)}")
    cursor.execute(f"create temp table said_{name} as {sessions.attributes_sql(of_day)}")
    cursor.execute(f"create temp table sat_{name} as {sessions.sat_sql(f'uses_{name}', idle)}")
    sat = sessions.user_sessions_sql(f"sat_{name}", f"said_{name}", date_sql)
    lived = sessions.user_days_sql(f"uses_{name}", f"sat_{name}", f"said_{name}", date_sql)
    ordered = f"select {USER_SESSIONS.select_list()} from ({sat}) order by user_id, session_key"
    sat_file = session.lake.write(cursor, USER_SESSIONS, day, ordered, label="sessions")
    lived_file = session.lake.write(
        cursor, USER_DAYS, day, f"select {USER_DAYS.select_list()} from ({lived}) order by user_id", label="days"
    )
    went = cursor.sql(sessions.feature_session_days_sql(f"uses_{name}", date_sql)).to_arrow_table()
    for table in ("uses", "said", "sat"):
        cursor.execute(f"drop table {table}_{name}")
    return sat_file, lived_file, went


def build_first_uses(session: WarehouseSession, progress: Progress = no_progress) -> dict[date, int]:
    """Bring core.first_uses up to date: from the first stale date on, since who was there before is new no more."""
    return catch_up(session, (FIRST_USES,), _first_uses, progress, most_days=_DAYS_AT_ONCE, to_the_end=True)


def _first_uses(session: WarehouseSession, stretch: Stretch) -> Rows | None:
    connection = session.connection
    span = {"start": stretch.start, "end": stretch.end}
    connection.execute(
        f"delete from {FIRST_USES.qualified_name} where first_use_date >= $start", {"start": stretch.start}
    )
    connection.execute(
        f"create or replace temp table new_uses as {cohorts.new_uses_sql(f'({usage(session, *span.values())})')}",
        span,
    )
    connection.execute("create or replace temp table moments (key ubigint, moment hugeint, user_key ubigint)")
    connection.execute(
        "create or replace temp table said (attributes ubigint primary key, platform varchar, country varchar)"
    )
    files = files_by_date(session, VALID_EVENTS, stretch.start, stretch.end)
    for day in stretch.dates:
        # A day at a time: what is looked up in stays in the processor's cache.
        events = f"({files_sql(VALID_EVENTS, files.get(day, []))})"
        of_day = "(from new_uses where first_use_date = $day)"
        connection.execute(f"insert into moments {cohorts.first_moments_sql(of_day, events)}", {"day": day})
        connection.execute(f"insert or ignore into said {cohorts.said_sql(events)}")
    connection.execute(
        f"insert into {FIRST_USES.qualified_name} by name {cohorts.first_uses_sql('new_uses', 'moments', 'said')}",
        {"first_date": min(built_dates(session))},
    )
    for table in ("new_uses", "moments", "said"):
        connection.execute(f"drop table {table}")
    return None


def usage(session: WarehouseSession, start: date, end: date) -> str:
    """Who used what from `start` to `end`, once a user, feature and day, as a query; '*' is the product."""
    return cohorts.usage_sql(
        lake_rows(session, USER_FEATURE_DAYS, start, end), lake_rows(session, USER_DAYS, start, end)
    )


def keyed_usage(session: WarehouseSession, start: date, end: date) -> str:
    """As `usage`, with a number in place of the user."""
    return cohorts.keyed_usage_sql(
        lake_rows(session, USER_FEATURE_DAYS, start, end), lake_rows(session, USER_DAYS, start, end)
    )
