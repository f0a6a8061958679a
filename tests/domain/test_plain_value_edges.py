"""Numbers in sentences at each edge of their rounding; plain values; intervals in Python and in SQL; test figures."""

from __future__ import annotations

from datetime import date, datetime
from math import inf, nan, sqrt

import duckdb
import numpy as np
import pandas as pd
import pytest

from quality_assets.domain.escaping import (
    json_text,
    spreadsheet_original,
    spreadsheet_value,
    terminal_text,
    visible_text,
)
from quality_assets.domain.plain import plain_records, plain_value, rows_of_frame
from quality_assets.domain.reports.quality_report import ReportInputError, quality_figures
from quality_assets.domain.stats.discoveries import benjamini_hochberg
from quality_assets.domain.stats.intervals import wilson_interval
from quality_assets.domain.stats.wilson_sql import wilson_high_sql, wilson_low_sql
from quality_assets.domain.wording import (
    capitalised,
    change_text,
    count_text,
    duration_text,
    measure_text,
    measure_texts,
    name_in_words,
    plural,
    row_text,
    share_text,
    value_text,
)

# --- Words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (9.94, "9.9 ms"), (9.95, "10 ms"), (999.4, "999 ms"), (999.5, "1.00 s"), (9_994, "9.99 s"), (9_995, "10.0 s"),
        (59_949, "59.9 s"), (59_950, "1.0 min"), (5_399_999, "90.0 min"), (5_400_000, "1.5 h"),
        (172_799_999, "48.0 h"), (172_800_000, "2.0 days"), (864_000_000_000, "10,000.0 days"), (0.0, "0 ms"),
        (0.04, "0.0 ms"), (-0.04, "0.0 ms"), (-467.0, "−467 ms"), (-2_000, "−2.00 s"),
    ],
)  # fmt: skip
def test_durations_change_their_unit_where_they_would_be_rounded_to_it(value: float, said: str) -> None:
    assert duration_text(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0 %"), (0.00009, "0 %"), (0.0001, "0.01 %"), (0.00999, "1 %"), (0.0994, "9.9 %"), (0.1, "10 %"),
        (0.0999, "10 %"), (0.994, "99 %"), (0.995, ">99 %"), (0.9999, ">99 %"), (1.0, "100 %"), (1.25, "125 %"),
        (-0.9999, ">−99 %"), (-1.0, "−100 %"), (-0.00009, "0 %"), (-0.25, "−25 %"),
    ],
)  # fmt: skip
def test_shares_have_two_digits_where_they_are_small(value: float, said: str) -> None:
    assert share_text(value) == said


@pytest.mark.parametrize(
    ("fraction", "said"),
    [
        (0.0, "±0 %"), (0.00049, "±0 %"), (-0.00049, "±0 %"), (0.0005, "+0.1 %"), (-0.0006, "−0.1 %"),
        (0.0994, "+9.9 %"), (0.0996, "+10 %"), (-0.0994, "−9.9 %"), (-0.5, "−50 %"),
        (9.99, "+999 %"), (10.0, "×11"), (9.996, "×11"),
    ],
)  # fmt: skip
def test_changes_have_their_sign(fraction: float, said: str) -> None:
    assert change_text(fraction) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(9.96, "10"), (9.94, "9.9"), (10.0, "10"), (10.4, "10"), (10.6, "11"), (0.0, "0"), (-0.0, "0"), (3.0, "3"),
     (-3.45, "−3.5"), (-12.0, "−12"), (12_345.6, "12,346"), (0.0123, "0.012")],
)  # fmt: skip
def test_counts_are_whole_from_ten_on(value: float, said: str) -> None:
    assert count_text(value) == said


def test_units_say_how_a_value_is_told() -> None:
    units = ("fraction", "probability", "ms", "score", "sd", "ratio", "", "count", "days")
    assert [value_text(0.5, unit) for unit in units] == [
        "50 %", "50 %", "0.5 ms", "0.50", "0.50", "0.50", "0.50", "0.5", "0.5",
    ]  # fmt: skip


def test_names_are_said_as_people_say_them() -> None:
    names = ("crash_rate", "platform", "latency_ms", "volume_change", "feedback_z", "error_slope_z",
             "crash_rate is missing", "crash_other", "app_version is missing", "z")  # fmt: skip
    assert [name_in_words(name) for name in names] == [
        "crash rate", "mix of platforms", "latency", "events of 3 days against usual",
        "feedback today against its noise", "two-week trend of error rate", "crash rate is missing", "crash other",
        "mix of app versions is missing", "z",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "unit", "digits", "said"),
    [
        (99.4, "hour", 2, "99 hours"), (99.5, "hour", 2, "100 hours"), (99.44, "", 3, "99.4"), (999.4, "", 3, "999"),
        (999.5, "", 3, "1,000"), (0.123456, "", 2, "0.12"), (0.5, "fraction", 2, "50 %"), (1.0, "row", 2, "1 row"),
        (1.004, "row", 2, "1 row"), (-1.0, "row", 2, "−1 rows"), (0.0, "row", 2, "0 rows"), (-99.6, "", 2, "−100"),
        (1.23456, "second", 4, "1.235 seconds"),
    ],
)  # fmt: skip
def test_measures_have_their_digits_and_their_noun(value: float, unit: str, digits: int, said: str) -> None:
    assert measure_text(value, unit, digits) == said


def test_what_no_digits_tell_apart_is_told_alike() -> None:
    assert measure_texts(0.1, 0.1 + 1e-12, "") == ("0.1", "0.1")
    assert measure_texts(0.5, None, "") == ("0.5", "unknown")
    assert measure_texts(None, None, "row") == ("unknown", "unknown")
    assert measure_texts(2, 2.0, "row") == ("2 rows", "2 rows")


def test_texts_of_rows_and_beginnings() -> None:
    assert [row_text(each) for each in (1234567.25, -3, False, None, "a", {"a": {"b": 1}}, date(2026, 1, 2))] == [
        "1,234,567.25", "−3", "False", "null", "a", "a b 1", "2026-01-02",
    ]  # fmt: skip
    assert [capitalised(each) for each in ("macos is slow", "tvOS is slow", "slow", "Slow", "iPad", "éa")] == [
        "macOS is slow", "tvOS is slow", "Slow", "Slow", "iPad", "Éa",
    ]  # fmt: skip
    assert [plural(count, "row") for count in (0, 1, 2, 1000)] == ["0 rows", "1 row", "2 rows", "1,000 rows"]
    assert plural(1, "crash", "crashes") == "1 crash"


# --- Plain values -----------------------------------------------------------------------------------------------------


def test_values_are_those_of_json() -> None:
    assert plain_value({1: np.int64(2), "a": (np.float64(nan), inf, -inf, 1.5)}) == {
        "1": 2,
        "a": [None, None, None, 1.5],
    }
    assert plain_value([pd.NaT, pd.NA, None, nan, True, "x", np.bool_(False)]) == [
        None,
        None,
        None,
        None,
        True,
        "x",
        False,
    ]
    assert plain_value(np.array([[1, 2], [3, 4]])) == [[1, 2], [3, 4]]
    assert plain_value({"x"}) == ["x"]
    assert plain_value([date(2026, 1, 2), datetime(2026, 1, 2, 3, 4), pd.Timestamp(2026, 1, 2)]) == [
        "2026-01-02", "2026-01-02T03:04:00", "2026-01-02T00:00:00",
    ]  # fmt: skip
    assert type(plain_value(np.int64(2))) is int


def test_records_have_the_columns_that_there_are() -> None:
    frame = pd.DataFrame({"a": [1.0, nan, 3.0], "b": ["x", None, "z"], "c": 0})
    assert plain_records(frame, ("b", "no", "a")) == [
        {"b": "x", "a": 1.0}, {"b": None, "a": None}, {"b": "z", "a": 3.0},
    ]  # fmt: skip
    assert plain_records(frame, ("a",), 2) == [{"a": 1.0}, {"a": None}]
    assert plain_records(frame, ("a",), 0) == []
    assert rows_of_frame(frame[["a", "c"]].iloc[[0, 2]]) == [{"a": 1.0, "c": 0}, {"a": 3.0, "c": 0}]


def test_text_that_acts_is_written_out() -> None:
    assert visible_text("a\x1b\u202e\U000e0041\tb\nü") == "a\\x1b\\u202e\\U000e0041\tb\nü"
    assert visible_text("\x85\u00ff\u200b") == "\\x85ÿ\\u200b"
    assert terminal_text("a\tb\nc\x07") == "a\\tb\\nc\\x07"
    assert json_text('"\u202e\U000e0041\x7f"') == '"\\u202e\\udb40\\udc41\\u007f"'
    cells = ["=1", " '+1", "a=1", 1.5, None, "-x", "@x", "\tx", ""]
    escaped = ["'=1", "' '+1", "a=1", 1.5, None, "'-x", "'@x", "'\tx", ""]
    assert [spreadsheet_value(each) for each in cells] == escaped
    assert [spreadsheet_original(each) for each in ("'=1", "=1", "'a", "''", "'")] == ["=1", "=1", "'a", "''", "'"]


# --- Intervals --------------------------------------------------------------------------------------------------------


def test_an_interval_of_a_share_by_its_formula() -> None:
    z = 1.6448536269514722
    for share, n in ((0.25, 8), (0.9, 50)):
        middle, half = share + z * z / (2 * n), z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        low, high = ((middle + side * half) / (1 + z * z / n) for side in (-1, 1))
        assert wilson_interval(share, n) == pytest.approx((low, high))


def test_an_interval_in_sql_is_wilsons_at_95() -> None:
    z = 1.959963984540054
    asked = [(0, 10), (3, 10), (10, 10), (0, 0), (7, 9), (1, 1)]
    rows = ", ".join(f"({number}, {x}, {n})" for number, (x, n) in enumerate(asked))
    low, high = wilson_low_sql("x", "n"), wilson_high_sql("x", "n")
    with duckdb.connect() as db:
        found = db.sql(f"select {low}, {high} from (values {rows}) as t (number, x, n) order by number").fetchall()
    for (x, n), ends in zip(asked, found, strict=True):
        if not n:
            assert ends == (None, None)
            continue
        middle, half = x / n + z * z / (2 * n), z * sqrt(x / n * (1 - x / n) / n + z * z / (4 * n * n))
        wanted = ((middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n))
        assert ends == pytest.approx((max(wanted[0], 0.0), min(wanted[1], 1.0)), abs=1e-12)
    assert (found[0][0], found[2][1]) == (pytest.approx(0.0, abs=1e-12), pytest.approx(1.0))
    assert found[0][0] >= 0
    assert found[2][1] <= 1


def test_discoveries_are_corrected_for_how_many_were_tested() -> None:
    # Of four: .04 × 4 ÷ 3 and .03 × 4 ÷ 2 become .0533; the unknown one is no test.
    q = benjamini_hochberg([0.04, nan, 0.005, 0.9, 0.03])
    np.testing.assert_allclose(q, [0.16 / 3, nan, 0.02, 0.9, 0.16 / 3])
    np.testing.assert_allclose(benjamini_hochberg([0.8, 0.9]), [0.9, 0.9])
    assert benjamini_hochberg([]).tolist() == []
    assert np.isnan(benjamini_hochberg([nan, nan])).all()


# --- Figures of tests -------------------------------------------------------------------------------------------------

JUNIT = """<testsuites><testsuite time="1.5">
<testcase classname="a" name="n0" time="0.1"><error/></testcase><testcase name="n1"/>
<testcase classname="a" name="n2" time="3"><failure/><error/></testcase>{more}</testsuite>
<testsuite time="2.0004"/><testsuite/></testsuites>"""


def test_figures_of_a_run_of_tests_whole() -> None:
    more = "".join(f'<testcase classname="b" name="m{n}" time="{n}"/>' for n in range(4, 13))
    found = quality_figures(JUNIT.format(more=more), '<coverage line-rate="0.5" lines-valid="10" branches-valid="4"/>')
    slowest = [{"test": f"b.m{n}", "seconds": float(n)} for n in range(12, 3, -1)] + [{"test": "a.n2", "seconds": 3.0}]
    assert found == {
        "report_version": 1,
        "tests": {
            "total": 12, "failures": 1, "errors": 2, "skipped": 0, "duration_s": 3.5, "passed": False,
            "failed": ["a.n0", "a.n2"], "slowest": slowest,
        },
        "coverage": {"line_rate": 0.5, "lines_valid": 10, "lines_covered": 0, "branch_rate": 0.0},
    }  # fmt: skip
    rates = '<coverage line-rate="0.5" lines-valid="10" lines-covered="5" branches-valid="4" branch-rate="0.75"/>'
    assert quality_figures(None, rates)["coverage"]["branch_rate"] == 0.75
    one = '<testsuite time="0.12345"><testcase name="x"><skipped/></testcase></testsuite>'
    assert quality_figures(one, None)["tests"] == {
        "total": 1, "failures": 0, "errors": 0, "skipped": 1, "duration_s": 0.123, "passed": True, "failed": [],
        "slowest": [{"test": ".x", "seconds": 0.0}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("coverage", "message"),
    [
        ("<coverage/>", "the coverage file is no report of coverage"),
        ('<other lines-valid="1"/>', "the coverage file is no report of coverage"),
        ("<coverage", "the coverage file is no XML: "),
        ("<!ENTITY", "the coverage file is larger than any such file, or declares entities"),
    ],
)
def test_a_file_that_is_none_is_named(coverage: str, message: str) -> None:
    with pytest.raises(ReportInputError, match=message):
        quality_figures(None, coverage)
