"""Numbers in sentences."""

import pytest

from quality_assets.domain.wording import duration_text, plural, value_text


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.00423, "fraction", "0.42 %"),
        (0.0, "fraction", "0 %"),
        (0.00000012, "fraction", "0 %"),
        (-0.0412, "fraction", "−4.1 %"),
        (0.996, "probability", ">99 %"),
        (12345.678, "ms", "12 s"),
        (-0.0001, "sd", "0.00"),
        (-1.25, "sd", "−1.25"),
        (3.456, "score", "3.46"),
        (12345.678, "count", "12,346"),
        (2.345, "days", "2.3"),
        (7.0, "days", "7"),
    ],
)
def test_values_are_said_in_their_unit(value, unit, said):
    assert value_text(value, unit) == said


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0 ms"), (1234.4, "1,234 ms"), (45_300, "45 s"), (3_510_684, "59 min"), (20_424_000, "5.7 h")],
)
def test_durations_are_told_as_a_person_would(milliseconds: float, text: str) -> None:
    assert duration_text(milliseconds) == text


@pytest.mark.parametrize(
    ("count", "nouns", "said"),
    [(0, ("file",), "0 files"), (1, ("file",), "1 file"), (1204, ("date waits", "dates wait"), "1,204 dates wait")],
)
def test_counts_agree_with_their_nouns(count: int, nouns: tuple[str, ...], said: str) -> None:
    assert plural(count, *nouns) == said
