"""Churn at its edges: inputs by hand, a model that is given, grades and what they allow."""

from __future__ import annotations

from datetime import date, timedelta
from math import exp, log, sqrt
from typing import Any

import duckdb
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from small_tables import asked, make

from quality_assets.domain.impact import churn
from quality_assets.domain.impact.churn import ChurnGrade, ChurnModel

AS_OF = date(2026, 3, 29)
INPUTS = len(churn.INPUTS)


def snapshot(rows: list[tuple[Any, ...]], *, is_over: bool = True) -> list[dict[str, Any]]:
    """The snapshot of (user, days before AS_OF, sessions, events, features, errors, crashes)."""
    with duckdb.connect() as connection:
        make(
            connection,
            "lived",
            "user_id varchar, event_date date, sessions bigint, events bigint, features bigint, errors bigint,"
            " crashes bigint, is_automated boolean",
            [(user, AS_OF - timedelta(days=ago), *rest, user == "bot") for user, ago, *rest in rows],
        )
        return asked(
            connection,
            churn.snapshot_sql("lived"),
            {
                "as_of": AS_OF,
                "from": AS_OF - timedelta(days=83),
                "until": AS_OF + timedelta(days=28),
                "is_over": is_over,
            },
        )


def test_how_much_is_learnt_from() -> None:
    assert (churn.HORIZON_DAYS, churn.PAST_DAYS, churn.LEAST_PAST_DAYS) == (28, 84, 28)
    assert (churn.MOST_SNAPSHOTS, churn.MOST_TRAINING_ROWS) == (4, 200_000)


def test_inputs_are_counted_within_their_weeks() -> None:
    rows = [
        # On the last and the first day of each stretch that is told apart.
        *(("ann", ago, 2, 10, 3, 1, 1) for ago in (0, 6, 7, 13, 14, 27)),
        ("ann", 28, 50, 20, 9, 0, 2),
        ("ann", 83, 50, 30, 1, 0, 0),
        ("ann", 84, 50, 99, 1, 0, 0),
        ("ann", -28, 1, 1, 1, 0, 0),
        ("bob", 27, 1, 4, 1, 0, 0),
        ("bob", -29, 1, 4, 1, 0, 0),
        ("cyd", 28, 1, 4, 1, 0, 0),
        ("bot", 1, 1, 4, 1, 0, 0),
        ("dan", 5, 1, 4, 1, 0, 0),
        ("dan", 3, 1, 4, 1, 0, 0),
        # Who came back on two days is one user still.
        ("dan", -1, 1, 4, 1, 0, 0),
        ("dan", -2, 1, 4, 1, 0, 0),
    ]
    ann, bob, dan = snapshot(rows)
    assert ann == {
        "user_id": "ann",
        "recency": 0,
        "active_days_7": 2,
        "active_days_28": 6,
        "trend": 4 - 2,
        "sessions_28": pytest.approx(log(1 + 12)),
        # Six days of ten events, and 20 and 30.
        "events_a_day": pytest.approx(log(1 + 110 / 8)),
        "features_a_day": pytest.approx((18 + 9 + 1) / 8),
        "trouble_share": pytest.approx(14 / 110),
        "tenure": pytest.approx(log(84)),
        # Eight days in 84; seven gaps in 83.
        "usual_gap": pytest.approx(log(1 + 84 / 8)),
        "recency_by_gap": 0.0,
        "has_churned": False,
    }
    assert bob == {
        "user_id": "bob",
        "recency": 27,
        "active_days_7": 0,
        "active_days_28": 1,
        "trend": -1,
        "sessions_28": pytest.approx(log(2)),
        "events_a_day": pytest.approx(log(5)),
        "features_a_day": 1.0,
        "trouble_share": 0.0,
        "tenure": pytest.approx(log(28)),
        "usual_gap": pytest.approx(log(2)),
        # Of one day no gap is known: a day.
        "recency_by_gap": 27.0,
        "has_churned": True,
    }
    # Two days apart: 3 days away are one and a half times as long.
    assert (dan["user_id"], dan["recency_by_gap"], dan["has_churned"]) == ("dan", 1.5, False)
    assert dan["usual_gap"] == pytest.approx(log(1 + 3 / 2))
    assert [row["has_churned"] for row in snapshot(rows, is_over=False)] == [None, None, None]


def test_a_model_adds_up_what_each_input_says() -> None:
    model = ChurnModel(np.array([1.0, 2.0]), np.array([2.0, 4.0]), np.array([0.5, -1.0]), 0.3, 0.2)
    x = np.array([[3.0, 2.0], [1.0, 6.0]])
    assert model.contributions(x).tolist() == [[0.5, 0.0], [0.0, -1.0]]
    assert model.probabilities(x) == pytest.approx([1 / (1 + exp(-0.8)), 1 / (1 + exp(0.7))])


def test_a_model_learns_from_fifty_of_each() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(3, 2, size=(300, 4))
    x[:, 3] = 7.0
    churned = np.zeros(300, bool)
    churned[np.argsort(-x[:, 0] + rng.normal(size=300))[:50]] = True
    model = churn.fit_churn(x, churned)
    assert model is not None
    assert model.mean == pytest.approx(x.mean(axis=0))
    # What never varies is divided by one.
    assert model.spread == pytest.approx([*x.std(axis=0)[:3], 1.0])
    wanted = LogisticRegression(C=0.1, max_iter=1_000).fit((x - model.mean) / model.spread, churned)
    assert model.weights == pytest.approx(wanted.coef_[0], abs=1e-3)
    assert model.intercept == pytest.approx(wanted.intercept_[0], abs=1e-3)
    assert model.base_rate == pytest.approx(1 / 6)
    churned[np.flatnonzero(churned)[0]] = False
    assert churn.fit_churn(x, churned) is None
    assert churn.fit_churn(x, ~churned) is None


def test_the_three_strongest_reasons_are_named_where_they_speak_for_staying_away() -> None:
    names = list(churn.INPUTS)
    weights = np.array([1.0 if n % 2 else -1.0 for n in range(INPUTS)])
    model = ChurnModel(np.zeros(INPUTS), np.ones(INPUTS), weights, 0.0, 0.5)
    # Everything speaks for it, one more than the other, the last strongest.
    x = np.array([weights * np.arange(1, INPUTS + 1), weights * -1.0])
    at = {name: n for n, name in enumerate(names)}
    x[1, at["usual_gap"]] = weights[at["usual_gap"]] * 2
    assert (weights[at["tenure"]], weights[at["trouble_share"]], weights[at["features_a_day"]]) == (-1, 1, -1)
    assert churn.reasons_of(model, x) == [
        ["known for a short time", "many errors and crashes", "few features a day"],
        ["comes often"],
    ]


@pytest.mark.parametrize(
    ("name", "more", "less"),
    [
        ("recency", "away for longer", "there lately"),
        ("recency_by_gap", "away for longer than usual for them", "within their usual gap"),
        ("active_days_7", "often there in the last week", "hardly there in the last week"),
        ("active_days_28", "many active days in four weeks", "few active days in four weeks"),
        ("usual_gap", "comes seldom", "comes often"),
        ("trend", "more active than the two weeks before", "less active than the two weeks before"),
        ("sessions_28", "many sessions", "few sessions"),
        ("events_a_day", "many events a day", "few events a day"),
        ("features_a_day", "many features a day", "few features a day"),
        ("trouble_share", "many errors and crashes", "few errors and crashes"),
        ("tenure", "known for long", "known for a short time"),
    ],
)
def test_a_weight_above_and_below_nought_is_said_of_each_input(name: str, more: str, less: str) -> None:
    at = list(churn.INPUTS).index(name)
    for weight, said in ((1.0, more), (-1.0, less)):
        weights = np.zeros(INPUTS)
        weights[at] = weight
        x = np.zeros((2, INPUTS))
        x[0, at] = weight
        model = ChurnModel(np.zeros(INPUTS), np.ones(INPUTS), weights, 0.0, 0.5)
        # Nothing that speaks against it is a reason.
        assert churn.reasons_of(model, np.array([x[0], -x[0]])) == [[said], []]


def test_a_rank_is_the_share_below_and_half_of_those_alike() -> None:
    assert churn.ranks_of(np.array([3.0, 1.0, 2.0, 2.0, 9.0])).tolist() == pytest.approx([0.7, 0.1, 0.4, 0.4, 0.9])
    assert churn.ranks_of(np.array([])).tolist() == []
    assert churn.band_of(np.array([0.9, 0.8999, 0.6, 0.5999])) == ["high", "middle", "middle", "low"]


def test_a_grade_is_whole() -> None:
    churned = np.array([True, False, True, False, False])
    score, probability = np.array([0.9, 0.4, 0.35, 0.3, 0.1]), np.array([0.8, 0.4, 0.5, 0.2, 0.1])
    # Five of six pairs are in order; precision is 1 at the first, two thirds at the second.
    roc, brier = 5 / 6, (0.04 + 0.16 + 0.25 + 0.04 + 0.01) / 5
    usual = (2 * 0.7**2 + 3 * 0.3**2) / 5
    half = 1.959964 * churn.roc_se(roc, 2, 3)
    found = churn.grade_churn(churned, score, probability, 0.3)
    assert found == ChurnGrade(
        5, 2, pytest.approx(roc), pytest.approx(roc - half), 1.0, pytest.approx((1 + 2 / 3) / 2),
        pytest.approx(brier), pytest.approx(1 - brier / usual),
    )  # fmt: skip
    half = 1.959964 * churn.roc_se(1 / 6, 2, 3)
    assert churn.grade_churn(churned, -score, None, None) == ChurnGrade(
        5, 2, pytest.approx(1 / 6), 0.0, pytest.approx(1 / 6 + half), pytest.approx((1 / 3 + 2 / 5) / 2), None, None
    )
    unknown = churn.grade_churn(churned, score, probability, None)
    assert (unknown.brier, unknown.brier_skill) == (pytest.approx(brier), None)


def test_a_week_of_one_kind_has_no_curve() -> None:
    for stayed_away in (True, False):
        churned = np.full(4, stayed_away)
        found = churn.grade_churn(churned, np.arange(4.0), np.full(4, 0.5), 0.5)
        assert found == ChurnGrade(4, 4 * stayed_away, None, None, None, None, 0.25, 0.0)
    nobody = churn.grade_churn(np.zeros(0, bool), np.zeros(0), np.zeros(0), 0.5)
    assert nobody == ChurnGrade(0, 0, None, None, None, None, None, None)
    # What was certain before, and came true, leaves nothing to win.
    sure = churn.grade_churn(np.zeros(4, bool), np.zeros(4), np.full(4, 0.5), 0.0)
    assert (sure.brier, sure.brier_skill) == (0.25, None)


def test_the_error_of_a_curve_is_that_of_the_paper() -> None:
    q1, q2 = 0.8 / 1.2, 2 * 0.64 / 1.8
    variance = (0.16 + 9 * (q1 - 0.64) + 19 * (q2 - 0.64)) / 200
    assert churn.roc_se(0.8, 10, 20) == pytest.approx(sqrt(variance))
    assert churn.roc_se(1.0, 10, 20) == 0.0


def grade(roc: float | None, skill: float | None = None, churned: int = 50, users: int = 100) -> ChurnGrade:
    return ChurnGrade(users, churned, roc, 0.5, 0.7, 0.5, 0.2, skill)


@pytest.mark.parametrize(
    ("found", "baseline", "is_model", "said"),
    [
        (grade(0.6, 0.01), 0.59, True, "probabilities hold"),
        (grade(0.6, 0.01), None, True, "probabilities hold"),
        (grade(0.6, 0.0), 0.59, True, "ranks only"),
        (grade(0.6, None), 0.59, True, "ranks only"),
        (grade(0.6, 0.01), 0.6, True, "no better than a baseline"),
        (grade(0.6, 0.01), 0.9, False, "ranks only"),
        (grade(None, 0.01), 0.59, True, "too few to tell"),
        (grade(0.6, 0.01, churned=49), 0.59, True, "too few to tell"),
        (grade(0.6, 0.01, churned=51), 0.59, True, "too few to tell"),
        (grade(0.6, 0.01, churned=49, users=200), 0.59, False, "too few to tell"),
    ],
)
def test_what_may_be_used_of_a_weeks_scores(
    found: ChurnGrade, baseline: float | None, is_model: bool, said: str
) -> None:
    assert churn.churn_verdict(found, baseline, is_model) == said


def test_a_weeks_verdict_is_said_with_its_numbers() -> None:
    few = "Too few to tell: 49 of 1,000 users stayed away; 50 of each kind are needed."
    told = grade(0.6, 0.1, churned=49, users=1_000)
    assert churn.grade_text("too few to tell", told, "recency", 0.5) == few
    assert churn.grade_text("ranks only", grade(None, churned=49, users=1_000), "recency", None) == few
    whole = grade(0.6, 0.125, churned=250, users=1_000)
    assert churn.grade_text("probabilities hold", whole, "recency_by_gap", 0.55) == (
        "Probabilities hold: ROC 0.60 (0.50 to 0.70), recency by gap alone 0.55; Brier skill 0.12;"
        " 250 of 1,000 users stayed away (25 %)."
    )
    assert churn.grade_text("ranks only", grade(0.6, None, 250, 1_000), "recency", None) == (
        "Ranks only: ROC 0.60 (0.50 to 0.70); 250 of 1,000 users stayed away (25 %)."
    )
