"""Building impact.event_days: which events there are, so that what is defined can be held against it."""

from __future__ import annotations

from datetime import date

from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.contracts.impact import EVENT_DAYS
from quality_assets.progress import Progress, no_progress
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.impact.catching_up import Rows, Stretch, catch_up, lake_rows


def build_event_days(session: WarehouseSession, progress: Progress = no_progress) -> dict[date, int]:
    """Bring impact.event_days up to date; rows per date."""
    return catch_up(session, (EVENT_DAYS,), _event_days, progress)


def _event_days(session: WarehouseSession, stretch: Stretch) -> Rows | None:
    events = lake_rows(session, VALID_EVENTS, stretch.start, stretch.end)
    session.connection.execute(
        f"insert into {EVENT_DAYS.qualified_name} by name"
        " select event_date, feature, event_name, count(*) as events,"
        " count(*) - count(user_id) as events_without_user,"
        " count(*) filter (where received_at < event_time) as events_received_early"
        f" from {events} group by event_date, feature, event_name"
    )
    return None
