"""The one partitioning of the graph: event date, UTC."""

from quality_assets.dagster_ext.partitions import EventDates
from quality_assets.settings import get_settings

# Today is among them, so that what has come of it can be read; a day is built once it is over (docs/adr/0007).
event_dates = EventDates(start_date=get_settings().earliest_date.isoformat(), end_offset=1, timezone="UTC")
