"""How a table of the impact stage is brought up to date: its stale dates, in stretches, each in one transaction.

A change of one day makes other days stale in each table: a week before it in a funnel, everything after it in first
uses, a quarter before it in retention. So each table asks by itself, and no run has dates (docs/adr/0017).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.contracts.ops import AUDITS_DUE, PARTITION_STATE
from quality_assets.contracts.pipeline import PIPELINE
from quality_assets.contracts.table import Table
from quality_assets.progress import Progress
from quality_assets.stores.lake import LakeFile, files_sql
from quality_assets.stores.warehouse import WarehouseSession, refresh_lake_views
from quality_assets.tables.staleness import forget_built, gone_parts, record_built, stale_parts

Rows = Mapping[date, int]


@dataclass(frozen=True)
class Stretch:
    """Dates of one table that are built together; `dates` are those from `start` to `end` that are to be built."""

    definition: str
    dates: tuple[date, ...]

    @property
    def start(self) -> date:
        """The first of them."""
        return self.dates[0]

    @property
    def end(self) -> date:
        """The last of them."""
        return self.dates[-1]


Build = Callable[[WarehouseSession, Stretch], Rows | None]


def catch_up(
    session: WarehouseSession,
    tables: Sequence[Table],
    build: Build,
    progress: Progress,
    *,
    most_days: int = 366,
    to_the_end: bool = False,
) -> dict[date, int]:
    """Make the stale dates of `tables` anew, and empty those that nothing is left of; rows of the first per date.

    The others are made with the first. `build` inserts the rows of a stretch, which has been emptied, and gives how
    many there are per date, unless that is to be counted. `to_the_end` has a stretch go on to the last date of all,
    where each day follows from the day before.
    """
    table = tables[0]
    stale, gone = stale_parts(session.connection, table), gone_parts(session.connection, table)
    done: dict[date, int] = {}
    for definition in sorted(stale.keys() | gone.keys()):
        with session.transaction():
            for each in tables:
                _empty(session, each, definition, gone.get(definition, []))
                forget_built(session.connection, each, gone.get(definition, []), definition)
        for each in tables:
            if each.store == "lake" and gone.get(definition):
                session.lake.sweep(each, gone[definition])
        wanted = stale.get(definition, {})
        first_gone = min(gone.get(definition, []), default=None)
        start = min([*wanted, *([first_gone] if first_gone else [])], default=None) if to_the_end else None
        for stretch in _stretches(session, definition, wanted, start, most_days):
            done |= _build(session, tables, build, stretch, wanted)
            progress(f"{table.name} {stretch.start} to {stretch.end}")
    if any(each.store == "lake" for each in tables):
        refresh_lake_views(session.connection, session.settings)
    return done


def _build(
    session: WarehouseSession, tables: Sequence[Table], build: Build, stretch: Stretch, wanted: Mapping[date, str]
) -> Rows:
    connection = session.connection
    with session.transaction():
        for table in tables:
            _empty(session, table, stretch.definition, stretch.dates)
        rows = build(session, stretch)
        for table in tables:
            counted = rows if rows is not None and table is tables[0] else count_rows(session, table, stretch)
            fingerprints = {day: wanted[day] for day in stretch.dates if day in wanted}
            record_built(connection, table, fingerprints, counted, stretch.definition)
            if table in PIPELINE.audited:
                connection.execute(
                    f"insert or ignore into {AUDITS_DUE.qualified_name} select $name, unnest($days)",
                    {"name": table.qualified_name, "days": list(stretch.dates)},
                )
            if table is tables[0]:
                result = counted
    for table in tables:
        if table.store == "lake":
            session.lake.sweep(table, stretch.dates)
    return {day: result.get(day, 0) for day in stretch.dates}


def _stretches(
    session: WarehouseSession,
    definition: str,
    wanted: Collection[date],
    start: date | None,
    most_days: int,
) -> Iterator[Stretch]:
    """The `wanted` dates, and all from `start` on where that is given, in stretches without a date between."""
    if not wanted and start is None:
        return
    there = built_dates(session)
    chosen = {day for day in there if day in wanted or (start is not None and day >= start)}
    part: list[date] = []
    for day in there:
        if part and (day not in chosen or len(part) >= most_days):
            yield Stretch(definition, tuple(part))
            part = []
        if day in chosen:
            part.append(day)
    if part:
        yield Stretch(definition, tuple(part))


def built_dates(session: WarehouseSession) -> list[date]:
    """The dates that there are events of, ascending."""
    rows = session.connection.execute(
        f"select event_date from {PARTITION_STATE.qualified_name} where table_name = $name order by 1",
        {"name": VALID_EVENTS.qualified_name},
    ).fetchall()
    return [day for (day,) in rows]


def _empty(session: WarehouseSession, table: Table, definition: str, days: Collection[date]) -> None:
    if not days or table.partition_column is None:
        return
    if table.store == "lake":
        files = [file for file in session.lake.files(table, min(days), max(days)) if file.event_date in set(days)]
        session.lake.remove(table, [file.path for file in files if is_of(file, definition)])
        return
    defined_by = PIPELINE.build(table).defined_by
    where = f" and {defined_by} = $definition" if defined_by else ""
    session.connection.execute(
        f"delete from {table.qualified_name} where list_contains($days, {table.partition_column}){where}",
        {"days": sorted(days), **({"definition": definition} if defined_by else {})},
    )


def is_of(file: LakeFile, definition: str) -> bool:
    """Whether a lake file has the rows of `definition`, or of a table that knows none."""
    return not definition or file.path.endswith(f"/{definition}.parquet")


def count_rows(session: WarehouseSession, table: Table, stretch: Stretch) -> dict[date, int]:
    """Rows of `table` per date of `stretch`."""
    if table.partition_column is None:
        return {}
    if table.store == "lake":
        rows = dict.fromkeys(stretch.dates, 0)
        for file in session.lake.files(table, stretch.start, stretch.end):
            if file.event_date in rows and is_of(file, stretch.definition):
                rows[file.event_date] += file.row_count
        return rows
    defined_by = PIPELINE.build(table).defined_by
    where = f" and {defined_by} = $definition" if defined_by else ""
    found = session.connection.execute(
        f"select {table.partition_column}, count(*) from {table.qualified_name}"
        f" where {table.partition_column} between $start and $end{where} group by 1",
        {
            "start": stretch.start,
            "end": stretch.end,
            **({"definition": stretch.definition} if defined_by else {}),
        },
    ).fetchall()
    return dict(found)


def lake_rows(session: WarehouseSession, table: Table, start: date, end: date, definition: str = "") -> str:
    """The rows of a lake table from `start` to `end` as a relation, of the files that count."""
    files = [file for file in session.lake.files(table, start, end) if is_of(file, definition)]
    return f"({files_sql(table, session.lake.absolute(files))})"


def files_by_date(session: WarehouseSession, table: Table, start: date, end: date) -> dict[date, list[str]]:
    """The paths of a lake table's files that count by date, of those dates from `start` to `end` that have any."""
    paths: dict[date, list[str]] = {}
    for file in session.lake.files(table, start, end):
        paths.setdefault(file.event_date, []).extend(session.lake.absolute([file]))
    return paths


def days_before(day: date, days: int) -> date:
    """The date `days` days earlier, and the earliest of all where that is none."""
    return day - timedelta(days=days) if (day - date.min).days > days else date.min


def register_dates(session: WarehouseSession, days: Iterable[date]) -> None:
    """Make `built` a temporary table of dates (`event_date`), for queries that ask which there are."""
    session.connection.execute(
        "create or replace temp table built as select unnest($days) as event_date", {"days": list(days)}
    )
