"""Building funnels: how often their steps happen, who entered when, and how far they came."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from quality_assets.contracts.definitions import Funnel
from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.contracts.impact import FUNNEL_DAYS, FUNNEL_ENTRIES, FUNNEL_STEP_DAYS
from quality_assets.contracts.users import USER_DAYS, USER_SESSIONS
from quality_assets.domain.impact import funnels as sql
from quality_assets.progress import Progress, no_progress
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.impact.catching_up import (
    Build,
    Rows,
    Stretch,
    built_dates,
    catch_up,
    lake_rows,
    register_dates,
)
from quality_assets.tables.impact.defined import definitions_of

# Events of all steps in so many days, and in the window after them, are held in memory.
_DAYS_AT_ONCE = 92


def build_step_days(session: WarehouseSession, progress: Progress = no_progress) -> dict[date, int]:
    """Bring impact.funnel_step_days up to date; rows per date."""
    return catch_up(session, (FUNNEL_STEP_DAYS,), _of_each(session, _step_days), progress, most_days=_DAYS_AT_ONCE)


def build_entries(session: WarehouseSession, progress: Progress = no_progress) -> dict[date, int]:
    """Bring impact.funnel_entries up to date; rows per date of entry."""
    return catch_up(session, (FUNNEL_ENTRIES,), _of_each(session, _entries), progress, most_days=_DAYS_AT_ONCE)


def build_funnel_days(session: WarehouseSession, progress: Progress = no_progress) -> dict[date, int]:
    """Bring impact.funnel_days up to date; rows per date of entry."""
    return catch_up(session, (FUNNEL_DAYS,), _of_each(session, _funnel_days), progress, most_days=_DAYS_AT_ONCE)


def _of_each(session: WarehouseSession, build: object) -> Build:
    funnels = definitions_of(session, Funnel)

    def built(session: WarehouseSession, stretch: Stretch) -> Rows | None:
        assert callable(build)
        build(session, stretch, funnels[stretch.definition])
        return None

    return built


def _steps(session: WarehouseSession, funnel: Funnel, start: date, end: date, bound: sql.Bound) -> str:
    """The events from `start` to `end` that are steps of `funnel`, as a query."""
    automated = f"(select event_date, user_id from {lake_rows(session, USER_DAYS, start, end)} where is_automated)"
    events = lake_rows(session, VALID_EVENTS, start, end)
    sessions = lake_rows(session, USER_SESSIONS, start, end)
    return sql.steps_sql(funnel, events, sessions, automated, bound)


def _step_days(session: WarehouseSession, stretch: Stretch, funnel: Funnel) -> None:
    register_dates(session, stretch.dates)
    bound = sql.Bound()
    # Counted as they are read: only what is counted is taken out of the files.
    steps = f"({_steps(session, funnel, stretch.start, stretch.end, bound)})"
    session.connection.execute(
        f"insert into {FUNNEL_STEP_DAYS.qualified_name} by name {sql.step_days_sql(funnel, steps, bound)}",
        {**bound.values, "start": stretch.start, "end": stretch.end},
    )


def _entries(session: WarehouseSession, stretch: Stretch, funnel: Funnel) -> None:
    connection = session.connection
    of_steps = sql.Bound()
    steps = _steps(session, funnel, stretch.start, stretch.end + timedelta(days=funnel.reach_days), of_steps)
    connection.execute(f"create or replace temp table steps as {steps}", of_steps.values)
    through = datetime.combine(built_dates(session)[-1] + timedelta(days=1), time())
    bound = sql.Bound()
    query = sql.entries_sql(funnel, "steps", bound)
    connection.execute(
        f"create or replace temp table entered as {query}",
        {**bound.values, "start": stretch.start, "end": stretch.end, "through_at": through},
    )
    files = []
    columns = FUNNEL_ENTRIES.select_list()
    for day in stretch.dates:
        file = session.lake.write(
            connection,
            FUNNEL_ENTRIES,
            day,
            f"select {columns} from entered where entry_date = $day order by unit",
            {"day": day},
            label=funnel.name,
        )
        files += [file] if file else []
    session.lake.commit(FUNNEL_ENTRIES, files, [])
    connection.execute("drop table entered")
    connection.execute("drop table steps")


def _funnel_days(session: WarehouseSession, stretch: Stretch, funnel: Funnel) -> None:
    bound = sql.Bound()
    entries = lake_rows(session, FUNNEL_ENTRIES, stretch.start, stretch.end, funnel.name)
    session.connection.execute(
        f"insert into {FUNNEL_DAYS.qualified_name} by name {sql.funnel_days_sql(funnel, entries, bound)}",
        bound.values,
    )
