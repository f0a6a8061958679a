"""Logs that tell again what a log of the same path, or with the same rows, has told: what becomes of their rows.

Where rows have ids the ids tell copies, and nothing is done here. Rows without are told by when who did what, within
the contents of one path only: two servers may well see the same second alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import duckdb

from quality_assets.contracts.events import EVENT_COLUMN_NAMES, RAW_LOGS, VALID_EVENTS
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.domain.events.validation import derived_event_id
from quality_assets.stores.lake import files_sql
from quality_assets.stores.readers import StagedFile, Staging
from quality_assets.stores.warehouse import WarehouseSession

_WHO_DID_WHAT = "event_date, event_time, feature, event_name, user_id, session_id"
_TOLD = tuple(name for name in EVENT_COLUMN_NAMES if name != "event_id")
_ROW_HASH = f"select count(*), sum(cast(hash({', '.join(_TOLD)}) as hugeint)), count(*) filter (where not is_derived)"


def mark_repeated(
    session: WarehouseSession,
    scratch: duckdb.DuckDBPyConnection,
    staging: Staging,
    repeats: Mapping[int, Collection[str]],
) -> None:
    """Add to the table `copies` the events without ids of a file that an earlier content of its path has told.

    `repeats` gives, by a file's number in the load, the file_ids of those contents.
    """
    for number, earlier in repeats.items():
        columns = ("file_order", "file_id", "line_number", *VALID_EVENTS.column_names)
        names = tuple(dict.fromkeys(columns))
        place = f"row_number() over (partition by {_WHO_DID_WHAT} order by line_number) as place"
        known = _known_events(session, earlier)
        scratch.execute(
            "insert into copies select event_date, file_order, line_number from"
            f" (select *, {place} from ({staging.events_sql([number], names)})"
            f" where event_id = {derived_event_id('file_id')})"
            f" where ({_WHO_DID_WHAT.replace('user_id, session_id', _NULLABLE)}, place) in"
            f" (select {_WHO_DID_WHAT.replace('user_id, session_id', _NULLABLE)},"
            f" row_number() over (partition by {_WHO_DID_WHAT} order by file_id, line_number)"
            f" from ({known}) where event_id = {derived_event_id('file_id')})"
            " and (file_order, line_number) not in (select file_order, line_number from copies)"
        )


# IN finds no null equal to another.
_NULLABLE = "coalesce(user_id, chr(0)), coalesce(session_id, chr(0))"


def _known_events(session: WarehouseSession, file_ids: Collection[str]) -> str:
    rows = session.connection.execute(
        f"select distinct unnest(touched_dates) from {LOG_FILES.qualified_name} where list_contains($ids, file_id)",
        {"ids": list(file_ids)},
    ).fetchall()
    days = {day for (day,) in rows}
    files = session.lake.files(RAW_LOGS, min(days), max(days)) if days else []
    events = files_sql(RAW_LOGS, session.lake.absolute(file for file in files if file.event_date in days))
    # File ids are hexadecimal digits.
    listed = ", ".join(f"'{file_id}'" for file_id in file_ids) or "null"
    return f"select * from ({events}) where reasons is null and file_id in ({listed})"


def same_rows(
    session: WarehouseSession,
    staging: Staging,
    scratch: duckdb.DuckDBPyConnection,
    loaded: Sequence[tuple[int, StagedFile]],
) -> dict[int, str]:
    """The files whose rows have no ids and are those of a known file, in any order and format; with its file_id.

    Only files that agree in what the ledger knows of them anyway are compared row by row.
    """
    found: dict[int, str] = {}
    for number, file in loaded:
        if file.good_rows == 0:
            continue
        rows = session.connection.execute(
            f"select file_id from {LOG_FILES.qualified_name} where status = 'loaded' and source = $source"
            " and rows = $rows and rows_refused = $refused and first_event_time is not distinct from $first"
            " and last_event_time is not distinct from $last order by file_number",
            {
                "source": file.source,
                "rows": file.rows,
                "refused": file.rows - file.good_rows,
                "first": file.first_event_time,
                "last": file.last_event_time,
            },
        ).fetchall()
        if not rows:
            continue
        told = _hash_of(scratch, staging.events_sql([number], (*EVENT_COLUMN_NAMES, "file_id", "line_number")))
        for (file_id,) in rows:
            if told[2] == 0 and told == _hash_of(scratch, _known_events(session, [file_id])):
                found[number] = file_id
                break
    return found


def _hash_of(scratch: duckdb.DuckDBPyConnection, events: str) -> tuple[int, int, int]:
    row = scratch.execute(
        f"{_ROW_HASH} from (select *, event_id = {derived_event_id('file_id')} as is_derived from ({events}))"
    ).fetchone()
    assert row is not None  # an aggregate without GROUP BY has one row
    return row[0], row[1], row[2]
