"""Work on scratch databases, side by side."""

from pathlib import Path

import duckdb
import pytest

from quality_assets.settings import Settings
from quality_assets.stores.warehouse import empty, open_scratch, side_by_side


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
