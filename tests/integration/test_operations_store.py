"""The operations store on both databases: transactions, revisions, backup, what it refuses."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.command import upgrade as upgrade_to
from alembic.migration import MigrationContext
from sqlalchemy import delete, insert, inspect, select, text, update
from sqlalchemy.exc import IntegrityError

from quality_assets.settings import Settings
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.engine import (
    OperationsUrlError,
    connect_sqlite,
    engine_of,
    parse_url,
    why_not_writable,
)
from quality_assets.stores.operations.house_tables import HOUSE_EVENT, REQUEST, SETTING, SETTING_HISTORY
from quality_assets.stores.operations.store import Operations, close_operations, fetch, operations_of
from quality_assets.stores.operations.tables import METADATA
from quality_assets.stores.operations.upgrade import OperationsNewerError, alembic_config, known_revisions

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456)


def _setting(key: str, value: object, version: int = 1) -> dict[str, object]:
    return {"key": key, "value": value, "updated_at": NOON, "updated_by": "ann", "version": version}


def _value(store: Operations, key: str) -> object:
    with store.read() as connection:
        return connection.execute(select(SETTING.c.value).where(SETTING.c.key == key)).scalar()


def _alert(alert_id: str, fingerprint: str, status: str) -> dict[str, object]:
    return {
        "alert_id": alert_id,
        "fingerprint": fingerprint,
        "group_id": "g",
        "kind": "check",
        "subject": "core.valid_events",
        "title": "t",
        "message": "m",
        "severity": "high",
        "status": status,
        "occurrences": 1,
        "first_seen": NOON,
        "opened_at": NOON,
        "last_seen": NOON,
        "evidence": {},
        "version": 1,
    }


def test_the_revisions_make_the_tables_that_the_code_names(operations: Operations) -> None:
    with operations.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
        revision = connection.execute(text("select version_num from alembic_version")).scalar()
        assert inspect(connection).get_pk_constraint("alert")["name"] == "pk_alert"
    assert revision == known_revisions()[-1]


def test_a_revision_follows_the_one_before() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from quality_assets.stores.operations.upgrade import MIGRATIONS

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    assert [each.revision for each in script.walk_revisions()] == known_revisions()[::-1]
    assert script.get_heads() == [known_revisions()[-1]]


def _store_of_before(settings: Settings, revision: str, rows: list[dict[str, object]]) -> None:
    """A store as code of that revision left it, with these rows in the history of settings."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    engine = engine_of(settings)
    with engine.begin() as connection:
        upgrade_to(alembic_config(connection), revision)
        connection.execute(insert(SETTING_HISTORY), rows)
    engine.dispose()


@pytest.mark.parametrize("revision", known_revisions()[:-1])
def test_a_store_of_before_is_brought_to_this_code_with_what_it_holds(
    operations_settings: Settings, revision: str
) -> None:
    set_back = {"key": "alerts.attempts", "old_value": 3, "new_value": 5, "at": NOON, "actor": "ann"}
    added = {"action": "added", "subject": "Ops: all", "note": "webhook"}
    ended = {"action": "ended", "subject": "everything", "note": ""}
    _store_of_before(
        operations_settings,
        revision,
        [
            {"key": "channel:ops:all", "old_value": None, "new_value": added, "at": NOON, "actor": "bob"},
            set_back,
            {"key": "silence:7", "old_value": None, "new_value": ended, "at": NOON, "actor": "eve"},
        ],
    )
    with operations_of(operations_settings).read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        events = fetch(connection, select(HOUSE_EVENT).order_by(HOUSE_EVENT.c.event_id))
        history = fetch(connection, select(SETTING_HISTORY))
    assert events == [
        {"event_id": 1, "at": NOON, "actor": "bob", "entity_type": "channel", "entity_id": "ops:all", **added},
        {"event_id": 2, "at": NOON, "actor": "eve", "entity_type": "silence", "entity_id": "7", **ended, "note": None},
    ]
    assert history == [{"history_id": 2, **set_back}]


def test_times_texts_and_documents_come_back_as_they_were(operations: Operations) -> None:
    document = {"a": [1, 2.5, None], "ü": {"nested": True}}
    with operations.write() as connection:
        connection.execute(insert(SETTING), [_setting("k", document)])
    with operations.read() as connection:
        row = connection.execute(select(SETTING)).mappings().one()
    assert (row["value"], row["updated_at"]) == (document, NOON)


def test_what_one_dialect_refuses_neither_gets(operations: Operations) -> None:
    document = {"n\x00": [float("nan"), float("inf"), np.float64(1.5), np.int64(3)], "half": "\ud83d"}
    with operations.write() as connection:
        connection.execute(insert(SETTING), [_setting("nul\x00 \ud83d", document)])
    assert _value(operations, "nul� ?") == {"n�": [None, None, 1.5, 3], "half": "?"}


def test_one_live_alert_a_fault_and_any_number_of_resolved_ones(operations: Operations) -> None:
    with operations.write() as connection:
        connection.execute(insert(ALERT), [_alert("a1", "f", "resolved"), _alert("a2", "f", "resolved")])
        connection.execute(insert(ALERT), [_alert("a3", "f", "open"), _alert("a4", "other", "open")])
    with pytest.raises(IntegrityError), operations.write() as connection:
        connection.execute(insert(ALERT), [_alert("a5", "f", "acknowledged")])


def test_a_transaction_that_raises_leaves_nothing(operations: Operations) -> None:
    before = operations.change_count()

    def half_done() -> None:
        with operations.write() as connection:
            connection.execute(insert(SETTING), [_setting("k", 1)])
            raise KeyError("k")

    with pytest.raises(KeyError):
        half_done()
    assert _value(operations, "k") is None
    assert operations.change_count() == before


def test_a_transaction_within_another_is_a_part_of_it(operations: Operations) -> None:
    def both() -> None:
        with operations.write() as connection:
            with operations.write() as inner:
                assert inner is connection
                inner.execute(insert(SETTING), [_setting("k", 1)])
            raise KeyError("k")

    before = operations.change_count()
    with pytest.raises(KeyError):
        both()
    assert _value(operations, "k") is None
    with operations.write(), operations.write() as connection:
        connection.execute(insert(SETTING), [_setting("k", 1)])
    assert operations.change_count() == before + 1


def test_every_write_counts(operations: Operations) -> None:
    before = operations.change_count()
    for n in range(3):
        with operations.write() as connection:
            connection.execute(insert(SETTING), [_setting(f"k{n}", n)])
    assert operations.change_count() == before + 3


def test_what_changes_nothing_does_not_count(operations: Operations) -> None:
    before = operations.change_count()
    with operations.write() as connection:
        connection.execute(delete(SETTING))
        connection.execute(update(SETTING).values(version=2))
    assert operations.change_count() == before


def test_writers_that_read_first_lose_nothing(operations: Operations) -> None:
    with operations.write() as connection:
        connection.execute(insert(SETTING), [_setting("sum", 0)])

    def add_one(_: int) -> None:
        with operations.write() as connection:
            found = connection.execute(select(SETTING.c.value).where(SETTING.c.key == "sum")).scalar()
            connection.execute(update(SETTING).where(SETTING.c.key == "sum").values(value=int(found or 0) + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add_one, range(40)))
    assert _value(operations, "sum") == 40


def test_a_reader_sees_one_state_while_another_writes(operations: Operations) -> None:
    with operations.read() as reader:
        assert reader.execute(select(SETTING)).all() == []
        with operations.write() as connection:
            connection.execute(insert(SETTING), [_setting("k", 1)])
        assert reader.execute(select(SETTING)).all() == []
    assert _value(operations, "k") == 1


def test_a_reader_of_postgresql_cannot_write(operations: Operations) -> None:
    if operations.engine.dialect.name != "postgresql":
        with operations.read() as connection:
            assert connection.execute(delete(SETTING)).rowcount == 0
        return
    with pytest.raises(Exception, match="read-only"), operations.read() as connection:
        connection.execute(delete(SETTING))


def test_keys_count_up(operations: Operations) -> None:
    row = {"job": "j", "run_config": {}, "tags": {}, "status": "waiting", "requested_at": NOON, "requested_by": "ann"}
    with operations.write() as connection:
        keys = [connection.execute(insert(REQUEST).values(row)).inserted_primary_key[0] for _ in range(2)]
    assert keys[1] > keys[0]


def test_a_backup_is_a_store_of_the_same_rows(operations: Operations, tmp_path: Path) -> None:
    with operations.write() as connection:
        connection.execute(insert(SETTING), [_setting("k", {"a": 1}), _setting("l", [2])])
        connection.execute(insert(ALERT), [_alert("a1", "f", "open")])
    target = tmp_path / "backups" / "operations.db"
    operations.back_up(target)
    assert [path.name for path in target.parent.iterdir()] == ["operations.db"]
    restored = Operations(connect_sqlite(target), tmp_path / "lock")
    try:
        assert _value(restored, "k") == {"a": 1}
        assert restored.change_count() == operations.change_count()
        with restored.read() as connection:
            assert connection.execute(select(ALERT.c.fingerprint, ALERT.c.first_seen)).all() == [("f", NOON)]
    finally:
        restored.close()
    with pytest.raises(FileExistsError, match="is there already"):
        operations.back_up(target)


def test_a_newer_store_is_refused_in_a_sentence(operations_settings: Settings) -> None:
    with operations_of(operations_settings).write() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    close_operations()
    with pytest.raises(OperationsNewerError, match=r"of revision 9999.*Install that version or a later one"):
        operations_of(operations_settings)


_OPEN = """
from quality_assets.settings import get_settings
from quality_assets.stores.operations.store import operations_of
from quality_assets.stores.operations.requests import ask
with operations_of(get_settings()).write() as connection:
    ask(connection, "build_days", actor="ann")
"""


def test_processes_that_open_an_empty_store_at_once_make_it_once(operations_settings: Settings) -> None:
    opening = [subprocess.Popen([sys.executable, "-c", _OPEN]) for _ in range(3)]
    assert [process.wait() for process in opening] == [0, 0, 0]
    assert operations_of(operations_settings).change_count() == 3


@pytest.mark.parametrize("address", ["mysql://u:secret@host/db", "no address", "sqlite:///x.db"])
def test_an_address_that_is_none_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(OperationsUrlError, match="QUALITY_OPERATIONS_URL") as raised:
        parse_url(address)
    assert "secret" not in str(raised.value)


def test_what_a_role_of_postgresql_may_not_do_is_said_with_the_way_on(operations: Operations) -> None:
    def granted(*rights: str) -> str | None:
        """What is said where a role with these rights alone asks."""
        with operations.engine.connect() as connection:
            for command in ("create role clerk", *rights, "set local role clerk"):
                connection.exec_driver_sql(command)
            told = why_not_writable(connection)
            connection.rollback()
            return told

    with operations.read() as connection:
        assert why_not_writable(connection) is None
    if operations.engine.dialect.name != "postgresql":
        return
    tables = "grant select, insert, update, delete on all tables in schema public to clerk"
    told = granted("grant select on all tables in schema public to clerk")
    assert told is not None
    assert told.startswith("the role 'clerk' has no DELETE, INSERT, UPDATE, USAGE on ")
    assert f"`{tables}`".lower() in told.lower()
    told = granted(tables)
    assert told is not None
    assert told.startswith("the role 'clerk' has no USAGE on ")
    assert granted(tables, "grant usage on all sequences in schema public to clerk") is None
    reads_only = granted(tables, "set default_transaction_read_only = on")
    assert reads_only == "its role only reads: set default_transaction_read_only = off for it, or name another role"


def test_every_spelling_of_postgresql_uses_the_one_driver() -> None:
    assert parse_url("postgresql://u@h/d").drivername == "postgresql+psycopg"
    assert parse_url("postgresql+psycopg2://u@h/d").drivername == "postgresql+psycopg"
