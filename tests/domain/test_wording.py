"""Numbers in sentences."""

import re

import pytest

from quality_assets.contracts.risk_inputs import INPUT_NAMES
from quality_assets.domain.wording import (
    capitalised,
    change_text,
    duration_text,
    figure_text,
    figure_texts,
    measure_text,
    measure_texts,
    name_in_words,
    plural,
    probability_text,
    row_text,
    value_text,
)


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.00423, "fraction", "0.42 %"),
        (0.0, "fraction", "0 %"),
        (0.00000012, "fraction", "0 %"),
        (-0.0412, "fraction", "−4.1 %"),
        (0.996, "probability", ">99 %"),
        (12345.678, "ms", "12.3 s"),
        (-0.0001, "sd", "0.00"),
        (-1.25, "sd", "−1.25"),
        (3.456, "score", "3.46"),
        (12345.678, "count", "12,346"),
        (2.345, "days", "2.3"),
        (7.0, "days", "7"),
        (1.0, "fraction", "100 %"),
        (1.005, "fraction", "100 %"),
        (0.995, "fraction", ">99 %"),
        (-0.996, "fraction", ">−99 %"),
        (0.19, "fraction", "19 %"),
        (0.0001, "fraction", "0.01 %"),
        (0.00012, "fraction", "0.012 %"),
        (0.00009, "fraction", "0 %"),
        (-3.21, "ratio", "−3.21"),
        (-45_300.0, "ms", "−45.3 s"),
        (90.0, "s", "1.5 min"),
        (72.0, "h", "3.0 days"),
    ],
)
def test_values_are_said_in_their_unit(value, unit, said):
    assert value_text(value, unit) == said


@pytest.mark.parametrize("name", [*INPUT_NAMES, *(f"{name} is missing" for name in INPUT_NAMES)])
def test_no_input_is_called_by_a_statistic(name: str) -> None:
    said = name_in_words(name)
    assert not re.search(r"_|\b(z|ewma|\d+d|zscore)\b", said), said


def test_inputs_are_called_what_they_mean() -> None:
    assert name_in_words("user_features.failure_rate_24h") == "failure rate 24h of users"
    assert name_in_words("worst_ewma_z") == "recent slide of the worst metric"
    assert name_in_words("crash_slope_z is missing") == "two-week trend of crash rate is missing"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0 ms"),
        (4.21, "4.2 ms"),
        (467, "467 ms"),
        (999.6, "1.00 s"),
        (1234.4, "1.23 s"),
        (-15_500, "−15.5 s"),
        (59_960, "1.0 min"),
        (150_000, "2.5 min"),
        (3_510_684, "58.5 min"),
        (5_400_000, "1.5 h"),
        (20_424_000, "5.7 h"),
        (172_800_000, "2.0 days"),
    ],
)
def test_durations_are_told_as_a_person_would(milliseconds: float, text: str) -> None:
    assert duration_text(milliseconds) == text


@pytest.mark.parametrize(
    ("count", "nouns", "said"),
    [(0, ("file",), "0 files"), (1, ("file",), "1 file"), (1204, ("date waits", "dates wait"), "1,204 dates wait")],
)
def test_counts_agree_with_their_nouns(count: int, nouns: tuple[str, ...], said: str) -> None:
    assert plural(count, *nouns) == said


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.0598, "fraction", "6 %"),
        (1.0, "feature", "1 feature"),
        (1234.0, "feature-day", "1,234 feature-days"),
        (9.6, "feature", "9.6 features"),
        (-0.5, "", "−0.5"),
        (1234.6, "event", "1,235 events"),
        (123.4, "hour", "123 hours"),
        (99.5, "hour", "100 hours"),
        (99.4, "hour", "99 hours"),
        (0.0700000000004, "fraction", "7 %"),
    ],
)
def test_what_a_check_measured_is_said_with_its_unit(value: float, unit: str, said: str) -> None:
    assert measure_text(value, unit) == said


@pytest.mark.parametrize(
    ("observed", "limit", "unit", "said"),
    [
        (0.6982, 0.6979, "", ("0.6982", "0.6979")),
        (0.05004, 0.05, "fraction", ("5.004 %", "5 %")),
        (0.06, 0.05, "fraction", ("6 %", "5 %")),
        (0.1234, 0.4567, "", ("0.12", "0.46")),
        (0.12341, 0.12482, "", ("0.123", "0.125")),
        (0.12341, 0.12349, "", ("0.1234", "0.1235")),
        (0.1234561, 0.1234578, "", ("0.123456", "0.123458")),
        (12.123456789, 12.123456912, "", ("12.1234568", "12.1234569")),
        (123.4, 123.3, "hour", ("123.4 hours", "123.3 hours")),
        (1234.2, 1234.3, "hour", ("51.42 days", "51.43 days")),
        (3, 3, "row", ("3 rows", "3 rows")),
        (None, 0.05, "fraction", ("unknown", "5 %")),
    ],
)
def test_rounding_never_makes_two_different_values_one(
    observed: float | None, limit: float, unit: str, said: tuple[str, str]
) -> None:
    assert measure_texts(observed, limit, unit) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"event_date": "2026-03-01", "feature": None}, "event_date 2026-03-01, feature null"),
        (-1234.5, "−1,234.5"),
        (3, "3"),
        (True, "True"),
        (None, "null"),
        ("Search", "Search"),
    ],
)
def test_a_value_of_a_row_is_said_whole(value: object, said: str) -> None:
    assert row_text(value) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("crash rate is worse on iOS", "Crash rate is worse on iOS"),
        ("iOS: crash rate is worse", "iOS: crash rate is worse"),
        ("ios", "iOS"),
        ("iostream is worse", "Iostream is worse"),
        ("eCommerce, 3 of 4", "eCommerce, 3 of 4"),
        ("§ 3", "§ 3"),
        ("", ""),
    ],
)
def test_a_sentence_begins_with_a_capital_but_a_platform_is_written_as_it_is(text: str, said: str) -> None:
    assert capitalised(text) == said


@pytest.mark.parametrize(
    ("fraction", "said"),
    [
        (2.43, "+243 %"),
        (-0.008, "−0.8 %"),
        (0.0004, "±0 %"),
        (0.0005, "+0.1 %"),
        (-1.0, "−100 %"),
        (9.99, "+999 %"),
        (11.0, "×12"),
    ],
)
def test_a_change_is_told_with_its_sign(fraction: float, said: str) -> None:
    assert change_text(fraction) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (7, "7"),
        (1234567, "1,234,567"),
        (-12345678.4, "−12,345,678"),
        (0.0533333333, "0.0533333"),
        (1e-7, "1e−07"),
        (1e300, "1e+300"),
        (-3.8e-19, "0"),
    ],
)
def test_a_figure_is_never_cut_before_its_point(value: float, said: str) -> None:
    assert figure_text(value) == said


def test_hours_that_are_many_are_days() -> None:
    assert [measure_text(hours, "hour") for hours in (1.0, 36.0, 239.0, 240.0, 6206.0)] == [
        "1 hour", "36 hours", "239 hours", "10 days", "259 days",
    ]  # fmt: skip
    assert measure_texts(250.0, 36.0, "hour") == ("10 days", "36 hours")


def test_no_probability_is_nought_or_one() -> None:
    assert [probability_text(value) for value in (0.0, 0.009, 0.01, 0.87, 0.99, 0.9914, 1.0)] == [
        "<1 %", "<1 %", "1 %", "87 %", "99 %", ">99 %", ">99 %",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.99999986, 1.00000012, ("0.9999999", "1")),
        (1234567.2, 1234567.4, ("1,234,567.2", "1,234,567.4")),
        (-18.5, 59.5, ("−18.5", "59.5")),
        (5.0, 5.0, ("5", "5")),
        (1.0, 1.0 + 2**-52, ("1.0", "1.0000000000000002")),
    ],
)
def test_the_ends_of_a_band_differ_where_their_values_do(low: float, high: float, said: tuple[str, str]) -> None:
    assert figure_texts(low, high) == said
