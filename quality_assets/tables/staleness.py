"""What is stale: each partition remembers a fingerprint of what it was built from, and is stale when that differs.

This, not the orchestrator's event log, is what a re-run after a kill trusts. A fingerprint covers the files and the
version of the rules, never a clock. The clock only says which days are over: a day is judged as a whole, so what has
come of today (UTC) is read, and waits. So does a last day of which a source in another time zone has only the hours
until its own midnight: there more is to come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

import duckdb

from quality_assets.contracts.events import RAW_LOGS, VALID_EVENTS
from quality_assets.contracts.impact import DEFINITIONS, FUNNEL_DAYS
from quality_assets.contracts.monitoring import CHECK_RESULTS
from quality_assets.contracts.ops import ASSET_RUNS, AUDITS_DUE, LAKE_FILES, PART_MARK, PARTITION_STATE
from quality_assets.contracts.pipeline import PIPELINE, Pipeline
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS, LOG_FILES
from quality_assets.contracts.table import DefinitionKind, OutsideInput, Stage, Table, Window
from quality_assets.settings import Settings
from quality_assets.stores.lake import first_date_there

_RAW_FILES = f"(from {LAKE_FILES.qualified_name} where table_name = '{RAW_LOGS.qualified_name}')"

# The last event date of all, where the logs of a source end on it, and the source's own day ends before it does.
_CUT_SHORT = f"""
select last.event_date, string_agg(source, ', ' order by source) as sources,
  max(last_event_time) as last_event_time, min(ends_at) as ends_at
from (select max(event_date) as event_date from {_RAW_FILES}) as last
join (
  select source, max(last_event_time) as last_event_time, arg_max(last_day_ends_at, last_event_time) as ends_at
  from {LOG_FILES.qualified_name} group by source
) on cast(last_event_time as date) = last.event_date and ends_at < last.event_date + 1
group by last.event_date
"""

_RAW = f"""
select event_date, md5(string_agg(path || ':' || row_count, ',' order by path)) as fingerprint
from {_RAW_FILES} where event_date < current_date and event_date not in (select event_date from ({_CUT_SHORT}))
group by event_date
"""


def _built(name: str) -> str:
    return (
        f"select event_date, inputs_fingerprint as fingerprint from {PARTITION_STATE.qualified_name}"
        f" where table_name = '{name}'"
    )


def _built_parts(name: str) -> str:
    """As `_built`, of a table of which each definition has partitions of its own, whose name is `definition`."""
    return (
        f"select event_date, split_part(table_name, '{PART_MARK}', 2) as definition, inputs_fingerprint as fingerprint"
        f" from {PARTITION_STATE.qualified_name} where starts_with(table_name, '{name}{PART_MARK}')"
    )


_SEEN = f"""
select first_date, md5(string_agg(cohort, ',') over (order by first_date)) as fingerprint
from (
  select first_date, md5(string_agg(feature, ',' order by feature)) as cohort
  from (select feature, min(event_date) as first_date from {FACT_FEATURE_METRICS.qualified_name} group by feature)
  group by first_date
)
"""

# Funnels may be none: then engagement says nothing of completion, and waits for nothing.
_COMPLETIONS = f"""
coalesce((select md5(string_agg(definition || parts.fingerprint, ',' order by definition))
 from ({_built_parts(FUNNEL_DAYS.qualified_name)}) as parts where parts.event_date = inputs.event_date), '')
"""

_SHARING = f"""
coalesce((select string_agg(version, ',' order by name) from {DEFINITIONS.qualified_name}
 where kind = 'sharing' and error is null), '')
"""

# What a partition depends on besides its inputs' partitions, as SQL over its `event_date`.
_ALSO: Mapping[OutsideInput, str] = {
    "apdex_thresholds": f"""
coalesce((select md5(string_agg(feature || '=' || apdex_threshold_ms, ',' order by feature))
 from {FEATURE_DESCRIPTIONS.qualified_name} where apdex_threshold_ms is not null), '')
|| ' ' || coalesce(getvariable('apdex_threshold_ms'), '')
""",
    "features_seen": f"""
coalesce((select arg_max(seen.fingerprint, seen.first_date) from ({_SEEN}) as seen
 where seen.first_date <= inputs.event_date), '')
""",
    "completions": _COMPLETIONS,
    "sharing": _SHARING,
}


def wanted_sql(table: Table, pipeline: Pipeline = PIPELINE) -> str:
    """What the partitions of `table` should have been built from, given what its inputs are now, as a query.

    (event_date, fingerprint) of each date that all its inputs have; of a table that another makes, that one's. Where
    each definition has partitions of its own, also whose (`definition`).
    """
    build = pipeline.build(table)
    if build.made_with is not None:
        return wanted_sql(pipeline.table(build.made_with), pipeline)
    if build.defined_by is not None:
        return _wanted_parts_sql(table, build.defined_by, pipeline)
    # Of what definitions make there may be nothing: `also_from` says what a date without them depends on.
    dated = [n for n in pipeline.dated_sources(table) if pipeline.build(pipeline.table(n)).defined_by is None]
    windows = [pipeline.window(table, name) for name in dated]
    sources = [_source_sql(window, build.is_cumulative) for window in windows]
    joined = " join ".join(
        f"({sql}) as source_{n}" + (" using (event_date)" if n else "") for n, sql in enumerate(sources)
    )
    parts = " || ',' || ".join(f"source_{n}.fingerprint" for n in range(len(sources)))
    also = "".join(f" || {_ALSO[name]}" for name in build.also_from)
    return (
        f"select event_date, md5(fingerprint{also} || '{build.version}') as fingerprint"
        f" from (select event_date, {parts} as fingerprint from {joined}) as inputs"
    )


def _source_sql(window: Window, is_cumulative: bool = False) -> str:
    """(event_date, fingerprint) of an input, which covers the days before and after where they are read too."""
    source = _RAW if window.input == RAW_LOGS.qualified_name else _built(window.input)
    if is_cumulative:
        return (
            "select event_date, md5(string_agg(fingerprint, ',') over (order by event_date)) as fingerprint"
            f" from ({source})"
        )
    if not window.before and not window.after:
        return source
    return f"""
select day.event_date, string_agg(near.fingerprint, ',' order by near.event_date){_seen_until(str(window.after))}
  as fingerprint
from ({source}) as day
join ({source}) as near on near.event_date between day.event_date - {window.before} and day.event_date + {window.after}
group by day.event_date
"""


def _seen_until(after: str) -> str:
    """What a partition that looks forward says of how far it could: a day that never came is over once others came."""
    last = f"any_value((select max(event_date) from {_BUILT_EVENTS}))"
    return "" if after == "0" else f" || ' until ' || least(day.event_date + {after}, {last})"


OF_NO_DATE = date(1970, 1, 1)
"""The date under which it is remembered what a table without dates was made from."""

_BUILT_EVENTS = f"({_built(VALID_EVENTS.qualified_name)})"


def _wanted_parts_sql(table: Table, kind: DefinitionKind, pipeline: Pipeline) -> str:
    """(event_date, definition, fingerprint) of each date of the events and each definition that can be used."""
    usable = (
        f"(select name as definition, version, reach_days from {DEFINITIONS.qualified_name}"
        f" where kind = '{kind}' and error is null)"
    )
    joined, parts = "", ""
    for n, name in enumerate(pipeline.dated_sources(table)):
        joined += (
            f" join ({_part_source_sql(pipeline, table, name, usable)}) as source_{n} using (event_date, definition)"
        )
        parts += f" || ',' || source_{n}.fingerprint"
    version = pipeline.build(table).version
    return (
        f"select event_date, definition, md5(defined.version{parts} || '{version}') as fingerprint"
        f" from (select * from {_BUILT_EVENTS} cross join {usable}) as defined{joined}"
    )


def _part_source_sql(pipeline: Pipeline, table: Table, name: str, usable: str) -> str:
    """(event_date, definition, fingerprint) of an input of a table whose definitions have their own partitions."""
    window = pipeline.window(table, name)
    is_parted = pipeline.build(pipeline.table(name)).defined_by is not None
    before = "reach_days" if window.before is None else str(window.before)
    after = "reach_days" if window.after is None else str(window.after)
    source = _built_parts(name) if is_parted else _built(name)
    of_it = " and near.definition = defined.definition" if is_parted else ""
    return f"""
select day.event_date, defined.definition,
  string_agg(near.fingerprint, ',' order by near.event_date)
  {_seen_until(after).replace("reach_days", "any_value(reach_days)")} as fingerprint
from {_BUILT_EVENTS} as day cross join {usable} as defined
join ({source}) as near on near.event_date between day.event_date - {before} and day.event_date + {after}{of_it}
group by day.event_date, defined.definition
"""


def wanted_fingerprints(
    connection: duckdb.DuckDBPyConnection, table: Table, start: date | None = None, end: date | None = None
) -> dict[date, str]:
    """Per event date between `start` and `end` that the table's inputs have: what it should be built from."""
    rows = connection.execute(
        f"select event_date, fingerprint from ({wanted_sql(table)})"
        " where event_date >= coalesce($start, event_date) and event_date <= coalesce($end, event_date)"
        " order by event_date",
        {"start": start, "end": end},
    ).fetchall()
    return dict(rows)


def stale_dates(connection: duckdb.DuckDBPyConnection, table: Table, pipeline: Pipeline = PIPELINE) -> list[date]:
    """The event dates whose partition of `table` was not built from what its inputs are now, ascending."""
    rows = connection.execute(
        f"select wanted.event_date from ({wanted_sql(table, pipeline)}) as wanted"
        f" left join ({_built(table.qualified_name)}) as built using (event_date)"
        " where built.fingerprint is distinct from wanted.fingerprint"
        f" union {_emptied_sql(table, pipeline)} order by 1"
    ).fetchall()
    return [row[0] for row in rows]


def _emptied_sql(table: Table, pipeline: Pipeline) -> str:
    """The dates of which `table` is built, and one of its inputs has nothing any more; raw logs of today are there."""
    build = pipeline.build(table)
    made_with = table if build.made_with is None else pipeline.table(build.made_with)
    gone = [
        "event_date not in (select event_date from "
        + (_RAW_FILES if name == RAW_LOGS.qualified_name else f"({_built(name)})")
        + ")"
        for name in pipeline.dated_sources(made_with)
    ]
    return f"select event_date from ({_built(table.qualified_name)}) where {' or '.join(gone) or 'false'}"


def emptied_dates(connection: duckdb.DuckDBPyConnection, table: Table, start: date, end: date) -> list[date]:
    """The event dates of `table` that are built, and of which nothing is left to build them from, ascending."""
    rows = connection.execute(
        f"select event_date from ({_emptied_sql(table, PIPELINE)}) where event_date between $start and $end order by 1",
        {"start": start, "end": end},
    ).fetchall()
    return [row[0] for row in rows]


def forget_built(
    connection: duckdb.DuckDBPyConnection, table: Table, days: Sequence[date], definition: str = ""
) -> None:
    """Forget that partitions of `table` were built and checked; call in the transaction that empties them."""
    if not days:
        return
    parameters = {"name": _state_name(table, definition), "days": list(days)}
    for state in (PARTITION_STATE, AUDITS_DUE):
        connection.execute(
            f"delete from {state.qualified_name} where table_name = $name and list_contains($days, event_date)",
            parameters,
        )
    connection.execute(
        f"delete from {CHECK_RESULTS.qualified_name} where asset = $name"
        " and list_contains($days, try_cast(partition_key as date))",
        parameters,
    )


def days_to_build(connection: duckdb.DuckDBPyConnection) -> list[date]:
    """The event dates for which a table of the days' stage is stale or was never checked, ascending."""
    return _to_build(connection, "days")


def dates_there(connection: duckdb.DuckDBPyConnection, start: date, end: date) -> list[date]:
    """The event dates from `start` to `end` that there is anything to build from, or that are built, ascending."""
    built = row_counts(connection, VALID_EVENTS, start, end)
    return sorted({*wanted_fingerprints(connection, VALID_EVENTS, start, end), *built})


def built_dates(connection: duckdb.DuckDBPyConnection) -> set[date]:
    """The event dates that any table is built of."""
    rows = connection.execute(f"select distinct event_date from {PARTITION_STATE.qualified_name}").fetchall()
    return {row[0] for row in rows}


def first_event_date(settings: Settings) -> date:
    """The first day that a root has data of, or had and has built; where it has none, the first that could be built."""
    return first_date_there(RAW_LOGS, settings.lake_dir) or settings.earliest_date


def dates_not_over(connection: duckdb.DuckDBPyConnection) -> dict[date, str]:
    """The event dates of which something was read, and which are built when they are over, ascending; and why."""
    rows = connection.execute(
        f"select distinct event_date, 'is not over (UTC)' from {_RAW_FILES} where event_date >= current_date union all"
        " select event_date, 'has come until ' || strftime(last_event_time, '%H:%M') || ' (UTC); the own day of '"
        " || sources || ' ends at ' || strftime(ends_at, '%H:%M')"
        f" from ({_CUT_SHORT}) where event_date < current_date order by 1"
    ).fetchall()
    return dict(rows)


def trends_to_build(connection: duckdb.DuckDBPyConnection) -> list[date]:
    """The event dates whose trends are stale or were never checked, ascending."""
    return _to_build(connection, "trends")


def _to_build(connection: duckdb.DuckDBPyConnection, stage: Stage) -> list[date]:
    dated = [table for table in PIPELINE.of_stages(stage) if table.is_built_by_date]
    stale = (stale_dates(connection, table) for table in dated if table in PIPELINE.fingerprinted)
    unaudited = unaudited_by_table(connection, [table for table in dated if table in PIPELINE.audited])
    return sorted(set().union(*stale, *unaudited.values()))


def await_audit(connection: duckdb.DuckDBPyConnection, table: Table, start: date, end: date) -> None:
    """Remember, before `table` is built from `start` to `end`, that its checks have to be asked after."""
    if table in PIPELINE.audited:
        connection.execute(
            f"insert or ignore into {AUDITS_DUE.qualified_name}"
            " select $name, cast(unnest(generate_series($start, $end, interval 1 day)) as date)",
            {"name": table.qualified_name, "start": start, "end": end},
        )


def record_audited(connection: duckdb.DuckDBPyConnection, table: Table, start: date, end: date) -> None:
    """Remember that the checks of `table` were asked from `start` to `end`."""
    if table in PIPELINE.audited:
        connection.execute(
            f"delete from {AUDITS_DUE.qualified_name} where table_name = $name and event_date between $start and $end",
            {"name": table.qualified_name, "start": start, "end": end},
        )


def unaudited_dates(connection: duckdb.DuckDBPyConnection, table: Table) -> list[date]:
    """The event dates of `table` that are built and were not checked since, ascending."""
    return unaudited_by_table(connection, [table]).get(table.qualified_name, [])


def unaudited_by_table(connection: duckdb.DuckDBPyConnection, tables: Sequence[Table]) -> dict[str, list[date]]:
    """As `unaudited_dates`, of several tables by their qualified names; without those that have none."""
    rows = connection.execute(
        f"select due.table_name, list_sort(list(distinct state.event_date)) from {PARTITION_STATE.qualified_name}"
        f" as state join {AUDITS_DUE.qualified_name} as due on due.event_date = state.event_date"
        f" and due.table_name = split_part(state.table_name, '{PART_MARK}', 1)"
        " where list_contains($names, due.table_name) group by due.table_name",
        {"names": [table.qualified_name for table in tables]},
    ).fetchall()
    return dict(rows)


def is_arrival_unaudited(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether logs were read and have not been checked since."""
    arrival = [table.qualified_name for table in PIPELINE.of_stages("arrival")]
    row = connection.execute(
        f"select count(*) from {AUDITS_DUE.qualified_name} where list_contains($arrival, table_name)",
        {"arrival": arrival},
    ).fetchone()
    return row != (0,)


def record_built(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    fingerprints: Mapping[date, str],
    rows: Mapping[date, int],
    definition: str = "",
) -> None:
    """Remember what partitions of `table` were built from; call in the transaction that writes them."""
    if not fingerprints:
        return
    days = list(fingerprints)
    connection.execute(
        f"insert or replace into {PARTITION_STATE.qualified_name} by name select $name as table_name,"
        " unnest($days) as event_date, unnest($fingerprints) as inputs_fingerprint, unnest($rows) as row_count",
        {
            "name": _state_name(table, definition),
            "days": days,
            "fingerprints": [fingerprints[day] for day in days],
            "rows": [rows.get(day, 0) for day in days],
        },
    )


def built_from(connection: duckdb.DuckDBPyConnection, table: Table) -> str | None:
    """What a table that is made whole was made from, as `record_built` remembers it of no date; None before."""
    row = connection.execute(
        f"select inputs_fingerprint from {PARTITION_STATE.qualified_name}"
        " where table_name = $name and event_date = $day",
        {"name": table.qualified_name, "day": OF_NO_DATE},
    ).fetchone()
    return None if row is None else str(row[0])


def _state_name(table: Table, definition: str) -> str:
    return f"{table.qualified_name}{PART_MARK}{definition}" if definition else table.qualified_name


def stale_parts(connection: duckdb.DuckDBPyConnection, table: Table) -> dict[str, dict[date, str]]:
    """As `stale_dates`, with what each should be built from, by definition; of a table that has none, by ''."""
    is_parted = PIPELINE.build(table).defined_by is not None
    definition, built = ("definition", _built_parts) if is_parted else ("'' as definition", _built)
    keys = "event_date, definition" if is_parted else "event_date"
    rows = connection.execute(
        f"select {definition}, event_date, wanted.fingerprint from ({wanted_sql(table)}) as wanted"
        f" left join ({built(table.qualified_name)}) as built using ({keys})"
        " where built.fingerprint is distinct from wanted.fingerprint order by 1, 2"
    ).fetchall()
    found: dict[str, dict[date, str]] = {}
    for name, day, fingerprint in rows:
        found.setdefault(name, {})[day] = fingerprint
    return found


def gone_parts(connection: duckdb.DuckDBPyConnection, table: Table) -> dict[str, list[date]]:
    """The dates that are built, and of which nothing is left to build them from, by definition ('' without)."""
    is_parted = PIPELINE.build(table).defined_by is not None
    definition, built = ("definition", _built_parts) if is_parted else ("'' as definition", _built)
    keys = "event_date, definition" if is_parted else "event_date"
    rows = connection.execute(
        f"select {definition}, event_date from ({built(table.qualified_name)}) as built"
        f" anti join ({wanted_sql(table)}) as wanted using ({keys}) order by 1, 2"
    ).fetchall()
    found: dict[str, list[date]] = {}
    for name, day in rows:
        found.setdefault(name, []).append(day)
    return found


def record_asset_run(
    connection: duckdb.DuckDBPyConnection,
    *,
    asset: str,
    run_id: str,
    partition_key: str,
    started_at: datetime,
    finished_at: datetime,
    row_count: int | None,
    status: str,
) -> None:
    """Keep when an asset was built, how long that took and how it ended."""
    row = {
        "asset": asset,
        "run_id": run_id,
        "partition_key": partition_key,
        "started_at": started_at,
        "finished_at": finished_at,
        "duration_s": (finished_at - started_at).total_seconds(),
        "row_count": row_count,
        "status": status,
    }
    connection.execute(
        f"insert or replace into {ASSET_RUNS.qualified_name} by name"
        f" select {', '.join(f'${name} as {name}' for name in row)}",
        row,
    )


def row_counts(
    connection: duckdb.DuckDBPyConnection, table: Table, start: date | None = None, end: date | None = None
) -> dict[date, int]:
    """Rows per built partition of `table` between `start` and `end`, both inclusive."""
    rows = connection.execute(
        f"select event_date, row_count from {PARTITION_STATE.qualified_name} where table_name = $name"
        " and event_date >= coalesce($start, event_date) and event_date <= coalesce($end, event_date) order by 1",
        {"name": table.qualified_name, "start": start, "end": end},
    ).fetchall()
    return dict(rows)


def data_fingerprint(connection: duckdb.DuckDBPyConnection) -> str:
    """One fingerprint of all built partitions: the same data has the same, whenever it was built.

    Without those of the impact tables, which nothing is scored from: a funnel that is edited makes no score stale.
    """
    return _fingerprint_of_all(connection, [t.qualified_name for t in PIPELINE.of_stages("impact")])


def published_fingerprint(connection: duckdb.DuckDBPyConnection) -> str:
    """As `data_fingerprint`, of all that readers are shown."""
    return _fingerprint_of_all(connection, [])


def _fingerprint_of_all(connection: duckdb.DuckDBPyConnection, but: Sequence[str]) -> str:
    # What is copied from them for readers adds nothing.
    copies = [table.qualified_name for table in PIPELINE.of_stages("publication")]
    row = connection.execute(
        "select coalesce(md5(string_agg(table_name || event_date || inputs_fingerprint, ',' order by table_name,"
        f" event_date)), md5('')) from {PARTITION_STATE.qualified_name}"
        f" where not list_contains($but, split_part(table_name, '{PART_MARK}', 1))",
        {"but": [*but, *copies]},
    ).fetchone()
    assert row is not None  # an aggregate without GROUP BY has one row
    return str(row[0])


def contiguous_ranges(days: Iterable[date]) -> list[tuple[date, date]]:
    """The days as inclusive ranges without gaps, ascending."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if ranges and day - ranges[-1][1] == timedelta(days=1):
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges
