"""Lift worked out one row after another, and what is said of it word by word."""

from __future__ import annotations

from math import inf, isnan, log1p, nan, sqrt

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression

from quality_assets.domain.impact import crash_costs, lift, lift_words
from quality_assets.domain.impact.lift import AtRisk, Calibration, Estimate, Past, UserDays

DAYS = 100


def test_how_much_is_looked_at() -> None:
    assert (lift.SPAN_DAYS, lift.MOST_ADOPTERS, lift.OTHERS_EACH, lift.FOLDS) == (56, 10_000, 5, 5)
    assert (lift.OUTCOME_DAYS, lift.PAST_DAYS, lift.LEAST_PAST_DAYS) == (7, 28, 35)


def history() -> UserDays:
    """Eight users of three platforms on some of a hundred days, the last of them once."""
    rng = np.random.default_rng(7)
    lived = {
        user: sorted(rng.choice(np.arange(user * 9, DAYS), 14 - user, replace=False).tolist()) for user in range(7)
    }
    lived[7] = [99]
    pairs = [(user, day) for user, days in lived.items() for day in days]
    return UserDays(
        user=np.array([user for user, _ in pairs]),
        day=np.array([day for _, day in pairs]),
        sessions=np.array([1 + (user + day) % 3 for user, day in pairs]),
        platform=np.array([0, 1, 2, 0, 1, 2, 0, 1]),
        joined=np.array([days[0] for days in lived.values()]),
        days=DAYS,
    )


def rows_of(active: UserDays) -> AtRisk:
    """Every day on which somebody was there."""
    return AtRisk(active.user, active.day, active.day % 2 == 0)


def count(active: UserDays, user: int, first: int, until: int, *, sessions: bool = False) -> int:
    """Active days, or sessions, of [first, until)."""
    inside = (active.user == user) & (active.day >= first) & (active.day < until)
    return int(active.sessions[inside].sum()) if sessions else int(inside.sum())


def gap(active: UserDays, user: int, until: int) -> int:
    before = [day for day in active.day[active.user == user].tolist() if day < until]
    return min(until - before[-1], 28) if before else 28


@pytest.mark.parametrize("lag", [0, 7])
def test_what_was_known_of_a_row_is_what_a_plain_look_back_says(lag: int) -> None:
    active = history()
    plain = []
    for user, day in zip(active.user.tolist(), active.day.tolist(), strict=True):
        until = day - lag
        recent, long = count(active, user, until - 7, until), count(active, user, until - 28, until)
        sessions = log1p(count(active, user, until - 28, until, sessions=True))
        today = log1p(count(active, user, day, day + 1, sessions=True))
        tenure = min(max(until - int(active.joined[user]), 0), 60)
        since = gap(active, user, until)
        plain.append(
            [
                recent, recent**2, long, long**2, sessions, sessions**2, today, today**2, since, sqrt(since), tenure,
                sqrt(tenure), count(active, user, until - 2, until), float(until <= active.joined[user]), long * today,
                recent * since, day, *(float(day % 7 == n) for n in range(6)),
                *(float(active.platform[user] == n) for n in range(2)),
            ]
        )  # fmt: skip
    matrix = np.array(plain, float)
    spread = matrix.std(axis=0)
    wanted = (matrix - matrix.mean(axis=0)) / np.where(spread > 0, spread, 1)
    assert (spread[10] > 0, matrix[:, 10].max(), matrix[:, 13].max()) == (True, 60, 1)
    np.testing.assert_allclose(lift.covariates(active, Past.of(active), rows_of(active), lag), wanted, atol=1e-12)


def test_a_column_that_never_varies_is_nought() -> None:
    active = UserDays(*(np.array([each, each]) for each in (0, 3, 1)), np.zeros(1, int), np.array([3]), 9)
    found = lift.covariates(
        active, Past.of(active), AtRisk(np.zeros(2, int), np.array([3, 3]), np.array([True, False]))
    )
    assert found.shape == (2, 23)
    assert not found.any()


def test_days_since_somebody_was_there_are_28_at_most_and_their_own() -> None:
    active = UserDays(
        np.array([0, 1, 1]), np.array([50, 10, 60]), np.array([1, 2, 4]), np.zeros(2, int), np.array([50, 10]), 90
    )
    past = Past.of(active)
    user, day = np.array([0, 0, 1, 1, 1, 1]), np.array([51, 50, 37, 38, 39, 10])
    assert past.days_since(user, day).tolist() == [1, 28, 27, 28, 28, 28]
    everybody = np.array([0, 1])
    assert past.active_days(everybody, np.array([-5, 0]), np.array([200, 60])).tolist() == [1, 1]
    assert past.sessions(everybody, np.array([50, 10]), np.array([51, 61])).tolist() == [1, 6]


def test_whether_somebody_came_back_is_of_the_days_asked() -> None:
    active = history()
    past, rows = Past.of(active), rows_of(active)
    for first, days in ((1, 7), (-7, 7), (2, 1)):
        wanted = [
            float(count(active, user, day + first, day + first + days) > 0)
            for user, day in zip(active.user.tolist(), active.day.tolist(), strict=True)
        ]
        assert lift.returned(past, rows, first, days).tolist() == wanted
    assert lift.returned(past, rows).tolist() == lift.returned(past, rows, 1, 7).tolist()


def daily(users: int, days: int) -> UserDays:
    """Everybody is there every day."""
    user, day = (grid.ravel() for grid in np.meshgrid(np.arange(users), np.arange(days), indexing="ij"))
    return UserDays(user, day, np.ones(len(user), int), np.zeros(users, int), np.zeros(users, int), days)


def chosen(active: UserDays, first_use: np.ndarray, first: int, last: int, most: int, each: int) -> list[int]:
    """The users of the rows that are drawn, one day after another: those with the smallest numbers."""
    at_risk = [
        (user, day)
        for user, day in zip(active.user.tolist(), active.day.tolist(), strict=True)
        if first <= day <= last and day <= first_use[user]
    ]
    draw = dict(zip(at_risk, np.random.default_rng([0, 20_260]).random(len(at_risk)).tolist(), strict=True))
    adopters = sorted((row for row in at_risk if row[1] == first_use[row[0]]), key=draw.__getitem__)[:most]
    found = list(adopters)
    for day in range(first, last + 1):
        others = sorted((row for row in at_risk if row[1] == day < first_use[row[0]]), key=draw.__getitem__)
        found += others[: each * sum(day == row[1] for row in adopters)]
    return [user for user, _ in sorted(found)]


def test_rows_are_of_the_days_asked_until_the_first_use() -> None:
    active = daily(12, 6)
    # One uses it on each of four days, and the others never.
    first_use = np.array([1, 2, 3, 4, *[99] * 8])
    rows = lift.at_risk_rows(active, first_use, 2, 3)
    found = list(zip(rows.user.tolist(), rows.day.tolist(), rows.adopts.tolist(), strict=True))
    assert [row for row in found if row[2]] == [(1, 2, True), (2, 3, True)]
    others = [row for row in found if not row[2]]
    # Five of the ten who do not use it on day 2, and of the nine who do not on day 3.
    assert [sum(day == n for _, day, _ in others) for n in (2, 3)] == [5, 5]
    assert all(user not in (0, 1) or (user, day) == (1, 2) for user, day, _ in others)
    assert found == sorted(found)
    assert rows.user.tolist() == chosen(active, first_use, 2, 3, 10_000, 5)
    again = lift.at_risk_rows(active, first_use, 2, 3)
    other = lift.at_risk_rows(active, first_use, 2, 3, seed=1)
    assert again.user.tolist() == rows.user.tolist()
    assert other.user.tolist() != rows.user.tolist()


def test_of_many_adopters_some_are_drawn_with_others_of_their_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lift, "MOST_ADOPTERS", 4)
    monkeypatch.setattr(lift, "OTHERS_EACH", 2)
    active = daily(60, 4)
    first_use = np.array([*[1] * 10, *[2] * 10, *[99] * 40])
    rows = lift.at_risk_rows(active, first_use, 0, 3)
    adopters, others = (np.bincount(rows.day[rows.adopts == which], minlength=4) for which in (True, False))
    assert adopters.sum() == 4
    assert others.tolist() == (2 * adopters).tolist()
    assert (first_use[rows.user[rows.adopts]] == rows.day[rows.adopts]).all()
    assert rows.user.tolist() == chosen(active, first_use, 0, 3, 4, 2)


def test_rows_of_a_user_are_of_one_fold() -> None:
    user = np.array([0, 1, 2, 3, 1, 1_000_000])
    for seed in (0, 3):
        wanted = [((((u + seed * 7919 + 1) * 0x9E3779B97F4A7C15) % 2**64) >> 40) % 5 for u in user.tolist()]
        assert lift._folds(user, seed).tolist() == wanted
    assert set(lift._folds(np.arange(100), 0).tolist()) == {0, 1, 2, 3, 4}


def test_a_model_of_one_outcome_says_that_outcome() -> None:
    x, at = np.zeros((3, 1)), np.zeros((2, 1))
    assert lift._logistic(x, np.ones(3, bool), at).tolist() == [1.0, 1.0]
    assert lift._logistic(x, np.zeros(3, bool), at).tolist() == [0.0, 0.0]
    assert lift._logistic(x[:0], np.zeros(0, bool), at).tolist() == [0.5, 0.5]
    assert lift._logistic(x, np.array([True, False, False]), at) == pytest.approx([1 / 3, 1 / 3], abs=1e-4)
    rng = np.random.default_rng(1)
    drawn = rng.normal(size=(40, 2))
    adopts = drawn[:, 0] + rng.normal(size=40) > 0
    wanted = LogisticRegression(C=1.0, max_iter=1_000, tol=1e-8).fit(drawn, adopts).predict_proba(drawn)[:, 1]
    assert lift._logistic(drawn, adopts, drawn) == pytest.approx(wanted, abs=1e-4)


def test_nobody_is_surer_to_adopt_than_99_in_100() -> None:
    n = 2_000
    x = np.repeat([-9.0, 9.0], n // 2)[:, None]
    rows = AtRisk(np.arange(n), np.zeros(n, int), x[:, 0] > 0)
    assert sorted(set(lift.propensities(rows, x).round(6).tolist())) == [0.01, 0.99]


def test_an_effect_on_adopters_is_what_the_formula_says() -> None:
    rng = np.random.default_rng(11)
    n = 400
    user = rng.integers(0, 150, n)
    adopts, outcome = rng.random(n) < 0.3, (rng.random(n) < 0.5).astype(float)
    propensity = rng.uniform(0.1, 0.8, n)
    rows = AtRisk(user, np.zeros(n, int), adopts)
    fold = lift._folds(user, 0)
    # Where nothing is known of anybody, a model says the mean of the others of the other folds.
    expected = [outcome[(fold != k) & ~adopts].mean() for k in fold]
    residual = outcome - np.array(expected)
    treated = residual[adopts].mean()
    weights = [0.0 if adopts[i] else propensity[i] / (1 - propensity[i]) for i in range(n)]
    compared = sum(w * r for w, r in zip(weights, residual, strict=True)) / sum(weights)
    by_user: dict[int, float] = {}
    for i in range(n):
        own = (residual[i] - treated) / adopts.mean() if adopts[i] else 0.0
        own -= weights[i] * (residual[i] - compared) / (sum(weights) / n)
        by_user[user[i]] = by_user.get(user[i], 0.0) + own
    se = sqrt(sum(each**2 for each in by_user.values())) / n
    found = lift.adjusted(rows, outcome, np.zeros((n, 1)), propensity)
    assert (found.att, found.se) == (pytest.approx(treated - compared, abs=1e-5), pytest.approx(se, rel=1e-3))
    assert found.naive == pytest.approx(outcome[adopts].mean() - outcome[~adopts].mean())
    assert (found.adopter_rate, found.adopters) == (pytest.approx(outcome[adopts].mean()), adopts.sum())
    assert found.overlap == lift._overlap(propensity, adopts)


def test_an_effect_by_hand_where_the_others_never_do_it() -> None:
    rows = AtRisk(np.arange(10), np.zeros(10, int), np.arange(10) < 4)
    outcome = np.array([1.0, 1, 0, 1, 0, 0, 0, 0, 0, 0])
    found = lift.adjusted(rows, outcome, np.zeros((10, 1)), np.full(10, 0.4))
    # Three quarters of four in ten: the sum of squares is 3 · .25² + .75², by .4², and so the root of 4.6875 by 10.
    assert (found.naive, found.adopter_rate, found.att) == (0.75, 0.75, 0.75)
    assert found.se == pytest.approx(sqrt(4.6875) / 10)
    assert (found.overlap, found.adopters) == (1.0, 4)


def test_who_has_somebody_like_them_is_within_a_fifth_of_the_spread() -> None:
    # Two others at 0 and 1; the spread of all is 2.18, a fifth of which is .435.
    logit = np.array([0.0, 1.0, 0.1, 0.9, 0.5, 5.0, -3.0])
    adopts = np.array([False, False, True, True, True, True, True])
    assert lift._overlap(1 / (1 + np.exp(-logit)), adopts) == pytest.approx(0.4)
    near = np.array([0.0, 1.0, 0.41, 0.59, 0.5, 5.0, -3.0])
    assert lift._overlap(1 / (1 + np.exp(-near)), adopts) == pytest.approx(0.4)


def estimate(att: float, se: float = 0.01, **more: float) -> Estimate:
    """An estimate of a thousand people of whom half return."""
    said = {"naive": 0.2, "adopter_rate": 0.5, "att": att, "se": se, "overlap": 0.99, "adopters": 1_000}
    return Estimate(**(said | more))  # type: ignore[arg-type]


def test_others_are_weighed_by_how_well_they_are_known() -> None:
    atts, errors = [0.0, 0.02, 0.04, 0.06, -0.02, 0.01, 0.03, 0.2], [0.01, 0.02, 0.01, 0.03, 0.01, 0.02, 0.01, 0.05]
    others = [estimate(att, se) for att, se in zip(atts, errors, strict=True)]
    found = lift.calibrate(estimate(0.15, 0.02), others)
    spread = max(0.0, float(np.var(atts, ddof=1)) - sum(se**2 for se in errors) / 8)
    weights = [1 / (se**2 + spread) for se in errors]
    mean = sum(w * att for w, att in zip(weights, atts, strict=True)) / sum(weights)
    half = float(stats.t.ppf(0.975, 7)) * sqrt(0.02**2 + spread + 1 / sum(weights))
    assert found is not None
    assert (found.mean, found.sd, found.calibrated, found.low, found.high) == pytest.approx(
        (mean, sqrt(spread), 0.15 - mean, 0.15 - mean - half, 0.15 - mean + half)
    )
    assert (found.controls, found.is_above_all) == (8, False)
    higher = lift.calibrate(estimate(0.21), others)
    equal = lift.calibrate(estimate(0.2), others)
    assert higher is not None
    assert equal is not None
    assert (higher.is_above_all, equal.is_above_all) == (True, False)
    assert lift.calibrate(estimate(0.2), others[:7]) is None


def test_others_that_differ_by_chance_alone_have_no_spread() -> None:
    others = [estimate(0.01 * (-1) ** n, 0.05) for n in range(8)]
    found = lift.calibrate(estimate(0.1, 0.03), others)
    assert found is not None
    half = float(stats.t.ppf(0.975, 7)) * sqrt(0.03**2 + 0.05**2 / 8)
    assert (found.mean, found.sd, found.low, found.high) == pytest.approx((0, 0, 0.1 - half, 0.1 + half))


def test_an_e_value_needs_an_excess() -> None:
    assert lift.e_value(0.4, 0.2) == pytest.approx(2 + sqrt(2))
    assert all(isnan(lift.e_value(*rates)) for rates in ((0.2, 0.2), (0.1, 0.2), (0.2, 0.0), (0.2, -0.1)))


HELD = Calibration(mean=0.02, sd=0.01, controls=12, calibrated=0.08, low=0.04, high=0.12, is_above_all=True)


def test_a_verdict_at_its_edges() -> None:
    sure, none = estimate(0.1), estimate(0.0)
    assert lift.lift_verdict(estimate(0.1, overlap=0.8), none, HELD) == "associated (observational)"
    assert lift.lift_verdict(estimate(0.1, overlap=0.799), none, HELD) == "not measured"
    assert lift.lift_verdict(sure, sure, HELD) == "suggestive (do not quote)"
    assert lift.lift_verdict(sure, estimate(0.0999), HELD) == "associated (observational)"
    nought = Calibration(0.02, 0.01, 12, 0.08, 0.0, 0.12, True)
    assert lift.lift_verdict(sure, none, nought) == "not established"


def test_why_a_lift_is_not_measured() -> None:
    assert lift_words.too_little_text(150, 34) == (
        "Not measured: 34 days of past before the first uses, and 35 are needed."
    )
    assert lift_words.too_little_text(1_150, 35) == "Not measured: 1,150 people took it up, and 200 are needed."
    assert lift_words.is_a_step_text("converted:buy") == (
        "Not measured: using it is a step of buy, so that one contains the other."
    )
    assert lift_words.not_looked_at_text(20) == (
        "Not measured: only the 20 features with most new users are looked at."
    )
    assert lift_words.experiment_text("blue", 0.02, -0.01, 0.05) == (
        "Measured by experiment blue: +2.0 points (−1.0 to +5.0)."
    )


def test_a_lift_is_said_with_what_stands_against_it() -> None:
    sure, placebo = estimate(0.1), estimate(0.03)
    few = lift_words.reason_text("not measured", estimate(0.1, overlap=0.5), placebo, HELD, 1.4, "return")
    assert few == "Not measured: only 50 % of those who took it up have similar people beside them."
    ahead = lift_words.reason_text("suggestive (do not quote)", sure, placebo, HELD, 1.4, "return")
    assert ahead == (
        "Suggestive, do not quote: +8.0 points, but they were ahead by +3.0 points the week before they first used it."
    )
    told = (
        "Associated, observational: +8.0 points (+4.0 to +12.0), more than adopting any of 12 other features, and more"
        " than the same people's lead the week before (+3.0)."
    )
    assert lift_words.reason_text("associated (observational)", sure, placebo, HELD, 1.44, "return") == (
        f"{told} A hidden cause of both would need a risk ratio of 1.4."
    )
    for unknown in (nan, inf):
        assert lift_words.reason_text("associated (observational)", sure, placebo, HELD, unknown, "return") == told


def test_what_is_not_established_is_said_with_the_raw_difference() -> None:
    similar = "compared with similar people on the same day: +10.0 points (+8.0 to +12.0)"
    more = "Not established. People who take it up return more (50.0 % against 30.0 %)"
    usual = "; adopting any other of 12 features: +2.0 points."

    def said(found: Estimate, placebo: Estimate, held: Calibration | None = HELD) -> str:
        return lift_words.reason_text("not established", found, placebo, held, nan, "return")

    assert said(estimate(0.1), estimate(0.02)) == (
        f"{more}, but so they did before they first used it; {similar}{usual}"
    )
    assert said(estimate(0.1), estimate(0.01)) == f"{more}; {similar}{usual}"
    assert said(estimate(0.1), estimate(0.0), None) == (
        f"{more}; {similar}. Too few other features to hold that against."
    )
    less = "Not established. People who take it up return less (50.0 % against {})"
    assert said(estimate(0.1, naive=-0.1), estimate(0.02)) == f"{less.format('60.0 %')}; {similar}{usual}"
    alike = "Not established. People who take it up return as often (50.0 % against 50.0 %)"
    for naive in (0.0, -0.0004, 0.0004):
        assert said(estimate(0.1, naive=naive), estimate(0.01)) == f"{alike}; {similar}{usual}"


def test_why_what_crashes_cost_is_not_measured() -> None:
    assert crash_costs.too_few_text(500, 34) == (
        "Not measured: 34 days of past before the first crashes, and 35 are needed."
    )
    assert crash_costs.too_few_text(199, 35) == "Not measured: 199 people met a crash, and 200 are needed."


def test_what_crashes_cost_word_by_word() -> None:
    found, placebo = estimate(-0.05, 0.01), estimate(0.01)
    few = crash_costs.crash_text("not measured", estimate(-0.05, overlap=0.7), placebo, 120)
    assert few == "Not measured: only 70 % of those who met a crash have similar people beside them."
    rates = (
        "50.0 % of those who met a crash came back within 7 days, 55.0 % of similar people on the same days"
        " (−5.0 points, −7.0 to −3.0); the week before the crash: +1.0."
    )
    assert crash_costs.crash_text("not established", found, placebo, 120) == f"Not established: {rates}"
    assert crash_costs.crash_text("associated (observational)", found, placebo, 1_200) == (
        f"Associated, observational: {rates} Of 1,200 people who met one on the last day, about 60 stay away for it."
    )
    assert (crash_costs.lost_people(found, 120), crash_costs.lost_people(estimate(0.05), 120)) == (6.0, 0.0)


def test_a_crash_costs_something_at_its_edges() -> None:
    def said(found: Estimate, placebo: Estimate) -> str:
        return crash_costs.crash_verdict(found, placebo)

    still, moved = estimate(0.0, 0.0), estimate(-0.01959, 0.01)
    # 1.96 errors below nought, and a hair more or less.
    assert said(moved, still) == "not established"
    assert said(estimate(-0.0196, 0.01), still) == "associated (observational)"
    assert said(estimate(-0.05, overlap=0.8), still) == "associated (observational)"
    assert said(estimate(-0.05, overlap=0.79), still) == "not measured"
    # Errors of both add up as squares: 1.96 of .0141 are .0277.
    assert said(estimate(-0.0278), estimate(0.0)) == "associated (observational)"
    assert said(estimate(-0.0276), estimate(0.0)) == "not established"
    assert said(estimate(-0.0276), estimate(0.001)) == "associated (observational)"
    assert said(estimate(-0.05), estimate(-0.05)) == "not established"
    assert said(estimate(0.05), estimate(0.5)) == "not established"
