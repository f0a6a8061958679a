"""Who may stay away: inputs and labels of a small log by hand, models that learn, grades, and what a crash costs."""

from __future__ import annotations

from datetime import date, timedelta
from math import log, sqrt

import duckdb
import numpy as np
import pytest

from quality_assets.domain.impact import churn, crash_costs
from quality_assets.domain.impact.lift import Estimate

AS_OF = date(2026, 3, 29)


def snapshot(days: dict[str, list[int]], *, is_over: bool = True) -> dict[str, dict[str, object]]:
    """The snapshot of users who were active so many days before AS_OF; negative is after it."""
    rows = [
        f"(date '{AS_OF - timedelta(days=ago)}', '{user}', 2, 10, 3, 1, 0, {user == 'bot'})"
        for user, agos in days.items()
        for ago in agos
    ]
    user_days = (
        f"(select * from (values {', '.join(rows)})"
        " as t(event_date, user_id, sessions, events, features, errors, crashes, is_automated))"
    )
    found = duckdb.connect().execute(
        churn.snapshot_sql(user_days),
        {
            "as_of": AS_OF,
            "from": AS_OF - timedelta(days=churn.PAST_DAYS - 1),
            "until": AS_OF + timedelta(days=churn.HORIZON_DAYS if is_over else 0),
            "is_over": is_over,
        },
    )
    names = [column[0] for column in found.description or ()]
    return {row[0]: dict(zip(names, row, strict=True)) for row in found.fetchall()}


def test_inputs_are_of_the_days_before_and_labels_of_the_days_after() -> None:
    found = snapshot({"ann": [20, 10, 6, 0, -28], "bob": [27, 3, -29], "gone": [28], "bot": [1], "new": [-1]})
    # The 28th day after is the last that counts, the 27th before the first.
    assert {user: row["has_churned"] for user, row in found.items()} == {"ann": False, "bob": True}
    ann, bob = found["ann"], found["bob"]
    assert (ann["recency"], ann["active_days_7"], ann["active_days_28"], ann["trend"]) == (0, 2, 4, 2)
    assert (bob["recency"], bob["active_days_7"], bob["active_days_28"], bob["trend"]) == (3, 1, 2, 0)
    assert bob["recency_by_gap"] == pytest.approx(3 / 24)
    assert ann["sessions_28"] == pytest.approx(log(9))
    assert (ann["events_a_day"], ann["features_a_day"]) == (pytest.approx(log(11)), 3)
    # Four days in three weeks, two in twenty-five days.
    assert (ann["tenure"], ann["usual_gap"]) == (pytest.approx(log(21)), pytest.approx(log(1 + 21 / 4)))
    assert (bob["tenure"], bob["usual_gap"]) == (pytest.approx(log(28)), pytest.approx(log(1 + 25 / 2)))
    assert ann["trouble_share"] == pytest.approx(0.1)
    assert set(churn.INPUTS) <= set(ann)


def test_a_label_is_unknown_until_its_days_are_over() -> None:
    assert snapshot({"ann": [1]}, is_over=False)["ann"]["has_churned"] is None


def test_a_model_finds_what_was_put_in_and_names_it() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4000, len(churn.INPUTS)))
    churned = rng.random(4000) < 1 / (1 + np.exp(-2 * x[:, 0]))
    model = churn.fit_churn(x, churned)
    assert model is not None
    assert model.weights[0] == pytest.approx(2, abs=0.2)
    assert model.base_rate == churned.mean()
    far = np.zeros((1, len(churn.INPUTS)))
    far[0, 0] = 3
    assert churn.reasons_of(model, far)[0][0] == "away for longer"
    assert model.probabilities(far)[0] == pytest.approx(1 / (1 + np.exp(-6)), abs=0.01)


def test_reasons_say_which_end_of_a_count_speaks_for_staying_away() -> None:
    at = list(churn.INPUTS).index("active_days_7")
    weights = np.zeros(len(churn.INPUTS))
    weights[at] = -1.0
    model = churn.ChurnModel(np.zeros(len(weights)), np.ones(len(weights)), weights, 0.0, 0.5)
    x = np.zeros((2, len(weights)))
    x[:, at] = [-2, 2]
    assert churn.reasons_of(model, x) == [["hardly there in the last week"], []]


def test_too_few_of_one_kind_teach_nothing() -> None:
    x = np.zeros((100, len(churn.INPUTS)))
    assert churn.fit_churn(x, np.arange(100) < churn.LEAST_OF_EACH - 1) is None


def test_baselines_rise_with_what_speaks_for_staying_away() -> None:
    inputs = {name: np.array([1.0, 2.0]) * at for at, name in enumerate(churn.INPUTS, start=1)}
    found = {name: score.tolist() for name, score in churn.baselines(inputs).items()}
    assert found == {"recency": [1.0, 2.0], "active_days": [-4.0, -8.0], "recency_by_gap": [2.0, 4.0]}


def test_ranks_and_bands() -> None:
    rank = churn.ranks_of(np.array([5.0, 1.0, 1.0, 9.0]))
    assert rank.tolist() == [0.625, 0.25, 0.25, 0.875]
    assert churn.band_of(np.array([0.9, 0.89, 0.6, 0.59])) == ["high", "middle", "middle", "low"]


def test_a_grade_is_of_what_came_true() -> None:
    churned = np.array([True, True, False, False])
    found = churn.grade_churn(churned, np.array([4.0, 2.0, 3.0, 1.0]), np.array([0.9, 0.5, 0.5, 0.1]), 0.5)
    # Three of four pairs are in order; squared errors are .01, .25, .25, .01 against .25 each.
    assert found.roc_auc == 0.75
    assert found.brier == pytest.approx(0.13)
    assert found.brier_skill == pytest.approx(1 - 0.13 / 0.25)
    assert churn.roc_se(0.75, 2, 2) == pytest.approx(sqrt((0.1875 + (0.6 - 0.5625) + (9 / 14 - 0.5625)) / 4))
    assert churn.grade_churn(np.ones(3, bool), np.zeros(3), None, None).roc_auc is None


def grade(roc: float, skill: float | None = None, churned: int = 400) -> churn.ChurnGrade:
    """A grade of 1,000 users."""
    return churn.ChurnGrade(1000, churned, roc, roc - 0.03, roc + 0.03, 0.5, 0.2, skill)


def test_only_what_beats_the_baselines_and_the_base_rate_is_a_probability() -> None:
    assert churn.churn_verdict(grade(0.7, 0.1), 0.6, True) == "probabilities hold"
    assert churn.churn_verdict(grade(0.7, -0.1), 0.6, True) == "ranks only"
    assert churn.churn_verdict(grade(0.6, 0.1), 0.6, True) == "no better than a baseline"
    assert churn.churn_verdict(grade(0.7, 0.1, churned=49), 0.6, True) == "too few to tell"
    assert churn.grade_text("ranks only", grade(0.68, -0.1), "recency", 0.59) == (
        "Ranks only: ROC 0.68 (0.65 to 0.71), recency alone 0.59; Brier skill -0.10;"
        " 400 of 1,000 users stayed away (40 %)."
    )


def estimate(att: float, se: float = 0.01, overlap: float = 0.95) -> Estimate:
    """An estimate of 500 people of whom half come back."""
    return Estimate(naive=att, adopter_rate=0.5, att=att, se=se, overlap=overlap, adopters=500)


@pytest.mark.parametrize(
    ("found", "placebo", "verdict"),
    [
        (estimate(-0.05), estimate(0.0), "associated (observational)"),
        (estimate(-0.05), estimate(-0.04), "not established"),
        (estimate(-0.01), estimate(0.0), "not established"),
        (estimate(0.05), estimate(0.2), "not established"),
        (estimate(-0.05, overlap=0.7), estimate(0.0), "not measured"),
    ],
)
def test_a_crash_costs_something_only_beyond_chance_and_beyond_the_week_before(
    found: Estimate, placebo: Estimate, verdict: str
) -> None:
    assert crash_costs.crash_verdict(found, placebo) == verdict


def test_what_crashes_cost_is_said_with_its_placebo() -> None:
    text = crash_costs.crash_text("associated (observational)", estimate(-0.05), estimate(0.01), 120)
    assert "50.0 % of those who met a crash came back within 7 days, 55.0 % of similar people" in text
    assert "about 6 stay away for it" in text
    assert crash_costs.lost_people(estimate(0.05), 120) == 0
