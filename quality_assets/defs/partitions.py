"""The one partitioning of the graph: event date, UTC, from the first day with data."""

from quality_assets.dagster_ext.partitions import EventDates
from quality_assets.settings import Settings, get_settings
from quality_assets.tables.staleness import first_event_date

# The last is the last day that is over: a day is built when it is (docs/adr/0007), and "Latest" in the UI is that one.
event_dates = EventDates(start_date=get_settings().earliest_date.isoformat(), end_offset=0, timezone="UTC")


def begin_with_data(settings: Settings) -> None:
    """Let the partitions of this process begin with the first day that a root has data of."""
    event_dates.begin_at(first_event_date(settings))


begin_with_data(get_settings())
