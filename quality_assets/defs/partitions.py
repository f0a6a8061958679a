"""The one partitioning of the graph: event date, UTC."""

from quality_assets.dagster_ext.partitions import EventDates
from quality_assets.settings import get_settings

# The last is the last day that is over: a day is built when it is (docs/adr/0007), and "Latest" in the UI is that one.
event_dates = EventDates(start_date=get_settings().earliest_date.isoformat(), end_offset=0, timezone="UTC")
