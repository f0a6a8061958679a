"""The one partitioning of the graph: event date, UTC."""

import dagster as dg

from quality_assets.settings import get_settings

# Today counts too: telemetry of the running day is partial, and is rebuilt as more of it arrives.
event_dates = dg.DailyPartitionsDefinition(
    start_date=get_settings().earliest_date.isoformat(), end_offset=1, timezone="UTC"
)
