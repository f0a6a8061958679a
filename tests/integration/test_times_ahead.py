"""A clock that was thirty days ahead is set right: who is told of what was noted meanwhile, and when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from quality_assets.domain.quality.alerting import Fault
from quality_assets.stores.operations.alert_tables import ALERT, NOTIFICATION, SILENCE
from quality_assets.stores.operations.store import Operations, fetch
from quality_assets.tables import alerts
from quality_assets.tables.alerts import AlertBook, policy_of, raise_fault
from quality_assets.tables.channels import add_channel
from quality_assets.tables.notifications import plan_what_time_brings
from quality_assets.tables.silences import add_silence
from quality_assets.tables.times_ahead import move_to_now

NOW = datetime(2026, 3, 2, 9, 0)
AHEAD = NOW + timedelta(days=30)
HOUR = timedelta(hours=1)


@pytest.fixture
def store(operations: Operations) -> Operations:
    """A store with one channel, which takes everything, once on each database."""
    with operations.write() as connection:
        given = {"kind": "webhook", "address": "http://127.0.0.1:9/", "options": {"allow_private_targets": True}}
        add_channel(connection, given, "ann")
    return operations


def fail(store: Operations, subject: str, at: datetime) -> str:
    with store.write() as connection:
        return raise_fault(connection, Fault("check", subject, "It fails", "Why.", "high"), now=at).alert_id


def look(store: Operations, at: datetime) -> None:
    with store.write() as connection:
        move_to_now(connection, at)
        plan_what_time_brings(connection, at, policy_of(connection))


def rows(store: Operations, table: Any, *names: str) -> list[tuple[Any, ...]]:
    with store.read() as connection:
        return sorted((tuple(row[name] for name in names) for row in fetch(connection, select(table))), key=str)


def test_what_waits_to_be_told_is_due_after_its_groups_wait(store: Operations) -> None:
    fail(store, "core.x", AHEAD)
    look(store, NOW)
    wait = timedelta(seconds=30)
    assert rows(store, NOTIFICATION, "transition", "created_at", "due_at") == [("opened:0", NOW, NOW + wait)]
    assert rows(store, ALERT, "first_seen", "opened_at", "last_seen") == [(NOW, NOW, NOW)]


def test_a_snooze_lasts_as_long_as_was_meant(store: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    alert_id = fail(store, "core.x", NOW - HOUR)
    monkeypatch.setattr(alerts, "utc_now", lambda: AHEAD)
    AlertBook(store).snooze(alert_id, "ann", AHEAD + 5 * HOUR)
    for _ in range(2):
        look(store, NOW)
        assert rows(store, ALERT, "opened_at", "snoozed_until") == [(NOW - HOUR, NOW + 5 * HOUR)]
    pending = [row[1:] for row in rows(store, NOTIFICATION, "status", "transition", "due_at") if row[0] == "pending"]
    assert pending == [("snooze_over:2", NOW + 5 * HOUR)]


def test_a_snooze_of_months_that_was_meant_so_stays(store: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    alert_id = fail(store, "core.x", NOW - HOUR)
    monkeypatch.setattr(alerts, "utc_now", lambda: NOW)
    AlertBook(store).snooze(alert_id, "ann", AHEAD)
    look(store, NOW)
    assert rows(store, ALERT, "snoozed_until") == [(AHEAD,)]


def test_a_silence_lasts_as_long_as_was_meant_and_one_of_a_named_day_stays_there(store: Operations) -> None:
    with store.write() as connection:
        begun = {"hours": 4, "reason": "Moving.", "actor": "ann", "now": AHEAD}
        add_silence(connection, {"subject": "core.*"}, **begun)
        add_silence(connection, {"subject": "raw.*"}, starts_at=AHEAD + 24 * HOUR, **begun)
    look(store, NOW)
    assert rows(store, SILENCE, "subject", "created_at", "starts_at", "ends_at") == [
        ("core.*", NOW, NOW, NOW + 4 * HOUR),
        ("raw.*", NOW, AHEAD + 24 * HOUR, AHEAD + 28 * HOUR),
    ]


def test_an_acknowledgement_counts_from_now_and_what_is_over_stays_as_it_was(
    store: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    had, over = fail(store, "core.x", AHEAD), fail(store, "core.y", AHEAD)
    monkeypatch.setattr(alerts, "utc_now", lambda: AHEAD)
    AlertBook(store).acknowledge(had, "ann")
    AlertBook(store).resolve(over, "ann", "fixed")
    look(store, NOW)
    assert rows(store, ALERT, "subject", "status", "acknowledged_at", "resolved_at") == [
        ("core.x", "acknowledged", NOW, None),
        ("core.y", "resolved", None, AHEAD),
    ]


def test_what_lies_ahead_by_a_moment_is_left_alone(store: Operations) -> None:
    fail(store, "core.x", NOW + timedelta(minutes=9))
    look(store, NOW)
    assert rows(store, ALERT, "opened_at") == [(NOW + timedelta(minutes=9),)]
