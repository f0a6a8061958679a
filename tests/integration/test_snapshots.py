"""Snapshots: swapped in whole, never changed after, and readable by strangers without harm."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from quality_assets.contracts.catalog import LAKE_TABLES
from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.settings import Settings, get_settings
from quality_assets.stores import snapshots
from quality_assets.stores.files import write_atomically
from quality_assets.stores.snapshots import (
    Snapshot,
    connect,
    current_snapshot,
    keep_snapshot_open,
    last_attempt,
    open_snapshot,
    publish,
    read_only_sql,
    record_attempt,
)
from quality_assets.stores.warehouse import open_warehouse

AT = datetime(2026, 1, 13, 4, 30)
COUNT = f"select count(*) from {VALID_EVENTS.qualified_name}"


def publish_now(settings: Settings, version: str, keep: int = 3) -> Snapshot:
    """Publish the warehouse as it stands, whatever the checks say."""
    with open_warehouse(settings) as session:
        files = {table: [file.path for file in session.lake.files(table)] for table in LAKE_TABLES}
        session.connection.execute("checkpoint")
    snapshot = Snapshot(version, AT, date(2026, 1, 12), "run-1", "f00d", settings.published_dir / version)
    publish(snapshot, warehouse=settings.warehouse_path, data_dir=settings.data_dir, lake_files=files, keep=keep)
    return snapshot


def forget_events(settings: Settings, keep: int) -> None:
    """Take all but the first `keep` files of valid events out of the lake."""
    with open_warehouse(settings) as session:
        files = session.lake.files(VALID_EVENTS)
        with session.transaction():
            session.lake.commit(VALID_EVENTS, files[:keep], [file.event_date for file in files])
        session.lake.sweep(VALID_EVENTS)


def count_events(connection: duckdb.DuckDBPyConnection) -> int:
    return int(connection.execute(COUNT).fetchall()[0][0])


@pytest.fixture
def published(built_copy: Settings) -> Snapshot:
    """The snapshot of a built warehouse that may be changed."""
    return publish_now(built_copy, "v1")


@pytest.fixture
def reader(published: Snapshot) -> Iterator[duckdb.DuckDBPyConnection]:
    """That snapshot as strangers have it."""
    with open_snapshot(published) as connection:
        yield connection


@pytest.fixture(scope="module")
def shown(built_warehouse: Settings, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A snapshot that tests only try to harm."""
    root = tmp_path_factory.mktemp("shown") / "data"
    shutil.copytree(built_warehouse.data_dir, root)
    return publish_now(built_warehouse.model_copy(update={"data_dir": root}), "v1")


@pytest.fixture
def stranger(shown: Snapshot) -> Iterator[duckdb.DuckDBPyConnection]:
    """A reader of that snapshot."""
    with open_snapshot(shown) as connection:
        yield connection


def test_before_the_first_publication_there_is_none(tmp_path: Path) -> None:
    assert current_snapshot(tmp_path) is None
    assert last_attempt(tmp_path) is None


def test_what_was_published_is_what_is_found(built_copy: Settings, published: Snapshot) -> None:
    assert current_snapshot(built_copy.published_dir) == published
    assert published.warehouse_path.is_file()


def test_what_lies_in_the_log_beside_the_warehouse_is_published_too(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    # Whoever holds the database a moment longer keeps its log from being written out.
    held = duckdb.connect(str(warehouse))
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("create table told as select 7 as n")
    assert warehouse.with_name("warehouse.duckdb.wal").exists()
    snapshot = Snapshot("v1", AT, None, "run-1", "data", tmp_path / "published" / "v1")
    publish(snapshot, warehouse=warehouse, data_dir=tmp_path, lake_files={}, keep=1)
    held.close()
    with open_snapshot(snapshot) as reading:
        assert reading.execute("select n from told").fetchall() == [(7,)]


def test_a_snapshot_of_no_data_is_one_too(data_root: Settings) -> None:
    with open_warehouse(data_root):
        pass
    snapshot = Snapshot("v0", AT, None, "run-1", "", data_root.published_dir / "v0")
    publish(snapshot, warehouse=data_root.warehouse_path, data_dir=data_root.data_dir, lake_files={}, keep=1)
    assert current_snapshot(data_root.published_dir) == snapshot


def test_readers_keep_the_old_snapshot_while_a_new_one_is_swapped_in(
    built_copy: Settings, reader: duckdb.DuckDBPyConnection
) -> None:
    before = count_events(reader)
    forget_events(built_copy, 2)
    newer = publish_now(built_copy, "v2")
    current = current_snapshot(built_copy.published_dir)
    assert current is not None
    assert current.version == "v2"
    assert count_events(reader) == before
    with open_snapshot(newer) as fresh:
        assert 0 < count_events(fresh) < before


def test_a_snapshot_shares_the_bytes_of_the_lake_and_outlives_them(
    built_copy: Settings, published: Snapshot, reader: duckdb.DuckDBPyConnection
) -> None:
    with open_warehouse(built_copy) as session:
        files = [file.path for file in session.lake.files(VALID_EVENTS)]
    assert all((published.folder / path).samefile(built_copy.data_dir / path) for path in files)
    before = count_events(reader)
    forget_events(built_copy, 0)
    assert count_events(reader) == before
    with open_snapshot(published) as again:
        assert count_events(again) == before


def test_where_there_are_no_hard_links_a_snapshot_has_copies(
    built_copy: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    with open_snapshot(publish_now(built_copy, "v1")) as connection:
        assert count_events(connection) > 0


def test_a_snapshot_says_the_same_as_the_warehouse(built_copy: Settings, reader: duckdb.DuckDBPyConnection) -> None:
    with open_warehouse(built_copy) as session:
        names = session.connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables() where not internal"
            " union all select schema_name || '.' || view_name from duckdb_views() where not internal"
        ).fetchall()
        counts = {n: session.connection.execute(f"select count(*) from {n}").fetchall() for (n,) in names}
    assert len(counts) > 10
    assert {name: reader.execute(f"select count(*) from {name}").fetchall() for name in counts} == counts


@pytest.mark.parametrize("failing", ["link_or_copy", "refresh_view", "write_atomically"])
def test_a_publication_that_dies_leaves_the_last_one_in_force(
    built_copy: Settings, published: Snapshot, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(snapshots, failing, fail)
        with pytest.raises(OSError, match="no space left"):
            publish_now(built_copy, "v2")
    assert current_snapshot(built_copy.published_dir) == published
    with open_snapshot(published) as connection:
        assert count_events(connection) > 0
    publish_now(built_copy, "v2")
    current = current_snapshot(built_copy.published_dir)
    assert current is not None
    assert current.version == "v2"


def test_a_snapshot_made_from_an_outdated_one_has_the_files_of_now(built_copy: Settings) -> None:
    outdated = publish_now(built_copy, "v1", keep=2)
    before = {str(path.relative_to(outdated.folder)) for path in outdated.folder.glob("lake/*/*/*")}
    inode = outdated.folder.stat().st_ino
    publish_now(built_copy, "v2", keep=2)
    forget_events(built_copy, 3)
    with open_warehouse(built_copy) as session:
        live = {file.path for table in LAKE_TABLES for file in session.lake.files(table)}
        rebuilt = built_copy.data_dir / session.lake.files(VALID_EVENTS)[0].path
    shutil.copyfile(rebuilt, rebuilt.with_suffix(".new"))
    rebuilt.with_suffix(".new").replace(rebuilt)
    newest = publish_now(built_copy, "v3", keep=2)
    assert newest.folder.stat().st_ino == inode
    found = {str(path.relative_to(newest.folder)) for path in newest.folder.glob("lake/*/*/*")}
    assert found == live < before
    assert all((newest.folder / name).samefile(built_copy.data_dir / name) for name in found)
    with open_snapshot(newest) as connection, open_warehouse(built_copy) as session:
        assert count_events(connection) == count_events(session.connection) > 0


def test_only_the_last_snapshots_are_kept(built_copy: Settings) -> None:
    for n in range(1, 5):
        publish_now(built_copy, f"v{n}", keep=2)
    assert sorted(p.name for p in built_copy.published_dir.iterdir() if p.is_dir()) == ["v3", "v4"]


def test_the_snapshot_in_force_is_kept_however_old_its_name(built_copy: Settings) -> None:
    publish_now(built_copy, "v9")
    publish_now(built_copy, "v1", keep=1)
    current = current_snapshot(built_copy.published_dir)
    assert current is not None
    assert current.folder.is_dir()


def test_a_pointer_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "CURRENT"
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="killed"):
            write_atomically(path, "new")
    assert path.read_text() == "old"
    write_atomically(path, "new ü")
    assert path.read_text(encoding="utf-8") == "new ü"


# --- What strangers can do --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "create table raw.x (i int)",
        "insert into raw.feature_descriptions (feature) values ('x')",
        "delete from raw.log_files",
        "update raw.log_files set rows = 0",
        "drop table raw.log_files",
        "set memory_limit = '1GB'",
        "set enable_external_access = true",
        "reset allowed_directories",
        "attach ':memory:' as other",
        "install httpfs",
        "load httpfs",
    ],
)
def test_a_snapshot_cannot_be_changed_nor_its_settings(stranger: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(duckdb.Error):
        stranger.execute(sql).fetchall()


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_text('{path}')",
        "select * from read_csv('{path}')",
        "select * from '{path}'",
        "select * from read_blob('{folder}/*')",
        "select * from glob('{folder}/*')",
        "select * from read_text('{snapshot}/../../secret.csv')",
        "select * from read_text('/etc/hostname')",
    ],
)
def test_no_other_file_can_be_read(shown: Snapshot, stranger: duckdb.DuckDBPyConnection, sql: str) -> None:
    root = shown.folder.parent.parent
    (root / "secret.csv").write_text("a\nb\n")
    query = sql.format(path=root / "secret.csv", folder=root, snapshot=shown.folder)
    with pytest.raises(duckdb.PermissionException):
        stranger.execute(query).fetchall()


def test_the_first_reader_does_not_stand_in_the_way_of_a_second(
    shown: Snapshot, stranger: duckdb.DuckDBPyConnection
) -> None:
    with open_snapshot(shown) as second:
        assert count_events(second) == count_events(stranger)
        with pytest.raises(duckdb.PermissionException):
            second.execute("select * from read_text('/etc/hostname')").fetchall()


@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        COUNT,
        f"with t as ({COUNT}) from t",
        "from raw.log_files limit 1",
        "values (1)",
        "describe raw.log_files",
        "show tables",
        "explain select 1",
        "EXPLAIN ANALYZE from raw.log_files",
        "select 1;  -- and nothing else",
    ],
)
def test_one_select_can_be_run(stranger: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert [name for name, *_ in read_only_sql(stranger, sql).description or ()]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("", "expected one statement, found 0"),
        ("-- nothing", "expected one statement, found 0"),
        ("select 1; select 2", "expected one statement, found 2"),
        ("select 1; drop table raw.log_files", "expected one statement, found 2"),
        ("copy (select 1) to '{folder}/out.csv'", "only SELECT can be run .* not COPY"),
        ("export database '{folder}/out'", "only SELECT can be run"),
        ("insert into raw.log_files values (1)", "only SELECT can be run .* not INSERT"),
        ("create table raw.x as select 1", "only SELECT can be run .* not CREATE"),
        ("attach '{folder}/warehouse.duckdb' as w", "only SELECT can be run .* not ATTACH"),
        ("set threads = 1", "only SELECT can be run .* not SET"),
        ("pragma database_list", "only SELECT can be run"),
        ("call checkpoint()", "only SELECT can be run"),
        ("checkpoint", "only SELECT can be run"),
        ("begin transaction", "only SELECT can be run"),
        ("explain analyze copy (select 1) to '{folder}/out.csv'", "only SELECT can be run .* not COPY"),
        ("EXPLAIN\n ANALYZE copy (select 1) to '{folder}/out.csv'", "only SELECT can be run .* not COPY"),
        ("/* */ explain analyze copy (select 1) to '{folder}/out.csv'", "only SELECT can be run"),
        ("explain /* */ analyze copy (select 1) to '{folder}/out.csv'", "only SELECT can be run"),
    ],
)
def test_everything_else_is_refused_before_it_runs(
    shown: Snapshot, stranger: duckdb.DuckDBPyConnection, sql: str, message: str
) -> None:
    before = sorted(path.name for path in shown.folder.iterdir())
    with pytest.raises(ValueError, match=message):
        read_only_sql(stranger, sql.format(folder=shown.folder))
    assert sorted(path.name for path in shown.folder.iterdir()) == before


def test_sql_that_cannot_be_read_is_duckdbs_own_error(stranger: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.ParserException):
        read_only_sql(stranger, "selekt 1")


# --- How publications went --------------------------------------------------------------------------------------------


def test_refusals_in_a_row_keep_since_when_and_a_publication_ends_them(tmp_path: Path) -> None:
    at = [AT + timedelta(hours=n) for n in range(6)]
    record_attempt(tmp_path, "published", attempted_at=at[0], run_id="r0")
    record_attempt(tmp_path, "refused", attempted_at=at[1], run_id="r1", reasons=["first"])
    found = record_attempt(tmp_path, "refused", attempted_at=at[2], run_id="r2", reasons=["second", "third"])
    assert (found.since, found.attempted_at, found.reasons) == (at[1], at[2], ("second", "third"))
    assert last_attempt(tmp_path) == found
    assert record_attempt(tmp_path, "published", attempted_at=at[3], run_id="r3").since == at[3]
    assert record_attempt(tmp_path, "published", attempted_at=at[4], run_id="r4").since == at[4]
    assert record_attempt(tmp_path, "refused", attempted_at=at[5], run_id="r5", reasons=["again"]).since == at[5]


def test_the_first_attempt_may_be_a_refusal(tmp_path: Path) -> None:
    attempt = record_attempt(tmp_path / "published", "refused", attempted_at=AT, run_id="r", reasons=["no 'data' ü"])
    assert last_attempt(tmp_path / "published") == attempt
    assert json.loads((tmp_path / "published" / "ATTEMPT").read_text())["reasons"] == ["no 'data' ü"]


@pytest.fixture
def small_memory(data_root: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Settings with the least memory there may be; where readers may spill."""
    monkeypatch.setenv("QUALITY_MEMORY_LIMIT_MB", "200")
    get_settings.cache_clear()
    yield data_root.scratch_dir
    get_settings.cache_clear()


def test_what_a_reader_spills_lies_in_the_scratch_folder_and_goes_with_it(
    built_copy: Settings, published: Snapshot, small_memory: Path
) -> None:
    before = sorted(published.folder.rglob("*"))
    with open_snapshot(published) as connection:
        limit, folder = connection.execute(
            "select current_setting('memory_limit'), current_setting('temp_directory')"
        ).fetchall()[0]
        assert (limit, folder) == ("200.0 MiB", str(small_memory / f"reader-{os.getpid()}"))
        # Sorting 400 MB does not fit.
        result = connection.execute(
            "select i, repeat(md5(i::varchar), 16) as t from range(750000) as r(i) order by md5(i::varchar)"
        )
        result.fetchone()
        assert list(Path(folder).iterdir()), "it was spilled"
        assert sorted(published.folder.rglob("*")) == before
        result.close()
    assert not Path(folder).exists()
    assert sorted(published.folder.rglob("*")) == before


def test_what_is_kept_open_and_has_spilled_is_connected_to_again(published: Snapshot, small_memory: Path) -> None:
    with keep_snapshot_open():
        for _ in range(2):
            with connect(published) as connection:
                result = connection.execute(
                    "select repeat(md5(i::varchar), 16) as t from range(750000) as r(i) order by t"
                )
                result.fetchone()
                assert list((small_memory / f"reader-{os.getpid()}").iterdir()), "it was spilled"


def test_a_snapshot_that_is_kept_open_is_opened_once_and_never_locked(
    built_copy: Settings, published: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with keep_snapshot_open():
        for name in ("one.csv", "two.csv"):
            with connect(published) as connection:
                # Shared by all connections of the process, as long as one of them is open.
                threads = connection.execute("select current_setting('threads')").fetchall()[0][0]
                assert (threads == 61) is (name == "two.csv")
                connection.execute("set threads = 61")
                connection.execute(f"copy (select 1) to '{tmp_path / name}'")
        with open_snapshot(published) as stranger, pytest.raises(duckdb.PermissionException):
            stranger.execute(f"copy (select 1) to '{tmp_path / 'three.csv'}'")
        with connect(published) as connection:
            connection.execute(f"copy (select 1) to '{tmp_path / 'four.csv'}'")
        other = publish_now(built_copy, "other")
        with connect(other) as connection:
            assert count_events(connection) > 0
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == ["four.csv", "one.csv", "two.csv"]


def test_what_a_killed_reader_spilled_is_swept(published: Snapshot, small_memory: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, living = small_memory / f"reader-{dead.pid}", small_memory / f"reader-{os.getppid()}"
    for folder in (left, living):
        folder.mkdir(parents=True)
        (folder / "duckdb_temp_storage-0.tmp").write_bytes(b"x")
    open_snapshot(published).close()
    assert not left.exists()
    assert living.exists()
