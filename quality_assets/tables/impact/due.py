"""Whether anything of the impact tables is to be made, asked before a run is started for it."""

from __future__ import annotations

from quality_assets.contracts.ops import PART_MARK, PARTITION_STATE
from quality_assets.contracts.pipeline import PIPELINE
from quality_assets.contracts.table import Table
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.impact.defined import refresh_definitions
from quality_assets.tables.lake_accounts import lake_faults
from quality_assets.tables.staleness import gone_parts, stale_parts, unaudited_dates


def is_impact_due(session: WarehouseSession) -> bool:
    """Whether a table of the impact stage has stale dates, dates without events, or dates that were never checked.

    Dates whose files are not what was written count as never built.
    """
    refresh_definitions(session)
    tables = [table for table in PIPELINE.of_stages("impact") if table.catches_up]
    for table in tables:
        if table.store == "lake":
            _forget_lost(session, table)
    fingerprinted = [table for table in tables if table in PIPELINE.fingerprinted]
    connection = session.connection
    return any(
        [stale_parts(connection, t) or gone_parts(connection, t) for t in fingerprinted]
        + [unaudited_dates(connection, t) for t in tables]
    )


def _forget_lost(session: WarehouseSession, table: Table) -> None:
    days = sorted({fault.file.event_date for fault in lake_faults(session, table)})
    if days:
        made_by = PIPELINE.build(table).made_with or table.qualified_name
        session.connection.execute(
            f"delete from {PARTITION_STATE.qualified_name}"
            f" where split_part(table_name, '{PART_MARK}', 1) = $name and list_contains($days, event_date)",
            {"name": made_by, "days": days},
        )
