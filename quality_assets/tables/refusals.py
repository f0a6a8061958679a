"""Why rows of logs were refused, as it is known while they are read: before any day is built."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import duckdb

from quality_assets.contracts.events import RAW_LOGS, Reason
from quality_assets.contracts.raw import LOG_FILES


@dataclass(frozen=True)
class Refusal:
    """One reason with its rows, and the first of them: where it stands, and as it arrived."""

    reason: str
    rows: int
    path: str
    line_number: int
    raw_row: str


@dataclass(frozen=True)
class Refusals:
    """Rows of some logs that are refused, those of them that only repeat others, and why: the commonest first."""

    rows: int = 0
    copies: int = 0
    reasons: tuple[Refusal, ...] = ()


def refusals(connection: duckdb.DuckDBPyConnection, file_ids: Collection[str]) -> Refusals:
    """What is refused of these logs, as far as it tells while they are read. A row may have several reasons."""
    told = {"ids": list(file_ids)}
    # The dates leave out most files of the lake.
    days = [
        day
        for (day,) in connection.execute(
            f"select distinct unnest(touched_dates) from {LOG_FILES.qualified_name} where list_contains($ids, file_id)",
            told,
        ).fetchall()
    ]
    if not days:
        return Refusals()
    rows = (
        f"select raw.file_id, line_number, reasons, raw_row, path, file_number from {RAW_LOGS.qualified_name} as raw"
        f" join {LOG_FILES.qualified_name} as log using (file_id)"
        " where event_date between $first and $last and reasons is not null and list_contains($ids, raw.file_id)"
    )
    told |= {"first": min(days), "last": max(days)}
    found = connection.execute(
        "select reason, count(*) as n, arg_min(struct_pack(path, line_number, raw_row), (file_number, line_number))"
        f" from (select *, unnest(reasons) as reason from ({rows})) group by reason order by n desc, reason",
        told,
    ).fetchall()
    totals = connection.execute(
        f"select count(*), count(*) filter (where reasons = ['{Reason.DUPLICATE_EVENT_ID}']) from ({rows})", told
    ).fetchone()
    assert totals is not None  # an aggregate without GROUP BY has one row
    reasons = (Refusal(reason, n, at["path"], at["line_number"], at["raw_row"] or "") for reason, n, at in found)
    return Refusals(totals[0], totals[1], tuple(reasons))
