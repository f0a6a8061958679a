"""Faults of a data root: each is found by the doctor, nothing less than is true is published, and all is made anew."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import apsw
import duckdb
import pytest
from pydantic import SecretStr

from quality_assets.cli.fault import Fault
from quality_assets.cli.faults import can_be_made_anew, find_faults, set_aside
from quality_assets.cli.store_faults import operations_revision, sqlite_problem
from quality_assets.domain.quality import alerting
from quality_assets.serve.collector.core import Core
from quality_assets.settings import Settings
from quality_assets.stores.live.request_log import Entry, encoded
from quality_assets.stores.operations.store import close_operations, operations_of
from quality_assets.stores.snapshots import (
    Snapshot,
    current_snapshot,
    open_snapshot,
    published_fault,
    why_none_is_published,
)
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables.alerts import raise_fault
from quality_assets.tables.operations_copy import copy_operations
from quality_assets.tables.publishing import Refusal, is_published, publish_warehouse
from tests.conftest import new_settings

COUNTS = "select count(*), count(distinct feature), max(event_date) from core.valid_events"


@pytest.fixture(autouse=True, scope="module")
def _checks_count_as_asked() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quality_assets.tables.publishing.unaudited_by_table", lambda *_: {})
        patch.setattr("quality_assets.tables.publishing.is_arrival_unaudited", lambda *_: False)
        yield


@pytest.fixture(scope="module")
def in_force(built_warehouse: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a snapshot in force; made once."""
    settings = new_settings(tmp_path_factory.mktemp("in_force") / "data")
    shutil.copytree(built_warehouse.data_dir, settings.data_dir)
    published(settings)
    assert find_faults(settings) == []
    return settings.data_dir


@pytest.fixture
def root(in_force: Path, data_root: Settings) -> Settings:
    """A copy of it, to break."""
    shutil.copytree(in_force, data_root.data_dir)
    return data_root


def published(settings: Settings) -> Snapshot:
    outcome = publish(settings)
    assert isinstance(outcome, Snapshot), outcome
    return outcome


def publish(settings: Settings) -> Snapshot | Refusal:
    with open_warehouse(settings) as session:
        return publish_warehouse(session, "run")


def only(settings: Settings) -> Fault:
    (fault,) = find_faults(settings)
    return fault


def counts(settings: Settings) -> list[tuple[object, ...]]:
    snapshot = current_snapshot(settings.published_dir)
    assert snapshot is not None
    with open_snapshot(snapshot) as connection:
        return connection.execute(COUNTS).fetchall()


@pytest.mark.parametrize("name", ["CURRENT", "ATTEMPT"])
def test_a_pointer_that_cannot_be_read_is_named_and_written_anew(root: Settings, name: str) -> None:
    for text in ('{"vers', "", "[]", '{"version": 1}', "\x00\x01"):
        (root.published_dir / name).write_text(text)
        # The only one: what the one before was has been written anew.
        fault = only(root)
        assert f"{root.published_dir / name} cannot be read" in fault.detail, text
        assert "`quality run`" in fault.mend
        with open_warehouse(root) as session:
            assert not is_published(session), "`quality run` publishes although nothing else is to be done"
        published(root)
    assert find_faults(root) == []


def test_a_snapshot_whose_folder_is_gone_is_published_anew(root: Settings) -> None:
    snapshot = current_snapshot(root.published_dir)
    assert snapshot is not None
    shutil.rmtree(snapshot.folder)
    assert current_snapshot(root.published_dir) is None
    assert f"{snapshot.warehouse_path}, which CURRENT names, is not there" in only(root).detail
    with open_warehouse(root) as session:
        assert not is_published(session)
    published(root)
    assert published_fault(root.published_dir) is None


def test_what_readers_find_no_snapshot_are_told_is_why(root: Settings) -> None:
    (root.published_dir / "CURRENT").write_text("garbage")
    why = why_none_is_published(root.published_dir)
    assert why.startswith(f"{root.published_dir / 'CURRENT'} cannot be read (")
    assert why.endswith("; `quality run` publishes anew")
    (root.published_dir / "CURRENT").unlink()
    assert why_none_is_published(root.published_dir) == "nothing is published yet; `quality run` publishes"


def test_what_is_whole_is_not_broken_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, garbage = tmp_path / "whole.db", tmp_path / "garbage.db"
    with closing(sqlite3.connect(whole)) as connection:
        connection.execute("create table t (a int)")
    garbage.write_bytes(b"garbage" * 1000)

    def refuses(*arguments: object, **options: object) -> NoReturn:
        raise sqlite3.OperationalError("disk I/O error")

    free = {"bytes": 1 << 30}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free["bytes"]))
    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", refuses)
        assert sqlite_problem(whole) == "disk I/O error", "there is space: it is the file, or the disk"
        free["bytes"] = 4096
        assert sqlite_problem(whole) is None
        free["bytes"] = 1 << 30
        patched.setattr(os, "access", lambda path, mode: False)
        assert sqlite_problem(whole) is None
    free["bytes"] = 0
    assert sqlite_problem(whole) is None
    assert sqlite_problem(garbage) == "file is not a database", "a full disk hides nothing that is broken"


@pytest.mark.parametrize("what", ["gone", "garbage"])
def test_a_warehouse_that_is_lost_is_found(root: Settings, what: str) -> None:
    if what == "gone":
        root.warehouse_path.unlink()
    else:
        root.warehouse_path.write_bytes(b"garbage" * 1000)
    fault = only(root)
    assert fault.subject == "Warehouse"
    assert ("is gone" if what == "gone" else "cannot be read") in fault.detail
    assert root.lake_dir in fault.set_aside


def test_what_was_published_before_a_table_came_to_be_is_no_fault(root: Settings) -> None:
    snapshot = current_snapshot(root.published_dir)
    assert snapshot is not None
    (path,) = snapshot.folder.glob("*.duckdb")
    path.chmod(0o644)
    with duckdb.connect(path) as connection:
        connection.execute("drop view core.user_sessions")
    assert find_faults(root) == []


def test_an_empty_warehouse_takes_nothing_from_readers(root: Settings) -> None:
    before = current_snapshot(root.published_dir)
    root.warehouse_path.unlink()
    outcome = publish(root)
    assert isinstance(outcome, Refusal)
    assert "the warehouse is empty, and readers have data through 2026-01-12" in outcome.reasons[0]
    assert current_snapshot(root.published_dir) == before
    assert "is empty, and readers have data through 2026-01-12" in only(root).detail


def _cut(path: Path) -> None:
    # Another file of that name: the one before is also the snapshot's.
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:500])


@pytest.mark.parametrize(
    ("harm", "says"), [(Path.unlink, "is gone"), (_cut, "is no whole Parquet file")], ids=["lost", "cut"]
)
def test_a_lake_file_that_is_not_what_was_written_is_found(
    root: Settings, harm: Callable[[Path], None], says: str
) -> None:
    victim = sorted((root.lake_dir / "valid_events").rglob("*.parquet"))[3]
    harm(victim)
    fault = only(root)
    assert fault.subject == "Lake"
    assert f"{victim.relative_to(root.data_dir)} {says}" in fault.detail
    if says == "is gone":
        outcome = publish(root)
        assert isinstance(outcome, Refusal)
        assert "of core.valid_events are gone, of 2026-01-" in outcome.reasons[0]


def test_a_lake_file_with_fewer_rows_is_found(root: Settings) -> None:
    one, other = sorted((root.lake_dir / "valid_events").rglob("*.parquet"))[:2]
    one.unlink()
    shutil.copyfile(other, one)
    assert f"{one.relative_to(root.data_dir)} has " in only(root).detail


def test_databases_of_models_and_of_dagster_that_are_broken_are_found(root: Settings) -> None:
    for folder in (root.models_dir, root.models_dir / "feature_risk"):
        folder.mkdir()
        (folder / "registry.db").write_bytes(b"garbage" * 500)
        assert only(root).subject == "Model registry"
        assert only(root).set_aside == (folder,)
        (folder / "registry.db").unlink()
    (root.models_dir / "sales" / "versions").mkdir(parents=True)
    registry = root.models_dir / "sales" / "registry.db"
    registry.write_bytes(b"garbage" * 500)
    assert registry in only(root).set_aside
    assert registry.parent not in only(root).set_aside, "what is served stays"
    registry.unlink()
    history = root.dagster_home / "history" / "runs.db"
    history.parent.mkdir(parents=True)
    with closing(sqlite3.connect(history)) as connection:
        connection.execute("create table alembic_version (version_num text)")
        connection.executemany("insert into alembic_version values (?)", [("a",), ("b",)])
        connection.commit()
    assert "it was prepared by two at once (2 heads)" in only(root).detail


def test_what_is_broken_is_set_aside_whole_and_nothing_else(root: Settings) -> None:
    root.warehouse_path.write_bytes(b"garbage" * 1000)
    folder = set_aside(root, find_faults(root), datetime(2026, 1, 13, 5, 6, 7))
    assert folder == root.data_dir / "set-aside" / "20260113T050607"
    assert (folder / "warehouse.duckdb").read_bytes().startswith(b"garbage")
    assert sorted(path.name for path in folder.iterdir()) == ["lake", "warehouse.duckdb"]
    assert can_be_made_anew(root)
    assert counts(root), "readers keep theirs"


def test_a_root_that_was_moved_goes_on_where_it_lies(root: Settings, tmp_path: Path) -> None:
    before = counts(root)
    elsewhere = tmp_path / "else where"
    shutil.move(root.data_dir, elsewhere)
    moved = root.model_copy(update={"data_dir": elsewhere})
    assert counts(moved) == before
    assert find_faults(moved) == []
    assert [path.name for path in elsewhere.rglob(".warehouse*")] == []


def test_a_store_of_operations_that_is_broken_is_found_and_set_aside_with_what_is_beside_it(root: Settings) -> None:
    operations_of(root)
    close_operations()
    assert find_faults(root) == []
    assert operations_revision(root).is_current
    beside = root.operations_path.with_name("operations.db-wal")
    for path in (root.operations_path, beside):
        path.write_bytes(b"garbage" * 1000)
    fault = only(root)
    assert fault.subject == "Operations store"
    assert str(root.operations_path) in fault.detail
    assert "`quality operations backup FILE`" in fault.mend
    folder = set_aside(root, [fault])
    assert folder is not None
    assert {"operations.db", "operations.db-wal"} <= {path.name for path in folder.iterdir()}
    assert operations_of(root).change_count() == 0, "a new one is begun"
    assert find_faults(root) == []


def test_a_store_of_operations_of_a_newer_version_is_told_and_left_alone(root: Settings) -> None:
    operations_of(root)
    close_operations()
    with closing(sqlite3.connect(root.operations_path)) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
        connection.commit()
    fault = only(root)
    assert "written by a newer version (revision 9999" in fault.detail
    assert fault.set_aside == ()


def test_a_store_of_operations_that_is_gone_is_told_where_readers_see_what_was_in_it(root: Settings) -> None:
    with operations_of(root).write() as connection:
        raise_fault(connection, alerting.Fault("run", "publish", "A run failed", "The disk is full.", "high"))
    with open_warehouse(root) as session:
        copy_operations(session)
    published(root)
    close_operations()
    assert find_faults(root) == []
    root.operations_path.unlink()
    fault = only(root)
    assert fault.detail == (
        f"{root.operations_path} is gone, or was begun anew: it has none of the 1 alert that readers see"
    )
    assert fault.set_aside == ()
    operations_of(root)
    close_operations()
    assert only(root).detail == fault.detail, "one that was begun anew has nothing of it either"


@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:1/none", "mysql://127.0.0.1/none"])
def test_a_database_of_operations_that_does_not_answer_is_told_without_its_address(root: Settings, url: str) -> None:
    fault = only(root.model_copy(update={"operations_url": SecretStr(url)}))
    assert fault.subject == "Operations store"
    assert "QUALITY_OPERATIONS_URL" in fault.mend
    assert "nobody" not in fault.detail


@pytest.mark.parametrize("name", ["log.db", "state.db"])
def test_a_database_of_the_collector_that_is_broken_is_set_aside_and_begun_anew(root: Settings, name: str) -> None:
    body = encoded(Entry("default", []))
    core = Core(root)
    assert core.log.append([(1, 0, body), (2, 0, body)]) == 2
    core.processor.catch_up()
    core.stop()
    assert find_faults(root) == []
    for path in root.live_dir.glob(f"{name}*"):
        path.write_bytes(b"garbage" * 1000)
    with pytest.raises(apsw.NotADBError):
        Core(root)
    fault = only(root)
    assert fault.subject == f"Collector's {name}"
    set_aside(root, [fault])
    assert find_faults(root) == []
    core = Core(root)
    core.processor.catch_up()
    # Without its log, what comes is numbered from where the state stands; without its state, the log is read anew.
    assert core.store.position() == 2
    assert core.log.append([(3, 0, body)]) == 3
    core.stop()
