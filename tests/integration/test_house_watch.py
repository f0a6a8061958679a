"""The house watches itself: what is wrong with its processes, disk and snapshots is told, and is over when it is."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from dataclasses import replace
from datetime import timedelta

import dagster as dg
import pytest
from services import alert_rows
from typer.testing import CliRunner

from quality_assets.cli.main import app
from quality_assets.clock import utc_now
from quality_assets.defs.house_sensors import REQUEST_TAG, requests_sensor, telling_sensor
from quality_assets.defs.jobs import build_days
from quality_assets.domain.quality.alerting import Fault
from quality_assets.settings import Settings
from quality_assets.stores.operations.house_tables import REQUEST
from quality_assets.stores.operations.requests import ask, live
from quality_assets.stores.operations.store import fetch, operations_of
from quality_assets.stores.process_ids import process_name
from quality_assets.stores.servers import remember_servers
from quality_assets.stores.snapshots import current_snapshot
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables import house
from quality_assets.tables.alerts import AlertBook
from quality_assets.tables.house_settings import change
from quality_assets.tables.publishing import publish_warehouse


def part(settings: Settings, name: str, **at: object) -> house.Part:
    return next(each for each in house.parts(settings, **at) if each.name == name)  # type: ignore[arg-type]


def test_a_silent_daemon_is_told_while_the_servers_should_run_and_is_over_when_it_beats(data_root: Settings) -> None:
    house.beat(data_root)
    later = utc_now() + timedelta(seconds=200)
    assert part(data_root, "Daemon").status == house.OK
    assert part(data_root, "Daemon", now=later).status == house.FAILING
    house.watch(data_root, later)
    assert alert_rows(data_root) == [], "nobody has started the servers"
    remember_servers(data_root.data_dir, {"serve": process_name(os.getpid())})
    for _ in range(2):
        house.watch(data_root, later)
    (alert,) = alert_rows(data_root)
    assert (alert["kind"], alert["subject"], alert["occurrences"]) == ("house", "Daemon", 1)
    assert "have not run for 3.3 min" in alert["message"]
    house.beat(data_root)
    house.watch(data_root)
    assert [row["status"] for row in alert_rows(data_root)] == ["resolved"]


def test_a_dead_process_and_a_full_disk_are_told(data_root: Settings) -> None:
    data_root.data_dir.mkdir()
    names = {"serve": process_name(os.getpid()), "dagster": "999999:1", "dashboard": process_name(os.getpid())}
    remember_servers(data_root.data_dir, names)
    with operations_of(data_root).write() as connection:
        change(connection, "house.least_free_mb", 10_000_000, "ann")
    house.watch(data_root)
    found = {row["subject"]: row["severity"] for row in alert_rows(data_root)}
    assert found == {"Dagster": "high", "Disk": "critical"}
    with operations_of(data_root).write() as connection:
        change(connection, "house.least_free_mb", None, "ann")
    house.watch(data_root)
    assert [row["subject"] for row in alert_rows(data_root, status="open")] == ["Dagster"]
    assert house.worst(house.parts(data_root)) == house.FAILING


def test_an_old_snapshot_is_late(built_copy: Settings) -> None:
    from quality_assets.stores.warehouse import open_warehouse
    from quality_assets.tables.publishing import publish_warehouse

    with open_warehouse(built_copy) as session:
        session.connection.execute("delete from ops.audits_due")
        publish_warehouse(session, "run-1")
    snapshot = part(built_copy, "Published snapshot")
    assert snapshot.since is not None
    house.watch(built_copy, snapshot.since + timedelta(hours=37))
    (alert,) = alert_rows(built_copy, kind="lateness")
    assert (alert["title"], alert["status"]) == ("Nothing new was published", "open")
    house.watch(built_copy, snapshot.since + timedelta(hours=1))
    assert [row["status"] for row in alert_rows(built_copy, kind="lateness")] == ["resolved"]


def test_lateness_that_others_told_of_is_left_to_them(data_root: Settings) -> None:
    fault = Fault("lateness", "orders", "orders is late", "No batch since Monday.", "medium", check_name="freshness")
    AlertBook(operations_of(data_root)).raise_fault(fault)
    with operations_of(data_root).write() as connection:
        change(connection, "house.least_free_mb", 10_000_000, "ann")
    house.watch(data_root)
    assert {row["subject"] for row in alert_rows(data_root, status="open")} == {"orders", "Disk"}


def test_what_is_asked_for_becomes_one_run_whose_end_is_noted(data_root: Settings) -> None:
    store = operations_of(data_root)
    with store.write() as connection:
        first = ask(connection, "build_days", actor="ann", subject="orders", request_key="k", tags={"a": "b"})
        assert ask(connection, "build_days", actor="ann", subject="orders", request_key="k") == first
        ask(connection, "no_such_job", actor="ann")
    with dg.DagsterInstance.ephemeral() as instance:

        def tick() -> list[dg.RunRequest]:
            found = requests_sensor(dg.build_sensor_context(instance))
            return list(found.run_requests or []) if isinstance(found, dg.SensorResult) else []

        for _ in range(2):
            (request,) = tick()
            assert (request.run_key, request.job_name) == (f"request-{first}", "build_days")
            assert request.tags == {"a": "b", REQUEST_TAG: str(first)}
        run = dg.DagsterRun(build_days.name, tags=request.tags, status=dg.DagsterRunStatus.STARTED)
        instance.add_run(run)
        assert tick() == []
        with store.read() as connection:
            assert [row["status"] for row in live(connection, "orders")] == ["started"]
        instance.report_run_failed(run)
        tick()
    with store.read() as connection:
        rows = fetch(connection, REQUEST.select().order_by(REQUEST.c.request_id))
    assert [(row["status"], row["run_id"] is not None) for row in rows] == [("done", True), ("refused", False)]
    assert rows[1]["reason"] == "There is no job 'no_such_job' to ask for."


def test_the_telling_sensor_beats_and_says_what_it_did(data_root: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        said = telling_sensor(dg.build_sensor_context(instance))
    assert isinstance(said, dg.SkipReason)
    assert (said.skip_message or "").startswith("0 messages sent, 0 not taken.")
    assert part(data_root, "Daemon").status == house.OK


@pytest.fixture
def quality(data_root: Settings):  # type: ignore[no-untyped-def]
    """Runs a command on an empty data root: exit code and words."""

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, list(arguments))
        return result.exit_code, result.output

    return run


def test_alerts_are_answered_from_the_command_line(quality, data_root: Settings) -> None:  # type: ignore[no-untyped-def]
    assert quality("alerts", "list") == (0, "No alert is like that.\n")
    assert json.loads(quality("alerts", "list", "--format", "json")[1]) == []
    fault = Fault("check", "core.t", "Rows [b]lost[/b]", "Two.", "high", observed=2.0)
    alert_id = AlertBook(operations_of(data_root)).raise_fault(fault).alert_id
    (listed,) = json.loads(quality("alerts", "list", "--format", "json")[1])
    assert (listed["alert_id"], listed["severity"], listed["observed"]) == (alert_id, "high", 2.0)
    assert listed["first_seen"].endswith("Z")
    assert quality("alerts", "ack", alert_id[:6], "--as", "zoe") == (0, "Rows [b]lost[/b]: acknowledged\n")
    assert quality("alerts", "ack", alert_id)[0] == 1
    assert quality("alerts", "snooze", alert_id, "--hours", "2")[0] == 0
    said = quality("alerts", "resolve", alert_id, "--as-what", "expected", "--note", "A holiday.")
    assert said == (0, "Rows [b]lost[/b]: resolved\n  quiet from now on, unless it gets worse\n")
    code, shown = quality("alerts", "show", alert_id[:8])
    assert code == 0
    assert "acknowledged by zoe" in shown
    assert "A holiday." in shown
    assert json.loads(quality("alerts", "show", alert_id, "--format", "json")[1])["resolution"] == "expected"
    assert quality("alerts", "list")[1] == "No alert is like that.\n"
    assert [row["status"] for row in json.loads(quality("alerts", "list", "--format", "json")[1])] == ["resolved"]
    for wrong in (["list", "--status", "x"], ["list", "--severity", "x"]):
        assert quality("alerts", *wrong)[0] == 2
    assert quality("alerts", "show", "zzz")[0] == 1
    assert quality("alerts", "send") == (0, "0 sent, 0 not taken\n")


def test_whatever_pages_do_to_alerts_the_command_line_does(quality, data_root: Settings) -> None:  # type: ignore[no-untyped-def]
    book = AlertBook(operations_of(data_root))
    alert_id = book.raise_fault(Fault("check", "core.t", "Rows lost", "Two of three.", "high")).alert_id
    book.raise_fault(Fault("manual", "us", "By hand", "Look.", "low"))

    def titles(*filters: str) -> list[str]:
        return [row["title"] for row in json.loads(quality("alerts", "list", "--format", "json", *filters)[1])]

    assert quality("alerts", "assign", alert_id, " ann  b ") == (0, "Rows lost: open\n  assigned to ann b\n")
    assert titles("--assignee", "ann b") == ["Rows lost"]
    assert titles("--kind", "check,manual") == ["Rows lost", "By hand"]
    assert (titles("--kind", "manual"), titles("--search", "OF THREE")) == (["By hand"], ["Rows lost"])
    assert quality("alerts", "list", "--kind", "chek")[0] == 2
    assert quality("alerts", "assign", alert_id)[1] == "Rows lost: open\n  assigned to nobody\n"
    assert quality("alerts", "note", alert_id, "A disk.", "--as", "zoe")[0] == 0
    assert quality("alerts", "note", alert_id, " ")[0] == 1
    assert quality("alerts", "resolve", alert_id)[0] == 0
    assert quality("alerts", "reopen", alert_id, "--note", "Not yet.") == (0, "Rows lost: open\n")
    assert quality("alerts", "reopen", alert_id)[0] == 1
    shown = quality("alerts", "show", alert_id)[1]
    assert "noted by zoe: A disk." in shown
    assert "  occurrences: 1\n" in shown


def test_silences_are_made_and_ended_from_the_command_line(quality, data_root: Settings) -> None:  # type: ignore[no-untyped-def]
    add = ("alerts", "silence", "add", "--hours", "2", "--reason")
    assert quality("alerts", "silence", "list")[1] == "Nothing is silenced.\n"
    assert quality(*add, " ")[0] == 2
    assert quality(*add, "Moving.", "--kind", "chek")[0] == 2
    assert quality(*add, "Moving.", "--severity", "worst")[0] == 2
    assert quality(*add, "Moving.", "--from", "2001-01-01T00:00:00")[0] == 2
    said = quality(*add, "Moving.", "--subject", " core.* ", "--severity", "high", "--as", "zoe")[1]
    assert said.startswith("Silence 1: subject core.*, most severity high until 20")
    (row,) = json.loads(quality("alerts", "silence", "list", "--format", "json")[1])
    told = (row["silence_id"], row["subject"], row["kind"], row["most_severity"], row["reason"], row["created_by"])
    assert told == (1, "core.*", None, "high", "Moving.", "zoe")
    assert quality("alerts", "silence", "end", "1") == (0, "Silence 1 is over.\n")
    assert quality("alerts", "silence", "end", "1")[0] == 1
    assert json.loads(quality("alerts", "silence", "list", "--format", "json")[1]) == []


def test_ids_and_answers_that_say_too_little_are_asked_again(quality, data_root: Settings) -> None:  # type: ignore[no-untyped-def]
    book = AlertBook(operations_of(data_root))
    fault = Fault("check", "core.t", "Lost", "Two.", "high", evidence={"examples": ["Zoë", 1]})
    alert_id = book.raise_fault(fault).alert_id
    for nothing in ("", " "):
        code, said = quality("alerts", "resolve", nothing)
        assert (code, "The id is empty" in said) == (2, True)
    assert "`quality alerts list --status all` lists them" in quality("alerts", "ack", "zzz")[1]
    assert "is your name" in quality("alerts", "resolve", alert_id, "--as", "expected")[1]
    assert quality("alerts", "resolve", alert_id, "--as-what", "auto")[0] == 2
    assert "4,001 signs" in quality("alerts", "ack", alert_id, "--note", "x" * 4001)[1]
    (kept,) = json.loads(quality("alerts", "list", "--format", "json")[1])
    assert kept["status"] == "open"
    for command in (["list"], ["show", alert_id]):
        (row,) = csv.DictReader(io.StringIO(quality("alerts", *command, "--format", "csv")[1]))
        assert (row["alert_id"], json.loads(row["evidence"])) == (alert_id, {"examples": ["Zoë", 1]})
    assert quality("alerts", "resolve", alert_id, "--resolution", "expected", "--as", "zoe\n" * 40)[0] == 0
    assert json.loads(quality("alerts", "show", alert_id, "--format", "json")[1])["events"][-1]["actor"] == (
        " ".join(["zoe"] * 15)
    )
    ids = sorted([alert_id, *(book.raise_fault(replace(fault, subject=f"t{n}")).alert_id for n in range(40))])
    twice = next(one[0] for one, two in itertools.pairwise(ids) if one[0] == two[0])
    said = " ".join(quality("alerts", "ack", twice)[1].split())
    assert f"begins with '{twice}': {next(each for each in ids if each[0] == twice)}, " in said


@pytest.mark.parametrize("address", ["nobody", "", "a@b", "Ann <ann@example.com>", "a@x.example, b@x.example"])
def test_an_owner_is_written_to_by_one_address(quality, address: str) -> None:  # type: ignore[no-untyped-def]
    code, said = quality("settings", "set", "alerts.owners", json.dumps({"team:x": address}))
    assert (code, "is no e-mail address such as ann@example.com" in " ".join(said.split())) == (1, True)
    said = quality("settings", "set", "alerts.owners", '{"": "ann@example.com"}')
    assert said == (0, 'alerts.owners = {"": "ann@example.com"}\n')
    rows = {row["key"]: row for row in csv.DictReader(io.StringIO(quality("settings", "--format", "csv")[1]))}
    assert (rows["alerts.owners"]["value"], rows["alerts.owners"]["default"]) == ('{"": "ann@example.com"}', "{}")
    assert rows["channels.allow_private_targets"]["value"] == "false"


def test_settings_token_and_backup_are_commands(quality, data_root: Settings) -> None:  # type: ignore[no-untyped-def]
    assert quality("settings", "set", "alerts.attempts", "3") == (0, "alerts.attempts = 3\n")
    rows = json.loads(quality("settings", "--format", "json")[1])
    assert next(row for row in rows if row["key"] == "alerts.attempts")["value"] == 3
    assert quality("settings", "set", "alerts.attempts", "many")[0] == 1
    assert quality("settings", "set", "none", "1")[0] == 1
    code, token = quality("token")
    assert (code, token) == quality("token")
    assert len(token.strip()) > 40
    assert (data_root.data_dir / ".secrets" / "token").stat().st_mode & 0o777 == 0o600
    target = str(data_root.data_dir / "backup.db")
    assert quality("operations", "backup", target)[0] == 0
    assert quality("operations", "backup", target)[0] == 1


def test_a_clock_that_was_ahead_is_told(data_root: Settings) -> None:
    with open_warehouse(data_root) as session:
        publish_warehouse(session, "run-1")
    published = current_snapshot(data_root.published_dir)
    assert published is not None
    at = published.published_at
    assert part(data_root, "Clock", now=at - timedelta(minutes=10)).status == house.OK
    back = at - timedelta(days=20)
    told = part(data_root, "Clock", now=back)
    said = f"The last publication is of {at:%Y-%m-%d %H:%M} UTC, and this machine's clock says {back:%Y-%m-%d %H:%M}"
    assert (told.status, told.sentence.startswith(said)) == (house.FAILING, True)
    house.watch(data_root, back)
    assert [row["subject"] for row in alert_rows(data_root)] == ["Clock"]
    house.watch(data_root)
    assert [row["status"] for row in alert_rows(data_root)] == ["resolved"]
