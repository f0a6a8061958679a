"""Training anew: only on what has drifted today and matters, and only where another training could learn something."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import pytest

from quality_assets.domain.models.retraining import retraining_reason

DAY = date(2026, 3, 10)
OLD = DAY - timedelta(days=10)


def drift(*rows: tuple[str, str, float | None, int, str], day: date = DAY) -> pd.DataFrame:
    """Rows of (kind, status, effect on predictions, rank, verdict)."""
    columns = ["kind", "status", "effect_on_predictions", "rank", "verdict"]
    return pd.DataFrame(rows, columns=columns).assign(event_date=day)


@pytest.mark.parametrize(
    ("kind", "status", "effect", "is_reason"),
    [
        ("performance", "drifted", None, True),
        ("performance", "ok", None, False),
        ("data", "drifted", None, False),
        ("data", "drifted", 0.019, False),
        ("data", "drifted", 0.02, True),
        ("data", "unknown", 0.5, False),
        ("prediction", "drifted", None, False),
    ],
)
def test_worse_grades_and_inputs_that_the_score_feels_are_reasons(
    kind: str, status: str, effect: float | None, is_reason: bool
) -> None:
    found = retraining_reason(drift((kind, status, effect, 1, "it moved")), OLD, DAY)
    assert found == ("it moved" if is_reason else None)


@pytest.mark.parametrize(
    ("trained_through", "is_reason"),
    [(None, False), (DAY - timedelta(days=2), False), (DAY - timedelta(days=3), True)],
)
def test_a_model_of_the_last_days_or_none_is_not_trained_anew(trained_through: date | None, is_reason: bool) -> None:
    moved = drift(("performance", "drifted", None, 1, "it moved"))
    assert (retraining_reason(moved, trained_through, DAY) is not None) == is_reason


def test_the_three_worst_of_the_day_are_told_by_rank() -> None:
    rows = [("data", "drifted", 0.1, rank, f"no. {rank}") for rank in (4, 2, 1, 3)]
    assert retraining_reason(drift(*rows), OLD, DAY) == "no. 1; no. 2; no. 3"


def test_another_day_and_nothing_at_all_are_no_reason() -> None:
    moved = drift(("performance", "drifted", None, 1, "it moved"), day=DAY - timedelta(days=1))
    assert retraining_reason(moved, OLD, DAY) is None
    assert retraining_reason(moved.iloc[:0], OLD, DAY) is None
