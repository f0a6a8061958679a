"""Work on scratch databases, side by side."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from quality_assets.settings import Settings
from quality_assets.stores.warehouse import WarehouseBusyError, empty, open_scratch, open_warehouse, side_by_side


@pytest.fixture
def four_threads(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, threads=4)


@pytest.mark.parametrize(("items", "threads"), [(0, None), (1, 4), (2, 2), (3, 1), (9, 1)])
def test_threads_are_shared_out_and_outcomes_keep_their_order(
    four_threads: Settings, items: int, threads: int | None
) -> None:
    def task(cursor: duckdb.DuckDBPyConnection, item: int) -> tuple[int, int]:
        return item, cursor.execute("SELECT current_setting('threads')").fetchall()[0][0]

    with open_scratch(four_threads) as scratch:
        found = list(side_by_side(scratch, four_threads, task, range(items)))
    assert found == [(item, threads) for item in range(items)]


def test_what_fails_stops_what_has_not_begun(four_threads: Settings) -> None:
    begun: list[int] = []

    def task(cursor: duckdb.DuckDBPyConnection, item: int) -> None:
        begun.append(item)
        cursor.execute("SELECT error('full')" if item == 0 else "SELECT count(*) FROM range(10_000_000)")

    with open_scratch(four_threads) as scratch, pytest.raises(duckdb.Error, match="full"):
        list(side_by_side(scratch, four_threads, task, range(1000)))
    assert len(begun) < 1000


def test_an_emptied_database_serves_again(four_threads: Settings) -> None:
    with open_scratch(four_threads) as scratch:
        for number in range(2):
            scratch.execute(f'create table rows as select {number} as i; create temp table "more rows" as from rows')
            assert scratch.execute('select i from "more rows"').fetchall() == [(number,)]
            empty(scratch)
        assert scratch.execute("show all tables").fetchall() == []


_LEFT = (
    "create table rows as select 1 as i; create temp table more as from rows; create view seen as from rows;"
    " create type kind as enum ('a'); create schema other; create table other.rows as select 2 as i; set threads = 1"
)
_THERE = (
    "select (select count(*) from duckdb_tables()) + (select count(*) from duckdb_views() where not internal)"
    " + (select count(*) from duckdb_types() where not internal)"
    " + (select count(*) from duckdb_schemas() where not internal)"
)


def test_a_scratch_database_serves_again_with_nothing_of_what_was_made_in_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with open_scratch(settings) as scratch:
        as_made = scratch.execute(f"{_THERE} union all select current_setting('threads')").fetchall()
        scratch.execute(_LEFT)
    with open_scratch(settings) as again:
        assert again is scratch
        assert again.execute(f"{_THERE} union all select current_setting('threads')").fetchall() == as_made
        assert as_made[0] == (0,)
        with open_scratch(settings) as beside:
            assert beside is not again


def test_a_scratch_database_that_failed_or_spilled_serves_no_more(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(RuntimeError), open_scratch(settings) as failed:
        raise RuntimeError
    with open_scratch(settings) as scratch:
        assert scratch is not failed
        (settings.scratch_dir / f"spill-{os.getpid()}").mkdir(parents=True)
    with pytest.raises(duckdb.Error):
        scratch.execute("select 1")


_HOLD = """
import sys, time, duckdb
held = duckdb.connect(sys.argv[1], read_only=True)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


def _held_for(path: Path, seconds: float) -> subprocess.Popen[str]:
    """A program that shows databases, which knows nothing of our lock."""
    other = subprocess.Popen([sys.executable, "-c", _HOLD, str(path), str(seconds)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    return other


def test_a_run_waits_for_a_program_that_has_the_file_open(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with open_warehouse(settings):
        pass
    with _held_for(settings.warehouse_path, 1.5) as other, open_warehouse(settings) as session:
        assert session.connection.execute("select 1").fetchall() == [(1,)]
    assert other.wait() == 0


def test_a_program_that_does_not_close_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=tmp_path)
    with open_warehouse(settings):
        pass
    monkeypatch.setattr("quality_assets.stores.warehouse.FOREIGN_TIMEOUT_S", 0.3)
    with _held_for(settings.warehouse_path, 60) as other:
        with pytest.raises(WarehouseBusyError, match=rf"another program has .*process {other.pid}, python.*close it"):
            open_warehouse(settings).__enter__()
        with pytest.raises(WarehouseBusyError, match="another program has"):
            open_warehouse(settings, lock_timeout_s=0).__enter__()
        other.kill()
    with open_warehouse(settings):
        pass
