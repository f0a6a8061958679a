"""Lift on worlds whose truth is known, and its parts against values worked out by hand."""

from __future__ import annotations

from math import isnan, sqrt

import numpy as np
import pytest
from scipy import stats

from quality_assets.domain.impact import lift
from quality_assets.domain.impact.lift import Calibration, Estimate, Past, UserDays
from quality_assets.domain.impact.lift_words import reason_text

SURE = Estimate(naive=0.2, adopter_rate=0.5, att=0.1, se=0.01, overlap=0.99, adopters=1000)
NONE = Estimate(naive=0.1, adopter_rate=0.5, att=0.0, se=0.01, overlap=0.99, adopters=1000)


def two_users() -> tuple[UserDays, Past]:
    """User 0 is active on days 0, 3 and 9 with 1, 2 and 1 sessions, user 1 on day 4."""
    active = UserDays(
        user=np.array([0, 0, 0, 1]), day=np.array([0, 3, 9, 4]), sessions=np.array([1, 2, 1, 5]),
        platform=np.zeros(2, np.int64), joined=np.array([0, 4]), days=12,
    )  # fmt: skip
    return active, Past.of(active)


def test_what_was_before_a_day_is_read_of_its_own_user() -> None:
    _, past = two_users()
    user, day = np.array([0, 0, 1, 1]), np.array([9, 3, 4, 11])
    assert past.active_days(user, day - 7, day).tolist() == [1, 1, 0, 1]
    assert past.sessions(user, day - 7, day).tolist() == [2, 1, 0, 5]
    assert past.days_since(user, day).tolist() == [6, 3, 28, 7]


def test_adopters_are_those_of_the_day_and_later_ones_are_among_the_others() -> None:
    active, past = two_users()
    rows = lift.at_risk_rows(active, np.array([3, 13]), 0, 10)
    found = sorted(zip(rows.user.tolist(), rows.day.tolist(), rows.adopts.tolist(), strict=True))
    # Nobody else was active on the day of the first use, and what comes after it is not at risk.
    assert found == [(0, 3, True)]
    assert lift.returned(past, rows).tolist() == [1.0]
    assert lift.returned(past, rows, -7).tolist() == [1.0]


def test_others_are_drawn_from_the_days_of_the_adopters() -> None:
    users = 400
    rng = np.random.default_rng(1)
    user, day = (grid.ravel() for grid in np.meshgrid(np.arange(users), np.arange(20), indexing="ij"))
    active = UserDays(user, day, np.ones(len(user), np.int64), np.zeros(users, np.int64), np.zeros(users, np.int64), 20)
    first_use = np.where(np.arange(users) < 30, rng.integers(5, 10, users), 21)
    rows = lift.at_risk_rows(active, first_use, 5, 9)
    adopters, others = (np.bincount(rows.day[rows.adopts == which], minlength=20) for which in (True, False))
    assert adopters.sum() == 30
    assert (others == lift.OTHERS_EACH * adopters).all()


@pytest.mark.parametrize("effect", [0.0, 0.15])
def test_the_adjustment_takes_out_what_drives_both(effect: float) -> None:
    rng = np.random.default_rng(2)
    n = 12_000
    driver = rng.normal(size=n)
    adopts = rng.random(n) < 1 / (1 + np.exp(1.5 - driver))
    outcome = (rng.random(n) < 0.4 + 0.12 * np.tanh(driver) + effect * adopts).astype(float)
    rows = lift.AtRisk(np.arange(n), np.zeros(n, np.int64), adopts)
    x = np.column_stack([driver, driver**2])
    found = lift.adjusted(rows, outcome, x, lift.propensities(rows, x))
    assert found.naive > effect + 0.05
    assert abs(found.att - effect) < 3 * found.se
    assert found.se < 0.02
    assert found.overlap > 0.95


def test_rows_of_one_user_are_no_independent_evidence() -> None:
    rng = np.random.default_rng(3)
    n = 2000
    adopts, outcome, x = rng.random(n) < 0.2, (rng.random(n) < 0.5).astype(float), rng.normal(size=(n, 1))
    alone = lift.AtRisk(np.arange(n), np.zeros(n, np.int64), adopts)
    once = lift.adjusted(alone, outcome, x, np.full(n, 0.2))
    thrice = lift.AtRisk(np.tile(np.arange(n), 3), np.zeros(3 * n, np.int64), np.tile(adopts, 3))
    again = lift.adjusted(thrice, np.tile(outcome, 3), np.tile(x, (3, 1)), np.full(3 * n, 0.2))
    assert again.se == pytest.approx(once.se, rel=0.03)


def test_an_estimate_is_held_against_those_of_other_features() -> None:
    others = [Estimate(0.1, 0.5, 0.01 * (n - 4), 0.01, 0.99, 500) for n in range(9)]
    held = lift.calibrate(SURE, others)
    assert held is not None
    values = np.array([other.att for other in others])
    spread = values.var(ddof=1) - 0.01**2
    wide = sqrt(0.01**2 + spread + (0.01**2 + spread) / 9)
    half = stats.t.ppf(0.975, 8) * wide
    assert held.mean == pytest.approx(0)
    assert held.sd == pytest.approx(sqrt(spread))
    assert (held.low, held.high) == pytest.approx((0.1 - half, 0.1 + half))
    assert held.is_above_all
    assert lift.calibrate(SURE, others[:7]) is None


def test_an_e_value_is_that_of_the_paper() -> None:
    # VanderWeele & Ding 2017: an observed risk ratio of 3.9 has an E-value of 7.26.
    assert lift.e_value(0.39, 0.1) == pytest.approx(7.26, abs=0.01)
    assert isnan(lift.e_value(0.1, 0.2))


HELD = Calibration(mean=0.02, sd=0.01, controls=12, calibrated=0.08, low=0.04, high=0.12, is_above_all=True)


@pytest.mark.parametrize(
    ("found", "placebo", "held", "verdict"),
    [
        (SURE, NONE, HELD, "associated (observational)"),
        (SURE, SURE, HELD, "suggestive (do not quote)"),
        (SURE, NONE, None, "not established"),
        (SURE, NONE, Calibration(0.02, 0.01, 12, 0.08, -0.01, 0.12, True), "not established"),
        (SURE, NONE, Calibration(0.02, 0.01, 12, 0.08, 0.04, 0.12, False), "not established"),
        (Estimate(0.2, 0.5, 0.1, 0.01, 0.79, 1000), NONE, HELD, "not measured"),
    ],
)
def test_a_verdict_needs_all_three_gates(
    found: Estimate, placebo: Estimate, held: Calibration | None, verdict: str
) -> None:
    assert lift.lift_verdict(found, placebo, held) == verdict
    said = reason_text(verdict, found, placebo, held, 1.4, "return")
    assert said.startswith(verdict.split(" (")[0].capitalize())
    # The raw difference stands nowhere without the one between similar people.
    assert "against 30.0 %" not in said or "compared with similar people" in said
