"""How values are read and which is a slip of which, at the edges of each rule."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from quality_assets.domain.quality.datasets.edits import SlipIndex, changed_part, deletions, is_slip
from quality_assets.domain.quality.datasets.numbers import NumberFormat
from quality_assets.domain.quality.datasets.tails import binomial_tail, scattered_tail
from quality_assets.domain.quality.datasets.values import (
    MISSING_TOKENS,
    Cells,
    ColumnForm,
    block_of,
    cells_of,
    encoded,
    exact_shape,
    form_of,
    numbers_of,
    texts_of,
)


def _form(told: Sequence[str], counts: Sequence[int] | None = None) -> ColumnForm:
    return form_of(told, np.array(counts if counts is not None else [1] * len(told)))


def _kind(told: Sequence[str], counts: Sequence[int] | None = None) -> str:
    return _form(told, counts).kind


# --- What a column is -------------------------------------------------------------------------------------------------


def test_nine_in_ten_must_be_numbers_or_times() -> None:
    assert (_kind(["1", "x"], [9, 1]), _kind(["1", "x"], [8, 1])) == ("number", "text")
    assert _form(["2026-01-31", "x"], [9, 1]) == ColumnForm("time", "ISO8601")
    assert _kind(["2026-01-31", "x"], [6, 4]) == "time"
    assert _kind(["2026-01-31", "x"], [59, 41]) == "text"
    assert _form([], []) == ColumnForm("text")
    assert _form(["n/a", "NULL"]) == ColumnForm("text")
    assert _form(["1", "x"], [0, 0]) == ColumnForm("text")
    # A token is none of the values that are told.
    assert _kind(["1", "N/A"], [1, 99]) == "number"


@pytest.mark.parametrize("code", ["07", "-07", "+07"])
def test_one_in_a_hundred_with_a_leading_zero_is_a_code(code: str) -> None:
    assert (_kind(["5", code], [99, 1]), _kind(["5", code], [100, 1])) == ("text", "number")
    assert _kind(["0.5", "0"]) == "number"


@pytest.mark.parametrize(
    ("numbers", "is_measure"),
    [
        # More than one in ten has decimals,
        (["1.5", *map(str, range(2, 10))], True),
        (["1.5", *map(str, range(2, 11))], False),
        # or more than one in fifty lies below zero,
        (["-1", *map(str, range(1, 49))], True),
        (["-1", *map(str, range(1, 50))], False),
        # or they are of more than three sizes: 5 + 1, 9 + 1, 99 + 1 and 999 + 1.
        (["5", "9", "99", "999"], True),
        (["5", "9", "99", "998"], False),
        # Of two numbers nothing is told.
        (["1.5", "2.5"], False),
        (["1.5", "2.5", "3.5"], True),
    ],
)
def test_what_measures_something_may_be_filled_in_with_a_word(numbers: list[str], is_measure: bool) -> None:
    told, ones = [*numbers, "x"], [1] * len(numbers)
    assert _kind(told, [*ones, len(numbers)]) == ("number" if is_measure else "text")


def test_of_measures_three_tenths_are_enough_beside_four_words_and_six_beside_more() -> None:
    numbers, ones = ["1.5", *map(str, range(2, 10))], [1] * 9
    assert _kind([*numbers, "x"], [*ones, 21]) == "number"
    assert _kind([*numbers, "x"], [*ones, 22]) == "text"
    assert _kind([*numbers, *"stuv"], [*ones, 2, 2, 2, 1]) == "number"
    assert _kind([*numbers, *"stuvw"], [*ones, 2, 1, 1, 1, 1]) == "number"
    assert _kind([*numbers, *"stuvw"], [*ones, 2, 2, 1, 1, 1]) == "text"


def test_commas_part_thousands_where_more_than_a_fifth_need_them() -> None:
    assert _form(["1", "2", "3", "1,234"]) == ColumnForm("number", number_format=NumberFormat(thousands=","))
    assert _form(["1", "2", "3", "4", "1,234"]).kind == "text", "one in five is another type"
    assert _form(["1", "2", "3"]) == ColumnForm("number")
    assert _kind(["-1,234.5", "+12,345,678", "1,234."]) == "number"
    parted = ColumnForm("number", number_format=NumberFormat(thousands=","))
    assert numbers_of(["1,234", "-12,345.5", "7"], parted).tolist() == [1234, -12345.5, 7]
    assert np.isnan(numbers_of(["1,234"], ColumnForm("number"))).all()


def test_what_is_no_number_or_not_finite_has_none() -> None:
    found = numbers_of(["1", "inf", "-inf", "1e3", "x"], ColumnForm("number"))
    assert np.nan_to_num(found, nan=-1).tolist() == [1, -1, -1, 1000, -1]
    assert np.isnan(numbers_of(["1", "2"], ColumnForm("text"))).all()
    assert np.isnan(numbers_of(["1", "2"], ColumnForm("time"))).all()
    day = numbers_of(["02.01.1970", "1970-01-02"], ColumnForm("time", "%d.%m.%Y"))
    assert (day[0], bool(np.isnan(day[1]))) == (86_400, True)
    # What is infinite is no number of those that a column must have.
    assert _kind(["1", "inf"], [54, 46]) == "text"


@pytest.mark.parametrize(
    ("value", "time_format"),
    [
        ("2026-01-31T12:00:00", "ISO8601"),
        ("2/24/2003", "%m/%d/%Y"),
        ("24/2/2003", "%d/%m/%Y"),
        ("2/24/2003 0:00", "%m/%d/%Y %H:%M"),
        ("24/2/2003 0:00:09", "%d/%m/%Y %H:%M:%S"),
        ("2/24/2003 1:00:00 PM", "%m/%d/%Y %I:%M:%S %p"),
        ("24.02.2003", "%d.%m.%Y"),
        ("24.02.2003 17:30", "%d.%m.%Y %H:%M"),
        ("24-Feb-2003", "%d-%b-%Y"),
        ("24 Feb 2003", "%d %b %Y"),
        ("Feb 24, 2003", "%b %d, %Y"),
        ("February 24, 2003", "%B %d, %Y"),
    ],
)
def test_times_are_read_as_they_are_written(value: str, time_format: str) -> None:
    assert _form([value]) == ColumnForm("time", time_format)


def test_what_merely_looks_like_a_time_is_text() -> None:
    assert _kind(["1-a", "2-b"]) == "text"
    assert _kind(["2026-13-31"]) == "text"


def test_a_token_among_few_codes_of_its_form_is_one() -> None:
    signs = frozenset(("", "n/a", "#n/a", "-", "--", "---", "?", "(null)", "\\n"))
    tokens = signs | {"na", "nan", "null", "nat"}
    assert _form(["EMEA", "NA"]) == ColumnForm("text", missing_tokens=signs)
    assert _form(["EMEAS", "NA"]).missing_tokens == tokens, "a single value of five letters is no code"
    assert _form(["EMEAS", "NA"], [2, 1]).missing_tokens == signs
    assert _form(["emea", "NA"]).missing_tokens == tokens, "codes in small letters are written otherwise"
    codes = [f"{a}{b}" for a in "BCDEF" for b in "UVWXYZ"]
    assert _form([*codes, "NA"]).missing_tokens == signs
    assert _form([*codes, "BA", "NA"]).missing_tokens == tokens, "of 31 values none is a code"


# --- Cells ------------------------------------------------------------------------------------------------------------


def test_the_form_of_a_value_keeps_what_is_no_letter() -> None:
    assert exact_shape("中€é") == "A€a"
    assert exact_shape("Zz9!") == "Aa9!"


def test_distinct_texts_and_their_codes() -> None:
    texts, codes = encoded(pa.chunked_array([["b", " a "], [None, "b"]]))
    assert (texts, codes.tolist()) == (["b", "a"], [0, 1, -1, 0])


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pa.array([Decimal("3.00"), Decimal("2.50"), None]), ["3", "2.5", None]),
        (pa.array([True, False, None]), ["true", "false", None]),
        (pa.array([dt.date(2026, 1, 2), None]), ["2026-01-02", None]),
        (pa.array(["  x"], pa.large_string()), ["x"]),
        (pa.array([b"\xff", None], pa.large_binary()), ["ff", None]),
        (pa.array([{"a": 1}, None]), ["{'a': 1}", None]),
        (pa.array([30.0, 10.05]), ["30", "10.05"]),
    ],
)
def test_more_types_become_text(column: pa.Array, texts: list[str | None]) -> None:
    assert texts_of(column).to_pylist() == texts


def test_cells_without_what_stands_for_nothing() -> None:
    form = ColumnForm("number", missing_tokens=frozenset(("na", "nil")))
    cells = cells_of(pa.array(["2", "NA", None, "n/a", "5", "2", "Nil", "none"]), form)
    assert (cells.form, list(cells.uniques)) == (form, ["2", "n/a", "5", "none"])
    assert cells.codes.tolist() == [0, -1, -1, 1, 2, 0, -1, 3]
    assert cells.counts.tolist() == [2, 1, 1, 1]
    assert (cells.rows, cells.filled, cells.missing.tolist()) == (8, 5, [False, True, True, *[False] * 3, True, False])
    assert np.nan_to_num(cells.numbers, nan=-1).tolist() == [2, -1, -1, -1, 5, 2, -1, -1]
    assert cells.by_row(np.array([1, 2, 3, 4])).tolist() == [1, 0, 0, 2, 3, 1, 0, 4]
    assert cells.has_text


def test_times_of_a_table_of_many_rows_are_shown_as_they_are_written() -> None:
    cells = cells_of(pa.array(["2026-01-31", "2026-02-01"]))
    cells.has_text = False
    assert cells.distinct_texts(np.array([False, True])) == ["2026-02-01"]


def test_cells_of_nothing() -> None:
    nothing = Cells(ColumnForm("text"), np.array([-1, -1]), [], np.empty(0))
    assert (nothing.counts.tolist(), nothing.filled, nothing.rows) == ([], 0, 2)
    assert nothing.by_row(np.empty(0), 7.0).tolist() == [7.0, 7.0]
    masks, codes = nothing.masks
    assert (masks, codes.tolist(), nothing.by_mask(len).tolist()) == ([], [], [])
    assert nothing.shapes == nothing.loose_shapes == []
    empty = Cells(ColumnForm("text"), np.array([0]), [""], np.full(1, np.nan))
    assert (empty.masks[0], empty.masks[1].tolist(), empty.by_mask(len).tolist()) == ([""], [0], [0])


def test_what_hangs_on_a_mask_is_asked_once_of_each() -> None:
    cells = cells_of(pa.array(["K1", "x-Y", "Z7", "K1"]))
    asked: list[str] = []

    def begins_large(mask: str) -> bool:
        asked.append(mask)
        return mask.startswith("A")

    found = cells.by_mask(begins_large)
    assert (asked, found.tolist()) == (["A9", "a-A"], [True, False, True])
    assert (cells.shapes, cells.loose_shapes) == (["A9", "a-A", "A9"], ["A9", "a-A", "A9"])


def test_a_block_reads_columns_in_their_forms_and_the_others_as_they_are() -> None:
    table = pa.table({"a": pa.array(["1", "2"]), "b": pa.array(["1", "2"])})
    block = block_of(table, {"a": ColumnForm("text")})
    assert (block.rows, list(block.columns)) == (2, ["a", "b"])
    assert [cells.form.kind for cells in block.columns.values()] == ["text", "number"]
    assert block.columns["b"].form.missing_tokens == MISSING_TOKENS


# --- Slips ------------------------------------------------------------------------------------------------------------


def test_what_stands_between_what_both_begin_and_end_with() -> None:
    assert changed_part("abcd", "abxd") == ("c", "x")
    assert changed_part("abc", "abcd") == ("", "d")
    assert changed_part("aa", "aaa") == ("", "a")
    assert changed_part("xabc", "abc") == ("x", "")
    assert changed_part("same", "same") == ("", "")
    assert changed_part("ab", "ba") == ("ab", "ba")
    assert list(deletions("abc")) == ["bc", "ac", "ab"]


@pytest.mark.parametrize(
    ("value", "of", "expected"),
    [
        ("Berlxx", "Berlin", False),
        ("Berl", "Berlin", False),
        ("Berlxin", "Berlin", True),
        ("eBrlin", "Berlin", True),
        # Digits are codes: one in place of a letter is a slip, one more or another is none.
        ("Ber7in", "Berlin", True),
        ("Berlin7", "Berlin", False),
        ("Berlin", "Berlin7", False),
        ("Berlin8", "Berlin7", False),
        # One and many of a thing, at the end of any of its words.
        ("cats", "cat", False),
        ("CATS", "CAT", False),
        ("cat eyes", "cats eyes", False),
        ("cats eyes", "cat eyes", False),
        ("castle", "catle", True),
        ("caste", "cases", False),
        ("boss", "bosss", False),
        ("catx", "cat", True),
        # Of two letters nothing is told, of three it is.
        ("axe", "abe", True),
        ("at", "ab", False),
        ("old at", "old ab", False),
        ("old axe", "old abe", True),
        ("axe old", "abe old", True),
        ("a-xe", "a-be", False),
        ("Yerk 5", "York 5", True),
        ("Y1rk", "Yark", True),
        ("axcd1", "abcd1", False),
        ("BERLIN 7", "Berlin 7", True),
    ],
)
def test_which_edits_are_slips(value: str, of: str, expected: bool) -> None:
    assert is_slip(value, of) is expected


def test_slips_are_looked_for_among_values_of_four_to_sixty_characters() -> None:
    long = "ab" * 30
    index = SlipIndex(["abc", "Rome", long, long + "a", "Roma"])
    assert index.origins("abx") == []
    assert index.origins("Rm") == []
    assert index.origins(long[:-1]) == [long]
    assert index.origins(long + "x") == [], "longer than sixty"
    assert index.origins("ROME") == ["Rome"]
    assert sorted(index.origins("Romx")) == ["Roma", "Rome"]
    assert index.origins("Rome") == ["Roma"], "no value is a slip of itself"
    assert index.origins("Rxxe") == []


def test_the_index_finds_what_comparing_each_with_each_finds() -> None:
    common = ["Berlin", "user12@example.com", "ab-cdé fgh", "Straße 7", "x1 abc", "aabb-aab"]
    index = SlipIndex(common)
    edited = {
        value[:at] + put + value[at + taken :]
        for value in common
        for at in range(len(value) + 1)
        for taken in (0, 1)
        for put in ("", "a", "s", "1", "-", " ")
    }
    swapped = {value[:at] + value[at : at + 2][::-1] + value[at + 2 :] for value in common for at in range(len(value))}
    found = {value: set(index.origins(value)) for value in edited | swapped}
    assert found == {value: {of for of in common if is_slip(value, of)} for value in found}
    assert sum(map(bool, found.values())) > 100
    assert index.origins("usr12@example.com") == [], "a word with a digit in it is a code"
    assert index.origins("user12@exmple.com") == ["user12@example.com"]


# --- Chances ----------------------------------------------------------------------------------------------------------


def test_the_chance_of_all_of_some_and_of_as_many_as_expected() -> None:
    assert binomial_tail(4, 4, 0.5) == pytest.approx(0.0625)
    assert binomial_tail(2, 4, 0.5) == 1.0
    assert binomial_tail(3, 4, 0.5) == pytest.approx(5 / 16)
    assert binomial_tail(1, 1, 0.25) == pytest.approx(0.25)
    assert binomial_tail(0, 3, 0.0) == 1.0


def test_cells_that_come_together_are_rounded_up() -> None:
    assert scattered_tail(41, 101, 0.15, 20.0) == pytest.approx(binomial_tail(3, 6, 0.15))
    assert scattered_tail(3, 6, 0.1, 1.5) == pytest.approx(binomial_tail(2, 4, 0.1))
    assert scattered_tail(3, 6, 0.1, 0.5) == pytest.approx(binomial_tail(3, 6, 0.1))
