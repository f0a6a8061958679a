"""Whether a suite holds altogether: the number of rows where it does, nothing where anything does not."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from quality_assets.contracts.table import Column, Table
from quality_assets.domain.quality.expectations import Rule, suite_of
from quality_assets.tables.checks.expectation_screen import rows_where_all_hold

THINGS = Table(
    "core",
    "things",
    "Things.",
    "one row a thing",
    ("id",),
    (
        Column("id", "INTEGER", "Its number.", nullable=False, minimum=1),
        Column("color", "VARCHAR", "Its colour.", allowed=("red", "it's")),
        Column("share", "DOUBLE", "Its share.", minimum=0, maximum=1),
    ),
)
SUITE = suite_of(THINGS, rules=(Rule("red_is_small", "red is small", "color <> 'red' or share < 0.5", ("share",)),))
GOOD = [(1, "red", 0.25), (2, "it's", 1.0), (3, None, None)]


def _held(rows: list[tuple[Any, ...]], types: str = "id integer, color varchar, share double") -> int | None:
    with duckdb.connect() as connection:
        connection.execute(f"create table batch ({types})")
        for row in rows:
            connection.execute(f"insert into batch values ({', '.join('?' * len(row))})", row)
        return rows_where_all_hold(connection, "batch", SUITE)


def test_rows_are_counted_where_all_holds() -> None:
    assert _held(GOOD) == 3


@pytest.mark.parametrize(
    "row",
    [
        (None, "red", 0.25),  # a null where none may be
        (0, "red", 0.25),  # below the minimum
        (4, "blue", 0.25),  # not one of those allowed
        (4, "it's", 1.5),  # above the maximum
        (4, "it's", float("nan")),
        (4, "it's", float("inf")),
        (4, "red", 0.5),  # against the rule
        (1, "it's", 0.5),  # a key that there is
    ],
)
def test_one_offender_is_enough(row: tuple[Any, ...]) -> None:
    assert _held([*GOOD, row]) is None


def test_nothing_is_said_of_no_rows_other_columns_or_other_types() -> None:
    assert _held([]) is None
    assert _held([(1, "red")], "id integer, color varchar") is None
    assert _held([(1, "red", 0.25, 1)], "id integer, color varchar, share double, more integer") is None
    assert _held([(1, "red", 0.25)], "id bigint, color varchar, share double") is None


def test_bounds_are_among_what_is_allowed() -> None:
    assert _held([(1, "red", 0.0)]) == 1
    assert _held([(1, "it's", 1.0), (2, None, 0.0)]) == 2
    assert _held([(1, "red", -1e-9)]) is None
    assert _held([(1, "it's", 1.0 + 1e-9)]) is None
