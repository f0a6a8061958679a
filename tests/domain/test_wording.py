"""Numbers in sentences."""

import pytest

from quality_assets.domain.wording import value_text


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.00423, "fraction", "0.42 %"),
        (0.0, "fraction", "0 %"),
        (0.00000012, "fraction", "0 %"),
        (-0.0412, "fraction", "−4.1 %"),
        (0.996, "probability", ">99 %"),
        (12345.678, "ms", "12,346 ms"),
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
