"""Rows that two files tell under different names: named where they have no ids and most are the same, and else not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from quality_assets.domain.quality.check import Answer
from quality_assets.settings import Settings
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.checks.told_twice import rows_told_once
from quality_assets.tables.ingest import IngestReport

Ingest = Callable[[WarehouseSession], IngestReport]
Ask = Callable[[dict[str, str]], Answer]


@pytest.fixture
def ask(data_root: Settings, ingest_all: Ingest) -> Ask:
    """What is said of files with these contents, which arrive one after the other."""

    def answer(files: dict[str, str]) -> Answer:
        data_root.landing_dir.mkdir(parents=True)
        with open_warehouse(data_root) as session:
            for name, content in files.items():
                (data_root.landing_dir / name).write_text(content)
                ingest_all(session)
            return rows_told_once(session)

    return answer


def rows(first: int, last: int, header: str = "event_time,feature,status,user_id", user: str = "u{0}") -> str:
    """One row a minute; `user` is the rest of the row."""
    lines = [f"2026-03-02T{n // 60:02}:{n % 60:02}:00Z,search,ok,{user.format(n % 7)}" for n in range(first, last)]
    return "\n".join([header, *lines, ""])


def test_a_file_most_of_whose_rows_another_tells_is_named(ask: Ask) -> None:
    found = ask({"day.csv": rows(0, 100), "hours.csv": rows(40, 160), "rest.csv": rows(160, 260)})
    assert (found.is_passed, found.observed, found.examples) == (
        False,
        1.0,
        ["50 % of the rows of hours.csv stand in day.csv"],
    )


def test_the_export_of_a_day_and_of_its_month_is_named_whichever_comes_first(ask: Ask) -> None:
    month = rows(0, 100) + rows(1000, 1300).partition("\n")[2]
    found = ask({"month.csv": month, "day.csv": rows(0, 100) + "2026-03-02T23:00:00Z,search,ok,u9\n"})
    assert found.examples == ["99 % of the rows of day.csv stand in month.csv"]


def test_what_comes_later_of_days_before_is_named_too(ask: Ask) -> None:
    newer = rows(0, 30).replace("2026-03-02", "2026-05-30")
    assert ask({"day.csv": rows(0, 100), "new.csv": newer, "again.csv": rows(0, 101)}).observed == 1.0


@pytest.mark.parametrize(
    "files",
    [
        # Less than half; each row at its own minute; too few; what says neither who nor how long; rows with ids.
        {"a.csv": rows(0, 100), "b.csv": rows(51, 200)},
        {"a.csv": rows(0, 100), "b.csv": rows(0, 100, user="v{0}")},
        {"a.csv": rows(0, 19), "b.csv": rows(0, 19) + "2026-03-02T23:00:00Z,search,ok,u9\n"},
        {"a.csv": rows(0, 100, user=""), "b.csv": rows(0, 101, user="")},
    ],
    ids=["less than half", "other people", "few rows", "nobody"],
)
def test_what_may_be_chance_is_not(ask: Ask, files: dict[str, str]) -> None:
    assert ask(files).is_passed


def test_rows_with_ids_are_told_by_these(ask: Ask) -> None:
    header = "event_time,feature,status,user_id,event_id"
    assert ask({"a.csv": rows(0, 50, header, "u,a{0}"), "b.csv": rows(0, 60, header, "u,b{0}")}).is_passed


def test_a_file_that_says_a_row_twice_says_it_twice(ask: Ask) -> None:
    once = rows(0, 40)
    twice = once + once.partition("\n")[2] + rows(100, 110).partition("\n")[2]
    found = ask({"a.csv": once, "b.csv": twice})
    assert found.is_passed, "40 of 90 rows are those of the first file, the others are not"
