"""Numbers as people read them."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from dash_app import formats

N = formats.NARROW
M = formats.MINUS


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (4.21, f"4.2{N}ms"),
        (467, f"467{N}ms"),
        (999.6, f"1.00{N}s"),
        (1040, f"1.04{N}s"),
        (15_500, f"15.5{N}s"),
        (150_000, f"2.5{N}min"),
        (-467, f"{M}467{N}ms"),
    ],
)
def test_duration(ms: float | None, said: str) -> None:
    assert formats.duration(ms) == said


@pytest.mark.parametrize(
    ("fraction", "said"),
    [
        (None, "–"),
        (0.0, f"0{N}%"),
        (0.0085, f"0.85{N}%"),
        (0.00042, f"0.042{N}%"),
        (0.124, f"12.4{N}%"),
        (0.9934, f"99.34{N}%"),
        (0.99999, f">99.99{N}%"),
        (1.0, f"100{N}%"),
    ],
)
def test_percent_never_rounds_up_to_certainty(fraction: float | None, said: str) -> None:
    assert formats.percent(fraction) == said


@pytest.mark.parametrize(
    ("p", "said"), [(0.0, f"<1{N}%"), (0.004, f"<1{N}%"), (0.85, f"85{N}%"), (0.997, f">99{N}%"), (1.0, f">99{N}%")]
)
def test_probability_is_never_certain(p: float, said: str) -> None:
    assert formats.probability(p) == said


@pytest.mark.parametrize(
    ("fraction", "said"),
    [(None, "–"), (2.43, f"+243{N}%"), (-0.008, f"{M}0.8{N}%"), (0.0, f"±0{N}%"), (-1.0, f"{M}100{N}%"), (11.0, "×12")],
)
def test_change(fraction: float | None, said: str) -> None:
    assert formats.change(fraction) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (None, "–"),
        (0, "0"),
        (970, "970"),
        (0.5, "0.5"),
        (9_600, "9.6k"),
        (213_000, "213k"),
        (999_600, "1.0M"),
        (1_500_000, "1.5M"),
        (2_000_000_000, "2.0B"),
        (-24_000, f"{M}24.0k"),
    ],
)
def test_count(number: float | None, said: str) -> None:
    assert formats.count(number) == said


def test_false_alarms_are_never_said_to_be_impossible() -> None:
    assert formats.false_alarms(0.0) == "<0.01\u202f%"
    assert formats.false_alarms(0.0181) == "1.8\u202f%"
    assert formats.false_alarms(None) == formats.UNKNOWN


def test_score_is_100_only_where_it_is() -> None:
    assert [formats.score(x) for x in (None, 96.44, 99.99, 100.0)] == ["–", "96.4", "99.9", "100"]


def test_a_zero_has_no_minus() -> None:
    assert formats.decimal(-0.0001) == "0.00"


def test_dates() -> None:
    assert formats.day(date(2026, 11, 9)) == "9 Nov"
    assert formats.day(date(2026, 11, 9), year=True) == "9 Nov 2026"
    assert formats.moment(datetime(2026, 11, 20, 6, 4)) == "20 Nov, 06:04 UTC"
    assert formats.span(date(2026, 11, 14), None) == "14 Nov – now"
    assert formats.span(date(2026, 11, 14), date(2026, 11, 14)) == "14 Nov"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ines.moreau@example.com", "I. Moreau"),
        ("team:data", "team:data"),
        ("x@example.com", "x@example.com"),
        (None, "no owner"),
        ("", "no owner"),
    ],
)
def test_person(address: str | None, said: str) -> None:
    assert formats.person(address) == said


def test_words_keep_percentiles_small() -> None:
    assert formats.words("missing_event_time") == "Missing event time"
    assert formats.words("p95 latency") == "p95 latency"
    assert formats.words("ios") == formats.words("iOS") == "iOS"


def test_every_metric_has_a_format() -> None:
    assert formats.metric("latency_p95_ms", 467) == f"467{N}ms"
    assert formats.metric("adoption_rate", 0.193) == f"19{N}%"
    assert formats.metric("feedback_mean", 4.1) == "4.10"
    assert formats.metric("users", None) == "–"


def test_sentences_are_typeset() -> None:
    assert formats.typeset("-1,204,300 of 12,345 rows, on 2026-11-29, 1,20") == (
        f"{formats.MINUS}1{formats.NARROW}204{formats.NARROW}300 of 12{formats.NARROW}345 rows, on 2026-11-29, 1,20"
    )
    assert formats.plural(1204, "check") == f"1{formats.NARROW}204 checks"
    assert formats.plural(1, "check") == "1 check"
    assert formats.plural(2, "entry", "entries") == "2 entries"


def test_a_number_of_no_unit_is_a_count_from_a_thousand_on() -> None:
    assert [formats.number(value) for value in (None, 0.125, 999.9, 1000.0)] == [
        formats.UNKNOWN,
        "0.12",
        "999.90",
        "1.0k",
    ]


def test_a_share_that_stands_against_the_others_has_a_true_minus() -> None:
    said = [formats.share(fraction).replace(formats.NARROW, " ") for fraction in (-0.26, -0.001, 0.0, 1.26)]
    assert said == [f"{formats.MINUS}26 %", "0 %", "0 %", "126 %"]
