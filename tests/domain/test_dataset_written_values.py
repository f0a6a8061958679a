"""Numbers and times as people write them: which way a column is written in, and what each value then is."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
import pytest
from text_blocks import suggested, text_block

from quality_assets.domain.quality.datasets import examine
from quality_assets.domain.quality.datasets.detectors import times_span
from quality_assets.domain.quality.datasets.numbers import NumberFormat
from quality_assets.domain.quality.datasets.time_formats import counted_instants, times_of
from quality_assets.domain.quality.datasets.values import ColumnForm, cells_of, form_of


def _form(values: Sequence[str]) -> ColumnForm:
    return form_of(values, np.ones(len(values), np.int64))


def _broken(values: Sequence[str], detector: str) -> list[int] | None:
    found = suggested(values).get(detector)
    return None if found is None else found[1]


@pytest.mark.parametrize(
    ("values", "written", "numbers"),
    [
        (["1,5", "-12,25", "3", ",5"], NumberFormat(","), [1.5, -12.25, 3, 0.5]),
        (["1.234,50", "12,5", "-999"], NumberFormat(",", "."), [1234.5, 12.5, -999]),
        (["1 234,50", "12,5", "1\u00a0000"], NumberFormat(",", " "), [1234.5, 12.5, 1000]),
        (["1'234.50", "12.5", "1\u2019000"], NumberFormat(".", "'"), [1234.5, 12.5, 1000]),
        (["$1,234.50", "-$3", "$-4", "($5.25)"], NumberFormat(".", ",", "$"), [1234.5, -3, -4, -5.25]),
        (["12,50 €", "3 €", "-1,75€"], NumberFormat(",", "", "€"), [12.5, 3, -1.75]),
        (["USD 5", "USD 7.5", "USD 9"], NumberFormat(".", "", "USD"), [5, 7.5, 9]),
        (["45%", "7.5 %", "-3%"], NumberFormat(".", "", "%"), [45, 7.5, -3]),
        (["70.5 kg", "81kg", "9 kg"], NumberFormat(".", "", "kg"), [70.5, 81, 9]),
        (["90 km/h", "120 km/h"], NumberFormat(".", "", "km/h"), [90, 120]),
        (["(1,234.00)", "5.00", "7.00-", "\u22128"], NumberFormat(".", ","), [-1234, 5, -7, -8]),
    ],
)  # fmt: skip
def test_numbers_are_read_as_people_write_them(values: list[str], written: NumberFormat, numbers: list[float]) -> None:
    assert _form(values) == ColumnForm("number", number_format=written)
    assert written.read(values).tolist() == numbers
    asked = [duckdb.sql(f"select {written.sql('v')} from (values (?)) t(v)", params=[v]).fetchall() for v in values]
    assert [row[0][0] for row in asked] == numbers, "SQL reads them alike"


@pytest.mark.parametrize(
    "values",
    [
        ["A1", "A2", "A3"],
        ["ORD 12", "ORD 13", "ORD 14"],
        ["192.168.100.200", "192.168.100.201", "192.168.101.202"],
        ["151 123 456", "151 123 457", "160 222 333"],
        ["12:30", "13:45"],
        ["1,2,3", "4,5", "6,7,8"],
        ["5 kg", "7 lb", "9 kg"],
        ["007 kg", "012 kg"],
    ],
)
def test_what_only_holds_numbers_is_text(values: list[str]) -> None:
    assert _form(values).kind == "text" or _form(values).kind == "time"


def test_few_parted_numbers_beside_small_ones_are_no_other_type() -> None:
    small = [f"{n}.5" for n in range(20)]
    assert _form([*small, "1,200.5", "2,300"]).number_format == NumberFormat(thousands=",")
    # One beside whom a large number stands unparted is another way of writing, and so is one alone.
    assert _form([*small, "1200.5", "1,200.5", "2,300"]).number_format is None
    assert _form([*small, "1,200.5"]).number_format is None
    assert _form([*small, "(3.5)", "(4.5)"]).number_format == NumberFormat()
    assert _form([*small, "-2", "(3.5)", "(4.5)"]).number_format is None, "below zero is written with a minus"


def test_a_number_with_another_unit_is_written_otherwise_and_a_word_is_no_number() -> None:
    values = [*(f"{n},50 €" for n in range(60)), "7.50 USD", "12", "free"]
    assert _broken(values, "other_number") == [60, 61]
    assert _broken(values, "type") == [62]
    assert _broken([*(f"{n},50 €" for n in range(60)), "9000000,00 €"], "beyond_gap") == [60]
    assert "other_number" not in suggested([str(n) for n in range(60)])
    # Seven in ten have one unit; with fewer, amounts are of several.
    euros, dollars = [f"{n}.5 EUR" for n in range(60)], [f"{n}.5 USD" for n in range(25)]
    assert _broken([*euros, *dollars], "other_number") == list(range(60, 85))
    assert suggested([*euros, *dollars, "1.5 USD"]).get("other_number") is None
    # Whole numbers lost their unit as well, and are of no code with those that have it.
    lengths = [f"{n} cm" for n in range(30, 60)]
    assert _broken([*lengths, *map(str, range(30, 42))], "other_number") == list(range(30, 42))
    assert form_of([*lengths, *map(str, range(30, 43))], np.ones(43, np.int64)).kind == "text"


@pytest.mark.parametrize(
    ("value", "time_format"),
    [
        ("24.02.03", "%d.%m.%y"),
        ("24/02/03", "%d/%m/%y"),
        ("24-02-2003 17:30", "%d-%m-%Y %H:%M"),
        ("24.02.2003 17:30:05", "%d.%m.%Y %H:%M:%S"),
        ("24 February 2003", "%d %B %Y"),
        ("2003-02-24 17:30:05 UTC", "%Y-%m-%d %H:%M:%S UTC"),
        ("24/Feb/2003:17:30:05 +0100", "%d/%b/%Y:%H:%M:%S %z"),
        ("[24/Feb/2003:17:30:05", "[%d/%b/%Y:%H:%M:%S"),
        ("Mon, 24 Feb 2003 17:30:05 GMT", "%a, %d %b %Y %H:%M:%S GMT"),
        ("Feb-03", "%b-%y"),
    ],
)
def test_more_ways_of_writing_a_time(value: str, time_format: str) -> None:
    assert _form([value]) == ColumnForm("time", time_format)
    read = duckdb.sql(f"select try_strptime('{value}', '{time_format}') is not null").fetchall()
    assert read == [(True,)], "checks of one's own see the same times"


def test_two_ways_of_writing_dates_in_one_column_are_told() -> None:
    iso, other = [f"2026-03-{n:02}" for n in range(1, 21)], [f"{n:02}/04/2026" for n in range(1, 21)]
    # The first twelve days may be months as well, and by months first more can be read than by days first only there.
    form = _form([*iso, *other[12:]])
    assert (form.time_format, form.other_time_formats) == ("ISO8601", ("%d/%m/%Y",))
    assert _broken([*iso, *other[12:]], "other_time") == list(range(20, 28))
    assert "other_time" not in suggested([*iso, *iso])
    months = [f"{n:02}/25/2026" for n in range(1, 13)]
    days = [f"{n:02}/10/2026" for n in range(13, 26)]
    assert _form([*months, *days]).other_time_formats == ("%m/%d/%Y",), (
        "days first read 13 of 25, months first the rest"
    )
    # Four kinds of writing are no habit of anybody, and what one in twenty is written in is a slip.
    assert _form([*iso, "01/13/2026"]).other_time_formats == ()


@pytest.mark.parametrize(
    ("others", "words"),
    [
        (["12,5"], "are written with a decimal comma, not a point"),
        (["1.234,50", "-7,25", "1 000,5"], "are written with a decimal comma, not a point"),
        (["€12", "$12", "12 kg"], "have a currency or a unit beside them, and are no bare numbers"),
        # Before three digits a comma may part thousands; what is none of the two is no number.
        (["12,500", "x"], "cannot be read as a number"),
        (["12,5", "error"], "cannot be read as a number"),
    ],
)
@pytest.mark.parametrize("has_past", [False, True])
def test_what_breaks_a_column_of_numbers_is_said_as_what_it_is(others: list[str], words: str, has_past: bool) -> None:
    plain = [f"{n}.5" for n in range(40)]
    past = examine.Past(blocks=[text_block(c=plain)] * 4) if has_past else examine.Past()
    batch = text_block(c=[*plain, *others * 2])
    tests = {test.detector: test for test in examine.plan(batch, past, examine.Asked()).tests}
    if has_past:
        # Read as it was.
        assert tests["past_type"].words == words
    assert tests["type"].words == words


def test_two_halves_of_numbers_with_points_and_commas_say_so_whichever_are_more() -> None:
    points, commas = [f"{n}.5" for n in range(40)], [f"{n},5" for n in range(60)]
    test, rows = suggested([*points, *commas])["other_number"]
    assert (test.words, rows) == ("are not written as the other numbers are, with a decimal comma", list(range(40)))
    assert suggested([f"€{n}" for n in range(40)] + ["$5"])["other_number"][0].words == (
        "are not written as the other numbers are, with '€'"
    )


def test_amounts_in_several_currencies_are_told() -> None:
    test, rows = suggested(["€12", "$12.50", "€7"] * 10)["other_currency"]
    assert (test.kind, test.words, rows) == (
        "format", "are in another currency than '€', as most are", list(range(1, 30, 3)),
    )  # fmt: skip
    # Units of weight are no currencies, one in twenty is something else, and one currency is one.
    for values in (["5 kg", "500 g"] * 15, ["€12", "$12", "n5", "n6"] * 10, ["A1", "A2"] * 20):
        assert "other_currency" not in suggested(values)


def test_numbers_of_telephones_in_several_forms_are_told() -> None:
    long, short, bracketed = ([form.format(n) for n in range(10, 40)] for form in (
        "+49 170 12345{}", "0170-12345{}", "(0170) 123 45{}",
    ))  # fmt: skip
    test, rows = suggested([*long, *short[:20], *bracketed[:10]])["other_form"]
    assert (test.kind, rows) == ("format", list(range(30, 60)))
    assert test.words == "are written in another form than the usual '+99 999 9999999'"
    assert "other_form" not in suggested(long), "one form"
    assert "other_form" not in suggested([*long, short[0]]), "one in twenty and less is a slip, which others tell"
    parts = [form.format(n) for form in ("978-3-16-1484{}-0", "12345-678{}") for n in range(10, 30)]
    assert "other_form" not in suggested(parts), "neither brackets nor a country's code: of books, or parts"


def test_days_beyond_what_nanoseconds_reach_are_days() -> None:
    assert times_of(["9999-12-31", "x", "2026-02-31"], "ISO8601")[0] == 253_402_214_400
    assert np.isnan(times_of(["9999-12-31", "x", "2026-02-31"], "ISO8601")[1:]).all()
    assert times_of(["31.12.9999"], "%d.%m.%Y").tolist() == [253_402_214_400]


def test_numbers_that_count_seconds_or_name_days_are_instants() -> None:
    second = 1_772_323_200  # 2026-03-01
    for unit in (1, 1_000, 1_000_000, 1_000_000_000):
        assert counted_instants(np.array([second, second + 1.0]) * unit).tolist() == [second, second + 1]
    assert counted_instants(np.array([20_260_301.0, np.nan, 20_261_399]))[0] == second
    assert np.isnan(counted_instants(np.array([20_260_301.0, np.nan, 20_261_399]))[1:]).all(), "of no month is no day"
    assert counted_instants(np.array([1970.0, 1971])).tolist() == [0, 365 * 86_400]
    assert counted_instants(np.array([second, second, 1e18])).tolist()[:2] == [second, second]
    assert np.isnan(counted_instants(np.array([second, second, 1e18]))[2]), "of no year"
    for others in ([1.0, 2.0], [second + 0.5, second], [1890.0, 1990], [np.nan]):
        assert np.isnan(counted_instants(np.array(others))).all()


def test_a_few_dates_of_another_century_are_no_beginning_and_no_end() -> None:
    days = [f"2026-03-{n:02}" for n in range(1, 31)]
    first, last = times_of([days[0], days[-1]], "ISO8601").tolist()
    span = times_span(cells_of(_texts([*days, "1970-01-01", "2099-01-01"])))
    assert span == (first, last)
    assert times_span(cells_of(_texts(["10:30", "11:30"]))) is None, "a time of any day is no instant"
    assert times_span(cells_of(_texts(["x"]))) is None


def _texts(values: Sequence[str]):  # type: ignore[no-untyped-def]
    import pyarrow as pa

    return pa.array(values)


def test_up_to_three_in_ten_may_be_one_date_of_another_century() -> None:
    days = [f"2026-{month:02}-{day:02}" for month in (3, 4) for day in range(1, 31)]
    assert _broken([*days, *["1970-01-01"] * 25], "far_times") == list(range(60, 85))
    assert "far_times" not in suggested([*days, *["1970-01-01"] * 27])
    # So many as that are a beginning where they are no more than nine times as far as all others lie.
    assert "far_times" not in suggested([*days, *["2025-01-01"] * 25])


def test_times_of_any_day_are_told_without_a_date() -> None:
    seconds = [f"10:00:{n:02}" for n in range(40)]
    test = suggested([*seconds, "22:15:00"])["far_times"][0]
    assert test.words == "lie far from all others, before 10:00:00 or after 10:00:39"
