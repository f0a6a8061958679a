"""What commands say where there is too little: no figures of a handful of grades, and no date of no data."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from quality_assets.cli.models import _print_grades
from quality_assets.cli.output import data_text


def grades(rows: int, positives: int) -> pd.DataFrame:
    """The grades of one model, whose calibration error is .25."""
    cells = {"model": "ewma_chart", "rows": rows, "positives": positives, "base_rate": positives / rows}
    return pd.DataFrame([cells | {"metric": "ece", "value": 0.25, "low": 0.125, "high": 0.5}])


@pytest.mark.parametrize(
    ("rows", "positives", "said"),
    [(10, 0, "0 degraded"), (40, 4, "4 degraded"), (40, 37, "3 healthy"), (7, 7, "0 healthy")],
)
def test_figures_of_a_few_days_are_not_told(
    rows: int, positives: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _print_grades(grades(rows, positives))
    told = " ".join(capsys.readouterr().out.split())
    assert f"{rows} feature-days with a known outcome, {positives} of them degraded within a week" in told
    assert f"Too few to grade a model on: {said} feature-days, 5 are needed." in told
    assert "0.25" not in told


def test_figures_are_told_from_five_days_of_each_kind_on(capsys: pytest.CaptureFixture[str]) -> None:
    _print_grades(grades(10, 5))
    told = capsys.readouterr().out
    assert "ewma chart" in told
    assert "0.25 (0.12–0.50)" in told
    assert "Too few" not in told


def test_how_far_data_reach_is_told_where_there_are_any() -> None:
    assert data_text(None) == "no data yet"
    assert data_text(date(2026, 3, 1)) == "data through 2026-03-01"
