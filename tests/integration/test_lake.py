"""The lake: a file counts once it is committed, partitions are replaced by swapping rows, kills leave only litter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pytest

from quality_assets.contracts.events import RAW_LOGS, USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.table import Column
from quality_assets.settings import Settings
from quality_assets.stores.lake import (
    Lake,
    LakeFile,
    files_sql,
    first_date_there,
    is_current_view,
    lake_view_sql,
    refresh_view,
)
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse

DAY, NEXT_DAY = date(2026, 1, 1), date(2026, 1, 2)
TABLE = USER_FEATURE_DAYS


@pytest.fixture
def session(data_root: Settings) -> Iterator[WarehouseSession]:
    """An open warehouse below a folder whose name needs quoting."""
    with open_warehouse(data_root.model_copy(update={"data_dir": data_root.data_dir / "o'brien's [dätä] *"})) as opened:
        yield opened


def rows(day: date, *users: str) -> str:
    values = ", ".join(f"(date '{day}', 'search', '{user}', 1, 0, 0)" for user in users)
    return f"select * from (values {values}) as t(event_date, feature, user_id, events, errors, crashes)"


def write(session: WarehouseSession, day: date, *users: str, label: str = "one") -> LakeFile:
    file = session.lake.write(session.connection, TABLE, day, rows(day, *users), label=label)
    assert file is not None
    return file


def commit(session: WarehouseSession, *files: LakeFile, replaced: tuple[date, ...] = ()) -> None:
    with session.transaction():
        session.lake.commit(TABLE, files, replaced)
    refresh_view(session.connection, TABLE, session.settings.lake_dir)


def users(session: WarehouseSession) -> list[str]:
    found = session.connection.execute(f"select user_id from {TABLE.qualified_name} order by user_id").fetchall()
    return [user for (user,) in found]


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_is_committed_is_listed_counted_and_seen_by_the_view(session: WarehouseSession) -> None:
    file = write(session, DAY, "a", "b")
    assert session.lake.files(TABLE) == []
    commit(session, file)
    assert session.lake.files(TABLE) == [LakeFile(DAY, f"lake/{TABLE.name}/event_date=2026-01-01/one.parquet", 2)]
    assert users(session) == ["a", "b"]
    (path,) = session.lake.absolute(session.lake.files(TABLE))
    assert Path(path).is_file()
    assert files_below(session.settings.scratch_dir) == set()


def test_the_first_date_there_is_that_of_the_first_folder(session: WarehouseSession) -> None:
    lake_dir = session.settings.lake_dir
    assert first_date_there(TABLE, lake_dir) is None
    for label, day in enumerate((NEXT_DAY, DAY)):
        write(session, day, "a", label=str(label))
        assert first_date_there(TABLE, lake_dir) == day
    (lake_dir / TABLE.name / "notes.txt").touch()
    # Whose rows were all taken back.
    emptied = date(2025, 12, 31)
    (lake_dir / TABLE.name / f"event_date={emptied}").mkdir()
    session.lake.let_go_of_dates(TABLE, {emptied})
    assert first_date_there(TABLE, lake_dir) == emptied
    session.lake.let_go_of_dates(TABLE, {NEXT_DAY})
    assert first_date_there(TABLE, lake_dir) == DAY


def test_no_rows_make_no_file(session: WarehouseSession) -> None:
    query = f"{rows(DAY, 'a')} where false"
    assert session.lake.write(session.connection, TABLE, DAY, query, label="none") is None
    assert files_below(session.settings.data_dir / "lake") == files_below(session.settings.scratch_dir) == set()


def test_a_query_may_have_parameters_and_run_in_another_database(session: WarehouseSession) -> None:
    with duckdb.connect() as scratch:
        scratch.execute("create table t as select 'a' as user_id union all select 'b'")
        query = f"select t.* from ({rows(DAY, 'a', 'b')}) as t semi join (from t where user_id = $user) using (user_id)"
        file = session.lake.write(scratch, TABLE, DAY, query, {"user": "b"}, label="one")
    assert file is not None
    commit(session, file)
    assert users(session) == ["b"]


def test_files_are_listed_by_dates_both_inclusive(session: WarehouseSession) -> None:
    days = [date(2026, 1, day) for day in range(1, 5)]
    commit(session, *(write(session, day, "a") for day in days))
    assert [f.event_date for f in session.lake.files(TABLE, days[1], days[2])] == days[1:3]
    assert [f.event_date for f in session.lake.files(TABLE, start=days[2])] == days[2:]
    assert [f.event_date for f in session.lake.files(TABLE, end=days[0])] == days[:1]
    assert session.lake.files(VALID_EVENTS) == []


def test_a_partition_is_replaced_whole_and_others_are_left(session: WarehouseSession) -> None:
    commit(session, write(session, DAY, "a", label="one"), write(session, DAY, "b", label="two"))
    commit(session, write(session, NEXT_DAY, "c"))
    commit(session, write(session, DAY, "d", label="three"), replaced=(DAY,))
    assert session.lake.sweep(TABLE, [DAY]) == 2
    assert users(session) == ["c", "d"]
    commit(session, replaced=(NEXT_DAY,))
    session.lake.sweep(TABLE)
    assert users(session) == ["d"]


def test_dates_that_are_not_replaced_are_added_to(session: WarehouseSession) -> None:
    commit(session, write(session, DAY, "a", label="one"))
    commit(session, write(session, DAY, "b", label="two"))
    assert users(session) == ["a", "b"]


def test_the_same_file_committed_again_counts_once(session: WarehouseSession) -> None:
    commit(session, write(session, DAY, "a"))
    commit(session, write(session, DAY, "a", "b"))
    assert [file.row_count for file in session.lake.files(TABLE)] == [2]
    assert users(session) == ["a", "b"]


def test_a_commit_that_is_rolled_back_leaves_the_old_files_in_force(session: WarehouseSession) -> None:
    commit(session, write(session, DAY, "a", label="old"))
    new = write(session, DAY, "b", label="new")
    with pytest.raises(duckdb.ConversionException), session.transaction():  # noqa: PT012
        session.lake.commit(TABLE, [new], [DAY])
        session.connection.execute("select cast('x' as integer)")
    assert [Path(file.path).stem for file in session.lake.files(TABLE)] == ["old"]
    assert session.lake.sweep(TABLE) == 1
    assert users(session) == ["a"]


def test_a_sweep_removes_what_does_not_count_in_the_dates_given_only(session: WarehouseSession) -> None:
    commit(session, write(session, DAY, "a", label="kept"), write(session, NEXT_DAY, "a", label="kept"))
    write(session, DAY, "b", label="litter")
    write(session, NEXT_DAY, "b", label="litter")
    assert session.lake.sweep(TABLE, [DAY]) == 1
    folder = session.settings.lake_dir / TABLE.name
    assert files_below(folder) == {f"event_date=2026-01-0{n}/kept.parquet" for n in (1, 2)} | {
        "event_date=2026-01-02/litter.parquet"
    }
    assert session.lake.sweep(TABLE) == 1
    assert users(session) == ["a", "a"]
    assert session.lake.sweep(TABLE, []) == 0


def test_a_sweep_of_an_empty_lake_finds_nothing(session: WarehouseSession) -> None:
    assert session.lake.sweep(TABLE) == session.lake.sweep(TABLE, [DAY]) == 0


def test_a_shared_file_has_the_same_bytes_without_a_copy_and_outlives_the_first_name(session: WarehouseSession) -> None:
    file = write(session, DAY, "a")
    shared = session.lake.share(VALID_EVENTS, file, label="shared")
    root = session.settings.data_dir
    assert (root / shared.path).samefile(root / file.path)
    assert shared.row_count == file.row_count
    assert session.lake.share(VALID_EVENTS, file, label="shared") == shared
    assert files_below(session.settings.scratch_dir) == set()
    (root / file.path).unlink()
    assert (root / shared.path).is_file()


def test_where_there_are_no_hard_links_a_shared_file_is_copied(
    session: WarehouseSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    file = write(session, DAY, "a")
    shared = session.lake.share(VALID_EVENTS, file, label="shared")
    root = session.settings.data_dir
    assert not (root / shared.path).samefile(root / file.path)
    assert (root / shared.path).read_bytes() == (root / file.path).read_bytes()


def test_sharing_replaces_what_has_that_name(session: WarehouseSession) -> None:
    session.lake.share(VALID_EVENTS, write(session, DAY, "a"), label="shared")
    other = write(session, DAY, "b", "c", label="two")
    shared = session.lake.share(VALID_EVENTS, other, label="shared")
    root = session.settings.data_dir
    assert (root / shared.path).samefile(root / other.path)


def test_a_column_that_the_contract_has_gained_is_null_in_older_files(session: WarehouseSession) -> None:
    commit(session, write(session, DAY, "a"))
    grown = replace(TABLE, columns=(*TABLE.columns, Column("is_new", "BOOLEAN", "Gained")))
    assert is_current_view(session.connection, TABLE, session.settings.lake_dir)
    assert not is_current_view(session.connection, grown, session.settings.lake_dir)
    refresh_view(session.connection, grown, session.settings.lake_dir)
    columns = ", ".join(grown.column_names)
    rows_of_view = session.connection.execute(f"select {columns} from {TABLE.qualified_name}").fetchall()
    assert rows_of_view == [(DAY, "search", "a", 1, 0, 0, None)]
    paths = session.lake.absolute(session.lake.files(TABLE))
    assert session.connection.execute(files_sql(grown, paths)).fetchall() == rows_of_view


def test_no_files_give_no_rows_with_the_contracts_columns_and_types(session: WarehouseSession) -> None:
    wanted = [(column.name, column.type) for column in VALID_EVENTS.columns]
    for query in (files_sql(VALID_EVENTS, []), f"from {VALID_EVENTS.qualified_name}"):
        assert session.connection.execute(query).fetchall() == []
        described = session.connection.execute(f"describe {query}").fetchall()
        assert [(row[0], row[1]) for row in described] == wanted


def test_a_view_over_files_of_one_kind_finds_those_of_another_once_they_appear(session: WarehouseSession) -> None:
    lake, connection = session.lake, session.connection
    clean = f"select date '{DAY}' as event_date, 'f' as file_id, cast(1 as bigint) as line_number, 'e1' as event_id"
    refused = "select cast(2 as bigint) as line_number, 'f' as file_id, ['invalid_status'] as reasons, '{}' as raw_row"
    lake.write(connection, RAW_LOGS, DAY, clean, label="1-events")
    refresh_view(connection, RAW_LOGS, session.settings.lake_dir)
    query = f"select event_date, line_number, event_id, reasons from {RAW_LOGS.qualified_name} order by line_number"
    assert connection.execute(query).fetchall() == [(DAY, 1, "e1", None)]
    lake.write(connection, RAW_LOGS, DAY, refused, label="1-refused")
    assert not is_current_view(connection, RAW_LOGS, session.settings.lake_dir)
    refresh_view(connection, RAW_LOGS, session.settings.lake_dir)
    assert connection.execute(query).fetchall() == [(DAY, 1, "e1", None), (DAY, 2, None, ["invalid_status"])]


def test_a_view_of_a_few_dates_reads_the_files_of_those_dates_only(session: WarehouseSession) -> None:
    # The first file is opened for its columns, whatever is asked.
    days = [date(2026, 1, day) for day in (1, 2, 3)]
    commit(session, *(write(session, day, f"u{day.day}") for day in days))
    broken = session.settings.data_dir / session.lake.files(TABLE, days[1], days[1])[0].path
    broken.write_bytes(b"not Parquet")
    query = f"select user_id from {TABLE.qualified_name} where event_date = $day"
    assert session.connection.execute(query, {"day": days[2]}).fetchall() == [("u3",)]
    with pytest.raises(duckdb.Error):
        session.connection.execute(query, {"day": days[1]})


def test_a_lake_can_be_moved_with_its_root(session: WarehouseSession, tmp_path: Path) -> None:
    commit(session, write(session, DAY, "a"))
    moved = tmp_path / "moved"
    session.settings.data_dir.rename(moved)
    try:
        session.connection.execute(lake_view_sql(TABLE, moved / "lake"))
        assert users(session) == ["a"]
        paths = Lake(session.connection, moved, moved).absolute(session.lake.files(TABLE))
        assert all(Path(path).is_file() for path in paths)
    finally:
        moved.rename(session.settings.data_dir)
