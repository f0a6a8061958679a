"""Days of events put into a warehouse as if they had been read and built, and the impact tables built from them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd

from quality_assets.contracts.events import USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.domain.events.tables import user_feature_days_sql
from quality_assets.settings import Settings
from quality_assets.stores.lake import LakeFile, files_sql
from quality_assets.stores.warehouse import WarehouseSession, refresh_lake_views
from quality_assets.tables.impact import adoption, funnels
from quality_assets.tables.impact.defined import refresh_definitions
from quality_assets.tables.impact.engagement import build_engagement_days
from quality_assets.tables.impact.events_seen import build_event_days
from quality_assets.tables.impact.people import build_first_uses, build_user_sessions
from quality_assets.tables.impact.segments import build_segments
from quality_assets.tables.staleness import forget_built, record_built

FIRST_DAY = date(2026, 3, 1)


@dataclass(frozen=True)
class Event:
    """One event; `at` is seconds since the first day's midnight."""

    at: int
    user_id: str | None = "ann"
    event_name: str = "use"
    feature: str = "Search"
    session_id: str | None = None
    status: str = "ok"
    platform: str | None = None
    country: str | None = None
    properties: str | None = None
    feedback_score: float | None = None
    variant: str | None = None
    received_after_s: int | None = None

    @property
    def time(self) -> datetime:
        """When it happened."""
        return datetime.combine(FIRST_DAY, datetime.min.time()) + timedelta(seconds=self.at)

    @property
    def day(self) -> date:
        """The UTC day."""
        return self.time.date()


def day_number(n: int) -> date:
    """The n-th day of the logs, from 0."""
    return FIRST_DAY + timedelta(days=n)


def put_days(session: WarehouseSession, days: dict[date, Sequence[Event]]) -> None:
    """Make these days' events what there is of them; a day without any is gone."""
    with session.transaction():
        there = {day: events for day, events in days.items() if events}
        files = [_write_day(session, day, events) for day, events in there.items()]
        said = {
            day: hashlib.sha256(repr(sorted(map(repr, events))).encode()).hexdigest()[:32]
            for day, events in there.items()
        }
        for number, table in enumerate((VALID_EVENTS, USER_FEATURE_DAYS)):
            written = [of_day[number] for of_day in files]
            session.lake.commit(table, [file for file in written if file], list(days))
            forget_built(session.connection, table, [day for day in days if day not in there])
            record_built(session.connection, table, said, {day: len(events) for day, events in there.items()})
    refresh_lake_views(session.connection, session.settings)


def _write_day(session: WarehouseSession, day: date, events: Sequence[Event]) -> tuple[LakeFile, LakeFile | None]:
    frame = _frame(day, events)
    session.connection.register("day_frame", frame)
    columns = ", ".join(
        f'cast("{c.name}" as {c.type}) as "{c.name}"' if c.name in frame else f'cast(null as {c.type}) as "{c.name}"'
        for c in VALID_EVENTS.columns
    )
    file = session.lake.write(session.connection, VALID_EVENTS, day, f"select {columns} from day_frame", label="put")
    session.connection.unregister("day_frame")
    assert file is not None
    source = f"({files_sql(VALID_EVENTS, session.lake.absolute([file]))})"
    return file, session.lake.write(
        session.connection, USER_FEATURE_DAYS, day, user_feature_days_sql(source), label="put"
    )


def _frame(day: date, events: Sequence[Event]) -> pd.DataFrame:
    rows = [astuple(event)[1:] for event in events]
    names = ["user_id", "event_name", "feature", "session_id", "status", "platform", "country", "properties"]
    frame = pd.DataFrame(rows, columns=[*names, "feedback_score", "variant", "received_after_s"], dtype=object)
    frame["event_time"] = [event.time for event in events]
    frame["received_at"] = [
        None if event.received_after_s is None else event.time + timedelta(seconds=event.received_after_s)
        for event in events
    ]
    frame["event_date"] = day
    frame["event_id"] = [f"{day}-{n}" for n in range(len(events))]
    frame["file_id"], frame["line_number"] = f"file-{day}", range(1, len(events) + 1)
    return frame


def by_day(events: Sequence[Event]) -> dict[date, list[Event]]:
    """Events by their days."""
    found: dict[date, list[Event]] = {}
    for event in events:
        found.setdefault(event.day, []).append(event)
    return found


def define(settings: Settings, name: str, text: str) -> Path:
    """Write a definition's file, such as funnels/buy.yaml, into the data root."""
    path = settings.data_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def define_nothing(settings: Settings) -> None:
    """Have the data root define nothing, instead of what is shipped."""
    for name in ("funnels", "segments"):
        (settings.data_dir / name).mkdir(parents=True, exist_ok=True)
    for name in ("sharing.yaml", "events.yaml"):
        define(settings, name, "owner: me\nevents: []\n" if name == "events.yaml" else "owner: me\n")


def build_impact(session: WarehouseSession) -> None:
    """Bring all impact tables up to date, as the graph does."""
    build_event_days(session)
    refresh_definitions(session)
    build_user_sessions(session)
    build_first_uses(session)
    adoption.build_feature_adoption(session)
    adoption.build_adoption_curve(session)
    adoption.build_retention_cells(session)
    adoption.build_retention(session)
    funnels.build_step_days(session)
    funnels.build_entries(session)
    funnels.build_funnel_days(session)
    build_engagement_days(session)
    build_segments(session)
