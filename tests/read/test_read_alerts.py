"""Lists, counts and rates of the book of alerts, on a few alerts worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from quality_assets.read import alerts as reading
from quality_assets.read.alerts import Asked
from quality_assets.stores.operations.alert_tables import (
    ALERT,
    ALERT_EVENT,
    ALERT_SUBJECT,
    CHANNEL,
    NOTIFICATION,
    SILENCE,
)
from quality_assets.stores.operations.house_tables import HOUSE_EVENT, SETTING_HISTORY
from quality_assets.stores.operations.store import close_operations, operations_of
from tests.conftest import new_settings

# A Wednesday.
NOW = datetime(2026, 3, 4, 12)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def _alert(alert_id: str, began: timedelta, **more: Any) -> dict[str, Any]:
    found = {
        "alert_id": alert_id, "fingerprint": alert_id, "group_id": "g", "kind": "check", "subject": "core.a",
        "check_name": "unique", "column_name": "", "title": f"Alert {alert_id}", "message": "m", "severity": "high",
        "status": "open", "occurrences": 1, "first_seen": NOW - began, "opened_at": NOW - began,
        "last_seen": NOW - began, "evidence": {}, "version": 1, "resolved_at": None, "resolution": None,
        "assignee": None, "acknowledged_at": None,
    }  # fmt: skip
    return found | more


ALERTS = [
    _alert("a", 3 * DAY, severity="low", status="resolved", resolved_at=NOW - 2 * DAY, resolution="false_alarm"),
    _alert("b", 1 * DAY, status="acknowledged", assignee="ann"),
    _alert("c", 2 * DAY, status="resolved", resolved_at=NOW - 2 * DAY + 2 * HOUR, resolution="fixed"),
    _alert("d", 1 * DAY, severity="critical", group_id="other", kind="incident", check_name="inc-1", title="50% lost"),
    _alert("e", 90 * DAY, status="resolved", resolved_at=NOW - 1 * DAY, resolution="expected", check_name="fresh"),
    _alert("f", 9 * DAY, severity="medium", check_name="", group_id="other", kind="run", subject="build_days"),
]


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A store with six alerts, what happened to them, and who was told."""
    settings = new_settings(tmp_path_factory.mktemp("alerts") / "data")
    settings.data_dir.mkdir()
    with operations_of(settings).write() as made:
        made.execute(insert(ALERT), ALERTS)
        made.execute(insert(ALERT_SUBJECT), [{"alert_id": "b", "entity_type": "feature", "entity_id": "Search"}])
        events = [("b", 20, "opened"), ("a", 19, "passed"), ("b", 18, "acknowledged"), ("b", 6, "acknowledged"),
                  ("c", 40, "acknowledged")]  # fmt: skip
        made.execute(
            insert(ALERT_EVENT),
            [
                {"alert_id": one, "at": NOW - hours * HOUR, "actor": "ann", "action": what}
                for one, hours, what in events
            ],
        )
        told = {"group_id": "g", "channel_id": "hook", "severity": "high", "created_at": NOW, "due_at": NOW}
        made.execute(
            insert(NOTIFICATION),
            [told | {"alert_id": "b", "transition": name, "status": status}
             for name, status in (("opened", "sent"), ("acknowledged", "sent"), ("reopened", "due"))],
        )  # fmt: skip
        channel = {"kind": "webhook", "options": {}, "routes": {}, "is_active": True, "created_at": NOW,
                   "created_by": "ann", "version": 1}  # fmt: skip
        made.execute(insert(CHANNEL), [channel | {"channel_id": name, "name": name, "last_error": error}
                                       for name, error in (("hook", "refused"), ("mail", None))])  # fmt: skip
        made.execute(insert(SILENCE), [{"starts_at": NOW - DAY, "ends_at": NOW + hours * HOUR, "reason": f"r{hours}",
                                        "created_at": NOW, "created_by": "ann"} for hours in (2, 0, 1)])  # fmt: skip
        for value, hours in ((24.0, 19), (1.5, 1)):
            changed = {"key": "hours", "new_value": value, "at": NOW - hours * HOUR, "actor": "bob"}
            made.execute(insert(SETTING_HISTORY), [changed])
        event = {"at": NOW - 2 * HOUR, "actor": "eve", "action": "removed", "entity_type": "dataset",
                 "entity_id": "orders", "subject": "orders"}  # fmt: skip
        made.execute(insert(HOUSE_EVENT), [event])
    with operations_of(settings).read() as opened:
        yield opened
    close_operations()


def _ids(connection: Connection, **asked: Any) -> str:
    return "".join(row["alert_id"] for row in reading.listed(connection, Asked(**asked))[0])


def test_alerts_are_found_by_what_is_asked(connection: Connection) -> None:
    assert _ids(connection) == "bdcafe"
    assert _ids(connection, statuses=["open", "acknowledged"]) == "bdf"
    assert _ids(connection, severities=["low", "medium"]) == "af"
    assert _ids(connection, kinds=["run"]) == "f"
    assert _ids(connection, subject="core.a") == "bdcae"
    # One that is of an entity as well.
    assert _ids(connection, subject="Search") == "b"
    assert _ids(connection, assignee="ann") == "b"
    assert _ids(connection, q="ALERT C") == "c"
    assert _ids(connection, q="50%") == "d"
    assert _ids(connection, q="build_days", statuses=["resolved"]) == ""
    assert [row["alert_id"] for row in reading.worst_first(connection, Asked())] == ["d", "b", "c", "e", "f", "a"]
    assert [row["alert_id"] for row in reading.worst_first(connection, Asked(), 1)] == ["d"]


def test_a_list_goes_on_where_it_stopped(connection: Connection) -> None:
    first, cursor = reading.listed(connection, Asked(), limit=1)
    # The next was last seen in the same instant.
    second, cursor = reading.listed(connection, Asked(), limit=3, cursor=cursor)
    last, none = reading.listed(connection, Asked(), limit=2, cursor=cursor)
    assert ["".join(row["alert_id"] for row in rows) for rows in (first, second, last)] == ["b", "dca", "fe"]
    assert none is None
    assert len(reading.listed(connection, Asked(), limit=0)[0]) == 1


def test_one_alert_with_its_life(connection: Connection) -> None:
    found = reading.one(connection, "b")
    assert found is not None
    assert found["subjects"] == [{"type": "feature", "id": "Search"}]
    assert [event["action"] for event in found["events"]] == ["opened", "acknowledged", "acknowledged"]
    assert [each["transition"] for each in found["notifications"]] == ["opened", "acknowledged", "reopened"]
    assert [each["alert_id"] for each in found["group"]] == ["c", "a", "e"]
    assert found["record"] == {"raised": 3, "false_alarms": 1}
    assert reading.one(connection, "nobody") is None


def test_the_record_of_a_rule(connection: Connection) -> None:
    assert reading.record_of(connection, "check", "fresh") == {"raised": 1, "false_alarms": 1}
    assert reading.record_of(connection, "check", "never told") == {"raised": 0, "false_alarms": 0}
    assert reading.record_of(connection, "run", "") is None


def test_what_is_live_by_severity(connection: Connection) -> None:
    assert reading.open_counts(connection) == {
        "low": 0, "medium": 1, "high": 1, "critical": 1, "live": 3, "unacknowledged": 2,
    }  # fmt: skip


def test_how_long_people_took_and_what_each_week_brought(connection: Connection) -> None:
    found = reading.summary(connection, NOW)
    # The first word to b came 6 hours after it began, that to c 8 hours.
    assert found["mean_hours_to_acknowledge"] == pytest.approx((6 + 8) / 2)
    # A day, two hours and 89 days.
    assert found["mean_hours_to_resolve"] == pytest.approx((24 + 2 + 89 * 24) / 3)
    weeks = {week["week"]: (week["opened"], week["resolved"], week["false_alarms"]) for week in found["weeks"]}
    assert list(weeks) == [date(2026, 3, 2) - timedelta(weeks=n) for n in reversed(range(12))]
    # From Monday on b, c and d began, and all ended that did; a began on the Sunday before, f six days earlier.
    assert weeks[date(2026, 3, 2)] == (3, 3, 2)
    assert weeks[date(2026, 2, 23)] == (2, 0, 0)
    assert sum(opened for opened, _, _ in weeks.values()) == 5, "one began before all of these weeks"
    # Incidents are no rules, and what has no check is none.
    rules = [(rule["check_name"], rule["raised"], rule["false_alarms"], rule["false_share"]) for rule in found["rules"]]
    assert rules == [("unique", 3, 1, 1 / 3), ("fresh", 1, 1, 1.0)]


def test_how_many_began_and_ended_on_each_day(connection: Connection) -> None:
    assert reading.by_day(connection, date(2026, 3, 1)) == {
        date(2026, 3, 1): (1, 0),
        date(2026, 3, 2): (1, 2),
        date(2026, 3, 3): (2, 1),
    }


def test_what_happened_last_who_is_told_and_what_is_silent(connection: Connection) -> None:
    found = reading.recent_activity(connection)
    assert [(row["entity"], row["action"], row["subject"], row["note"]) for row in found] == [
        ("setting", "set", "hours", "1.5"),
        ("dataset", "removed", "orders", None),
        ("alert", "acknowledged", "Alert b", None),
        ("alert", "acknowledged", "Alert b", None),
        ("setting", "set", "hours", "24"),
        ("alert", "opened", "Alert b", None),
        ("alert", "acknowledged", "Alert c", None),
    ]
    assert found[1] == {
        "entity": "dataset", "entity_id": "orders", "subject": "orders", "severity": None, "at": NOW - 2 * HOUR,
        "actor": "eve", "action": "removed", "note": None,
    }  # fmt: skip
    assert len(reading.recent_activity(connection, 1)) == 1
    assert [each["reason"] for each in reading.silences(connection, NOW)] == ["r1", "r2"]
    assert reading.outbox(connection) == {"sent": 2, "due": 1, "broken_channels": 1}
