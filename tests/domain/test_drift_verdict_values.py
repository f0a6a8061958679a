"""Where a verdict turns: at its limit, at its rate of false discoveries, and in which order things are told."""

from __future__ import annotations

import inspect
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from quality_assets.domain.drift.judge import Judgement, judge_shift
from quality_assets.domain.drift.power import DEFAULT_NOISE, power_table
from quality_assets.domain.drift.settings import DEFAULT_DRIFT_SETTINGS
from quality_assets.domain.drift.sketches import Sketch
from quality_assets.domain.drift.verdicts import _drift_row, _importance

DAY = date(2026, 1, 1)
SETTINGS = DEFAULT_DRIFT_SETTINGS
RATE = Sketch("data", "", "crash_rate", "binomial_z", (DAY,), np.zeros((1, 2)), floor=2.5, unit="fraction")
JUDGED = Judgement(RATE, 2.5, np.zeros(20), 900, 100, 8, 0.02, 0.05)


@pytest.mark.parametrize(
    ("observed", "q", "current", "status"),
    [
        (2.5, 0.0, 0.05, "ok"), (2.51, 0.0, 0.05, "drifted"), (2.51, 0.02, 0.05, "drifted"), (2.51, 0.021, 0.05, "ok"),
        # It must have moved by a tenth of itself as well.
        (2.51, 0.0, 0.0219, "ok"), (2.51, 0.0, 0.0221, "drifted"), (2.51, 0.0, 0.0179, "drifted"),
        (2.51, 0.0, 0.0181, "ok"),
    ],
)  # fmt: skip
def test_a_rate_has_drifted_beyond_its_limit_and_chance_and_by_enough(
    observed: float, q: float, current: float, status: str
) -> None:
    row = _drift_row(replace(JUDGED, observed=observed, current_value=current), DAY, 0.001, q, None, SETTINGS)
    assert (row["status"], row["is_drifted"]) == (status, status == "drifted")
    assert (row["observed"], row["threshold"], row["p_value"], row["q_value"]) == (observed, 2.5, 0.001, q)
    excuse = "; past its limit, but by no more than chance does to one of many"
    assert row["verdict"].endswith(excuse) == (status == "ok" and observed > 2.5)


def test_what_drifted_is_told_before_what_is_felt_more_and_the_unknown_last() -> None:
    def row(
        status: str, effect: float | None, observed: float | None, name: str, feature: str = ""
    ) -> dict[str, object]:
        told = {"status": status, "effect_on_predictions": effect, "observed": observed, "threshold": 2.0}
        return told | {"name": name, "feature": feature}

    wanted = [
        row("drifted", 0.2, 3.0, "e"), row("drifted", 0.1, 9.0, "d"), row("drifted", None, 5.0, "c"),
        row("drifted", None, 4.0, "a"), row("drifted", None, 4.0, "b"), row("drifted", None, 4.0, "b", "pay"),
        row("ok", 0.9, 1.9, "a"), row("ok", 0.0, 1.0, "a"), row("unknown", 0.9, None, "a"),
        row("unknown", None, None, "b"),
    ]  # fmt: skip
    mixed = [wanted[at] for at in (9, 3, 7, 0, 5, 8, 2, 6, 4, 1)]
    assert sorted(mixed, key=_importance) == wanted
    assert _importance({**row("ok", 0.5, 3.0, "a", "pay"), "threshold": 0.0}) == (1, -0.5, 0.0, "a", "pay")
    assert _importance(row("drifted", 0.5, 3.0, "a", "pay")) == (0, -0.5, -1.5, "a", "pay")


def grade(days: int) -> Sketch:
    """A grade whose mean on day d is d, of a hundred rows a day."""
    dates = tuple(DAY + timedelta(days=at) for at in range(days))
    counts = np.stack([100.0 * np.arange(days), np.full(days, 100.0)], axis=1)
    return Sketch("performance", "", "brier_score", "mean_shift", dates, counts, unit="score")


@pytest.mark.parametrize(("day", "first"), [(20, 0), (30, 0), (63, 0), (64, 1), (80, 17)])
def test_a_grade_is_held_against_the_eight_weeks_that_end_a_week_before(day: int, first: int) -> None:
    found = judge_shift(grade(90), day, SETTINGS)
    earlier = np.arange(first, day - 6, dtype=float)
    centre = float(np.median(earlier))
    scale = 1.4826 * float(np.median(np.abs(earlier - centre)))
    assert found.observed == pytest.approx((day - centre) / scale)
    assert found.null == pytest.approx(np.abs(earlier - centre) / scale)
    assert (found.reference_days, found.n_reference, found.n_current) == (len(earlier), len(earlier), 100)
    assert (found.reference_value, found.current_value, found.sketch.floor) == (centre, day, 3.0)


def test_a_grade_needs_two_weeks_and_twenty_rows() -> None:
    assert judge_shift(grade(90), 19, SETTINGS).reason == "too little graded history"
    assert judge_shift(grade(90), 3, SETTINGS).reference_days == 0
    few = grade(90)
    few.counts[40] = [19.0, 19.0]
    told = judge_shift(few, 40, SETTINGS)
    assert (told.reason, told.n_current, told.current_value, told.observed) == ("too few matured labels", 19, 1.0, None)
    few.counts[40] = [20.0, 20.0]
    assert judge_shift(few, 40, SETTINGS).observed is not None
    few.counts[40] = [0.0, 0.0]
    assert judge_shift(few, 40, SETTINGS).current_value is None
    still = replace(few, counts=np.tile([50.0, 100.0], (90, 1)))
    still.counts[60] = [51.0, 100.0]
    # What never moved is held to be moved by a millionth.
    assert judge_shift(still, 60, SETTINGS).observed == pytest.approx(0.01 / 1e-6)


def test_power_is_published_of_a_hundred_trials_of_three_sizes() -> None:
    usual = {name: each.default for name, each in inspect.signature(power_table).parameters.items()}
    assert usual == {
        "rows_per_day": (2_000, 10_000, 1_000_000), "trials": 100, "seed": 0, "noise": DEFAULT_NOISE,
        "settings": SETTINGS,
    }  # fmt: skip
