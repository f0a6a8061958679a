"""Whether anything of the impact tables is to be made, asked before a run is started for it."""

from __future__ import annotations

from quality_assets.contracts.pipeline import PIPELINE
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.impact.defined import refresh_definitions
from quality_assets.tables.staleness import gone_parts, stale_parts, unaudited_dates


def is_impact_due(session: WarehouseSession) -> bool:
    """Whether a table of the impact stage has stale dates, dates without events, or dates that were never checked."""
    refresh_definitions(session)
    tables = [table for table in PIPELINE.of_stages("impact") if table.catches_up]
    fingerprinted = [table for table in tables if table in PIPELINE.fingerprinted]
    connection = session.connection
    return any(
        [stale_parts(connection, t) or gone_parts(connection, t) for t in fingerprinted]
        + [unaudited_dates(connection, t) for t in tables]
    )
