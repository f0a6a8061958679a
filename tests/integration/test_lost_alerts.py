"""An operations store that was lost, or an older one that was put back: what readers were shown is told again, once."""

from __future__ import annotations

import shutil
from datetime import date, datetime, timedelta

from services import alert_rows
from sqlalchemy import delete

from quality_assets.contracts.catalog import LAKE_TABLES
from quality_assets.domain.quality.alerting import Fault
from quality_assets.settings import Settings
from quality_assets.stores.operations.alert_tables import ALERT, ALERT_EVENT, ALERT_SUBJECT, NOTIFICATION
from quality_assets.stores.operations.store import close_operations, operations_of
from quality_assets.stores.snapshots import Snapshot, publish
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables.alerts import AlertBook, raise_fault
from quality_assets.tables.lost_alerts import raise_lost
from quality_assets.tables.operations_copy import copy_operations
from quality_assets.tables.telling import tell

NOW = datetime(2026, 3, 2, 9, 0)
HOUR = timedelta(hours=1)


def fail(settings: Settings, subject: str, at: datetime = NOW, kind: str = "incident") -> str:
    fault = Fault(kind, subject, f"{subject} is slow", "Twice as slow.", "high", check_name="i1", observed=2.5)
    with operations_of(settings).write() as connection:
        return raise_fault(connection, fault, now=at).alert_id


def publish_copy(settings: Settings) -> None:
    """Publish the warehouse with the alerts that there are, as a publication does."""
    with open_warehouse(settings) as session:
        copy_operations(session)
        files = {table: [file.path for file in session.lake.files(table)] for table in LAKE_TABLES}
        session.connection.execute("checkpoint")
    snapshot = Snapshot("v1", NOW, date(2026, 3, 1), "run-1", "f00d", settings.published_dir / "v1")
    publish(snapshot, warehouse=settings.warehouse_path, data_dir=settings.data_dir, lake_files=files, keep=3)


def lose_store(settings: Settings, but_keep: str = "") -> None:
    """Take the store away; in its place comes the file `but_keep`, where there is one."""
    if settings.operations_url:
        with operations_of(settings).write() as connection:
            for table in (NOTIFICATION, ALERT_EVENT, ALERT_SUBJECT, ALERT):
                connection.execute(delete(table))
        return
    close_operations()
    for path in settings.data_dir.glob("operations.db*"):
        path.unlink()
    if but_keep:
        shutil.copy(settings.data_dir / but_keep, settings.data_dir / "operations.db")


def back_up(settings: Settings, name: str) -> None:
    close_operations()
    shutil.copy(settings.data_dir / "operations.db", settings.data_dir / name)


def shown(settings: Settings) -> list[tuple[str, str, str, int, float | None]]:
    names = ("subject", "title", "status", "occurrences", "observed")
    return [tuple(row[name] for name in names) for row in alert_rows(settings)]  # type: ignore[misc]


def test_what_readers_were_shown_is_raised_again_where_the_store_was_lost(operations_settings: Settings) -> None:
    fail(operations_settings, "Search")
    over = fail(operations_settings, "Quiz")
    AlertBook(operations_of(operations_settings)).resolve(over, "ann", "fixed")
    # The publication that copied it was the one that ended it.
    fail(operations_settings, "published_snapshot", kind="publication")
    publish_copy(operations_settings)
    lose_store(operations_settings)
    assert shown(operations_settings) == []
    tell(operations_settings, NOW + HOUR)
    tell(operations_settings, NOW + 2 * HOUR)
    assert shown(operations_settings) == [("Search", "Search is slow", "open", 1, 2.5)]
    assert alert_rows(operations_settings)[0]["first_seen"] == NOW + HOUR


def test_an_older_backup_gets_what_came_after_it_and_keeps_what_it_knows(data_root: Settings) -> None:
    known = fail(data_root, "Search")
    back_up(data_root, "yesterday.db")
    fail(data_root, "Search", NOW + HOUR)
    fail(data_root, "Quiz", NOW + HOUR)
    publish_copy(data_root)
    lose_store(data_root, "yesterday.db")
    assert raise_lost(data_root, NOW + 2 * HOUR) == 1
    assert [row[:4] for row in shown(data_root)] == [
        ("Search", "Search is slow", "open", 1),
        ("Quiz", "Quiz is slow", "open", 1),
    ]
    assert alert_rows(data_root)[0]["alert_id"] == known


def test_what_is_over_since_is_not_raised_again_though_readers_still_see_it(
    operations_settings: Settings,
) -> None:
    alert_id = fail(operations_settings, "Search")
    publish_copy(operations_settings)
    AlertBook(operations_of(operations_settings)).resolve(alert_id, "ann", "fixed")
    assert raise_lost(operations_settings, NOW + HOUR) == 0
    lose_store(operations_settings)
    assert raise_lost(operations_settings, NOW + HOUR) == 1
    again = alert_rows(operations_settings)[0]["alert_id"]
    AlertBook(operations_of(operations_settings)).resolve(again, "ann", "fixed")
    assert raise_lost(operations_settings, NOW + 2 * HOUR) == 0
    assert [row[2] for row in shown(operations_settings)] == ["resolved"]


def test_what_the_store_may_have_forgotten_by_its_age_is_left_alone(operations_settings: Settings) -> None:
    fail(operations_settings, "Search")
    publish_copy(operations_settings)
    lose_store(operations_settings)
    # Alerts that are over stay for 365 days.
    assert raise_lost(operations_settings, NOW + timedelta(days=366)) == 0
    assert raise_lost(operations_settings, NOW + HOUR) == 1


def test_without_a_snapshot_nothing_is_raised(data_root: Settings) -> None:
    fail(data_root, "Search")
    lose_store(data_root)
    assert raise_lost(data_root, NOW) == 0
