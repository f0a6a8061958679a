"""The model page's queries on a few rows each: versions in order, one version's grades, how past scores turned out."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from small_snapshots import THROUGH, Cells, ago, at, snapshot_of

from quality_assets.read.model import (
    bins_within,
    calibration,
    helpful_inputs,
    hit_share,
    importance,
    ledger_by_week,
    ledger_top,
    mean_brier,
    metrics,
    of_candidate,
    recent_scores,
    versions,
)

VERSIONS = "ml.model_versions"
METRICS = "ml.model_metrics"
IMPORTANCE = "ml.feature_importance"
CALIBRATION = "ml.calibration"
LEDGER = "ml.score_ledger"


def test_the_champion_stands_first_then_the_newest_versions() -> None:
    def version(name: str, days: int, alias: str | None = None) -> Cells:
        return {"model_version": name, "created_at": at(days), "alias": alias, "pr_auc": float(days)}

    rows = [
        version("8", 9, "champion"),
        version("7", 10, "retired"),
        version("9", 3),
        version("10", 3),
        version("x", 3),
        version("y", 3),
        version("11", 1, "challenger"),
    ]
    found = versions(snapshot_of({VERSIONS: rows}))
    assert [row["model_version"] for row in found] == ["8", "11", "10", "9", "y", "x", "7"]
    assert (found[0]["alias"], found[0]["pr_auc"], found[0]["created_at"]) == ("champion", 9.0, at(9))


def test_versions_are_fifty_at_most() -> None:
    rows: list[Cells] = [{"model_version": f"{n}", "created_at": at(n)} for n in range(60)]
    assert [row["model_version"] for row in versions(snapshot_of({VERSIONS: rows}))] == [f"{n}" for n in range(50)]


def test_metrics_of_a_version_stand_by_target_role_model_and_metric() -> None:
    told = {
        "target": "any",
        "model": "forest",
        "role": "champion",
        "metric": "pr_auc",
        "value": 0.5,
        "low": 0.4,
        "high": 0.6,
        "rows": 100,
        "positives": 20,
        "base_rate": 0.2,
        "k": 3,
    }
    kept = {name: value for name, value in told.items() if name != "model"}
    kept |= {"model": "feature_risk", "candidate": told["model"]}
    rows: list[Cells] = [
        kept | {"model_version": "2", "target": "onset"},
        kept | {"model_version": "2", "role": "baseline", "candidate": "a"},
        kept | {"model_version": "2", "role": "candidate", "candidate": "c"},
        kept | {"model_version": "2", "role": "candidate", "candidate": "b", "metric": "z"},
        kept | {"model_version": "2", "role": "candidate", "candidate": "b", "metric": "brier"},
        kept | {"model_version": "2", "trained_through": ago(7)},
        kept | {"model_version": "1", "value": 0.9},
        kept | {"model_version": "2", "model": "sales"},
    ]
    found = metrics(snapshot_of({METRICS: rows}), "2")
    assert [(row["target"], row["role"], row["model"], row["metric"]) for row in found] == [
        ("any", "champion", "forest", "pr_auc"),
        ("any", "candidate", "b", "brier"),
        ("any", "candidate", "b", "z"),
        ("any", "candidate", "c", "pr_auc"),
        ("any", "baseline", "a", "pr_auc"),
        ("onset", "champion", "forest", "pr_auc"),
    ]
    assert found[0] == told


def test_importance_is_the_champions_for_any_degradation_by_rank() -> None:
    told = {
        "target": "any",
        "input": "crash_z",
        "description": "Crash rate",
        "importance": 0.1,
        "low": 0.05,
        "high": 0.2,
        "rank": 2,
        "candidate_model": "random_forest",
        "candidate_importance": 0.4,
        "candidate_low": 0.3,
        "candidate_high": 0.5,
        "candidate_rank": 1,
    }
    rows: list[Cells] = [
        told | {"model_version": "2"},
        told | {"model_version": "2", "input": "latency_z", "rank": 1, "candidate_rank": 2},
        told | {"model_version": "2", "target": "onset", "rank": 3},
        told | {"model_version": "1", "rank": 4},
    ]
    found = importance(snapshot_of({IMPORTANCE: rows}), "2")
    assert [row["input"] for row in found] == ["latency_z", "crash_z"]
    assert found[1] == told
    # To the candidate they are worth something else.
    best = of_candidate(found)
    assert [row["input"] for row in best] == ["crash_z", "latency_z"]
    assert [best[0][name] for name in ("importance", "low", "high", "rank")] == [0.4, 0.3, 0.5, 1]


def test_calibration_is_of_any_degradation_bin_by_bin() -> None:
    told = {"bin": 2, "predicted": 0.15, "observed": 0.2, "low": 0.1, "high": 0.3, "rows": 40}
    rows: list[Cells] = [
        told | {"model_version": "2", "target": "any"},
        told | {"model_version": "2", "target": "any", "bin": 1},
        told | {"model_version": "2", "target": "onset", "bin": 3},
        told | {"model_version": "1", "target": "any", "bin": 4},
    ]
    assert calibration(snapshot_of({CALIBRATION: rows}), "2") == [told | {"bin": 1}, told]


def _score(day: date, rank: int = 1, label: bool | None = True, risk: float | None = 0.5, **cells: object) -> Cells:
    known = {"event_date": day, "rank": rank, "label_any": label, "risk_probability": risk, "model_version": "1"}
    return known | {"feature": f"f{rank}", "is_graded": True} | cells


# The Monday of the last week; THROUGH is its Tuesday.
MONDAY = date(2026, 3, 30)


def test_a_week_from_monday_has_the_mean_of_its_graded_scores() -> None:
    sunday = MONDAY - timedelta(days=1)
    rows = [
        _score(MONDAY, 1, True, 0.8, squared_error=0.04, model_version="2"),
        _score(THROUGH, 2, False, 0.4, squared_error=0.16, model_version="2"),
        _score(THROUGH, 9, False, 0.1, squared_error=0.01, model_version="1"),
        _score(THROUGH, 4, False, 0.3, squared_error=0.09, model_version="1"),
        _score(THROUGH, 5, None, 0.9, squared_error=1.0, model_version="7"),
        _score(THROUGH, 6, True, None, model_version="8"),
        _score(THROUGH, 7, True, 0.9, is_graded=False, squared_error=1.0, model_version="9"),
        _score(sunday, 1, True, 0.7, squared_error=0.09),
        _score(sunday - timedelta(days=6), 1, False, 0.1, squared_error=0.01),
    ]
    found = ledger_by_week(snapshot_of({LEDGER: rows}))
    assert found == [
        {
            "week": MONDAY,
            "scores": 4,
            "predicted": pytest.approx(0.4),
            "observed": 0.25,
            "brier": pytest.approx(0.075),
            "brier_of_base_rate": 0.1875,
            "versions": ["1", "2"],
        },
        {
            "week": MONDAY - timedelta(days=7),
            "scores": 2,
            "predicted": pytest.approx(0.4),
            "observed": 0.5,
            "brier": pytest.approx(0.05),
            "brier_of_base_rate": 0.25,
            "versions": ["1"],
        },
    ]


def test_weeks_of_scores_are_twenty_six_at_most() -> None:
    rows = [_score(MONDAY - timedelta(weeks=n)) for n in range(30)]
    found = ledger_by_week(snapshot_of({LEDGER: rows}))
    assert [row["week"] for row in found] == [MONDAY - timedelta(weeks=n) for n in range(26)]


def test_the_three_riskiest_of_graded_days_are_hits_misses_or_unknown() -> None:
    rows = [
        _score(ago(9), 1, True, days_to_degradation=1),
        _score(ago(9), 2, True, days_to_degradation=4),
        _score(ago(9), 3, True, days_to_degradation=6),
        _score(ago(9), 4, True, days_to_degradation=7),
        _score(ago(8), 1, False, days_to_degradation=7),
        _score(ago(8), 2, None),
        _score(ago(1), 1, True, days_to_degradation=7, is_graded=False),
        _score(ago(1), 2, None, is_graded=False),
    ]
    assert ledger_top(snapshot_of({LEDGER: rows})) == {"named": 5, "hit": 3, "unknown": 1, "lead_days": 4.0}
    assert ledger_top(snapshot_of({LEDGER: []})) == {"named": 0, "hit": 0, "unknown": 0, "lead_days": None}


def test_recent_scores_are_the_three_riskiest_of_the_last_ten_days() -> None:
    told = {
        "event_date": THROUGH,
        "feature": "pay",
        "risk_probability": 0.9,
        "rank": 1,
        "label_any": False,
        "is_graded": True,
        "graded_date": ago(-7),
        "days_to_degradation": 2,
        "degraded_metrics_ahead": "latency",
        "model_version": "12",
        "score_kind": "model",
    }
    rows = [_score(ago(n), rank) for n in range(12) for rank in (4, 3, 2, 1)]
    rows[3] = told | {"squared_error": 0.01}
    found = recent_scores(snapshot_of({LEDGER: rows}))
    assert [(row["event_date"], row["rank"]) for row in found] == [(ago(n), r) for n in range(10) for r in (1, 2, 3)]
    assert found[0] == told


def test_a_bin_is_within_where_what_was_said_lies_in_the_interval() -> None:
    bins: list[Cells] = [
        {"predicted": 0.3, "low": 0.3, "high": 0.4},
        {"predicted": 0.4, "low": 0.3, "high": 0.4},
        {"predicted": 0.5, "low": 0.3, "high": 0.4},
        {"predicted": 0.2, "low": 0.3, "high": 0.4},
        {"predicted": 0.9, "low": None, "high": None},
    ]
    assert bins_within(bins) == 3


def test_an_input_helps_where_shuffling_it_costs_something() -> None:
    rows: list[Cells] = [{"importance": value} for value in (0.2, 0.0, None, 0.1, -0.1)]
    assert helpful_inputs(rows) == [rows[0], rows[3]]
    assert helpful_inputs(rows[1:3]) == rows[1:2]
    assert helpful_inputs([]) == []


def test_the_brier_score_of_weeks_is_weighed_by_their_scores() -> None:
    assert mean_brier([{"brier": 0.1, "scores": 30}, {"brier": 0.3, "scores": 10}]) == pytest.approx(0.15)


def test_hits_are_a_share_of_what_can_be_told() -> None:
    assert hit_share({"named": 10, "unknown": 2, "hit": 6}) == 0.75
    assert hit_share({"named": 2, "unknown": 2, "hit": 0}) is None
