"""The life of an alert on both databases: one a fault, told once a transition, answered by people."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from quality_assets.clock import utc_now
from quality_assets.domain.quality.alerting import AlertError, Fault, fingerprint_of
from quality_assets.read import alerts as reading
from quality_assets.stores.operations.alert_tables import ALERT, ALERT_EVENT, NOTIFICATION, SILENCE
from quality_assets.stores.operations.store import Operations, fetch
from quality_assets.tables.alerts import (
    AlertBook,
    ChangedMeanwhileError,
    NoSuchAlertError,
    forget_old,
    policy_of,
    raise_fault,
    record_evaluation,
    record_pass,
    resolve_gone,
)
from quality_assets.tables.channels import add_channel, channel, remove_channel
from quality_assets.tables.house_settings import change
from quality_assets.tables.notifications import plan_what_time_brings, retell, told_severity
from quality_assets.tables.silences import silenced_until

NOON = datetime(2026, 3, 2, 12)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WEBHOOK = {"kind": "webhook", "name": "Hook", "address": "http://127.0.0.1:9/x"}


def fault(**other: Any) -> Fault:
    given = {
        "kind": "check",
        "subject": "core.valid_events",
        "check_name": "rows_accounted",
        "title": "rows accounted",
        "message": "Two rows are lost.",
        "severity": "high",
    }
    return Fault(**{**given, **other})


def found(store: Operations, at: datetime, **other: Any) -> str:
    with store.write() as connection:
        return raise_fault(connection, fault(**other), now=at).alert_id


def passes(store: Operations, at: datetime, evaluation: str) -> None:
    with store.write() as connection:
        record_pass(connection, fault().fingerprint, evaluation, now=at)


def row(store: Operations, alert_id: str) -> dict[str, Any]:
    with store.read() as connection:
        (only,) = fetch(connection, select(ALERT).where(ALERT.c.alert_id == alert_id))
    return only


def planned(store: Operations, alert_id: str | None = None) -> list[tuple[str, str]]:
    statement = select(NOTIFICATION).order_by(NOTIFICATION.c.notification_id)
    if alert_id:
        statement = statement.where(NOTIFICATION.c.alert_id == alert_id)
    with store.read() as connection:
        return [(each["transition"], each["status"]) for each in fetch(connection, statement)]


def actions(store: Operations, alert_id: str) -> list[str]:
    with store.read() as connection:
        statement = select(ALERT_EVENT.c.action).where(ALERT_EVENT.c.alert_id == alert_id)
        return list(connection.execute(statement.order_by(ALERT_EVENT.c.event_id)).scalars())


def told(store: Operations, at: datetime) -> None:
    """Say that whatever is due was sent."""
    with store.write() as connection:
        due = NOTIFICATION.c.due_at <= at, NOTIFICATION.c.status == "pending"
        connection.execute(NOTIFICATION.update().where(*due).values(status="sent", sent_at=at))


@pytest.fixture
def told_by(operations: Operations) -> Callable[..., str]:
    """Add a channel; its id."""

    def add(**other: Any) -> str:
        with operations.write() as connection:
            return str(add_channel(connection, {**WEBHOOK, **other}, "ann")["channel_id"])

    return add


def test_one_fault_is_one_alert_however_often_it_is_found(operations: Operations) -> None:
    ids = {found(operations, NOON + n * HOUR, evaluation=f"run-{n}") for n in range(3)}
    assert len(ids) == 1
    alert = row(operations, ids.pop())
    assert (alert["occurrences"], alert["first_seen"], alert["last_seen"]) == (3, NOON, NOON + 2 * HOUR)
    assert actions(operations, alert["alert_id"]) == ["opened"]


def test_the_same_run_counts_once(operations: Operations) -> None:
    alert_id = found(operations, NOON, evaluation="run-1")
    found(operations, NOON, evaluation="run-1")
    assert row(operations, alert_id)["occurrences"] == 1


@pytest.mark.parametrize(
    "other", [{"kind": "run"}, {"subject": "x"}, {"check_name": "y"}, {"column_name": "z"}, {"check_name": ""}]
)
def test_another_fault_is_another_alert(operations: Operations, other: dict[str, str]) -> None:
    assert found(operations, NOON) != found(operations, NOON, **other)


def test_parts_of_a_fault_do_not_run_into_each_other() -> None:
    assert fingerprint_of("check", "a", "bc") != fingerprint_of("check", "ab", "c")
    assert len(fingerprint_of("check", "a")) == 16
    for empty in ({"kind": ""}, {"subject": "  "}):
        with pytest.raises(ValueError, match="kind and its subject"):
            fault(**empty)
    with pytest.raises(ValueError, match="severity 'bad' is none of"):
        fault(severity="bad")


def test_notes_assignee_and_acknowledgement_survive_new_occurrences(operations: Operations) -> None:
    book, alert_id = AlertBook(operations), found(operations, NOON)
    book.note(alert_id, "ann", "I look at it.")
    book.acknowledge(alert_id, "ann")
    found(operations, NOON + HOUR, message="Three rows are lost.", severity="medium")
    alert = row(operations, alert_id)
    assert (alert["status"], alert["assignee"], alert["severity"]) == ("acknowledged", "ann", "medium")
    assert alert["message"] == "Three rows are lost."
    assert actions(operations, alert_id) == ["opened", "noted", "acknowledged", "milder"]


def test_worse_undoes_the_acknowledgement_and_is_told(operations: Operations, told_by: Callable[..., str]) -> None:
    told_by()
    alert_id = found(operations, NOON)
    told(operations, NOON + HOUR)
    AlertBook(operations).acknowledge(alert_id, "ann")
    found(operations, NOON + HOUR, severity="critical")
    alert = row(operations, alert_id)
    assert (alert["status"], alert["acknowledged_by"], alert["assignee"]) == ("open", None, "ann")
    assert [each for each in planned(operations) if each[1] != "cancelled"] == [
        ("opened:0", "sent"),
        ("worse:critical:0", "pending"),
    ]


def test_it_resolves_after_two_evaluations_that_pass(operations: Operations, told_by: Callable[..., str]) -> None:
    told_by()
    alert_id = found(operations, NOON, evaluation="run-1")
    told(operations, NOON + HOUR)
    passes(operations, NOON + HOUR, "run-2")
    passes(operations, NOON + HOUR, "run-2")
    assert row(operations, alert_id)["status"] == "open", "one run says so once"
    passes(operations, NOON + 2 * HOUR, "run-3")
    alert = row(operations, alert_id)
    assert (alert["status"], alert["resolution"], alert["resolved_at"]) == ("resolved", "auto", NOON + 2 * HOUR)
    assert planned(operations) == [("opened:0", "sent"), ("resolved:0", "pending")]


def test_a_failure_between_begins_the_count_anew(operations: Operations) -> None:
    alert_id = found(operations, NOON, evaluation="run-1")
    passes(operations, NOON, "run-2")
    found(operations, NOON, evaluation="run-3")
    passes(operations, NOON, "run-4")
    assert row(operations, alert_id)["status"] == "open"
    passes(operations, NOON, "run-5")
    assert row(operations, alert_id)["status"] == "resolved"


def test_what_is_over_before_it_was_told_is_never_told(operations: Operations, told_by: Callable[..., str]) -> None:
    told_by()
    alert_id = found(operations, NOON)
    AlertBook(operations).resolve(alert_id, "ann")
    assert planned(operations) == [("opened:0", "cancelled")]


def test_failing_again_within_a_day_reopens_and_later_opens_anew(
    operations: Operations, told_by: Callable[..., str]
) -> None:
    told_by()
    first = found(operations, NOON)
    for n in (1, 2):
        passes(operations, NOON, f"p{n}")
    assert found(operations, NOON + DAY) == first
    again = row(operations, first)
    assert (again["status"], again["reopened"], again["resolution"], again["occurrences"]) == ("open", 1, None, 2)
    assert planned(operations)[-1] == ("reopened:1", "pending")
    for n in (3, 4):
        passes(operations, NOON + DAY, f"p{n}")
    second = found(operations, NOON + 2 * DAY + timedelta(seconds=1))
    assert second != first
    assert row(operations, second)["previous_alert_id"] == first
    assert row(operations, first)["status"] == "resolved"


def test_people_open_again_what_is_not_over_unless_a_newer_one_is(operations: Operations) -> None:
    book, first = AlertBook(operations), found(operations, NOON)
    with pytest.raises(AlertError, match="open already"):
        book.reopen(first, "ann")
    book.resolve(first, "ann", "fixed", note="Restarted.")
    assert book.reopen(first, "bob")["status"] == "open"
    book.resolve(first, "ann")
    second = found(operations, datetime(2100, 1, 1))
    assert second != first
    with pytest.raises(AlertError, match="A newer alert of the same fault"):
        book.reopen(first, "ann")


def test_a_snooze_has_an_end_and_then_tells_once(operations: Operations, told_by: Callable[..., str]) -> None:
    told_by()
    alert_id = found(operations, NOON)
    until = datetime(2100, 1, 1)
    AlertBook(operations).snooze(alert_id, "ann", until)
    version = row(operations, alert_id)["version"]
    assert planned(operations) == [("opened:0", "cancelled"), (f"snooze_over:{version}", "pending")]
    found(operations, NOON + HOUR, severity="critical")
    with operations.read() as connection:
        due = connection.execute(select(NOTIFICATION.c.due_at).where(NOTIFICATION.c.status == "pending")).scalars()
        assert set(due) == {until}, "worse waits too"
    with pytest.raises(AlertError, match="is past"):
        AlertBook(operations).snooze(alert_id, "ann", datetime(2020, 1, 1))


def test_it_reminds_each_day_until_somebody_has_it(operations: Operations, told_by: Callable[..., str]) -> None:
    told_by(routes=[{"severity": "medium"}])
    alert_id = found(operations, NOON, severity="medium")
    told(operations, NOON + HOUR)

    def reminders(at: datetime) -> list[str]:
        with operations.write() as connection:
            plan_what_time_brings(connection, at, policy_of(connection))
        return [transition for transition, status in planned(operations) if status == "pending"]

    assert reminders(NOON + 23 * HOUR) == []
    assert reminders(NOON + 24 * HOUR) == ["reminder:0:1"]
    assert reminders(NOON + 25 * HOUR) == ["reminder:0:1"], "once a day"
    told(operations, NOON + 26 * HOUR)
    AlertBook(operations).acknowledge(alert_id, "ann")
    waiting = reminders(NOON + 5 * DAY)
    assert [each.partition(":")[0] for each in waiting] == ["acknowledgement_over"]


def test_an_acknowledgement_asks_again_after_a_week(operations: Operations) -> None:
    alert_id = found(operations, NOON)
    taken = AlertBook(operations).acknowledge(alert_id, "ann")["acknowledged_at"]
    for after, status in ((7 * DAY - HOUR, "acknowledged"), (7 * DAY, "open")):
        with operations.write() as connection:
            plan_what_time_brings(connection, taken + after, policy_of(connection))
        assert row(operations, alert_id)["status"] == status


def test_what_nobody_answers_goes_on_to_those_who_hear_of_worse(
    operations: Operations, told_by: Callable[..., str]
) -> None:
    told_by(name="team", routes=[{"severity": "low"}])
    told_by(name="boss", routes=[{"severity": "critical"}])
    alert_id = found(operations, NOON)
    told(operations, NOON + HOUR)
    for _ in range(2):
        with operations.write() as connection:
            plan_what_time_brings(connection, NOON + DAY, policy_of(connection))
    with operations.read() as connection:
        rows = fetch(connection, select(NOTIFICATION).order_by(NOTIFICATION.c.notification_id))
    assert [(each["channel_id"], each["transition"]) for each in rows] == [
        ("team", "opened:0"),
        ("team", "reminder:0:1"),
        ("boss", "escalated:0"),
    ]
    assert actions(operations, alert_id) == ["opened", "escalated"]


def test_who_heard_of_an_alert_hears_how_it_goes_on_whatever_its_route(
    operations: Operations, told_by: Callable[..., str]
) -> None:
    told_by(name="pager", routes=[{"severity": "critical"}])
    told_by(name="team")
    gone = told_by(name="gone")
    alert_id = found(operations, NOON, severity="critical")
    told(operations, NOON + HOUR)
    with operations.write() as connection:
        remove_channel(connection, gone, "ann")
    found(operations, NOON + 2 * HOUR, severity="medium")
    told(operations, NOON + 3 * HOUR)
    for n in (4, 5):
        passes(operations, NOON + n * HOUR, f"run-{n}")
    told(operations, NOON + 6 * HOUR)
    found(operations, NOON + 7 * HOUR, severity="high")
    told(operations, NOON + 8 * HOUR)
    # What it hears no more is what asks again: that goes to who takes it as it is.
    with operations.write() as connection:
        plan_what_time_brings(connection, NOON + 2 * DAY, policy_of(connection))
    with operations.read() as connection:
        rows = fetch(connection, select(NOTIFICATION).order_by(NOTIFICATION.c.notification_id))
        before = [told_severity(connection, each) for each in rows if each["channel_id"] == "pager"]
    heard = {name: [each["transition"] for each in rows if each["channel_id"] == name] for name in ("pager", "team")}
    assert heard == {
        # It is escalated to who takes critical alone, who knows it already.
        "pager": ["opened:0", "milder:medium:0", "resolved:0", "reopened:1"],
        "team": ["opened:0", "milder:medium:0", "resolved:0", "reopened:1", "reminder:1:1"],
    }
    assert before == [None, "critical", "medium", "medium"]
    assert actions(operations, alert_id)[:3] == ["opened", "milder", "passed"]


def test_what_is_less_bad_is_no_news_to_who_was_never_told(operations: Operations, told_by: Callable[..., str]) -> None:
    told_by(name="pager", routes=[{"severity": "critical"}])
    alert_id = found(operations, NOON, severity="high")
    found(operations, NOON + HOUR, severity="medium")
    assert planned(operations, alert_id) == []
    told_by(name="team")
    other = found(operations, NOON, severity="critical", subject="x")
    found(operations, NOON, severity="low", subject="x")
    # Nobody knows of it yet: it opens as it stands when it is told.
    assert planned(operations, other) == [("opened:0", "pending"), ("opened:0", "pending")]


def test_routes_choose_channels_and_without_one_the_owner_is_written_to(
    operations: Operations, told_by: Callable[..., str]
) -> None:
    told_by(name="checks", routes=[{"kinds": ["check"], "subjects": ["core.*"]}])
    told_by(name="ranking", routes=[{"teams": ["team:ranking"]}])
    mail = {"kind": "smtp", "address": "all@example.com", "options": {"host": "localhost"}, "routes": []}
    told_by(name="mail", **mail)

    def channels(**other: Any) -> list[str]:
        alert_id = found(operations, NOON, **other)
        with operations.read() as connection:
            chosen = select(NOTIFICATION.c.channel_id).where(NOTIFICATION.c.alert_id == alert_id)
            return list(connection.execute(chosen).scalars())

    assert channels() == ["checks"]
    assert channels(kind="incident", owner="team:ranking") == ["ranking"]
    assert channels(kind="incident", subject="Maps", subjects=(("team", "ranking"),), owner="ann@x.example") == [
        "ranking"
    ]
    assert channels(kind="incident", subject="Search", owner="ines@example.com") == ["owner:ines@example.com"]
    assert channels(kind="incident", subject="Home", owner="team:home") == []
    with operations.write() as connection:
        change(connection, "alerts.owners", {"home": "home@example.com", "": "rest@example.com"}, "ann")
    assert channels(kind="incident", subject="Home 2", owner="team:home") == ["owner:home@example.com"]
    assert channels(kind="incident", subject="Home 3") == ["owner:rest@example.com"]


def test_a_silence_covers_what_it_names_for_as_long_as_it_lasts(operations: Operations) -> None:
    alert_id = found(operations, NOON)
    silence = {
        "kind": "check",
        "subject": "core.*",
        "most_severity": "high",
        "starts_at": NOON,
        "ends_at": NOON + HOUR,
        "reason": "We move it.",
        "created_at": NOON,
        "created_by": "ann",
    }
    with operations.write() as connection:
        connection.execute(insert(SILENCE), [silence])
    alert = row(operations, alert_id)
    with operations.read() as connection:
        assert silenced_until(connection, alert, NOON) == NOON + HOUR
        assert silenced_until(connection, alert, NOON + HOUR) is None
        assert silenced_until(connection, alert | {"severity": "critical"}, NOON) is None
        assert silenced_until(connection, alert | {"subject": "product.x"}, NOON) is None


def test_who_writes_what_was_changed_meanwhile_is_told_how_it_stands(operations: Operations) -> None:
    book, alert_id = AlertBook(operations), found(operations, NOON)
    first = book.acknowledge(alert_id, "ann", version=1)
    assert first["version"] == 2
    with pytest.raises(ChangedMeanwhileError, match="of version 2") as raised:
        book.resolve(alert_id, "bob", version=1)
    assert raised.value.present["acknowledged_by"] == "ann"
    with pytest.raises(AlertError, match="ann has acknowledged it already"):
        book.acknowledge(alert_id, "bob")
    with pytest.raises(NoSuchAlertError, match="'nobody'"):
        book.resolve("nobody", "bob")
    with pytest.raises(AlertError, match="resolution 'done' is none of"):
        book.resolve(alert_id, "bob", "done")
    book.resolve(alert_id, "bob", "false_alarm")
    for again in (lambda: book.acknowledge(alert_id, "bob"), lambda: book.resolve(alert_id, "bob")):
        with pytest.raises(AlertError, match="resolved"):
            again()
    with pytest.raises(AlertError, match="empty"):
        book.note(alert_id, "bob", " ")


def test_an_evaluation_raises_what_fails_and_passes_what_it_asked(operations: Operations) -> None:
    with operations.write() as connection:
        change(connection, "alerts.passes_to_resolve", 1, "ann")
        both = [fault(check_name=name) for name in ("a", "b")]
        record_evaluation(connection, "check", "core.valid_events", both, evaluation="r1", now=NOON)
        record_evaluation(
            connection, "check", "core.valid_events", both[:1], evaluation="r2", now=NOON, asked=lambda _: False
        )
        record_evaluation(connection, "check", "another", [], evaluation="r2", now=NOON)
        assert reading.open_counts(connection)["live"] == 2
        record_evaluation(connection, "check", "core.valid_events", both[:1], evaluation="r3", now=NOON)
        assert [each["check_name"] for each in reading.listed(connection, reading.Asked(statuses=["open"]))[0]] == ["a"]
        assert resolve_gone(connection, "check", [], now=NOON) == 1


def test_what_is_long_over_is_forgotten_with_all_that_hangs_on_it(
    operations: Operations, told_by: Callable[..., str]
) -> None:
    told_by()
    old, live = found(operations, NOON), found(operations, NOON, subject="other")
    resolved = AlertBook(operations).resolve(old, "ann")["resolved_at"]
    for after, left in ((364 * DAY, {old, live}), (366 * DAY, {live})):
        with operations.write() as connection:
            forget_old(connection, resolved + after)
        with operations.read() as connection:
            for table in (ALERT, ALERT_EVENT, NOTIFICATION):
                assert set(connection.execute(select(table.c.alert_id)).scalars()) == left


def test_lists_are_filtered_and_go_on_at_their_cursor(operations: Operations) -> None:
    for n in range(5):
        found(operations, NOON + (n // 2) * HOUR, subject=f"table_{n}", severity="low" if n else "critical")
    with operations.read() as connection:
        seen, cursor = [], None
        while True:
            rows, cursor = reading.listed(connection, reading.Asked(), limit=2, cursor=cursor)
            seen += [each["subject"] for each in rows]
            if cursor is None:
                break
        assert sorted(seen) == [f"table_{n}" for n in range(5)]
        assert seen[0] == "table_4"

        def subjects(**asked: Any) -> list[str]:
            return [each["subject"] for each in reading.listed(connection, reading.Asked(**asked))[0]]

        assert subjects(severities=["critical"]) == ["table_0"]
        assert subjects(q="TABLE_3") == ["table_3"]
        assert subjects(q="%") == []
        assert subjects(subject="table_1") == ["table_1"]
        assert subjects(statuses=["resolved"]) == []
        assert [each["subject"] for each in reading.worst_first(connection, reading.Asked(), 1)] == ["table_0"]
        for bad in ("x", "e30=", "MjAyNi0wMS0wMQ=="):
            with pytest.raises(reading.CursorError, match="not given out here"):
                reading.listed(connection, reading.Asked(), cursor=bad)


def test_the_summary_counts_and_measures(operations: Operations) -> None:
    book = AlertBook(operations)
    ids = [found(operations, NOON, check_name=f"c{n}") for n in range(3)]
    acknowledged = book.acknowledge(ids[0], "ann")["acknowledged_at"]
    resolved = book.resolve(ids[1], "ann", "false_alarm")["resolved_at"]
    with operations.read() as connection:
        found_now = reading.summary(connection, resolved)
        alert = reading.one(connection, ids[1])
    assert found_now["open"] == {
        "low": 0, "medium": 0, "high": 2, "critical": 0, "live": 2, "unacknowledged": 1
    }  # fmt: skip
    assert found_now["mean_hours_to_acknowledge"] == pytest.approx((acknowledged - NOON) / HOUR)
    assert found_now["mean_hours_to_resolve"] == pytest.approx((resolved - NOON) / HOUR)
    assert sum(week["false_alarms"] for week in found_now["weeks"]) == 1
    rule = next(each for each in found_now["rules"] if each["check_name"] == "c1")
    assert (rule["raised"], rule["false_alarms"], rule["false_share"]) == (1, 1, 1.0)
    assert alert is not None
    assert [event["action"] for event in alert["events"]] == ["opened", "resolved"]
    assert alert["record"] == {"raised": 1, "false_alarms": 1}


def test_what_a_channel_did_not_take_is_due_again_once_and_not_before_a_snooze_is_over(
    operations: Operations, told_by: Callable[..., str]
) -> None:
    told_by()
    one, other, over = (found(operations, NOON, subject=name) for name in ("core.a", "core.b", "core.c"))
    with operations.write() as connection:
        connection.execute(NOTIFICATION.update().values(status="failed", attempts=5))
        snoozed = ALERT.c.alert_id == other
        connection.execute(ALERT.update().where(snoozed).values(snoozed_until=NOON + 3 * HOUR))
        connection.execute(ALERT.update().where(ALERT.c.alert_id == over).values(status="resolved"))
        retell(connection, channel(connection, "hook"), NOON + HOUR)
        rows = {each["alert_id"]: each for each in fetch(connection, select(NOTIFICATION))}
    assert {name: (rows[name]["status"], rows[name]["attempts"], rows[name]["due_at"]) for name in (one, other)} == {
        one: ("pending", 4, NOON + HOUR),
        other: ("pending", 4, NOON + 3 * HOUR),
    }
    assert rows[over]["status"] == "failed"
    told(operations, NOON + 4 * HOUR)
    with operations.write() as connection:
        plan_what_time_brings(connection, NOON + 4 * HOUR, policy_of(connection))
    assert [status for _, status in planned(operations)] == ["sent", "sent", "failed"]


@pytest.mark.parametrize(
    ("said", "severity"),
    [
        ({}, "high"),
        ({"Disk": "low"}, "low"),
        ({"Disk": "low", "Disk: house disk": "critical"}, "critical"),
        ({"Disk": "low", "Disk: free": "medium"}, "medium"),
        ({"disk": "low", "Disk: other": "low"}, "high"),
    ],
)
def test_any_fault_is_as_bad_as_people_say(operations: Operations, said: dict[str, str], severity: str) -> None:
    with operations.write() as connection:
        change(connection, "alerts.severity", said, "ann")
    of = {"kind": "house", "subject": "Disk", "check_name": "house disk", "column_name": "free"}
    assert row(operations, found(operations, NOON, **of))["severity"] == severity


def test_who_acknowledges_what_was_snoozed_is_not_asked_when_the_snooze_is_over(
    operations: Operations, told_by: Callable[..., str]
) -> None:
    told_by()
    alert_id = found(operations, NOON)
    AlertBook(operations).snooze(alert_id, "ann", utc_now() + HOUR)
    assert planned(operations) == [("opened:0", "cancelled"), ("snooze_over:2", "pending")]
    AlertBook(operations).acknowledge(alert_id, "bob")
    assert planned(operations) == [
        ("opened:0", "cancelled"),
        ("snooze_over:2", "cancelled"),
        ("acknowledgement_over:3", "pending"),
    ]


MEASURED = {"observed": 0.076, "threshold": 0.05, "severity": "medium"}


@pytest.mark.parametrize("resolution", ["expected", "false_alarm"])
def test_what_is_no_problem_is_told_again_only_where_it_gets_worse(operations: Operations, resolution: str) -> None:
    book = AlertBook(operations)
    first = found(operations, NOON, **MEASURED, evaluation="r1")
    book.resolve(first, "ann", resolution)
    # .076 is .026 beyond: .089 is just within half as far again, the same run counts once.
    for at, observed, run in ((NOON + HOUR, 0.076, "r2"), (NOON + HOUR, 0.076, "r2"), (NOON + DAY, 0.0885, "r3")):
        with operations.write() as connection:
            raised = raise_fault(connection, fault(**{**MEASURED, "observed": observed}, evaluation=run), now=at)
        assert (raised.alert_id, raised.action) == (first, "taught")
    kept = row(operations, first)
    assert (kept["status"], kept["resolution"], kept["reopened"]) == ("resolved", resolution, 0)
    assert kept["observed"] == 0.076
    assert (kept["occurrences"], kept["last_seen"]) == (3, NOON + DAY)
    worse = found(operations, NOON + DAY, **{**MEASURED, "observed": 0.09}, evaluation="r4")
    assert worse != first
    assert (row(operations, worse)["status"], row(operations, worse)["previous_alert_id"]) == ("open", first)
    # As it was when it was no problem, twice: what was told of the worse is over.
    for n in (5, 6):
        assert found(operations, NOON + n * DAY, **MEASURED, evaluation=f"r{n}") == first
    assert row(operations, worse)["resolution"] == "auto"
    with operations.write() as connection:
        assert raise_fault(connection, fault(**{**MEASURED, "severity": "high"}), now=NOON + 7 * DAY).action == "opened"


def test_what_teaches_is_unlearnt_by_reopening_and_only_of_what_is_measured_anew(operations: Operations) -> None:
    book = AlertBook(operations)
    first = found(operations, NOON, **MEASURED)
    book.resolve(first, "ann", "expected")
    book.reopen(first, "bob")
    with operations.write() as connection:
        assert raise_fault(connection, fault(**MEASURED), now=NOON + HOUR).action == "seen"
    book.resolve(first, "ann", "fixed")
    with operations.write() as connection:
        assert raise_fault(connection, fault(**MEASURED), now=utc_now()).action == "reopened"
    # A run that fails again fails anew, whatever was said of the last one.
    run = found(operations, NOON, kind="run", subject="build_days")
    book.resolve(run, "ann", "expected")
    with operations.write() as connection:
        assert raise_fault(connection, fault(kind="run", subject="build_days"), now=utc_now()).action == "reopened"


def test_others_that_offend_and_another_finding_are_told(operations: Operations) -> None:
    book = AlertBook(operations)
    known = {"observed": 1.0, "threshold": 0.0, "evidence": {"examples": ["Group chat"]}}
    book.resolve(found(operations, NOON, **known), "ann", "expected")
    other = {**known, "evidence": {"examples": ["Gift finder"]}}
    of_a_day = {**other, "partition_key": "2026-03-02"}
    book.resolve(found(operations, NOON, check_name="unmeasured", title="One odd file"), "ann", "expected")
    asked = (
        (fault(**known), "taught"),
        (fault(**of_a_day), "taught"),
        (fault(**other), "opened"),
        (fault(check_name="unmeasured", title="One odd file"), "taught"),
        (fault(check_name="unmeasured", title="Two odd files"), "opened"),
    )
    with operations.write() as connection:
        assert [raise_fault(connection, each, now=NOON + 9 * DAY).action for each, _ in asked] == [
            action for _, action in asked
        ]


def test_what_teaches_stays_while_it_is_found_and_of_datasets_for_good(operations: Operations) -> None:
    book = AlertBook(operations)
    now = utc_now()
    ids = {
        "old": found(operations, now - 3 * HOUR, check_name="old"),
        "found": found(operations, now - 3 * HOUR, **MEASURED),
        "dataset": found(operations, now - 3 * HOUR, kind="dataset", subject="orders"),
    }
    for alert_id in ids.values():
        book.resolve(alert_id, "ann", "expected")
    later = now + 4000 * DAY
    found(operations, later - HOUR, **MEASURED)
    with operations.write() as connection:
        assert forget_old(connection, later) == 1
    with operations.read() as connection:
        assert {each["alert_id"] for each in fetch(connection, select(ALERT))} == {ids["found"], ids["dataset"]}
