"""Sending to real destinations: a server that fails, a database, files; what they have in the end, and what is told."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from receiving import Receiver, publish_session, published, receiver
from sqlalchemy import create_engine, select, text

from quality_assets.contracts.destinations import Destination
from quality_assets.settings import Settings
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.delivery_tables import DELIVERED_ROW, DELIVERY
from quality_assets.stores.operations.store import fetch, operations_of
from quality_assets.stores.root_copies import remember_place
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables.deliveries import DeliveryOutcome, NothingToSend, deliver
from tests.services import PostgresServer

__all__ = ["receiver"]


def webhook(receiver: Receiver, **options: Any) -> Destination:
    return Destination(
        name="crm", owner="a@example.com", send="segment:keen", kind="webhook", url=receiver.url, **options
    )  # fmt: skip


def sent(settings: Settings, destination: Destination, **options: Any) -> DeliveryOutcome:
    waits: list[float] = []
    outcome = deliver(settings, destination, wait=waits.append, **options)
    sent.waits = waits  # type: ignore[attr-defined]
    return outcome


def test_a_webhook_gets_what_it_lacks_and_no_more(data_root: Settings, receiver: Receiver) -> None:
    published(data_root, {"u1": "2026-03-01", "u2": "2026-03-01", "u3": "2026-03-01", "u4": "2026-03-01"})
    planned = sent(data_root, webhook(receiver), dry_run=True)
    assert (planned.status, planned.inserts, len(planned.examples)) == ("planned", 4, 4)
    assert receiver.requests == []
    first = sent(data_root, webhook(receiver, mode="mirror", batch_rows=2))
    assert (first.status, first.inserts, first.batches) == ("delivered", 4, 2)
    assert set(receiver.rows) == {"u1", "u2", "u3", "u4"}
    again = sent(data_root, webhook(receiver, mode="mirror"))
    assert (again.inserts, again.updates, again.deletes, len(receiver.requests)) == (0, 0, 0, 2)
    published(data_root, {"u1": "2026-03-01", "u2": "2026-03-05", "u4": "2026-03-01"})
    changed = sent(data_root, webhook(receiver, mode="mirror"))
    assert (changed.inserts, changed.updates, changed.deletes) == (0, 1, 1)
    assert {key: row["entered_on"] for key, row in receiver.rows.items()} == {
        "u1": "2026-03-01",
        "u2": "2026-03-05",
        "u4": "2026-03-01",
    }


def test_failures_are_tried_again_and_lost_replies_do_no_harm(
    data_root: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_KEY", "shared")
    published(data_root, {f"u{n}": "2026-03-01" for n in range(5)})
    receiver.answers, receiver.loses_replies = [503, 429, 500], 1
    outcome = sent(data_root, webhook(receiver, secret="env:CRM_KEY"))
    assert (outcome.status, outcome.attempts) == ("delivered", 5)
    assert sent.waits[1] == 7  # type: ignore[attr-defined]
    keys = {headers["Idempotency-Key"] for headers, _ in receiver.requests}
    assert len(keys) == 1
    headers, body = receiver.requests[-1]
    assert headers["X-Signature-SHA256"] == hmac.new(b"shared", body, hashlib.sha256).hexdigest()
    assert len(receiver.rows) == 5


def test_what_it_refuses_stops_and_is_told_and_goes_on_where_it_stopped(
    data_root: Settings, receiver: Receiver
) -> None:
    published(data_root, {f"u{n}": "2026-03-01" for n in range(6)})
    receiver.answers = [200, 422]
    stopped = sent(data_root, webhook(receiver, batch_rows=2))
    assert (stopped.status, stopped.batches) == ("stopped", 1)
    assert stopped.error is not None
    assert "422" in stopped.error
    store = operations_of(data_root)
    with store.read() as connection:
        told = fetch(connection, select(ALERT.c.status, ALERT.c.title))
        batches = fetch(connection, select(DELIVERY.c.status).order_by(DELIVERY.c.batch))
    assert told == [{"status": "open", "title": "crm does not take what it is sent"}]
    assert [row["status"] for row in batches] == ["delivered", "stopped"]
    rest = sent(data_root, webhook(receiver, batch_rows=2))
    assert (rest.status, rest.inserts) == ("delivered", 4)
    assert len(receiver.rows) == 6
    with store.read() as connection:
        assert len(fetch(connection, select(DELIVERED_ROW.c.row_key))) == 6


def test_a_destination_that_never_answers_is_given_up(data_root: Settings, receiver: Receiver) -> None:
    published(data_root, {"u1": "2026-03-01"})
    receiver.answers = [500] * 20
    outcome = sent(data_root, webhook(receiver))
    assert (outcome.status, outcome.attempts, len(receiver.requests)) == ("stopped", 8, 8)


def test_a_mass_delete_is_refused(data_root: Settings, receiver: Receiver) -> None:
    published(data_root, {f"u{n}": "2026-03-01" for n in range(10)})
    sent(data_root, webhook(receiver, mode="mirror"))
    published(data_root, {"u1": "2026-03-01"})
    refused = sent(data_root, webhook(receiver, mode="mirror"))
    assert refused.status == "refused"
    assert len(receiver.rows) == 10
    allowed = sent(data_root, webhook(receiver, mode="mirror", allow_mass_delete=True))
    assert (allowed.deletes, set(receiver.rows)) == (9, {"u1"})


def test_a_table_of_postgresql_mirrors_the_segment(data_root: Settings, postgresql: PostgresServer) -> None:
    address = postgresql.new_database()
    _check_table(data_root, address)


def test_a_table_of_sqlite_mirrors_the_segment(data_root: Settings, tmp_path: Path) -> None:
    _check_table(data_root, f"sqlite:///{tmp_path / 'crm.db'}")


def _check_table(data_root: Settings, address: str) -> None:
    destination = Destination(
        name="db", owner="a@example.com", send="segment:keen", kind="sql", mode="mirror", url=address, table="keen",
        batch_rows=2, allow_mass_delete=True,
    )  # fmt: skip
    published(data_root, {"u1": "2026-03-01", "u2": "2026-03-01", "u3": "2026-03-01"})
    assert sent(data_root, destination).status == "delivered"
    published(data_root, {"u2": "2026-03-09", "u3": "2026-03-01", "u4": "2026-03-01"})
    assert sent(data_root, destination).status == "delivered"
    engine = create_engine(address.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        rows = connection.execute(text("select row_key, entered_on from keen order by row_key")).fetchall()
    engine.dispose()
    assert [tuple(row) for row in rows] == [("u2", "2026-03-09"), ("u3", "2026-03-01"), ("u4", "2026-03-01")]


def test_a_database_that_is_not_there_stops_with_its_words(data_root: Settings, tmp_path: Path) -> None:
    published(data_root, {"u1": "2026-03-01"})
    destination = Destination(
        name="db", owner="a@example.com", send="segment:keen", kind="sql", table="keen",
        url=f"sqlite:///{tmp_path / 'nowhere' / 'crm.db'}",
    )  # fmt: skip
    outcome = sent(data_root, destination)
    assert outcome.status == "stopped"
    assert "unable to open database file" in str(outcome.error)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_file_is_whole_and_an_upsert_keeps_what_is_gone(data_root: Settings, tmp_path: Path, ending: str) -> None:
    path = tmp_path / "out" / f"keen.{ending}"
    destination = Destination(
        name="file", owner="a@example.com", send="segment:keen", kind="file", path=str(path), mode="upsert"
    )
    published(data_root, {"u1": "2026-03-01", "u2": "2026-03-01"})
    assert sent(data_root, destination).status == "delivered"
    published(data_root, {"u2": "2026-03-04", "u3": "2026-03-01"})
    outcome = sent(data_root, destination)
    assert (outcome.inserts, outcome.updates, outcome.deletes) == (1, 1, 0)
    assert _file(path) == {"u1": "2026-03-01", "u2": "2026-03-04", "u3": "2026-03-01"}
    mirror = destination.model_copy(update={"mode": "mirror", "allow_mass_delete": True})
    assert sent(data_root, mirror).deletes == 1
    assert _file(path) == {"u2": "2026-03-04", "u3": "2026-03-01"}


def _file(path: Path) -> dict[str, str]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        rows = pq.read_table(path).to_pylist()
    elif path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["row_key"]: row["entered_on"] for row in rows}


def test_nothing_published_and_no_such_segment_say_so(data_root: Settings, receiver: Receiver) -> None:
    with pytest.raises(NothingToSend, match="nothing is published yet"):
        deliver(data_root, webhook(receiver))
    published(data_root, {"u1": "2026-03-01"})
    other = webhook(receiver).model_copy(update={"send": "segment:none"})
    with pytest.raises(NothingToSend, match="no segment is called 'none'"):
        deliver(data_root, other)


def test_a_copy_of_a_root_that_is_there_sends_nothing(data_root: Settings, receiver: Receiver, tmp_path: Path) -> None:
    published(data_root, {"u1": "2026-03-01"})
    remember_place(data_root)
    copy = data_root.model_copy(update={"data_dir": tmp_path / "copy"})
    shutil.copytree(data_root.data_dir, copy.data_dir)
    with pytest.raises(NothingToSend, match=r"copy is a copy of .*, which tells people"):
        deliver(copy, webhook(receiver))
    assert deliver(copy, webhook(receiver), dry_run=True).status == "planned"
    assert deliver(data_root, webhook(receiver)).inserts == 1


def test_the_job_of_the_schedule_sends_to_all_and_fails_for_one_that_refuses(
    data_root: Settings, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dagster as dg

    from quality_assets.defs import deliveries as defs

    folder = data_root.data_dir / "destinations"
    folder.mkdir(parents=True)
    common = "owner: a@example.com\nsend: segment:keen\n"
    (folder / "crm.yaml").write_text(f"name: crm\n{common}kind: webhook\nurl: {receiver.url}\n")
    (folder / "kept.yaml").write_text(f"name: kept\n{common}kind: file\npath: {tmp_path / 'kept.csv'}\n")
    (folder / "late.yaml").write_text("name: late\nowner: a@example.com\nsend: segment:none\nkind: file\npath: n.csv\n")
    published(data_root, {"u1": "2026-03-01", "u2": "2026-03-01"})
    monkeypatch.setattr(defs, "get_settings", lambda: data_root)
    due = datetime(2026, 3, 2, 8, tzinfo=UTC)
    with dg.DagsterInstance.ephemeral() as instance:
        asked = defs.daily_delivery(dg.build_schedule_context(instance=instance, scheduled_execution_time=due))
        assert isinstance(asked, dg.RunRequest)
        assert asked.run_key == due.isoformat()
        receiver.answers = [422]
        failed = defs.deliver_job.execute_in_process(instance=instance, raise_on_error=False)
        assert not failed.success
        assert "crm: it answered 422" in str(failed.failure_data_for_node("deliver_all").error)  # type: ignore[union-attr]
        assert set(_file(tmp_path / "kept.csv")) == {"u1", "u2"}
        only = {"ops": {"deliver_all": {"config": {"names": ["crm"], "dry_run": True}}}}
        assert defs.deliver_job.execute_in_process(instance=instance, run_config=only).success
        assert receiver.rows == {}
        assert defs.deliver_job.execute_in_process(instance=instance).success
    assert set(receiver.rows) == {"u1", "u2"}


def test_scores_of_users_go_out_as_ranks_until_probabilities_have_held(data_root: Settings, tmp_path: Path) -> None:
    destination = Destination(
        name="scores", owner="a@example.com", send="engagement", kind="file", path=str(tmp_path / "scores.jsonl")
    )
    for verdict, sent_value in (("ranks only", None), ("probabilities hold", 0.8)):
        with open_warehouse(data_root) as session:
            for table in ("ml.engagement_scores", "ml.engagement_grades"):
                session.connection.execute(f"delete from {table}")
            session.connection.execute(
                "insert into ml.engagement_scores by name select date '2026-03-01' as as_of_date, 'u1' as user_id,"
                " 0.8 as p_churn, 0.95 as rank, 'high' as band, ['rarely here'] as reasons, 'logistic' as scored_by,"
                " 'f' as inputs_fingerprint"
            )
            session.connection.execute(
                "insert into ml.engagement_grades by name select date '2026-02-01' as as_of_date,"
                " 'logistic' as candidate, 9 as users, 3 as churned, $said as verdict, 'r' as reason",
                {"said": verdict},
            )
            publish_session(data_root, session)
        assert sent(data_root, destination).status == "delivered"
        (row,) = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
        assert (row["row_key"], row["band"], row["p_churn"]) == ("u1", "high", sent_value)


def test_insights_are_sentences_and_none_of_them_is_a_raw_difference(data_root: Settings, tmp_path: Path) -> None:
    destination = Destination(
        name="told", owner="a@example.com", send="insights", kind="file", path=str(tmp_path / "told.jsonl")
    )
    with open_warehouse(data_root) as session:
        session.connection.execute(
            "insert into impact.lift_estimates by name select date '2026-03-01' as as_of_date, 'Quiz' as feature,"
            " 'return_7d' as outcome, 0.3 as naive, 400 as adopters, 'not established' as verdict,"
            " 'Not established. …' as reason, 'f' as inputs_fingerprint"
        )
        session.connection.execute(
            "insert into impact.experiments by name select 'layout' as experiment, 'final' as state, 900 as exposed,"
            " 0 as excluded, [''] as reasons, 'Better: …' as verdict, 'f' as inputs_fingerprint"
        )
        publish_session(data_root, session)
    assert sent(data_root, destination).inserts == 2
    rows = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
    assert {(row["kind"], row["subject"], row["sentence"]) for row in rows} == {
        ("experiment", "layout", "Better: …"),
        ("lift", "Quiz, return_7d", "Not established. …"),
    }
    assert not any("naive" in row for row in rows)
