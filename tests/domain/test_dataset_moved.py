"""Cells that stand in another column: of two changed about, of rows one column off, and of none by chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from text_blocks import text_block

from quality_assets.domain.quality.datasets.moved import moved_within
from quality_assets.domain.quality.datasets.values import Block

ROWS = 100
Columns = dict[str, list[object]]


def _people() -> Columns:
    """Ages from 20 to 69, incomes from 1,000 to 1,990, marks from 0.1 to 0.9: nothing of one is like another's."""
    return {
        "age": [20 + 7 * row % 50 for row in range(ROWS)],
        "income": [1000 + 10 * (13 * row % 100) for row in range(ROWS)],
        "mark": [round(0.1 + 0.1 * (row % 9), 1) for row in range(ROWS)],
    }


def _swapped(columns: Columns, one: str, other: str, rows: Sequence[int]) -> Block:
    found = {name: list(values) for name, values in columns.items()}
    for row in rows:
        found[one][row], found[other][row] = columns[other][row], columns[one][row]
    return text_block(**found)


def _shifted(columns: Columns, rows: Sequence[int], by: int = 1) -> Block:
    names = list(columns)
    found = {name: list(values) for name, values in columns.items()}
    for row in rows:
        for place, name in enumerate(names):
            found[name][row] = columns[names[(place - by) % len(names)]][row]
    return text_block(**found)


def _rows(block: Block) -> dict[str, list[int]]:
    """By rule the rows that it doubts."""
    return {test.rule_id: np.flatnonzero(test.broken(block)).tolist() for test in moved_within(block)}


def _doubted(block: Block) -> dict[str, list[int]]:
    """By column the rows that any test doubts."""
    found: dict[str, set[int]] = {}
    for test in moved_within(block):
        found.setdefault(test.column, set()).update(np.flatnonzero(test.broken(block)).tolist())
    return {name: sorted(rows) for name, rows in found.items()}


@pytest.mark.parametrize("rows", [[5], [5, 40, 41], list(range(1, ROWS, 4))])
def test_cells_of_two_columns_that_changed_places_are_told_up_to_a_quarter(rows: list[int]) -> None:
    block = _swapped(_people(), "age", "income", rows)
    assert {"swapped(age, income)", "swapped(income, age)"} <= _rows(block).keys()
    assert _doubted(block) == {"age": rows, "income": rows}


def test_what_is_as_it_should_be_or_half_of_it_otherwise_is_told_of_nothing() -> None:
    assert _rows(text_block(**_people())) == {}
    # Of two in five, which of the columns is which cannot be told.
    assert _rows(_swapped(_people(), "age", "income", [row for row in range(ROWS) if row % 5 < 2])) == {}


def test_rows_one_column_off_are_told_to_either_side() -> None:
    block = _shifted(_people(), [7, 50, 93])
    assert {"shifted(age, income)", "shifted(income, mark)"} <= _rows(block).keys()
    assert _doubted(block) == {"income": [7, 50, 93], "mark": [7, 50, 93]}
    block = _shifted(_people(), [7, 50, 93], by=-1)
    assert {"shifted(income, age)", "shifted(mark, income)"} <= _rows(block).keys()
    assert _doubted(block) == {"age": [7, 50, 93], "income": [7, 50, 93]}


def test_one_cell_of_another_column_alone_is_none_that_moved() -> None:
    columns = _people()
    columns["age"][3] = 1500
    assert _rows(text_block(**columns)) == {}
    # Nor are they where more of them are alone than come together.
    for row, income in ((10, 1100), (20, 1400), (30, 1800)):
        columns["age"][row] = income
    columns["age"][60], columns["income"][60] = columns["income"][60], columns["age"][60]
    assert _rows(text_block(**columns)) == {}


def test_words_are_told_apart_by_what_they_are_or_how_they_are_written_and_from_numbers_by_what_can_be_read() -> None:
    columns: Columns = {
        "city": [("Berlin", "Hamburg", "Munich")[row % 3] for row in range(ROWS)],
        "email": [f"user{row}@example.com" for row in range(ROWS)],
        "age": [20 + 7 * row % 50 for row in range(ROWS)],
    }
    assert _rows(_swapped(columns, "city", "email", [8, 9])) == {
        "swapped(city, email)": [8, 9],
        "swapped(email, city)": [8, 9],
    }
    assert _rows(_swapped(columns, "email", "age", [8])) == {"swapped(email, age)": [8], "swapped(age, email)": [8]}


def test_columns_of_two_values_say_nothing_of_each_other() -> None:
    # One in ten is 1 beside 0, all others 0 beside 1: changed about, or as it is.
    block = text_block(
        one=[int(row % 10 == 0) for row in range(ROWS)], other=[int(row % 10 > 0) for row in range(ROWS)]
    )
    assert _rows(block) == {}


def test_a_test_looks_at_all_columns_of_its_rows_and_says_where_the_cells_belong() -> None:
    block = _shifted(_people(), [50])
    test = next(test for test in moved_within(block) if test.detector == "shifted")
    assert test.columns == ("age", "income")
    assert test.applies(block)
    assert not test.applies(text_block(age=[1], income=[2]))
    assert test.words == "would be usual in age: their rows stand one column off, it seems"
    swapped = next(test for test in moved_within(_swapped(_people(), "age", "income", [5])) if test.column == "income")
    assert swapped.words == ("have changed places with those of age, it seems: each would be usual in the other column")
    assert swapped.kind == "identity"


def test_empty_columns_have_no_cells_that_moved() -> None:
    assert _rows(text_block(one=[None] * 30, other=range(30), third=["x"] * 30)) == {}
